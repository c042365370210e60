// Winograd's convolution: the transforms between images and patches, and the products of patches.
#include "cpu/kernels/fill.h"
#include "cpu/kernels/winograd_sums.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr int kLanes = Vec::kLanes;
constexpr int kParts = kLanes < kSize ? kSize / kLanes : 1;  // vectors that a row of 8 values takes
constexpr int kPart = kSize / kParts;                        // values in each

using Patch = Vec[kParts][kSize];  // [part][row]

// Rows become columns.
inline void transpose(Patch& p) {
  Vec block[kParts][kParts][kLanes];
  BYHAND_UNROLL
  for (int i = 0; i < kParts; ++i) BYHAND_UNROLL
  for (int j = 0; j < kParts; ++j) {
    BYHAND_UNROLL
    for (int r = 0; r < kLanes; ++r) block[i][j][r] = r < kPart ? p[j][i * kPart + r] : Vec::zero();
    transpose(block[i][j]);
  }
  BYHAND_UNROLL
  for (int i = 0; i < kParts; ++i) BYHAND_UNROLL
  for (int j = 0; j < kParts; ++j) BYHAND_UNROLL
  for (int r = 0; r < kPart; ++r) p[i][j * kPart + r] = block[i][j][r];
}

inline Vec load_part(const float* p) {
  if constexpr (kPart == kLanes)
    return Vec::load(p);
  else
    return Vec::load(p, kPart);
}
inline void store_part(Vec v, float* p) {
  if constexpr (kPart == kLanes)
    v.store(p);
  else
    v.store(p, kPart);
}
inline int clamp_part(int n) { return n < 0 ? 0 : n > kPart ? kPart : n; }

// Where the rows of a patch lie: two in a vector of 16 lanes, one in 8, half of one in 4.
struct Place {
  float* data;
  int64_t plane;
  int lanes;
  float* at(int row, int part) const {
    if (lanes == 16) return data + row / 2 * plane + row % 2 * kSize + part * kPart;
    return data + (row * (kSize / lanes) + part * kPart / lanes) * plane + part * kPart % lanes;
  }
};

// The first n values of part `part` of a row that has `columns`.
inline Vec load_columns(const float* row, int part, int columns) {
  const int n = clamp_part(columns - part * kPart);
  return n == kLanes ? Vec::load(row + part * kPart) : Vec::load(row + part * kPart, n);
}

template <class P>
void forward(const WinogradImages& from, const WinogradPatches& to, int lanes) {
  constexpr int kColumns = P::kColumns;
  const bool inside = from.row_begin == 0 && from.row_end == kColumns && from.column_begin == 0 &&
                      from.column_end == kColumns;
  for (int64_t c = 0; c < from.count; ++c) {
    const float* values = from.values + c * from.channel;
    int64_t stride = from.row;
    float copy[kColumns * kSize];
    if (!inside) {
      __builtin_memset(copy, 0, sizeof copy);
      for (int i = from.row_begin; i < from.row_end; ++i)
        for (int j = from.column_begin; j < from.column_end; ++j)
          copy[i * kSize + j] = values[i * stride + j];
      values = copy, stride = kSize;
    }
    Patch x;
    BYHAND_UNROLL
    for (int i = 0; i < kColumns; ++i) BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) x[part][i] = load_columns(values + i * stride, part, kColumns);
    BYHAND_UNROLL
    for (int pass = 0; pass < 2; ++pass) {
      BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part) {
        Vec input[P::kColumns], output[kSize];
        BYHAND_UNROLL
        for (int i = 0; i < P::kColumns; ++i) input[i] = x[part][i];
        expand<P>(input, output);
        BYHAND_UNROLL
        for (int i = 0; i < kSize; ++i) x[part][i] = output[i];
      }
      if (pass == 0) transpose(x);
    }
    const Place place{to.data + c * lanes, to.plane, lanes};
    BYHAND_UNROLL
    for (int i = 0; i < kSize; ++i) BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) store_part(x[part][i], place.at(i, part));
  }
}

