// The contract of the kernels of softmax and cross entropy. ops/softmax_cross_entropy.h has the formulas.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

// The targets of one row: t_j = smoothing / classes + (1 - smoothing) * q_j for each class j. The label of
// the row is an integer or an array of probabilities. If `probabilities` is not null, q_j is
// probabilities[j]. If it is null, q_j is 1 for the class `label` and 0 for the other classes.
struct RowTarget {
  int64_t label;  // kIgnoredRow if the loss of this row is 0; not read if `probabilities` is not null
  const float* probabilities;
  float smoothing;
};

inline constexpr int64_t kIgnoredRow = -1;
inline constexpr int kSoftmaxRows = 16;  // the largest number of rows that one call takes

struct SoftmaxKernels {
  // Computes one row of `classes` values.
  void (*softmax)(const float* x, int64_t classes, float* y);
  // Computes the rows of x (rows, classes).
  void (*log_softmaxes)(const float* x, int rows, int64_t classes, float* y);
  // Writes the loss of each row of x (rows, classes) to `losses`, and softmax(x) to `probabilities`.
  void (*cross_entropies)(const float* x, int rows, int64_t classes, const RowTarget*, float* losses,
                          float* probabilities);
  // Computes the gradient with respect to the logits of one row, times `scale`. `probabilities` is softmax(x)
  // of this row, which must not be an ignored row.
  void (*cross_entropy_backward)(const float* probabilities, int64_t classes, const RowTarget&, float scale,
                                 float* dx);
};

}  // namespace byhand::cpu
