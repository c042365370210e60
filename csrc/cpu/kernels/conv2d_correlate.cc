// Direct convolution without an im2col matrix: the staged image already holds, for every tap, the inputs of
// neighbouring outputs side by side, so a vector of outputs needs one plain load a tap.
#include "cpu/kernels/conv2d_correlate.h"

#include BYHAND_VEC_HEADER
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

// Accumulators, inputs and a weight in the registers.
constexpr int positions_of(int rows) {
  const int fitting = (kRegisters - 2) / (rows + 1);
  return fitting < kMaxConvPositions ? fitting : kMaxConvPositions;
}

void copy_strided(const float* from, int64_t stride, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += Vec::kLanes) {
    const int n = count - i < Vec::kLanes ? static_cast<int>(count - i) : Vec::kLanes;
    Vec::load_strided(from + i * stride, stride, n).store(to + i, n);
  }
}

}  // namespace

void fill_conv2d_correlate(CorrelateKernels& k) {
  k.tiles.lanes = Vec::kLanes;
  for_constants<kConvRows>([&](auto rows) {
    k.tiles.positions[rows - 1] = positions_of(rows);
    for_constants<positions_of(rows)>(
        [&](auto positions) { k.tiles.tile[rows - 1][positions - 1] = tile<rows, positions>; });
  });
  k.wide = k.tiles;
  k.copy_strided = copy_strided;
}

}  // namespace byhand::cpu::BYHAND_ISA
