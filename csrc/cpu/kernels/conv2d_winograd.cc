// Winograd's convolution in both axes: the transforms between images and patches, and the products of
// transformed patches. A vector holds neighbouring values of one row of a patch.
//
// The template argument P is one of the matrices of conv2d_winograd_matrices.h. The patch that it transforms
// has P::kColumns rows and columns.
#include "cpu/kernels/conv2d_winograd.h"
#include "cpu/kernels/conv2d_winograd_sums.h"
#include "cpu/kernels/window_maximum.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr int kLanes = Vec::kLanes;

// A row of 8 values is held in kParts vectors with kPartSize values each: 2 parts of 4 values if vectors
// have 4 lanes, otherwise 1 part of 8 values. With 16 lanes, half of the vector is not used.
constexpr int kParts = kLanes < kSize ? kSize / kLanes : 1;
constexpr int kPartSize = kSize / kParts;

using Patch = Vec[kParts][kSize];  // [part][row]

// Exchanges the rows and columns of a patch.
inline void transpose(Patch& p) {
  Vec block[kParts][kParts][kLanes];
  BYHAND_UNROLL
  for (int i = 0; i < kParts; ++i) BYHAND_UNROLL
  for (int j = 0; j < kParts; ++j) {
    BYHAND_UNROLL
    for (int r = 0; r < kLanes; ++r) block[i][j][r] = r < kPartSize ? p[j][i * kPartSize + r] : Vec::zero();
    transpose(block[i][j]);
  }
  BYHAND_UNROLL
  for (int i = 0; i < kParts; ++i) BYHAND_UNROLL
  for (int j = 0; j < kParts; ++j) BYHAND_UNROLL
  for (int r = 0; r < kPartSize; ++r) p[i][j * kPartSize + r] = block[i][j][r];
}

inline Vec load_part(const float* p) {
  if constexpr (kPartSize == kLanes)
    return Vec::load(p);
  else
    return Vec::load(p, kPartSize);
}
inline void store_part(Vec v, float* p) {
  if constexpr (kPartSize == kLanes)
    v.store(p);
  else
    v.store(p, kPartSize);
}
inline int clamp_part(int n) { return n < 0 ? 0 : n > kPartSize ? kPartSize : n; }

// A transformed patch in memory (WinogradPatches). Its 64 values are stored as 8 rows. Each stored row is a
// column of the transformed patch: see `transform`. `lanes` is the vector width of the product kernels, which
// may be larger than the width kLanes of the transforms. A vector of the product kernels holds two rows if it
// has 16 lanes, one row if it has 8, and half of a row if it has 4.
struct TransformedPatch {
  float* data;
  int64_t plane;
  int lanes;
  // Returns the address of one part of a row.
  float* at(int row, int part) const {
    if (lanes == 16) return data + row / 2 * plane + row % 2 * kSize + part * kPartSize;
    return data + (row * (kSize / lanes) + part * kPartSize / lanes) * plane + part * kPartSize % lanes;
  }
};

// Loads part number `part` of a row that has `columns` values. Lanes beyond the end of the row are 0.
inline Vec load_columns(const float* row, int part, int columns) {
  const int n = clamp_part(columns - part * kPartSize);
  return n == kLanes ? Vec::load(row + part * kPartSize) : Vec::load(row + part * kPartSize, n);
}

// The number of channels that share a Patch: two if their patches have four columns, one otherwise. Each row
// of a shared Patch holds the four values of the first channel, and then the four values of the second
// channel. If a row has two parts, part 0 therefore belongs to the first channel and part 1 to the second.
template <class P>
constexpr int kSharing = 2 * P::kColumns == kSize ? 2 : 1;

// Loads the patches of kSharing channels into x. `channel` is the distance of the channels in memory, and
// `stride` the distance of the rows. If only one channel is left for a shared Patch, pass channel = 0. This
// channel is then loaded twice, and the results of the copy are never stored.
template <class P>
inline void load_rows(const float* values, int64_t channel, int64_t stride, Patch& x) {
  BYHAND_UNROLL
  for (int i = 0; i < P::kColumns; ++i) {
    const float* const row = values + i * stride;
    if constexpr (kSharing<P> == 2 && kParts == 1) {
      x[0][i] = load_fours(row, row + channel);
    } else {
      BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part)
        x[part][i] =
            kSharing<P> == 2 ? Vec::load(row + part * channel) : load_columns(row, part, P::kColumns);
    }
  }
}

