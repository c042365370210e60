// The contract of the kernels of softmax and cross entropy. ops/softmax_cross_entropy.h has the formulas.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The targets of one row: t_j = smoothing / classes + (1 - smoothing) * p_j. p_j is probabilities[j]. If
// `probabilities` is null, p_j is 1 for the label and 0 for the other classes.
struct RowTarget {
  int64_t label;  // not read if there are probabilities. If it is kIgnoredRow, the loss of the row is 0.
  const float* probabilities;
  float smoothing;
};

inline constexpr int64_t kIgnoredRow = -1;
inline constexpr int kLossRows = 16;

struct SoftmaxKernels {
  // Compute one row.
  void (*softmax)(const float* x, int64_t classes, float* y);
  void (*log_softmax)(const float* x, int64_t classes, float* y);
  // Computes the losses of at most kLossRows rows, and their probabilities softmax(x).
  void (*cross_entropies)(const float* x, int rows, int64_t classes, const RowTarget*, float* losses,
                          float* probabilities);
  // Computes the gradient of one row, times `scale`. The row must not be ignored.
  void (*cross_entropy_backward)(const float* probabilities, int64_t classes, const RowTarget&, float scale,
                                 float* dx);
};

}  // namespace byhand::cpu
