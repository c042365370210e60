// Pooling, in two passes over each row of windows. In the first pass, the lanes of a vector are neighbouring
// columns of the input, and each lane takes the taps of its column together. In the second pass, the lanes
// are neighbouring windows, and each lane takes the columns of its window together. A window of k x k taps
// then needs k strided loads of values instead of k * k, and a maximum also k of positions. If strided
// loads are slow, the second pass computes the windows of all columns, also those between two windows, and
// then copies the wanted ones.
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

// Returns whether strided loads are faster than computing the windows of all columns. For strides of 1 and 2,
// whole vectors are loaded and shuffled. For other strides, a whole vector is loaded lane by lane, which is
// faster than instructions that gather values.
bool has_fast_loads(int64_t stride, int64_t windows) {
  return stride <= 2 || (windows >= Vec::kLanes && Vec::kLanes <= 3 * stride);
}

// The least number of inputs between two rows of windows for which prefetching pays, if windows are not high.
constexpr int64_t kLongRow = 256;
// Windows with at least this many rows are high: max_of_high_columns pays.
constexpr int64_t kHighWindow = 16;

// Rows of windows that are computed together: `count` rows, which begin with a row of a plane.
struct Group {
  const PoolWindows& w;
  int64_t plane, row, count;

  // Calls body(x offset, x offset in the plane, room offset) for each row of windows: the offset of its first
  // input, and the offset of its columns in the room. A vector goes down a window before the next one begins.
  // Hardware prefetchers do not follow that if rows are long, so the inputs that the next row of windows adds
  // are fetched here.
  template <class Body>
  void rows(const float* x, Body body) const {
    const bool prefetches = w.x_row >= kLongRow && w.tap_rows < kHighWindow && w.columns > 1;
    const int64_t span =
        w.tap_rows * w.tap_row;  // the inputs of the rows of taps, and of the gaps between them
    const int64_t next = w.x_row > span ? w.x_row : span, added = w.x_row > span ? span : w.x_row;
    int64_t p = plane, i = row;
    for (int64_t r = 0; r < count; ++r) {
      const int64_t first = p * w.x_plane + i * w.x_row;
      if (prefetches)
        for (int64_t at = 0; at < added; at += 16) __builtin_prefetch(x + first + next + at, 0, 2);
      body(first, i * w.x_row, r * w.width);
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

// The least numbers of columns of a window for which max_of_neighbours pays, with several windows per row and
// with a single one.
constexpr int64_t kWideWindow = 6, kWideSingleWindow = 16;

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

// Does the same for high windows. A visit waits for the one before it, so the rows of the upper half and
// those of the lower half take turns. If the number of rows is odd, the middle row belongs to both.
void max_of_high_columns(const PoolWindows& w, const float* x, int32_t first, float* values,
                         int32_t* places) {
  const int64_t half = (w.tap_rows + 1) / 2, apart = (w.tap_rows - half) * w.tap_row;
  for_overlapping_vectors(w.width, [=, &w](int64_t j, auto n) {
    const IVec lower = IVec::set(static_cast<int32_t>(apart));
    IVec place = IVec::iota(1) + IVec::set(first + static_cast<int32_t>(j));
    WindowMaximum best{load(x + j, n), place}, other{load(x + apart + j, n), place + lower};
    for (int64_t u = 1; u < half; ++u) {
      place = place + IVec::set(static_cast<int32_t>(w.tap_row));
      best.visit(load(x + u * w.tap_row + j, n), place);
      other.visit(load(x + apart + u * w.tap_row + j, n), place + lower);
    }
    best.merge(other);
    store(best.value, values + j, n);
    store(best.place, places + j, n);
  });
}

// Takes neighbours of `count` columns together, until each column stands for more than half of the columns of
// a window. Each round doubles this number of columns. Returns it, or 1 if windows are so narrow that this
// does not pay.
int64_t max_of_neighbours(const PoolWindows& w, int64_t windows, int64_t count, float* values,
                          int32_t* places) {
  int64_t span = 1;
  if (w.tap_columns < (windows > 1 ? kWideWindow : kWideSingleWindow)) return span;
  for (; 2 * span <= w.tap_columns; span *= 2) {
    const int64_t away = span * w.tap_column;
    for_vectors(count - away, [=](int64_t j, auto n) {
      WindowMaximum best{load(values + j, n), load(places + j, n)};
      best.merge({load(values + j + away, n), load(places + j + away, n)});
      store(best.value, values + j, n);
      store(best.place, places + j, n);
    });
  }
  return span;
}

void max_windows(const PoolWindows& w, const float* x, float* y, int32_t* index, float* values,
                 int32_t* places) {
  with_stride(w.x_column, [&](auto stride) {
    for_groups(w, [&](const Group& group) {
      group.rows(x, [&](int64_t input, int64_t place, int64_t to) {
        const auto columns = w.tap_rows >= kHighWindow ? max_of_high_columns : max_of_columns;
        columns(w, x + input, w.first + static_cast<int32_t>(place), values + to, places + to);
      });
      group.windows([&](int64_t windows, int64_t from, int64_t output) {
        const int64_t count = w.joined ? windows * stride : w.width;
        const int64_t span = max_of_neighbours(w, windows, count, values + from, places + from);
        const auto compare = [&](auto step, int64_t j, auto n, float* value, int32_t* place) {
          const auto tap = [&](int64_t v) {
            const int64_t at = from + j * step + v * w.tap_column;
            return WindowMaximum{load_strided(values + at, step, n), load_strided(places + at, step, n)};
          };
          WindowMaximum best = tap(0);
          for (int64_t v = span; v < w.tap_columns; v += span)
            best.merge(tap(v + span <= w.tap_columns ? v : w.tap_columns - span));
          store(best.value, value + j, n);
          store(best.place, place + j, n);
        };
        if (has_fast_loads(stride, windows))
          return for_overlapping_vectors(
              windows, [&](int64_t j, auto n) { compare(stride, j, n, y + output, index + output); });
        for_vectors((windows - 1) * stride + 1,
                    [&](int64_t j, auto n) { compare(Constant<1>{}, j, n, values + from, places + from); });
        for (int64_t j = 0; j < windows; ++j) {
          y[output + j] = values[from + j * stride];
          index[output + j] = places[from + j * stride];
        }
      });
    });
  });
}

// At most this number of taps are added in float32: those of a window or, if it has more, those of a column.
// If all taps were added in float32, the mean of 224 x 224 equal values would have a relative error of up to
// 3e-5.
constexpr int64_t kMaxFloatTaps = 16;

// Adds the taps of each column, times `scale`, a power of two.
void sum_columns(const PoolWindows& w, const float* x, float scale, float* sums) {
  for_overlapping_vectors(w.width, [&](int64_t j, auto n) {
    const Vec s = Vec::set(scale);
    Vec total = s * load(x + j, n);
    for (int64_t u = 1; u < w.tap_rows; ++u) total = fma(s, load(x + u * w.tap_row + j, n), total);
    store(total, sums + j, n);
  });
}

// Adds the sums of the columns of each window in double precision. Multiplies the results by `share`.
template <class Sum>
void average_of_columns(const PoolWindows& w, const Sum* sums, double share, int64_t windows, float* y) {
  for (int64_t j = 0; j < windows; ++j) {
    double total = 0;
    for (int64_t v = 0; v < w.tap_columns; ++v)
      total += static_cast<double>(sums[j * w.x_column + v * w.tap_column]);
    y[j] = static_cast<float>(total * share);
  }
}

void average_large_windows(const PoolWindows& w, const float* x, float* y, double* sums) {
  const bool high = w.tap_rows > kMaxFloatTaps;
  // Sums of scaled taps do not overflow. Taps below 2^-122 lose digits.
  constexpr double kScale = 1.0 / kMaxFloatTaps;
  const double share = 1 / static_cast<double>(w.divisor);
  float* const short_sums = reinterpret_cast<float*>(sums);
  for_groups(w, [&](const Group& group) {
    group.rows(x, [&](int64_t input, int64_t, int64_t to) {
      if (!high) return sum_columns(w, x + input, static_cast<float>(kScale), short_sums + to);
      for_overlapping_vectors(w.width, [&](int64_t j, auto n) {
        DoubleSum total;
        for (int64_t u = 0; u < w.tap_rows; ++u) total.add(load(x + input + u * w.tap_row + j, n));
        total.store(sums + to + j);  // all lanes; the next row overwrites those behind this row
      });
    });
    group.windows([&](int64_t windows, int64_t from, int64_t output) {
      if (high)
        average_of_columns(w, sums + from, share, windows, y + output);
      else
        average_of_columns(w, short_sums + from, share / kScale, windows, y + output);
    });
  });
}

void average_windows(const PoolWindows& w, const float* x, float* y, double* room) {
  if (w.tap_rows * w.tap_columns > kMaxFloatTaps) return average_large_windows(w, x, y, room);
  float* const sums = reinterpret_cast<float*>(room);
  with_stride(w.x_column, [&](auto stride) {
    for_groups(w, [&](const Group& group) {
      group.rows(x, [&](int64_t input, int64_t, int64_t to) { sum_columns(w, x + input, 1, sums + to); });
      group.windows([&](int64_t windows, int64_t from, int64_t output) {
        const auto average = [&](auto step, int64_t j, auto n, float* to) {
          const float* const first = sums + from + j * step;
          Vec total = load_strided(first, step, n);
          for (int64_t v = 1; v < w.tap_columns; ++v)
            total = total + load_strided(first + v * w.tap_column, step, n);
          store(total / Vec::set(w.divisor), to + j, n);
        };
        if (has_fast_loads(stride, windows))
          return for_overlapping_vectors(windows,
                                         [&](int64_t j, auto n) { average(stride, j, n, y + output); });
        for_vectors((windows - 1) * stride + 1,
                    [&](int64_t j, auto n) { average(Constant<1>{}, j, n, sums + from); });
        for (int64_t j = 0; j < windows; ++j) y[output + j] = sums[from + j * stride];
      });
    });
  });
}

void clear(float* to, int64_t count) {
  for_vectors(count, [=](int64_t j, auto n) { store(Vec::zero(), to + j, n); });
}

// Writes the share of each window, dy / divisor, to `shares`.
void divide(const PoolWindows& w, const float* dy, int64_t windows, float* shares) {
  for_vectors(windows,
              [=, &w](int64_t j, auto n) { store(load(dy + j, n) / Vec::set(w.divisor), shares + j, n); });
}

// Writes the gradient of each column to `sums`, if no column belongs to two windows of the row. It is
// dy / divisor in the columns of a window, and 0 between two windows.
template <class Stride>
void fill_columns(const PoolWindows& w, const float* dy, int64_t windows, Stride stride, float* sums,
                  float* shares) {
  // If a window is a pair of columns, the compiler interleaves vectors: 149 instead of 270 us for the first
  // pooling of LeNet-5 with 128 images, on Zen 5.
  if (stride == 2 && w.tap_columns == 2) {
    for (int64_t j = 0; j < windows; ++j) sums[2 * j] = sums[2 * j + 1] = dy[j] / w.divisor;
    return;
  }
  divide(w, dy, windows, shares);
  if (w.tap_columns < stride) clear(sums, w.joined ? windows * stride : w.width);
  for (int64_t v = 0; v < w.tap_columns; ++v)
    for (int64_t j = 0; j < windows; ++j) sums[j * stride + v] = shares[j];
}

// Writes dy / divisor of each window at its first column to `shares`, after tap_columns - 1 zeros. All other
// columns are 0.
template <class Stride>
void place_shares(const PoolWindows& w, const float* dy, Stride stride, float* shares) {
  const int64_t before = w.tap_columns - 1;
  if (stride == 1) {
    clear(shares, before);
    divide(w, dy, w.columns, shares + before);
    clear(shares + before + w.columns, before);
    return;
  }
  clear(shares, before + w.width);
  for (int64_t j = 0; j < w.columns; ++j) shares[before + j * stride] = dy[j] / w.divisor;
}

// Writes the gradient of each column to `sums`. It is the sum of the shares of all windows that contain the
// column. These begin at the column or at one of the tap_columns - 1 columns before it.
void add_shares(const PoolWindows& w, const float* shares, float* sums) {
  const float* const last = shares + w.tap_columns - 1;
  for_vectors(w.width, [=, &w](int64_t j, auto n) {
    Vec total = load(last + j, n);
    for (int64_t v = 1; v < w.tap_columns; ++v) total = total + load(last + j - v, n);
    store(total, sums + j, n);
  });
}

// to[j] += row[j] for j < count, or to[j] = row[j]. There are no masks if a row fills a vector: with AVX-512,
// a load that follows a masked store to the same or neighbouring values waits for it.
void add_row(const float* row, int64_t count, bool overwrite, float* to) {
  constexpr int kLanes = Vec::kLanes;
  const auto add = [=](int64_t j, auto n) { return load(to + j, n) + load(row + j, n); };
  if (overwrite)
    return for_overlapping_vectors(count, [=](int64_t j, auto n) { store(load(row + j, n), to + j, n); });
  if (count < kLanes) return store(add(0, static_cast<int>(count)), to, static_cast<int>(count));
  const Vec last = add(count - kLanes, WholeVector{});  // before the loop changes some of its values
  for (int64_t j = 0; j + kLanes <= count; j += kLanes) add(j, WholeVector{}).store(to + j);
  last.store(to + count - kLanes);
}

void average_backward(const PoolWindows& w, const float* dy, float* dx, float* sums) {
  float* const shares = sums + w.together * w.width;
  const int64_t share_count = w.tap_columns - 1 + w.width;
  with_stride(w.x_column, [&](auto stride) {
    for_groups(w, [&](const Group& group) {
      if (w.tap_columns <= stride) {
        group.windows([&](int64_t windows, int64_t to, int64_t output) {
          fill_columns(w, dy + output, windows, stride, sums + to, shares);
        });
      } else {  // two loops, because a vector load waits if its values were stored one by one just before
        group.windows([&](int64_t, int64_t to, int64_t output) {
          place_shares(w, dy + output, stride, shares + to / w.width * share_count);
        });
        for (int64_t r = 0; r < group.count; ++r) add_shares(w, shares + r * share_count, sums + r * w.width);
      }
      group.rows(dx, [&](int64_t input, int64_t, int64_t from) {
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
