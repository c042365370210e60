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

// The minimum number of terms in a table, unless a block has fewer. After the last one, a tile moves all of
// its pointers on. Tables with the terms of all channels would take long to make: 16 to 16 channels, 7 x 7 on
// planes of 7 x 7, 4 images, take 39 us with them and 35 us without.
constexpr int64_t kTableTerms = 64;

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

// The terms of some channels: those of the first channel, then those of the second, and so on.
struct TermTable {
  const ChannelTerm* term;
  int64_t per_channel, channels;
};

// The terms of the outputs of a run of rows and a run of columns. These outputs form lines, parts of rows or
// of columns. A tile reads the terms one by one, window[0]. But if the taps slide along long lines, tiles of
// one vector are even tiles, which read windows of two and three taps. The whole runs decide this, and not
// their parts in a band, because it decides the order of the sums. So a line in a band may be short.
struct Terms {
  bool down;  // whether a line is a part of a column of outputs
  bool has_windows;
  TermTable window[kMaxWindow];  // [taps - 1]
  int64_t row_step, tap_step;    // of the even tiles
};

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
  int threads;  // among which the work is divided
  int64_t block_channels, blocks;
  Runs row_runs, column_runs;
  int64_t images, band, bands;  // images per task, rows of outputs per task, tasks per part and group
  // terms[i * column_runs.count + j] has the terms of the outputs in run i of rows and run j of columns.
  Terms* terms;
  float* weights;  // (group, panel, channel, tap, output channel)
};

// Threads share the images, unless the sets of outputs with the same taps inside would become so small that
// tiles wait for their multiply-adds. Then they share the rows of the images.
int64_t images_of(const Plan& p) {
  const Correlation& c = p.c;
  const int64_t plane = c.out.h * c.out.w, sets = p.row_runs.count * p.column_runs.count;
  const int64_t fitting =
      std::clamp<int64_t>(std::min(kTaskOutputs, kSumFloats / p.panels.padded) / plane, 1, c.batch);
  const int64_t vectors = p.panels.width / p.panels.lanes;
  const int64_t filling = std::min(fitting, ceil_div(kLeastSums * sets, plane * vectors));
  return std::clamp(ceil_div(c.batch * c.groups, p.threads), filling, fitting);
}

int64_t band_of(const Plan& p) {
  const Correlation& c = p.c;
  const int64_t fitting = std::clamp<int64_t>(kSumFloats / (p.panels.padded * c.out.w), 1, c.out.h);
  const int64_t parts = ceil_div(c.batch, p.images) * c.groups;
  const int64_t sharing = std::clamp<int64_t>(ceil_div(p.threads, parts), 1, c.out.h);
  return ceil_div(c.out.h, std::max(ceil_div(c.out.h, fitting), sharing));
}

bool falls(const TapAxis& axis) { return axis.count > 1 && axis.tap[1] < axis.tap[0]; }

// Returns a table with the windows of `size` taps into which these taps are divided.
TermTable table_of(const Plan& p, const Range& tap_rows, const Range& tap_columns, Pair size,
                   ScratchFrame& frame) {
  const Correlation& c = p.c;
  const int64_t per_channel =
      (tap_rows.end - tap_rows.begin) / size.h * ((tap_columns.end - tap_columns.begin) / size.w);
  const int64_t channels =
      std::min(p.block_channels, ceil_div(kTableTerms, std::max<int64_t>(per_channel, 1)));
  ChannelTerm* const terms = frame.allocate<ChannelTerm>(channels * per_channel);
  ChannelTerm* to = terms;
  // A window begins at its first value in the image.
  const int64_t first_row = falls(c.rows) ? size.h - 1 : 0, first_column = falls(c.columns) ? size.w - 1 : 0;
  for (int64_t channel = 0; channel < channels; ++channel)
    for (int64_t ty = tap_rows.begin + first_row; ty < tap_rows.end; ty += size.h)
      for (int64_t tx = tap_columns.begin + first_column; tx < tap_columns.end; tx += size.w)
        *to++ = {(channel * c.source.h + c.rows.tap[ty]) * c.source.w + c.columns.tap[tx],
                 (channel * p.taps + ty * c.columns.count + tx) * p.panels.width};
  return {terms, per_channel, channels};
}

// Returns the length of the lines along an axis for which even tiles can be used, or 0 if there are none.
int64_t sliding_line(const TapAxis& axis, const Run& run) {
  const int64_t line = run.outputs.end - run.outputs.begin;
  return slides(axis) && run.taps.end - run.taps.begin > 1 && line >= kLeastLine ? line : 0;
}

