// Random affine and elastic distortion of images, to augment training data.
//
// Each pixel p = (y, x) of the output takes its value from a point q of the input:
//   q = centre + inverse(A) (p - centre - t) + d(p)
// A rotates, scales and shears the image about its centre. The shift t moves it. d is the elastic
// displacement. The value at q is interpolated between the four pixels around q (bilinear interpolation).
// Pixels outside the image have the value `fill`. All planes of an image have the same distortion.
//
// The affine map. For vectors (x, y):
//   A = factor ( cos a  -sin a ) ( 1  tan b )
//              ( sin a   cos a ) ( 0    1   )
// The angle a is uniform between -rotation and rotation, the factor between 1 - scale and 1 + scale, the
// angle b between -shear and shear, and both components of t between -shift and shift.
//
// The elastic displacement, after Simard, Steinkraus and Platt, "Best practices for convolutional neural
// networks applied to visual document analysis" (ICDAR 2003). They smooth random numbers with a Gaussian. We
// use a cubic B-spline instead, which is nearly a Gaussian and costs much less. Both components of d are
//   d(y, x) = sum over i and j of B(y / h + f - i + 1) B(x / h + g - j + 1) c[i, j]
//   B(t) = (max(0, 2 - |t|)^3 - 4 max(0, 1 - |t|)^3) / 6
// - The grid spacing is h = sqrt(3) smoothness, so B(t / h) has the standard deviation `smoothness`.
// - The position (f, g) of the grid is uniform in [0, 1). So the distribution of d is the same at every
//   pixel.
// - The control points c are independent, uniform and of mean 0. The integral of B^2 is 151 / 315. So the
//   variance of d is (151 / 315)^2 times that of c, averaged over (f, g). The variance of c is chosen so that
//   the standard deviation of d is `elastic`. |d| is always below 3.62 elastic.
//
// The random numbers have no state. Those of an image depend only on the seed, the step and the image's
// number. Block b of Philox4x32-7 has the key `seed` and the counter (number mod 2^32, floor(number / 2^32),
// step, kWarpStream + b). u is the upper 23 bits of a word, divided by 2^23.
// - The words of block 0 decide a, the factor, b and the y of t. Those of block 1 decide the x of t, f and g.
// - The control points of the y displacement, row by row, and then those of the x displacement are numbered
//   from 0 on. With i = 64 k + e and e < 64, control point i takes word floor(e / 16) of block
//   2 + 16 k + e mod 16.
// A number between -m and m is m (2 u - 1). f and g are u.
#pragma once

#include <stdint.h>

#include "core/warp.h"

namespace byhand::ops {

// `count` contiguous images of planes * height * width floats. The height and the width are at most
// kLargestWarpSide, because a position in a larger image would be too inexact in float32.
struct WarpShape {
  int64_t count, planes, height, width;

  int64_t size() const { return planes * height * width; }  // values of one image
};
inline constexpr int64_t kLargestWarpSide = 32768;

// The largest strengths. With them, all positions are finite.
inline constexpr WarpStrengths kLargestWarp{.rotation = 180,
                                            .scale = 0.9f,
                                            .shear = 80,
                                            .shift = kLargestWarpSide,
                                            .elastic = kLargestWarpSide,
                                            .smoothness = kLargestWarpSide};
inline constexpr float kLeastSmoothness = 1;

// to[i] is images[i] after the distortion that belongs to number index[i]. `to` overlaps no input. All
// strengths are within the limits above. If all but the smoothness are 0, `to` has the same bits as images.
// An output is NaN if one of its four pixels is NaN.
void warp_images(const float* images, const int64_t* index, const WarpShape&, const WarpStrengths&,
                 float fill, const WarpKey&, float* to);

}  // namespace byhand::ops
