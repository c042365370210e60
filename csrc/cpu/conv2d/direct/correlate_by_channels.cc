// A correlation with vectors along the output channels. With a prime for the transpose, y' = A w' is a matrix
// product. A is the im2col matrix, with a row for each output and a column for each term, a pair of a channel
// and a tap. cpu/kernels/conv2d_by_channels.h reads its values where they are.
#include "cpu/conv2d/direct/correlate.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/conv2d/direct/panels.h"
#include "cpu/conv2d/direct/windows.h"
#include "cpu/kernels/conv2d_by_channels.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The maximum number of weights that a tile reads, unless one channel has more. They stay in L1 while the
// tile runs over the outputs of a band.
constexpr int64_t kTileFloats = kL1Floats * 5 / 8;
// The maximum number of sums of a task, unless a row of outputs has more. They stay in L2, beside the inputs.
constexpr int64_t kSumFloats = kL2Floats / 4;
// The maximum number of copied inputs of a task, unless one channel has more.
constexpr int64_t kCopiedFloats = kL2Floats / 2;
// The number of outputs that a task should have if planes are small. The task takes as many whole images as
// fit into this number, but at least one.
constexpr int64_t kOutputs = 48;

struct Plan {
  Plan(const Correlation& c, ScratchFrame& frame);

  int64_t terms() const { return c.channels * taps; }  // of all blocks
  int64_t channels_of(int64_t block) const {
    return std::min(block_channels, c.channels - block * block_channels);
  }

  const Correlation& c;
  const ChannelKernels& k;
  Panels panels;
  int64_t taps;
  int threads;                  // among which the work is divided
  int64_t band, bands, images;  // rows of outputs per task, tasks per image, images per task
  Windows windows;
  int64_t block_channels, blocks;
  int64_t image_size;     // the distance of two images in the windows
  int64_t* row;           // the offset of each output of a task
  int64_t* term;          // the offset of each channel of a block and tap
  const Range* tap_rows;  // for each row of outputs, the tap rows that it reads inside the image
  float* weights;         // (group, panel, term, output channel)
};

int64_t band_of(const Correlation& c, int64_t padded_outputs, int threads) {
  const int64_t fitting = std::clamp<int64_t>(kSumFloats / (padded_outputs * c.out.w), 1, c.out.h);
  const int64_t sharing = std::clamp<int64_t>(ceil_div(threads, c.batch * c.groups), 1, c.out.h);
  return ceil_div(c.out.h, std::max(ceil_div(c.out.h, fitting), sharing));
}

Plan::Plan(const Correlation& correlation, ScratchFrame& frame)
    : c(correlation),
      k(kernels<ChannelKernels>()),
      panels(c.outputs),
      taps(c.rows.count * c.columns.count),
      threads(threads_for(c.ns(panels.padded))),
      band(band_of(c, panels.padded, threads)),
      bands(ceil_div(c.out.h, band)),
      images(1),
      windows(c.source, c.out, band, c.rows, c.columns, frame) {
  const int64_t room = windows.in_place() ? kCopiedFloats : kCopiedFloats / windows.channel_size();
  if (bands == 1) {
    const int64_t shared = ceil_div(c.batch * c.groups, threads);  // so that every thread gets a task
    images = std::clamp<int64_t>(std::min({kOutputs / (c.out.h * c.out.w), room, shared}), 1, c.batch);
  }
  block_channels =
      std::clamp<int64_t>(std::min(kTileFloats / (taps * panels.width_of(0)), room / images), 1, c.channels);
  blocks = ceil_div(c.channels, block_channels);
  image_size = windows.in_place() ? c.groups * c.channels * windows.channel_size()
                                  : block_channels * windows.channel_size();
  row = frame.allocate<int64_t>(images * band * c.out.w);
  int64_t* to = row;
  for (int64_t n = 0; n < images; ++n)
    for (int64_t oy = 0; oy < band; ++oy)
      for (int64_t ox = 0; ox < c.out.w; ++ox) *to++ = n * image_size + windows.output(oy, ox);
  term = to = frame.allocate<int64_t>(block_channels * taps);
  for (int64_t channel = 0; channel < block_channels; ++channel)
    for (int64_t ty = 0; ty < c.rows.count; ++ty)
      for (int64_t tx = 0; tx < c.columns.count; ++tx)
        *to++ = channel * windows.channel_size() + windows.tap(ty, tx);
  tap_rows = tap_rows_inside(c, frame);
  weights = frame.allocate<float>(c.groups * panels.padded * terms());
  // pack_rows takes adjacent taps. The taps of a phase of a strided input gradient may have gaps.
  bool dense = true;
  for (int64_t ty = 0; ty < c.rows.count; ++ty)
    for (int64_t tx = 0; tx < c.columns.count; ++tx)
      dense = dense && c.row_offset[ty] + c.column_offset[tx] == ty * c.columns.count + tx;
  const auto pack = kernels<GemmKernels>().pack_rows;
  parallel_for(c.groups * c.channels, static_cast<double>(panels.padded * taps), [&](int64_t i) {
    const int64_t group = i / c.channels, channel = i % c.channels;
    const float* const from = c.weight + group * c.weight_group + channel * c.weight_channel;
    for (int64_t j = 0; j < panels.count; ++j) {
      const int64_t columns = panels.width_of(j), used = std::min(columns, c.outputs - panels.begin(j));
      float* panel = weights + (group * panels.padded + panels.begin(j)) * terms() + channel * taps * columns;
      if (dense) {
        pack(from + panels.begin(j) * c.weight_output, c.weight_output, used, taps, panel, columns,
             columns * taps);
        continue;
      }
      for (int64_t ty = 0; ty < c.rows.count; ++ty)
        for (int64_t tx = 0; tx < c.columns.count; ++tx, panel += columns) {
          const float* const tap =
              from + panels.begin(j) * c.weight_output + c.row_offset[ty] + c.column_offset[tx];
          for (int64_t o = 0; o < used; ++o) panel[o] = tap[o * c.weight_output];
          std::fill(panel + used, panel + columns, 0.0f);
        }
    }
  });
}

