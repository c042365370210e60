// The loaders with which tile_product.cuh reads the operands of a convolution from images, weights and
// gradients in their own layouts. So a convolution is a matrix product, but the im2col matrix is never
// stored.
//
// A depth index of these products counts three things at once, for example the channel, row and column of a
// weight:
//   p = (channel * KH + ky) * KW + kx
// Divisions are slow on a GPU. So each thread splits one depth index into its three digits, and writes the
// result to a table in shared memory, from where all threads read it. A block of 128 threads needs a new part
// of the table every 128 depths, and the table has two parts:
//
//   entries     | part 0: depths 0 to 127 | part 1: depths 128 to 255 |     then depths 256 to 383 in part 0
//                      loads read this         meanwhile, prepare() writes this
//
// The two products in which windows occur:
//
//   forward, input gradient     row of B = window, which its thread keeps     depth = tap, from the table
//   weight gradient             row of B = tap, from a table of its own       depth = window, from the table
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
};

// The distances in memory of neighbouring values of each digit.
struct DigitStrides {
  int64_t high, middle, low;

  __device__ int64_t offset(const Digits& d) const { return d.high * high + d.middle * middle + d.low * low; }
};

// Planes that windows look at: the images, or the gradients with respect to the output.
struct Planes {
  const float* data;
  int height, width;
};

// Where a window begins in the planes, or how far a tap is from the beginning of its window. A window may
// begin outside its plane, in the padding.
struct alignas(16) Place {
  int64_t bytes;
  int y, x;
};

// Returns a place from a table with one load of 16 bytes. The compiler would make two loads of 8 bytes.
__device__ inline Place read_place(const Place& place) {
  const int4 v = *reinterpret_cast<const int4*>(&place);
  return {static_cast<int64_t>(v.y) << 32 | static_cast<uint32_t>(v.x), v.z, v.w};
}

// Padded planes must be smaller than this in both directions.
inline constexpr int64_t kMostSide = int64_t{1} << 28;

// A window or tap that does not exist. The sum of its row and that of a tap or window is at least kMostSide,
// so it is outside the plane.
inline constexpr Place kNowhere{0, 2 * kMostSide, 2 * kMostSide};

// Returns what a window sees through a tap. It is 0 in the padding. __ldg tells the compiler that the address
// is in global memory.
__device__ inline float seen(const Planes& planes, const Place& window, const Place& tap) {
  // A negative number becomes a large one, so one comparison checks both ends.
  // The operator is & because && would make a branch of each comparison.
  const bool inside = static_cast<unsigned>(window.y + tap.y) < static_cast<unsigned>(planes.height) &
                      static_cast<unsigned>(window.x + tap.x) < static_cast<unsigned>(planes.width);
  const uint64_t address = reinterpret_cast<uint64_t>(planes.data) + window.bytes + tap.bytes;
  return inside ? __ldg(reinterpret_cast<const float*>(address)) : 0.0f;
}

// The windows of a convolution, with the digits image, row and column of the output, or the taps of a filter,
// with the digits channel, row and column.
struct Places {
  int64_t size;              // the distance in memory of two images or channels
  int64_t first_y, first_x;  // the place with the digits 0, 0, 0
  int64_t step_y, step_x;    // negative for the taps of a flipped filter, as in the gradient of the input

  __device__ Place at(const Digits& d, int width) const {
    const int64_t y = first_y + d.middle * step_y, x = first_x + d.low * step_x;
    return {static_cast<int64_t>(sizeof(float)) * (d.high * size + y * width + x), static_cast<int>(y),
            static_cast<int>(x)};
  }
};

// The depth indices of a product: those from `begin` to `end`. Index p has the tap or window
// `places.at(digits of p)`, and the offset `strides.offset(digits of p)` in the operand A.
struct Depth {
  int64_t begin, end;
  Radix radix;
  Places places;
  int width;  // of the planes
  DigitStrides strides;

  template <int kDepth>
  __device__ int missing() const {
    return missing_depths<kDepth>(end - begin);
  }
};

