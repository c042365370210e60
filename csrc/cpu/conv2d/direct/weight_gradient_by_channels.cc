// The weight gradient with vectors along the output channels. With a prime for the transpose, dw' = A' dy' is
// a matrix product for each group. A is the im2col matrix, with a row for each output of each image and a
// column for each pair of a channel and a tap. cpu/kernels/conv2d_by_channels.h reads its values in
// the image, or in a padded copy if the image is padded and a group has few channels. dy' is copied, band by
// band.
#include <algorithm>

#include "core/scratch.h"
#include "cpu/conv2d/direct/direct.h"
#include "cpu/conv2d/direct/panels.h"
#include "cpu/conv2d/direct/weight_gradient.h"
#include "cpu/conv2d/direct/windows.h"
#include "cpu/conv2d/ordered_sums.h"
#include "cpu/kernels/conv2d_by_channels.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The maximum number of values of dy that a tile reads, unless one row of outputs has more. They stay in L1
// while the kernel multiplies them by the inputs of every channel and tap.
constexpr int64_t kTileFloats = kL1Floats / 2;
static_assert(kTileFloats / 4 <= kBandOutputs);  // a panel is at least four lanes wide
// The maximum number of copied inputs of a task, unless one channel has more. They stay in L2.
constexpr int64_t kCopiedFloats = kL2Floats / 2;
// The number of tasks per thread if there are enough input channels. A task copies dy again, so it needs
// enough rows of dw' for each copied value: at least kTaskRows channels if it takes one tap at a time, and
// kTaskPairs pairs of a channel and a tap otherwise, unless L2 requires fewer. With single channels, the
// weight gradient of 16 to 16 channels, 3 x 3 on 7 x 7, takes twice as long.
constexpr int64_t kTasksPerThread = 4, kTaskRows = 8, kTaskPairs = 16;

struct Plan {
  Plan(const Conv2dShape& s, ScratchFrame& frame);
  void make_tables(ScratchFrame& frame);
  void make_tables_by_taps(ScratchFrame& frame);

  const Conv2dShape& s;
  const ChannelKernels& k;
  Panels panels;
  int64_t sums;          // the number of partial sums
  int64_t band, images;  // the number of output rows, and of images, per band
  TapAxis tap_rows, tap_columns;
  Windows windows;
  bool by_taps;                    // if true, add_band_by_taps is used, which needs no windows
  int64_t blocks, block_channels;  // of input channels of a group
  int64_t image_size;              // the distance of two images in the windows
  ChannelRow* row;                 // for each channel of a block and tap; by taps, for each channel
  // For each output of a band. By taps, one table for each tap column, with the outputs that read inside.
  ChannelTerm** term;
};

Plan::Plan(const Conv2dShape& shape, ScratchFrame& frame)
    : s(shape),
      k(kernels<ChannelKernels>()),
      panels(s.group_out()),
      sums(partial_sum_count(s, s.groups * panels.stored * s.group_in() * s.taps())),
      band(std::clamp<int64_t>(kTileFloats / (panels.width * s.out_w), 1, s.out_h)),
      images(std::clamp<int64_t>(kTileFloats / (panels.width * s.out_w * s.out_h), 1, s.batch)),
      tap_rows(forward_rows(s, frame)),
      tap_columns(forward_columns(s, frame)),
      windows({s.in_h, s.in_w}, {s.out_h, s.out_w}, band, tap_rows, tap_columns, frame),
      by_taps(!windows.in_place() && s.group_in() >= kTapChannels) {
  const int64_t room = windows.in_place() || by_taps ? kCopiedFloats : kCopiedFloats / windows.channel_size();
  images = std::clamp<int64_t>(images, 1, std::max<int64_t>(room, 1));
  const int64_t fitting = std::clamp<int64_t>(room / images, 1, s.group_in());
  const int threads = threads_for(direct_ns(s));
  const int64_t wanted = threads > 1 ? ceil_div(kTasksPerThread * threads, sums * s.groups) : 1;
  const int64_t sharing = by_taps ? s.group_in() / kTaskRows : s.group_in() * s.taps() / kTaskPairs;
  const int64_t most = std::clamp<int64_t>(sharing, 1, s.group_in());
  blocks = std::max(ceil_div(s.group_in(), fitting), std::min(wanted, most));
  block_channels = ceil_div(s.group_in(), blocks);
  image_size =
      windows.in_place() ? s.in_channels * windows.channel_size() : block_channels * windows.channel_size();
  if (by_taps)
    make_tables_by_taps(frame);
  else
    make_tables(frame);
}

