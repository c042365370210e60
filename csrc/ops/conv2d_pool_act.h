// Convolution, max pooling and activation in one pass. Each part of the convolution's output is pooled while
// it is in the cache, and the whole output is never stored.
//   y = f(max_pool2d(conv2d(x, weight, bias)))
//   index = the position of each maximum in its plane of the convolution's output
// The results have the same bits as conv2d, max_pool2d and the activation called one after the other. x,
// weight and bias have the shapes of conv2d.h. y, dy and index are (N, out_channels, pooled height, pooled
// width). All arrays are contiguous, and no result overlaps an input.
#pragma once

#include "core/shapes.h"
#include "ops/activation.h"
#include "ops/conv2d.h"

namespace byhand::ops {

// A weight cache is an array that keeps the transformed weights of Winograd's algorithm for later calls. The
// weights are transformed again only if they have changed. A cache has conv2d_weight_cache_size(shape of
// weight) floats and must be cleared before its first use. A null pointer means that there is no cache.
// Threads that call the functions below at the same time must not share a cache.
int64_t conv2d_weight_cache_size(const int64_t (&weight)[4]);
void conv2d_clear_weight_cache(float* cache);

// `pool` is the shape of the pooling, whose input is the convolution's output. Its stride equals its kernel,
// so the windows do not overlap. It has no padding and no dilation.
void conv2d_pool_act(const Conv2dShape& s, ConvAlgorithm, const Pool2dShape& pool, Activation, const float* x,
                     const float* weight, const float* bias, float* cache, float* y, int32_t* index);

struct ConvPoolGradients {
  const float *dy, *y;
  const int32_t* index;  // as conv2d_pool_act returned it
  int64_t outputs;       // the number of values per plane of dy, y and index
  const float *x, *weight;
  float* cache;  // may be null
  float* dx;     // null if it is not wanted
  float* dw;
  float* db;  // null if it is not wanted
};
// Computes the gradients dx, dw and db with respect to x, weight and bias from dy, the gradient with respect
// to y. Throws std::invalid_argument if an index is not from 0 to out_h * out_w - 1. In this case, the values
// of dx, dw and db are undefined.
void conv2d_pool_act_backward(const Conv2dShape& s, ConvAlgorithm, Activation, const ConvPoolGradients&);

}  // namespace byhand::ops
