// Convolution. These functions only choose a method. Each method and direction is a function of another file.
#include "ops/conv2d.h"

#include <algorithm>

#include "cpu/conv2d/direct/direct.h"
#include "cpu/conv2d/method.h"
#include "cpu/conv2d/pointwise.h"
#include "cpu/conv2d/winograd/driver.h"
#include "cpu/kernels/reduce.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

void conv2d(const Conv2dShape& s, ConvAlgorithm algorithm, const float* x, const float* weight,
            const float* bias, float* y) {
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kForward);
  if (s.batch * s.out_channels * s.out_h * s.out_w == 0) return;
  switch (method) {
    case ConvMethod::kDirect:
      return direct_forward(s, x, weight, bias, y);
    case ConvMethod::kPointwise:
      return pointwise_forward(s, x, weight, bias, y);
    case ConvMethod::kWinograd:
      return winograd_forward(s, x, weight, bias, y);
    case ConvMethod::kWinogradRows:
      return winograd_rows_forward(s, x, weight, bias, y);
  }
}

void conv2d_backward_input(const Conv2dShape& s, ConvAlgorithm algorithm, const float* dy,
                           const float* weight, float* dx) {
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kInputGradient);
  if (s.batch * s.in_channels * s.in_h * s.in_w == 0) return;
  if (method == ConvMethod::kWinograd) return winograd_backward_input(s, dy, weight, dx);
  if (method == ConvMethod::kPointwise) return pointwise_backward_input(s, dy, weight, dx);
  direct_backward_input(s, dy, weight, dx);
}

void conv2d_backward_weight(const Conv2dShape& s, ConvAlgorithm algorithm, const float* dy, const float* x,
                            float* dw) {
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kWeightGradient);
  const int64_t size = s.out_channels * s.group_in() * s.taps();
  if (size == 0 || s.batch * s.out_h * s.out_w == 0) {
    std::fill_n(dw, size, 0.0f);
    return;
  }
  if (method == ConvMethod::kWinograd) return winograd_backward_weight(s, dy, x, dw);
  if (method == ConvMethod::kPointwise) return pointwise_backward_weight(s, dy, x, dw);
  direct_backward_weight(s, dy, x, dw);
}

void conv2d_backward_bias(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db) {
  if (batch * plane == 0) {
    std::fill_n(db, channels, 0.0f);
    return;
  }
  const auto sum = kernels<ReduceKernels>().sum;
  parallel_for(channels, memory_ns(static_cast<double>(batch * plane) * 4), [&](int64_t c) {
    db[c] = static_cast<float>(sum(dy + c * plane, batch, channels * plane, plane));
  });
}

}  // namespace byhand::ops
