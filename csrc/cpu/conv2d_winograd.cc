#include "cpu/conv2d_winograd.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// Transformed patches in memory of one's own: rows of `columns` patches each.
class Patches {
 public:
  Patches(int64_t rows, int64_t columns, float* data)
      : lanes_(kernels().winograd.lanes), columns_(columns), plane_(plane_of(rows, columns)), data_(data) {}
  Patches(int64_t rows, int64_t columns, ScratchFrame& frame)
      : Patches(rows, columns, frame.allocate<float>(size(rows, columns))) {}
  static int64_t size(int64_t rows, int64_t columns) {
    return kWinogradValues / kernels().winograd.lanes * plane_of(rows, columns);
  }

  WinogradPatches row(int64_t i) const { return {data_ + i * row_stride(), plane_}; }
  int64_t row_stride() const { return columns_ * lanes_; }
  int64_t plane() const { return plane_; }
  float* data() const { return data_; }

 private:
  // An odd number of lines apart, so that the values of a patch are not all in the same few sets of a cache.
  static int64_t plane_of(int64_t rows, int64_t columns) {
    constexpr int64_t kLine = 16;
    return (ceil_div(rows * columns * kernels().winograd.lanes, kLine) | 1) * kLine;
  }

  int lanes_;
  int64_t columns_, plane_;
  float* data_;
};

// One index of a product of patches: how far apart its steps are in an operand.
struct Operand {
  const Patches& patches;
  int64_t row, depth;
};
Operand by_rows(const Patches& p) { return {p, p.row_stride(), kernels().winograd.lanes}; }
Operand by_columns(const Patches& p) { return {p, kernels().winograd.lanes, p.row_stride()}; }

// A step of the depth: a tile's rows of both operands stay in L1.
constexpr int64_t kDepth = 64;

// out[i, j] = (out[i, j] if `add`) + sum_p a[i, p] * b[j, p], value by value.
void multiply(const Operand& a, int64_t rows, const Operand& b, int64_t columns, int64_t depth,
              const WinogradPatches& out, int64_t out_row, int64_t out_column, bool add) {
  const WinogradProductKernels& k = kernels().winograd;
  const int64_t row_tiles = ceil_div(rows, k.rows), column_tiles = ceil_div(columns, k.columns);
  WinogradTile t{};
  t.a_row = a.row, t.a_depth = a.depth, t.b_row = b.row, t.b_depth = b.depth;
  t.out_row = out_row, t.out_column = out_column;
  for (int plane = 0; plane < kWinogradValues / k.lanes; ++plane)
    for (int64_t p = 0; p < depth; p += kDepth)
      for (int64_t i = 0; i < row_tiles; ++i) {
        const Range r = split(rows, row_tiles, i);
        for (int64_t j = 0; j < column_tiles; ++j) {
          const Range c = split(columns, column_tiles, j);
          t.depth = std::min(kDepth, depth - p);
          t.a = a.patches.data() + plane * a.patches.plane() + r.begin * a.row + p * a.depth;
          t.b = b.patches.data() + plane * b.patches.plane() + c.begin * b.row + p * b.depth;
          t.out = out.data + plane * out.plane + r.begin * out_row + c.begin * out_column;
          t.add = add || p > 0;
          k.tile[r.end - r.begin - 1][c.end - c.begin - 1](t);
        }
      }
}

// The patches of a convolution, image by image and row by row.
struct Tiling {
  explicit Tiling(const Conv2dShape& shape)
      : s(shape),
        step(kWinogradSize + 1 - s.kernel.h),
        rows(ceil_div(s.out_h, step)),
        columns(ceil_div(s.out_w, step)),
        per_image(rows * columns) {}

  int64_t count() const { return s.batch * per_image; }
  // Patch t of channels of x, and of channels of y.
  WinogradImages inputs(int64_t t, const float* x, int64_t channels) const {
    return window(t, x, channels, {s.in_h, s.in_w}, kWinogradSize, s.padding.top, s.padding.left);
  }
  WinogradImages outputs(int64_t t, const float* y, int64_t channels) const {
    return window(t, y, channels, {s.out_h, s.out_w}, step, 0, 0);
  }

  const Conv2dShape& s;
  const int64_t step, rows, columns, per_image;

