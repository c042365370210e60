// The contract between drivers (csrc/cpu/*.cc) and kernels (csrc/cpu/kernels/*.cc): one table of functions
// and tile sizes for each instruction set.
//
// Kernels are compiled once per instruction set from the same source. They start no threads, allocate
// nothing, throw nothing and hold no data of their own; they read and write only what their arguments name.
// This header is seen by code of every instruction set, so it holds plain types and no functions.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

inline constexpr int kMaxGemmRows = 6;     // the largest tiles of any instruction set
inline constexpr int kMaxGemmVectors = 2;
inline constexpr int kMaxDotRows = 4;
inline constexpr int kMaxDotColumns = 3;

// C[i, j] = alpha * sum_p A[i, p] * B[p, j] + beta * C[i, j] over one register tile; beta == 0 never reads C.
struct GemmTile {
  int64_t depth;                                      // of p
  const float *a;
  int64_t a_row_stride, a_column_stride;
  const float* b;
  int64_t b_row_stride;                               // columns of B and C are adjacent
  float* c;
  int64_t c_row_stride;
  int columns;                                        // at most vectors * lanes; the masked kernel's edge
  float alpha, beta;
};
using GemmTileKernel = void (*)(const GemmTile&);

struct GemmKernels {
  int rows, vectors;  // the full tile: rows x (vectors * lanes)
  // tile[r - 1][v - 1][masked]: r rows, v vectors of columns; masked where columns < v * lanes.
  GemmTileKernel tile[kMaxGemmRows][kMaxGemmVectors][2];
  // to[p * lane_count + i] = from[i * stride + p] for `count` of i (0 from there to lane_count) and `depth` of p:
  // rows of a matrix become the columns of a panel of width lane_count.
  void (*pack_rows)(const float* from, int64_t stride, int count, int64_t depth, float* to, int lane_count);
  // to[p * lane_count + i] = from[p * stride + i], 0 beyond `count`.
  void (*pack_columns)(const float* from, int64_t stride, int count, int64_t depth, float* to, int lane_count);
};

struct ReduceKernels {
  float (*sum)(const float* x, int64_t count);
  // to[j] += sum over rows of x[i * stride + j].
  void (*add_rows)(const float* x, int64_t rows, int64_t columns, int64_t stride, float* to);
};

struct PeakKernels {
  float (*fma_chains)(int64_t steps);
  int flops_per_step;
};

struct KernelTable {
  int lanes;  // floats a vector
  GemmKernels gemm;
  ReduceKernels reduce;
  PeakKernels peak;
};

}  // namespace byhand::cpu
