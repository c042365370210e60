// The kernels of the matrix product: register tiles, dot products, and the copies that pack operands.
#include "cpu/kernels/gemm.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// Returns whether a tile fits into the registers. Its sums need rows * vectors registers. The loop also needs
// `vectors` registers for B and one for a value of A. At the end, the tile needs three registers beside the
// sums: for alpha, for beta, and for a vector of C. On instruction sets without mask registers, that vector
// first has the mask of a cut edge.
constexpr bool fits(int rows, int vectors) {
  const int others = vectors + 1 < 3 ? 3 : vectors + 1;
  return rows * vectors + others <= kRegisters;
}
// Returns the width in vectors of the widest tile with `rows` rows.
constexpr int widest_tile(int rows) {
  int vectors = kMaxGemmVectors;
  while (!fits(rows, vectors)) --vectors;
  return vectors;
}
// Returns the number of rows of the highest tile with this width in vectors.
constexpr int highest_tile(int vectors) {
  int rows = kMaxGemmRows;
  while (rows > 1 && !fits(rows, vectors)) --rows;
  return rows;
}
// Most products use tiles that are two vectors wide. A tile of one vector needs one load of A for each
// multiply-add. But if a product has so few columns that all of its tiles are this narrow, the higher tile
// has more sums, which hide the latency of the multiply-adds.
constexpr int kTileRows = highest_tile(2), kNarrowTileRows = highest_tile(1);

// The number of rows of A that are addressed from one pointer. An x86 load can add a register, or twice a
// register, to a pointer. So a register with the stride of the rows reaches rows 1 and 2, and a second
// register with 3 * stride reaches row 3. No row needs a separate addition.
constexpr int kGroup = 4;

// The minimum number of rows of a tile that prefetches B. A tile makes one prefetch per cache line of B. With
// fewer rows, it does not make enough multiply-adds per cache line to hide this instruction. Tiles higher
// than kTileRows do not prefetch, because they read all columns of B.
constexpr int kMinRowsToPrefetch = 4;
// The number of vectors per cache line of 64 bytes.
constexpr int kVectorsPerLine = Vec::kLanes < 16 ? 16 / Vec::kLanes : 1;

// Returns `a` if T is Vec, or its lower half if T is HalfVec.
template <class T>
T narrow(Vec a) {
  if constexpr (__is_same(T, Vec))
    return a;
  else
    return low_half(a);
}

