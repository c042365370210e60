// Convolution, max pooling and an activation in one pass. Each task computes all three for a few images, so
// that their planes stay in the cache. With Winograd's algorithm along rows, a task may take only some rows
// and output channels of these images. Winograd's kernels pool windows of 2 x 2 in registers.
#include "ops/conv2d_pool_act.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/scratch.h"
#include "cpu/activation.h"
#include "cpu/conv2d/direct/direct.h"
#include "cpu/conv2d/direct/pooled_weight_gradient.h"
#include "cpu/conv2d/method.h"
#include "cpu/conv2d/ordered_sums.h"
#include "cpu/conv2d/winograd/rows.h"
#include "cpu/conv2d/winograd/winograd.h"
#include "cpu/kernels/pool2d.h"
#include "cpu/kernels/reduce.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"
#include "ops/conv2d.h"
#include "ops/pool2d.h"

namespace byhand::ops {

using namespace cpu;

namespace {

Conv2dShape with_batch(Conv2dShape s, int64_t images) {
  s.batch = images;
  return s;
}

// The number of images, from 1 to 16, that a task convolves before it pools them. Their outputs fit into L2,
// unless the outputs of one image are already too large.
int64_t images_at_a_time(const Conv2dShape& s) {
  return std::clamp<int64_t>(kL2Floats / std::max<int64_t>(1, s.out_channels * s.out_h * s.out_w), 1, 16);
}

// Throws if one of `count` indices lies outside a plane of `plane` values.
void check_indices(const int32_t* index, int64_t count, int64_t plane) {
  const auto last = static_cast<int32_t>(std::min<int64_t>(plane - 1, std::numeric_limits<int32_t>::max()));
  if (kernels<Pool2dKernels>().inside(index, count, last)) return;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t place = __atomic_load_n(index + i, __ATOMIC_RELAXED);  // another thread may write to it
    require(place >= 0 && place <= last, "indices must be from 0 to ", plane - 1,
            ", places in a plane of the convolution, got ", place);
  }
  fail("indices must not be changed by another thread while conv2d_pool_act_backward reads them");
}

// Returns the position of the first value of each 2 x 2 window in a plane.
const int32_t* window_corners(const Conv2dShape& s, ScratchFrame& frame) {
  const int64_t height = s.out_h / 2, width = s.out_w / 2;
  int32_t* const corner = frame.allocate<int32_t>(height * width);
  for (int64_t i = 0; i < height * width; ++i)
    corner[i] = static_cast<int32_t>(i / width * 2 * s.out_w + i % width * 2);
  return corner;
}

// Writes `planes` planes of `plane` values each to `to`. Each plane is zero, except that `count` values are
// added at the positions that `index` gives.
void scatter(const float* values, const int32_t* index, int64_t planes, int64_t count, int64_t plane,
             float* to) {
  std::fill_n(to, planes * plane, 0.0f);
  for (int64_t p = 0; p < planes; ++p, to += plane)
    for (int64_t i = 0; i < count; ++i) to[*index++] += *values++;
}

// Returns the gradient with respect to the activation's input. Computes it into `gradient`, or returns dy if
// there is no activation.
const float* before_activation(Activation f, const float* dy, const float* y, int64_t count,
                               float* gradient) {
  const auto activate_backward = backward_kernel(f);
  if (!activate_backward) return dy;
  activate_backward(dy, y, count, gradient);
  return gradient;
}

// Convolves some images by the method that was chosen for the whole batch. Winograd's two methods compute on
// the calling thread alone. The other two methods call parallel_for. If several threads run the tasks of
// conv2d_pool_act, this inner parallel_for stays on the calling thread. If one thread runs all tasks, for
// example because there is only one, the inner parallel_for may share its work with other threads. The
// results have the same bits as those of conv2d.
void convolve(ConvMethod method, const Winograd& w, const Conv2dShape& s, const float* x, const float* weight,
              const float* bias, float* y) {
  if (method == ConvMethod::kWinograd) return w.forward({0, s.batch * w.patches()}, x, bias, y);
  if (method != ConvMethod::kWinogradRows) return conv2d(s, ConvAlgorithm::kDirect, x, weight, bias, y);
  ScratchFrame frame;
  const WinogradRows rows(s, weight, frame);
  for (int64_t i = 0; i < rows.tasks(); ++i) rows.forward(i, x, bias, y);
}

}  // namespace

