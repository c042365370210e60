// Pooling, in two passes over each row of windows. In the first pass, the lanes of a vector are neighbouring
// columns of the input, and each lane takes the taps of its column together. In the second pass, the lanes
// are neighbouring windows, and each lane takes the columns of its window together. A window of k x k taps
// then needs k strided loads instead of k * k.
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
template <class Lanes>
IVec load_strided(const int32_t* p, int64_t stride, Lanes n) {
  return bits(load_strided(reinterpret_cast<const float*>(p), stride, n));
}
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

// Rows of windows that are computed together: `count` rows, which begin with a row of a plane.
struct Group {
  const PoolWindows& w;
  int64_t plane, row, count;

  // Calls body(x offset, x offset in the plane, room offset) for each row of windows: the offset of its first
  // input, and the offset of its columns in the room.
  template <class Body>
  void rows(Body body) const {
    int64_t p = plane, i = row;
    for (int64_t r = 0; r < count; ++r) {
      body(p * w.x_plane + i * w.x_row, i * w.x_row, r * w.width);
      if (++i == w.rows) i = 0, ++p;
    }
  }

  // Calls body(windows, room offset, y offset) for each row of windows. Joined rows are one row.
  template <class Body>
  void windows(Body body) const {
    const int64_t y = plane * w.y_plane + row * w.y_row;
    if (w.joined) return body(count * w.columns, 0, y);
    for (int64_t r = 0; r < count; ++r) body(w.columns, r * w.width, y + r * w.y_row);
  }
};

// Calls body(group) for all groups of rows. Only a group of joined rows contains rows of several planes.
template <class Body>
inline void for_groups(const PoolWindows& w, Body body) {
  const int64_t planes = w.joined ? 1 : w.planes, rows = w.planes * w.rows / planes;
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t i = 0; i < rows; i += w.together)
      body(Group{w, p + i / w.rows, i % w.rows, rows - i < w.together ? rows - i : w.together});
}

// Writes the maximum of the taps of each column, and its position, to `values` and `places`. Equal values and
// NaNs of different columns are then compared by their positions.
void max_of_columns(const PoolWindows& w, const float* x, int32_t first, float* values, int32_t* places) {
  for_overlapping_vectors(w.width, [=, &w](int64_t j, auto n) {
    IVec place = IVec::iota(1) + IVec::set(first + static_cast<int32_t>(j));
    WindowMaximum best{load(x + j, n), place};
    for (int64_t u = 1; u < w.tap_rows; ++u) {
      place = place + IVec::set(static_cast<int32_t>(w.tap_row));
      best.visit(load(x + u * w.tap_row + j, n), place);
    }
    store(best.value, values + j, n);
    store(best.place, places + j, n);
  });
}

void max_windows(const PoolWindows& w, const float* x, float* y, int32_t* index, float* values,
                 int32_t* places) {
  with_stride(w.x_column, [&](auto stride) {
    for_groups(w, [&](const Group& group) {
      group.rows([&](int64_t input, int64_t place, int64_t to) {
        max_of_columns(w, x + input, w.first + static_cast<int32_t>(place), values + to, places + to);
      });
      group.windows([&](int64_t windows, int64_t from, int64_t output) {
        for_overlapping_vectors(windows, [&](int64_t j, auto n) {
          const auto tap = [&](int64_t v) {
            const int64_t at = from + j * stride + v * w.tap_column;
            return WindowMaximum{load_strided(values + at, stride, n), load_strided(places + at, stride, n)};
          };
          WindowMaximum best = tap(0);
          for (int64_t v = 1; v < w.tap_columns; ++v) best.merge(tap(v));
          store(best.value, y + output + j, n);
          store(best.place, index + output + j, n);
        });
      });
    });
  });
}

// Windows with more taps than this are summed in double precision. In float32, the mean of 224 x 224 equal
// values would have a relative error of up to 3e-5, and the sum of large values would overflow.
constexpr int64_t kMaxFloatTaps = 16;

