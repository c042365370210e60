// The random distortion of an image: its strengths, and the numbers that are drawn for one image.
// ops/warp_images.h has the formulas.
//
// The functions can be called on the CPU, and on a GPU in CUDA files.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/counter_random.h"
#include "core/host_device.h"

namespace byhand {

// How strongly images are distorted.
struct WarpStrengths {
  float rotation, scale, shear, shift;  // the largest angle, change of the size, angle and distance
  float elastic, smoothness;            // the standard deviation of the displacement, and its smoothness

  // Returns true if no image changes.
  BYHAND_HOST_DEVICE bool is_zero() const {
    return rotation == 0 && scale == 0 && shear == 0 && shift == 0 && elastic == 0;
  }
};

struct WarpKey {
  uint64_t seed;
  uint32_t step;
};

// Block b of the random words of an image has the stream number kWarpStream + b. Dropout layers use the
// streams from 0 on, one each, so they would meet them only after 2^31 layers. Blocks 0 and 1 decide the
// affine map and the position of the grid. The blocks from kFirstControlBlock on decide the control points.
inline constexpr uint32_t kWarpStream = uint32_t{1} << 31, kFirstControlBlock = 2;

// The affine map and the position of the grid of one image. The point of the input that belongs to pixel
// (y, x) of the output is (yy y + yx x + y0, xy y + xx x + x0), plus the elastic displacement.
struct ImageWarp {
  float yy, yx, y0;
  float xy, xx, x0;
  float phase_y, phase_x;  // the position of pixel (0, 0) in the grid, from 0 to below 1
};

// The grid of control points, which is the same for all images of a size.
struct WarpGrid {
  int64_t rows, columns;
  float per_pixel;  // the number of grid spacings per pixel
  float amplitude;  // control points are uniform between -amplitude / 2 and amplitude / 2

  BYHAND_HOST_DEVICE int64_t points() const { return rows * columns; }
};

inline WarpGrid warp_grid(const WarpStrengths& strengths, int64_t height, int64_t width) {
  // The cubic B-spline with spacing h has the variance h^2 / 3.
  const auto per_pixel = static_cast<float>(1 / (std::sqrt(3.0) * static_cast<double>(strengths.smoothness)));
  const auto count = [per_pixel](int64_t side) {
    return static_cast<int64_t>(static_cast<double>(side - 1) * static_cast<double>(per_pixel)) + 5;
  };
  // 151 / 315 is the integral of the squared spline. sqrt(12) is the width of a uniform distribution of
  // variance 1.
  const double amplitude = static_cast<double>(strengths.elastic) * (315.0 / 151.0) * std::sqrt(12.0);
  return {count(height), count(width), per_pixel, static_cast<float>(amplitude)};
}

BYHAND_HOST_DEVICE inline Random4 warp_words(const WarpKey& key, int64_t image, uint32_t block) {
  const auto number = static_cast<uint64_t>(image);
  return philox4x32(
      {{static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32), key.step, kWarpStream + block}},
      key.seed);
}

// Draws the numbers of image number `image`.
BYHAND_HOST_DEVICE inline ImageWarp draw_warp(const WarpStrengths& strengths, const WarpKey& key,
                                              int64_t image, int64_t height, int64_t width) {
  const Random4 first = warp_words(key, image, 0), second = warp_words(key, image, 1);
  const auto uniform = [](uint32_t word) { return static_cast<double>(word >> 9) * 0x1p-23; };
  // Returns a number between -largest and largest.
  const auto signed_uniform = [&uniform](uint32_t word, float largest) {
    return (2 * uniform(word) - 1) * static_cast<double>(largest);
  };
  constexpr double kRadian = 3.14159265358979323846 / 180;
  const double angle = signed_uniform(first.words[0], strengths.rotation) * kRadian;
  const double factor = 1 + signed_uniform(first.words[1], strengths.scale);
  const double slope = std::tan(signed_uniform(first.words[2], strengths.shear) * kRadian);
  const double cosine = std::cos(angle) / factor, sine = std::sin(angle) / factor;
  const double yy = cosine, yx = -sine, xy = sine - slope * cosine, xx = cosine + slope * sine;
  // The centre of the image moves by the shift.
  const double centre_y = static_cast<double>(height - 1) / 2, centre_x = static_cast<double>(width - 1) / 2;
  const double y = centre_y + signed_uniform(first.words[3], strengths.shift);
  const double x = centre_x + signed_uniform(second.words[0], strengths.shift);
  return {static_cast<float>(yy),
          static_cast<float>(yx),
          static_cast<float>(centre_y - yy * y - yx * x),
          static_cast<float>(xy),
          static_cast<float>(xx),
          static_cast<float>(centre_x - xy * y - xx * x),
          static_cast<float>(uniform(second.words[1])),
          static_cast<float>(uniform(second.words[2]))};
}

}  // namespace byhand
