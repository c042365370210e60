// The product that gemm, linear and convolution share: a block computes a tile of
//   z[i, j] = sum over p of a(i, p) * b(j, p)
// and hands each value to a function. The values of A and B come from two loaders, so they may be matrices in
// memory (MatrixLoader, below) or the windows of a convolution (conv2d_loaders.cuh).
//
//              depth p                    columns j (rows of B)
//            +-kDepth-+                +------kColumns------+
//            |   A    |                |         B          | kDepth
//      kRows |        |                +--------------------+
//   rows i   |        |                +--------------------+
//            |        |                |                    |
//            +--------+          kRows |  a thread has two  |
//                                      |  times two squares |
//                                      |  of 4 x 4 values   |
//                                      +--------------------+
//
// The sizes are those of a TileShape. For 64 x 128 values, the block has 128 threads, 8 down and 16 across.
// Thread (down, across) = (1, 2) computes the values at the crossings of its rows and columns:
//
//                        columns        8 9 10 11         72 73 74 75
//                                      +---------+       +-----------+
//                        rows  4 to 7  |  4 x 4  |       |   4 x 4   |
//                                      +---------+       +-----------+
//                             36 to 39 |  4 x 4  |       |   4 x 4   |
//                                      +---------+       +-----------+
//
// In each step the block copies kDepth columns of A and of B into shared memory, with the depth as the outer
// dimension. Then each thread multiplies 8 values of A by 8 values of B for each depth: 4 loads of 16 bytes
// for 64 multiply-adds. While it does so, its loads of the next step are on their way, because they were
// issued before. Two buffers alternate, so a step needs one barrier.
//
// If kDepth does not divide the depth, the first tile begins with depths that do not exist. They have the
// value 0:
//
//   depth 21      | 0 0 0 + 5 |     8     |     8     |
//
// So only the loads before the loop check where the depth begins, and no load checks where it ends. In the
// loop, a loader adds constants to its addresses. At least 75 % of the instructions there are multiply-adds
// (tools/cuda_report.py counts them).
//
// At the end, the results go through shared memory, so that neighbouring threads store neighbouring columns.
// In round i, each thread hands over the i-th of its rows. Then thread t stores column t of all rows of this
// round:
//
//   shared memory       row of down = 0     | 0 1 2 3 ... 127 |
//                       row of down = 1     | 0 1 2 3 ... 127 |      the numbers are those of the threads
//                       that
//                        ...                                         store the values
#pragma once

#include <type_traits>

#include "core/check.h"
#include "cuda/launch.h"

namespace byhand::cuda {

// One side of a tile: the tile of an operand has kSize_ rows and kDepth_ depths, and kThreads_ threads copy
// it.
template <int kSize_, int kDepth_, int kThreads_>
struct TileSide {
  static constexpr int kSize = kSize_, kDepth = kDepth_, kThreads = kThreads_;
  static constexpr int kLoads = kSize * kDepth / kThreads;  // the values that a thread copies
  // The distance of two depths in shared memory. The 4 extra values keep float4 accesses aligned. When
  // threads store values along the depth, at most two of them meet in one bank.
  static constexpr int kStride = kSize + 4;
  using Shared = float[kDepth][kStride];
};

// The number of rows, and of columns, of a thread's values in a tile of the result.
inline constexpr int kOwn = 8;

// A tile of the result, of which each thread computes kOwn rows by kOwn columns.
template <int kRows_, int kColumns_, int kDepth_>
struct TileShape {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kDepth = kDepth_;
  static constexpr int kDown = kRows / kOwn, kAcross = kColumns / kOwn;
  static constexpr int kThreads = kDown * kAcross;
  static constexpr int kSteps = kThreads / kDepth;  // from one call of a loader's prepare() to the next
  static_assert(kSteps >= 2, "a part of a table may be overwritten only one step after its last read");
  using Rows = TileSide<kRows, kDepth, kThreads>;
  using Columns = TileSide<kColumns, kDepth, kThreads>;
};

// The number of depths in the first tile that do not exist. If the depth is 0, they are all.
template <int kDepth>
__device__ int missing_depths(int64_t depth) {
  return static_cast<int>((depth - 1) / kDepth * kDepth + kDepth - depth);
}

// A loader fetches one operand of the product, tile by tile along the depth. Each thread has a loader of its
// own, which keeps the loaded values in registers. The product calls:
//   load_first()   once, before any barrier. It loads the first tile, and nothing if the depth is 0.
//   prepare()      before the first of kSteps steps. A loader may use it to write to shared memory of its own
//                  what the loads of the next kThreads depths read. A barrier comes before these loads.
// and in every step:
//   store(tile)    to put the loaded values into shared memory.
//   load()         to load the thread's part of the next tile. It is not called in the last step.
// Rows beyond the operand may have any values, because their results are dropped.

// One operand of the product: A by its rows and columns, B by its columns and rows. A fused operator may pass
// a type with the same members that computes its values from what it has loaded. T is float, or float4 for
// four neighbouring values. They are computed when they are stored, because the loads are not waited for
// before that. The value of Loaded<T>{} must be 0.
struct Operand {
  template <class T>
  using Loaded = T;