Terms terms_of(const Plan& p, const Run& rows, const Run& columns, ScratchFrame& frame) {
  const Correlation& c = p.c;
  Terms terms{};
  terms.window[0] = table_of(p, rows.taps, columns.taps, {1, 1}, frame);
  const int64_t height = sliding_line(c.rows, rows), width = sliding_line(c.columns, columns);
  terms.down = height > width;
  terms.has_windows = p.panels.has_narrow() && std::max(height, width) > 0 && terms.window[0].per_channel > 0;
  if (!terms.has_windows) return terms;
  const Range taps = terms.down ? rows.taps : columns.taps;
  const TapAxis& axis = terms.down ? c.rows : c.columns;
  terms.row_step = axis.stride * (terms.down ? c.source.w : 1);
  terms.tap_step = p.panels.width * (terms.down ? c.columns.count : 1) * (falls(axis) ? -1 : 1);
  const int64_t pairs =
      (3 - (taps.end - taps.begin) % 3) % 3;  // so that the other taps form windows of three
  const int64_t middle = taps.begin + 2 * pairs;
  const auto windows = [&](Range part, int64_t size) {
    return terms.down ? table_of(p, part, columns.taps, {size, 1}, frame)
                      : table_of(p, rows.taps, part, {1, size}, frame);
  };
  terms.window[1] = windows({taps.begin, middle}, 2);
  terms.window[2] = windows({middle, taps.end}, 3);
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
      block_channels(std::clamp<int64_t>(kTileFloats / (taps * panels.width), 1, c.channels)),
      blocks(ceil_div(c.channels, block_channels)),
      row_runs(all_runs(c.rows, c.out.h, c.source.h, frame)),
      column_runs(all_runs(c.columns, c.out.w, c.source.w, frame)),
      images(images_of(*this)),
      band(band_of(*this)),
      bands(ceil_div(c.out.h, band)) {
  terms = frame.allocate<Terms>(row_runs.count * column_runs.count);
  for (int64_t i = 0; i < row_runs.count; ++i)
    for (int64_t j = 0; j < column_runs.count; ++j)
      terms[i * column_runs.count + j] = terms_of(*this, row_runs.run[i], column_runs.run[j], frame);
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
  int64_t count, line;  // the number of outputs, and of those in a line
  const Terms* terms;
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
      const int64_t set = i * p.column_runs.count + j;
      const bool down = p.terms[set].down;
      const int64_t height = std::max<int64_t>(end - first, 0),
                    width = columns.outputs.end - columns.outputs.begin;
      const int64_t line = down ? height : width, lines = down ? width : height;
      const ChannelRow right{c.columns.stride, p.panels.padded},
          below{c.rows.stride * c.source.w, c.out.w * p.panels.padded};
      const ChannelRow step = down ? below : right, line_step = down ? right : below;
      ChannelRow* const row = to;
      for (int64_t n = 0; n < o.images; ++n) {
        const int64_t image = n * c.groups * c.channels * c.source.h * c.source.w;
        const int64_t out = n * o.rows * below.out;
        for (int64_t l = 0; l < lines; ++l) {
          ChannelRow next{image + first * below.x + columns.outputs.begin * right.x + l * line_step.x,
                          out + (first - o.first_row) * below.out + columns.outputs.begin * right.out +
                              l * line_step.out};
          for (int64_t k = 0; k < line; ++k, next.x += step.x, next.out += step.out) *to++ = next;
        }
      }
      sets[set] = {row, to - row, line, &p.terms[set]};
    }
  return sets;
}

// Makes a tile read this table, for `channels` channels.
void set_terms(const Plan& p, const TermTable& table, int64_t channels, ChannelTile& t) {
  t.depth = channels * table.per_channel;
  t.term = table.term;
  t.period = table.channels * table.per_channel;
  t.period_step = {table.channels * p.c.source.h * p.c.source.w, table.channels * p.taps * p.panels.width};
}

// Adds the terms of `channels` channels to the sums of a set, by tiles of this number of vectors.
void add_terms(const Plan& p, ChannelTile t, int64_t vectors, const OutputSet& set, int64_t channels) {
  set_terms(p, set.terms->window[0], channels, t);
  t.row = set.row;
  compute_tiles(t, set.count, p.k.channel_rows[vectors - 1], p.k.channel_tile[vectors - 1]);
}

// The same by even tiles, line by line.
void add_windows(const Plan& p, ChannelTile t, const OutputSet& set, int64_t channels) {
  const Terms& terms = *set.terms;
  t.row_step = terms.row_step, t.tap_step = terms.tap_step;
  const float* const bias = t.bias;
  for (int64_t first = 0; first < set.count; first += set.line) {
    t.row = set.row + first;
    t.bias = bias;
    for (int i = 1; i < kMaxWindow; ++i) {  // windows of i + 1 taps
      const TermTable& table = terms.window[i];
      if (table.per_channel == 0) continue;
      set_terms(p, table, channels, t);
      compute_tiles(t, set.line, p.k.even_rows[i], p.k.even_tile[i]);
      t.bias = nullptr;
    }
  }
}

// Adds the terms of one block of channels to the sums. `x` points to the first of these channels.
void add_block(const Plan& p, int64_t group, int64_t block, const float* x, const OutputSet* sets,
               const float* bias, float* sums) {
  ChannelTile t{};
  t.x = x;
  const int64_t channels = p.channels_of(block);
  for (int64_t j = 0; j < p.panels.count; ++j) {
    const int64_t vectors = p.panels.width_of(j) / p.k.channel_lanes;
    t.b = p.panel(group, j, block * p.block_channels);
    t.bias = block == 0 ? bias + p.panels.begin(j) : nullptr;
    t.out = sums + p.panels.begin(j);
    for (int64_t i = 0; i < p.row_runs.count * p.column_runs.count; ++i) {
      const OutputSet& set = sets[i];
      if (set.count == 0) continue;
      if (vectors == 1 && set.terms->has_windows)
        add_windows(p, t, set, channels);
      else
        add_terms(p, t, vectors, set, channels);
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
