// The register tile of the matrix product, and the copies that bring operands into its order.
#include "cpu/kernels/fill.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 2;

// kRows x kVectors accumulators stay in registers over the whole depth: per p, kVectors loads of B and one
// broadcast of A for each row feed kRows * kVectors multiply-adds, enough independent chains to hide their
// latency (4 cycles on 2 units need 8).
template <int kRows, int kVectors, bool kMasked>
void tile(const GemmTile& t) {
  // Only the last vector can be cut.
  const int last = t.columns - (kVectors - 1) * Vec::kLanes;
  Vec sum[kRows][kVectors];
  BYHAND_UNROLL
  for (auto& row : sum) BYHAND_UNROLL
  for (Vec& s : row) s = Vec::zero();

  const float *a = t.a, *b = t.b;
  for (int64_t p = 0; p < t.depth; ++p, a += t.a_column_stride, b += t.b_row_stride) {
    Vec bv[kVectors];
    BYHAND_UNROLL
    for (int v = 0; v < kVectors; ++v)
      bv[v] = kMasked && v == kVectors - 1 ? Vec::load(b + v * Vec::kLanes, last)
                                           : Vec::load(b + v * Vec::kLanes);
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec av = Vec::set(a[r * t.a_row_stride]);
      BYHAND_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(av, bv[v], sum[r][v]);
    }
  }

  const Vec alpha = Vec::set(t.alpha), beta = Vec::set(t.beta);
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) BYHAND_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    float* c = t.c + r * t.c_row_stride + v * Vec::kLanes;
    const bool cut = kMasked && v == kVectors - 1;
    Vec value = alpha * sum[r][v];
    if (t.beta != 0) value = fma(beta, cut ? Vec::load(c, last) : Vec::load(c), value);
    if (cut)
      value.store(c, last);
    else
      value.store(c);
  }
}

int clamp_lanes(int n) { return n < 0 ? 0 : n < Vec::kLanes ? n : Vec::kLanes; }

void pack_rows(const float* from, int64_t stride, int count, int64_t depth, float* to, int lane_count) {
  constexpr int kLanes = Vec::kLanes;
  for (int first = 0; first < lane_count; first += kLanes) {
    const int rows = count - first < kLanes ? count - first : kLanes;  // may be 0 or less: zeros
    const int width = lane_count - first < kLanes ? lane_count - first : kLanes;
    for (int64_t p = 0; p < depth; p += kLanes) {
      const int n = depth - p < kLanes ? static_cast<int>(depth - p) : kLanes;
      Vec block[kLanes];
      BYHAND_UNROLL
      for (int i = 0; i < kLanes; ++i)
        block[i] = i < rows ? Vec::load(from + (first + i) * stride + p, n) : Vec::zero();
      transpose(block);
      for (int i = 0; i < n; ++i) block[i].store(to + (p + i) * lane_count + first, width);
    }
  }
}

void pack_columns(const float* from, int64_t stride, int count, int64_t depth, float* to, int lane_count) {
  constexpr int kLanes = Vec::kLanes;
  for (int64_t p = 0; p < depth; ++p, from += stride, to += lane_count)
    for (int i = 0; i < lane_count; i += kLanes)
      Vec::load(from + i, clamp_lanes(count - i)).store(to + i, clamp_lanes(lane_count - i));
}

template <int kRows, int kVectors>
void add_tile(GemmKernels& k) {
  k.tile[kRows - 1][kVectors - 1][0] = tile<kRows, kVectors, false>;
  k.tile[kRows - 1][kVectors - 1][1] = tile<kRows, kVectors, true>;
  if constexpr (kVectors > 1)
    add_tile<kRows, kVectors - 1>(k);
  else if constexpr (kRows > 1)
    add_tile<kRows - 1, kGemmVectors>(k);
}

}  // namespace

void fill_gemm(GemmKernels& k) {
  static_assert(kGemmRows <= kMaxGemmRows && kGemmVectors <= kMaxGemmVectors);
  k.rows = kGemmRows;
  k.vectors = kGemmVectors;
  add_tile<kGemmRows, kGemmVectors>(k);
  k.pack_rows = pack_rows;
  k.pack_columns = pack_columns;
}

}  // namespace byhand::cpu::BYHAND_ISA
