#include "cpu/conv2d/winograd/winograd.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/scratch.h"
#include "cpu/conv2d/ordered_sums.h"
#include "cpu/conv2d/winograd/patches.h"
#include "cpu/kernels/conv2d_winograd.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

namespace {

// The maximum number of terms p that `multiply` adds in one step. The vectors of both operands that a tile
// reads in one step stay in L1.
constexpr int64_t kDepth = 64;

}  // namespace

void multiply(const Operand& a, int64_t rows, const Operand& b, int64_t columns, int64_t depth,
              const WinogradPatches& out, int64_t out_row, int64_t out_column, bool add) {
  const WinogradProductKernels& k = kernels<WinogradProductKernels>();
  const int64_t row_tiles = ceil_div(rows, k.rows), column_tiles = ceil_div(columns, k.columns);
  const Split row_ranges(rows, row_tiles), column_ranges(columns, column_tiles);
  WinogradTile t{};
  t.a_row = a.row, t.a_depth = a.depth, t.b_row = b.row, t.b_depth = b.depth;
  t.out_row = out_row, t.out_column = out_column;
  for (int plane = 0; plane < kWinogradValues / k.lanes; ++plane)
    for (int64_t p = 0; p < depth; p += kDepth)
      for (int64_t i = 0; i < row_tiles; ++i) {
        const Range r = row_ranges[i];
        for (int64_t j = 0; j < column_tiles; ++j) {
          const Range c = column_ranges[j];
          t.depth = std::min(kDepth, depth - p);
          t.a = a.data + plane * a.plane + r.begin * a.row + p * a.depth;
          t.b = b.data + plane * b.plane + c.begin * b.row + p * b.depth;
          t.out = out.data + plane * out.plane + r.begin * out_row + c.begin * out_column;
          t.add = add || p > 0;
          k.tile[r.end - r.begin - 1][c.end - c.begin - 1](t);
        }
      }
}

namespace {

// Returns the number of patches per block. The transformed patches of a block, in all channels, should fit
// into L2. But the transformed weights are read again for every block. So if these weights are larger than
// L2, the transformed patches may take as much memory as the transformed weights. In both cases, a block has
// at least 20 and at most 80 patches.
int64_t block_of(const Conv2dShape& s) {
  const int64_t channels = s.in_channels + s.out_channels;
  const int64_t fitting = kL2Floats / (kWinogradValues * channels);
  const int64_t as_weights = s.in_channels * s.out_channels / channels;
  return std::clamp<int64_t>(std::max(fitting, as_weights), 4 * kMaxWinogradColumns,
                             16 * kMaxWinogradColumns);
}

}  // namespace

Winograd::Winograd(const Conv2dShape& s) : shape_(s) {}

namespace {

// A weight cache has three parts: the address of the kernel table that filled it, a copy of the weights, and
// the transformed weights. Each part begins on a cache line.

int64_t lines(int64_t floats) { return ceil_div(floats, kCacheLineFloats) * kCacheLineFloats; }

float* first_line(float* cache) {
  constexpr uintptr_t kLine = kCacheLineBytes;
  const auto address = reinterpret_cast<uintptr_t>(cache);
  return cache + (kLine - address % kLine) % kLine / sizeof(float);
}

}  // namespace

int64_t Winograd::cache_size(const int64_t (&weight)[4]) {
  const bool used = weight[2] == weight[3] && (weight[2] == 3 || weight[2] == 5);
  const int64_t outputs = used ? weight[0] : 0, inputs = weight[1];
  return 2 * kCacheLineFloats + lines(outputs * inputs * weight[2] * weight[3]) +
         Patches::most(outputs, inputs);
}

void Winograd::clear_cache(float* cache) { std::fill_n(cache, 2 * kCacheLineFloats, 0.0f); }

Winograd::Winograd(const Conv2dShape& s, const float* weight, ScratchFrame& frame, float* cache) : shape_(s) {
  const int64_t row = s.in_channels * s.taps(), count = s.out_channels * row;
  const WinogradTransformKernels* const table = &transforms();
  float* const mark = cache ? first_line(cache) : nullptr;
  float* const copy = cache ? mark + kCacheLineFloats : nullptr;
  const Patches u = cache ? Patches(s.out_channels, s.in_channels, copy + lines(count))
                          : Patches(s.out_channels, s.in_channels, frame);
  weights_ = u.data();
  const auto bytes = [](int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); };
  if (cache && std::memcmp(mark, &table, sizeof table) == 0 && std::memcmp(copy, weight, bytes(count)) == 0)
    return;
  // Another thread may write to the weights at the same time. So each weight is read only once, into the
  // copy, and the transform reads the copy. If the transform read the weights again, it could get other
  // values than the copy. Later calls compare only the copy with their weights, so they would use the wrong
  // transform.
  if (cache) clear_cache(cache);
  parallel_for(s.out_channels, transforms_ns(s.in_channels), [&](int64_t o) {
    if (cache) std::memcpy(copy + o * row, weight + o * row, bytes(row));
    weight_transform(s).forward(kernels_of(s, cache ? copy : weight, o, {0, s.in_channels}), u.row(o),
                                lanes());
  });
  if (cache) std::memcpy(mark, &table, sizeof table);
}