// The kRows x kVectors sums stay in registers over the whole depth. For each p, the kernel loads kVectors
// vectors of B, broadcasts one value of A per row, and does kRows * kVectors multiply-adds. These
// multiply-adds belong to different sums, so none has to wait for another one. Two units with a latency of 4
// cycles are always busy if there are at least 8 sums.
//
// `Last` is the type of the last vector of each row, Vec or HalfVec. If kCut is true, that vector may have
// fewer columns than lanes. It is then stored with a mask, but loaded from B without one. The values behind
// the columns only reach lanes that are not stored. The last rows of B come from a copy (GemmTile::b_rest).
template <int kRows, int kVectors, class Last, bool kCut>
void tile(const GemmTile& t) {
  constexpr int kWhole = kVectors - 1, kLanes = Vec::kLanes, kGroups = (kRows + kGroup - 1) / kGroup;
  constexpr bool kPrefetches = kRows >= kMinRowsToPrefetch && kRows <= kTileRows;
  Vec sum[kRows][kWhole + 1];
  Last last_sum[kRows];
  BYHAND_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BYHAND_UNROLL
    for (int v = 0; v < kWhole; ++v) sum[r][v] = Vec::zero();
    last_sum[r] = Last::zero();
    __builtin_prefetch(t.out + r * t.out_row_stride, 1);
    __builtin_prefetch(t.out + r * t.out_row_stride + t.columns - 1, 1);
  }

  const int64_t a_row = t.a_row_stride, a_column = t.a_column_stride;
  int64_t b_row = t.b_row_stride;
  const float *a[kGroups], *b = t.b, *b_ahead = t.b + t.b_ahead;
  BYHAND_UNROLL
  for (int g = 0; g < kGroups; ++g) a[g] = t.a + g * kGroup * a_row;

  // First the rows of B that are read in place, then the copied rows. Without BYHAND_KEEP, GCC makes one loop
  // of both, which tests for its end twice.
  int64_t rest = kCut ? t.rest_terms : 0;
  for (int64_t p = t.depth - rest;; p = rest, rest = 0, b = t.b_rest, b_row = kVectors * kLanes) {
    BYHAND_KEEP(p);
    BYHAND_UNROLL_4
    for (; p > 0; --p, b += b_row) {
      Vec bv[kWhole + 1];
      BYHAND_UNROLL
      for (int v = 0; v < kWhole; ++v) bv[v] = Vec::load(b + v * kLanes);
      const Last b_last = Last::load(b + kWhole * kLanes);
      if constexpr (kPrefetches) {
        BYHAND_UNROLL
        for (int v = 0; v < kVectors; v += kVectorsPerLine) __builtin_prefetch(b_ahead + v * kLanes, 0, 2);
        b_ahead += b_row;
        BYHAND_KEEP(b_ahead);
      }
      BYHAND_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const float* const value = a[r / kGroup] + r % kGroup * a_row;
        const Vec av = Vec::set(*value);
        BYHAND_UNROLL
        for (int v = 0; v < kWhole; ++v) sum[r][v] = fma(av, bv[v], sum[r][v]);
        const Last a_last = kWhole > 0 ? narrow<Last>(av) : Last::set(*value);
        last_sum[r] = fma(a_last, b_last, last_sum[r]);
      }
      BYHAND_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        a[g] += a_column;
        BYHAND_KEEP(a[g]);
      }
    }
    if (rest == 0) break;
  }

  // Fields of t are read before the first store, because the compiler must assume that a store changes them.
  // There is an exception: if beta is not 0, alpha and beta are broadcast again for each row. Otherwise GCC
  // or Clang would put vectors on the stack.
  const int64_t out_row = t.out_row_stride, c_row = t.c_row_stride;
  int cut = t.columns - kWhole * kLanes;
  const float* c = t.c;
  float* out = t.out;
  BYHAND_KEEP(out);  // otherwise the addresses that were prefetched would be kept, on the stack
  const auto store_last = [&](Last value, float* p) {
    if constexpr (kCut)
      value.store(p, cut);
    else
      value.store(p);
  };
  if (t.beta == 0) {
    const Vec alpha = Vec::set(t.alpha);
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r, out += out_row) {
      BYHAND_UNROLL
      for (int v = 0; v < kWhole; ++v) (alpha * sum[r][v]).store(out + v * kLanes);
      store_last(narrow<Last>(alpha) * last_sum[r], out + kWhole * kLanes);
    }
  } else {
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r, c += c_row, out += out_row) {
      const Vec alpha = Vec::set(t.alpha), beta = Vec::set(t.beta);
      BYHAND_KEEP(cut);  // otherwise the mask would be kept in a register that the sums need
      BYHAND_UNROLL
      for (int v = 0; v < kWhole; ++v)
        fma(beta, Vec::load(c + v * kLanes), alpha * sum[r][v]).store(out + v * kLanes);
      const Last c_last = kCut ? Last::load(c + kWhole * kLanes, cut) : Last::load(c + kWhole * kLanes);
      store_last(fma(narrow<Last>(beta), c_last, narrow<Last>(alpha) * last_sum[r]), out + kWhole * kLanes);
    }
  }
}

// The number of rows that few_terms computes together. Their values of A, the vectors of B, a sum, alpha and
// beta must fit into the registers.
constexpr int few_terms_rows(int depth) {
  const int fitting = (kRegisters - 3 - depth) / depth;
  return fitting < 4 ? fitting : 4;
}

// Returns the number of values from `p` on before the first address that is a multiple of a vector's size. A
// store to such an address stays within a cache line.
int64_t unaligned_values(const float* p) {
  constexpr uint64_t kLanes = Vec::kLanes;
  return static_cast<int64_t>(-(reinterpret_cast<uintptr_t>(p) / sizeof(float)) % kLanes);
}

// The least number of columns with which few_terms begins a row with a shorter vector. The stores that follow
// are then aligned, in the first row of a group, and in all rows if their distance is a multiple of a
// vector's. On an Intel Xeon, stores that cross a cache line take twice as long. Shorter rows do not repay
// the additional vector.
constexpr int64_t kAlignedFrom = 8 * Vec::kLanes;

