// Partial sums. A long sum, such as a weight gradient over a batch, is divided among tasks. Each task adds up
// its part in an array of its own. The shape and the instruction set decide the number of these partial sums,
// and they are added in order. So the result has the same bits for any number of threads.
#pragma once

#include <cstdint>

#include "core/shapes.h"

namespace byhand::cpu {

// The largest number of partial sums.
inline constexpr int64_t kMaxPartialSums = 8;
// Returns the largest number of partial sums of `size` floats each, from 1 to kMaxPartialSums. All of them
// together have at most 16 MiB, unless one alone has more.
int64_t max_partial_sums(int64_t size);

// Returns the number of partial sums for a weight gradient of `size` floats.
int64_t partial_sum_count(const Conv2dShape& s, int64_t size);

// Adds `count` arrays of `size` floats to `total`, one after another. Each array begins `distance` floats
// after the one before.
void add_in_order(const float* sums, int64_t count, int64_t distance, int64_t size, float* total);

}  // namespace byhand::cpu
