// The most that a core can do, for comparison in benchmarks.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// Floating-point operations a second of this thread in multiply-adds on registers: the best of many short
// runs within `seconds`.
double fma_peak(double seconds);

// Bytes a second, read and written, of this thread while it adds one array to another again and again,
// `bytes` in both: what the cache that holds them gives. The best of many short runs within `seconds`. Throws
// std::invalid_argument below 8 bytes.
double memory_rate(int64_t bytes, double seconds);

}  // namespace byhand::cpu
