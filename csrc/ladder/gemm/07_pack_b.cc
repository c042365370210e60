// A block of b is packed: its values are copied into panels, in the order in which the tiles read them.
//
// a is m x k, b is k x n and c = a b is m x n. All three are stored row by row.
#include <algorithm>
#include <vector>

#include "ladder/vec.h"

constexpr int kRows = kTileRows, kVectors = 2, kColumns = kVectors * kLanes;
constexpr int kDepth = 256, kWidth = 256;

// Adds to a tile: kRows x kColumns values. a points to the rows, b to a panel, c to the tile.
static void tile(int depth, int n, int k, const float* a, const float* b, float* c) {
  Vec sum[kRows][kVectors] = {};
  for (int p = 0; p < depth; ++p) {
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] += a[r * k + p] * load(b + p * kColumns + v * kLanes);
    }
  }
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    UNROLL
    for (int v = 0; v < kVectors; ++v) add(c + r * n + v * kLanes, sum[r][v]);
  }
}

// Adds to the rows and columns that no tile covers.
static void edge(int rows, int columns, int depth, int n, int k, const float* a, const float* b, float* c) {
  for (int i = 0; i < rows; ++i)
    for (int p = 0; p < depth; ++p)
      for (int j = 0; j < columns; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
}

// Copies `depth` rows of b, kColumns values each, to a panel.
static void pack_b(int depth, int n, const float* b, float* panel) {
  for (int p = 0; p < depth; ++p) std::copy_n(b + p * n, kColumns, panel + p * kColumns);
}

// Adds the products of `depth` columns of a and a block of b, `depth` x `columns`.
static void block(int columns, int depth, int m, int n, int k, const float* a, const float* b, float* c) {
  const int bottom = m - m % kRows, right = columns - columns % kColumns;
  std::vector<float> panels(depth * right);
  for (int j = 0; j < right; j += kColumns) pack_b(depth, n, b + j, panels.data() + j * depth);
  for (int i = 0; i < bottom; i += kRows)
    for (int j = 0; j < right; j += kColumns)
      tile(depth, n, k, a + i * k, panels.data() + j * depth, c + i * n + j);
  edge(m, columns - right, depth, n, k, a, b + right, c + right);
  edge(m - bottom, right, depth, n, k, a + bottom * k, b, c + bottom * n);
}

extern "C" void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
  std::fill_n(c, m * n, 0.0f);
  for (int j = 0; j < n; j += kWidth)
    for (int p = 0; p < k; p += kDepth)
      block(std::min(kWidth, n - j), std::min(kDepth, k - p), m, n, k, a + p, b + p * n + j, c + j);
}