// Transforms the patches in x, laid out as by load_rows, and stores the results. `channels` is the number
// of channels to store, at most kSharing, and c is the first of them.
//
// `expand` multiplies each column by P. Between its two calls, x is transposed, so that the second call
// multiplies each row of the patch. The result is not transposed back, so transformed patches are stored
// column by column. This saves one transposition. Products of patches do not depend on the order of the
// values, and `adjoint` expects this order.
template <class P>
inline void transform(Patch& x, int64_t c, int channels, const WinogradPatches& to, int lanes) {
  constexpr int kColumns = P::kColumns;
  BYHAND_UNROLL
  for (int part = 0; part < kParts; ++part) {
    Vec input[kColumns];
    BYHAND_UNROLL
    for (int i = 0; i < kColumns; ++i) input[i] = x[part][i];
    expand<P>(input, x[part]);
  }
  transpose(x);
  BYHAND_UNROLL
  for (int h = 0; h < kSharing<P>; ++h) {
    if (h >= channels) continue;
    const TransformedPatch patch{to.data + (c + h) * lanes, to.plane, lanes};
    BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) {
      Vec input[kColumns], output[kSize];
      BYHAND_UNROLL
      for (int i = 0; i < kColumns; ++i) input[i] = x[part][h * kColumns + i];
      expand<P>(input, output);
      BYHAND_UNROLL
      for (int i = 0; i < kSize; ++i) store_part(output[i], patch.at(i, part));
    }
  }
}

// Copies n values, at most kSize, and then zeros: kParts whole vectors are stored. If n <= 0, none is read.
inline void copy_row(const float* from, int n, float* to) {
  BYHAND_UNROLL
  for (int part = 0; part < kParts; ++part) load_columns(from, part, n).store(to + part * kPartSize);
}

// Transforms one patch of each channel. A patch that lies partly outside the image is first copied into an
// array of zeros. The rows are copied in order, so each overwrites the zeros beyond the end of the row
// before.
template <class P>
void forward(const WinogradImages& from, const WinogradPatches& to, int lanes) {
  constexpr int kColumns = P::kColumns;
  const bool inside = from.row_begin == 0 && from.row_end == kColumns && from.column_begin == 0 &&
                      from.column_end == kColumns;
  for (int64_t c = 0; c < from.count; c += kSharing<P>) {
    const int channels = c + kSharing<P> <= from.count ? kSharing<P> : 1;
    const float* values = from.values + c * from.channel;
    int64_t stride = from.row, channel = channels > 1 ? from.channel : 0;
    constexpr int kCopy = kColumns * kSize + kSize + kLanes;
    float copy[kSharing<P>][kCopy];
    if (!inside) {
      const int begin = from.column_begin, columns = from.column_end - begin;
      for (int h = 0; h < channels; ++h) {
        copy_row(values, 0, copy[h]);
        for (int i = 0; i < kColumns; ++i) {
          const bool row_inside = i >= from.row_begin && i < from.row_end;
          copy_row(values + h * channel + i * stride + begin, row_inside ? columns : 0,
                   copy[h] + i * kSize + begin);
        }
      }
      values = copy[0], stride = kSize, channel = channels > 1 ? kCopy : 0;
    }
    Patch x;
    load_rows<P>(values, channel, stride, x);
    transform<P>(x, c, channels, to, lanes);
  }
}

// Computes the adjoint of `forward`. Calls store(c, channels, rows) for one channel or two channels at a
// time: `channels` is their number, and c is the first of them. rows[i][part] is one part of row i of the
// result, which two channels share as in a Patch. If `channels` is less than kSharing, the values of the
// second channel are meaningless.
template <class P, class Store>
inline void adjoint(const WinogradPatches& from, int lanes, int64_t count, const Store& store) {
  constexpr int kColumns = P::kColumns;
  for (int64_t c = 0; c < count; c += kSharing<P>) {
    const int channels = c + kSharing<P> <= count ? kSharing<P> : 1;
    Patch x;
    BYHAND_UNROLL
    for (int h = 0; h < kSharing<P>; ++h) {
      const TransformedPatch patch{from.data + (c + (h < channels ? h : 0)) * lanes, from.plane, lanes};
      BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part) {
        Vec input[kSize], output[kColumns];
        BYHAND_UNROLL
        for (int i = 0; i < kSize; ++i) input[i] = load_part(patch.at(i, part));
        contract<P>(input, output);
        BYHAND_UNROLL
        for (int i = 0; i < kSize / kSharing<P>; ++i)
          x[part][h * kColumns + i] = i < kColumns ? output[i] : Vec::zero();
      }
    }
    transpose(x);
    Vec rows[kColumns][kParts];
    BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) {
      Vec output[kColumns];
      contract<P>(x[part], output);
      BYHAND_UNROLL
      for (int i = 0; i < kColumns; ++i) rows[i][part] = output[i];
    }
    store(c, channels, rows);
  }
}

