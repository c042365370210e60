// Which instruction sets this CPU and its operating system run.
#pragma once

namespace byhand::cpu {

bool cpu_runs_avx2();  // AVX2 and FMA, and the operating system saves the ymm registers

}  // namespace byhand::cpu
