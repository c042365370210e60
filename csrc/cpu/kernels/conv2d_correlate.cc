// Direct convolution with vectors along rows of outputs, without an im2col matrix. The driver first stages
// the image: it copies the image into a layout in which neighbouring outputs read adjacent values, for every
// tap. A vector of outputs therefore needs one plain load per input channel and tap.
#include "cpu/kernels/conv2d_correlate.h"

#include "cpu/vec/loop.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// Computes kPositions vectors of outputs in each of kRows output channels. Their sums stay in registers over
// all taps and all input channels of a block. If the driver cuts the input channels into several blocks, a
// later block begins with the sums that the block before it has stored in y. The computation is that of a
// tile of the matrix product (gemm.cc) with the weights as A and the inputs as B, except that a table,
// `offset`, says where each row of B begins.
template <int kRows, int kPositions>
void tile(const ConvTile& t) {
  Vec sum[kRows][kPositions];
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) BYHAND_UNROLL
  for (int v = 0; v < kPositions; ++v)
    sum[r][v] = t.bias ? Vec::set(t.bias[r]) : Vec::load(t.y[v] + r * t.y_stride, t.count[v]);

  const float* const w = t.w;
  BYHAND_UNROLL_4
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

// Returns the largest number of positions of a tile with `rows` rows. The accumulators, one input vector per
// position and one weight must fit into the registers, and one register stays free.
constexpr int widest_tile(int rows) {
  const int fitting = (kRegisters - 2) / (rows + 1);
  return fitting < kMaxConvPositions ? fitting : kMaxConvPositions;
}

void copy_rows(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
               int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i, from += from_stride, to += to_stride)
    for_overlapping_vectors(columns, [&](int64_t j, auto n) { store(load(from + j, n), to + j, n); });
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
    k.tiles.positions[rows - 1] = widest_tile(rows);
    for_constants<widest_tile(rows)>(
        [&](auto positions) { k.tiles.tile[rows - 1][positions - 1] = tile<rows, positions>; });
  });
  k.wide = k.tiles;  // with AVX-512, cpu/runtime/registry.cc then replaces k.tiles by the tiles of AVX2
  k.copy_rows = copy_rows;
  k.copy_strided = copy_strided;
}

}  // namespace byhand::cpu::BYHAND_ISA
