// A correlation with vectors along rows of outputs.
#include "cpu/conv2d/direct/correlate.h"

#include <algorithm>

#include "cpu/kernels/conv2d_correlate.h"
#include "cpu/kernels/conv2d_weight_gradient.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The largest depth of a register tile. The depth is the number of input channels in a block, times the
// number of taps. A block takes as many channels as this limit allows, but at least one, even if a filter has
// more taps than the limit. The weights of a tile (6 x 512 values, 12 KB) stay in L1 while it runs over all
// outputs of the staged block.
constexpr int64_t kDepth = 512;

// The maximum number of values that a task stages at a time, unless a band of a single row needs more. They
// stay in L2 while all output channels use them.
constexpr int64_t kStagedFloats = kL2Floats / 2;

// A correlation that is cut into blocks of input channels and bands of output rows, with the tables that its
// tasks share. The depth of a tile runs over (tap row, channel of the block, tap column). In this order, the
// tap rows that lie inside the image for an output row are one contiguous range of the depth. So a tile can
// skip the tap rows in the padding.
struct Plan {
  const Correlation& c;
  const ConvTileKernels& kernels;
  int64_t block_channels, blocks;
  Staging staging;
  int64_t band, bands;       // the number of output rows per band, and the number of bands per image
  int64_t row_positions;     // the number of vectors per output row
  const Range* tap_rows;     // for each output row, the tap rows that it reads inside the image
  const float* bias;         // zeros if the correlation has none
  float* weights = nullptr;  // (group, output, channel block, tap row, channel, tap column)
  // The offset of each depth index in a staged block: [0] for full blocks, [1] for the last block.
  int64_t* offset[2] = {};
  ConvPosition* position = nullptr;  // the vectors of outputs of a band

  int64_t depth() const { return c.channels * c.rows.count * c.columns.count; }  // the sum over all blocks
  int64_t channels_of(int64_t block) const {
    return std::min(block_channels, c.channels - block * block_channels);
  }
};

int64_t block_channels_of(const Correlation& c) {
  return std::clamp<int64_t>(kDepth / (c.rows.count * c.columns.count), 1, std::max<int64_t>(c.channels, 1));
}

// Cuts the output rows into bands, so that every thread gets a task and the staged values of a band stay in
// L2.
Staging stage_bands(const Correlation& c, int64_t block_channels, ScratchFrame& frame) {
  const int64_t most_rows = ceil_div(c.out.h, ceil_div(threads_for(c.ns(c.outputs)), c.batch * c.groups));
  Staging staging(c.source, {most_rows, c.out.w}, c.rows, c.columns, frame);
  staging.fit(block_channels, kStagedFloats);
  return staging;
}

float* pack_weights(const Plan& p, ScratchFrame& frame) {
  const Correlation& c = p.c;
  float* const packed = frame.allocate<float>(c.groups * c.outputs * p.depth());
  const int64_t columns = c.columns.count;
  const int64_t* const column_offset = c.column_offset;
  parallel_for(c.groups * c.outputs, static_cast<double>(p.depth()), [&](int64_t i) {
    const float* const from = c.weight + i / c.outputs * c.weight_group + i % c.outputs * c.weight_output;
    float* to = packed + i * p.depth();
    for (int64_t first = 0; first < c.channels; first += p.block_channels) {
      const int64_t last = std::min(first + p.block_channels, c.channels);
      for (int64_t ty = 0; ty < c.rows.count; ++ty)
        for (int64_t channel = first; channel < last; ++channel, to += columns) {
          const float* const row = from + channel * c.weight_channel + c.row_offset[ty];
          for (int64_t tx = 0; tx < columns; ++tx) to[tx] = row[column_offset[tx]];
        }
    }
  });
  return packed;
}

int64_t* depth_offsets(const Plan& p, int64_t channels, ScratchFrame& frame) {
  int64_t* const offset = frame.allocate<int64_t>(channels * p.c.rows.count * p.c.columns.count);
  int64_t* to = offset;
  for (int64_t ty = 0; ty < p.c.rows.count; ++ty)
    for (int64_t channel = 0; channel < channels; ++channel)
      for (int64_t tx = 0; tx < p.c.columns.count; ++tx)
        *to++ = channel * p.staging.channel_size() + p.staging.tap_offset(ty, tx);
  return offset;
}

ConvPosition* band_positions(const Plan& p, ScratchFrame& frame) {
  const int lanes = p.kernels.lanes;
  ConvPosition* const position = frame.allocate<ConvPosition>(p.band * p.row_positions);
  ConvPosition* to = position;
  for (int64_t oy = 0; oy < p.band; ++oy)
    for (int64_t ox = 0; ox < p.c.out.w; ox += lanes)
      *to++ = {oy * p.c.out.w + ox, oy * p.staging.row_stride() + ox, oy,
               static_cast<int>(std::min<int64_t>(lanes, p.c.out.w - ox))};
  return position;
}

const Range* tap_rows_inside(const Correlation& c, ScratchFrame& frame) {
  Range* const taps = frame.allocate<Range>(c.out.h);
  for (int64_t oy = 0; oy < c.out.h;) {
    const Run run = run_inside(c.rows, oy, c.out.h, c.source.h);
    for (; oy < run.outputs.end; ++oy) taps[oy] = run.taps;
  }
  return taps;
}