// The outputs of a task: `images` images, of which each has `rows` rows from `first_row` on.
struct Outputs {
  int64_t images, first_row, rows;
};

// Calls f(outputs, taps) for each run of rows that read the same tap rows inside the image. `outputs` are the
// numbers of their outputs. Other taps would only add products of weights and zeros.
template <class F>
void for_runs(const Plan& p, const Outputs& o, F f) {
  const auto taps = [&](int64_t i) { return p.tap_rows[o.first_row + i % o.rows]; };
  for (int64_t i = 0; i < o.images * o.rows;) {
    const int64_t first = i;
    const Range t = taps(first);
    while (i < o.images * o.rows && taps(i).begin == t.begin && taps(i).end == t.end) ++i;
    f(Range{first * p.c.out.w, i * p.c.out.w}, t);
  }
}

// Adds the terms of one block to the sums.
void add_block(const Plan& p, int64_t group, int64_t block, const float* x, const Outputs& o,
               const float* bias, float* sums) {
  const int64_t channels = p.channels_of(block), tap_columns = p.c.columns.count;
  ChannelTile t{};
  t.x = x;
  t.x_step = p.windows.channel_size();
  t.out_stride = p.panels.padded;
  for (int64_t j = 0; j < p.panels.count; ++j) {
    const int64_t width = p.panels.width_of(j), vectors = width / p.k.channel_lanes;
    const float* const weights = p.weights + (group * p.panels.padded + p.panels.begin(j)) * p.terms() +
                                 block * p.block_channels * p.taps * width;
    t.b_stride = width, t.b_step = p.taps * width;
    for_runs(p, o, [&](Range outputs, Range taps) {
      t.steps = channels, t.depth = (taps.end - taps.begin) * tap_columns;
      if (t.depth == p.taps) t.steps = 1, t.depth *= channels;  // one long loop instead of many short ones
      t.term = p.term + taps.begin * tap_columns;
      t.b = weights + taps.begin * tap_columns * width;
      const int64_t count = outputs.end - outputs.begin;
      const int64_t tiles = ceil_div(count, p.k.channel_rows[vectors - 1]);
      const Split ranges(count, tiles);
      for (int64_t i = 0; i < tiles; ++i) {
        const Range r = ranges[i];
        const int64_t first = outputs.begin + r.begin;
        t.row = p.row + first;
        t.out = sums + first * p.panels.padded + p.panels.begin(j);
        t.start = block == 0 ? bias + p.panels.begin(j) : t.out;
        t.start_stride = block == 0 ? 0 : p.panels.padded;
        p.k.channel_tile[vectors - 1][r.end - r.begin - 1](t);
      }
    });
  }
}

}  // namespace

void correlate_by_channels(const Correlation& c) {
  ScratchFrame frame;
  const Plan p(c, frame);
  const int64_t source_plane = c.source.h * c.source.w, plane = c.out.h * c.out.w;
  const int64_t parts = ceil_div(c.batch, p.images);
  const double outputs = static_cast<double>(p.images * p.band) * static_cast<double>(c.out.w);
  const double ns = fma_ns(outputs * static_cast<double>(p.panels.padded) * static_cast<double>(p.terms()));
  parallel_for(parts * c.groups * p.bands, ns, [&](int64_t task) {
    const int64_t band = task % p.bands, group = task / p.bands % c.groups;
    const Range images = split(c.batch, parts, task / p.bands / c.groups);
    const int64_t first_row = band * p.band, rows = std::min(p.band, c.out.h - first_row);
    const int64_t count = images.end - images.begin, positions = rows * c.out.w;
    ScratchFrame task_frame;
    float* const copy = p.windows.in_place() ? nullptr : task_frame.allocate<float>(p.images * p.image_size);
    float* const bias = task_frame.allocate<float>(p.panels.padded);
    std::fill_n(bias, p.panels.padded, 0.0f);
    if (c.bias) std::copy_n(c.bias + group * c.outputs, c.outputs, bias);
    float* const sums = task_frame.allocate<float>(count * positions * p.panels.padded);
    for (int64_t block = 0; block < p.blocks; ++block) {
      const int64_t channel = group * c.channels + block * p.block_channels;
      const float* x = nullptr;
      for (int64_t n = count; n-- > 0;)
        x = p.windows.begin(c.x + ((images.begin + n) * c.groups * c.channels + channel) * source_plane,
                            p.channels_of(block), first_row, copy ? copy + n * p.image_size : nullptr);
      add_block(p, group, block, x, {count, first_row, rows}, bias, sums);
    }
    for (int64_t n = 0; n < count; ++n)
      p.k.transpose(sums + n * positions * p.panels.padded, p.panels.padded, positions, c.outputs,
                    c.y + ((images.begin + n) * c.groups + group) * c.outputs * plane + first_row * c.out.w,
                    plane);
  });
}

}  // namespace byhand::cpu
