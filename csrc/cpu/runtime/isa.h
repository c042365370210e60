// Whether this CPU and its operating system support an instruction set.
#pragma once

namespace byhand::cpu {

// AVX2 and FMA. The operating system saves the ymm registers.
bool cpu_runs_avx2();
// AVX2, FMA, and AVX-512 F, BW, DQ and VL. The operating system also saves the zmm and the mask registers.
bool cpu_runs_avx512();

}  // namespace byhand::cpu
