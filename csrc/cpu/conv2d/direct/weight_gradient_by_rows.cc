// The weight gradient with vectors along rows of outputs.
#include <algorithm>

#include "core/scratch.h"
#include "cpu/conv2d/direct/direct.h"
#include "cpu/conv2d/direct/staging.h"
#include "cpu/conv2d/direct/weight_gradient.h"
#include "cpu/conv2d/ordered_sums.h"
#include "cpu/kernels/conv2d_weight_gradient.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The maximum number of values of dy that a tile reads, unless one row of outputs in each of its output
// channels already has more. The values stay in L1 while the kernel multiplies them by the inputs of every
// input channel and tap. The kernel takes a few pairs of channel and tap (a tile of columns) at a time.
constexpr int64_t kTileFloats = kL1Floats * 3 / 8;

// The maximum number of input values that are staged at a time, unless one channel needs more. They stay in
// L2 while the tiles of all output channels read them.
constexpr int64_t kStagedFloats = kL2Floats / 2;

// The maximum number of images that one call of the kernel sums up in registers before it adds the sums to
// dw.
constexpr int64_t kMaxImages = 16;

// Returns the number of output rows per band. kTileFloats limits it, but it is at least 1.
int64_t band_of(const Conv2dShape& s) {
  const int64_t fitting =
      std::clamp<int64_t>(kTileFloats / (kernels<WeightGradientKernels>().rows * s.out_w), 1, s.out_h);
  return ceil_div(s.out_h, ceil_div(s.out_h, fitting));
}

// Returns whether x must be staged. With stride 1 and without padding, neighbouring outputs read neighbouring
// values of x itself.
bool needs_staging(const Conv2dShape& s) {
  return s.stride.h != 1 || s.stride.w != 1 || s.padding.top != 0 || s.padding.bottom != 0 ||
         s.padding.left != 0 || s.padding.right != 0;
}

// Returns the number of images per band. kTileFloats limits it, but it is at least 1.
int64_t images_of(const Conv2dShape& s) {
  return std::clamp<int64_t>(kTileFloats / (kernels<WeightGradientKernels>().rows * s.out_h * s.out_w), 1,
                             kMaxImages);
}

// dw[o, c, ty, tx] += sum over n, oy, ox of dy[n, o, oy, ox] * x[n, c of the group of o, in_y, in_x]
// where  in_y = oy * stride.h + ty * dilation.h - padding.top,
//        in_x = ox * stride.w + tx * dilation.w - padding.left.
// dy and dw are not empty. `add` runs on the calling thread, and several threads may call it at the same
// time.
class WeightDots {
 public:
  WeightDots(const Conv2dShape& s, ScratchFrame& frame);

  // The number of units that the weights are cut into. A unit holds the weights between one tile of output
  // channels and one block of input channels of a group.
  int64_t units() const { return s_.groups * blocks_ * row_tiles_; }
  // Adds the sums over these images to the weights of these units. The order of the additions depends only on
  // the images.
  void add(Range images, Range units, const float* dy, const float* x, float* dw) const;

 private:
  struct Band;
  void prefetch(const Band& band, const float* dy, Range rows) const;
  void add_tiles(const Band& band, int64_t block, Range row_tiles, const float* x, float* dw) const;

  const Conv2dShape& s_;
  const ConvDotKernels& kernels_;
  int64_t images_, band_;  // the number of images, and of output rows, per band
  TapAxis rows_, columns_;
  Staging staging_;                    // copies the inputs of a band
  bool stages_;                        // if false, the kernels read x itself
  int64_t channel_size_, row_stride_;  // of a staged band, or of x if nothing is staged
  int64_t block_channels_, blocks_;    // channels per block, and blocks per group
  int64_t row_tiles_;                  // tiles of output channels per group
  int64_t* offset_;                    // where the kernels find each channel and tap of a block
  // The vectors of outputs of a band. The vectors of whole_positions_ fill all lanes. Each row whose length
  // is no multiple of the number of lanes ends with a vector of cut_positions_.
  ConvPosition *whole_positions_, *cut_positions_;
};

