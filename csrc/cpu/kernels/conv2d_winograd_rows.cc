// Winograd's convolution along rows. Each lane works on an image, or on some rows of an image. Blocks of
// values are therefore transposed only when images are read and when results are written.
#include "cpu/kernels/conv2d_winograd_rows.h"

#include "cpu/kernels/conv2d_winograd_sums.h"
#include "cpu/kernels/window_maximum.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr int kLanes = Vec::kLanes;
static_assert(kLanes <= kMaxRowLanes);

void to_lanes(const float* const* x, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int n = count - i < kLanes ? static_cast<int>(count - i) : kLanes;
    Vec v[kLanes];
    BYHAND_UNROLL
    for (int j = 0; j < kLanes; ++j)
      v[j] = x[j] == nullptr ? Vec::zero() : n == kLanes ? Vec::load(x[j] + i) : Vec::load(x[j] + i, n);
    transpose(v);
    BYHAND_UNROLL
    for (int j = 0; j < kLanes; ++j)
      if (j < n) v[j].store(to + (i + j) * kLanes);
  }
}

void from_lanes(const float* from, int64_t count, float* const* x) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int n = count - i < kLanes ? static_cast<int>(count - i) : kLanes;
    Vec v[kLanes];
    BYHAND_UNROLL
    for (int j = 0; j < kLanes; ++j) v[j] = j < n ? Vec::load(from + (i + j) * kLanes) : Vec::zero();
    transpose(v);
    BYHAND_UNROLL
    for (int j = 0; j < kLanes; ++j) {
      if (x[j] == nullptr) continue;
      if (n == kLanes)
        v[j].store(x[j] + i);
      else
        v[j].store(x[j] + i, n);
    }
  }
}

template <class P>
void weights(const float* w, int64_t rows, float* u) {
  constexpr int kTaps = P::kColumns, kPart = kLanes < kSize ? kLanes : kSize;
  float column[kTaps][kSize];
  for (int j = 0; j < kTaps; ++j)
    for (int i = 0; i < kSize; ++i) column[j][i] = P::kValue[i][j];
  for (int64_t r = 0; r < rows; ++r)
    for (int part = 0; part < kSize; part += kPart) {
      Vec sum = Vec::zero();
      for (int j = 0; j < kTaps; ++j)
        sum = fma(Vec::load(column[j] + part, kPart), Vec::set(w[r * kTaps + j]), sum);
      sum.store(u + r * kSize + part, kPart);
    }
}

// kStep is the number of outputs per tile, which is also the distance of neighbouring tiles in x.
template <int kStep>
void inputs(const float* x, int64_t tiles, float* v) {
  for (int64_t t = 0; t < tiles; ++t, x += kStep * kLanes, v += kSize * kLanes) {
    Vec in[kSize], out[kSize];
    BYHAND_UNROLL
    for (int i = 0; i < kSize; ++i) in[i] = Vec::load(x + i * kLanes);
    expand<WinogradInput>(in, out);
    BYHAND_UNROLL
    for (int i = 0; i < kSize; ++i) out[i].store(v + i * kLanes);
  }
}

// Computes the outputs y[row][column] of tile number `tile` in both rows of the pair. Two neighbouring rows
// of outputs need nearly the same rows of inputs. Computing both rows together loads these inputs only once.
template <class P>
inline void outputs(const WinogradRowPair& w, int64_t tile, Vec (&y)[2][P::kColumns]) {
  constexpr int kTaps = kSize + 1 - P::kColumns;
  // In each of the two rows of outputs, a tile has 8 sums of products U * V. This constant is the number of
  // these sums that are computed at a time. It is chosen so that the accumulators of both rows fit into the
  // registers.
  constexpr int kPoints = kRegisters >= 32 ? kSize : kSize / 2;
  Vec product[2][kSize];
  BYHAND_UNROLL
  for (int first = 0; first < kSize; first += kPoints) {
    Vec sum[2][kPoints];
    BYHAND_UNROLL
    for (int i = 0; i < kPoints; ++i) sum[0][i] = sum[1][i] = Vec::zero();
    const float* u = w.u + first;
    int64_t at = (tile * kSize + first) * kLanes;
    for (int64_t c = 0; c < w.channels; ++c, u += kTaps * kSize, at += w.v_channel) {
      BYHAND_UNROLL
      for (int row = 0; row <= kTaps; ++row) {
        const float* const v = w.v[row] + at;
        BYHAND_UNROLL
        for (int i = 0; i < kPoints; ++i) {
          const Vec value = Vec::load(v + i * kLanes);
          if (row < kTaps) sum[0][i] = fma(value, Vec::set(u[row * kSize + i]), sum[0][i]);
          if (row > 0) sum[1][i] = fma(value, Vec::set(u[(row - 1) * kSize + i]), sum[1][i]);
        }
      }
    }
    BYHAND_UNROLL
    for (int r = 0; r < 2; ++r) BYHAND_UNROLL
    for (int i = 0; i < kPoints; ++i) product[r][first + i] = sum[r][i];
  }
  BYHAND_UNROLL
  for (int r = 0; r < 2; ++r) {
    contract<P>(product[r], y[r]);
    BYHAND_UNROLL
    for (int j = 0; j < P::kColumns; ++j) y[r][j] = y[r][j] + Vec::set(w.bias);
  }
}

template <class P>
void rows(const WinogradRowPair& w, float* to) {
  constexpr int kStep = P::kColumns;
  for (int64_t first = 0; first < w.columns; first += kStep) {
    Vec y[2][kStep];
    outputs<P>(w, first / kStep, y);
    BYHAND_UNROLL
    for (int r = 0; r < 2; ++r) BYHAND_UNROLL
    for (int j = 0; j < kStep; ++j)
      if (r < w.rows && first + j < w.columns) y[r][j].store(to + (r * w.columns + first + j) * kLanes);
  }
}

template <class P>
void maxima(const WinogradRowPair& w, const int32_t* place, int32_t offset, float* to, int32_t* index) {
  constexpr int kStep = P::kColumns;
  const auto columns = static_cast<int32_t>(w.columns);
  float lane[kLanes];
  __builtin_memcpy(lane, place, sizeof lane);
  const IVec places = bits(Vec::load(lane));
  for (int32_t first = 0; first + 1 < columns; first += kStep) {
    Vec y[2][kStep];
    outputs<P>(w, first / kStep, y);
    BYHAND_UNROLL
    for (int j = 0; j < kStep; j += 2) {
      if (first + j + 1 >= columns) break;
      // In lane n, the window's first output has the position place[n] + here in its plane.
      const int32_t here = offset + first + j;
      WindowMaximum best{y[0][j], IVec::set(here)};
      BYHAND_UNROLL
      for (int i = 1; i < 4; ++i) best.visit(y[i / 2][j + i % 2], IVec::set(here + i / 2 * columns + i % 2));
      const int64_t window = (first + j) / 2;
      best.value.store(to + window * kLanes);
      (places + best.place).store(index + window * kLanes);
    }
  }
}

template <class Weight, class Output>
WinogradRowKernels::Size size() {
  return {weights<Weight>, inputs<Output::kColumns>, rows<Output>, maxima<Output>};
}

}  // namespace

void fill_conv2d_winograd_rows(WinogradRowKernels& k) {
  k.lanes = kLanes;
  k.to_lanes = to_lanes;
  k.from_lanes = from_lanes;
  k.size[0] = size<WinogradWeight3, WinogradOutput3>();
  k.size[1] = size<WinogradWeight5, WinogradOutput5>();
}

}  // namespace byhand::cpu::BYHAND_ISA
