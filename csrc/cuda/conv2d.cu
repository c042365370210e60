// The convolution of ops/conv2d.h. For each group of channels, each direction is a matrix product Z = A B' of
// tile_product.cuh. G is the group, C and O are the input and output channels per group:
//
//                  rows of A (and of Z)   rows of B (columns of Z)          depth
//   forward        O output channels      N * OH * OW windows of x          C * KH * KW taps
//   input gradient C input channels       pixels of x, as windows of dy     O * taps that reach the pixels
//   weight grad.   O output channels      C * KH * KW taps                  N * OH * OW windows of x
//
// One block of 64 threads computes a tile of 64 x 64 values of Z. The blocks of one launch lie in this order,
// with the last index the fastest, so that neighbouring blocks read the same values of B:
//   block = ((group * phases + phase) * column tiles + column tile) * row tiles + row tile
//
// Phases. The input gradient of pixel iy gets a term from filter row ky and output row oy if
//   iy = oy * stride - padding + ky * dilation.
// With a stride of 2, that is possible for every second ky only: for the even ones or for the odd ones,
// depending on whether iy + padding is even. So the pixels are divided into stride.h * stride.w phases, the
// pixels with the same iy % stride.h and ix % stride.w. All pixels of a phase use the same taps, so a phase
// is one product without wasted work. With a stride of 1 there is one phase.
#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "cuda/conv2d_loaders.cuh"
#include "cuda/memory.h"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

// The blocks of a launch and what each one computes.
struct Blocks {
  int64_t phases, column_tiles, row_tiles;

  struct Index {
    int64_t group, phase, row, column;  // `row` and `column` begin the tile
  };
  __device__ Index index() const {
    const int64_t row_tile = blockIdx.x % row_tiles, rest = blockIdx.x / row_tiles;
    const int64_t column_tile = rest % column_tiles, product = rest / column_tiles;
    return {product / phases, product % phases, row_tile * kTile, column_tile * kTile};
  }
};

// --- Forward ---

// y[n, o, position] = z + bias[o], with column j = n * plane + position
struct StoreOutput {
  const float* bias;  // of the first channel of the group, as y is
  float* y;
  int64_t plane, image_size;

  __device__ float* column(int64_t j) const { return y + j / plane * image_size + j % plane; }
  __device__ void operator()(int64_t i, float* column, float z) const {
    column[i * plane] = bias ? z + bias[i] : z;
  }
};

// If the filters allow it, the weights are read four at a time.
template <bool kQuads>
__global__ void __launch_bounds__(kProductThreads)
    forward_kernel(Conv2dShape s, Blocks blocks, const float* x, const float* weight, const float* bias,
                   float* y) {
  __shared__ WindowLoader::Tables tables;
  const Blocks::Index block = blocks.index();
  const int64_t channels = s.in_channels / s.groups, outputs = s.out_channels / s.groups;
  const int64_t in_plane = s.in_h * s.in_w, plane = s.out_h * s.out_w;
  const int64_t taps = s.kernel.h * s.kernel.w, depth = channels * taps;
  const Tile tile{block.row, block.column, outputs, s.batch * plane};
  const Radix tap_radix{static_cast<int>(s.kernel.h), static_cast<int>(s.kernel.w)};
  const Radix window_radix{static_cast<int>(s.out_h), static_cast<int>(s.out_w)};

  const Planes images{x + block.group * channels * in_plane, static_cast<int>(s.in_h),
                      static_cast<int>(s.in_w)};
  const Windows windows{s.in_channels * in_plane, -s.padding.top, -s.padding.left, s.stride.h, s.stride.w};
  const int64_t column = tile.column + threadIdx.x;
  const Window window = column < tile.columns ? windows.at(window_radix.split(column), images) : kNoWindow;
  const WindowLoader b(images, window, {in_plane, s.dilation.h, s.dilation.w}, tap_radix, depth, tables);
  __syncthreads();

  const int64_t first = block.group * outputs;
  const Operand weights{weight + first * depth, outputs, depth, depth, 1};
  const StoreOutput store{bias ? bias + first : nullptr, y + first * plane, plane, s.out_channels * plane};
  if constexpr (kQuads) {
    tile_product(MatrixLoader<Layout::kDepthIsContiguous, Operand>{weights, tile.row}, b, tile, depth, store);
  } else {
    const StridedLoader a(weights.data, tile.row, outputs, depth, {taps, s.kernel.w, 1}, tap_radix, 0, depth);
    tile_product(a, b, tile, depth, store);
  }
}

