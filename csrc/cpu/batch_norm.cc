#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/scratch.h"
#include "cpu/kernels/batch_norm.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// A block has about kBlockFloats values. They fit into L1, so a kernel that reads a block twice finds it
// there the second time. A block has about kShare values of each of its channels, so that the work per
// channel and block takes little time compared with the work per value. But images at certain distances evict
// each other from L1. So a block has no more than kRows images, unless that would be less than kLeastShare
// values of a channel, or x has so few channels that its images lie close together.
constexpr int64_t kBlockFloats = kL1Floats / 2, kShare = 256, kLeastShare = 64, kRows = 4;

// Cuts x into blocks. A block holds some neighbouring channels of some neighbouring images. The part of one
// image that lies in a block is a row of the block (ChannelBlock). The shape alone decides the blocks, not
// the number of threads.
class Blocks {
 public:
  explicit Blocks(const BatchNormShape& s)
      : shape_(s),
        channels_(std::clamp<int64_t>(kBlockFloats / (s.plane * wanted_rows(s.plane)), 1, s.channels)),
        rows_(std::clamp<int64_t>(kBlockFloats / (channels_ * s.plane), 1, s.batch)),
        across_(ceil_div(s.channels, channels_)) {}

  static int64_t wanted_rows(int64_t plane) {
    return std::clamp<int64_t>(kShare / plane, 1, std::max(kRows, kLeastShare / plane));
  }

  int64_t down() const { return ceil_div(shape_.batch, rows_); }  // the number of blocks per channel

  // Calls body(block, first, channel, i) for each block. `first` is the offset of the block's first value,
  // `channel` its first channel. i, from 0 to down() - 1, is the block's number among the blocks with the
  // same channels.
  template <class Body>
  void for_each(double bytes_per_value, const Body& body) const {
    const double ns = memory_ns(bytes_per_value * static_cast<double>(channels_ * rows_ * shape_.plane));
    parallel_for(across_ * down(), ns, [&](int64_t i) {
      const int64_t channel = i % across_ * channels_, row = i / across_ * rows_;
      const int64_t row_stride = shape_.channels * shape_.plane;
      const ChannelBlock block{std::min(rows_, shape_.batch - row),
                               std::min(channels_, shape_.channels - channel), shape_.plane, row_stride};
      body(block, row * row_stride + channel * shape_.plane, channel, i / across_);
    });
  }

  // The number of values that one channel has in a block. i is the number of the block, as in for_each.
  int64_t values(int64_t i) const { return std::min(rows_, shape_.batch - i * rows_) * shape_.plane; }

 private:
  BatchNormShape shape_;
  int64_t channels_, rows_;  // the number of channels and of rows (images) per block
  int64_t across_;           // the number of blocks that cover all channels
};

bool empty(const BatchNormShape& s) { return s.channels == 0 || s.count() == 0; }

// Calls body(c) for every channel c. `terms` is the number of floats that a call reads.
template <class Body>
void for_channels(const BatchNormShape& s, int64_t terms, const Body& body) {
  parallel_ranges(s.channels, memory_ns(static_cast<double>(terms + 1) * sizeof(float)),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t c = begin; c < end; ++c) body(c);
                  });
}

struct Moments {
  double mean, squares;  // squares is the sum of (x - mean)^2
};

