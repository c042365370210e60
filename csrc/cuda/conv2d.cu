// The convolution of ops/conv2d.h. For each group of channels, each direction is a matrix product Z = A B' of
// tile_product.cuh. G is the group, C and O are the input and output channels per group:
//
//                  rows of A (and of Z)   rows of B (columns of Z)          depth
//   forward        O output channels      N * OH * OW windows of x          C * KH * KW taps
//   input gradient C input channels       pixels of x, as windows of dy     O * taps that reach the pixels
//   weight grad.   O output channels      C * KH * KW taps                  N * OH * OW windows of x
//
// One block computes one tile of Z. The blocks of one launch lie in this order, with the last index the
// fastest, so that neighbouring blocks read the same values of B:
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
#include "cuda/column_sums.cuh"
#include "cuda/conv2d_loaders.cuh"
#include "cuda/memory.h"
#include "cuda/ops.h"
#include "cuda/team.cuh"

namespace byhand::cuda {
namespace {

// A block computes 64 x 128 values of Z, or 32 x 256 if Z has at most 32 rows. The first convolution of
// LeNet-5 has 20 rows: the higher tile would waste 44 of its own. In the lower tile, each value of B is used
// for 32 multiply-adds instead of 64, so a smaller share of the instructions are multiply-adds.
//
//            128 columns: 16 threads across
//          +--------------------------------+       256 columns: 32 threads across
//   64     | 8 threads down,                |     +-------------------------------------------+
//   rows   | 8 x 8 values per thread        |  32 | 4 threads down, 8 x 8 values per thread   |
//          +--------------------------------+     +-------------------------------------------+
using HighTile = TileShape<64, 128, 8>;
using LowTile = TileShape<32, 256, 8>;

// The smallest number of blocks that fit on a multiprocessor. It limits the registers per thread: to 168 for
// the high tile, and to 255 for the low tile, whose threads load more values and need a few registers more on
// some GPUs.
template <class Shape>
constexpr int kBlocks = Shape::kRows == HighTile::kRows ? 3 : 2;

// Calls work(Shape{}) with the shape that suits this number of rows.
template <class Work>
auto with_shape(int64_t rows, const Work& work) {
  return rows <= LowTile::kRows ? work(LowTile{}) : work(HighTile{});
}

// The blocks of a launch and what each one computes.
struct Blocks {
  int64_t phases, column_tiles, row_tiles;

