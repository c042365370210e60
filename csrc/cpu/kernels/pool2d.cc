// Pooling. The lanes of a vector are neighbouring windows. The taps of a window are visited row by row.
#include "cpu/kernels/pool2d.h"

#include "cpu/kernels/window_maximum.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

Vec load_strided(const float* p, int64_t stride, WholeVector) {
  return Vec::load_strided(p, stride, Vec::kLanes);
}
Vec load_strided(const float* p, int64_t stride, int n) { return Vec::load_strided(p, stride, n); }
int lanes(WholeVector) { return Vec::kLanes; }
int lanes(int n) { return n; }

// Calls body(stride). Strides of 1 and 2 are passed as constants, so that the compiler makes a version of the
// body for each of them.
template <class Body>
void with_stride(int64_t stride, Body body) {
  if (stride == 1)
    body(Constant<1>{});
  else if (stride == 2)
    body(Constant<2>{});
  else
    body(stride);
}

// Calls tap(offset) for each tap except the first, whose offset is 0.
template <class Tap>
inline void for_other_taps(const PoolWindows& w, Tap tap) {
  for (int64_t u = 0; u < w.tap_rows; ++u)
    for (int64_t v = u == 0 ? 1 : 0; v < w.tap_columns; ++v) tap(u * w.tap_row + v * w.tap_column);
}

void max_windows(const PoolWindows& w, const float* x, float* y, int32_t* index) {
  with_stride(w.x_column, [&](auto stride) {
    const IVec lane = IVec::iota(static_cast<int32_t>(stride)) + IVec::set(w.first);
    for (int64_t i = 0; i < w.rows; ++i)
      for_overlapping_vectors(w.columns, [&](int64_t j, auto n) {
        const int64_t at = i * w.x_row + j * stride;
        const IVec first = lane + IVec::set(static_cast<int32_t>(at));
        WindowMaximum best{load_strided(x + at, stride, n), first};
        for_other_taps(w, [&](int64_t offset) {
          best.visit(load_strided(x + at + offset, stride, n),
                     first + IVec::set(static_cast<int32_t>(offset)));
        });
        store(best.value, y + i * w.y_row + j, n);
        store(best.place, index + i * w.y_row + j, n);
      });
  });
}

// Windows with more taps than this are summed in double precision. In float32, one lane would add all taps of
// a window one after the other, and the mean of 224 x 224 equal values would have a relative error of up to
// 1e-3.
constexpr int64_t kMaxFloatTaps = 16;

void average_large_windows(const PoolWindows& w, const float* x, float* y) {
  for (int64_t i = 0; i < w.rows; ++i)
    for_overlapping_vectors(w.columns, [&](int64_t j, auto n) {
      const float* const from = x + i * w.x_row + j * w.x_column;
      DoubleSum total;
      total.add(load_strided(from, w.x_column, n));
      for_other_taps(w, [&](int64_t offset) { total.add(load_strided(from + offset, w.x_column, n)); });
      store(total.over(w.divisor), y + i * w.y_row + j, n);
    });
}

void average_windows(const PoolWindows& w, const float* x, float* y) {
  if (w.tap_rows * w.tap_columns > kMaxFloatTaps) return average_large_windows(w, x, y);
  with_stride(w.x_column, [&](auto stride) {
    for (int64_t i = 0; i < w.rows; ++i)
      for_overlapping_vectors(w.columns, [&](int64_t j, auto n) {
        const float* const from = x + i * w.x_row + j * stride;
        Vec total = load_strided(from, stride, n);
        for_other_taps(w, [&](int64_t offset) { total = total + load_strided(from + offset, stride, n); });
        store(total / Vec::set(w.divisor), y + i * w.y_row + j, n);
      });
  });
}

// Windows may overlap in dx, so each addition must see the previous additions. The taps are therefore visited
// one after the other. If the stride is 1, the values of one tap in neighbouring windows are adjacent in dx
// and are added as a vector. For other strides, they are added one after the other.
void average_backward(const PoolWindows& w, const float* dy, float* dx) {
  with_stride(w.x_column, [&](auto stride) {
    for (int64_t i = 0; i < w.rows; ++i)
      for_vectors(w.columns, [&](int64_t j, auto n) {
        const Vec share = load(dy + i * w.y_row + j, n) / Vec::set(w.divisor);
        float lane[Vec::kLanes];
        share.store(lane);
        const auto add = [&](int64_t offset) {
          float* const to = dx + i * w.x_row + j * stride + offset;
          if (stride == 1)
            store(load(to, n) + share, to, n);
          else
            for (int k = 0; k < lanes(n); ++k) to[k * stride] += lane[k];
        };
        add(0);
        for_other_taps(w, add);
      });
  });
}

// Returns true if any bit of any lane is set.
bool any_bit(IVec v) {
  int32_t lane[Vec::kLanes], some = 0;
  v.store(lane);
  for (int32_t bits : lane) some |= bits;
  return some != 0;
}

// For a position p, the sign bit of p | (last - (p & INT32_MAX)) is set if, and only if, p is negative or
// larger than `last`. If p is negative, its own sign bit is set. Otherwise p & INT32_MAX is p itself, and
// last - p is negative if p is larger than `last`. The subtraction cannot overflow, because neither of its
// operands is negative.
bool inside(const int32_t* place, int64_t count, int32_t last) {
  IVec signs = IVec::set(0);
  for_vectors(count, [=, &signs](int64_t i, auto n) {
    const IVec p = load(place + i, n);
    signs = signs | p | (IVec::set(last) - (p & IVec::set(INT32_MAX)));
  });
  return !any_bit(signs & IVec::set(INT32_MIN));
}

// A position lies in its 2 x 2 window if its offset from the window's corner is 0, 1, row or row + 1, where
// `row` is the width of the plane. To test this, clear the lowest bit of the offset and of the offset minus
// `row`. One of the two results must be 0.
bool in_windows(const int32_t* place, int64_t planes, const int32_t* corner, int64_t windows, int32_t row) {
  const IVec zero = IVec::set(0), even = IVec::set(~1);
  IVec outside = zero;
  for (int64_t p = 0; p < planes; ++p, place += windows)
    for_vectors(windows, [=, &outside](int64_t i, auto n) {
      const IVec away = load(place + i, n) - load(corner + i, n);
      outside = outside | select((away & even) == zero, zero, (away - IVec::set(row)) & even);
    });
  return !any_bit(outside);
}

}  // namespace

void fill_pool2d(Pool2dKernels& k) {
  k.inside = inside;
  k.in_windows = in_windows;
  k.max = max_windows;
  k.average = average_windows;
  k.average_backward = average_backward;
}

}  // namespace byhand::cpu::BYHAND_ISA