  const float* data;
  int64_t rows, depth;
  int64_t row_stride, depth_stride;

  __device__ const float* address(int64_t row, int64_t p) const {
    return data + row * row_stride + p * depth_stride;
  }
  template <class T>
  __device__ void load(const float* at, T& loaded) const {
    loaded = *reinterpret_cast<const T*>(at);
  }
  template <class T>
  __device__ static T value(const T& loaded) {
    return loaded;
  }
};

// The values that lie side by side in groups of four, whose addresses are multiples of 16 bytes: those of one
// row, those of one depth, or none.
enum class Layout { kDepthIsContiguous, kRowsAreContiguous, kStrided };

// Returns the layout of an operand at `data`.
inline Layout layout_of(const Operand& x, const float* data) {
  const bool aligned = reinterpret_cast<uintptr_t>(data) % 16 == 0;
  if (aligned && x.depth_stride == 1 && x.row_stride % 4 == 0 && x.depth % 4 == 0)
    return Layout::kDepthIsContiguous;
  if (aligned && x.row_stride == 1 && x.depth_stride % 4 == 0 && x.rows % 4 == 0)
    return Layout::kRowsAreContiguous;
  return Layout::kStrided;
}
inline Layout layout_of(const Operand& x) { return layout_of(x, x.data); }

// Loads a matrix. Thread t copies the pieces t, t + kThreads, t + 2 kThreads, ... of the tile. A piece is
// four values, or one value if the layout is kStrided. Neighbouring threads copy neighbouring pieces:
//
//   kDepthIsContiguous, kStrided     along the depth: with 8 depths, two quads or 8 values of each row
//   kRowsAreContiguous               along the rows
//
// So a warp that copies single values reads 4 rows by 8 depths. These are whole sectors of 32 bytes if the
// depth is contiguous, and halves of them if the rows are. Instead of rows beyond the operand, the last row
// is read.
template <Layout kLayout, class Side, class X>
class MatrixLoader {
 public:
  __device__ MatrixLoader(const X& x, int64_t first_row)
      : x_(x), missing_(missing_depths<Side::kDepth>(x.depth)), step_(Side::kDepth * x.depth_stride) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int64_t r = first_row + row(i), last = x.rows - (kAlongDepth ? 1 : kWidth);
      from_[i] = x.address(r < last ? r : last, depth(i) - missing_);
    }
  }
  __device__ void load_first() {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      loaded_[i] = {};
      if (depth(i) >= missing_) x_.load(from_[i], loaded_[i]);
      from_[i] += step_;
    }
  }
  __device__ void load() {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      x_.load(from_[i], loaded_[i]);
      from_[i] += step_;
    }
  }
  __device__ void store(typename Side::Shared& tile) const {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int r = row(i), p = depth(i);
      const Piece v = X::value(loaded_[i]);
      if constexpr (kLayout == Layout::kDepthIsContiguous)
        tile[p][r] = v.x, tile[p + 1][r] = v.y, tile[p + 2][r] = v.z, tile[p + 3][r] = v.w;
      else
        *reinterpret_cast<Piece*>(&tile[p][r]) = v;
    }
  }
  __device__ void prepare() {}

 private:
  static constexpr bool kAlongDepth = kLayout != Layout::kRowsAreContiguous;
  static constexpr int kWidth = kLayout == Layout::kStrided ? 1 : 4, kPieces = Side::kLoads / kWidth;
  using Piece = std::conditional_t<kWidth == 1, float, float4>;

  // The pieces of one row, or of one depth if they lie along the rows. They divide the number of threads.
  static constexpr int kLine = (kAlongDepth ? Side::kDepth : Side::kSize) / kWidth;
  static_assert(Side::kThreads % kLine == 0);

  // The place of the thread's piece i in the tile.
  __device__ static int row(int i) { return kAlongDepth ? line(i) : in_line(); }
  __device__ static int depth(int i) { return kAlongDepth ? in_line() : line(i); }
  __device__ static int line(int i) {
    return static_cast<int>(threadIdx.x) / kLine + i * (Side::kThreads / kLine);
  }
  __device__ static int in_line() { return static_cast<int>(threadIdx.x) % kLine * kWidth; }

  const X& x_;
  int missing_;   // depths of the first tile
  int64_t step_;  // from tile to tile
  const float* from_[kPieces];
  typename X::template Loaded<Piece> loaded_[kPieces];
};

