// Dropout.
//   y_i = 0 if u_i < rate, otherwise x_i / (1 - rate)
// u_i is a random number, uniform in [0, 1) in steps of 2^-23. The gradient of x is the same function of dy.
//
// The random numbers have no state: u_i depends only on the seed, step, stream and i. The generator is
// Philox4x32-7 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011). With the key `seed` and
// the counter (b mod 2^32, b / 2^32, step, stream), it gives the four words of block b. Every 64 values use
// 16 blocks: value e of the 64 takes word e / 16 of block e % 16, and u_i is the upper 23 bits of that word.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct DropoutKey {
  uint64_t seed;
  uint32_t step;    // number of the batch
  uint32_t stream;  // number of the dropout layer
};

// x and y hold `count` contiguous values and do not overlap. rate is from 0 to 1. If rate is 1, y is 0. A
// dropped NaN or infinity is 0, too.
void dropout(const DropoutKey&, float rate, const float* x, int64_t count, float* y);

}  // namespace byhand::ops