// The values of A stay in registers while the loop runs along the rows of B. The calls of tiles would take
// longer than their few multiply-adds.
template <int kDepth>
void few_terms(const GemmTile& t, int64_t rows) {
  for_rows<few_terms_rows(kDepth)>(rows, [&](int64_t first, auto count) {
    constexpr int kRows = count;
    Vec a[kRows][kDepth];
    BYHAND_UNROLL
    for (int r = 0; r < kRows; ++r) BYHAND_UNROLL
    for (int p = 0; p < kDepth; ++p)
      a[r][p] = Vec::set(t.a[(first + r) * t.a_row_stride + p * t.a_column_stride]);
    const Vec alpha = Vec::set(t.alpha), beta = Vec::set(t.beta);
    const bool adds = t.beta != 0;
    const float *const b = t.b, *const c = t.c + first * t.c_row_stride;
    float* const out = t.out + first * t.out_row_stride;
    const int64_t b_row = t.b_row_stride, c_row = t.c_row_stride, out_row = t.out_row_stride;
    const auto step = [&](int64_t j, auto n) {
      Vec bv[kDepth];
      BYHAND_UNROLL
      for (int p = 0; p < kDepth; ++p) bv[p] = load(b + p * b_row + j, n);
      BYHAND_UNROLL
      for (int r = 0; r < kRows; ++r) {
        Vec sum = Vec::zero();
        BYHAND_UNROLL
        for (int p = 0; p < kDepth; ++p) sum = fma(a[r][p], bv[p], sum);
        Vec value = alpha * sum;
        if (adds) value = fma(beta, load(c + r * c_row + j, n), value);
        store(value, out + r * out_row + j, n);
      }
    };
    const int64_t head = t.columns >= kAlignedFrom ? unaligned_values(out) : 0;
    if (head > 0) step(0, static_cast<int>(head));
    for_vectors(t.columns - head, [&](int64_t j, auto n) { step(head + j, n); });
  });
}

// The numbers of rows and columns of the largest dot tiles. A tile of kDotTileRows x 5 sums is enough to keep
// the units for multiply-adds busy with few loads per multiply-add. A tile of a single row needs more columns
// to have enough sums.
constexpr int kDotTileRows = kRegisters >= 32 ? 4 : 2;
constexpr int dot_columns(int rows) {
  if (rows > 1) return 5;
  return kRegisters >= 32 ? kMaxGemmDotColumns : 7;
}

// Each sum is a vector, whose lanes take different terms p. The lanes are added up at the end.
template <int kRows, int kColumns>
void dot(const GemmDot& t) {
  Vec total[kRows][kColumns];
  BYHAND_UNROLL
  for (auto& row : total) BYHAND_UNROLL
  for (Vec& s : row) s = Vec::zero();
  const int64_t a_row = t.a_row_stride, b_row = t.b_row_stride;
  const auto step = [&](int64_t p, auto n) {
    Vec av[kRows];
    BYHAND_UNROLL
    for (int i = 0; i < kRows; ++i) av[i] = load(t.a + i * a_row + p, n);
    BYHAND_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      const Vec bv = load(t.b + j * b_row + p, n);
      BYHAND_UNROLL
      for (int i = 0; i < kRows; ++i) total[i][j] = fma(av[i], bv, total[i][j]);
    }
  };
  for_vectors(t.depth, step);
  BYHAND_UNROLL
  for (int i = 0; i < kRows; ++i) {
    // This loop is separate from the next one, because Clang would unroll a common loop too late to keep the
    // sums in registers.
    float value[kColumns];
    BYHAND_UNROLL
    for (int j = 0; j < kColumns; ++j) value[j] = sum(total[i][j]);
    BYHAND_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      float result = t.alpha * value[j];
      if (t.beta != 0) result += t.beta * t.c[i * t.c_row_stride + j];
      t.out[i * t.out_row_stride + j] = result;
    }
  }
}

