// Softmax of the rows of x (rows, classes), and the cross entropy against labels.
//   p_j = exp(x_j - max x) / sum_k exp(x_k - max x)         log p_j = x_j - max x - log(sum)
//   loss = -sum_j t_j log p_j                               dx_j = (p_j sum_k t_k - t_j) * gradient of loss
// with the targets t = (1 - smoothing) * label + smoothing / classes, where an integer label stands for
// probability 1 of that class. A target of 0 costs 0, though its logit be -inf. A row with NaN or +inf, or of
// -inf alone, gives NaN. An ignored row costs 0 and has the gradient 0.
// Source: Goodfellow et al., "Deep Learning" (2016), 6.2.2; smoothing: Szegedy et al., arXiv 1512.00567.
#pragma once

#include <stdint.h>

#include "core/reduction.h"

namespace byhand::ops {

void softmax(const float* x, int64_t rows, int64_t classes, float* y);
void log_softmax(const float* x, int64_t rows, int64_t classes, float* y);

// Exactly one of the two is not null.
struct Labels {
  const int64_t* integer;      // (rows,); ignore_index marks ignored rows
  const float* probabilities;  // (rows, classes)
  int64_t ignore_index;
  float smoothing;
};

// These throw std::invalid_argument, before they write anything, where an integer label other than
// ignore_index is not of 0 to classes - 1.
//
// The loss of every row into `losses`, without reduction, and softmax(x).
void softmax_cross_entropies(const float* x, const Labels& labels, int64_t rows, int64_t classes,
                             float* losses, float* probabilities);
// The same, but returns the sum of the losses or their mean over the rows that are not ignored.
float softmax_cross_entropy(const float* x, const Labels& labels, int64_t rows, int64_t classes,
                            Reduction reduction, float* probabilities);

void softmax_cross_entropy_backward(const float* probabilities, const Labels& labels, int64_t rows,
                                    int64_t classes, Reduction reduction, GradLoss grad_loss, float* dx);

}  // namespace byhand::ops