// Computes the moments of all channels in two steps:
//   1. Each block computes for each of its channels the mean (`center`), the sum of x - center and the sum of
//      (x - center)^2.
//   2. For each channel, these sums are converted to sums of x - pivot and (x - pivot)^2. The pivot is the
//      center of the channel's first block. With d = center - pivot and n values in a block:
//        sum (x - pivot)   = n d + sum (x - center)
//        sum (x - pivot)^2 = n d^2 + 2 d sum (x - center) + sum (x - center)^2
//      The sums of all blocks are added in double.
// All these sums are small even if the mean is large. So no two large squares are subtracted.
void channel_moments(const BatchNormShape& s, const Blocks& blocks, const float* x, Moments* moments) {
  const int64_t down = blocks.down();
  ScratchFrame frame;
  float* const center = frame.allocate<float>(down * s.channels);
  double* const sum = frame.allocate<double>(down * s.channels);
  double* const squares = frame.allocate<double>(down * s.channels);
  const auto kernel = kernels<BatchNormKernels>().moments;
  blocks.for_each(sizeof(float), [&](const ChannelBlock& b, int64_t first, int64_t channel, int64_t i) {
    const int64_t at = i * s.channels + channel;
    kernel(x + first, b, center + at, sum + at, squares + at);
  });
  const double count = static_cast<double>(s.count());
  for_channels(s, 5 * down, [&](int64_t c) {
    const double pivot = center[c];
    double total = 0, square = 0;  // the sums of x - pivot and of its square
    for (int64_t i = 0; i < down; ++i) {
      const int64_t at = i * s.channels + c;
      const double n = static_cast<double>(blocks.values(i)), d = center[at] - pivot;
      total += n * d + sum[at];
      square += n * d * d + 2 * d * sum[at] + squares[at];
    }
    moments[c] = {pivot + total / count, std::max(square - total * total / count, 0.0)};
  });
}

// The arrays of the formula y = (x - center) * scale + shift. Each has one value per channel.
struct Normalization {
  float *center, *scale, *shift;
};

Normalization allocate(ScratchFrame& frame, int64_t channels) {
  return {frame.allocate<float>(channels), frame.allocate<float>(channels), frame.allocate<float>(channels)};
}

void normalize(const Blocks& blocks, const float* x, const Normalization& f, float* y) {
  const auto kernel = kernels<BatchNormKernels>().normalize;
  blocks.for_each(2 * sizeof(float), [&](const ChannelBlock& b, int64_t first, int64_t c, int64_t) {
    kernel(x + first, b, f.center + c, f.scale + c, f.shift + c, y + first);
  });
}

// Returns the new running statistic. A finite value beyond the range of float32, such as the variance of
// values of 1e20, becomes the largest float32. With an infinite running variance, y would be the constant
// beta in every later inference.
float mix(float momentum, float old_value, double new_value) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  const double mixed = (1 - static_cast<double>(momentum)) * old_value + momentum * new_value;
  return static_cast<float>(std::isfinite(mixed) ? std::clamp(mixed, -kLargest, kLargest) : mixed);
}

double inverse_std(double variance, float eps) { return 1 / std::sqrt(variance + eps); }

}  // namespace

void batch_norm_training(const BatchNormShape& s, const float* x, const float* gamma, const float* beta,
                         float momentum, float eps, float* running_mean, float* running_var, float* y,
                         float* mean, float* inv_std) {
  if (empty(s)) {
    std::fill_n(mean, s.channels, 0.0f);
    std::fill_n(inv_std, s.channels, static_cast<float>(inverse_std(0, eps)));
    return;
  }
  const Blocks blocks(s);
  ScratchFrame frame;
  Moments* const moments = frame.allocate<Moments>(s.channels);
  channel_moments(s, blocks, x, moments);
  const Normalization f = allocate(frame, s.channels);
  const double count = static_cast<double>(s.count());
  for (int64_t c = 0; c < s.channels; ++c) {
    const auto [m, squares] = moments[c];
    const double inverse = inverse_std(squares / count, eps);
    mean[c] = f.center[c] = static_cast<float>(m);
    inv_std[c] = static_cast<float>(inverse);
    f.scale[c] = static_cast<float>(gamma[c] * inverse);
    // The kernel subtracts the mean rounded to float32. The shift corrects this rounding, whose error is
    // visible in y if the mean is many standard deviations from zero.
    f.shift[c] = static_cast<float>(beta[c] + (f.center[c] - m) * gamma[c] * inverse);
    running_mean[c] = mix(momentum, running_mean[c], m);
    running_var[c] = mix(momentum, running_var[c], squares / (count - 1));
  }
  normalize(blocks, x, f, y);
}

