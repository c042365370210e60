// The operators of csrc/ops on an NVIDIA GPU: the same names, arguments and meaning. All pointers are
// addresses of the device. A function returns when its kernels are in the stream of the calling thread, not
// when they are done. This stream (launch.h) does not wait for copies in other streams, and they do not wait
// for it: copies belong into the same stream.
//
// The host does not wait for results, so there are two differences:
// - A scalar result, such as a loss, is written to an address of the device.
// - Labels and indices are checked on the device. If one of them is bad, a function writes 1 to `bad`, unless
//   `bad` is null. It never writes 0: the caller does that. The loss and the gradient of a row with a bad
//   label are NaN, and so is an image with a bad index. Nothing outside of the arrays is read or written.
#pragma once

#include "ops/activation.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "ops/conv2d_pool_act.h"
#include "ops/dropout.h"
#include "ops/gather.h"
#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/optimizer.h"
#include "ops/pool2d.h"
#include "ops/softmax_cross_entropy.h"
#include "ops/squared_error.h"

namespace byhand::cuda {

void relu(const float* x, int64_t count, float* y);
void relu_backward(const float* dy, const float* y, int64_t count, float* dx);
void tanh(const float* x, int64_t count, float* y);
void tanh_backward(const float* dy, const float* y, int64_t count, float* dx);
void sigmoid(const float* x, int64_t count, float* y);
void sigmoid_backward(const float* dy, const float* y, int64_t count, float* dx);
void add(const float* a, const float* b, int64_t count, float* y);

void gemm(float alpha, ops::Matrix a, ops::Matrix b, float beta, ops::Matrix c, float* out);

void max_pool2d(const Pool2dShape& s, const float* x, float* y, int32_t* index);
// An index that is not from -1 to plane_size - 1 is skipped, and *bad becomes 1. `bad` may be null.
void max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                         int64_t plane_size, float* dx, int* bad);
void avg_pool2d(const Pool2dShape& s, bool count_include_pad, const float* x, float* y);
void avg_pool2d_backward(const Pool2dShape& s, bool count_include_pad, const float* dy, float* dx);

void batch_norm_training(const ops::BatchNormShape& s, const float* x, const float* gamma, const float* beta,
                         float momentum, float eps, float* running_mean, float* running_var, float* y,
                         float* mean, float* inv_std);
void batch_norm_inference(const ops::BatchNormShape& s, const float* x, const float* gamma, const float* beta,
                          float eps, const float* running_mean, const float* running_var, float* y,
                          float* mean, float* inv_std);
void batch_norm_backward(const ops::BatchNormShape& s, const ops::BatchNormGradients& g);

// A row with a bad label is not correct.
void count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes, int64_t* count,
                   int* bad);

void dropout(const ops::DropoutKey& key, float rate, const float* x, int64_t count, float* y);

void gather_images(const ops::ImageBytes& images, const int64_t* index, int64_t count, float scale,
                   float offset, const ops::Shift& shift, float* to, int* bad);

void softmax(const float* x, int64_t rows, int64_t classes, float* y);
void log_softmax(const float* x, int64_t rows, int64_t classes, float* y);
void softmax_cross_entropies(const float* x, const ops::Labels& labels, int64_t rows, int64_t classes,
                             float* losses, float* probabilities, int* bad);
// Writes the loss of each row to `losses` (rows,), and their sum or mean to `loss`.
void softmax_cross_entropy(const float* x, const ops::Labels& labels, int64_t rows, int64_t classes,
                           Reduction reduction, float* probabilities, float* losses, float* loss, int* bad);
void softmax_cross_entropy_backward(const float* probabilities, const ops::Labels& labels, int64_t rows,
                                    int64_t classes, Reduction reduction, GradLoss grad_loss, float* dx,
                                    int* bad);

void squared_errors(const float* prediction, const float* target, int64_t count, float* errors);
// Writes the sum or the mean of all squared errors to `error`. `partial_sums` is memory for kPartialSums
// values, which the function uses for itself.
inline constexpr int kPartialSums = 1024;
void squared_error(const float* prediction, const float* target, int64_t count, Reduction reduction,
                   double* partial_sums, float* error);
void squared_error_backward(const float* prediction, const float* target, int64_t count, Reduction reduction,
                            GradLoss grad_loss, float* grad_prediction);

// Convolution differs from ops/conv2d.h in three points.
// - Only the direct algorithm exists. kAuto stands for it, and kWinograd throws std::invalid_argument.
// - The zeros of the padding are multiplied on all four sides of the image, and so are the zeros around dy.
//   So an infinite or NaN weight gives NaN wherever its filter reaches into the padding. An infinite or NaN
//   value of dy gives NaN in the gradients of the weights that meet the padding at its position.
// - The padded image must have less than 2^28 rows and less than 2^28 columns. Otherwise the functions throw
//   std::invalid_argument.
//
// The weight gradient is computed in parts. Each part is the sum over a range of output positions, and the
// parts are added up in order. `scratch` holds the parts: conv2d_backward_weight_scratch(s) floats. It may be
// null if that number is 0.
void conv2d(const Conv2dShape& s, ops::ConvAlgorithm, const float* x, const float* weight, const float* bias,
            float* y);
void conv2d_backward_input(const Conv2dShape& s, ops::ConvAlgorithm, const float* dy, const float* weight,
                           float* dx);
int64_t conv2d_backward_weight_scratch(const Conv2dShape& s);
void conv2d_backward_weight(const Conv2dShape& s, ops::ConvAlgorithm, const float* dy, const float* x,
                            float* dweight, float* scratch);
void conv2d_backward_bias(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db);

// There is no weight cache: ops::ConvPoolGradients::cache is not used. `scratch` of conv2d_pool_act holds
// conv2d_pool_act_scratch(s) floats, and that of conv2d_pool_act_backward holds
// conv2d_pool_act_backward_scratch(s, g.outputs) floats. An index that is not from 0 to out_h * out_w - 1
// makes *bad 1. The gradients are then undefined. `bad` may be null.
int64_t conv2d_pool_act_scratch(const Conv2dShape& s);
void conv2d_pool_act(const Conv2dShape& s, ops::ConvAlgorithm, const Pool2dShape& pool, ops::Activation,
                     const float* x, const float* weight, const float* bias, float* y, int32_t* index,
                     float* scratch);
int64_t conv2d_pool_act_backward_scratch(const Conv2dShape& s, int64_t outputs);
void conv2d_pool_act_backward(const Conv2dShape& s, ops::ConvAlgorithm, ops::Activation,
                              const ops::ConvPoolGradients& g, float* scratch, int* bad);

void linear(ops::Matrix x, ops::Matrix weight, const float* bias, ops::Activation f, float* y);
void linear_backward_input(ops::Matrix dy, ops::Matrix weight, float* dx);
void linear_backward_weight(ops::Matrix dy, ops::Matrix x, float* dw);
void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db);
void linear_act_backward(ops::Activation f, const ops::LinearGradients& g);

void sgd_step(const ops::Sgd& sgd, int64_t count, float* parameters, const float* gradients, float* velocity);
void adam_step(const ops::Adam& adam, int64_t step, int64_t count, float* parameters, const float* gradients,
               float* first_moment, float* second_moment);

}  // namespace byhand::cuda
