// The most that a core can do, for comparison in benchmarks.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// Returns the floating-point operations per second that the calling thread reaches with multiply-adds on
// registers. A multiply-add is two operations. The result is the best of many short runs within `seconds`.
double fma_peak(double seconds);

// Returns the bytes per second that the calling thread reads and writes while it adds one array to another,
// again and again. Both arrays together have `bytes`, so the result is the rate of the cache that holds them,
// or of the memory. It is the best of many short runs within `seconds`. Throws std::invalid_argument if
// `bytes` is less than 8.
double memory_rate(int64_t bytes, double seconds);

}  // namespace byhand::cpu