const float* bias_or_zeros(const Correlation& c, ScratchFrame& frame) {
  if (c.bias) return c.bias;
  float* const zeros = frame.allocate<float>(c.groups * c.outputs);
  std::fill_n(zeros, c.groups * c.outputs, 0.0f);
  return zeros;
}

Plan make_plan(const Correlation& c, ScratchFrame& frame) {
  const int64_t block_channels = block_channels_of(c);
  const Staging staging = stage_bands(c, block_channels, frame);
  const ConvTileKernels& kernels = tiles_for_rows(c.out.w);
  Plan p{.c = c,
         .kernels = kernels,
         .block_channels = block_channels,
         .blocks = std::max<int64_t>(1, ceil_div(c.channels, block_channels)),
         .staging = staging,
         .band = staging.band_rows(),
         .bands = ceil_div(c.out.h, staging.band_rows()),
         .row_positions = ceil_div(c.out.w, kernels.lanes),
         .tap_rows = tap_rows_inside(c, frame),
         .bias = bias_or_zeros(c, frame)};
  p.weights = pack_weights(p, frame);
  p.offset[0] = depth_offsets(p, std::min(block_channels, c.channels), frame);
  p.offset[1] = depth_offsets(p, p.channels_of(p.blocks - 1), frame);
  p.position = band_positions(p, frame);
  return p;
}

// Computes the outputs of one band from one staged block of channels. `image` is the number of a pair of an
// image and a group: image number * groups + group. Later blocks continue the sums in y. The shape alone
// decides the blocks, so the bits do not depend on the number of threads.
void correlate_block(const Plan& p, int64_t image, int64_t first_row, int64_t block, const float* staged) {
  const ConvTileKernels& k = p.kernels;
  const Correlation& c = p.c;
  const int64_t group = image % c.groups, plane = c.out.h * c.out.w;
  const int64_t row_depth = p.channels_of(block) * c.columns.count;  // the depth of one tap row
  const int64_t* const offset = p.offset[block == p.blocks - 1];
  const float* const weights =
      p.weights + group * c.outputs * p.depth() + block * p.block_channels * c.rows.count * c.columns.count;
  float* const y = c.y + image * c.outputs * plane + first_row * c.out.w;
  const int64_t positions = std::min(p.band, c.out.h - first_row) * p.row_positions;
  const int64_t row_tiles = ceil_div(c.outputs, kConvRows);
  ConvTile t{};
  t.w_stride = p.depth();
  t.y_stride = plane;
  for (int64_t i = 0; i < row_tiles; ++i) {
    const Range rows = split(c.outputs, row_tiles, i);
    const int most = k.positions[rows.end - rows.begin - 1];
    t.bias = block == 0 ? p.bias + group * c.outputs + rows.begin : nullptr;
    for (int64_t first = 0; first < positions;) {
      const Range taps = p.tap_rows[first_row + p.position[first].row];
      int vectors = 0;
      // A tile ends if the next output row reads other tap rows. If it did not end there, some output rows of
      // the tile would add products of weights and padding zeros. Such a product is NaN if the weight is
      // infinite. Which output rows get these products would depend on where the band begins, and thus on the
      // number of threads.
      for (; vectors < most && first + vectors < positions; ++vectors) {
        const ConvPosition& at = p.position[first + vectors];
        const Range& inside = p.tap_rows[first_row + at.row];
        if (inside.begin != taps.begin || inside.end != taps.end) break;
        t.x[vectors] = staged + at.x;
        t.y[vectors] = y + rows.begin * plane + at.y;
        t.count[vectors] = at.count;
      }
      t.depth = (taps.end - taps.begin) * row_depth;
      t.w = weights + rows.begin * t.w_stride + taps.begin * row_depth;
      t.offset = offset + taps.begin * row_depth;
      k.tile[rows.end - rows.begin - 1][vectors - 1](t);
      first += vectors;
    }
  }
}

}  // namespace

const ConvTileKernels& tiles_for_rows(int64_t outputs) {
  const CorrelateKernels& k = kernels<CorrelateKernels>();
  return outputs > k.tiles.lanes ? k.wide : k.tiles;
}

void correlate_by_rows(const Correlation& c) {
  ScratchFrame frame;
  const Plan p = make_plan(c, frame);
  const int64_t source_plane = c.source.h * c.source.w;
  const int64_t tasks = c.batch * c.groups * p.bands;
  parallel_for(tasks, c.ns(c.outputs) / static_cast<double>(tasks), [&](int64_t task) {
    const int64_t image = task / p.bands, first_row = task % p.bands * p.band;
    ScratchFrame task_frame;
    // The last vector of a row may read beyond the row. In the last row, it reads beyond the staged
    // values, so zeros follow these values. Lanes beyond a row are never stored.
    const int64_t staged_size = p.block_channels * p.staging.channel_size(), lanes = p.kernels.lanes;
    float* const staged = task_frame.allocate<float>(staged_size + lanes);
    std::fill_n(staged + staged_size, lanes, 0.0f);
    for (int64_t block = 0; block < p.blocks; ++block) {
      const float* const source = c.x + (image * c.channels + block * p.block_channels) * source_plane;
      p.staging.stage(source, p.channels_of(block), first_row, staged);
      correlate_block(p, image, first_row, block, staged);
    }
  });
}

}  // namespace byhand::cpu
