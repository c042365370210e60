// C functions for the tests, which call the CUDA operators from Python with ctypes. A function returns null,
// or the message of the exception that the operator has thrown.
#include "cuda/launch.h"
#include "cuda/ops.h"

#include <exception>
#include <string>

using namespace byhand;

namespace {

template <class Work>
const char* attempt(const Work& work) {
  static std::string message;
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}

}  // namespace

extern "C" {

void set_most_blocks(int64_t count) { cuda::most_blocks = count; }

void* device_allocate(size_t bytes) {
  void* address = nullptr;
  cudaMalloc(&address, bytes);
  return address;
}
void device_free(void* address) { cudaFree(address); }
void to_device(void* to, const void* from, size_t bytes) {
  cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, cuda::stream());
  cudaStreamSynchronize(cuda::stream());
}
void to_host(void* to, const void* from, size_t bytes) {
  cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, cuda::stream());
  cudaStreamSynchronize(cuda::stream());
}

const char* gemm(float alpha, const ops::Matrix* a, const ops::Matrix* b, float beta, const ops::Matrix* c,
                 float* out) {
  return attempt([&] { cuda::gemm(alpha, *a, *b, beta, *c, out); });
}

const char* max_pool2d(const Pool2dShape* s, const float* x, float* y, int32_t* index) {
  return attempt([&] { cuda::max_pool2d(*s, x, y, index); });
}
const char* max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                                int64_t plane_size, float* dx, int* bad) {
  return attempt([&] { cuda::max_pool2d_backward(dy, index, planes, outputs, plane_size, dx, bad); });
}
const char* avg_pool2d(const Pool2dShape* s, bool count_include_pad, const float* x, float* y) {
  return attempt([&] { cuda::avg_pool2d(*s, count_include_pad, x, y); });
}
const char* avg_pool2d_backward(const Pool2dShape* s, bool count_include_pad, const float* dy, float* dx) {
  return attempt([&] { cuda::avg_pool2d_backward(*s, count_include_pad, dy, dx); });
}

const char* batch_norm_training(const ops::BatchNormShape* s, const float* x, const float* gamma,
                                const float* beta, float momentum, float eps, float* running_mean,
                                float* running_var, float* y, float* mean, float* inv_std) {
  return attempt([&] {
    cuda::batch_norm_training(*s, x, gamma, beta, momentum, eps, running_mean, running_var, y, mean, inv_std);
  });
}
const char* batch_norm_inference(const ops::BatchNormShape* s, const float* x, const float* gamma,
                                 const float* beta, float eps, const float* running_mean,
                                 const float* running_var, float* y, float* mean, float* inv_std) {
  return attempt([&] {
    cuda::batch_norm_inference(*s, x, gamma, beta, eps, running_mean, running_var, y, mean, inv_std);
  });
}
const char* batch_norm_backward(const ops::BatchNormShape* s, const ops::BatchNormGradients* g) {
  return attempt([&] { cuda::batch_norm_backward(*s, *g); });
}

const char* count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes,
                          int64_t* count, int* bad) {
  return attempt([&] { cuda::count_correct(scores, labels, rows, classes, count, bad); });
}

const char* dropout(const ops::DropoutKey* key, float rate, const float* x, int64_t count, float* y) {
  return attempt([&] { cuda::dropout(*key, rate, x, count, y); });
}

const char* gather_images(const ops::ImageBytes* images, const int64_t* index, int64_t count, float scale,
                          float offset, const ops::Shift* shift, float* to, int* bad) {
  return attempt([&] { cuda::gather_images(*images, index, count, scale, offset, *shift, to, bad); });
}

const char* softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  return attempt([&] { cuda::softmax(x, rows, classes, y); });
}
const char* log_softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  return attempt([&] { cuda::log_softmax(x, rows, classes, y); });
}
const char* softmax_cross_entropies(const float* x, const ops::Labels* labels, int64_t rows, int64_t classes,
                                    float* losses, float* probabilities, int* bad) {
  return attempt(
      [&] { cuda::softmax_cross_entropies(x, *labels, rows, classes, losses, probabilities, bad); });
}
const char* softmax_cross_entropy(const float* x, const ops::Labels* labels, int64_t rows, int64_t classes,
                                  Reduction reduction, float* probabilities, float* losses, float* loss,
                                  int* bad) {
  return attempt([&] {
    cuda::softmax_cross_entropy(x, *labels, rows, classes, reduction, probabilities, losses, loss, bad);
  });
}
const char* softmax_cross_entropy_backward(const float* probabilities, const ops::Labels* labels,
                                           int64_t rows, int64_t classes, Reduction reduction,
                                           const GradLoss* grad_loss, float* dx, int* bad) {
  return attempt([&] {
    cuda::softmax_cross_entropy_backward(probabilities, *labels, rows, classes, reduction, *grad_loss, dx,
                                         bad);
  });
}

const char* squared_errors(const float* prediction, const float* target, int64_t count, float* errors) {
  return attempt([&] { cuda::squared_errors(prediction, target, count, errors); });
}
const char* squared_error(const float* prediction, const float* target, int64_t count, Reduction reduction,
                          double* partial_sums, float* error) {
  return attempt([&] { cuda::squared_error(prediction, target, count, reduction, partial_sums, error); });
}
const char* squared_error_backward(const float* prediction, const float* target, int64_t count,
                                   Reduction reduction, const GradLoss* grad_loss, float* grad_prediction) {
  return attempt([&] {
    cuda::squared_error_backward(prediction, target, count, reduction, *grad_loss, grad_prediction);
  });
}

