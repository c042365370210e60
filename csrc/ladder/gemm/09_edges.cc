// Panels have room for whole tiles, so that the tiles at the edges of c are as fast as the others.
//
// a is m x k, b is k x n and c = a b is m x n. All three are stored row by row.
#include <algorithm>
#include <vector>

#include "ladder/vec.h"

constexpr int kRows = kTileRows, kVectors = 2, kColumns = kVectors * kLanes;
constexpr int kDepth = 256, kWidth = 256;

// Adds to a tile, of which `rows` x `columns` values are inside c. a and b point to panels, c to the tile.
static void tile(int rows, int columns, int depth, int n, const float* a, const float* b, float* c) {
  Vec sum[kRows][kVectors] = {};
  for (int p = 0; p < depth; ++p) {
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] += a[p * kRows + r] * load(b + p * kColumns + v * kLanes);
    }
  }
  if (rows >= kRows && columns >= kColumns) {
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      UNROLL
      for (int v = 0; v < kVectors; ++v) add(c + r * n + v * kLanes, sum[r][v]);
    }
    return;
  }
  float part[kRows][kColumns];
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    UNROLL
    for (int v = 0; v < kVectors; ++v) store(&part[r][v * kLanes], sum[r][v]);
  }
  for (int r = 0; r < std::min(kRows, rows); ++r)
    for (int j = 0; j < std::min(kColumns, columns); ++j) c[r * n + j] += part[r][j];
}

// Copies `depth` rows of b, at most kColumns values each, to a panel.
static void pack_b(int columns, int depth, int n, const float* b, float* panel) {
  for (int p = 0; p < depth; ++p) std::copy_n(b + p * n, std::min(kColumns, columns), panel + p * kColumns);
}

// Copies `depth` columns of a, at most kRows values each, to a panel.
static void pack_a(int rows, int depth, int k, const float* a, float* panel) {
  for (int p = 0; p < depth; ++p)
    for (int r = 0; r < std::min(kRows, rows); ++r) panel[p * kRows + r] = a[r * k + p];
}

// Adds the products of `depth` columns of a and a block of b, `depth` x `columns`.
static void block(int columns, int depth, int m, int n, int k, const float* a, const float* b, float* c) {
  std::vector<float> rows(depth * kRows), panels(depth * (columns + kColumns));
  for (int j = 0; j < columns; j += kColumns) pack_b(columns - j, depth, n, b + j, panels.data() + j * depth);
  for (int i = 0; i < m; i += kRows) {
    pack_a(m - i, depth, k, a + i * k, rows.data());
    for (int j = 0; j < columns; j += kColumns)
      tile(m - i, columns - j, depth, n, rows.data(), panels.data() + j * depth, c + i * n + j);
  }
}

extern "C" void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
  std::fill_n(c, m * n, 0.0f);
  for (int j = 0; j < n; j += kWidth)
    for (int p = 0; p < k; p += kDepth)
      block(std::min(kWidth, n - j), std::min(kDepth, k - p), m, n, k, a + p, b + p * n + j, c + j);
}