// Adds the bias to one part of all rows: bias[0] to the values of the first channel, and bias[1] to those of
// the second channel if `channels` is 2.
template <class P>
inline void add_bias(const float* bias, int channels, int part, Vec (&rows)[P::kColumns][kParts]) {
  const Vec first = Vec::set(bias[0]), last = Vec::set(bias[channels - 1]);
  const Vec both = kParts == 2 ? (part == 0 ? first : last) : select(first_mask(kSize / 2), first, last);
  BYHAND_UNROLL
  for (int i = 0; i < P::kColumns; ++i) rows[i][part] = rows[i][part] + (kSharing<P> == 1 ? first : both);
}

// Calls body(channel, row, values) for each row of each channel. Copies the row from its vectors to memory
// first; `values` points to this copy.
template <class P, class Body>
inline void for_rows(int channels, const Vec (&rows)[P::kColumns][kParts], const Body& body) {
  float value[kParts * kLanes];
  for (int i = 0; i < P::kColumns; ++i) {
    for (int part = 0; part < kParts; ++part) rows[i][part].store(value + part * kLanes);
    for (int h = 0; h < channels; ++h) body(h, i, value + h * P::kColumns);
  }
}

// Computes the adjoint, adds the bias and stores the values that lie inside the plane. The first row and
// column of the patches must lie inside, as they do for outputs and weights.
template <class P>
void adjoint_store(const WinogradPatches& from, int lanes, const WinogradImages& to, const float* bias) {
  constexpr int kColumns = P::kColumns;
  const bool whole = to.row_end == kColumns && to.column_end == kColumns;
  adjoint<P>(from, lanes, to.count, [&](int64_t c, int channels, Vec(&rows)[kColumns][kParts]) {
    float* const values = const_cast<float*>(to.values) + c * to.channel;
    if (bias) {
      BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part) add_bias<P>(bias + c, channels, part, rows);
    }
    if constexpr (kSharing<P> == 1) {
      BYHAND_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        if (i == to.row_end) break;
        BYHAND_UNROLL
        for (int part = 0; part < kParts; ++part)
          rows[i][part].store(values + i * to.row + part * kPartSize,
                              clamp_part(to.column_end - part * kPartSize));
      }
    } else if (kParts == 1 && whole && channels == 2) {
      BYHAND_UNROLL
      for (int i = 0; i < kColumns; ++i)
        store_fours(rows[i][0], values + i * to.row, values + to.channel + i * to.row);
    } else {
      for_rows<P>(channels, rows, [&](int h, int i, const float* row) {
        for (int j = 0; j < to.column_end && i < to.row_end; ++j)
          values[h * to.channel + i * to.row + j] = row[j];
      });
    }
  });
}

// Max pooling takes a patch of outputs as blocks of 4 x 4, which have four windows of 2 x 2 each. A patch of
// 4 x 4 is one block. A patch of 6 x 6 is four blocks, of which those on the right have only two columns and
// those at the bottom only two rows. The four outputs of a window are its taps. In a block, both are numbered
// row by row:
//   windows  0 0 1 1    taps  0 1 0 1
//            0 0 1 1          2 3 2 3
//            2 2 3 3          0 1 0 1
//            2 2 3 3          2 3 2 3
// For each row of blocks, there is one vector per tap, or one per tap and part. Each group of four lanes
// belongs to one block. In the vector of tap i, lane w of a group holds tap i of window w. The two groups of
// a row of the Patch are two channels that share it, or the left and the right blocks of one channel.
template <class P>
constexpr int kBlockRows = (P::kColumns + 3) / 4;

