// Winograd's algorithm. It multiplies transformed patches, which takes fewer products than the direct
// algorithm.
//
// An 8 x 8 patch of a channel of x and r x r weights give (9 - r) x (9 - r) outputs from 64 products. This is
// 4 products per output instead of 25 for r = 5, and 1.8 instead of 9 for r = 3. In the formulas, d is a
// patch of input channel c, g is the r x r weights from c to output channel o, * multiplies value by value, a
// prime denotes the transpose, and B, G and A are the matrices of kernels/conv2d_winograd_matrices.py.
// Forward:
//
//   V_c = B d B'   U_oc = G g G'   M_o = sum_c U_oc * V_c   y_o = A' M_o A
//
// Both gradients come from the adjoints (transposes) of these linear maps. With Q_o = A dy_o A' for each
// patch:
//
//   dx_c += B' (sum_o U_oc * Q_o) B   for each patch; patches overlap in dx
//   dg    = G' (sum over patches of Q_o * V_c) G
//
// An infinity or a NaN in a patch may spoil all of its outputs. Values beyond 1e36 may overflow and do the
// same.
#pragma once

#include <algorithm>

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/runtime/blocking.h"

namespace byhand::cpu {

// The mean duration of the transforms of one patch of one channel in the forward pass, in multiply-adds.
// It serves to estimate durations. To choose the method, driver.cc has a cost for each transform.
inline constexpr double kWinogradTransform = 700;

// A convolution with filters of 3 x 3 or 5 x 5, stride 1, dilation 1 and one group. The object holds its
// shape and, if the second constructor made it, the transformed weights. The arrays x, y, dy and dx may hold
// the whole batch or only some images of it: a method counts patches from the beginning of the arrays that it
// gets. No number of channels is 0. A method runs on the calling thread unless its comment says otherwise,
// and several threads may call methods at the same time.
class Winograd {
 public:
  explicit Winograd(const Conv2dShape& s);
  // Also transforms the weights, on all threads. They are stored in `cache` if it is given, otherwise in
  // `frame`. If the cache holds the transform of these weights already, nothing is computed. `forward`,
  // `forward_pooled` and the input gradient of `backward` need the transformed weights.
  Winograd(const Conv2dShape& s, const float* weight, ScratchFrame& frame, float* cache = nullptr);
  static int64_t cache_size(const int64_t (&weight)[4]);
  static void clear_cache(float* cache);

  int64_t patches() const;  // per image
  // The number of patches that are transformed and multiplied together. They stay in L2, unless the weights
  // are so large that larger blocks are faster.
  int64_t block() const;
  // The approximate duration of this number of patches in one direction, on one thread.
  double ns(int64_t patches) const;

  // Computes the outputs of these patches.
  void forward(Range patches, const float* x, const float* bias, float* y) const;
  // Computes the maxima of the 2 x 2 windows of these patches (y) and their positions in the planes (index).
  void forward_pooled(Range patches, const float* x, const float* bias, float* y, int32_t* index) const;

  struct Gradients {
    // Two forms. With `index == nullptr`, `dy` holds whole planes. Otherwise `dy` holds one value per 2 x 2
    // pooling window, `index` its position in the plane, every other gradient is zero, and `outputs` must
    // cover all channels.
    const float* dy;
    const int32_t* index;
    // The input gradient is added to the values in `dx`, because patches overlap. Null if it is not wanted.
    float* dx;
    // Receives the transformed weight gradient of the output channels in `outputs`. Null if it is not wanted.
    // If dx is wanted, `outputs` must cover all channels.
    float* sums;
    Range outputs;
    bool add;        // if true, the gradient is added to `sums`; otherwise it overwrites them
    const float* x;  // the inputs, which only the weight gradient needs
  };
  void backward(Range patches, const Gradients& g) const;

  // The same operations for all patches, on all threads. These methods transform the weights, or the sums of
  // the weight gradient, for some channels at a time, so that the transformed values stay in the cache (see
  // by_channels.cc). The weight gradient requires that there are at most block() patches. The input gradient
  // is added to dx.
  void forward_by_channels(const float* x, const float* weight, const float* bias, float* y) const;
  void backward_input_by_channels(const float* dy, const float* weight, float* dx) const;
  void backward_weight_by_channels(const float* dy, const float* x, float* dw) const;
  // Returns the number of parts that they cut the channels of y or dx into. Threads share the parts.
  static int64_t channel_parts(int64_t channels);

  // The number of floats of the transformed weights, and of one array of sums of their gradient.
  int64_t size_of_sums() const;
  // Computes dw from `count` arrays of sums, which are contiguous in memory, on all threads. Overwrites the
  // sums.
  void finish(float* sums, int64_t count, float* dw) const;

 private:
  template <class Store>
  void forward(Range patches, const float* x, const Store& store) const;

  Conv2dShape shape_;
  const float* weights_ = nullptr;
};

}  // namespace byhand::cpu
