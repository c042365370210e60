// Which instruction sets this CPU and its operating system run.
#pragma once

namespace byhand::cpu {

bool cpu_runs_avx2();    // AVX2 and FMA, and the operating system saves the ymm registers
bool cpu_runs_avx512();  // AVX2, FMA and AVX-512 F, BW, DQ and VL, and the same of zmm and mask registers

}  // namespace byhand::cpu