// Returns the positions of the first tap of each window of a row of blocks in the plane of outputs.
template <class P>
inline IVec first_tap_positions(const WinogradMaxima& w, int block_row, int part) {
  float corner[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const int right = kSharing<P> == 1 && (part + i / 4) % 2 ? 4 : 0;
    const int row = block_row * 4 + i / 2 % 2 * 2, column = i % 2 * 2 + right;
    // Unsigned, because the positions of windows outside the plane, which nobody uses, may be too large.
    const uint32_t place = static_cast<uint32_t>(w.place) +
                           static_cast<uint32_t>(row) * static_cast<uint32_t>(w.plane_row) +
                           static_cast<uint32_t>(column);
    __builtin_memcpy(corner + i, &place, sizeof place);
  }
  return bits(Vec::load(corner));
}
// Returns the positions of tap i, given those of the first tap.
inline IVec tap_positions(IVec first, int i, const WinogradMaxima& w) {
  return first + IVec::set(i / 2 * w.plane_row + i % 2);
}

// The second pair of rows of a row of blocks: its third and fourth row of outputs. If the patch ends before
// them, the first pair is taken once more, and the results are never stored.
template <class P>
constexpr int second_pair(int block_row) {
  return block_row * 4 + 2 < P::kColumns ? block_row * 4 + 2 : block_row * 4;
}

// Stores one row of `count` windows. `values` points to the groups of four lanes of one channel. Each group
// holds two windows of this row, in its lanes `lane` and lane + 1.
template <class T>
inline void store_windows(const T* values, int lane, int count, T* to) {
  if (count >= 2) __builtin_memcpy(to, values + lane, 2 * sizeof(T));
  if (count % 2) to[count - 1] = values[(count - 1) * 2 + lane];
}

template <class P>
void maxima(const WinogradPatches& from, int lanes, const WinogradMaxima& to, const float* bias) {
  constexpr int kLength = kParts * kLanes, kBlocks = kBlockRows<P>;
  IVec first[kBlocks][kParts];
  for (int b = 0; b < kBlocks; ++b)
    for (int part = 0; part < kParts; ++part) first[b][part] = first_tap_positions<P>(to, b, part);
  adjoint<P>(from, lanes, to.count, [&](int64_t c, int channels, Vec(&rows)[P::kColumns][kParts]) {
    float value[kBlocks][kLength];
    int32_t place[kBlocks][kLength];
    BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) {
      if (bias) add_bias<P>(bias + c, channels, part, rows);
      BYHAND_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        const int top = b * 4, bottom = second_pair<P>(b);
        const Vec taps[4] = {even_of_fours(rows[top][part], rows[bottom][part]),
                             odd_of_fours(rows[top][part], rows[bottom][part]),
                             even_of_fours(rows[top + 1][part], rows[bottom + 1][part]),
                             odd_of_fours(rows[top + 1][part], rows[bottom + 1][part])};
        WindowMaximum best{taps[0], first[b][part]};
        BYHAND_UNROLL
        for (int i = 1; i < 4; ++i) best.visit(taps[i], tap_positions(first[b][part], i, to));
        best.value.store(value[b] + part * kLanes);
        best.place.store(place[b] + part * kLanes);
      }
    }
    for (int h = 0; h < channels; ++h)
      for (int i = 0; i < to.rows; ++i) {
        const int64_t at = (c + h) * to.channel + i * to.row;
        const int lane = i % 2 * 2;
        store_windows(value[i / 2] + h * 4, lane, to.columns, const_cast<float*>(to.y) + at);
        store_windows(place[i / 2] + h * 4, lane, to.columns, const_cast<int32_t*>(to.index) + at);
      }
  });
}

// Loads one value per window of two groups of four lanes, from the first window of each group. If vectors
// have four lanes, only the first group is loaded. A group has `rows` rows and columns[0] or columns[1]
// columns of windows inside the plane; all other windows get 0.
template <class T>
inline Vec load_windows(const T* first, const T* second, int64_t row, int rows, const int (&columns)[2]) {
  const auto floats = [](const T* p) { return reinterpret_cast<const float*>(p); };
  if (rows == 2 && columns[0] == 2 && columns[1] == 2) return load_twos(floats(first), floats(second), row);
  return load_twos(floats(first), floats(second), row, rows, columns);
}

inline int clamp_windows(int n) { return n < 0 ? 0 : n > 2 ? 2 : n; }

