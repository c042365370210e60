// Convolution, max pooling and activation in one pass: what a convolution writes is pooled while it is in the
// cache, and never stored.
//   y = f(max over windows of conv2d(x, weight, bias)), index = the place of each maximum in its plane
// Every bit is that of conv2d, max_pool2d and the activation, one after the other.
#pragma once

#include "core/shapes.h"
#include "ops/activation.h"
#include "ops/conv2d.h"

namespace byhand::ops {

// The transformed weights, kept from call to call and made anew if the weights have changed. A cache
// has conv2d_weight_cache_size floats, and is cleared first. Where a function takes one it may be null.
int64_t conv2d_weight_cache_size(const int64_t (&weight)[4]);
void conv2d_clear_weight_cache(float* cache);

// pool: of the convolution's output.
void conv2d_pool_act(const Conv2dShape& s, ConvAlgorithm, const Pool2dShape& pool, Activation, const float* x,
                     const float* weight, const float* bias, float* cache, float* y, int32_t* index);

// From the gradient dy of y, `outputs` values a plane: dw, and dx and db, which may be null. Throws
// std::invalid_argument where an index is not of 0 to out_h * out_w - 1; the results are then undefined.
struct ConvPoolGradients {
  const float *dy, *y;
  const int32_t* index;
  int64_t outputs;
  const float *x, *weight;
  float *cache, *dx, *dw, *db;
};
void conv2d_pool_act_backward(const Conv2dShape& s, ConvAlgorithm, Activation, const ConvPoolGradients&);

}  // namespace byhand::ops