// The adjoint of `forward`, handed to store(channel, row, part, values).
template <class P, class Store>
inline void adjoint(const WinogradPatches& from, int lanes, int64_t count, const Store& store) {
  for (int64_t c = 0; c < count; ++c) {
    const Place place{from.data + c * lanes, from.plane, lanes};
    Patch x;
    BYHAND_UNROLL
    for (int i = 0; i < kSize; ++i) BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) x[part][i] = load_part(place.at(i, part));
    BYHAND_UNROLL
    for (int pass = 0; pass < 2; ++pass) {
      BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part) {
        Vec input[kSize], output[P::kColumns];
        BYHAND_UNROLL
        for (int i = 0; i < kSize; ++i) input[i] = x[part][i];
        contract<P>(input, output);
        BYHAND_UNROLL
        for (int i = 0; i < kSize; ++i) x[part][i] = i < P::kColumns ? output[i] : Vec::zero();
      }
      if (pass == 0) transpose(x);
    }
    BYHAND_UNROLL
    for (int i = 0; i < P::kColumns; ++i) BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) store(c, i, part, x[part][i]);
  }
}

// Of patches that begin inside: outputs and weights do.
template <class P>
void adjoint_store(const WinogradPatches& from, int lanes, const WinogradImages& to, const float* bias) {
  adjoint<P>(from, lanes, to.count, [&](int64_t c, int i, int part, Vec v) {
    if (i < to.row_begin || i >= to.row_end) return;
    if (bias) v = v + Vec::set(bias[c]);
    float* const row = const_cast<float*>(to.values) + c * to.channel + i * to.row;
    v.store(row + part * kPart, clamp_part(to.column_end - part * kPart));
  });
}

template <class P>
void adjoint_add(const WinogradPatches& from, int lanes, const WinogradImages& to) {
  adjoint<P>(from, lanes, to.count, [&](int64_t c, int i, int part, Vec v) {
    if (i < to.row_begin || i >= to.row_end) return;
    float* const row = const_cast<float*>(to.values) + c * to.channel + i * to.row + part * kPart;
    const int begin = clamp_part(to.column_begin - part * kPart);
    const int end = clamp_part(to.column_end - part * kPart);
    if (begin > 0) {
      float value[kLanes];
      v.store(value);
      for (int j = begin; j < end; ++j) row[j] += value[j];
    } else if (end == kLanes) {
      (Vec::load(row) + v).store(row);
    } else {
      (Vec::load(row, end) + v).store(row, end);
    }
  });
}

template <class P>
WinogradTransform transform() {
  return {forward<P>, adjoint_store<P>, adjoint_add<P>};
}

// The values of a row of `a` stay in registers while one of `b` streams by.
constexpr int kRows = kRegisters >= 32 ? 5 : 3, kColumns = kRegisters >= 32 ? 5 : 4;
static_assert(kRows * kColumns + kRows + 1 <= kRegisters);

template <int kRows, int kColumns>
void tile(const WinogradTile& t) {
  Vec sum[kRows][kColumns];
  BYHAND_UNROLL
  for (int i = 0; i < kRows; ++i) BYHAND_UNROLL
  for (int j = 0; j < kColumns; ++j)
    sum[i][j] = t.add ? Vec::load(t.out + i * t.out_row + j * t.out_column) : Vec::zero();
  const float *a = t.a, *b = t.b;
  for (int64_t p = 0; p < t.depth; ++p, a += t.a_depth, b += t.b_depth) {
    Vec av[kRows];
    BYHAND_UNROLL
    for (int i = 0; i < kRows; ++i) av[i] = Vec::load(a + i * t.a_row);
    BYHAND_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      const Vec bv = Vec::load(b + j * t.b_row);
      BYHAND_UNROLL
      for (int i = 0; i < kRows; ++i) sum[i][j] = fma(av[i], bv, sum[i][j]);
    }
  }
  BYHAND_UNROLL
  for (int i = 0; i < kRows; ++i) BYHAND_UNROLL
  for (int j = 0; j < kColumns; ++j) sum[i][j].store(t.out + i * t.out_row + j * t.out_column);
}

template <int r, int c>
void add_tiles(WinogradProductKernels& k) {
  k.tile[r - 1][c - 1] = tile<r, c>;
  if constexpr (c > 1)
    add_tiles<r, c - 1>(k);
  else if constexpr (r > 1)
    add_tiles<r - 1, kColumns>(k);
}

}  // namespace

void fill_winograd_transforms(WinogradTransformKernels& k) {
  k.input = transform<WinogradInput>();
  k.weight[0] = transform<WinogradWeight3>();
  k.weight[1] = transform<WinogradWeight5>();
  k.output[0] = transform<WinogradOutput3>();
  k.output[1] = transform<WinogradOutput5>();
}

void fill_winograd_products(WinogradProductKernels& k) {
  k.lanes = kLanes;
  k.rows = kRows;
  k.columns = kColumns;
  add_tiles<kRows, kColumns>(k);
}

}  // namespace byhand::cpu::BYHAND_ISA