void conv2d_pool_act(const Conv2dShape& s, ConvAlgorithm algorithm, const Pool2dShape& pool, Activation f,
                     const float* x, const float* weight, const float* bias, float* cache, float* y,
                     int32_t* index) {
  const int64_t in = s.in_channels * s.in_h * s.in_w, out = s.out_channels * s.out_h * s.out_w;
  const ConvMethod method = conv_method(s, algorithm, ConvDirection::kForward);
  if (s.batch * out == 0) return;
  const int64_t pooled = pool.channels * pool.out_h * pool.out_w;
  const bool two_by_two = pool.kernel.h == 2 && pool.kernel.w == 2;
  ScratchFrame frame;
  if (method == ConvMethod::kWinogradRows && two_by_two) {
    const WinogradRows rows(s, weight, frame);
    return parallel_for(rows.tasks(), rows.ns(),
                        [&](int64_t i) { rows.forward_pooled(i, f, x, bias, y, index); });
  }
  const bool winograd = method == ConvMethod::kWinograd;
  const Winograd w = winograd ? Winograd(s, weight, frame, cache) : Winograd(s);
  const bool in_registers = winograd && two_by_two;
  constexpr int64_t kTasks = 8;  // the minimum number of tasks if there are enough images
  const int64_t tasks = ceil_div(s.batch, std::min(images_at_a_time(s), ceil_div(s.batch, kTasks)));
  const double ns = winograd ? w.ns(s.batch * w.patches()) : direct_ns(s);
  parallel_for(tasks, ns / static_cast<double>(tasks), [&](int64_t i) {
    const Range own = split(s.batch, tasks, i);
    const int64_t images = own.end - own.begin;
    const float* const own_x = x + own.begin * in;
    float* const own_y = y + own.begin * pooled;
    int32_t* const own_index = index + own.begin * pooled;
    if (in_registers) {
      w.forward_pooled({0, images * w.patches()}, own_x, bias, own_y, own_index);
    } else {
      ScratchFrame own_frame;
      float* const planes = own_frame.allocate<float>(images * out);
      convolve(method, w, with_batch(s, images), own_x, weight, bias, planes);
      Pool2dShape own_pool = pool;
      own_pool.batch = images;
      max_pool2d(own_pool, planes, own_y, own_index);
    }
    if (const auto activate = forward_kernel(f)) activate(own_y, images * pooled, own_y);
  });
}

int64_t conv2d_weight_cache_size(const int64_t (&weight)[4]) { return Winograd::cache_size(weight); }
void conv2d_clear_weight_cache(float* cache) { Winograd::clear_cache(cache); }

namespace {

// The backward pass. A task takes some images of the batch. It takes a few of its images at a time
// (at_a_time_) through four stages:
//   1. compute dz, the gradient with respect to the activation's input;
//   2. check the indices;
//   3. add to the bias gradient;
//   4. add to the weight gradient and, if it is wanted, compute the input gradient, in one of three ways.
class PoolActBackward {
 public:
  PoolActBackward(const Conv2dShape& s, ConvAlgorithm algorithm, Activation f, const ConvPoolGradients& g,
                  ScratchFrame& frame);

  int64_t tasks() const { return tasks_; }
  double ns() const;  // the approximate duration of a task
  void run(int64_t task) const;
  void finish() const;  // adds up the partial sums of all tasks, in order

 private:
  // The ways to compute stage 4.
  enum class Way {
    kWinograd,  // Winograd's algorithm, on whole planes of gradients or on one gradient per 2 x 2 window
    kMaxima,    // the direct algorithm on the maxima alone; computes no input gradient
    kPlanes     // the direct algorithm on whole planes of gradients
  };
  struct Images {  // some images, and their dz
    int64_t first, count;
    const float* dz;
    const int32_t* index;
  };

  static Way way_of(const Conv2dShape& s, ConvAlgorithm algorithm, const ConvPoolGradients& g);
  int64_t inputs() const { return s_.in_channels * s_.in_h * s_.in_w; }
  int64_t plane() const { return s_.out_h * s_.out_w; }
  int64_t pooled() const { return s_.out_channels * g_.outputs; }
  const int32_t* checked(const int32_t* index, int64_t images, int32_t* copy) const;
  void planes_of(const Images& i, float* planes) const;  // writes dz as whole planes of gradients
  // Stage 4 in the ways kWinograd and kPlanes. `planes` has room for the planes of these images.
  void by_winograd(const Images& i, float* planes, bool add, float* sums) const;
  void by_planes(const Images& i, float* planes, bool add, float* sums) const;

