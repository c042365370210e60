// A correlation with vectors along the output channels. With a prime for the transpose, y' = A w' is a matrix
// product. A is the im2col matrix, with a row for each output and a column for each term, a pair of a channel
// and a tap. cpu/kernels/conv2d_by_channels.h reads its values where they are. Terms in the padding are left
// out: all outputs of a tile read the same taps inside the image.
#include "cpu/conv2d/direct/correlate.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/conv2d/direct/panels.h"
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
constexpr int64_t kSumFloats = kL2Floats / 2;

struct Runs {
  const Run* run;
  int64_t count;
};

Runs all_runs(const TapAxis& axis, int64_t outputs, int64_t size, ScratchFrame& frame) {
  Run* const run = frame.allocate<Run>(std::min(outputs, 2 * axis.count + 1));
  int64_t count = 0;
  for (int64_t i = 0; i < outputs; i = run[count++].outputs.end)
    run[count] = run_inside(axis, i, outputs, size);
  return {run, count};
}

struct Plan {
  Plan(const Correlation& c, ScratchFrame& frame);

  int64_t terms_per_output() const { return c.channels * taps; }
  int64_t channels_of(int64_t block) const {
    return std::min(block_channels, c.channels - block * block_channels);
  }
  // The weights of a panel, for the channels from `channel` on.
  float* panel(int64_t group, int64_t j, int64_t channel) const {
    return weights + ((group * panels.count + j) * terms_per_output() + channel * taps) * panels.width;
  }

  const Correlation& c;
  const ChannelKernels& k;
  Panels panels;
  int64_t taps;
  int threads;                  // among which the work is divided
  int64_t band, bands, images;  // rows of outputs per task, tasks per image, images per task
  int64_t block_channels, blocks;
  Runs row_runs, column_runs;
  // terms[i * column_runs.count + j] has the terms of the outputs in run i of rows and run j of columns:
  // those of the first channel of a block, then those of the second, and so on.
  const ChannelTerm** terms;
  float* weights;  // (group, panel, channel, tap, output channel)
};

int64_t band_of(const Correlation& c, int64_t padded_outputs, int threads) {
  const int64_t fitting = std::clamp<int64_t>(kSumFloats / (padded_outputs * c.out.w), 1, c.out.h);
  const int64_t sharing = std::clamp<int64_t>(ceil_div(threads, c.batch * c.groups), 1, c.out.h);
  return ceil_div(c.out.h, std::max(ceil_div(c.out.h, fitting), sharing));
}

const ChannelTerm* terms_of(const Plan& p, const Range& tap_rows, const Range& tap_columns,
                            ScratchFrame& frame) {
  const Correlation& c = p.c;
  ChannelTerm* const terms = frame.allocate<ChannelTerm>(p.block_channels * (tap_rows.end - tap_rows.begin) *
                                                         (tap_columns.end - tap_columns.begin));
  ChannelTerm* to = terms;
  const int64_t width = p.panels.width;
  for (int64_t channel = 0; channel < p.block_channels; ++channel)
    for (int64_t ty = tap_rows.begin; ty < tap_rows.end; ++ty)
      for (int64_t tx = tap_columns.begin; tx < tap_columns.end; ++tx)
        *to++ = {(channel * c.source.h + c.rows.tap[ty]) * c.source.w + c.columns.tap[tx],
                 (channel * p.taps + ty * c.columns.count + tx) * width};
  return terms;
}

