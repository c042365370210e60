// Winograd's algorithm: fewer products than the direct one, between transformed patches.
//
// An 8 x 8 patch of a channel of x and an r x r kernel give (9 - r) x (9 - r) outputs with 64 products
// instead of r^2 each: 4 instead of 25 for r = 5, 1.8 instead of 9 for r = 3. Forward, for a patch d of
// channel c and kernel g of channels o, c, with B, G, A of kernels/winograd_matrices.py and * value by value:
//
//   V = B d B'   U = G g G'   M_o = sum_c U_oc * V_c   y = A' M A
//
// Both gradients are its adjoint, with Q = A dy A' for each patch of outputs:
//
//   dx += B' (sum_o U_oc * Q_o) B   over the patches, which overlap
//   dg  = G' (sum over patches of Q_o * V_c) G
//
// An infinity or a NaN in a patch may spoil any of its outputs; so may values beyond 1e36.
#pragma once

#include <algorithm>

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/runtime/blocking.h"

namespace byhand::cpu {

// A transform of a patch in one channel takes about as long as so many multiply-adds.
inline constexpr double kWinogradTransform = 600;

// Gradients of weights are summed up by a fixed number of tasks, and their sums are added in order: so many
// sums of `size` floats at most, for any number of threads.
inline constexpr int64_t kMostSums = 8;
inline int64_t most_sums(int64_t size) {
  constexpr int64_t kFloats = int64_t{1} << 22;
  return std::clamp<int64_t>(kFloats / std::max<int64_t>(size, 1), 1, kMostSums);
}

// A convolution with kernels of 3 x 3 or 5 x 5, stride 1, dilation 1 and one group, whose weights are
// transformed. x, y and their gradients are those of a batch, or of some images of it; no operand is empty.
// One thread runs a method, unless it says otherwise; several may run at the same time.
class Winograd {
 public:
  explicit Winograd(const Conv2dShape& s);
  // The weights are transformed by all threads, into `frame`, or into `cache` unless that has them already.
  // Forward and grad input need them.
  Winograd(const Conv2dShape& s, const float* weight, ScratchFrame& frame, float* cache = nullptr);
  static int64_t cache_size(const int64_t (&weight)[4]);
  static void clear_cache(float* cache);

  int64_t patches() const;  // of an image
  int64_t block() const;    // patches at a time that fit the cache: no use in calls with fewer
  // About how long so many patches take, in one direction.
  double ns(int64_t patches) const;

  // y of these patches.
  void forward(Range patches, const float* x, const float* bias, float* y) const;
  // Maxima of windows of 2 x 2 and their places in the planes, where it pools: for kernels of 5 x 5.
  bool pools() const { return shape_.kernel.h == 5; }
  void forward_pooled(Range patches, const float* x, const float* bias, float* y, int32_t* index) const;

  struct Gradients {
    // Null `index`: planes. Else, where it pools, dy is 0 but for a value in each window of 2 x 2: those, and
    // their places in the planes; then `outputs` are all.
    const float* dy;
    const int32_t* index;
    // Grad input is added to what is there: a patch shares values with its neighbours. Null: not wanted.
    float* dx;
    // Grad weight, transformed, of these output channels, which are all of them if there is a dx. Null: not
    // wanted.
    float* sums;
    Range outputs;
    bool add;        // to the sums, which are overwritten otherwise
    const float* x;  // for the sums
  };
  void backward(Range patches, const Gradients& g) const;

  // On all threads, of all patches, for weights that are large beside them: see conv2d_winograd_channels.cc.
  // Transformed weights are not needed. Grad weight takes at most block() patches; grad input is added.
  void forward_by_channels(const float* x, const float* weight, const float* bias, float* y) const;
  void backward_input_by_channels(const float* dy, const float* weight, float* dx) const;
  void backward_weight_by_channels(const float* dy, const float* x, float* dw) const;

  int64_t size_of_sums() const;
  // dw of `count` sums, one behind the other; on all threads. Spoils them.
  void finish(float* sums, int64_t count, float* dw) const;

 private:
  template <class Store>
  void forward(Range patches, const float* x, const Store& store) const;

  Conv2dShape shape_;
  const float* weights_ = nullptr;
};

}  // namespace byhand::cpu