// --- The gradient with respect to the input ---

// One axis of a phase: the pixels  remainder + i * stride  for i from 0 to pixels - 1. They use the filter
// positions first_tap + t * tap_step  for t from 0 to taps - 1, and pixel i sees through tap t the gradient
// with the index first_output + i - t * output_step.
struct PhaseAxis {
  int64_t pixels, taps, first_tap, first_output;

  __device__ PhaseAxis(int64_t remainder, int64_t size, int64_t kernel, int64_t stride, int64_t dilation,
                       int64_t padding, int64_t tap_step)
      : pixels((size - remainder + stride - 1) / stride), taps(0), first_tap(0), first_output(0) {
    // If a tap fits, so does every tap_step-th one. So one of the first tap_step fits, or none at all does.
    for (int64_t k = 0; k < kernel && k < tap_step; ++k) {
      const int64_t distance = remainder + padding - k * dilation;
      if (distance % stride == 0) {
        first_tap = k;
        first_output = distance / stride;
        taps = (kernel - 1 - k) / tap_step + 1;
        return;
      }
    }
  }
};

// The steps of PhaseAxis, which are the same for all phases.
struct PhaseSteps {
  Pair tap, output;

  explicit PhaseSteps(const Conv2dShape& s) {
    const int64_t h = std::gcd(s.stride.h, s.dilation.h), w = std::gcd(s.stride.w, s.dilation.w);
    tap = {s.stride.h / h, s.stride.w / w};
    output = {s.dilation.h / h, s.dilation.w / w};
  }
};

// dx[n, c, iy, ix] = z, with column j = (n * rows.pixels + i) * columns.pixels + k, and pixel (i, k) of the
// phase
struct StoreInputGradient {
  float* dx;  // the first pixel of the phase in the first channel of the group
  Radix radix;
  DigitStrides strides;
  int64_t plane;

  __device__ float* column(int64_t j) const { return dx + strides.offset(radix.split(j)); }
  __device__ void operator()(int64_t i, float* column, float z) const { column[i * plane] = z; }
};

