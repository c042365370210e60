// Batch normalization of ops/batch_norm.h.
//
// In training, a block of 512 threads does everything for its channels: it adds up their values, computes the
// factors of each channel, and then reads the values again and writes the results. If the channels that are
// computed at the same time fit into the L2 cache, the values are there by then. No other block needs
// anything of these channels, so no scratch memory and no second launch is needed. The threads of a block are
// laid over x (batch, channels, plane) in one of two ways:
//
//   planes of 16 values or more: a channel per block       smaller planes: 8 neighbouring channels per block
//
//            |<- channel ->|                                         |<- 8 channels ->|
//   image 0  |0 1 2 3 4 5 .| other channels                 image 0  |0 1 2 3 4 5 6 7 | other channels
//   image 1  |. . . . 511 0|                                image 1  |8 9 . . . . . . |
//                                                           (a plane of 1 value: 8 threads read 32 bytes)
//
// The numbers are those of the threads. So neighbouring threads read neighbouring values. The order of the
// additions depends on the shape alone.
#include "cuda/each.cuh"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

using ops::BatchNormGradients;
using ops::BatchNormShape;

constexpr int kThreads = 512, kWarps = kThreads / kWarp;
constexpr int64_t kSmallPlane = 16;  // planes with fewer values have 8 channels per block

// The number of values that a thread reads before it uses the first of them. If there are few channels, there
// are few threads on the GPU, and only such reads keep its memory busy.
constexpr int kAhead = 4;

// Calls use(load(offset), offset) for the values of a channel that this thread visits: one of every
// kThreads / kChannels.
template <int kChannels, class Load, class Use>
__device__ void for_values(const BatchNormShape& s, int64_t channel, const Load& load, const Use& use) {
  constexpr int kWorkers = kThreads / kChannels;  // the number of threads that share the channel
  if (channel >= s.channels || s.plane == 0) return;
  const int worker = static_cast<int>(threadIdx.x) / kChannels;
  const int64_t down = kWorkers / s.plane, across = kWorkers % s.plane;
  int64_t image = worker / s.plane, i = worker % s.plane;
  while (image < s.batch) {
    decltype(load(int64_t{})) values[kAhead];
    int64_t offsets[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      offsets[j] = image < s.batch ? (image * s.channels + channel) * s.plane + i : -1;
      if (offsets[j] >= 0) values[j] = load(offsets[j]);
      image += down, i += across;
      if (i >= s.plane) i -= s.plane, ++image;
    }
#pragma unroll
    for (int j = 0; j < kAhead; ++j)
      if (offsets[j] >= 0) use(values[j], offsets[j]);
  }
}

// Adds up one or more sums over the threads of each channel: first with shuffles within a warp, then over the
// warps. The first kChannels threads of the block get the totals of their channels. All threads must pass a
// barrier before the next call.
template <int kChannels, int kSums>
__device__ void block_sums(double (&sums)[kSums]) {
  __shared__ double warp_sums[kSums][kWarps][kChannels];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    for (int offset = kWarp / 2; offset >= kChannels; offset /= 2)
      sums[s] += __shfl_xor_sync(kAllLanes, sums[s], offset);
    if (lane < kChannels) warp_sums[s][thread / kWarp][lane] = sums[s];
  }
  __syncthreads();
  if (thread >= kChannels) return;
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    sums[s] = 0;
#pragma unroll 4  // all loads at once would need 96 registers
    for (int warp = 0; warp < kWarps; ++warp) sums[s] += warp_sums[s][warp][thread];
  }
}

// Returns the new running statistic. A finite value beyond the range of float32, such as the variance of
// values of 1e20, becomes the largest float32. Infinity would make every later result of inference a
// constant.
__device__ float mix(float momentum, float old_value, double new_value) {
  constexpr double kLargest = 3.4028234663852886e38;
  const double mixed = (1 - static_cast<double>(momentum)) * old_value + momentum * new_value;
  return static_cast<float>(isfinite(mixed) ? fmin(fmax(mixed, -kLargest), kLargest) : mixed);
}

__device__ double inverse_std(double variance, float eps) { return rsqrt(variance + eps); }

// ------------------------------------------------------------------------------------------------------------
// Training. Three passes over the values of a channel:
//   1. The mean, rounded to float32, is the center.
//   2. The sums of x - center and of its square give a far more exact mean and the variance. Both sums are
//      small even if the mean is large, so no two large numbers are subtracted.
//   3. y = (x - center) * scale + shift. The shift corrects the rounding of the center, whose error is
//      visible in y if the mean is many standard deviations from zero.