using ops::ConvAlgorithm;

const char* conv2d(const Conv2dShape* s, int algorithm, const float* x, const float* weight,
                   const float* bias, float* y) {
  return attempt([&] { cuda::conv2d(*s, static_cast<ConvAlgorithm>(algorithm), x, weight, bias, y); });
}
const char* conv2d_backward_input(const Conv2dShape* s, int algorithm, const float* dy, const float* weight,
                                  float* dx) {
  return attempt(
      [&] { cuda::conv2d_backward_input(*s, static_cast<ConvAlgorithm>(algorithm), dy, weight, dx); });
}
int64_t conv2d_backward_weight_scratch(const Conv2dShape* s) {
  return cuda::conv2d_backward_weight_scratch(*s);
}
const char* conv2d_backward_weight(const Conv2dShape* s, int algorithm, const float* dy, const float* x,
                                   float* dweight, float* scratch) {
  return attempt([&] {
    cuda::conv2d_backward_weight(*s, static_cast<ConvAlgorithm>(algorithm), dy, x, dweight, scratch);
  });
}
const char* conv2d_backward_bias(const float* dy, const int64_t* shape, float* db) {
  return attempt([&] { cuda::conv2d_backward_bias(dy, shape[0], shape[1], shape[2], db); });
}

// A name of its own, because the C library has a function tanh.
const char* activation_tanh(const float* x, int64_t count, float* y) {
  return attempt([&] { cuda::tanh(x, count, y); });
}
const char* activation_relu(const float* x, int64_t count, float* y) {
  return attempt([&] { cuda::relu(x, count, y); });
}
const char* activation_sigmoid(const float* x, int64_t count, float* y) {
  return attempt([&] { cuda::sigmoid(x, count, y); });
}
const char* relu_backward(const float* dy, const float* y, int64_t count, float* dx) {
  return attempt([&] { cuda::relu_backward(dy, y, count, dx); });
}
const char* tanh_backward(const float* dy, const float* y, int64_t count, float* dx) {
  return attempt([&] { cuda::tanh_backward(dy, y, count, dx); });
}
const char* sigmoid_backward(const float* dy, const float* y, int64_t count, float* dx) {
  return attempt([&] { cuda::sigmoid_backward(dy, y, count, dx); });
}
const char* add(const float* a, const float* b, int64_t count, float* y) {
  return attempt([&] { cuda::add(a, b, count, y); });
}

const char* linear(const ops::Matrix* x, const ops::Matrix* weight, const float* bias, int64_t f, float* y) {
  return attempt([&] { cuda::linear(*x, *weight, bias, static_cast<ops::Activation>(f), y); });
}
const char* linear_backward_input(const ops::Matrix* dy, const ops::Matrix* weight, float* dx) {
  return attempt([&] { cuda::linear_backward_input(*dy, *weight, dx); });
}
const char* linear_backward_weight(const ops::Matrix* dy, const ops::Matrix* x, float* dw) {
  return attempt([&] { cuda::linear_backward_weight(*dy, *x, dw); });
}
const char* linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db) {
  return attempt([&] { cuda::linear_backward_bias(dy, rows, columns, db); });
}
const char* linear_act_backward(int64_t f, const ops::LinearGradients* gradients) {
  return attempt([&] { cuda::linear_act_backward(static_cast<ops::Activation>(f), *gradients); });
}

const char* sgd_step(const ops::Sgd* sgd, int64_t count, float* parameters, const float* gradients,
                     float* velocity) {
  return attempt([&] { cuda::sgd_step(*sgd, count, parameters, gradients, velocity); });
}
const char* adam_step(const ops::Adam* adam, int64_t step, int64_t count, float* parameters,
                      const float* gradients, float* first, float* second) {
  return attempt([&] { cuda::adam_step(*adam, step, count, parameters, gradients, first, second); });
}

const char* conv2d_pool_act(const Conv2dShape* s, int algorithm, const Pool2dShape* pool, int activation,
                            const float* x, const float* weight, const float* bias, float* y, int32_t* index,
                            float* scratch) {
  return attempt([&] {
    cuda::conv2d_pool_act(*s, static_cast<ConvAlgorithm>(algorithm), *pool,
                          static_cast<ops::Activation>(activation), x, weight, bias, y, index, scratch);
  });
}
int64_t conv2d_pool_act_scratch(const Conv2dShape* s) { return cuda::conv2d_pool_act_scratch(*s); }
int64_t conv2d_pool_act_backward_scratch(const Conv2dShape* s, const int64_t* outputs) {
  return cuda::conv2d_pool_act_backward_scratch(*s, *outputs);
}
const char* conv2d_pool_act_backward(const Conv2dShape* s, int algorithm, int activation,
                                     const ops::ConvPoolGradients* g, float* scratch, int* bad) {
  return attempt([&] {
    cuda::conv2d_pool_act_backward(*s, static_cast<ConvAlgorithm>(algorithm),
                                   static_cast<ops::Activation>(activation), *g, scratch, bad);
  });
}

}  // extern "C"
