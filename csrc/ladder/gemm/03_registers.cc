// The sums of eight vectors of a row of c stay in registers, so the inner loop does not load and store c.
//
// a is m x k, b is k x n and c = a b is m x n. All three are stored row by row.
#include <algorithm>

#include "ladder/vec.h"

constexpr int kVectors = 8, kColumns = kVectors * kLanes;

// Computes a tile: kColumns neighbouring values of a row. a points to the row, b to the columns, c to the
// tile.
static void tile(int n, int k, const float* a, const float* b, float* c) {
  Vec sum[kVectors] = {};
  for (int p = 0; p < k; ++p) {
    UNROLL
    for (int v = 0; v < kVectors; ++v) sum[v] += a[p] * load(b + p * n + v * kLanes);
  }
  UNROLL
  for (int v = 0; v < kVectors; ++v) add(c + v * kLanes, sum[v]);
}

// Computes the rows and columns that no tile covers.
static void edge(int rows, int columns, int n, int k, const float* a, const float* b, float* c) {
  for (int i = 0; i < rows; ++i)
    for (int p = 0; p < k; ++p)
      for (int j = 0; j < columns; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
}

extern "C" void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
  std::fill_n(c, m * n, 0.0f);
  const int right = n - n % kColumns;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < right; j += kColumns) tile(n, k, a + i * k, b + j, c + i * n + j);
  edge(m, n - right, n, k, a, b + right, c + right);
}