// The table of the places and offsets. The place of a depth that does not exist is nowhere, and its offset is
// 0.
template <class Shape>
class DepthTable {
 public:
  static constexpr int kEntries = 2 * Shape::kThreads;  // a power of two
  struct Shared {
    Place places[kEntries];
    int64_t offsets[kEntries];
    Depth depth;  // in shared memory, because it would take 30 registers
  };

  // The caller must synchronise the block between the constructor and the product.
  __device__ DepthTable(Shared& shared, const Depth& depth)
      : shared_(shared), next_(depth.begin - depth.template missing<Shape::kDepth>()) {
    if (threadIdx.x == 0) shared.depth = depth;
    fill(depth);
  }
  // Writes the next kThreads entries.
  __device__ void fill() { fill(shared_.depth); }

  // Returns the first entry of the tile that comes after the one that begins with `entry`.
  __device__ static int advance(int entry) { return (entry + Shape::kDepth) & (kEntries - 1); }
  __device__ const Place& place(int entry) const { return shared_.places[entry]; }
  __device__ int64_t offset(int entry) const { return shared_.offsets[entry]; }

 private:
  __device__ void fill(const Depth& depth) {
    if (next_ >= depth.end) return;
    const int64_t p = next_ + threadIdx.x;
    const bool exists = p >= depth.begin && p < depth.end;
    const Digits d = depth.radix.split(exists ? p : 0);
    const int entry = part_ * Shape::kThreads + static_cast<int>(threadIdx.x);
    shared_.places[entry] = exists ? depth.places.at(d, depth.width) : kNowhere;
    shared_.offsets[entry] = exists ? depth.strides.offset(d) : 0;
    next_ += Shape::kThreads;
    part_ ^= 1;
  }

  Shared& shared_;
  int64_t next_;
  int part_ = 0;
};

// How OffsetLoader and TapLoader share a tile among the threads: thread t loads the depth t % kDepth of the
// rows t / kDepth, t / kDepth + kThreads / kDepth, ...
template <class Side>
struct ByDepth {
  static constexpr int kRowStep = Side::kThreads / Side::kDepth;

  __device__ static int depth() { return static_cast<int>(threadIdx.x) % Side::kDepth; }
  __device__ static int row(int i) { return static_cast<int>(threadIdx.x) / Side::kDepth + i * kRowStep; }
  __device__ static void store(const float (&values)[Side::kLoads], typename Side::Shared& tile) {
#pragma unroll
    for (int i = 0; i < Side::kLoads; ++i) tile[depth()][row(i)] = values[i];
  }
};

// The operand A: weights, or gradients with respect to the output. The value of row r at depth p is
//   data[r * row_stride + the offset of p in the table].
// Instead of rows beyond the operand, the last row is read.
template <class Shape>
class OffsetLoader {
  using Side = typename Shape::Rows;

 public:
  // The tile begins at `row`, and the operand has `rows` rows.
  __device__ OffsetLoader(const float* data, int64_t row, int64_t rows, int64_t row_stride,
                          const Depth& depth, const DepthTable<Shape>& table)
      : table_(table), missing_(depth.template missing<Shape::kDepth>()) {
#pragma unroll
    for (int i = 0; i < Side::kLoads; ++i) {
      const int64_t r = row + ByDepth<Side>::row(i);
      rows_[i] = data + (r < rows ? r : rows - 1) * row_stride;
    }
  }
  __device__ void load_first() {
    const bool exists = ByDepth<Side>::depth() >= missing_;
    const int64_t offset = table_.offset(ByDepth<Side>::depth());
#pragma unroll
    for (int i = 0; i < Side::kLoads; ++i) values_[i] = exists ? rows_[i][offset] : 0.0f;
  }
  __device__ void load() {
    entry_ = DepthTable<Shape>::advance(entry_);
    const int64_t offset = table_.offset(entry_ + ByDepth<Side>::depth());
#pragma unroll
    for (int i = 0; i < Side::kLoads; ++i) values_[i] = rows_[i][offset];
  }
  __device__ void store(typename Side::Shared& tile) const { ByDepth<Side>::store(values_, tile); }
  __device__ void prepare() {}

