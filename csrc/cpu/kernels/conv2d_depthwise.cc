#include "cpu/kernels/conv2d_depthwise.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The number of rows of outputs that are computed together. Their sums are independent, so none has to wait
// for another one.
constexpr int kDepthwiseRows = 6;

// Computes n columns from column j on, in kRows rows. kColumns is the number of taps per row, or 0 if the
// kernel has to look it up.
template <int kColumns, int kRows, class N>
void block(const DepthwisePlane& p, int64_t i, int64_t j, N n) {
  Vec sum[kRows];
  const Vec bias = Vec::set(p.bias);
  BYHAND_UNROLL
  for (Vec& s : sum) s = bias;
  const int64_t stride = p.x_stride;
  const float *x = p.x + i * stride + j, *w = p.w;
  const auto add = [&](const float* at, float weight) {
    const Vec wv = Vec::set(weight);
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r) sum[r] = fma(wv, Vec::load(at + r * stride), sum[r]);
  };
  for (int64_t u = 0; u < p.tap_rows; ++u) {
    const float* const at = x + p.tap_row[u];
    if constexpr (kColumns > 0) {
      BYHAND_UNROLL
      for (int v = 0; v < kColumns; ++v) add(at + v, w[v]);
      w += kColumns;
    } else {
      for (int64_t v = 0; v < p.tap_columns; ++v) add(at + v, *w++);
    }
  }
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) store(sum[r], p.y + (i + r) * p.columns + j, n);
}

// The number of rows of outputs of a square_block, whose kTaps x kTaps weights stay in registers beside the
// sums and one vector of x.
template <int kTaps>
constexpr int kSquareRows = kRegisters - 2 - kTaps * kTaps < 8 ? kRegisters - 2 - kTaps * kTaps : 8;
// The largest filter whose weights leave room for the sums of a few rows.
constexpr int kMostSquareTaps = kRegisters < 32 ? 3 : 5;

// Computes the same as `block` for a filter of kTaps x kTaps taps without dilation. Each vector of x is
// loaded once and serves all rows of outputs that read it.
template <int kTaps, int kRows, class N>
void square_block(const DepthwisePlane& p, int64_t i, int64_t j, N n) {
  Vec w[kTaps][kTaps], sum[kRows];
  BYHAND_UNROLL
  for (int u = 0; u < kTaps; ++u) BYHAND_UNROLL
  for (int v = 0; v < kTaps; ++v) w[u][v] = Vec::set(p.w[u * kTaps + v]);
  BYHAND_UNROLL
  for (Vec& s : sum) s = Vec::set(p.bias);
  const float* const x = p.x + i * p.x_stride + j + p.tap_row[0];
  BYHAND_UNROLL
  for (int q = 0; q < kRows + kTaps - 1; ++q) BYHAND_UNROLL
  for (int v = 0; v < kTaps; ++v) {
    const Vec value = Vec::load(x + q * p.x_stride + v);
    BYHAND_UNROLL
    for (int u = 0; u < kTaps; ++u)
      if (q >= u && q - u < kRows) sum[q - u] = fma(w[u][v], value, sum[q - u]);
  }
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) store(sum[r], p.y + (i + r) * p.columns + j, n);
}

// Columns that two vectors share are computed twice.
template <int kTaps>
void square_plane(const DepthwisePlane& p) {
  for_rows<kSquareRows<kTaps>>(p.rows, [&](int64_t i, auto rows) {
    for_overlapping_vectors(p.columns, [&](int64_t j, auto n) { square_block<kTaps, rows>(p, i, j, n); });
  });
}

template <int kColumns>
void depthwise_plane(const DepthwisePlane& p) {
  for_rows<kDepthwiseRows>(p.rows, [&](int64_t i, auto rows) {
    for_overlapping_vectors(p.columns, [&](int64_t j, auto n) { block<kColumns, rows>(p, i, j, n); });
  });
}

