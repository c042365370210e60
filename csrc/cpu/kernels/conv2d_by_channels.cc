// Direct convolution with vectors along the output channels.
#include "cpu/kernels/conv2d_by_channels.h"

#include BYHAND_VEC_HEADER
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The number of rows of the highest tile. The sums, one vector of B per column and one value of A must fit
// into the vector registers.
constexpr int highest_tile(int vectors, int most_rows) {
  const int fitting = (kRegisters - 1) / vectors - 1;
  return fitting < most_rows ? fitting : most_rows;
}
// If the rows of A lie anywhere, the pointers to them must fit into the 16 integer registers, beside those
// for the loop. At equal distances, the rows share one pointer. Only a tile of one vector gains from more
// rows: it needs a load for each multiply-add and one more for B.
constexpr int highest_tile(int vectors) { return highest_tile(vectors, kMaxChannelRows); }
constexpr int highest_even_tile(int vectors) {
  return vectors == 1 ? highest_tile(vectors, kMaxEvenRows) : highest_tile(vectors);
}

// The computation is that of a tile of the matrix product (gemm.cc), except that tables say where the values
// of A lie.
template <int kVectors, int kRows>
void tile(const ChannelTile& t) {
  constexpr bool kEven = kRows > kMaxChannelRows;
  constexpr int kLanes = Vec::kLanes, kPointers = kEven ? 1 : kRows;
  // The pointer moves on by four rows at a time, so that GCC keeps no other multiples of the distance in
  // registers.
  constexpr int kGroup = 4;
  Vec sum[kRows][kVectors];
  const float* a[kPointers];
  const int64_t row_step = t.row_step;
  BYHAND_UNROLL
  for (int r = 0; r < kPointers; ++r) {
    a[r] = t.x + t.row[r].x;
    BYHAND_KEEP(a[r]);
  }
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const float* const start = t.bias ? t.bias : t.out + t.row[r].out;
    BYHAND_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[r][v] = Vec::load(start + v * kLanes);
  }
  const ChannelTerm* next = t.term;
  const float* const b = t.b;
  BYHAND_UNROLL_4
  for (int64_t p = t.depth; p > 0; --p, ++next) {
    const int64_t term = next->x, from = next->b;
    Vec bv[kVectors];
    BYHAND_UNROLL
    for (int v = 0; v < kVectors; ++v) bv[v] = Vec::load(b + from + v * kLanes);
    const float* even = a[0] + term;
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r) {
      if (kEven && r > 0 && r % kGroup == 0) {
        even += kGroup * row_step;
        BYHAND_KEEP(even);
      }
      const Vec av = Vec::set(kEven ? even[r % kGroup * row_step] : a[r % kPointers][term]);
      BYHAND_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(av, bv[v], sum[r][v]);
    }
  }
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) {
    float* const out = t.out + t.row[r].out;
    BYHAND_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[r][v].store(out + v * kLanes);
  }
}

void transpose_block(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                     int64_t to_stride) {
  constexpr int kLanes = Vec::kLanes;
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int height = rows - i < kLanes ? static_cast<int>(rows - i) : kLanes;
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int width = columns - j < kLanes ? static_cast<int>(columns - j) : kLanes;
      Vec block[kLanes];
      BYHAND_UNROLL
      for (int r = 0; r < kLanes; ++r)
        block[r] = Vec::load(from + (i + (r < height ? r : height - 1)) * from_stride + j);
      transpose(block);
      BYHAND_UNROLL
      for (int c = 0; c < kLanes; ++c) {
        if (c >= width) break;
        float* const row = to + (j + c) * to_stride + i;
        if (height == kLanes)
          block[c].store(row);
        else
          block[c].store(row, height);
      }
    }
  }
}

}  // namespace

void fill_conv2d_by_channels(ChannelKernels& k) {
  k.channel_lanes = Vec::kLanes;
  for_constants<kMaxChannelVectors>([&](auto vectors) {
    k.channel_rows[vectors - 1] = highest_tile(vectors);
    k.even_rows[vectors - 1] = highest_even_tile(vectors);
    for_constants<highest_even_tile(vectors)>(
        [&](auto rows) { k.channel_tile[vectors - 1][rows - 1] = tile<vectors, rows>; });
  });
  k.transpose = transpose_block;
}

}  // namespace byhand::cpu::BYHAND_ISA