  struct Index {
    int64_t group, phase, row, column;  // `row` and `column` begin the tile
  };
  template <class Shape>
  __device__ Index index() const {
    const int64_t row_tile = blockIdx.x % row_tiles, rest = blockIdx.x / row_tiles;
    const int64_t column_tile = rest % column_tiles, product = rest / column_tiles;
    return {product / phases, product % phases, row_tile * Shape::kRows, column_tile * Shape::kColumns};
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

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, kBlocks<Shape>)
    forward_kernel(Conv2dShape s, Blocks blocks, const float* x, const float* weight, const float* bias,
                   float* y) {
  __shared__ typename DepthTable<Shape>::Shared entries;
  const Blocks::Index block = blocks.index<Shape>();
  const int64_t channels = s.in_channels / s.groups, outputs = s.out_channels / s.groups;
  const int64_t in_plane = s.in_h * s.in_w, plane = s.out_h * s.out_w;
  const int64_t depth = channels * s.kernel.h * s.kernel.w, first = block.group * outputs;
  const Tile tile{block.row, block.column, outputs, s.batch * plane};
  const Radix tap_radix{static_cast<int>(s.kernel.h), static_cast<int>(s.kernel.w)};
  const Radix window_radix{static_cast<int>(s.out_h), static_cast<int>(s.out_w)};

  const Operand weights{weight + first * depth, outputs, depth, depth, 1};
  MatrixLoader<Layout::kStrided, typename Shape::Rows, Operand> a(weights, tile.row);

  const Planes images{x + block.group * channels * in_plane, static_cast<int>(s.in_h),
                      static_cast<int>(s.in_w)};
  const Places windows{s.in_channels * in_plane, -s.padding.top, -s.padding.left, s.stride.h, s.stride.w};
  const Places taps{in_plane, 0, 0, s.dilation.h, s.dilation.w};
  DepthTable<Shape> table(entries, {0, depth, tap_radix, taps, images.width, {}});
  WindowLoader<Shape> b(images, windows, window_radix, tile.column, tile.columns, table);
  __syncthreads();

  tile_product<Shape>(
      a, b, tile, depth,
      StoreOutput{bias ? bias + first : nullptr, y + first * plane, plane, s.out_channels * plane});
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

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, kBlocks<Shape>)
    backward_input_kernel(Conv2dShape s, PhaseSteps steps, Blocks blocks, const float* dy,
                          const float* weight, float* dx) {
  __shared__ StoreInputGradient store;  // in shared memory, because it would take 14 registers
  __shared__ typename DepthTable<Shape>::Shared entries;
  const Blocks::Index block = blocks.index<Shape>();
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

  const float* const weights = weight + block.group * outputs * channels * kernel_size +
                               rows.first_tap * s.kernel.w + columns.first_tap;
  const DigitStrides weight_strides{channels * kernel_size, steps.tap.h * s.kernel.w, steps.tap.w};

  const Planes gradients{dy + block.group * outputs * plane, static_cast<int>(s.out_h),
                         static_cast<int>(s.out_w)};
  const Places windows{s.out_channels * plane, rows.first_output, columns.first_output, 1, 1};
  const Places taps{plane, 0, 0, -steps.output.h, -steps.output.w};
  const Depth walk{0, depth, tap_radix, taps, gradients.width, weight_strides};
  DepthTable<Shape> table(entries, walk);
  OffsetLoader<Shape> a(weights, tile.row, channels, kernel_size, walk, table);
  WindowLoader<Shape> b(gradients, windows, pixel_radix, tile.column, tile.columns, table);
  if (threadIdx.x == 0)
    store = {dx + block.group * channels * in_plane + iy * s.in_w + ix,
             pixel_radix,
             {s.in_channels * in_plane, s.stride.h * s.in_w, s.stride.w},
             in_plane};
  __syncthreads();
  tile_product<Shape>(a, b, tile, depth, store);
}

// --- The gradient with respect to the weight ---

// The windows of all images are cut into `count` parts of `size` windows, the last one shorter. Each part is
// a phase of the launch and has a sum of its own, because the weights alone are often too few tiles to occupy
// a GPU: LeNet's first layer has one. The parts depend on the shape only, so the result has the same bits on
// every GPU.
struct WindowParts {
  int64_t count, size;