// A group of lanes begins at the first window of its channel if two channels share a Patch, and otherwise at
// window 0 or 2 of its row. If only one channel is left, it is loaded twice, as in load_rows.
template <class P>
void from_maxima(const WinogradMaxima& from, const WinogradPatches& to, int lanes) {
  constexpr bool kShared = kSharing<P> == 2;
  IVec first[kBlockRows<P>][kParts];
  for (int b = 0; b < kBlockRows<P>; ++b)
    for (int part = 0; part < kParts; ++part) first[b][part] = first_tap_positions<P>(from, b, part);
  for (int64_t c = 0; c < from.count; c += kSharing<P>) {
    const int channels = c + kSharing<P> <= from.count ? kSharing<P> : 1;
    const int64_t step = !kShared ? 2 : channels == 2 ? from.channel : 0;  // the distance of the two groups
    const int last = kShared ? from.columns : clamp_windows(from.columns - 2);
    const int columns[2] = {clamp_windows(from.columns), last};
    Patch x;
    BYHAND_UNROLL
    for (int part = 0; part < kParts; ++part) BYHAND_UNROLL
    for (int b = 0; b < kBlockRows<P>; ++b) {
      const int64_t offset = c * from.channel + 2 * b * from.row + part * step;
      const int64_t next = kParts == 1 ? offset + step : offset;
      const int counts[2] = {columns[part], columns[kParts == 1 ? 1 : part]};
      const int rows = clamp_windows(from.rows - 2 * b);
      const Vec value = load_windows(from.y + offset, from.y + next, from.row, rows, counts);
      const IVec where = bits(load_windows(from.index + offset, from.index + next, from.row, rows, counts));
      Vec taps[4];
      BYHAND_UNROLL
      for (int i = 0; i < 4; ++i)
        taps[i] = select(where == tap_positions(first[b][part], i, from), value, Vec::zero());
      x[part][4 * b] = low_of_fours(taps[0], taps[1]), x[part][4 * b + 1] = low_of_fours(taps[2], taps[3]);
      x[part][4 * b + 2] = high_of_fours(taps[0], taps[1]);
      x[part][4 * b + 3] = high_of_fours(taps[2], taps[3]);
    }
    transform<P>(x, c, channels, to, lanes);
  }
}

// Computes the adjoint and adds the values that lie inside the plane to `to`. Patches of inputs may begin
// outside the plane, because of the padding.
void adjoint_add(const WinogradPatches& from, int lanes, const WinogradImages& to) {
  using P = WinogradInput;
  adjoint<P>(from, lanes, to.count, [&](int64_t c, int, const Vec(&rows)[kSize][kParts]) {
    BYHAND_UNROLL
    for (int i = 0; i < kSize; ++i) {
      if (i < to.row_begin || i >= to.row_end) continue;
      BYHAND_UNROLL
      for (int part = 0; part < kParts; ++part) {
        float* const at = const_cast<float*>(to.values) + c * to.channel + i * to.row + part * kPartSize;
        const int begin = clamp_part(to.column_begin - part * kPartSize);
        const int end = clamp_part(to.column_end - part * kPartSize);
        if (begin > 0) {
          float value[kLanes];
          rows[i][part].store(value);
          for (int j = begin; j < end; ++j) at[j] += value[j];
        } else if (end == kLanes) {
          (Vec::load(at) + rows[i][part]).store(at);
        } else {
          (Vec::load(at, end) + rows[i][part]).store(at, end);
        }
      }
    }
  });
}

template <class P>
WinogradTransform forward_and_adjoint() {
  return {forward<P>, adjoint_store<P>};
}

// The size of the largest tile of products. Its accumulators, one vector for each row of `a` and one vector
// of `b` must fit into the registers.
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
  BYHAND_UNROLL_4
  for (int64_t p = t.depth; p > 0; --p, a += t.a_depth, b += t.b_depth) {
    BYHAND_KEEP(a);  // otherwise GCC keeps the addresses of four rounds, some of them on the stack
    BYHAND_KEEP(b);
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

void fill_conv2d_winograd_transforms(WinogradTransformKernels& k) {
  k.input = forward<WinogradInput>;
  k.input_adjoint_add = adjoint_add;
  k.weight[0] = forward_and_adjoint<WinogradWeight3>();
  k.weight[1] = forward_and_adjoint<WinogradWeight5>();
  k.output[0] = forward_and_adjoint<WinogradOutput3>();
  k.output[1] = forward_and_adjoint<WinogradOutput5>();
  k.pooling[0] = {maxima<WinogradOutput3>, from_maxima<WinogradOutput3>};
  k.pooling[1] = {maxima<WinogradOutput5>, from_maxima<WinogradOutput5>};
}

void fill_conv2d_winograd_products(WinogradProductKernels& k) {
  k.lanes = kLanes;
  k.rows = kRows;
  k.columns = kColumns;
  add_tiles<kRows, kColumns>(k);
}

}  // namespace byhand::cpu::BYHAND_ISA