void Plan::make_tables(ScratchFrame& frame) {
  ChannelRow* to = row = frame.allocate<ChannelRow>(block_channels * s.taps());
  for (int64_t channel = 0; channel < block_channels; ++channel)
    for (int64_t ty = 0; ty < s.kernel.h; ++ty)
      for (int64_t tx = 0; tx < s.kernel.w; ++tx, ++to)
        *to = {channel * windows.channel_size() + windows.tap(ty, tx), (to - row) * panels.width};
  ChannelTerm* const first = frame.allocate<ChannelTerm>(images * band * s.out_w);
  ChannelTerm* next = first;
  for (int64_t n = 0; n < images; ++n)
    for (int64_t oy = 0; oy < band; ++oy)
      for (int64_t ox = 0; ox < s.out_w; ++ox, ++next)
        *next = {n * image_size + windows.output(oy, ox), (next - first) * panels.width};
  term = frame.allocate<ChannelTerm*>(1);
  term[0] = first;
}

void Plan::make_tables_by_taps(ScratchFrame& frame) {
  row = frame.allocate<ChannelRow>(block_channels);
  for (int64_t channel = 0; channel < block_channels; ++channel)
    row[channel] = {channel * s.in_h * s.in_w, channel * s.taps() * panels.width};
  term = frame.allocate<ChannelTerm*>(s.kernel.w);
  for (int64_t tx = 0; tx < s.kernel.w; ++tx) {
    const Range columns = inside(tap_columns.tap[tx], s.stride.w, s.in_w, s.out_w);
    ChannelTerm* next = term[tx] = frame.allocate<ChannelTerm>(band * (columns.end - columns.begin));
    for (int64_t oy = 0; oy < band; ++oy)
      for (int64_t ox = columns.begin; ox < columns.end; ++ox)
        *next++ = {oy * s.stride.h * s.in_w + ox * s.stride.w, (oy * s.out_w + ox) * panels.width};
  }
}

// Copies dy of a band of one image into the panels: a row for each output, from row `first_row` on. The
// panels have room for `length` rows.
void copy_dy(const Plan& p, const float* dy, int64_t positions, int64_t length, int64_t first_row,
             float* to) {
  const auto pack = kernels<GemmKernels>().pack_rows;
  const int64_t plane = p.s.out_h * p.s.out_w;
  for (int64_t j = 0; j < p.panels.count; ++j) {
    const int64_t first = p.panels.begin(j);
    pack(dy + first * plane, plane, std::min(p.panels.width, p.s.group_out() - first), positions,
         to + first * length + first_row * p.panels.width, p.panels.width, p.panels.width * positions);
  }
}

// Computes tiles for `count` rows, from t.row on, and all panels. If `even`, panels of one vector take even
// tiles. `dy` and `sums` belong to the first panel, and the next ones follow at the distances `dy_panel` and
// `sums_panel`.
void add_panels(const Plan& p, ChannelTile t, int64_t count, bool even, const float* dy, int64_t dy_panel,
                float* sums, int64_t sums_panel) {
  for (int64_t j = 0; j < p.panels.count; ++j) {
    const int64_t vectors = p.panels.width_of(j) / p.k.channel_lanes;
    t.b = dy + j * dy_panel, t.out = sums + j * sums_panel;
    if (even && vectors == 1)
      compute_tiles(t, count, p.k.even_rows[0], p.k.even_tile[0]);
    else
      compute_tiles(t, count, p.k.channel_rows[vectors - 1], p.k.channel_tile[vectors - 1]);
  }
}

// Adds the sums of a band of some images to the rows of dw' of these channels. Its panels have a row for each
// channel and tap.
void add_band(const Plan& p, const float* x, Range channels, const float* dy, int64_t terms, int64_t length,
              float* sums) {
  ChannelTile t{};
  t.depth = t.period = terms;
  t.x = x;
  t.row = p.row;
  t.term = p.term[0];
  const int64_t taps = p.s.taps();
  add_panels(p, t, (channels.end - channels.begin) * taps, false, dy, length * p.panels.width,
             sums + channels.begin * taps * p.panels.width, p.s.group_in() * taps * p.panels.width);
}