 private:
  const DepthTable<Shape>& table_;
  int missing_;  // depths of the first tile
  int entry_ = 0;
  const float* rows_[Side::kLoads];
  float values_[Side::kLoads];
};

// The operand B if its rows are windows and the depth counts taps. A thread keeps its windows in registers
// for the whole product, and looks from each of them through every tap.
template <class Shape>
class WindowLoader {
  using Side = typename Shape::Columns;

 public:
  // The tile begins at the window `row`, and there are `rows` windows.
  __device__ WindowLoader(const Planes& planes, const Places& windows, Radix radix, int64_t row, int64_t rows,
                          DepthTable<Shape>& table)
      : planes_(planes), table_(table) {
#pragma unroll
    for (int k = 0; k < kWindows; ++k) {
      const int64_t number = row + threadIdx.x + k * Side::kThreads;
      windows_[k] = number < rows ? windows.at(radix.split(number), planes.width) : kNowhere;
    }
  }
  __device__ void prepare() { table_.fill(); }
  __device__ void load_first() { load(); }
  __device__ void load() {
#pragma unroll
    for (int p = 0; p < Side::kDepth; ++p) {
      const Place tap = read_place(table_.place(entry_ + p));
#pragma unroll
      for (int k = 0; k < kWindows; ++k) values_[k][p] = seen(planes_, windows_[k], tap);
    }
    entry_ = DepthTable<Shape>::advance(entry_);
  }
  __device__ void store(typename Side::Shared& tile) const {
#pragma unroll
    for (int k = 0; k < kWindows; ++k)
#pragma unroll
      for (int p = 0; p < Side::kDepth; ++p) tile[p][threadIdx.x + k * Side::kThreads] = values_[k][p];
  }

 private:
  static constexpr int kWindows = Side::kSize / Side::kThreads;
  static_assert(Side::kSize % Side::kThreads == 0);

  Planes planes_;
  DepthTable<Shape>& table_;
  int entry_ = 0;
  Place windows_[kWindows];
  float values_[kWindows][Side::kDepth];
};

// The operand B if its rows are taps and the depth counts windows. The taps of the tile are the same in every
// step, and lie in a table of their own. A thread looks from one window per step through kLoads taps.
template <class Shape>
class TapLoader {
  using Side = typename Shape::Columns;

 public:
  using Taps = Place[Side::kSize];  // in shared memory

  // The tile begins at tap `row`, and there are `rows` taps. The caller must synchronise the block between
  // the constructor and the product.
  __device__ TapLoader(const Planes& planes, const Places& taps, Radix radix, int64_t row, int64_t rows,
                       Taps& table_of_taps, DepthTable<Shape>& table)
      : planes_(planes), taps_(table_of_taps), table_(table) {
    for (int own = static_cast<int>(threadIdx.x); own < Side::kSize; own += Side::kThreads)
      table_of_taps[own] = row + own < rows ? taps.at(radix.split(row + own), planes.width) : kNowhere;
  }
  __device__ void prepare() { table_.fill(); }
  __device__ void load_first() { load(); }
  __device__ void load() {
    const Place window = read_place(table_.place(entry_ + ByDepth<Side>::depth()));
#pragma unroll
    for (int i = 0; i < Side::kLoads; ++i)
      values_[i] = seen(planes_, window, read_place(taps_[ByDepth<Side>::row(i)]));
    entry_ = DepthTable<Shape>::advance(entry_);
  }
  __device__ void store(typename Side::Shared& tile) const { ByDepth<Side>::store(values_, tile); }

 private:
  Planes planes_;
  const Taps& taps_;
  DepthTable<Shape>& table_;
  int entry_ = 0;
  float values_[Side::kLoads];
};

}  // namespace byhand::cuda
