// The contract of the kernels that distort images. ops/warp_images.h has the formulas.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The rows of the arrays below have a multiple of kWarpPitch values. Whole vectors are read and written
// there.
inline constexpr int64_t kWarpPitch = 16;

// Which random numbers become the control points of an image. They come in groups of kWarpGroup.
inline constexpr int64_t kWarpGroup = 64;
struct WarpControl {
  uint64_t seed;
  uint32_t step;
  uint64_t image;   // the number of the image
  uint32_t stream;  // the stream number of the first block
  int64_t groups;
  float amplitude;
};

// The displacement of an image, between the control points and the pixels.
struct WarpField {
  int64_t grid_rows, grid_columns;  // of the control points
  float per_pixel;                  // grid spacings per pixel
  float phase_y, phase_x;           // position of pixel (0, 0) in the grid
  int64_t height, width;            // of the image

  const float* control;  // control points: grid_rows * grid_columns for y, and as many for x
  int64_t pitch;         // the length of a row of `columns`: the width, rounded up to kWarpPitch
  float* columns;        // 2 * grid_rows rows: the control points, interpolated along x
  int64_t row_pitch;     // the length of a row of `weights`: the height, rounded up to kWarpPitch
  float* weights;        // 4 rows: the weights of 4 rows of `columns` for each row of the image
  int32_t* first;        // row_pitch values: the first of these 4 rows
};

// A padded image has one row and one column of `fill` in front, and two rows and two columns at the end.
inline constexpr int64_t kWarpBefore = 1, kWarpBorder = 3;
struct WarpImage {
  const float* padded;  // planes * (height + kWarpBorder) * (width + kWarpBorder) values
  int64_t planes, height, width;
  // The affine map. Pixel (y, x) takes its value from (yy y + yx x + y0, xy y + xx x + x0).
  float yy, yx, y0, xy, xx, x0;
};

struct WarpKernels {
  // Draws the control points: groups * kWarpGroup values between -amplitude / 2 and amplitude / 2.
  void (*control)(const WarpControl&, float* to);
  // Computes `columns`, `weights` and `first` of the field.
  void (*interpolate)(const WarpField&);
  // Computes planes * height * width values. `field` may be null. Then there is no elastic displacement.
  void (*sample)(const WarpImage&, const WarpField* field, float* to);
};

}  // namespace byhand::cpu