  explicit WindowParts(const Conv2dShape& s) {
    constexpr int64_t kEnough = 512;  // blocks: enough to occupy a GPU
    // The minimum number of windows per part. With fewer, writing and adding the sums would take too long.
    constexpr int64_t kLeast = 256;
    const int64_t windows = s.batch * s.out_h * s.out_w;
    const int64_t tiles = with_shape(s.group_out(), [&](auto shape) {
      return s.groups * parts(s.group_out(), shape.kRows) * parts(s.group_in() * s.taps(), shape.kColumns);
    });
    const int64_t wanted = std::min(parts(kEnough, std::max<int64_t>(tiles, 1)), parts(windows, kLeast));
    size = parts(parts(windows, std::max<int64_t>(wanted, 1)), HighTile::kDepth) * HighTile::kDepth;
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

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, kBlocks<Shape>)
    backward_weight_kernel(Conv2dShape s, int64_t part_size, Blocks blocks, const float* dy, const float* x,
                           float* sums) {
  __shared__ typename DepthTable<Shape>::Shared entries;
  __shared__ typename TapLoader<Shape>::Taps tap_places;
  const Blocks::Index block = blocks.index<Shape>();
  const int64_t channels = s.in_channels / s.groups, outputs = s.out_channels / s.groups;
  const int64_t in_plane = s.in_h * s.in_w, plane = s.out_h * s.out_w;
  const int64_t taps = channels * s.kernel.h * s.kernel.w, windows_count = s.batch * plane;
  const Tile tile{block.row, block.column, outputs, taps};
  const int64_t begin = block.phase * part_size;
  const int64_t end = begin + part_size < windows_count ? begin + part_size : windows_count;
  const Radix tap_radix{static_cast<int>(s.kernel.h), static_cast<int>(s.kernel.w)};
  const Radix window_radix{static_cast<int>(s.out_h), static_cast<int>(s.out_w)};

  const Planes images{x + block.group * channels * in_plane, static_cast<int>(s.in_h),
                      static_cast<int>(s.in_w)};
  const Places windows{s.in_channels * in_plane, -s.padding.top, -s.padding.left, s.stride.h, s.stride.w};
  const Places tap_steps{in_plane, 0, 0, s.dilation.h, s.dilation.w};
  const DigitStrides dy_strides{s.out_channels * plane, s.out_w, 1};
  const Depth walk{begin, end, window_radix, windows, images.width, dy_strides};
  DepthTable<Shape> table(entries, walk);
  OffsetLoader<Shape> a(dy + block.group * outputs * plane, tile.row, outputs, plane, walk, table);
  TapLoader<Shape> b(images, tap_steps, tap_radix, tile.column, taps, tap_places, table);
  __syncthreads();

  float* dw = sums + block.phase * s.out_channels * taps + block.group * outputs * taps;
  tile_product<Shape>(a, b, tile, end - begin, StoreWeightGradient{dw, taps});
}

// --- The gradient with respect to the bias ---

constexpr int kBiasThreads = 1024;

// A block adds up one channel. Its threads read the values of the channel in turn, plane after plane: thread
// t takes the values t, t + 1024, t + 2048 and so on. Then the threads add up their sums.
__global__ void __launch_bounds__(kBiasThreads)
    backward_bias_kernel(const float* dy, int64_t batch, int64_t channels, int64_t plane, float* db) {
  for (int64_t channel = blockIdx.x; channel < channels; channel += gridDim.x) {
    double sum = 0;
    // The value's image n and its position i in the plane advance by kBiasThreads with a carry, without a
    // division. A thread issues several loads before it uses the first of them: if there are few channels,
    // there are few threads on the GPU, and only such loads keep its memory busy.
    const int64_t step_n = kBiasThreads / plane, step_i = kBiasThreads % plane;
    int64_t n = threadIdx.x / plane, i = threadIdx.x % plane;
    while (n < batch) {
      float values[4];
#pragma unroll
      for (float& value : values) {
        value = n < batch ? dy[(n * channels + channel) * plane + i] : 0.0f;
        n += step_n;
        i += step_i;
        if (i >= plane) i -= plane, ++n;
      }
#pragma unroll
      for (const float value : values) sum += static_cast<double>(value);
    }
    sum = team_sum<kBiasThreads>(sum);
    if (threadIdx.x == 0) db[channel] = static_cast<float>(sum);
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
  with_shape(s.group_out(), [&](auto shape) {
    using Shape = decltype(shape);
    const Blocks blocks{1, parts(s.batch * s.out_h * s.out_w, Shape::kColumns),
                        parts(s.group_out(), Shape::kRows)};
    forward_kernel<Shape>
        <<<block_count(s, blocks), Shape::kThreads, 0, stream()>>>(s, blocks, x, weight, bias, y);
  });
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
  with_shape(s.group_in(), [&](auto shape) {
    using Shape = decltype(shape);
    const Blocks blocks{phases, parts(pixels, Shape::kColumns), parts(s.group_in(), Shape::kRows)};
    backward_input_kernel<Shape>
        <<<block_count(s, blocks), Shape::kThreads, 0, stream()>>>(s, PhaseSteps(s), blocks, dy, weight, dx);
  });
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
  const Scratch<float> scratch(windows.count > 1 ? windows.count * size : 0);
  float* const sums = windows.count > 1 ? scratch.data() : dweight;
  with_shape(s.group_out(), [&](auto shape) {
    using Shape = decltype(shape);
    const Blocks blocks{windows.count, parts(s.group_in() * s.taps(), Shape::kColumns),
                        parts(s.group_out(), Shape::kRows)};
    backward_weight_kernel<Shape>
        <<<block_count(s, blocks), Shape::kThreads, 0, stream()>>>(s, windows.size, blocks, dy, x, sums);
  });
  check_launch("conv2d_backward_weight");
  // dw[i] = sums[0, i] + sums[1, i] + ...
  if (windows.count > 1)
    column_sums(Operand{sums, size, windows.count, 1, size}, dweight, "conv2d_backward_weight");
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