// A band is some output rows of some images. For each band, `add` computes all units that it was given.
struct WeightDots::Band {
  ConvDot dots;
  int64_t first_image, first_row;
  int64_t length;     // the number of values of dy in one channel of one image of the band
  const float* next;  // dy of the next band, or null if this band is the last one
  float* staged;      // room for the staged inputs; null if nothing is staged
};

// Prefetches a part of the next tile's dy into L2. A row here is the part of the band in one output channel
// of one image. It is too short to be recognised by the hardware prefetchers. `rows` are the numbers of the
// rows to prefetch. With n images in the band, row i lies in image i mod n and in output channel floor(i / n)
// of the next tile. `dy` points to row 0 of the next tile or, after the band's last tile, to row 0 of the
// next band.
void WeightDots::prefetch(const Band& band, const float* dy, Range rows) const {
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const float* const row = dy + i % band.dots.images * band.dots.dy_image_stride +
                             i / band.dots.images * band.dots.dy_row_stride;
    for (int64_t j = 0; j < band.length; j += kCacheLineFloats) __builtin_prefetch(row + j, 0, 2);
  }
}

WeightDots::WeightDots(const Conv2dShape& s, ScratchFrame& frame)
    : s_(s),
      kernels_(dots_for_rows(s.out_w)),
      images_(std::min(images_of(s), s.batch)),
      band_(band_of(s)),
      rows_(forward_rows(s, frame)),
      columns_(forward_columns(s, frame)),
      staging_({s.in_h, s.in_w}, {band_, s.out_w}, rows_, columns_, frame),
      stages_(needs_staging(s)),
      channel_size_(stages_ ? staging_.channel_size() : s.in_h * s.in_w),
      row_stride_(stages_ ? staging_.row_stride() : s.in_w),
      block_channels_(std::clamp<int64_t>(kStagedFloats / (images_ * channel_size_), 1, s.group_in())),
      blocks_(ceil_div(s.group_in(), block_channels_)),
      row_tiles_(ceil_div(s.group_out(), kernels<WeightGradientKernels>().rows)) {
  block_channels_ = ceil_div(s.group_in(), blocks_);
  offset_ = frame.allocate<int64_t>(block_channels_ * s.taps());
  int64_t* to = offset_;
  for (int64_t c = 0; c < block_channels_; ++c)
    for (int64_t ty = 0; ty < s.kernel.h; ++ty)
      for (int64_t tx = 0; tx < s.kernel.w; ++tx)
        *to++ = c * channel_size_ +
                (stages_ ? staging_.tap_offset(ty, tx) : ty * s.dilation.h * s.in_w + tx * s.dilation.w);
  const int lanes = kernels_.lanes;
  const int64_t whole = s.out_w / lanes;  // vectors per row
  whole_positions_ = frame.allocate<ConvPosition>(band_ * (whole + 1));
  cut_positions_ = whole_positions_ + band_ * whole;
  for (int64_t y = 0; y < band_; ++y) {
    const auto at = [&](int64_t x, int count) {
      return ConvPosition{y * s.out_w + x, y * row_stride_ + x, y, count};
    };
    for (int64_t i = 0; i < whole; ++i) whole_positions_[y * whole + i] = at(i * lanes, lanes);
    cut_positions_[y] = at(whole * lanes, static_cast<int>(s.out_w % lanes));
  }
}

void WeightDots::add(Range images, Range units, const float* dy, const float* x, float* dw) const {
  const int64_t whole = s_.out_w / kernels_.lanes, image = s_.in_channels * s_.in_h * s_.in_w;
  const int64_t staged_image = block_channels_ * channel_size_;
  ScratchFrame frame;
  Band band{};
  ConvDot& d = band.dots;
  d.dy_row_stride = s_.out_h * s_.out_w;
  d.dy_image_stride = s_.out_channels * d.dy_row_stride;
  d.x_image_stride = stages_ ? staged_image : image;
  d.whole_positions = whole_positions_, d.cut_positions = cut_positions_;
  d.dw_stride = s_.group_in() * s_.taps();
  band.staged = stages_ ? frame.allocate<float>(images_ * staged_image) : nullptr;
  for (int64_t n = images.begin; n < images.end; n += images_)
    for (int64_t y = 0; y < s_.out_h; y += band_) {
      const int64_t rows = std::min(band_, s_.out_h - y);
      band.first_image = n, band.first_row = y;
      d.images = std::min(images_, images.end - n);
      d.whole = rows * whole, d.cut = s_.out_w % kernels_.lanes ? rows : 0;
      d.dy = dy + n * d.dy_image_stride + y * s_.out_w;
      band.length = rows * s_.out_w;
      band.next = y + band_ < s_.out_h       ? d.dy + band.length
                  : n + images_ < images.end ? dy + (n + images_) * d.dy_image_stride
                                             : nullptr;
      for (int64_t u = units.begin; u < units.end;) {
        const int64_t block = u / row_tiles_, end = std::min(units.end, (block + 1) * row_tiles_);
        add_tiles(band, block, {u - block * row_tiles_, end - block * row_tiles_}, x, dw);
        u = end;
      }
    }
}

