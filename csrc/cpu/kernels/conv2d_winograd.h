// The contract of Winograd's convolution in both axes: transforms between images and patches, and products of
// patches. B, G and A are the matrices of conv2d_winograd_matrices.py.
//
// A patch is 8 x 8 inputs, for kernels of 3 x 3 and 5 x 5 weights. Once transformed, a patch of inputs, a
// kernel and a patch of outputs have 64 values each, and convolution multiplies them value by value.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

inline constexpr int kWinogradSize = 8, kWinogradValues = kWinogradSize * kWinogradSize;

// Transformed patches: value q of patch i is at data[q / lanes * plane + i * lanes + q % lanes], with the
// lanes of WinogradProductKernels, so that one vector holds neighbouring values of one patch.
struct WinogradPatches {
  float* data;
  int64_t plane;
};

// `count` patches of images, one per channel. Values in rows and columns [begin, end) of a patch lie in the
// image; the others lie outside and read as zero. `values` points to the first row of the patch, even if that
// row lies outside.
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
  int64_t a_row, a_depth;  // strides, as below
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
  int rows, columns;                                               // of the largest tile
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
  int32_t place, plane_row;  // position of the patch's first output, and the width of the plane
};

using WinogradForward = void (*)(const WinogradImages& from, const WinogradPatches& to, int lanes);

struct WinogradTransform {
  WinogradForward forward;
  // Overwrites `to` with the adjoint of `forward`, plus bias[i] in channel i unless `bias` is null.
  void (*adjoint)(const WinogradPatches& from, int lanes, const WinogradImages& to, const float* bias);
};

// Arrays of two are for kernels of 3 x 3 at [0] and 5 x 5 at [1].
struct WinogradTransformKernels {
  WinogradForward input;  // B
  // Adds the adjoint of `input` to `to`.
  void (*input_adjoint_add)(const WinogradPatches& from, int lanes, const WinogradImages& to);
  WinogradTransform weight[2];  // G
  WinogradTransform output[2];  // A
  // The adjoint of output[1], plus `bias` unless it is null, pooled. Writes both arrays of `to`.
  void (*maxima)(const WinogradPatches& from, int lanes, const WinogradMaxima& to, const float* bias);
  // output[1] of patches that are zero except for one value per window, at its position.
  void (*from_maxima)(const WinogradMaxima& from, const WinogradPatches& to, int lanes);
};

}  // namespace byhand::cpu