int64_t Winograd::patches() const { return Tiling(shape_).per_image; }

double Winograd::ns(int64_t patches) const {
  return transforms_ns(patches * (shape_.in_channels + shape_.out_channels)) + products_ns(shape_, patches);
}

// Calls store(t, sums) for each patch t of outputs. `sums` holds M_o (see winograd.h) of patch t for all
// output channels o.
template <class Store>
void Winograd::forward(Range patches, const float* x, const Store& store) const {
  const Tiling tiling(shape_);
  const int64_t in = shape_.in_channels, out = shape_.out_channels;
  const int64_t blocks = ceil_div(patches.end - patches.begin, block_of(shape_));
  ScratchFrame frame;
  const int64_t longest = ceil_div(patches.end - patches.begin, blocks);
  const Patches u(out, in, const_cast<float*>(weights_)), v(longest, in, frame), m(longest, out, frame);
  for (int64_t b = 0; b < blocks; ++b) {
    const Range block = split(patches.end - patches.begin, blocks, b);
    const int64_t first = patches.begin + block.begin, count = block.end - block.begin;
    for (int64_t i = 0; i < count; ++i)
      transforms().input(tiling.inputs(first + i, x, in), v.row(i), lanes());
    multiply(by_rows(u), out, by_rows(v), count, in, m.row(0), lanes(), m.row_stride(), false);
    for (int64_t i = 0; i < count; ++i) store(first + i, m.row(i));
  }
}

void Winograd::forward(Range patches, const float* x, const float* bias, float* y) const {
  const Tiling tiling(shape_);
  const auto adjoint = output_transform(shape_).adjoint;
  forward(patches, x, [&](int64_t i, const WinogradPatches& sums) {
    adjoint(sums, lanes(), tiling.outputs(i, y, shape_.out_channels), bias);
  });
}

void Winograd::forward_pooled(Range patches, const float* x, const float* bias, float* y,
                              int32_t* index) const {
  const Tiling tiling(shape_);
  const auto maxima = pooling(shape_).maxima;
  forward(patches, x, [&](int64_t i, const WinogradPatches& sums) {
    maxima(sums, lanes(), tiling.windows(i, y, index), bias);
  });
}

void Winograd::backward(Range patches, const Gradients& g) const {
  const Tiling tiling(shape_);
  const int64_t in = shape_.in_channels, out = shape_.out_channels, own = g.outputs.end - g.outputs.begin;
  const int64_t block = std::min(block_of(shape_), patches.end - patches.begin);
  ScratchFrame frame;
  const Patches u(out, in, const_cast<float*>(weights_)), du(out, in, g.sums);
  const Patches q(block, own, frame), v(block, in, frame);
  for (int64_t first = patches.begin; first < patches.end; first += block) {
    const int64_t count = std::min(block, patches.end - first);
    for (int64_t i = 0; i < count; ++i)
      if (g.index)
        pooling(shape_).from_maxima(tiling.windows(first + i, g.dy, g.index), q.row(i), lanes());
      else
        output_transform(shape_).forward(channels_of(tiling.outputs(first + i, g.dy, out), g.outputs),
                                         q.row(i), lanes());
    if (g.sums) {
      for (int64_t i = 0; i < count; ++i)
        transforms().input(tiling.inputs(first + i, g.x, in), v.row(i), lanes());
      multiply(by_columns(q), own, by_columns(v), in, count, du.row(g.outputs.begin), du.row_stride(),
               lanes(), g.add || first > patches.begin);
    }
    if (g.dx) {
      multiply(by_columns(u), in, by_rows(q), count, out, v.row(0), lanes(), v.row_stride(), false);
      for (int64_t i = 0; i < count; ++i)
        transforms().input_adjoint_add(v.row(i), lanes(), tiling.inputs(first + i, g.dx, in));
    }
  }
}

int64_t Winograd::size_of_sums() const { return Patches::size(shape_.out_channels, shape_.in_channels); }

void Winograd::finish(float* sums, int64_t count, float* dw) const {
  const Conv2dShape& s = shape_;
  const int64_t size = size_of_sums();
  const Patches total(s.out_channels, s.in_channels, sums);
  const double ns = transforms_ns(s.in_channels) +
                    memory_ns(static_cast<double>(count * size / s.out_channels) * sizeof(float));
  parallel_for(s.out_channels, ns, [&](int64_t o) {
    const WinogradPatches row = total.row(o);
    for (int plane = 0; plane < kWinogradValues / lanes(); ++plane) {
      float* const to = row.data + plane * row.plane;
      add_in_order(to + size, count - 1, size, total.row_stride(), to);
    }
    weight_transform(s).adjoint(row, lanes(), kernels_of(s, dw, o, {0, s.in_channels}), nullptr);
  });
}

int64_t Winograd::block() const { return block_of(shape_); }

}  // namespace byhand::cpu
