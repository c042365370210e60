// What a core can do at most, for benchmarks to stand against.
#pragma once

namespace byhand::cpu {

// Floating-point operations a second of this thread in multiply-adds on registers: the best of many short
// runs within `seconds`.
double fma_peak(double seconds);

}  // namespace byhand::cpu
