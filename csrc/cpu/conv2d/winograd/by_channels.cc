// Winograd's algorithm by channels. It is above all for weights that do not stay in the caches once they are
// transformed: the transformed weights of 3 x 3 filters are 7 times as large as the weights. A task
// transforms the weights of a few channels just before it uses them. The price is that every weight is
// transformed again for each block of patches. The weight gradient, for which no weights are transformed, is
// computed by channels if the batch has no more patches than one block: a task computes the transformed
// gradient of a few channels, and transforms it back while it is in the cache.
#include <algorithm>
#include <cstdint>

#include "core/scratch.h"
#include "cpu/conv2d/winograd/patches.h"
#include "cpu/conv2d/winograd/winograd.h"
#include "cpu/runtime/parallel.h"

namespace byhand::cpu {
namespace {

// The maximum numbers of channels that a task transforms weights for at a time. The result (y in forward, dx
// in the input gradient) is cut into parts of at most kOwn channels, one part per task. The sum over the
// channels of the other array (x or dy) takes at most kDepth channels at a time. There is a filter for each
// pair of one of kOwn channels and one of kDepth channels. These 16 * 64 transformed filters of 64 values
// take 256 KB and stay in L2.
constexpr int64_t kOwn = 16, kDepth = 64;

}  // namespace

int64_t Winograd::channel_parts(int64_t channels) { return ceil_div(channels, kOwn); }

void Winograd::forward_by_channels(const float* x, const float* weight, const float* bias, float* y) const {
  const Conv2dShape& s = shape_;
  const Tiling tiling(s);
  const int64_t in = s.in_channels, out = s.out_channels;
  const int64_t total = s.batch * tiling.per_image, blocks = ceil_div(total, block()),
                parts = channel_parts(out);
  for (int64_t b = 0; b < blocks; ++b) {
    const Range patches = split(total, blocks, b);
    const int64_t count = patches.end - patches.begin;
    ScratchFrame frame;
    const Patches v(count, in, frame);
    parallel_for(count, transforms_ns(in), [&](int64_t i) {
      transforms().input(tiling.inputs(patches.begin + i, x, in), v.row(i), lanes());
    });
    parallel_for(parts, ns(count) / static_cast<double>(parts), [&](int64_t part) {
      const Range own = split(out, parts, part);
      ScratchFrame own_frame;
      const Patches u(own.end - own.begin, kDepth, own_frame), m(count, own.end - own.begin, own_frame);
      for (int64_t first = 0; first < in; first += kDepth) {
        const Range depth{first, std::min(first + kDepth, in)};
        for (int64_t o = own.begin; o < own.end; ++o)
          weight_transform(s).forward(kernels_of(s, weight, o, depth), u.row(o - own.begin), lanes());
        multiply(by_rows(u), own.end - own.begin, by_rows(v, first), count, depth.end - first, m.row(0),
                 lanes(), m.row_stride(), first > 0);
      }
      for (int64_t i = 0; i < count; ++i)
        output_transform(s).adjoint(m.row(i), lanes(),
                                    channels_of(tiling.outputs(patches.begin + i, y, out), own),
                                    bias ? bias + own.begin : nullptr);
    });
  }
}

void Winograd::backward_input_by_channels(const float* dy, const float* weight, float* dx) const {
  const Conv2dShape& s = shape_;
  const Tiling tiling(s);
  const int64_t in = s.in_channels, out = s.out_channels;
  const int64_t total = s.batch * tiling.per_image, blocks = ceil_div(total, block()),
                parts = channel_parts(in);
  for (int64_t b = 0; b < blocks; ++b) {
    const Range patches = split(total, blocks, b);
    const int64_t count = patches.end - patches.begin;
    ScratchFrame frame;
    const Patches q(count, out, frame);
    parallel_for(count, transforms_ns(out), [&](int64_t i) {
      output_transform(s).forward(tiling.outputs(patches.begin + i, dy, out), q.row(i), lanes());
    });
    parallel_for(parts, ns(count) / static_cast<double>(parts), [&](int64_t part) {
      const Range own = split(in, parts, part);
      ScratchFrame own_frame;
      const Patches u(kDepth, own.end - own.begin, own_frame), v(count, own.end - own.begin, own_frame);
      for (int64_t first = 0; first < out; first += kDepth) {
        const int64_t depth = std::min(kDepth, out - first);
        for (int64_t o = 0; o < depth; ++o)
          weight_transform(s).forward(kernels_of(s, weight, first + o, own), u.row(o), lanes());
        multiply(by_columns(u), own.end - own.begin, by_rows(q, first), count, depth, v.row(0), lanes(),
                 v.row_stride(), first > 0);
      }
      for (int64_t i = 0; i < count; ++i)
        transforms().input_adjoint_add(v.row(i), lanes(),
                                       channels_of(tiling.inputs(patches.begin + i, dx, in), own));
    });
  }
}

void Winograd::backward_weight_by_channels(const float* dy, const float* x, float* dw) const {
  // The maximum numbers of output and input channels per task. Their transformed weight gradient stays in L2.
  constexpr int64_t kOutputs = 20, kInputs = 40;
  const Conv2dShape& s = shape_;
  const Tiling tiling(s);
  const int64_t in = s.in_channels, out = s.out_channels, count = s.batch * tiling.per_image;
  ScratchFrame frame;
  const Patches q(count, out, frame), v(count, in, frame);
  parallel_for(count, transforms_ns(in + out), [&](int64_t i) {
    output_transform(s).forward(tiling.outputs(i, dy, out), q.row(i), lanes());
    transforms().input(tiling.inputs(i, x, in), v.row(i), lanes());
  });
  const int64_t output_parts = ceil_div(out, kOutputs), parts = output_parts * ceil_div(in, kInputs);
  const double ns = products_ns(s, count) + transforms_ns(in * out);
  parallel_for(parts, ns / static_cast<double>(parts), [&](int64_t i) {
    const Range o = split(out, output_parts, i % output_parts);
    const Range c = split(in, parts / output_parts, i / output_parts);
    ScratchFrame own_frame;
    const Patches du(o.end - o.begin, c.end - c.begin, own_frame);
    multiply(by_columns(q, o.begin), o.end - o.begin, by_columns(v, c.begin), c.end - c.begin, count,
             du.row(0), du.row_stride(), lanes(), false);
    for (int64_t j = o.begin; j < o.end; ++j)
      weight_transform(s).adjoint(du.row(j - o.begin), lanes(), kernels_of(s, dw, j, c), nullptr);
  });
}

}  // namespace byhand::cpu