void WeightDots::add_tiles(const Band& band, int64_t block, Range row_tiles, const float* x,
                           float* dw) const {
  const WeightGradientKernels& k = kernels<WeightGradientKernels>();
  const int64_t group = block / blocks_, in = s_.group_in(), out = s_.group_out();
  const Range channels = split(in, blocks_, block % blocks_);
  const int64_t image = s_.in_channels * s_.in_h * s_.in_w,
                depth = (channels.end - channels.begin) * s_.taps();
  const float* const source =
      x + band.first_image * image + (group * in + channels.begin) * s_.in_h * s_.in_w;
  ConvDot d = band.dots;
  d.x = stages_ ? band.staged : source + band.first_row * row_stride_;
  for (int64_t n = 0; stages_ && n < d.images; ++n)
    staging_.stage(source + n * image, channels.end - channels.begin, band.first_row,
                   band.staged + n * d.x_image_stride);
  const int64_t column_tiles = ceil_div(depth, k.columns);
  const Split row_ranges(out, row_tiles_), column_ranges(depth, column_tiles);
  for (int64_t i = row_tiles.begin; i < row_tiles.end; ++i) {
    const Range rows = row_ranges[i];
    const int64_t first = group * out + rows.begin;
    d.dy = band.dots.dy + first * d.dy_row_stride;
    const float* const next =
        i + 1 < row_tiles.end ? d.dy + (rows.end - rows.begin) * d.dy_row_stride : band.next;
    const Split pieces((rows.end - rows.begin) * d.images, column_tiles);
    for (int64_t j = 0; j < column_tiles; ++j) {
      const Range columns = column_ranges[j];
      d.offset = offset_ + columns.begin;
      d.dw = dw + first * d.dw_stride + channels.begin * s_.taps() + columns.begin;
      if (next) prefetch(band, next, pieces[j]);
      kernels_.dot[rows.end - rows.begin - 1][columns.end - columns.begin - 1](d);
    }
  }
}

}  // namespace

// As tiles_for_rows (correlate.h).
const ConvDotKernels& dots_for_rows(int64_t outputs) {
  const WeightGradientKernels& k = kernels<WeightGradientKernels>();
  return outputs > k.narrow_dots.lanes ? k.wide_dots : k.narrow_dots;
}

void weight_gradient_by_rows(const Conv2dShape& s, const float* dy, const float* x, float* dw) {
  constexpr int64_t kTasksPerThread = 4;
  ScratchFrame frame;
  const WeightDots dots(s, frame);
  const int64_t size = s.out_channels * s.group_in() * s.taps(), sums = partial_sum_count(s, size);
  const int64_t parts = std::min(dots.units(), ceil_div(kTasksPerThread * threads_for(direct_ns(s)), sums));
  float* const others = frame.allocate<float>((sums - 1) * size);  // the first partial sum is dw
  std::fill_n(dw, size, 0.0f);
  std::fill_n(others, (sums - 1) * size, 0.0f);
  parallel_for(sums * parts, direct_ns(s) / static_cast<double>(sums * parts), [&](int64_t i) {
    const int64_t sum = i / parts;
    dots.add(split(s.batch, sums, sum), split(dots.units(), parts, i % parts), dy, x,
             sum ? others + (sum - 1) * size : dw);
  });
  add_in_order(others, sums - 1, size, size, dw);
}

}  // namespace byhand::cpu
