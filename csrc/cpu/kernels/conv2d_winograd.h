// The contract of the kernels of Winograd's convolution in both axes: transforms between images and patches,
// and products of transformed patches. cpu/conv2d/winograd/winograd.h has the formulas of the algorithm, and
// conv2d_winograd_matrices.py explains the matrices B, G and A.
//
// A patch is a small square of one channel. A patch of inputs has 8 x 8 values. With 3 x 3 weights it gives
// a patch of 6 x 6 outputs, with 5 x 5 weights a patch of 4 x 4 outputs. The weights from one input channel
// to one output channel are a patch as well. The transform of a patch d by a matrix P (B for inputs, G for
// weights, A for outputs) is P d P', where P' is the transpose of P. It always has 64 values. The adjoint of
// this transform takes 64 values M to the patch P' M P.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// A transformed patch has kWinogradSize rows of kWinogradSize values.
inline constexpr int kWinogradSize = 8, kWinogradValues = kWinogradSize * kWinogradSize;

// Transformed patches. Value q of patch i is at data[q / lanes * plane + i * lanes + q % lanes], where
// `lanes` is that of WinogradProductKernels. One vector therefore holds neighbouring values of one patch.
// For example, with 16 lanes there are four planes, and the second has the values 16 to 31 of every patch.
struct WinogradPatches {
  float* data;
  int64_t plane;
};

// Patches before the transform: one patch in each of `count` channels, at the same place of the plane. The
// values in rows row_begin to row_end - 1 and columns column_begin to column_end - 1 of the patch lie inside
// the plane. All other values lie outside and count as zero. `values` points to the first value of the first
// patch, even if this value lies outside. It points to const, because most functions only read the patches. A
// function that has a parameter `to` of this type writes to them.
struct WinogradImages {
  int64_t count;
  const float* values;
  int64_t channel, row;  // the strides of channels and rows
  int row_begin, row_end, column_begin, column_end;
};

// out[i, j] = (out[i, j] if `add`) + sum_p a[i, p] * b[j, p], value by value. Each element is one vector of
// a transformed patch, and all of them lie in the same plane of WinogradPatches.
struct WinogradTile {
  int64_t depth;  // the number of terms p
  const float* a;
  int64_t a_row, a_depth;  // the strides of i and p; those of the other two operands have similar names
  const float* b;
  int64_t b_row, b_depth;
  float* out;
  int64_t out_row, out_column;
  bool add;
};
using WinogradTileKernel = void (*)(const WinogradTile&);

// The size of the largest WinogradTile, for all instruction sets.
inline constexpr int kMaxWinogradRows = 5, kMaxWinogradColumns = 5;

struct WinogradProductKernels {
  int lanes;
  int rows, columns;                                               // the size of the largest tile
  WinogradTileKernel tile[kMaxWinogradRows][kMaxWinogradColumns];  // [rows - 1][columns - 1]
};

// Max pooling with 2 x 2 windows: the windows in one patch of outputs, in every channel.
struct WinogradMaxima {
  int64_t count;         // the number of channels
  const float* y;        // the maximum of each window, or the gradient with respect to it
  const int32_t* index;  // the position of the maximum in the plane of outputs
  int64_t channel, row;  // the strides of channels and rows of windows, in y and in index
  int rows, columns;     // the numbers of rows and columns of windows that lie inside the plane
  int32_t place;         // the position of the patch's first output in the plane of outputs
  int32_t plane_row;     // the width of the plane of outputs
};

// In all functions below, `lanes` is that of WinogradProductKernels, because it decides the layout of the
// patches.
using WinogradForward = void (*)(const WinogradImages& from, const WinogradPatches& to, int lanes);

struct WinogradTransform {
  WinogradForward forward;
  // Computes the adjoint of `forward`, and adds bias[i] to each value of channel i unless `bias` is null.
  // Stores the values that lie inside the plane in `to`. The first row and the first column of the patches
  // must lie inside.
  void (*adjoint)(const WinogradPatches& from, int lanes, const WinogradImages& to, const float* bias);
};

struct WinogradPooling {
  // Computes the adjoint of the transform by A, adds bias[i] to channel i unless `bias` is null, and pools
  // the result. Writes to `to.y` and `to.index`, although they point to const.
  void (*maxima)(const WinogradPatches& from, int lanes, const WinogradMaxima& to, const float* bias);
  // Transforms patches by A. Each pooling window of `from` puts its value from `y` at the position that
  // `index` gives. All other values of the patches are zero.
  void (*from_maxima)(const WinogradMaxima& from, const WinogradPatches& to, int lanes);
};

// In arrays of two elements, [0] is for 3 x 3 weights and [1] is for 5 x 5 weights. The comments B, G and A
// name the matrix of the transform.
struct WinogradTransformKernels {
  WinogradForward input;  // B
  // Computes the adjoint of `input` and adds it to the values of `to`.
  void (*input_adjoint_add)(const WinogradPatches& from, int lanes, const WinogradImages& to);
  WinogradTransform weight[2];  // G
  WinogradTransform output[2];  // A
  WinogradPooling pooling[2];
};

}  // namespace byhand::cpu
