// The contract of the pooling kernels.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// A block of pooling windows of one plane. All of them have the same taps inside the image, at least one.
// Output (i, j) of the block sees x[i * x_row + j * x_column + u * tap_row + v * tap_column] for
// u < tap_rows and v < tap_columns, and is y[i * y_row + j].
struct PoolWindows {
  int64_t rows, columns;
  int64_t x_row, x_column;  // x_column is 1 if there is only one column
  int64_t y_row;
  int64_t tap_rows, tap_columns, tap_row, tap_column;
  int32_t first;  // the position of x[0] in its plane
  float divisor;  // the average is the sum of the taps divided by this number
};

struct Pool2dKernels {
  // Returns true if each of `count` positions is from 0 to last.
  bool (*inside)(const int32_t* place, int64_t count, int32_t last);
  // Returns true if each position lies in its own 2 x 2 window, which is corner[i] + {0, 1, row, row + 1} for
  // window i of every plane. Positions must not be negative.
  bool (*in_windows)(const int32_t* place, int64_t planes, const int32_t* corner, int64_t windows,
                     int32_t row);
  // Writes the maximum of each window to y, and its position in the plane to index.
  void (*max)(const PoolWindows&, const float* x, float* y, int32_t* index);
  void (*average)(const PoolWindows&, const float* x, float* y);
  // dx += dy / divisor at every tap; dx and dy are laid out as x and y.
  void (*average_backward)(const PoolWindows&, const float* dy, float* dx);
};

}  // namespace byhand::cpu
