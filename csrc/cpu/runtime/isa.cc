// Compiled for the baseline, because this code decides whether the code for other instruction sets may run.
#include "cpu/runtime/isa.h"

namespace byhand::cpu {

#if defined(__x86_64__)

// __builtin_cpu_supports checks that CPUID reports the instruction set and that XGETBV reports its registers.
// A virtual machine may hide either.
bool cpu_runs_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool cpu_runs_avx512() {
  return cpu_runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

#else

bool cpu_runs_avx2() { return false; }
bool cpu_runs_avx512() { return false; }

#endif

}  // namespace byhand::cpu
