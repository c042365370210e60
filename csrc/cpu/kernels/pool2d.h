// The contract of the pooling kernels.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// Pooling windows of one or several planes. In each plane, they are a block of rows and columns of windows
// with the same number of taps inside the image, at least one. In each plane, output (i, j) of the block is
// y[i * y_row + j]. Its window has the inputs x[i * x_row + j * x_column + u * tap_row + v * tap_column] for
// u < tap_rows and v < tap_columns.
struct PoolWindows {
  int64_t planes, x_plane, y_plane;  // the number of planes, and their distances in x and y
  int64_t rows, columns;             // the numbers of rows and columns of windows
  // The distances in x of neighbouring windows. If columns is 1, x_column is the width of a window if the
  // rows are joined, and 1 otherwise.
  int64_t x_row, x_column;
  int64_t y_row;
  int64_t tap_rows, tap_columns;  // the numbers of rows and columns of taps in a window
  int64_t tap_row, tap_column;    // the distances in x of neighbouring taps
  int32_t first;                  // the position of x[0] in its plane
  float divisor;                  // the average is the sum of the taps divided by this number
  bool disjoint;                  // true if no input belongs to two windows, of this block or of others

  // A kernel takes the taps of each column together first, for all of the `width` neighbouring columns of x
  // that a row of windows covers. It then takes the columns of each window together. It does this for at most
  // `together` rows of windows at a time. The rows are `joined` if they fill y and the windows of a row do
  // not share columns. The rows of all planes then count as one long row.
  bool joined;
  int64_t width, together;
};

inline constexpr int64_t kPoolLanes = 16;  // the largest number of lanes, for all instruction sets

struct Pool2dKernels {
  // Returns true if each of the `count` positions in `place` is from 0 to `last`.
  bool (*inside)(const int32_t* place, int64_t count, int32_t last);
  // Returns true if each position in `place` (planes, windows) lies in its own 2 x 2 window. In every plane,
  // window i has the positions corner[i], corner[i] + 1, corner[i] + row and corner[i] + row + 1, where `row`
  // is the width of the plane. No position in `place` may be negative.
  bool (*in_windows)(const int32_t* place, int64_t planes, const int32_t* corner, int64_t windows,
                     int32_t row);
  // Writes the maximum of each window to y, and its position in the plane to index, which is laid out as y.
  // `values` and `places` have room for width * together numbers.
  void (*max)(const PoolWindows&, const float* x, float* y, int32_t* index, float* values, int32_t* places);
  // Writes the average of each window to y. `room` has room for width * together + kPoolLanes numbers.
  void (*average)(const PoolWindows&, const float* x, float* y, double* room);
  // Adds dy / divisor to dx at every tap of the window. dx is laid out as x, and dy as y. If the windows are
  // disjoint, it overwrites all `width` inputs of each row of taps, also those between the windows. `room`
  // has room for 3 * width * together numbers.
  void (*average_backward)(const PoolWindows&, const float* dy, float* dx, float* room);
};

}  // namespace byhand::cpu