// Transposes blocks of kLanes rows of the matrix. If the panel is narrower than a vector, each store writes
// some values too many. They are overwritten by the next store, which begins where the valid values end.
// Behind the last store there must be room for the additional values (see gemm.h). In a wider panel, only the
// last block of rows may be narrower than a vector. Its stores are cut (`cut`), because the values behind
// them belong to the panel's first block and have already been stored.
void pack_rows(const float* from, int64_t stride, int64_t count, int64_t depth, float* to, int64_t width,
               int64_t panel) {
  constexpr int kLanes = Vec::kLanes;
  for (int64_t first = 0; first < count; first += kLanes, from += kLanes * stride) {
    const int64_t last = count - first < kLanes ? count - first - 1 : kLanes - 1;
    const int64_t column = first % width;
    float* const block_to = to + first / width * panel + column;
    const bool cut = column > 0 && width - column < kLanes;
    for_vectors(depth, [&](int64_t p, auto n) {
      Vec block[kLanes];
      BYHAND_UNROLL
      for (int i = 0; i < kLanes; ++i) block[i] = load(from + (i < last ? i : last) * stride + p, n);
      transpose(block);
      BYHAND_UNROLL
      for (int i = 0; i < kLanes; ++i) {
        if constexpr (!__is_same(decltype(n), WholeVector))
          if (i >= n) break;
        if (cut)
          block[i].store(block_to + (p + i) * width, static_cast<int>(width - column));
        else
          block[i].store(block_to + (p + i) * width);
      }
    });
  }
}

void pack_columns(const float* from, int64_t stride, int64_t count, int64_t depth, float* to, int64_t width,
                  int64_t panel) {
  if (count <= Vec::kLanes) {  // above all the panels of a transposed A
    const int n = static_cast<int>(count);
    for (int64_t p = 0; p < depth; ++p) Vec::load(from + p * stride, n).store(to + p * width);
    return;
  }
  for (int64_t p = 0; p < depth; ++p, from += stride, to += width) {
    float* row = to;
    for (int64_t first = 0; first < count; first += width, row += panel) {
      const int64_t end = count - first < width ? count : first + width;
      int64_t i = first;
      for (; i + Vec::kLanes <= end; i += Vec::kLanes) Vec::load(from + i).store(row + i - first);
      if (i < end) Vec::load(from + i, static_cast<int>(end - i)).store(row + i - first);
    }
  }
}

template <int kRows, int kVectors>
void add_tiles(GemmKernels& k) {
  auto& edges = k.tile[kRows - 1][kVectors - 1];
  edges[kWholeEdge] = tile<kRows, kVectors, Vec, false>;
  edges[kCutEdge] = tile<kRows, kVectors, Vec, true>;
  edges[kHalfEdge] = tile<kRows, kVectors, HalfVec, true>;
  if constexpr (kVectors > 1)
    add_tiles<kRows, kVectors - 1>(k);
  else if constexpr (kRows > 1)
    add_tiles<kRows - 1, widest_tile(kRows - 1)>(k);
}

template <int kRows, int kColumns>
void add_dots(GemmKernels& k) {
  k.dot[kRows - 1][kColumns - 1] = dot<kRows, kColumns>;
  if constexpr (kColumns > 1)
    add_dots<kRows, kColumns - 1>(k);
  else if constexpr (kRows > 1)
    add_dots<kRows - 1, dot_columns(kRows - 1)>(k);
}

}  // namespace

void fill_gemm(GemmKernels& k) {
  k.lanes = Vec::kLanes;
  for (int v = 1; v <= kMaxGemmVectors; ++v) k.rows[v - 1] = highest_tile(v);
  for (int r = 1; r <= kNarrowTileRows; ++r) k.vectors[r - 1] = widest_tile(r);
  add_tiles<kNarrowTileRows, widest_tile(kNarrowTileRows)>(k);
  k.dot_rows = kDotTileRows;
  for (int r = 1; r <= kDotTileRows; ++r) k.dot_columns[r - 1] = dot_columns(r);
  add_dots<kDotTileRows, dot_columns(kDotTileRows)>(k);
  for_constants<kMaxFewTerms>([&](auto depth) { k.few_terms[depth - 1] = few_terms<depth>; });
  k.pack_rows = pack_rows;
  k.pack_columns = pack_columns;
}

}  // namespace byhand::cpu::BYHAND_ISA