void batch_norm_inference(const BatchNormShape& s, const float* x, const float* gamma, const float* beta,
                          float eps, const float* running_mean, const float* running_var, float* y,
                          float* mean, float* inv_std) {
  ScratchFrame frame;
  const Normalization f = allocate(frame, s.channels);
  for (int64_t c = 0; c < s.channels; ++c) {
    const double inverse = inverse_std(running_var[c], eps);
    mean[c] = f.center[c] = running_mean[c];
    inv_std[c] = static_cast<float>(inverse);
    f.scale[c] = static_cast<float>(gamma[c] * inverse);
    f.shift[c] = beta[c];
  }
  if (!empty(s)) normalize(Blocks(s), x, f, y);
}

namespace {

// Returns the error that rounding to float32 has left in the saved mean. `saved` is the mean that the caller
// passes, and `mean_deviation` the mean of x - saved. If batch_norm_training returned `saved`, then
// `mean_deviation` is the rounding error. If `mean_deviation` is larger than any rounding error, the caller
// has passed another value than the mean of x. Then the result is 0, so that `saved` is used as it is.
double lost_in_rounding(float saved, double mean_deviation) {
  constexpr double kHalfUlp = 0x1.00001p-24;  // the largest relative rounding error, with a little margin
  return std::abs(mean_deviation) <= kHalfUlp * std::abs(static_cast<double>(saved)) ? mean_deviation : 0;
}

}  // namespace

void batch_norm_backward(const BatchNormShape& s, const BatchNormGradients& g) {
  if (empty(s)) {
    std::fill_n(g.dgamma, s.channels, 0.0f);
    std::fill_n(g.dbeta, s.channels, 0.0f);
    return;
  }
  const Blocks blocks(s);
  const int64_t down = blocks.down();
  ScratchFrame frame;
  double* const sum = frame.allocate<double>(down * s.channels);
  double* const products = frame.allocate<double>(down * s.channels);
  double* const deviations = frame.allocate<double>(down * s.channels);
  float* const scale = frame.allocate<float>(s.channels);
  float* const slope = frame.allocate<float>(s.channels);
  float* const constant = frame.allocate<float>(s.channels);
  const BatchNormKernels& k = kernels<BatchNormKernels>();
  blocks.for_each(2 * sizeof(float), [&](const ChannelBlock& b, int64_t first, int64_t c, int64_t i) {
    const int64_t at = i * s.channels + c;
    k.gradient_sums(g.dy + first, g.x + first, b, g.mean + c, sum + at, products + at, deviations + at);
  });
  const double count = static_cast<double>(s.count());
  for_channels(s, 6 * down, [&](int64_t c) {
    double dbeta = 0, product = 0, deviation = 0;
    for (int64_t i = 0; i < down; ++i) {
      dbeta += sum[i * s.channels + c];
      product += products[i * s.channels + c];
      deviation += deviations[i * s.channels + c];
    }
    // If the mean is 10^4 standard deviations from zero, its rounding error is up to 10^-3 of a standard
    // deviation. Without this correction, dgamma and dx would have errors of the same relative size.
    const double lost = g.training ? lost_in_rounding(g.mean[c], deviation / count) : 0;
    const double dgamma = (product - lost * dbeta) * g.inv_std[c];
    const double x_slope = -g.inv_std[c] * dgamma / count;
    g.dbeta[c] = static_cast<float>(dbeta);
    g.dgamma[c] = static_cast<float>(dgamma);
    scale[c] = static_cast<float>(static_cast<double>(g.gamma[c]) * g.inv_std[c]);
    slope[c] = static_cast<float>(x_slope);
    constant[c] = static_cast<float>(-dbeta / count - x_slope * lost);
  });
  if (g.dx == nullptr) return;
  if (!g.training) {
    // dx = scale * dy does not depend on x, so a NaN in x must not reach dx. `slope` and `constant` become
    // zeros, and normalize computes (dy - 0) * scale + 0.
    std::fill_n(slope, s.channels, 0.0f);
    std::fill_n(constant, s.channels, 0.0f);
    return normalize(blocks, g.dy, {slope, scale, constant}, g.dx);
  }
  blocks.for_each(3 * sizeof(float), [&](const ChannelBlock& b, int64_t first, int64_t c, int64_t) {
    k.input_gradient(g.dy + first, g.x + first, b, {g.mean + c, scale + c, slope + c, constant + c},
                     g.dx + first);
  });
}

}  // namespace byhand::ops