__global__ void __launch_bounds__(kProductThreads)
    backward_input_kernel(Conv2dShape s, PhaseSteps steps, Blocks blocks, const float* dy,
                          const float* weight, float* dx) {
  __shared__ WindowLoader::Tables tables;
  const Blocks::Index block = blocks.index();
  const int64_t channels = s.in_channels / s.groups, outputs = s.out_channels / s.groups;
  const int64_t in_plane = s.in_h * s.in_w, plane = s.out_h * s.out_w, kernel_size = s.kernel.h * s.kernel.w;
  const int64_t phases_w = s.stride.w < s.in_w ? s.stride.w : s.in_w;
  const int64_t iy = block.phase / phases_w, ix = block.phase % phases_w;  // the first pixel of the phase
  const PhaseAxis rows(iy, s.in_h, s.kernel.h, s.stride.h, s.dilation.h, s.padding.top, steps.tap.h);
  const PhaseAxis columns(ix, s.in_w, s.kernel.w, s.stride.w, s.dilation.w, s.padding.left, steps.tap.w);
  const Tile tile{block.row, block.column, channels, s.batch * rows.pixels * columns.pixels};
  if (tile.column >= tile.columns) return;  // some phases have fewer pixels than the first

  // A pixel that no window sees has the gradient 0: a product of depth 0.
  const bool is_seen = rows.taps > 0 && columns.taps > 0;
  const int64_t depth = is_seen ? outputs * rows.taps * columns.taps : 0;
  const Radix tap_radix{is_seen ? static_cast<int>(rows.taps) : 1,
                        is_seen ? static_cast<int>(columns.taps) : 1};
  const Radix pixel_radix{static_cast<int>(rows.pixels), static_cast<int>(columns.pixels)};

  const StridedLoader a(weight + block.group * outputs * channels * kernel_size +
                            rows.first_tap * s.kernel.w + columns.first_tap,
                        tile.row, channels, kernel_size,
                        {channels * kernel_size, steps.tap.h * s.kernel.w, steps.tap.w}, tap_radix, 0, depth);

  const Planes gradients{dy + block.group * outputs * plane, static_cast<int>(s.out_h),
                         static_cast<int>(s.out_w)};
  const Windows windows{s.out_channels * plane, rows.first_output, columns.first_output, 1, 1};
  const int64_t column = tile.column + threadIdx.x;
  const Window window = column < tile.columns ? windows.at(pixel_radix.split(column), gradients) : kNoWindow;
  const WindowLoader b(gradients, window, {plane, -steps.output.h, -steps.output.w}, tap_radix, depth,
                       tables);
  __syncthreads();

  tile_product(a, b, tile, depth,
               StoreInputGradient{dx + block.group * channels * in_plane + iy * s.in_w + ix,
                                  pixel_radix,
                                  {s.in_channels * in_plane, s.stride.h * s.in_w, s.stride.w},
                                  in_plane});
}

// --- The gradient with respect to the weight ---

// The windows of all images are cut into `count` parts of `size` windows, the last one shorter. Each part is
// a phase of the launch and has a sum of its own, because the weights alone are often too few tiles to occupy
// a GPU: LeNet's first layer has one. The parts depend on the shape only, so the result has the same bits on
// every GPU.
struct WindowParts {
  int64_t count, size;

  explicit WindowParts(const Conv2dShape& s) {
    constexpr int64_t kBlocks = 512;  // enough to occupy a GPU
    // The minimum number of windows per part. With fewer, writing and adding the sums would take too long.
    constexpr int64_t kLeast = 256;
    const int64_t windows = s.batch * s.out_h * s.out_w;
    const int64_t tiles = s.groups * parts(s.group_out(), kTile) * parts(s.group_in() * s.taps(), kTile);
    const int64_t wanted = std::min(parts(kBlocks, std::max<int64_t>(tiles, 1)), parts(windows, kLeast));
    size = parts(parts(windows, std::max<int64_t>(wanted, 1)), kDepth) * kDepth;
    count = std::max<int64_t>(size > 0 ? parts(windows, size) : 1, 1);
  }
};

// dw[o, c, ky, kx] = z, with the number of the tap as column
struct StoreWeightGradient {
  float* dw;  // of the first output channel of the group
  int64_t row_size;

  __device__ float* column(int64_t j) const { return dw + j; }
  __device__ void operator()(int64_t i, float* column, float z) const { column[i * row_size] = z; }
};

