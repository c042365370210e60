// The contract of the kernels of Winograd's convolution in both axes: transforms between images and patches,
// and products of patches. conv2d_winograd_matrices.py explains the matrices B, G and A.
//
// A patch of inputs has 8 x 8 values. It serves convolutions with 3 x 3 weights, which give a patch of 6 x 6
// outputs, and with 5 x 5 weights, which give 4 x 4. Each of the three is transformed into 64 values. The
// transformed outputs are the transformed inputs times the transformed weights, value by value.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

inline constexpr int kWinogradSize = 8, kWinogradValues = kWinogradSize * kWinogradSize;

// Transformed patches. Value q of patch i is at data[q / lanes * plane + i * lanes + q % lanes], where
// `lanes` is that of WinogradProductKernels. One vector therefore holds neighbouring values of one patch.
struct WinogradPatches {
  float* data;
  int64_t plane;
};

// `count` patches of an image, one per channel. Values in rows and columns [begin, end) of a patch lie in the
// image. The others lie outside and count as zero. `values` points to the first row of the patch, even if
// that row lies outside.
struct WinogradImages {
  int64_t count;
  const float* values;
  int64_t channel, row;  // strides
  int row_begin, row_end, column_begin, column_end;
};

// out[i, j] = (out[i, j] if `add`) + sum_p a[i, p] * b[j, p], value by value, in one plane of patches.
struct WinogradTile {
  int64_t depth;
  const float* a;
  int64_t a_row, a_depth;  // strides, as are b_row, b_depth, out_row and out_column
  const float* b;
  int64_t b_row, b_depth;
  float* out;
  int64_t out_row, out_column;
  bool add;
};
using WinogradTileKernel = void (*)(const WinogradTile&);

inline constexpr int kMaxWinogradRows = 5, kMaxWinogradColumns = 5;

struct WinogradProductKernels {
  int lanes;
  int rows, columns;                                               // the size of the largest tile
  WinogradTileKernel tile[kMaxWinogradRows][kMaxWinogradColumns];  // [rows - 1][columns - 1]
};

// The 2 x 2 pooling windows of a patch of outputs, (rows, columns) of them: the maximum of each window and
// its position in the plane of outputs.
struct WinogradMaxima {
  int64_t count;  // channels
  const float* y;
  const int32_t* index;
  int64_t channel, row;  // strides of both
  int rows, columns;
  int32_t place, plane_row;  // the position of the patch's first output; the width of the plane
};

using WinogradForward = void (*)(const WinogradImages& from, const WinogradPatches& to, int lanes);

struct WinogradTransform {
  WinogradForward forward;
  // Overwrites `to` with the adjoint of `forward`, plus bias[i] in channel i unless `bias` is null.
  void (*adjoint)(const WinogradPatches& from, int lanes, const WinogradImages& to, const float* bias);
};

// In arrays of two, [0] is for 3 x 3 weights and [1] for 5 x 5.
struct WinogradTransformKernels {
  WinogradForward input;  // B
  // Adds the adjoint of `input` to `to`.
  void (*input_adjoint_add)(const WinogradPatches& from, int lanes, const WinogradImages& to);
  WinogradTransform weight[2];  // G
  WinogradTransform output[2];  // A
  // Computes the adjoint of output[1], adds `bias` unless it is null, and pools the result. Writes both
  // arrays of `to`.
  void (*maxima)(const WinogradPatches& from, int lanes, const WinogradMaxima& to, const float* bias);
  // Transforms patches as output[1] does. The patches are zero, except that each window has the value `y` at
  // the position `index`.
  void (*from_maxima)(const WinogradMaxima& from, const WinogradPatches& to, int lanes);
};

}  // namespace byhand::cpu
