// Collects images of bytes into a batch of floats: to[i] = images[index[i]] * scale + offset. Can also shift
// each image at random.
#pragma once

#include <stdint.h>

namespace byhand::ops {

// A contiguous array of `count` images of planes * height * width bytes. The planes of an image shift
// together.
struct ImageBytes {
  const uint8_t* data;
  int64_t count, planes, height, width;

  int64_t size() const { return planes * height * width; }  // bytes of one image
};

// Each image is shifted by (dy, dx), both from -max_shift to max_shift:
//   to[i][p, y, x] = images[index[i]][p, y - dy, x - dx] * scale + offset
// Pixels from outside the image count as 0, so they become `offset`. The shift depends only on seed, step and
// index[i]. Let w0 and w1 be the first two words of Philox4x32-7 for the key `seed` and the counter
// (index[i] mod 2^32, floor(index[i] / 2^32), step, kShiftStream). Then
//   dy = floor(w0 (2 max_shift + 1) / 2^32) - max_shift,   and dx is computed from w1 in the same way.
struct Shift {
  int64_t max_shift = 0;
  uint64_t seed = 0;
  uint32_t step = 0;
};
// The largest max_shift. With it, the number of shifts along an axis, 2 max_shift + 1, still fits 32 bits.
inline constexpr int64_t kLargestShift = (int64_t{1} << 31) - 1;
// The stream number of shifts. It is the largest one, because dropout layers use the streams from 0 on.
inline constexpr uint32_t kShiftStream = UINT32_MAX;

// `to` holds count * images.size() floats and overlaps no input. Throws std::invalid_argument, before it
// writes anything, if an index is not from 0 to images.count - 1 or max_shift is not from 0 to kLargestShift.
void gather_images(const ImageBytes& images, const int64_t* index, int64_t count, float scale, float offset,
                   const Shift& shift, float* to);

}  // namespace byhand::ops
