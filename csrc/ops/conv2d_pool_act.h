// Convolution, max pooling and activation in one pass. The output of the convolution is pooled while it is in
// the cache, and never stored.
//   y = f(max_pool2d(conv2d(x, weight, bias))),   index = the position of each maximum in its plane
// The results have the same bits as conv2d, max_pool2d and the activation called one after the other. Arrays
// have the layout of conv2d.h and pool2d.h; y, dy and index are (N, out_channels, pooled height, pooled
// width). No result overlaps an input.
#pragma once

#include "core/shapes.h"
#include "ops/activation.h"
#include "ops/conv2d.h"

namespace byhand::ops {

// A weight cache keeps the transformed weights of Winograd's algorithm for later calls. The weights are
// transformed again only if they have changed. A cache has conv2d_weight_cache_size floats and must be
// cleared before its first use. A null pointer in place of a cache means that there is none. Threads that
// call these functions at the same time must not share a cache.
int64_t conv2d_weight_cache_size(const int64_t (&weight)[4]);
void conv2d_clear_weight_cache(float* cache);

// `pool` is the shape of the pooling, whose input is the convolution's output. Its windows do not overlap.
void conv2d_pool_act(const Conv2dShape& s, ConvAlgorithm, const Pool2dShape& pool, Activation, const float* x,
                     const float* weight, const float* bias, float* cache, float* y, int32_t* index);

struct ConvPoolGradients {
  const float *dy, *y;
  const int32_t* index;  // as conv2d_pool_act returned it
  int64_t outputs;       // number of values per plane of dy, y and index
  const float *x, *weight;
  float* cache;  // may be null
  float* dx;     // null if it is not wanted
  float* dw;
  float* db;  // null if it is not wanted
};
// Computes the gradients dx, dw and db from dy, the gradient of y. Throws std::invalid_argument if an index
// is not from 0 to out_h * out_w - 1; the results are then undefined.
void conv2d_pool_act_backward(const Conv2dShape& s, ConvAlgorithm, Activation, const ConvPoolGradients&);

}  // namespace byhand::ops
