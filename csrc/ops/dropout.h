// Dropout.
//   y_i = 0 if u_i < rate, otherwise x_i / (1 - rate)
// u_i is a random number, uniform in [0, 1) in steps of 2^-23. The gradient with respect to x is the same
// function of the gradient with respect to y.
//
// The random numbers have no state: u_i depends only on the seed, the step, the stream and i. The generator
// is Philox4x32-7 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011). With the key `seed`
// and the counter (b mod 2^32, floor(b / 2^32), step, stream), it gives four words of 32 bits, which we call
// block b. With i = 64 g + e and e < 64, value i takes word floor(e / 16) of block 16 g + e mod 16. u_i is
// the number in the upper 23 bits of this word, divided by 2^23. For example, i = 100 has g = 1 and e = 36,
// and takes word 2 of block 20.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct DropoutKey {
  uint64_t seed;
  uint32_t step;    // number of the batch
  uint32_t stream;  // number of the dropout layer
};

// x and y hold `count` contiguous values and do not overlap. rate is from 0 to 1. If rate is 1, y is 0. A NaN
// or an infinity that is dropped becomes 0, too.
void dropout(const DropoutKey&, float rate, const float* x, int64_t count, float* y);

}  // namespace byhand::ops
