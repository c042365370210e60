// Direct convolution without an im2col matrix: the staged image already holds, for every tap, the inputs of
// neighbouring outputs side by side, so a vector of outputs needs one plain load a tap.
#include "cpu/kernels/fill.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// kRows output channels x kPositions vectors of outputs stay in registers over all taps and channels: the
// tile of the matrix product, with rows of B found through `offset`.
template <int kRows, int kPositions>
void tile(const ConvTile& t) {
  Vec sum[kRows][kPositions];
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) BYHAND_UNROLL
  for (int v = 0; v < kPositions; ++v)
    sum[r][v] = t.bias ? Vec::set(t.bias[r]) : Vec::load(t.y[v] + r * t.y_stride, t.count[v]);

  const float* const w = t.w;
  for (int64_t p = 0; p < t.depth; ++p) {
    Vec x[kPositions];
    BYHAND_UNROLL
    for (int v = 0; v < kPositions; ++v) x[v] = Vec::load(t.x[v] + t.offset[p]);
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec wv = Vec::set(w[r * t.w_stride + p]);
      BYHAND_UNROLL
      for (int v = 0; v < kPositions; ++v) sum[r][v] = fma(wv, x[v], sum[r][v]);
    }
  }

  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) BYHAND_UNROLL
  for (int v = 0; v < kPositions; ++v) sum[r][v].store(t.y[v] + r * t.y_stride, t.count[v]);
}

// Vector times vector over positions, one sum across lanes at the end. The kColumns inputs stay in registers
// and the rows of dy stream past: the other way round GCC 12 runs out of registers.
template <int kRows, int kColumns>
void dot(const ConvDot& d) {
  Vec total[kRows][kColumns];
  BYHAND_UNROLL
  for (auto& row : total) BYHAND_UNROLL
  for (Vec& s : row) s = Vec::zero();

  for (int64_t n = 0; n < d.images; ++n) {
    const float* const dy = d.dy + n * d.dy_image_stride;
    const float* x[kColumns];
    BYHAND_UNROLL
    for (int c = 0; c < kColumns; ++c) x[c] = d.x + n * d.x_image_stride + d.offset[c];
    for (int64_t i = 0; i < d.full; ++i) {
      const ConvPosition& at = d.position[i];
      Vec xv[kColumns];
      BYHAND_UNROLL
      for (int c = 0; c < kColumns; ++c) xv[c] = Vec::load(x[c] + at.x);
      BYHAND_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Vec dyv = Vec::load(dy + r * d.dy_row_stride + at.y);
        BYHAND_UNROLL
        for (int c = 0; c < kColumns; ++c) total[r][c] = fma(dyv, xv[c], total[r][c]);
      }
    }
    for (int64_t i = d.full; i < d.full + d.partial; ++i) {
      const ConvPosition& at = d.position[i];
      Vec xv[kColumns];
      BYHAND_UNROLL
      for (int c = 0; c < kColumns; ++c) xv[c] = Vec::load(x[c] + at.x, at.count);
      BYHAND_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Vec dyv = Vec::load(dy + r * d.dy_row_stride + at.y, at.count);
        BYHAND_UNROLL
        for (int c = 0; c < kColumns; ++c) total[r][c] = fma(dyv, xv[c], total[r][c]);
      }
    }
  }

  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) BYHAND_UNROLL
  for (int c = 0; c < kColumns; ++c) d.dw[r * d.dw_stride + c] += sum(total[r][c]);
}

// One row of taps is one vector, or two of four lanes; rows of dW at the same time hide the latency.
template <int kRows, int kTapRows>
void pooled_dot(const ConvPooledDot& d) {
  constexpr int kParts = Vec::kLanes < kMaxPooledColumns ? kMaxPooledColumns / Vec::kLanes : 1;
  Vec sum[kRows][kTapRows][kParts];
  BYHAND_UNROLL
  for (auto& row : sum) BYHAND_UNROLL
  for (auto& taps : row) BYHAND_UNROLL
  for (Vec& s : taps) s = Vec::zero();
  for (int64_t i = 0; i < d.count; ++i) {
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec dz = Vec::set(d.dz[r * d.count + i]);
      const float* const x = d.x + d.offset[d.place[r * d.count + i]];
      BYHAND_UNROLL
      for (int t = 0; t < kTapRows; ++t) BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part)
        sum[r][t][part] = fma(dz, Vec::load(x + t * d.x_row + part * Vec::kLanes), sum[r][t][part]);
    }
  }
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) BYHAND_UNROLL
  for (int t = 0; t < kTapRows; ++t) BYHAND_UNROLL
  for (int part = 0; part < kParts; ++part) {
    float* const dw = d.dw + r * d.dw_row + t * d.columns + part * Vec::kLanes;
    const int rest = d.columns - part * Vec::kLanes;
    const int n = rest < 0 ? 0 : rest > Vec::kLanes ? Vec::kLanes : rest;
    (Vec::load(dw, n) + sum[r][t][part]).store(dw, n);
  }
}

void copy_strided(const float* from, int64_t stride, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += Vec::kLanes) {
    const int n = count - i < Vec::kLanes ? static_cast<int>(count - i) : Vec::kLanes;
    Vec::load_strided(from + i * stride, stride, n).store(to + i, n);
  }
}

template <int kRows, int kPositions>
void add_tile(Conv2dKernels& k) {
  k.tile[kRows - 1][kPositions - 1] = tile<kRows, kPositions>;
  if constexpr (kPositions > 1)
    add_tile<kRows, kPositions - 1>(k);
  else if constexpr (kRows > 1)
    add_tile<kRows - 1, kConvPositions>(k);
}

template <int kRows, int kColumns>
void add_dot(Conv2dKernels& k) {
  k.dot[kRows - 1][kColumns - 1] = dot<kRows, kColumns>;
  if constexpr (kColumns > 1)
    add_dot<kRows, kColumns - 1>(k);
  else if constexpr (kRows > 1)
    add_dot<kRows - 1, kDotColumns>(k);
}

template <int kRows, int kTapRows>
void add_pooled_dot(Conv2dKernels& k) {
  k.pooled_dot[kRows - 1][kTapRows - 1] = pooled_dot<kRows, kTapRows>;
  if constexpr (kTapRows > 1)
    add_pooled_dot<kRows, kTapRows - 1>(k);
  else if constexpr (kRows > 1)
    add_pooled_dot<kRows - 1, kMaxPooledTapRows>(k);
}

}  // namespace

void fill_conv2d(Conv2dKernels& k) {
  k.lanes = Vec::kLanes;
  add_tile<kConvRows, kConvPositions>(k);
  add_dot<kDotRows, kDotColumns>(k);
  add_pooled_dot<kPooledRows, kMaxPooledTapRows>(k);
  k.copy_strided = copy_strided;
  fill_winograd_transforms(k.winograd);
}

}  // namespace byhand::cpu::BYHAND_ISA
