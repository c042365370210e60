// Softmax of each row of x (rows, classes), and the cross-entropy of these probabilities and the labels.
//   p_j = exp(x_j - max x) / sum_k exp(x_k - max x)      log p_j = x_j - max x - log(sum_k exp(x_k - max x))
//   loss = -sum_j t_j log p_j                            dx_j = (p_j sum_k t_k - t_j) * gradient of the loss
// dx is the gradient with respect to x. The targets are t = (1 - smoothing) * label + smoothing / classes. An
// integer label stands for the probability 1 of its class and 0 of the other classes. A target of 0 adds no
// loss, even if the logit is -inf. A row with NaN or +inf gives NaN, and so does a row whose values are all
// -inf. The loss and the gradient of an ignored row are 0.
//
// All arrays are contiguous, and no result overlaps an input. `rows` may be 0.
//
// Source: Goodfellow et al., "Deep Learning" (2016), 6.2.2; smoothing: Szegedy et al., arXiv 1512.00567.
#pragma once

#include <stdint.h>

#include "core/reduction.h"

namespace byhand::ops {

void softmax(const float* x, int64_t rows, int64_t classes, float* y);
void log_softmax(const float* x, int64_t rows, int64_t classes, float* y);

// Labels are integers or probabilities: exactly one of the two pointers is not null.
struct Labels {
  const int64_t* integer;      // (rows,)
  const float* probabilities;  // (rows, classes)
  int64_t ignore_index;        // the integer label of ignored rows
  float smoothing;             // from 0 to 1
};

// The functions below throw std::invalid_argument, before they write anything, if an integer label is neither
// ignore_index nor from 0 to classes - 1.

// Writes the loss of each row to `losses` (rows,) and softmax(x) to `probabilities`.
void softmax_cross_entropies(const float* x, const Labels& labels, int64_t rows, int64_t classes,
                             float* losses, float* probabilities);
// Writes the sum of the losses, or their mean over the rows that are not ignored, to `loss`, and softmax(x)
// to `probabilities`. The mean over no rows is NaN.
void softmax_cross_entropy(const float* x, const Labels& labels, int64_t rows, int64_t classes,
                           Reduction reduction, float* probabilities, float* loss);

// `probabilities` is softmax(x). With Reduction::kMean, dx is divided by the number of rows that are not
// ignored.
void softmax_cross_entropy_backward(const float* probabilities, const Labels& labels, int64_t rows,
                                    int64_t classes, Reduction reduction, GradLoss grad_loss, float* dx);

}  // namespace byhand::ops
