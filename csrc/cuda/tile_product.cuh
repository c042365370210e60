// The product that gemm, linear and convolution share: a block of 64 threads computes 64 x 64 values of
//   z[i, j] = sum over p of a(i, p) * b(j, p)
// and hands each value to a function. The values of A and B come from two loaders, so they may be matrices in
// memory (MatrixLoader, below) or the windows of a convolution (conv2d_loaders.cuh).
//
//              depth p                    columns j (rows of B)
//            +--16--+                  +---------64---------+
//            |  A   |                  |        B           | 16
//         64 |      |                  +--------------------+
//   rows i   |      |                  +---------64---------+
//            |      |               64 |  thread (3, 2) has |
//            +------+                  |  two times two     |
//                                      |  squares of 4 x 4  |
//                                      +--------------------+
//
// In each step the block copies 64 x 16 values of A and of B into shared memory, with the depth as the outer
// dimension. Then each thread multiplies 8 values of A by 8 values of B for each of the 16 depths: 4 loads of
// 16 bytes for 64 multiply-adds. While it does so, its loads of the next step are on their way, because they
// were issued before. Two buffers alternate, so a step needs one barrier.
#pragma once

#include "cuda/launch.h"

namespace byhand::cuda {

inline constexpr int kTile = 64, kDepth = 16, kProductThreads = 64;
inline constexpr int kLoads =
    kTile * kDepth / kProductThreads;  // the values that a thread copies per operand

// How threads read an operand. Values that lie side by side are read four at a time.
enum class Layout { kDepthIsContiguous, kRowsAreContiguous, kStrided };

// One operand of the product: A by its rows and columns, B by its columns and rows. A fused operator may pass
// a type with the same members whose functions compute the values.
struct Operand {
  const float* data;
  int64_t rows, depth;
  int64_t row_stride, depth_stride;

  __device__ int64_t offset(int64_t row, int64_t p) const { return row * row_stride + p * depth_stride; }
  __device__ float value(int64_t row, int64_t p) const { return data[offset(row, p)]; }

  // Returns four values that lie side by side, the first of them at (row, p). Is called only if the layout is
  // not kStrided.
  __device__ float4 four_values(int64_t row, int64_t p) const {
    return *reinterpret_cast<const float4*>(data + offset(row, p));
  }

  // Returns the fastest layout that fits the strides and the alignment.
  Layout layout() const {
    const bool aligned = reinterpret_cast<uintptr_t>(data) % 16 == 0;
    if (aligned && depth_stride == 1 && row_stride % 4 == 0 && depth % 4 == 0)
      return Layout::kDepthIsContiguous;
    if (aligned && row_stride == 1 && depth_stride % 4 == 0 && rows % 4 == 0)
      return Layout::kRowsAreContiguous;
    return Layout::kStrided;
  }
};

// A tile of an operand in shared memory. The 4 extra values per row keep float4 accesses aligned. When
// threads store values along the depth, at most two of them meet in one bank.
using SharedTile = float[kDepth][kTile + 4];

// Loads a thread's part of the tile that begins at (row, depth) into registers. Values outside are 0.
template <Layout kLayout, class X>
__device__ void load_tile(const X& x, int64_t row, int64_t depth, float (&values)[kLoads]) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kLoads / 4; ++i) {
    const int quad = thread + i * kProductThreads;  // the number of the group of four values
    if constexpr (kLayout == Layout::kStrided) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int64_t r = row + quad % kTile, p = depth + quad / kTile * 4 + j;
        values[4 * i + j] = r < x.rows && p < x.depth ? x.value(r, p) : 0.0f;
      }
    } else {
      constexpr bool kAlongDepth = kLayout == Layout::kDepthIsContiguous;
      const int64_t r = row + (kAlongDepth ? quad / (kDepth / 4) : quad % (kTile / 4) * 4);
      const int64_t p = depth + (kAlongDepth ? quad % (kDepth / 4) * 4 : quad / (kTile / 4));
      const float4 v = r < x.rows && p < x.depth ? x.four_values(r, p) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      values[4 * i] = v.x, values[4 * i + 1] = v.y, values[4 * i + 2] = v.z, values[4 * i + 3] = v.w;
    }
  }
}

// Stores what load_tile has loaded.
template <Layout kLayout>
__device__ void store_tile(const float (&values)[kLoads], SharedTile& tile) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kLoads / 4; ++i) {
    const int quad = thread + i * kProductThreads;
    if constexpr (kLayout == Layout::kRowsAreContiguous) {
      *reinterpret_cast<float4*>(&tile[quad / (kTile / 4)][quad % (kTile / 4) * 4]) =
          make_float4(values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]);
    } else {
      constexpr bool kAlongDepth = kLayout == Layout::kDepthIsContiguous;
      const int r = kAlongDepth ? quad / (kDepth / 4) : quad % kTile;
      const int p = kAlongDepth ? quad % (kDepth / 4) * 4 : quad / kTile * 4;
#pragma unroll
      for (int j = 0; j < 4; ++j) tile[p + j][r] = values[4 * i + j];
    }
  }
}

// A loader fetches one operand of the product for a block of 64 rows, tile by tile along the depth. Each
// thread has a loader of its own. In every step the product calls:
//   store(values, tile)   to put the loaded values into shared memory.
//   prepare()             before the barrier of the step. A loader may use it to write what the next load
//                         reads to shared memory of its own.
//   load(depth, values)   to load the thread's part of the next tile, which begins at `depth`. Values beyond
//                         the depth of the operand are 0. Rows beyond the operand may have any values,
//                         because their results are dropped.
// The first call of load comes before any barrier.
template <Layout kLayout, class X>
struct MatrixLoader {
  const X& x;  // an Operand, or a type like it
  int64_t row;

