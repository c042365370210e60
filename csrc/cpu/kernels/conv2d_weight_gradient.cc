// The gradient with respect to the weights, by the direct algorithm. If the instruction set has 16 lanes,
// there are also kernels with 8 lanes. LeNet-5 has planes that are 8 outputs wide, which would leave half of
// 16 lanes idle.
#include "cpu/kernels/conv2d_weight_gradient.h"

#include BYHAND_VEC_HEADER
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr int kLanes = HalfVec::kLanes;

// The size of the largest tile. Its kRows * kColumns accumulators, kColumns inputs and one gradient must fit
// into the registers.
constexpr int kRows = kRegisters >= 32 ? 5 : 4, kColumns = kRegisters >= 32 ? 5 : 3;

template <class V>
inline V load(const float* p, const Constant<V::kLanes>&) {
  return V::load(p);
}
template <class V>
inline V load(const float* p, int n) {
  return V::load(p, n);
}

// total[r][c] += (row r of dy) * (column c of x), lane by lane, at one position. A row of dy is an output
// channel, and `row` is the stride of these rows. A column of x is a pair of an input channel and a tap. The
// inputs of all columns stay in registers while the rows of dy are loaded one by one. With the rows of dy in
// registers instead, GCC 12 would need more registers than there are.
template <class V, int kR, int kC, class Lanes>
inline void add_products(const float* const (&x)[kC], const float* dy, int64_t row, const ConvPosition& at,
                         Lanes lanes, V (&total)[kR][kC]) {
  V xv[kC];
  BYHAND_UNROLL
  for (int c = 0; c < kC; ++c) xv[c] = load<V>(x[c] + at.x, lanes);
  BYHAND_UNROLL
  for (int r = 0; r < kR; ++r) {
    const V dyv = load<V>(dy + r * row + at.y, lanes);
    BYHAND_UNROLL
    for (int c = 0; c < kC; ++c) total[r][c] = fma(dyv, xv[c], total[r][c]);
  }
}

// Computes a tile of kR x kC weight gradients. Each has one accumulator, whose lanes are added up once, at
// the end.
template <class V, int kR, int kC>
void dot(const ConvDot& d) {
  V total[kR][kC];
  BYHAND_UNROLL
  for (auto& row : total) BYHAND_UNROLL
  for (V& s : row) s = V::zero();

  for (int64_t n = 0; n < d.images; ++n) {
    const float* const dy = d.dy + n * d.dy_image_stride;
    const float* x[kC];
    BYHAND_UNROLL
    for (int c = 0; c < kC; ++c) x[c] = d.x + n * d.x_image_stride + d.offset[c];
    for (int64_t i = 0; i < d.whole; ++i)
      add_products(x, dy, d.dy_row_stride, d.whole_positions[i], Constant<V::kLanes>{}, total);
    for (int64_t i = 0; i < d.cut; ++i)
      add_products(x, dy, d.dy_row_stride, d.cut_positions[i], d.cut_positions[i].count, total);
  }

  BYHAND_UNROLL
  for (int r = 0; r < kR; ++r) BYHAND_UNROLL
  for (int c = 0; c < kC; ++c) d.dw[r * d.dw_stride + c] += sum(total[r][c]);
}

// Each row of taps has one accumulator of 8 lanes, or two of 4 lanes. Lane tx holds the gradient of tap tx.
// kR output channels are computed together, because their independent accumulators hide the latency of the
// multiply-adds.
template <int kR, int kTapRows>
void pooled_dot(const ConvPooledDot& d) {
  constexpr int kParts = kLanes < kPooledSlot ? kPooledSlot / kLanes : 1;
  HalfVec sum[kR][kTapRows][kParts];
  BYHAND_UNROLL
  for (auto& row : sum) BYHAND_UNROLL
  for (auto& taps : row) BYHAND_UNROLL
  for (HalfVec& s : taps) s = HalfVec::zero();
  for (int64_t i = 0; i < d.count; ++i) {
    BYHAND_UNROLL
    for (int r = 0; r < kR; ++r) {
      const HalfVec dz = HalfVec::set(d.dz[r * d.count + i]);
      const int32_t at = d.place[r * d.count + i] & d.last;
      const float* const x = d.x + int64_t{at} * kPooledSlot;
      BYHAND_UNROLL
      for (int t = 0; t < kTapRows; ++t) BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part)
        sum[r][t][part] = fma(dz, HalfVec::load(x + t * d.x_row + part * kLanes), sum[r][t][part]);
    }
  }
  BYHAND_UNROLL
  for (int r = 0; r < kR; ++r) BYHAND_UNROLL
  for (int t = 0; t < kTapRows; ++t) BYHAND_UNROLL
  for (int part = 0; part < kParts; ++part) {
    float* const dw = d.dw + r * d.dw_row + t * d.columns + part * kLanes;
    const int rest = d.columns - part * kLanes;
    const int n = rest < 0 ? 0 : rest > kLanes ? kLanes : rest;
    (HalfVec::load(dw, n) + sum[r][t][part]).store(dw, n);
  }
}

void fill_slots(const float* x, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i)
    for (int part = 0; part < kPooledSlot; part += kLanes)
      HalfVec::load(x + i + part).store(to + i * kPooledSlot + part);
}

}  // namespace

void fill_conv2d_weight_gradient(WeightGradientKernels& k) {
  k.rows = kRows, k.columns = kColumns;
  k.narrow_dots.lanes = kLanes, k.wide_dots.lanes = Vec::kLanes;
  for_constants<kRows>([&](auto rows) {
    for_constants<kColumns>([&](auto columns) {
      k.narrow_dots.dot[rows - 1][columns - 1] = dot<HalfVec, rows, columns>;
      k.wide_dots.dot[rows - 1][columns - 1] = dot<Vec, rows, columns>;
    });
  });
  k.fill_slots = fill_slots;
  for_constants<kPooledRows>([&](auto rows) {
    for_constants<kMaxPooledTapRows>(
        [&](auto taps) { k.pooled[rows - 1][taps - 1] = pooled_dot<rows, taps>; });
  });
}

}  // namespace byhand::cpu::BYHAND_ISA