 private:
  WinogradImages window(int64_t t, const float* data, int64_t channels, Pair plane, int64_t size, int64_t top,
                        int64_t left) const {
    const int64_t y = t % per_image / columns * step - top, x = t % columns * step - left;
    const auto inside = [&](int64_t at) { return static_cast<int>(std::clamp<int64_t>(at, 0, size)); };
    return {channels,          data + t / per_image * channels * plane.h * plane.w + y * plane.w + x,
            plane.h * plane.w, plane.w,
            inside(-y),        inside(plane.h - y),
            inside(-x),        inside(plane.w - x)};
  }
};

struct Transforms {
  explicit Transforms(const Conv2dShape& s)
      : lanes(kernels().winograd.lanes),
        input(kernels().conv2d.winograd.input),
        weight(kernels().conv2d.winograd.weight[s.kernel.h == 5]),
        output(kernels().conv2d.winograd.output[s.kernel.h == 5]) {}
  const int lanes;
  const WinogradTransform &input, &weight, &output;
};

// The kernels of output channel o.
WinogradImages weights(const Conv2dShape& s, const float* weight, int64_t o) {
  const int r = static_cast<int>(s.kernel.h);
  return {s.in_channels, weight + o * s.in_channels * r * r, r * r, r, 0, r, 0, r};
}

// A transform of a patch takes about as long as so many multiply-adds.
constexpr double kTransform = 600;

double transforms_ns(int64_t patches) { return fma_ns(static_cast<double>(patches) * kTransform); }
double products_ns(const Conv2dShape& s, int64_t patches) {
  return fma_ns(static_cast<double>(patches * kWinogradValues) *
                static_cast<double>(s.in_channels * s.out_channels));
}

void transform_weights(const Conv2dShape& s, const float* weight, const Patches& u) {
  const Transforms k(s);
  parallel_for(s.out_channels, transforms_ns(s.in_channels),
               [&](int64_t o) { k.weight.forward(weights(s, weight, o), u.row(o), k.lanes); });
}

// So many patches at a time that they, transformed, stay in L2 in all channels; a few at least, since the
// weights stream by for every block.
int64_t block_of(const Conv2dShape& s) {
  const int64_t fitting = kL2Floats / (kWinogradValues * (s.in_channels + s.out_channels));
  return std::clamp<int64_t>(fitting, kMaxWinogradColumns, 16 * kMaxWinogradColumns);
}

}  // namespace

bool winograd_takes(const Conv2dShape& s) {
  return s.kernel.h == s.kernel.w && (s.kernel.h == 3 || s.kernel.h == 5) && s.stride.h == 1 &&
         s.stride.w == 1 && s.dilation.h == 1 && s.dilation.w == 1 && s.groups == 1;
}

bool winograd_pays(const Conv2dShape& s) {
  if (!winograd_takes(s)) return false;
  const double patches = static_cast<double>(Tiling(s).per_image);
  const double in = static_cast<double>(s.in_channels), out = static_cast<double>(s.out_channels);
  const double direct = in * out * static_cast<double>(s.taps() * s.out_h * s.out_w);
  return patches * (in * out * kWinogradValues + (in + out) * kTransform) < 0.8 * direct;
}

void winograd(const Conv2dShape& s, const float* x, const float* weight, const float* bias, float* y) {
  const Tiling tiling(s);
  const Transforms k(s);
  const int64_t in = s.in_channels, out = s.out_channels;
  ScratchFrame frame;
  const Patches u(out, in, frame);
  transform_weights(s, weight, u);
  const int64_t blocks = ceil_div(tiling.count(), block_of(s)), longest = ceil_div(tiling.count(), blocks);
  parallel_for(blocks, transforms_ns(longest * (in + out)) + products_ns(s, longest), [&](int64_t block) {
    const Range tiles = split(tiling.count(), blocks, block);
    const int64_t count = tiles.end - tiles.begin;
    ScratchFrame own;
    const Patches v(count, in, own), m(count, out, own);
    for (int64_t i = 0; i < count; ++i)
      k.input.forward(tiling.inputs(tiles.begin + i, x, in), v.row(i), k.lanes);
    multiply(by_rows(u), out, by_rows(v), count, in, m.row(0), k.lanes, m.row_stride(), false);
    for (int64_t i = 0; i < count; ++i)
      k.output.adjoint(m.row(i), k.lanes, tiling.outputs(tiles.begin + i, y, out), bias);
  });
}