__global__ void __launch_bounds__(kProductThreads)
    backward_weight_kernel(Conv2dShape s, int64_t part_size, Blocks blocks, const float* dy, const float* x,
                           float* sums) {
  __shared__ TapLoader::Table table;
  const Blocks::Index block = blocks.index();
  const int64_t channels = s.in_channels / s.groups, outputs = s.out_channels / s.groups;
  const int64_t in_plane = s.in_h * s.in_w, plane = s.out_h * s.out_w;
  const int64_t taps = channels * s.kernel.h * s.kernel.w, windows_count = s.batch * plane;
  const Tile tile{block.row, block.column, outputs, taps};
  const int64_t begin = block.phase * part_size;
  const int64_t end = begin + part_size < windows_count ? begin + part_size : windows_count;
  const Radix tap_radix{static_cast<int>(s.kernel.h), static_cast<int>(s.kernel.w)};
  const Radix window_radix{static_cast<int>(s.out_h), static_cast<int>(s.out_w)};

  const StridedLoader a(dy + block.group * outputs * plane, tile.row, outputs, plane,
                        {s.out_channels * plane, s.out_w, 1}, window_radix, begin, end);

  const Planes images{x + block.group * channels * in_plane, static_cast<int>(s.in_h),
                      static_cast<int>(s.in_w)};
  const Windows windows{s.in_channels * in_plane, -s.padding.top, -s.padding.left, s.stride.h, s.stride.w};
  const TapLoader b(images, {in_plane, s.dilation.h, s.dilation.w}, tap_radix, tile.column, taps, windows,
                    window_radix, begin, end, table);
  __syncthreads();

  float* dw = sums + block.phase * s.out_channels * taps + block.group * outputs * taps;
  tile_product(a, b, tile, end - begin, StoreWeightGradient{dw, taps});
}

// dw[i] = sums[0, i] + sums[1, i] + ... One thread adds up one weight's sums, so neighbouring threads read
// neighbouring addresses.
__global__ void __launch_bounds__(256)
    add_parts_kernel(const float* sums, int64_t count, int64_t size, float* dw) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= size) return;
  float sum = sums[i];
  for (int64_t part = 1; part < count; ++part) sum += sums[part * size + i];
  dw[i] = sum;
}

// --- The gradient with respect to the bias ---

constexpr int kBiasThreads = 512;

// A block adds up one channel. Its threads read the values of the channel in turn, plane after plane: thread
// t takes the values t, t + 512, t + 1024 and so on. Then the lanes of each warp add up their sums, and the
// first warp adds up the sums of the warps.
__global__ void __launch_bounds__(kBiasThreads)
    backward_bias_kernel(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db) {
  __shared__ double warp_sums[kBiasThreads / 32];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  for (int64_t channel = blockIdx.x; channel < channels; channel += gridDim.x) {
    double sum = 0;
    // The value's image n and its position i in the plane advance by 512 with a carry, without a division.
    const int64_t step_n = kBiasThreads / plane, step_i = kBiasThreads % plane;
    int64_t n = threadIdx.x / plane, i = threadIdx.x % plane;
    while (n < batch) {
      sum += static_cast<double>(dy[(n * channels + channel) * plane + i]);
      n += step_n;
      i += step_i;
      if (i >= plane) i -= plane, ++n;
    }
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_down_sync(~0u, sum, distance);
    if (lane == 0) warp_sums[warp] = sum;
    __syncthreads();
    if (warp == 0) {
      sum = lane < kBiasThreads / 32 ? warp_sums[lane] : 0;
      for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_down_sync(~0u, sum, distance);
      if (lane == 0) db[channel] = static_cast<float>(sum);
    }
    __syncthreads();  // before the next channel overwrites warp_sums
  }
}

// --- Checks ---

void check_algorithm(ops::ConvAlgorithm algorithm) {
  require(algorithm != ops::ConvAlgorithm::kWinograd,
          "algorithm must be \"auto\" or \"direct\", because CUDA has only the direct algorithm, got "
          "\"winograd\"");
}

// The kernels compute rows and columns of the padded image as int.
void check_sizes(const Conv2dShape& s) {
  const int64_t h = s.in_h + s.padding.top + s.padding.bottom, w = s.in_w + s.padding.left + s.padding.right;
  require(h < kMostSide && w < kMostSide,
          "the padded image must have less than 2**28 rows and columns on CUDA, got ", h, " x ", w);
}

