// The contract of the kernels of softmax and cross entropy. Formulas: ops/softmax_cross_entropy.h.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The targets of one row: t_j = smoothing / classes + (1 - smoothing) * p_j, where p_j is probabilities[j],
// or 1 for the label and 0 for the others.
struct RowTarget {
  int64_t label;  // used if `probabilities` is null; kIgnoredRow: the loss of the row is 0
  const float* probabilities;
  float smoothing;
};

inline constexpr int64_t kIgnoredRow = -1;
inline constexpr int kLossRows = 16;

struct SoftmaxKernels {
  // One row each.
  void (*softmax)(const float* x, int64_t classes, float* y);
  void (*log_softmax)(const float* x, int64_t classes, float* y);
  // The losses of at most kLossRows rows, and softmax(x).
  void (*cross_entropies)(const float* x, int rows, int64_t classes, const RowTarget*, float* losses,
                          float* probabilities);
  // The gradient of one row, which is not ignored.
  void (*cross_entropy_backward)(const float* probabilities, int64_t classes, const RowTarget&, float scale,
                                 float* dx);
};

}  // namespace byhand::cpu