// Adds the sums of the band of one image that begins at row `first_row` to rows of dw'. A tile takes several
// channels and a single tap, and only those outputs that read inside the image through this tap. So nothing
// is multiplied by the zeros of the padding, and x is read where it is. `x` points to the first of the
// channels. The panels of dy have room for `length` outputs, and those of the band begin at output `first`.
void add_band_by_taps(const Plan& p, const float* x, Range channels, int64_t first_row, const float* dy,
                      int64_t length, int64_t first, float* sums) {
  const Conv2dShape& s = p.s;
  const int64_t rows = std::min(p.band, s.out_h - first_row), taps = s.taps();
  ChannelTile t{};
  t.row_step = s.in_h * s.in_w;
  t.row = p.row;
  // If channels evict each other from L1, a tile takes fewer of them than an even tile.
  const bool even = !is_aliased(t.row_step);
  for (int64_t ty = 0; ty < s.kernel.h; ++ty) {
    const int64_t top = first_row * s.stride.h + p.tap_rows.tap[ty];
    const Range oy = inside(top, s.stride.h, s.in_h, rows);
    for (int64_t tx = 0; tx < s.kernel.w; ++tx) {
      const int64_t left = p.tap_columns.tap[tx];
      const Range ox = inside(left, s.stride.w, s.in_w, s.out_w);
      const int64_t row_length = ox.end - ox.begin;
      t.depth = t.period = (oy.end - oy.begin) * row_length;
      if (t.depth == 0) continue;
      t.x = x + top * s.in_w + left;
      t.term = p.term[tx] + oy.begin * row_length;
      add_panels(p, t, channels.end - channels.begin, even, dy + first * p.panels.width,
                 length * p.panels.width,
                 sums + (channels.begin * taps + ty * s.kernel.w + tx) * p.panels.width,
                 s.group_in() * taps * p.panels.width);
    }
  }
}

}  // namespace

void weight_gradient_by_channels(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  ScratchFrame frame;
  const Plan p(s, frame);
  const int64_t sums = p.sums;
  const int64_t in = s.group_in(), rows = in * s.taps(), plane = s.out_h * s.out_w;
  const int64_t panel_size = p.panels.width * rows, group_size = p.panels.count * panel_size,
                size = s.groups * group_size;
  float* const all = frame.allocate<float>(sums * size);
  std::fill_n(all, sums * size, 0.0f);
  const int64_t parts = s.groups * p.blocks;
  parallel_for(sums * parts, direct_ns(s) / static_cast<double>(sums * parts), [&](int64_t task) {
    const Range images = split(s.batch, sums, task / parts);
    const int64_t group = task % parts / p.blocks;
    const Range channels = split(in, p.blocks, task % p.blocks);
    float* const own = all + task / parts * size + group * group_size;
    const int64_t length = p.images * p.band * s.out_w;
    ScratchFrame task_frame;
    float* const copy =
        p.windows.in_place() || p.by_taps ? nullptr : task_frame.allocate<float>(p.images * p.image_size);
    float* const packed = task_frame.allocate<float>(p.panels.stored * length);
    for (int64_t n = images.begin; n < images.end; n += p.images)
      for (int64_t y = 0; y < s.out_h; y += p.band) {
        const int64_t count = std::min(p.images, images.end - n);
        const int64_t positions = std::min(p.band, s.out_h - y) * s.out_w;
        const auto x_of = [&](int64_t i) {
          return x + ((n + i) * s.in_channels + group * in + channels.begin) * s.in_h * s.in_w;
        };
        for (int64_t i = 0; i < count; ++i)
          copy_dy(p, dy + ((n + i) * s.out_channels + group * s.group_out()) * plane + y * s.out_w, positions,
                  length, i * positions, packed);
        if (p.by_taps) {
          for (int64_t i = 0; i < count; ++i)
            add_band_by_taps(p, x_of(i), channels, y, packed, length, i * positions, own);
          continue;
        }
        const float* first = nullptr;
        for (int64_t i = count; i-- > 0;)
          first = p.windows.begin(x_of(i), channels.end - channels.begin, y,
                                  copy ? copy + i * p.image_size : nullptr);
        add_band(p, first, channels, packed, count * positions, length, own);
      }
  });
  add_in_order(all + size, sums - 1, size, size, all);
  for (int64_t i = 0; i < s.groups * p.panels.count; ++i) {
    const int64_t group = i / p.panels.count, first = p.panels.begin(i % p.panels.count);
    p.k.transpose(all + i * panel_size, p.panels.width, rows, std::min(p.panels.width, s.group_out() - first),
                  dw + (group * s.group_out() + first) * rows, rows);
  }
}

}  // namespace byhand::cpu
