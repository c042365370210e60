// y_i = u_i < rate ? 0 : x_i / (1 - rate), with u_i uniform in [0, 1), in steps of 2^-23. The gradient of x
// is dy through the same function.
//
// u_i is a counter's image, not a state's: Philox4x32-7 (Salmon et al., Parallel random numbers: as easy as
// 1, 2, 3, SC 2011) with the key `seed` and the counter (b mod 2^32, b / 2^32, step, stream) gives four words
// of block b. Of every 64 values, value e has word e / 16 of block e % 16 of their 16 blocks, and u_i is that
// word's upper 23 bits.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct DropoutKey {
  uint64_t seed;
  uint32_t step, stream;
};

void dropout(const DropoutKey&, float rate, const float* x, int64_t count, float* y);

}  // namespace byhand::ops