template <int kChannels>
__global__ void __launch_bounds__(kThreads, 2)
    training_kernel(BatchNormShape s, const float* x, const float* gamma, const float* beta, float momentum,
                    float eps, float* running_mean, float* running_var, float* y, float* mean,
                    float* inv_std) {
  __shared__ float centers[kChannels], scales[kChannels], shifts[kChannels];
  const int own = static_cast<int>(threadIdx.x) % kChannels;  // the number of the channel in the block
  const bool leads = threadIdx.x < kChannels;
  const int64_t count = s.batch * s.plane;
  const double divisor = static_cast<double>(count > 0 ? count : 1);
  const auto load_x = [x](int64_t at) { return x[at]; };
  for (int64_t first = int64_t{blockIdx.x} * kChannels; first < s.channels;
       first += int64_t{gridDim.x} * kChannels) {
    const int64_t channel = first + own;
    double total[1] = {};
    for_values<kChannels>(s, channel, load_x, [&](float v, int64_t) { total[0] += v; });
    block_sums<kChannels>(total);
    if (leads) centers[own] = static_cast<float>(total[0] / divisor);
    __syncthreads();
    const float center = centers[own];
    double sums[2] = {};  // the sums of x - center and of its square
    for_values<kChannels>(s, channel, load_x, [&](float v, int64_t) {
      const double d = v - center;
      sums[0] += d;
      sums[1] = fma(d, d, sums[1]);
    });
    block_sums<kChannels>(sums);
    if (leads && channel < s.channels) {
      const double exact = center + sums[0] / divisor, rest = sums[1] - sums[0] * sums[0] / divisor;
      const double squares = rest < 0 ? 0 : rest;  // a NaN stays
      const double inverse = inverse_std(squares / divisor, eps);
      mean[channel] = static_cast<float>(exact);
      inv_std[channel] = static_cast<float>(inverse);
      scales[own] = static_cast<float>(gamma[channel] * inverse);
      shifts[own] = static_cast<float>(beta[channel] + (center - exact) * gamma[channel] * inverse);
      if (count > 0) {
        running_mean[channel] = mix(momentum, running_mean[channel], exact);
        running_var[channel] = mix(momentum, running_var[channel], squares / static_cast<double>(count - 1));
      }
    }
    __syncthreads();
    for_values<kChannels>(s, channel, load_x,
                          [&](float v, int64_t at) { y[at] = fmaf(v - center, scales[own], shifts[own]); });
  }
}

// ------------------------------------------------------------------------------------------------------------
// Inference, value by value (each.cuh): first the statistics of the channels, then the results

struct RunningStatistics {
  const float *running_mean, *running_var;
  float eps;
  float *mean, *inv_std;

  __device__ float2 load(int64_t c) const { return {running_mean[c], running_var[c]}; }
  __device__ void store(int64_t c, float2 v) const {
    mean[c] = v.x;
    inv_std[c] = static_cast<float>(inverse_std(v.y, eps));
  }
};

// y = gamma * (x - mean) * inv_std + beta. The number of a value is a Number: uint32_t if that is large
// enough, because a division of 64-bit numbers takes several times as long.
template <class Number>
struct Normalize {
  const float *x, *gamma, *beta, *mean, *inv_std;
  Number plane, channels;
  float* y;

  __device__ float load(int64_t i) const { return x[i]; }
  __device__ void store(int64_t i, float value) const {
    const Number c = static_cast<Number>(i) / plane % channels;
    y[i] = fmaf(value - mean[c], gamma[c] * inv_std[c], beta[c]);
  }
};

// ------------------------------------------------------------------------------------------------------------
// Gradients. Two passes: the sums of each channel, then dx = scale * (dy + slope * (x - mean) + constant).

// Returns the error that rounding to float32 has left in the saved mean. `saved` is the mean that
// batch_norm_training returned, and `mean_deviation` is the mean of x - saved, which is this error. If the
// deviation is too large to be a rounding error, the caller has passed another value than the mean of x. Then
// the result is 0, so that this value is used as it is.
__device__ double lost_in_rounding(float saved, double mean_deviation) {
  constexpr double kHalfUlp = 0x1.00001p-24;  // relative, with a little margin
  return fabs(mean_deviation) <= kHalfUlp * fabs(static_cast<double>(saved)) ? mean_deviation : 0;
}