// The i-th position of a thread along a side of the tile, of kOwn positions. They are two groups of four, and
// the groups of neighbouring threads are neighbours, so that their float4 loads lie side by side.
template <int kSize>
__device__ int position(int thread, int i) {
  return i / 4 * (kSize / 2) + thread * 4 + i % 4;
}

template <int kSize>
__device__ void load_part(const float* row, int thread, float (&part)[kOwn]) {
#pragma unroll
  for (int i = 0; i < kOwn; i += 4) {
    const float4 v = *reinterpret_cast<const float4*>(row + position<kSize>(thread, i));
    part[i] = v.x, part[i + 1] = v.y, part[i + 2] = v.z, part[i + 3] = v.w;
  }
}

// A block's tile of the result: where it begins, and the size of the whole result.
struct Tile {
  int64_t row, column;
  int64_t rows, columns;
};

// Computes a tile of the product of this depth. For each value inside the result, it calls
//   store(i, store.column(j), z[i, j]).
// So a Store can do once per column what does not depend on the row.
template <class Shape, class A, class B, class Store>
__device__ void tile_product(A& a, B& b, const Tile& tile, int64_t depth, const Store& store) {
  __shared__ __align__(16) typename Shape::Rows::Shared a_tiles[2];
  __shared__ __align__(16) typename Shape::Columns::Shared b_tiles[2];
  const int thread = static_cast<int>(threadIdx.x);
  const int across = thread % Shape::kAcross, down = thread / Shape::kAcross;
  float sums[kOwn][kOwn] = {};
  a.load_first();
  b.load_first();
  int buffer = 0;
  for (int64_t left = (depth + Shape::kDepth - 1) / Shape::kDepth; left > 0; left -= Shape::kSteps) {
    a.prepare();
    b.prepare();
    const int steps = static_cast<int>(left < Shape::kSteps ? left : Shape::kSteps);
    const int loads = left > Shape::kSteps ? steps : steps - 1;  // none in the last step of all
    for (int step = 0; step < steps; ++step, buffer ^= 1) {
      a.store(a_tiles[buffer]);
      b.store(b_tiles[buffer]);
      // After this barrier the tiles are complete. And all threads have read the other buffer, which the next
      // step overwrites.
      __syncthreads();
      if (step < loads) {
        a.load();
        b.load();
      }
#pragma unroll
      for (int p = 0; p < Shape::kDepth; ++p) {
        float a_part[kOwn], b_part[kOwn];
        load_part<Shape::kRows>(a_tiles[buffer][p], down, a_part);
        load_part<Shape::kColumns>(b_tiles[buffer][p], across, b_part);
#pragma unroll
        for (int i = 0; i < kOwn; ++i)
#pragma unroll
          for (int j = 0; j < kOwn; ++j) sums[i][j] = fmaf(a_part[i], b_part[j], sums[i][j]);
      }
    }
  }

  // In round i, every thread hands over the i-th of its rows, and then stores whole columns of these rows.
  constexpr int kStored = Shape::kColumns / Shape::kThreads;  // the columns that a thread stores
  static_assert(Shape::kDown <= Shape::kDepth, "the rows of a round must fit into a tile");
  decltype(store.column(0)) columns[kStored];
#pragma unroll
  for (int k = 0; k < kStored; ++k) {
    const int64_t c = tile.column + thread + k * Shape::kThreads;
    if (c < tile.columns) columns[k] = store.column(c);
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kOwn; ++j) b_tiles[0][down][position<Shape::kColumns>(across, j)] = sums[i][j];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kStored; ++k) {
      const int c = thread + k * Shape::kThreads;
      if (tile.column + c >= tile.columns) continue;
      for (int d = 0; d < Shape::kDown; ++d) {
        const int64_t r = tile.row + position<Shape::kRows>(d, i);
        if (r < tile.rows) store(r, columns[k], b_tiles[0][d][c]);
      }
    }
  }
}

