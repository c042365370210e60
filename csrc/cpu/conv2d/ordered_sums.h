// Partial sums. Tasks add up parts of a sum, such as a weight gradient over a batch, each into an array of
// its own. The shape alone decides the number of partial sums, and they are added in order. So the result has
// the same bits for any number of threads.
#pragma once

#include <cstdint>

#include "core/shapes.h"

namespace byhand::cpu {

// The largest number of partial sums, and the largest number of `size` floats each: their memory is bounded.
inline constexpr int64_t kMaxPartialSums = 8;
int64_t max_partial_sums(int64_t size);

// The number of partial sums of weight gradients of `size` floats.
int64_t partial_sum_count(const Conv2dShape& s, int64_t size);

// total += sums[0] + sums[1] + ..., one after the other: `count` arrays of `size` floats, of which each
// begins `distance` floats after the one before.
void add_in_order(const float* sums, int64_t count, int64_t distance, int64_t size, float* total);

}  // namespace byhand::cpu