void pack_weights(const Plan& p) {
  const Correlation& c = p.c;
  // pack_rows takes adjacent taps. The taps of a phase of a strided input gradient may have gaps.
  bool dense = true;
  for (int64_t ty = 0; ty < c.rows.count; ++ty)
    for (int64_t tx = 0; tx < c.columns.count; ++tx)
      dense = dense && c.row_offset[ty] + c.column_offset[tx] == ty * c.columns.count + tx;
  const auto pack = kernels<GemmKernels>().pack_rows;
  const int64_t width = p.panels.width;
  parallel_for(c.groups * c.channels, static_cast<double>(p.panels.padded * p.taps), [&](int64_t i) {
    const int64_t group = i / c.channels, channel = i % c.channels;
    const float* const from = c.weight + group * c.weight_group + channel * c.weight_channel;
    for (int64_t j = 0; j < p.panels.count; ++j) {
      const int64_t begin = p.panels.begin(j), used = std::min(width, c.outputs - begin);
      float* to = p.panel(group, j, channel);
      if (dense) {
        pack(from + begin * c.weight_output, c.weight_output, used, p.taps, to, width, width * p.taps);
        continue;
      }
      for (int64_t ty = 0; ty < c.rows.count; ++ty)
        for (int64_t tx = 0; tx < c.columns.count; ++tx, to += width) {
          const float* const tap = from + begin * c.weight_output + c.row_offset[ty] + c.column_offset[tx];
          for (int64_t o = 0; o < used; ++o) to[o] = tap[o * c.weight_output];
          std::fill(to + used, to + width, 0.0f);
        }
    }
  });
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
      block_channels(std::clamp<int64_t>(kTileFloats / (taps * panels.width), 1, c.channels)),
      blocks(ceil_div(c.channels, block_channels)),
      row_runs(all_runs(c.rows, c.out.h, c.source.h, frame)),
      column_runs(all_runs(c.columns, c.out.w, c.source.w, frame)) {
  if (bands == 1) {
    const int64_t plane = c.out.h * c.out.w;
    const int64_t fitting = std::min(kTaskOutputs, kSumFloats / panels.padded) / plane;
    images = std::clamp<int64_t>(fitting, 1, ceil_div(c.batch * c.groups, threads));
    images = std::min(images, c.batch);
  }
  terms = frame.allocate<const ChannelTerm*>(row_runs.count * column_runs.count);
  for (int64_t i = 0; i < row_runs.count; ++i)
    for (int64_t j = 0; j < column_runs.count; ++j)
      terms[i * column_runs.count + j] =
          terms_of(*this, row_runs.run[i].taps, column_runs.run[j].taps, frame);
  weights = frame.allocate<float>(c.groups * panels.stored * terms_per_output());
  pack_weights(*this);
}

// The outputs of a task: `images` images, of which each has `rows` rows from `first_row` on.
struct Outputs {
  int64_t images, first_row, rows;
};

// The outputs of a task that read the same taps inside the image.
struct OutputSet {
  const ChannelRow* row;
  int64_t count;
  const ChannelTerm* term;
  int64_t terms_per_channel;
};

// Sorts the outputs of a task by the taps that they read inside the image. Returns one set for each pair of a
// run of rows and a run of columns. A set may be empty.
const OutputSet* sort_outputs(const Plan& p, const Outputs& o, ScratchFrame& frame) {
  const Correlation& c = p.c;
  OutputSet* const sets = frame.allocate<OutputSet>(p.row_runs.count * p.column_runs.count);
  ChannelRow* to = frame.allocate<ChannelRow>(o.images * o.rows * c.out.w);
  for (int64_t i = 0; i < p.row_runs.count; ++i)
    for (int64_t j = 0; j < p.column_runs.count; ++j) {
      const Run &rows = p.row_runs.run[i], &columns = p.column_runs.run[j];
      const int64_t first = std::max(rows.outputs.begin, o.first_row),
                    end = std::min(rows.outputs.end, o.first_row + o.rows);
      ChannelRow* const row = to;
      for (int64_t n = 0; n < o.images; ++n)
        for (int64_t oy = first; oy < end; ++oy)
          for (int64_t ox = columns.outputs.begin; ox < columns.outputs.end; ++ox)
            *to++ = {(n * c.groups * c.channels * c.source.h + oy * c.rows.stride) * c.source.w +
                         ox * c.columns.stride,
                     ((n * o.rows + oy - o.first_row) * c.out.w + ox) * p.panels.padded};
      const int64_t set = i * p.column_runs.count + j;
      sets[set] = {row, to - row, p.terms[set],
                   (rows.taps.end - rows.taps.begin) * (columns.taps.end - columns.taps.begin)};
    }
  return sets;
}

// Adds the terms of one block of channels to the sums. `x` points to the first of these channels.
void add_block(const Plan& p, int64_t group, int64_t block, const float* x, const OutputSet* sets,
               const float* bias, float* sums) {
  ChannelTile t{};
  t.x = x;
  for (int64_t j = 0; j < p.panels.count; ++j) {
    const int64_t vectors = p.panels.width_of(j) / p.k.channel_lanes;
    t.b = p.panel(group, j, block * p.block_channels);
    t.bias = block == 0 ? bias + p.panels.begin(j) : nullptr;
    t.out = sums + p.panels.begin(j);
    for (int64_t i = 0; i < p.row_runs.count * p.column_runs.count; ++i) {
      const OutputSet& set = sets[i];
      if (set.count == 0) continue;
      t.depth = p.channels_of(block) * set.terms_per_channel;
      t.term = set.term;
      const int64_t tiles = ceil_div(set.count, p.k.channel_rows[vectors - 1]);
      const Split ranges(set.count, tiles);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const Range r = ranges[tile];
        t.row = set.row + r.begin;
        p.k.channel_tile[vectors - 1][r.end - r.begin - 1](t);
      }
    }
  }
}

}  // namespace

void correlate_by_channels(const Correlation& c) {
  ScratchFrame frame;
  const Plan p(c, frame);
  const int64_t source_plane = c.source.h * c.source.w, plane = c.out.h * c.out.w;
  const int64_t parts = ceil_div(c.batch, p.images);
  const int64_t tasks = parts * c.groups * p.bands;
  parallel_for(tasks, c.ns(p.panels.padded) / static_cast<double>(tasks), [&](int64_t task) {
    const int64_t band = task % p.bands, group = task / p.bands % c.groups;
    const Range images = split(c.batch, parts, task / p.bands / c.groups);
    const int64_t first_row = band * p.band, rows = std::min(p.band, c.out.h - first_row);
    const int64_t count = images.end - images.begin, positions = rows * c.out.w;
    ScratchFrame task_frame;
    float* const bias = task_frame.allocate<float>(p.panels.padded);
    std::fill_n(bias, p.panels.padded, 0.0f);
    if (c.bias) std::copy_n(c.bias + group * c.outputs, c.outputs, bias);
    float* const sums = task_frame.allocate<float>(count * positions * p.panels.padded);
    const OutputSet* const sets = sort_outputs(p, {count, first_row, rows}, task_frame);
    for (int64_t block = 0; block < p.blocks; ++block) {
      const int64_t channel = (images.begin * c.groups + group) * c.channels + block * p.block_channels;
      add_block(p, group, block, c.x + channel * source_plane, sets, bias, sums);
    }
    for (int64_t n = 0; n < count; ++n)
      p.k.transpose(sums + n * positions * p.panels.padded, p.panels.padded, positions, c.outputs,
                    c.y + ((images.begin + n) * c.groups + group) * c.outputs * plane + first_row * c.out.w,
                    plane);
  });
}

}  // namespace byhand::cpu