  const Conv2dShape& s_;
  const Activation f_;
  const ConvPoolGradients& g_;
  const Way way_;
  const Winograd winograd_;
  const PooledDots maxima_;
  // The corners of the 2 x 2 windows, if Winograd's algorithm can take one gradient per window; otherwise
  // null.
  const int32_t* corners_ = nullptr;
  int64_t at_a_time_;  // the number of images that a task takes through the stages together
  int64_t size_;       // the number of floats of one partial sum of the weight gradient
  int64_t tasks_;
  float* sums_;       // (tasks, size), partial sums of the weight gradient
  float* bias_sums_;  // (tasks, output channels), partial sums of the bias gradient
};

PoolActBackward::Way PoolActBackward::way_of(const Conv2dShape& s, ConvAlgorithm algorithm,
                                             const ConvPoolGradients& g) {
  const ConvDirection direction = g.dx ? ConvDirection::kInputGradient : ConvDirection::kWeightGradient;
  if (conv_method(s, algorithm, direction) == ConvMethod::kWinograd) return Way::kWinograd;
  return !g.dx && PooledDots::takes(s) ? Way::kMaxima : Way::kPlanes;
}

PoolActBackward::PoolActBackward(const Conv2dShape& s, ConvAlgorithm algorithm, Activation f,
                                 const ConvPoolGradients& g, ScratchFrame& frame)
    : s_(s),
      f_(f),
      g_(g),
      way_(way_of(s, algorithm, g)),
      winograd_(way_ == Way::kWinograd && g.dx ? Winograd(s, g.weight, frame, g.cache) : Winograd(s)),
      maxima_(s),
      at_a_time_(way_ == Way::kMaxima ? 1 : images_at_a_time(s)),
      size_(way_ == Way::kWinograd ? winograd_.size_of_sums() : s.out_channels * s.group_in() * s.taps()) {
  // The number of images per task: a quarter of the batch, but from 4 to 16. A task adds their weight
  // gradients into one partial sum. If this would give more than max_partial_sums(size_) tasks, each task
  // takes more images.
  const int64_t images = std::clamp<int64_t>(ceil_div(s.batch, 4), 4, 16);
  tasks_ = std::min(ceil_div(s.batch, images), max_partial_sums(size_));
  // The size of the pooling windows is not known here, only the number of gradients per plane. If it is the
  // number of 2 x 2 windows, the pooling may have been 2 x 2. by_winograd then checks that each index lies in
  // its own window.
  if (way_ == Way::kWinograd && g.outputs == s.out_h / 2 * (s.out_w / 2) &&
      plane() <= std::numeric_limits<int32_t>::max())
    corners_ = window_corners(s, frame);
  sums_ = frame.allocate<float>(tasks_ * size_);
  bias_sums_ = frame.allocate<float>(tasks_ * s.out_channels);
}

double PoolActBackward::ns() const {
  const double all = way_ == Way::kWinograd ? winograd_.ns(s_.batch * winograd_.patches()) : direct_ns(s_);
  return all / static_cast<double>(tasks_);
}

void PoolActBackward::run(int64_t task) const {
  const Range own = split(s_.batch, tasks_, task);
  float* const sums = sums_ + task * size_;
  ScratchFrame frame;
  float* const gradient = frame.allocate<float>(at_a_time_ * pooled());
  float* const total = frame.allocate<float>(pooled());  // the sum of dz over images, for the bias
  const bool maxima = way_ == Way::kMaxima;
  float* const planes = frame.allocate<float>(maxima ? 0 : at_a_time_ * s_.out_channels * plane());
  int32_t* const copy = frame.allocate<int32_t>(maxima ? 0 : at_a_time_ * pooled());
  std::fill_n(total, pooled(), 0.0f);
  if (way_ == Way::kMaxima) std::fill_n(sums, size_, 0.0f);
  for (int64_t first = own.begin; first < own.end; first += at_a_time_) {
    Images i{first, std::min(at_a_time_, own.end - first), nullptr, nullptr};
    const int64_t at = first * pooled();
    i.dz = before_activation(f_, g_.dy + at, g_.y + at, i.count * pooled(), gradient);
    i.index = checked(g_.index + at, i.count, maxima ? nullptr : copy);
    add_in_order(i.dz, i.count, pooled(), pooled(), total);
    if (way_ == Way::kWinograd) by_winograd(i, planes, first > own.begin, sums);
    if (way_ == Way::kMaxima) maxima_.add(i.dz, i.index, g_.outputs, g_.x + first * inputs(), sums);
    if (way_ == Way::kPlanes) by_planes(i, planes, first > own.begin, sums);
  }
  for (int64_t o = 0; o < s_.out_channels; ++o)
    bias_sums_[task * s_.out_channels + o] =
        static_cast<float>(kernels<ReduceKernels>().sum(total + o * g_.outputs, 1, g_.outputs, g_.outputs));
}

// Checks the indices of some images. Copies them to `copy` first and returns the copy, or returns the
// caller's indices if `copy` is null. Another thread may write to the caller's indices between the check and
// the use, so the check and the use must read the same copy. Without a copy, the kernel reads the caller's
// indices again. It masks each index (ConvPooledDot::last), so it never reads outside its array.
const int32_t* PoolActBackward::checked(const int32_t* index, int64_t images, int32_t* copy) const {
  if (copy) std::copy_n(index, images * pooled(), copy);
  const int32_t* const used = copy ? copy : index;
  check_indices(used, images * pooled(), plane());
  return used;
}

void PoolActBackward::planes_of(const Images& i, float* planes) const {
  scatter(i.dz, i.index, i.count * s_.out_channels, g_.outputs, plane(), planes);
}

void PoolActBackward::by_winograd(const Images& i, float* planes, bool add, float* sums) const {
  const bool by_windows =
      corners_ && kernels<Pool2dKernels>().in_windows(i.index, i.count * s_.out_channels, corners_,
                                                      g_.outputs, static_cast<int32_t>(s_.out_w));
  if (!by_windows) planes_of(i, planes);
  Winograd::Gradients gradients{};
  gradients.dy = by_windows ? i.dz : planes;
  gradients.index = by_windows ? i.index : nullptr;
  gradients.x = g_.x + i.first * inputs();
  gradients.dx = g_.dx ? g_.dx + i.first * inputs() : nullptr;
  gradients.sums = sums, gradients.outputs = {0, s_.out_channels}, gradients.add = add;
  if (gradients.dx) std::fill_n(gradients.dx, i.count * inputs(), 0.0f);
  winograd_.backward({0, i.count * winograd_.patches()}, gradients);
}

void PoolActBackward::by_planes(const Images& i, float* planes, bool add, float* sums) const {
  if (size_ == 0) return;
  planes_of(i, planes);
  const Conv2dShape images = with_batch(s_, i.count);
  ScratchFrame frame;
  float* const dw = add ? frame.allocate<float>(size_) : sums;
  direct_backward_weight(images, planes, g_.x + i.first * inputs(), dw);
  if (add) kernels<ReduceKernels>().add(sums, dw, size_, sums);
  if (g_.dx)
    conv2d_backward_input(images, ConvAlgorithm::kDirect, planes, g_.weight, g_.dx + i.first * inputs());
}

void PoolActBackward::finish() const {
  add_in_order(bias_sums_ + s_.out_channels, tasks_ - 1, s_.out_channels, s_.out_channels, bias_sums_);
  if (g_.db) std::copy_n(bias_sums_, s_.out_channels, g_.db);
  if (way_ == Way::kWinograd) return winograd_.finish(sums_, tasks_, g_.dw);
  add_in_order(sums_ + size_, tasks_ - 1, size_, size_, sums_);
  std::copy_n(sums_, size_, g_.dw);
}

}  // namespace

void conv2d_pool_act_backward(const Conv2dShape& s, ConvAlgorithm algorithm, Activation f,
                              const ConvPoolGradients& g) {
  if (s.batch * s.out_channels * g.outputs == 0) {
    conv_method(s, algorithm, ConvDirection::kWeightGradient);  // throws if `algorithm` cannot take the shape
    std::fill_n(g.dw, s.out_channels * s.group_in() * s.taps(), 0.0f);
    if (g.db) std::fill_n(g.db, s.out_channels, 0.0f);
    if (g.dx) std::fill_n(g.dx, s.batch * s.in_channels * s.in_h * s.in_w, 0.0f);
    return;
  }
  ScratchFrame frame;
  const PoolActBackward backward(s, algorithm, f, g, frame);
  parallel_for(backward.tasks(), backward.ns(), [&](int64_t i) { backward.run(i); });
  backward.finish();
}

}  // namespace byhand::ops