template <int kChannels>
__global__ void __launch_bounds__(kThreads, 2) gradient_kernel(BatchNormShape s, BatchNormGradients g) {
  __shared__ float scales[kChannels], slopes[kChannels], constants[kChannels];
  const int own = static_cast<int>(threadIdx.x) % kChannels;  // the number of the channel in the block
  const bool leads = threadIdx.x < kChannels;
  const int64_t count = s.batch * s.plane;
  const double divisor = static_cast<double>(count);
  struct Pair {
    float dy, x;
  };
  const auto load_both = [&g](int64_t at) { return Pair{g.dy[at], g.x[at]}; };
  const auto load_dy = [&g](int64_t at) { return g.dy[at]; };
  for (int64_t first = int64_t{blockIdx.x} * kChannels; first < s.channels;
       first += int64_t{gridDim.x} * kChannels) {
    const int64_t channel = first + own;
    const float center = channel < s.channels ? g.mean[channel] : 0.0f;
    double sums[3] = {};  // the sums of dy, of dy * (x - mean) and of x - mean
    for_values<kChannels>(s, channel, load_both, [&](const Pair& v, int64_t) {
      const double gradient = v.dy, d = v.x - center;
      sums[0] += gradient;
      sums[1] = fma(gradient, d, sums[1]);
      sums[2] += d;
    });
    block_sums<kChannels>(sums);
    if (leads && channel < s.channels) {
      // If the mean is 10^4 standard deviations from zero, its rounding error is up to 10^-3 of a standard
      // deviation. Without this correction, dgamma and dx would have errors of the same relative size.
      const double inverse = g.inv_std[channel], dbeta = sums[0];
      const double lost = g.training ? lost_in_rounding(center, sums[2] / divisor) : 0;
      const double dgamma = (sums[1] - lost * dbeta) * inverse, slope = -inverse * dgamma / divisor;
      g.dbeta[channel] = static_cast<float>(dbeta);
      g.dgamma[channel] = static_cast<float>(dgamma);
      scales[own] = static_cast<float>(g.gamma[channel] * inverse);
      slopes[own] = static_cast<float>(slope);
      constants[own] = static_cast<float>(-dbeta / divisor - slope * lost);
    }
    __syncthreads();
    if (g.dx == nullptr) continue;
    if (g.training)
      for_values<kChannels>(s, channel, load_both, [&](const Pair& v, int64_t at) {
        g.dx[at] = scales[own] * fmaf(slopes[own], v.x - center, v.dy + constants[own]);
      });
    else  // dx does not depend on x, so a NaN in x must not reach it
      for_values<kChannels>(s, channel, load_dy, [&](float v, int64_t at) { g.dx[at] = scales[own] * v; });
  }
}

}  // namespace

void batch_norm_training(const BatchNormShape& s, const float* x, const float* gamma, const float* beta,
                         float momentum, float eps, float* running_mean, float* running_var, float* y,
                         float* mean, float* inv_std) {
  if (s.channels == 0) return;
  if (s.plane < kSmallPlane)
    training_kernel<8><<<blocks_for(s.channels, 8), kThreads, 0, stream()>>>(
        s, x, gamma, beta, momentum, eps, running_mean, running_var, y, mean, inv_std);
  else
    training_kernel<1><<<blocks_for(s.channels, 1), kThreads, 0, stream()>>>(
        s, x, gamma, beta, momentum, eps, running_mean, running_var, y, mean, inv_std);
  check_launch("batch_norm_training");
}

void batch_norm_inference(const BatchNormShape& s, const float* x, const float* gamma, const float* beta,
                          float eps, const float* running_mean, const float* running_var, float* y,
                          float* mean, float* inv_std) {
  const char* const op = "batch_norm_inference";
  for_each(s.channels, RunningStatistics{running_mean, running_var, eps, mean, inv_std}, op);
  const auto normalize = [&](auto plane, auto channels) {
    for_each(s.count() * s.channels,
             Normalize<decltype(plane)>{x, gamma, beta, mean, inv_std, plane, channels, y}, op);
  };
  if (s.count() * s.channels <= UINT32_MAX)
    normalize(static_cast<uint32_t>(s.plane), static_cast<uint32_t>(s.channels));
  else
    normalize(static_cast<uint64_t>(s.plane), static_cast<uint64_t>(s.channels));
}

void batch_norm_backward(const BatchNormShape& s, const BatchNormGradients& g) {
  if (s.channels == 0) return;
  if (s.count() == 0) {
    const size_t bytes = static_cast<size_t>(s.channels) * sizeof(float);
    check(cudaMemsetAsync(g.dgamma, 0, bytes, stream()), "batch_norm_backward");
    check(cudaMemsetAsync(g.dbeta, 0, bytes, stream()), "batch_norm_backward");
    return;
  }
  if (s.plane < kSmallPlane)
    gradient_kernel<8><<<blocks_for(s.channels, 8), kThreads, 0, stream()>>>(s, g);
  else
    gradient_kernel<1><<<blocks_for(s.channels, 1), kThreads, 0, stream()>>>(s, g);
  check_launch("batch_norm_backward");
}

}  // namespace byhand::cuda
