#include "cpu/kernels/conv2d_depthwise.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The largest numbers of rows of outputs, and of rows of taps, that are computed together. Their sums and the
// weights of a column of taps stay in registers, beside one vector of x.
constexpr int kOutputRows = 8, kTapRows = kRegisters < 32 ? 4 : 8;

// Adds the products of kTaps rows of taps to kRows rows of outputs. The rows of taps lie as far apart as the
// rows of x, so each vector of x is loaded once for all outputs that read it.
template <int kTaps, int kRows>
void add_taps(const float* x, int64_t stride, const float* w, int64_t columns, Vec (&sum)[kRows]) {
  for (int64_t v = 0; v < columns; ++v) {
    Vec weight[kTaps];
    BYHAND_UNROLL
    for (int u = 0; u < kTaps; ++u) weight[u] = Vec::set(w[u * columns + v]);
    BYHAND_UNROLL
    for (int q = 0; q < kRows + kTaps - 1; ++q) {
      const Vec value = Vec::load(x + q * stride + v);
      BYHAND_UNROLL
      for (int u = 0; u < kTaps; ++u)
        if (q >= u && q - u < kRows) sum[q - u] = fma(weight[u], value, sum[q - u]);
    }
  }
}

// Computes n columns from column j on, in kRows rows. kTaps is the largest number of rows of taps that are
// added together.
template <int kTaps, int kRows, class N>
void block(const DepthwisePlane& p, int64_t i, int64_t j, N n) {
  Vec sum[kRows];
  BYHAND_UNROLL
  for (Vec& s : sum) s = Vec::set(p.bias);
  const float* const x = p.x + i * p.x_stride + j;
  for_rows<kTaps>(p.tap_rows, [&](int64_t u, auto taps) {
    add_taps<taps>(x + p.tap_row[u], p.x_stride, p.w + u * p.tap_columns, p.tap_columns, sum);
  });
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

// The blocks have nearly equal heights, because a block of few rows would have so few sums that each
// multiply-add waits for the one before.
template <int kTaps>
void plane(const DepthwisePlane& p) {
  const int64_t blocks = (p.rows + kOutputRows - 1) / kOutputRows;
  int64_t i = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t height = (p.rows - i) / (blocks - b);
    for_constants<kOutputRows>([&](auto rows) {
      if (rows == height)
        for_overlapping_vectors(p.columns, [&](int64_t j, auto n) { block<kTaps, rows>(p, i, j, n); });
    });
    i += height;
  }
}

void depthwise(const DepthwisePlane& p) {
  const bool adjacent = p.tap_rows > 1 && p.tap_row[1] - p.tap_row[0] == p.x_stride;
  if (!adjacent) return plane<1>(p);
  if (p.tap_rows == p.tap_columns) {
    if (p.tap_rows == 2) return square_plane<2>(p);
    if (p.tap_rows == 3) return square_plane<3>(p);
    if constexpr (kMostSquareTaps >= 5)
      if (p.tap_rows == 5) return square_plane<5>(p);
  }
  plane<kTapRows>(p);
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