// The tile of the products of matrices. Larger tiles would load fewer values per multiply-add, but the
// products of a small network have few tiles: 128 x 128 results are 2 tiles of 64 x 128.
using MatrixShape = TileShape<64, 128, 8>;

template <Layout kA, Layout kB, class A, class B, class Store>
__global__ void __launch_bounds__(MatrixShape::kThreads, 3) product_kernel(A a, B b, Store store) {
  const int64_t across = (b.rows + MatrixShape::kColumns - 1) / MatrixShape::kColumns;
  const Tile tile{blockIdx.x / across * MatrixShape::kRows, blockIdx.x % across * MatrixShape::kColumns,
                  a.rows, b.rows};
  MatrixLoader<kA, MatrixShape::Rows, A> a_loader(a, tile.row);
  MatrixLoader<kB, MatrixShape::Columns, B> b_loader(b, tile.column);
  tile_product<MatrixShape>(a_loader, b_loader, tile, a.depth, store);
}

// Computes z = A B' and calls store(i, store.column(j), z[i, j]) on the device for every i below a.rows and j
// below b.rows. A depth of 0 gives zeros. `op` names the operator in errors.
template <class A, class B, class Store>
void product(const A& a, const B& b, Store store, const char* op) {
  if (a.rows == 0 || b.rows == 0) return;
  const int64_t tiles = parts(a.rows, MatrixShape::kRows) * parts(b.rows, MatrixShape::kColumns);
  require(tiles <= INT32_MAX, op, ": the result has more than 2^31 - 1 tiles of 64 x 128 values");
  constexpr Layout kDepth = Layout::kDepthIsContiguous, kRows = Layout::kRowsAreContiguous;
  const Layout of_a = layout_of(a), of_b = layout_of(b);
  // If one of the operands cannot be read four values at a time, neither is the other. This saves four
  // kernels.
  auto kernel = product_kernel<Layout::kStrided, Layout::kStrided, A, B, Store>;
  if (of_a == kDepth && of_b == kDepth) kernel = product_kernel<kDepth, kDepth, A, B, Store>;
  if (of_a == kDepth && of_b == kRows) kernel = product_kernel<kDepth, kRows, A, B, Store>;
  if (of_a == kRows && of_b == kDepth) kernel = product_kernel<kRows, kDepth, A, B, Store>;
  if (of_a == kRows && of_b == kRows) kernel = product_kernel<kRows, kRows, A, B, Store>;
  kernel<<<static_cast<unsigned>(tiles), MatrixShape::kThreads, 0, stream()>>>(a, b, store);
  check_launch(op);
}

}  // namespace byhand::cuda