  __device__ void load(int64_t depth, float (&values)[kLoads]) const {
    load_tile<kLayout>(x, row, depth, values);
  }
  __device__ void store(const float (&values)[kLoads], SharedTile& tile) const {
    store_tile<kLayout>(values, tile);
  }
  __device__ void prepare() {}
};

// The 8 positions of a thread along one side of the tile: 4 in the first half and 4 in the second half, so
// that the float4 loads of neighbouring threads lie side by side.
__device__ inline int position(int thread, int i) { return (i < 4 ? 0 : kTile / 2 - 4) + thread * 4 + i; }

__device__ inline void load_part(const float* row, int thread, float (&part)[8]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float4 v = *reinterpret_cast<const float4*>(row + half * kTile / 2 + thread * 4);
    part[4 * half] = v.x, part[4 * half + 1] = v.y, part[4 * half + 2] = v.z, part[4 * half + 3] = v.w;
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
template <class A, class B, class Store>
__device__ void tile_product(A a, B b, const Tile& tile, int64_t depth, const Store& store) {
  __shared__ __align__(16) SharedTile a_tiles[2];
  __shared__ __align__(16) SharedTile b_tiles[2];
  const int across = static_cast<int>(threadIdx.x) % 8, down = static_cast<int>(threadIdx.x) / 8;
  float sums[8][8] = {};
  float a_next[kLoads], b_next[kLoads];
  a.load(0, a_next);
  b.load(0, b_next);
  int buffer = 0;
  for (int64_t done = 0; done < depth; done += kDepth, buffer ^= 1) {
    a.store(a_next, a_tiles[buffer]);
    b.store(b_next, b_tiles[buffer]);
    a.prepare();
    b.prepare();
    // After this barrier the tiles are complete. And all threads have read the other buffer, which the next
    // step overwrites.
    __syncthreads();
    if (done + kDepth < depth) {
      a.load(done + kDepth, a_next);
      b.load(done + kDepth, b_next);
    }
#pragma unroll
    for (int p = 0; p < kDepth; ++p) {
      float a_part[8], b_part[8];
      load_part(a_tiles[buffer][p], down, a_part);
      load_part(b_tiles[buffer][p], across, b_part);
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 0; j < 8; ++j) sums[i][j] = fmaf(a_part[i], b_part[j], sums[i][j]);
    }
  }
  // The rows are in the outer loop: with the columns outside, the code of a kernel was a third longer,
  // because each store computed the address of its row.
  decltype(store.column(0)) columns[8];
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int64_t c = tile.column + position(across, j);
    if (c < tile.columns) columns[j] = store.column(c);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int64_t r = tile.row + position(down, i);
    if (r >= tile.rows) continue;
#pragma unroll
    for (int j = 0; j < 8; ++j)
      if (tile.column + position(across, j) < tile.columns) store(r, columns[j], sums[i][j]);
  }
}

template <Layout kA, Layout kB, class A, class B, class Store>
__global__ void __launch_bounds__(kProductThreads) product_kernel(A a, B b, Store store) {
  const int64_t across = (b.rows + kTile - 1) / kTile;
  const Tile tile{blockIdx.x / across * kTile, blockIdx.x % across * kTile, a.rows, b.rows};
  tile_product(MatrixLoader<kA, A>{a, tile.row}, MatrixLoader<kB, B>{b, tile.column}, tile, a.depth, store);
}

template <Layout kA, class A, class B, class Store>
void launch_product(const A& a, const B& b, Store store) {
  const unsigned blocks = static_cast<unsigned>(parts(a.rows, kTile) * parts(b.rows, kTile));
  switch (b.layout()) {
    case Layout::kDepthIsContiguous:
      product_kernel<kA, Layout::kDepthIsContiguous><<<blocks, kProductThreads, 0, stream()>>>(a, b, store);
      break;
    case Layout::kRowsAreContiguous:
      product_kernel<kA, Layout::kRowsAreContiguous><<<blocks, kProductThreads, 0, stream()>>>(a, b, store);
      break;
    case Layout::kStrided:
      product_kernel<kA, Layout::kStrided><<<blocks, kProductThreads, 0, stream()>>>(a, b, store);
  }
}

// Computes z = A B' and calls store(i, store.column(j), z[i, j]) on the device for every i below a.rows and j
// below b.rows. A depth of 0 gives zeros. `op` names the operator in errors.
template <class A, class B, class Store>
void product(const A& a, const B& b, Store store, const char* op) {
  if (a.rows == 0 || b.rows == 0) return;
  if (parts(a.rows, kTile) * parts(b.rows, kTile) > INT32_MAX)
    throw std::invalid_argument(std::string(op) +
                                ": the result has more than 2^31 - 1 tiles of 64 x 64 values");
  switch (a.layout()) {
    case Layout::kDepthIsContiguous:
      launch_product<Layout::kDepthIsContiguous>(a, b, store);
      break;
    case Layout::kRowsAreContiguous:
      launch_product<Layout::kRowsAreContiguous>(a, b, store);
      break;
    case Layout::kStrided:
      launch_product<Layout::kStrided>(a, b, store);
  }
  check_launch(op);
}

}  // namespace byhand::cuda
