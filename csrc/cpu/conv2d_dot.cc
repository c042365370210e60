#include "cpu/conv2d_dot.h"

#include <algorithm>

#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// Images whose weight gradients are summed in registers before they are added to the total.
constexpr int64_t kDotImages = 16;

// Where images have to be staged, no more at a time than this, or one.
constexpr int64_t kDotStagedFloats = int64_t{1} << 20;

// Enough tasks for the last ones not to leave a thread idle for long.
constexpr int64_t kTasksPerThread = 8;

// The vectors of outputs of one image, whole ones first.
struct Positions {
  ConvPosition* at;
  int64_t full, partial;
};

Positions image_positions(const Conv2dShape& s, int64_t row_stride, ScratchFrame& frame) {
  const int lanes = kernels().conv2d.lanes;
  const int64_t whole = s.out_w / lanes;  // a row
  const int rest = static_cast<int>(s.out_w % lanes);
  Positions p{frame.allocate<ConvPosition>(s.out_h * ceil_div(s.out_w, lanes)), s.out_h * whole,
              rest ? s.out_h : 0};
  for (int64_t i = 0; i < p.full; ++i) {
    const int64_t y = i / whole, x = i % whole * lanes;
    p.at[i] = {y * s.out_w + x, y * row_stride + x, y, lanes};
  }
  for (int64_t y = 0; y < p.partial; ++y) {
    const int64_t x = whole * lanes;
    p.at[p.full + y] = {y * s.out_w + x, y * row_stride + x, y, rest};
  }
  return p;
}

}  // namespace

void dot_positions(const Conv2dShape& s, const TapAxis& rows, const TapAxis& columns, const float* dy,
                   const float* x, float* dw) {
  const int64_t in = s.group_in(), out = s.group_out(), depth = in * s.taps(), plane = s.out_h * s.out_w;
  const Conv2dKernels& k = kernels().conv2d;
  ScratchFrame frame;
  const Staging staging({s.in_h, s.in_w}, {s.out_h, s.out_w}, rows, columns, frame);
  int64_t* const offset = frame.allocate<int64_t>(depth);
  for (int64_t c = 0, i = 0; c < in; ++c)
    for (int64_t ty = 0; ty < rows.count; ++ty)
      for (int64_t tx = 0; tx < columns.count; ++tx)
        offset[i++] = c * staging.channel_size() + staging.tap_offset(ty, tx);
  const Positions positions = image_positions(s, staging.row_stride(), frame);

  const int64_t source_image = s.in_channels * s.in_h * s.in_w;
  ConvDot whole{};
  whole.dy_image_stride = s.out_channels * plane;
  whole.x_image_stride = s.in_channels * staging.channel_size();
  whole.dy_row_stride = plane;
  whole.position = positions.at;
  whole.full = positions.full;
  whole.partial = positions.partial;
  whole.dw_stride = depth;
  const bool stages = !staging.is_source();
  const int64_t fitting = stages ? kDotStagedFloats / whole.x_image_stride : kDotImages;
  const int64_t images = std::min(std::clamp<int64_t>(fitting, 1, kDotImages), s.batch);
  float* const staged = stages ? frame.allocate<float>(images * whole.x_image_stride) : nullptr;

  // A task is one row of tiles against a part of the columns.
  const int64_t row_tiles = ceil_div(out, kDotRows), column_tiles = ceil_div(depth, kDotColumns);
  const int64_t parts =
      std::min(column_tiles, ceil_div(kTasksPerThread * num_threads(), s.groups * row_tiles));
  const int64_t tasks = s.groups * row_tiles * parts;
  for (int64_t first = 0; first < s.batch; first += images) {
    ConvDot chunk = whole;
    chunk.images = std::min(images, s.batch - first);
    chunk.dy = dy + first * chunk.dy_image_stride;
    chunk.x = x + first * source_image;
    if (stages) {
      parallel_for(chunk.images, memory_ns(static_cast<double>(chunk.x_image_stride) * 8), [&](int64_t n) {
        staging.stage(chunk.x + n * source_image, s.in_channels, 0, staged + n * chunk.x_image_stride);
      });
    }
    const double chunk_fmas =
        static_cast<double>(chunk.images * s.out_channels * depth) * static_cast<double>(plane);
    parallel_for(tasks, fma_ns(chunk_fmas) / static_cast<double>(tasks), [&](int64_t task) {
      const int64_t group = task / parts / row_tiles;
      const Range tile_rows = split(out, row_tiles, task / parts % row_tiles);
      const Range tiles = split(column_tiles, parts, task % parts);
      const int64_t row = group * out + tile_rows.begin;
      ConvDot tile = chunk;
      tile.dy = chunk.dy + row * plane;
      tile.x = (stages ? staged : chunk.x) + group * in * staging.channel_size();
      for (int64_t i = tiles.begin; i < tiles.end; ++i) {
        const Range tile_columns = split(depth, column_tiles, i);
        tile.offset = offset + tile_columns.begin;
        tile.dw = dw + row * depth + tile_columns.begin;
        k.dot[tile_rows.end - tile_rows.begin - 1][tile_columns.end - tile_columns.begin - 1](tile);
      }
    });
  }
}

}  // namespace byhand::cpu
