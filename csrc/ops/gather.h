// A batch out of a set of images: to[i] = images[index[i]] * scale + offset, bytes to floats.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct ImageBytes {
  const uint8_t* data;
  int64_t count, planes, height, width;  // of one image: planes that move together

  int64_t size() const { return planes * height * width; }
};

// Each image moves by (dy, dx), both from -max_shift to max_shift, and where nothing comes from its pixels
// become those of byte 0, `offset`: to[i][p, y, x] = images[index[i]][p, y - dy, x - dx] * scale + offset.
// (dy, dx) is a function of seed, step and index[i] alone: with the first two words w of Philox4x32-7 of the
// key `seed` and the counter (index[i] mod 2^32, index[i] / 2^32, step, kShiftStream),
// dy = floor(w0 (2 max_shift + 1) / 2^32) - max_shift, and dx likewise of w1.
struct Shift {
  int64_t max_shift = 0;
  uint64_t seed = 0;
  uint32_t step = 0;
};
inline constexpr int64_t kLargestShift = (int64_t{1} << 31) - 1;
inline constexpr uint32_t kShiftStream = UINT32_MAX;  // dropout's layers count from 0

// Throws std::invalid_argument, before it writes anything, where an index is not of 0 to images.count - 1 or
// max_shift not of 0 to kLargestShift.
void gather_images(const ImageBytes& images, const int64_t* index, int64_t count, float scale, float offset,
                   const Shift& shift, float* to);

}  // namespace byhand::ops
