// The loaders with which tile_product.cuh reads the operands of a convolution from images, weights and
// gradients in their own layouts. So a convolution is a matrix product, but the im2col matrix is never
// stored.
//
// A depth index of these products counts three things at once, for example the channel, row and column of a
// weight:
//   p = (channel * KH + ky) * KW + kx
// Divisions are slow on a GPU. So each thread splits its first depth index into three digits, and then adds
// 16 to the digits with carries, as one adds numbers by hand (`Digits`).
//
// There are two ways to share the 64 x 16 values of a tile among 64 threads, and both read neighbouring
// addresses with neighbouring threads:
//   WindowLoader                  thread t loads all 16 depths of row t.
//   StridedLoader and TapLoader   thread t loads depth t % 16 of the rows t / 16, t / 16 + 4, ..., t / 16
//   + 60.
#pragma once

#include "cuda/tile_product.cuh"

namespace byhand::cuda {

// A number with three digits. The number of values of each of the lower two is a Radix. The highest has no
// limit.
struct Digits {
  int64_t high;
  int middle, low;
};

struct Radix {
  int middles, lows;

  __device__ Digits split(int64_t number) const {
    const int64_t rest = number / lows;
    return {rest / middles, static_cast<int>(rest % middles), static_cast<int>(number % lows)};
  }
  // Adds two numbers.
  __device__ Digits add(const Digits& a, const Digits& b) const {
    Digits sum{a.high + b.high, a.middle + b.middle, a.low + b.low};
    if (sum.low >= lows) sum.low -= lows, ++sum.middle;
    if (sum.middle >= middles) sum.middle -= middles, ++sum.high;
    return sum;
  }
};

// The depth indices of one thread: `first`, `first` + 16, `first` + 32, ...
struct DepthWalk {
  Radix radix;
  int64_t end;  // depth indices from here on do not exist
  int64_t p;
  Digits digits, step;

  __device__ DepthWalk(Radix r, int64_t first, int64_t last)
      : radix(r), end(last), p(first), digits(r.split(first)), step(r.split(kDepth)) {}
  __device__ bool inside() const { return p < end; }
  __device__ void advance() {
    p += kDepth;
    digits = radix.add(digits, step);
  }
};

// The distances in memory of neighbouring values of each digit.
struct DigitStrides {
  int64_t high, middle, low;

  __device__ int64_t offset(const Digits& d) const { return d.high * high + d.middle * middle + d.low * low; }
};

// How StridedLoader and TapLoader share a tile among the threads.
inline constexpr int kRowStep = kProductThreads / kDepth;
__device__ inline int own_depth() { return static_cast<int>(threadIdx.x) % kDepth; }
__device__ inline int own_row() { return static_cast<int>(threadIdx.x) / kDepth; }
__device__ inline void store_by_depth(const float (&values)[kLoads], SharedTile& tile) {
#pragma unroll
  for (int i = 0; i < kLoads; ++i) tile[own_depth()][own_row() + i * kRowStep] = values[i];
}

// Weights, or gradients with respect to the output: the value of row r at depth p is
//   data[r * row_stride + strides.offset(digits of p)].
class StridedLoader {
 public:
  // The tile begins at `row`, and the operand has `rows` rows.
  __device__ StridedLoader(const float* data, int64_t row, int64_t rows, int64_t row_stride,
                           DigitStrides strides, Radix radix, int64_t first_depth, int64_t end_depth)
      : data_(data + (row + own_row()) * row_stride),
        step_(kRowStep * row_stride),
        strides_(strides),
        walk_(radix, first_depth + own_depth(), end_depth) {
    const int64_t left = rows - row - own_row();
    rows_left_ = static_cast<int>(left < kTile ? left : kTile);
  }
  __device__ void load(int64_t, float (&values)[kLoads]) {
    const float* from = data_ + strides_.offset(walk_.digits);
    const int rows = walk_.inside() ? rows_left_ : 0;
#pragma unroll
    for (int i = 0; i < kLoads; ++i, from += step_) values[i] = i * kRowStep < rows ? *from : 0.0f;
    walk_.advance();
  }
  __device__ void store(const float (&values)[kLoads], SharedTile& tile) const {
    store_by_depth(values, tile);
  }
  __device__ void prepare() {}

