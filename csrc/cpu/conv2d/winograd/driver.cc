#include "cpu/conv2d/winograd/driver.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/conv2d/ordered_sums.h"
#include "cpu/conv2d/winograd/rows.h"
#include "cpu/conv2d/winograd/winograd.h"
#include "cpu/kernels/conv2d_winograd.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// Returns whether the transformed weights stay in the caches while all patches are multiplied by them.
bool weights_stay(const Winograd& w) { return w.size_of_sums() <= kSharedFloats / 2; }

// The cost of a multiply-add if each block of patches transforms the filters again (by_channels.cc).
constexpr double kByChannels = 1.3;
// The cost of a multiply-add of the weight gradient if its transformed sums do not stay in L1.
constexpr double kDistantSum = 1.3;

// The costs of a patch of one channel in multiply-adds, of x or dx and of y or dy: those of its transform,
// and of waiting for memory. They are fitted to measured durations of whole passes.
struct PatchCosts {
  double x, y;
};

// The cost of an image. `product` is the cost of a multiply-add. The filters are transformed `passes` times
// per batch.
double cost(const Conv2dShape& s, const PatchCosts& patch, double product, int64_t passes) {
  constexpr double kFilter = 150;  // the cost of the transform of a filter
  const double patches = static_cast<double>(Winograd(s).patches());
  const double in = static_cast<double>(s.in_channels), out = static_cast<double>(s.out_channels);
  const double products = patches * in * out * kWinogradValues * product;
  const double transforms = patches * (in * patch.x + out * patch.y);
  const double filters = kFilter * in * out * static_cast<double>(passes) / static_cast<double>(s.batch);
  return products + narrow_multiply_add() * (transforms + filters);  // transforms have up to 8 lanes
}

// The cost of the forward pass or the input gradient.
double cost_with_weights(const Conv2dShape& s, const PatchCosts& patch) {
  const Winograd w(s);
  if (weights_stay(w)) return cost(s, patch, 1, 1);
  return cost(s, patch, kByChannels, ceil_div(s.batch * w.patches(), w.block()));
}

}  // namespace

bool winograd_takes(const Conv2dShape& s) {
  return s.kernel.h == s.kernel.w && (s.kernel.h == 3 || s.kernel.h == 5) && s.stride.h == 1 &&
         s.stride.w == 1 && s.dilation.h == 1 && s.dilation.w == 1 && s.groups == 1;
}

// A patch of y has 6 x 6 values for filters of 3 x 3, and only 4 x 4 for filters of 5 x 5. The transform of
// dx adds to values in memory.
double winograd_forward_cost(const Conv2dShape& s) {
  return cost_with_weights(s, s.kernel.h == 3 ? PatchCosts{840, 560} : PatchCosts{1030, 370});
}
double winograd_input_gradient_cost(const Conv2dShape& s) {
  return cost_with_weights(s, s.kernel.h == 3 ? PatchCosts{1260, 560} : PatchCosts{930, 260});
}
double winograd_weight_gradient_cost(const Conv2dShape& s) {
  const bool distant = s.in_channels * s.out_channels * kWinogradValues > kL1Floats;
  return cost(s, s.kernel.h == 3 ? PatchCosts{900, 640} : PatchCosts{690, 500}, distant ? kDistantSum : 1, 1);
}

void winograd_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias,
                      float* y) {
  const Winograd untransformed(s);
  if (!weights_stay(untransformed)) return untransformed.forward_by_channels(x, weight, bias, y);
  ScratchFrame frame;
  const Winograd w(s, weight, frame);
  constexpr int64_t kTasks = 4;  // the minimum number of tasks if there are enough patches
  const int64_t patches = s.batch * w.patches();
  const int64_t block =
      std::min(w.block(), std::max<int64_t>(kMaxWinogradColumns, ceil_div(patches, kTasks)));
  const int64_t tasks = ceil_div(patches, block);
  parallel_for(tasks, w.ns(block), [&](int64_t i) { w.forward(split(patches, tasks, i), x, bias, y); });
}

void winograd_rows_forward(const Conv2dShape& s, const float* x, const float* weight, const float* bias,
                           float* y) {
  ScratchFrame frame;
  const WinogradRows w(s, weight, frame);
  parallel_for(w.tasks(), w.ns(), [&](int64_t i) { w.forward(i, x, bias, y); });
}

// Each task takes whole images. If two tasks shared an image, they would write to the same values, because
// the patches of an image overlap in dx. A single image is computed by channels instead, which its threads
// share: 64 to 64 channels, 3 x 3 on 28 x 28, take 206 us on two threads instead of 363, and on one thread
// the same time.
void winograd_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  const int64_t image = s.in_channels * s.in_h * s.in_w;
  const Winograd untransformed(s);
  const bool by_channels = s.batch == 1 && Winograd::channel_parts(s.in_channels) > 1;
  if (by_channels || !weights_stay(untransformed)) {
    std::fill_n(dx, s.batch * image, 0.0f);
    return untransformed.backward_input_by_channels(dy, weight, dx);
  }
  ScratchFrame frame;
  const Winograd w(s, weight, frame);
  constexpr int64_t kTasks = 8;  // the minimum number of tasks if there are enough images
  const int64_t fitting = std::max<int64_t>(1, w.block() / w.patches());
  const int64_t tasks = ceil_div(s.batch, std::min(fitting, ceil_div(s.batch, kTasks)));
  parallel_for(tasks, w.ns(ceil_div(s.batch, tasks) * w.patches()), [&](int64_t i) {
    const Range own = split(s.batch, tasks, i);
    std::fill_n(dx + own.begin * image, (own.end - own.begin) * image, 0.0f);
    Winograd::Gradients g{};
    g.dy = dy, g.dx = dx, g.outputs = {0, s.out_channels};
    w.backward({own.begin * w.patches(), own.end * w.patches()}, g);
  });
}

// The patches are cut into `sums` parts and the output channels into `parts` parts. Each task adds up the
// transformed weight gradient of one part of the channels over one part of the patches. If there are too few
// patches for a second block, the tasks are blocks of channels instead.
void winograd_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  constexpr int64_t kOutputs = 64;  // the maximum number of output channels per task
  const Winograd w(s);
  const int64_t patches = s.batch * w.patches(), size = w.size_of_sums();
  if (patches <= w.block()) return w.backward_weight_by_channels(dy, x, dw);
  const int64_t sums = std::clamp<int64_t>(patches / w.block(), 1, max_partial_sums(size));
  const int64_t parts = ceil_div(s.out_channels, kOutputs);
  ScratchFrame frame;
  float* const all = frame.allocate<float>(sums * size);
  parallel_for(sums * parts, w.ns(ceil_div(patches, sums)) / static_cast<double>(parts), [&](int64_t i) {
    Winograd::Gradients g{};
    g.dy = dy, g.x = x, g.sums = all + i / parts * size, g.outputs = split(s.out_channels, parts, i % parts);
    w.backward(split(patches, sums, i / parts), g);
  });
  w.finish(all, sums, dw);
}

}  // namespace byhand::cpu