// A task has whole images, whose patches overlap.
void winograd_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  const Tiling tiling(s);
  const Transforms k(s);
  const int64_t in = s.in_channels, out = s.out_channels, image = in * s.in_h * s.in_w;
  ScratchFrame frame;
  const Patches u(out, in, frame);
  transform_weights(s, weight, u);
  const int64_t block = block_of(s), images = std::max<int64_t>(1, block / tiling.per_image);
  const int64_t tasks = ceil_div(s.batch, images), patches = images * tiling.per_image;
  parallel_for(tasks, transforms_ns(patches * (in + out)) + products_ns(s, patches), [&](int64_t task) {
    const Range own_images = split(s.batch, tasks, task);
    std::fill(dx + own_images.begin * image, dx + own_images.end * image, 0.0f);
    const int64_t first = own_images.begin * tiling.per_image, end = own_images.end * tiling.per_image;
    ScratchFrame own;
    const Patches q(block, out, own), dv(block, in, own);
    for (int64_t t = first; t < end; t += block) {
      const int64_t count = std::min(block, end - t);
      for (int64_t i = 0; i < count; ++i) k.output.forward(tiling.outputs(t + i, dy, out), q.row(i), k.lanes);
      multiply(by_columns(u), in, by_rows(q), count, out, dv.row(0), k.lanes, dv.row_stride(), false);
      for (int64_t i = 0; i < count; ++i)
        k.input.adjoint_add(dv.row(i), k.lanes, tiling.inputs(t + i, dx, in));
    }
  });
}

// The patches are shared out to a fixed number of sums, which are added up in order: the bits don't depend on
// the threads.
void winograd_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  constexpr int64_t kSums = 8, kAllSums = int64_t{1} << 22, kOutputs = 64;
  const Tiling tiling(s);
  const Transforms k(s);
  const int64_t in = s.in_channels, out = s.out_channels, block = block_of(s);
  const int64_t size = Patches::size(out, in);
  const int64_t sums = std::clamp<int64_t>(std::min(kAllSums / size, tiling.count() / block), 1, kSums);
  const int64_t output_blocks = ceil_div(out, kOutputs), longest = ceil_div(tiling.count(), sums);
  ScratchFrame frame;
  float* const all = frame.allocate<float>(sums * size);
  const double ns = transforms_ns(longest * (in + out)) + products_ns(s, longest);
  parallel_for(sums * output_blocks, ns / static_cast<double>(output_blocks), [&](int64_t task) {
    const Range tiles = split(tiling.count(), sums, task / output_blocks);
    const Range outputs = split(out, output_blocks, task % output_blocks);
    const int64_t own_out = outputs.end - outputs.begin;
    const Patches du(out, in, all + task / output_blocks * size);
    ScratchFrame own;
    const Patches q(block, own_out, own), v(block, in, own);
    for (int64_t t = tiles.begin; t < tiles.end; t += block) {
      const int64_t count = std::min(block, tiles.end - t);
      for (int64_t i = 0; i < count; ++i) {
        WinogradImages from = tiling.outputs(t + i, dy, out);
        from.values += outputs.begin * from.channel;
        from.count = own_out;
        k.output.forward(from, q.row(i), k.lanes);
        k.input.forward(tiling.inputs(t + i, x, in), v.row(i), k.lanes);
      }
      multiply(by_columns(q), own_out, by_columns(v), in, count, du.row(outputs.begin), du.row_stride(),
               k.lanes, t > tiles.begin);
    }
  });
  parallel_for(out, transforms_ns(in) + memory_ns(static_cast<double>(sums * size / out) * 4),
               [&](int64_t o) {
                 const Patches total(out, in, all);
                 const WinogradPatches row = total.row(o);
                 for (int64_t i = 1; i < sums; ++i)
                   for (int plane = 0; plane < kWinogradValues / k.lanes; ++plane)
                     kernels().optimizer.accumulate(total.row_stride(), row.data + plane * row.plane,
                                                    row.data + i * size + plane * row.plane);
                 k.weight.adjoint(row, k.lanes, weights(s, dw, o), nullptr);
               });
}

}  // namespace byhand::cpu