 private:
  const float* data_;  // the thread's first row
  int64_t step_;       // the distance of its rows
  int rows_left_;
  DigitStrides strides_;
  DepthWalk walk_;
};

// Planes that windows look at: the images, or the gradients with respect to the output.
struct Planes {
  const float* data;
  int height, width;
};

// Where a window begins: the address of its first value, and its row and column in the plane. All three may
// lie outside the plane, in the padding, so the address is a number and not yet a pointer.
struct Window {
  uint64_t address;
  int y, x;
};

// How far a tap is from the beginning of its window.
struct alignas(16) Tap {
  int64_t bytes;
  int y, x;
};

// Padded planes must be smaller than this in both directions.
inline constexpr int64_t kMostSide = int64_t{1} << 28;

// The row of a window or tap that does not exist. The sum of a window's row and a tap's row is then at least
// kMostSide, so it is outside the plane.
inline constexpr int kNowhere = 2 * kMostSide;

// Returns what a window sees through a tap. It is 0 in the padding. __ldg tells the compiler that the address
// is in global memory.
__device__ inline float seen(const Planes& planes, const Window& window, const Tap& tap) {
  // A negative number becomes a large one, so one comparison checks both ends.
  // The operator is & because && would make a branch of each comparison.
  const bool inside = static_cast<unsigned>(window.y + tap.y) < static_cast<unsigned>(planes.height) &
                      static_cast<unsigned>(window.x + tap.x) < static_cast<unsigned>(planes.width);
  return inside ? __ldg(reinterpret_cast<const float*>(window.address + tap.bytes)) : 0.0f;
}

// All windows of a convolution, with the digits image, row and column of the output. A window begins at the
// row `first_y + row * step_y` and at the column `first_x + column * step_x` of the plane.
struct Windows {
  int64_t image_size;  // the distance of two images
  int64_t first_y, first_x;
  int64_t step_y, step_x;

  __device__ Window at(const Digits& d, const Planes& planes) const {
    const int64_t y = first_y + d.middle * step_y, x = first_x + d.low * step_x;
    const int64_t offset = d.high * image_size + y * planes.width + x;
    return {reinterpret_cast<uint64_t>(planes.data) + offset * sizeof(float), static_cast<int>(y),
            static_cast<int>(x)};
  }
};
inline constexpr Window kNoWindow{0, kNowhere, kNowhere};

// All taps of a filter, with the digits channel, row and column.
struct Taps {
  int64_t plane_size;      // the distance of two channels
  int64_t step_y, step_x;  // negative if the filter is flipped, as in the gradient with respect to the input

  __device__ Tap at(const Digits& d, const Planes& planes) const {
    const int64_t y = d.middle * step_y, x = d.low * step_x;
    const int64_t offset = d.high * plane_size + y * planes.width + x;
    return {offset * static_cast<int64_t>(sizeof(float)), static_cast<int>(y), static_cast<int>(x)};
  }
};
inline constexpr Tap kNoTap{0, kNowhere, kNowhere};

// Rows of the operand are windows, the depth counts taps. A thread keeps its window in registers for the
// whole product. The 16 taps of a step are the same for all threads: the first 16 threads compute them, one
// each, and share them in a table. A second table takes the taps of the next step.
class WindowLoader {
 public:
  using Tables = Tap[2][kDepth];  // in shared memory

  // The caller must synchronise the block between the constructor and the first load.
  __device__ WindowLoader(const Planes& planes, const Window& window, const Taps& taps, Radix radix,
                          int64_t depth, Tables& tables)
      : planes_(planes),
        window_(window),
        taps_(taps),
        walk_(radix, static_cast<int>(threadIdx.x) % kDepth, depth),
        tables_(tables) {
    fill_table();
  }
  __device__ void prepare() {
    table_ ^= 1;
    walk_.advance();
    fill_table();
  }
  __device__ void load(int64_t, float (&values)[kLoads]) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) values[i] = seen(planes_, window_, tables_[table_][i]);
  }
  __device__ void store(const float (&values)[kLoads], SharedTile& tile) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) tile[i][threadIdx.x] = values[i];
  }

 private:
  __device__ void fill_table() {
    if (threadIdx.x < kDepth)
      tables_[table_][threadIdx.x] = walk_.inside() ? taps_.at(walk_.digits, planes_) : kNoTap;
  }

  Planes planes_;
  Window window_;
  Taps taps_;
  DepthWalk walk_;
  Tables& tables_;
  int table_ = 0;
};

// Rows of the operand are taps, the depth counts windows: the other way round. The 64 taps of the tile are
// the same in every step, and lie in a table. A thread computes one window per step, and looks at it through
// 16 taps.
class TapLoader {
 public:
  using Table = Tap[kTile];  // in shared memory

  // The tile begins at tap `row`, and there are `rows` taps. The caller must synchronise the block between
  // the constructor and the first load.
  __device__ TapLoader(const Planes& planes, const Taps& taps, Radix tap_radix, int64_t row, int64_t rows,
                       const Windows& windows, Radix radix, int64_t first_depth, int64_t end_depth,
                       Table& table)
      : planes_(planes),
        windows_(windows),
        walk_(radix, first_depth + own_depth(), end_depth),
        table_(table) {
    const int64_t tap = row + threadIdx.x;
    table[threadIdx.x] = tap < rows ? taps.at(tap_radix.split(tap), planes) : kNoTap;
  }
  __device__ void prepare() {}
  __device__ void load(int64_t, float (&values)[kLoads]) {
    const Window window = walk_.inside() ? windows_.at(walk_.digits, planes_) : kNoWindow;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) values[i] = seen(planes_, window, table_[own_row() + i * kRowStep]);
    walk_.advance();
  }
  __device__ void store(const float (&values)[kLoads], SharedTile& tile) const {
    store_by_depth(values, tile);
  }

 private:
  Planes planes_;
  Windows windows_;
  DepthWalk walk_;
  const Table& table_;
};

}  // namespace byhand::cuda