void depthwise(const DepthwisePlane& p) {
  const bool square = p.tap_rows == p.tap_columns && p.tap_rows > 1 && p.tap_rows <= kMostSquareTaps &&
                      p.tap_row[1] - p.tap_row[0] == p.x_stride;
  if (square && p.tap_rows == 2) return square_plane<2>(p);
  if (square && p.tap_rows == 3) return square_plane<3>(p);
  if constexpr (kMostSquareTaps >= 5)
    if (square && p.tap_rows == 5) return square_plane<5>(p);
  if (p.tap_columns > kMaxTapColumns) return depthwise_plane<0>(p);
  for_constants<kMaxTapColumns>([&](auto columns) {
    if (columns == p.tap_columns) depthwise_plane<columns>(p);
  });
}

// The largest number of rows of taps of a dot. The sums and one vector of dy must fit into the registers.
constexpr int most_tap_rows(int columns) {
  const int fitting = (kRegisters - 2) / columns;
  return fitting < kMaxTapRows ? fitting : kMaxTapRows;
}

// The number of rows of dy that a dot of `taps` taps multiplies together. If the rows of taps lie as far
// apart as those of x, a vector of x serves all of them.
constexpr int dot_rows(int taps) {
  const int fitting = kRegisters - 2 - taps;
  return fitting < 1 ? 1 : fitting < 5 ? fitting : 5;
}

template <int kTapColumns, int kTapRows, int kRows, bool kShared, class N>
void add_products(const DepthwiseDot& d, int64_t i, int64_t j, N n, Vec (&sum)[kTapRows][kTapColumns]) {
  Vec dy[kRows];
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) dy[r] = load(d.dy + (i + r) * d.columns + j, n);
  const float* const x = d.x + i * d.x_stride + j;
  const int64_t step = kShared ? d.x_stride : d.tap_row;
  BYHAND_UNROLL
  for (int q = 0; q < kRows + kTapRows - 1; ++q) BYHAND_UNROLL
  for (int v = 0; v < kTapColumns; ++v) {
    const Vec value = load(x + q * step + v, n);
    BYHAND_UNROLL
    for (int u = 0; u < kTapRows; ++u)
      if (q >= u && q - u < kRows) sum[u][v] = fma(dy[q - u], value, sum[u][v]);
  }
}

template <int kTapColumns, int kTapRows>
void dots(const DepthwiseDot& d) {
  Vec sum[kTapRows][kTapColumns];
  BYHAND_UNROLL
  for (int u = 0; u < kTapRows; ++u) BYHAND_UNROLL
  for (int v = 0; v < kTapColumns; ++v) sum[u][v] = Vec::load(d.sums + u * d.sums_row + v * Vec::kLanes);
  const auto add_rows = [&](int64_t i, auto rows, auto shared) {
    for_vectors(d.columns, [&](int64_t j, auto n) {
      add_products<kTapColumns, kTapRows, rows, shared>(d, i, j, n, sum);
    });
  };
  constexpr int kRows = dot_rows(kTapRows * kTapColumns);
  if (kTapRows > 1 && kRows > 1 && d.tap_row == d.x_stride)
    for_rows<kRows>(d.rows, [&](int64_t i, auto rows) { add_rows(i, rows, Constant<true>{}); });
  else
    for (int64_t i = 0; i < d.rows; ++i) add_rows(i, Constant<1>{}, Constant<false>{});
  BYHAND_UNROLL
  for (int u = 0; u < kTapRows; ++u) BYHAND_UNROLL
  for (int v = 0; v < kTapColumns; ++v) sum[u][v].store(d.sums + u * d.sums_row + v * Vec::kLanes);
}

float add_lanes(const float* lanes) { return sum(Vec::load(lanes)); }

}  // namespace

void fill_conv2d_depthwise(DepthwiseKernels& k) {
  k.depthwise_lanes = Vec::kLanes;
  k.depthwise = depthwise;
  for_constants<kMaxTapColumns>([&](auto columns) {
    k.depthwise_tap_rows[columns - 1] = most_tap_rows(columns);
    for_constants<most_tap_rows(columns)>(
        [&](auto rows) { k.depthwise_dot[columns - 1][rows - 1] = dots<columns, rows>; });
  });
  k.lane_sum = add_lanes;
}

}  // namespace byhand::cpu::BYHAND_ISA