void average_large_windows(const PoolWindows& w, const float* x, float* y, double* sums) {
  for_groups(w, [&](const Group& group) {
    group.rows([&](int64_t input, int64_t, int64_t to) {
      for_overlapping_vectors(w.width, [&](int64_t j, auto n) {
        DoubleSum total;
        for (int64_t u = 0; u < w.tap_rows; ++u) total.add(load(x + input + u * w.tap_row + j, n));
        store(total, sums + to + j, n);
      });
    });
    group.windows([&](int64_t windows, int64_t from, int64_t output) {
      for (int64_t j = 0; j < windows; ++j) {
        double total = 0;
        for (int64_t v = 0; v < w.tap_columns; ++v) total += sums[from + j * w.x_column + v * w.tap_column];
        y[output + j] = static_cast<float>(total / static_cast<double>(w.divisor));
      }
    });
  });
}

void average_windows(const PoolWindows& w, const float* x, float* y, double* room) {
  if (w.tap_rows * w.tap_columns > kMaxFloatTaps) return average_large_windows(w, x, y, room);
  float* const sums = reinterpret_cast<float*>(room);
  with_stride(w.x_column, [&](auto stride) {
    for_groups(w, [&](const Group& group) {
      group.rows([&](int64_t input, int64_t, int64_t to) {
        for_overlapping_vectors(w.width, [&](int64_t j, auto n) {
          Vec total = load(x + input + j, n);
          for (int64_t u = 1; u < w.tap_rows; ++u) total = total + load(x + input + u * w.tap_row + j, n);
          store(total, sums + to + j, n);
        });
      });
      group.windows([&](int64_t windows, int64_t from, int64_t output) {
        for_overlapping_vectors(windows, [&](int64_t j, auto n) {
          const float* const first = sums + from + j * stride;
          Vec total = load_strided(first, stride, n);
          for (int64_t v = 1; v < w.tap_columns; ++v)
            total = total + load_strided(first + v * w.tap_column, stride, n);
          store(total / Vec::set(w.divisor), y + output + j, n);
        });
      });
    });
  });
}

// Adds the gradient of each window to the columns of the window, in `sums`. Windows may overlap, so each
// addition must see the previous additions. The taps are therefore visited one after the other. If the stride
// is 1, the values of one tap in neighbouring windows are adjacent and are added as a vector. For other
// strides, they are added one after the other.
template <class Stride>
void spread_over_columns(const PoolWindows& w, const float* dy, int64_t windows, Stride stride, float* sums) {
  for_vectors(windows, [=, &w](int64_t j, auto n) {
    const Vec share = load(dy + j, n) / Vec::set(w.divisor);
    float lane[Vec::kLanes];
    share.store(lane);
    for (int64_t v = 0; v < w.tap_columns; ++v) {
      float* const to = sums + j * stride + v * w.tap_column;
      if (stride == 1)
        store(load(to, n) + share, to, n);
      else
        for (int k = 0; k < lanes(n); ++k) to[k * stride] += lane[k];
    }
  });
}

// to[j] += row[j] for j < count, or to[j] = row[j]. The latter needs no masks. With AVX-512, a load that
// follows a masked store to neighbouring values waits for it.
void add_row(const float* row, int64_t count, bool overwrite, float* to) {
  if (overwrite)
    return for_overlapping_vectors(count, [=](int64_t j, auto n) { store(load(row + j, n), to + j, n); });
  for_vectors(count, [=](int64_t j, auto n) { store(load(to + j, n) + load(row + j, n), to + j, n); });
}

void average_backward(const PoolWindows& w, const float* dy, float* dx, float* sums) {
  const bool pairs = w.joined && w.x_column == 2 && w.tap_columns == 2;  // a window is a pair of columns
  with_stride(w.x_column, [&](auto stride) {
    for_groups(w, [&](const Group& group) {
      if (!pairs)
        for_vectors(group.count * w.width, [&](int64_t j, auto n) { store(Vec::zero(), sums + j, n); });
      group.windows([&](int64_t windows, int64_t to, int64_t output) {
        if (!pairs) return spread_over_columns(w, dy + output, windows, stride, sums + to);
        for (int64_t j = 0; j < windows; ++j) sums[2 * j] = sums[2 * j + 1] = dy[output + j] / w.divisor;
      });
      group.rows([&](int64_t input, int64_t, int64_t from) {
        for (int64_t u = 0; u < w.tap_rows; ++u)
          add_row(sums + from, w.width, w.disjoint, dx + input + u * w.tap_row);
      });
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