unsigned block_count(const Conv2dShape& s, const Blocks& blocks) {
  double count = 1;  // the product may be too large for int64
  for (const int64_t factor : {s.groups, blocks.phases, blocks.column_tiles, blocks.row_tiles})
    count *= static_cast<double>(factor);
  require(count <= INT32_MAX, "the result of a convolution on CUDA must have less than 2**31 tiles, got ",
          count);
  return static_cast<unsigned>(count);
}

}  // namespace

void conv2d(const Conv2dShape& s, ops::ConvAlgorithm algorithm, const float* x, const float* weight,
            const float* bias, float* y) {
  check_algorithm(algorithm);
  if (s.batch * s.out_channels * s.out_h * s.out_w == 0) return;
  check_sizes(s);
  const Blocks blocks{1, parts(s.batch * s.out_h * s.out_w, kTile), parts(s.group_out(), kTile)};
  // With a whole number of quads per filter, every group begins with a quad, too.
  const int64_t filter = s.group_in() * s.taps();
  const Operand weights{weight, s.group_out(), filter, filter, 1};
  const auto kernel =
      weights.layout() == Layout::kDepthIsContiguous ? forward_kernel<true> : forward_kernel<false>;
  kernel<<<block_count(s, blocks), kProductThreads, 0, stream()>>>(s, blocks, x, weight, bias, y);
  check_launch("conv2d");
}

void conv2d_backward_input(const Conv2dShape& s, ops::ConvAlgorithm algorithm, const float* dy,
                           const float* weight, float* dx) {
  check_algorithm(algorithm);
  if (s.batch * s.in_channels * s.in_h * s.in_w == 0) return;
  check_sizes(s);
  // The first phase has the most pixels.
  const int64_t pixels = s.batch * parts(s.in_h, s.stride.h) * parts(s.in_w, s.stride.w);
  const int64_t phases = std::min(s.stride.h, s.in_h) * std::min(s.stride.w, s.in_w);
  const Blocks blocks{phases, parts(pixels, kTile), parts(s.group_in(), kTile)};
  backward_input_kernel<<<block_count(s, blocks), kProductThreads, 0, stream()>>>(s, PhaseSteps(s), blocks,
                                                                                  dy, weight, dx);
  check_launch("conv2d_backward_input");
}

void conv2d_backward_weight(const Conv2dShape& s, ops::ConvAlgorithm algorithm, const float* dy,
                            const float* x, float* dweight) {
  check_algorithm(algorithm);
  const int64_t size = s.out_channels * s.group_in() * s.taps();
  if (size == 0) return;
  if (s.batch == 0) {
    check(cudaMemsetAsync(dweight, 0, static_cast<size_t>(size) * sizeof(float), stream()),
          "conv2d_backward_weight");
    return;
  }
  check_sizes(s);
  const WindowParts windows(s);
  const Blocks blocks{windows.count, parts(s.group_in() * s.taps(), kTile), parts(s.group_out(), kTile)};
  const Scratch<float> scratch(windows.count > 1 ? windows.count * size : 0);
  float* const sums = windows.count > 1 ? scratch.data() : dweight;
  backward_weight_kernel<<<block_count(s, blocks), kProductThreads, 0, stream()>>>(s, windows.size, blocks,
                                                                                   dy, x, sums);
  check_launch("conv2d_backward_weight");
  if (windows.count == 1) return;
  add_parts_kernel<<<static_cast<unsigned>(parts(size, 256)), 256, 0, stream()>>>(sums, windows.count, size,
                                                                                  dweight);
  check_launch("conv2d_backward_weight");
}

void conv2d_backward_bias(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db) {
  if (channels == 0) return;
  // Without values, the sums are 0. An empty plane must not be divided by.
  if (plane == 0) batch = 0, plane = 1;
  const unsigned blocks = static_cast<unsigned>(std::min<int64_t>(channels, INT32_MAX));
  backward_bias_kernel<<<blocks, kBiasThreads, 0, stream()>>>(dy, batch, channels, plane, db);
  check_launch("conv2d_backward_bias");
}

}  // namespace byhand::cuda
