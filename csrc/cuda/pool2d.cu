// Pooling of ops/pool2d.h. One thread, or one warp in a fixed order, computes each value of a result. So the
// bits of the result are the same in every run.
//
//   max_pool2d, avg_pool2d    a small window per thread, a large window per warp
//   avg_pool2d_backward       an input per thread, which adds up the windows that contain it
//   max_pool2d_backward       1024 inputs of a plane per warp, which searches all outputs of the plane
#include <algorithm>

#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// ------------------------------------------------------------------------------------------------------------
// Windows

// The positions of a window along one axis that lie in the input: `count` positions from `first` on.
template <class Number>
struct Taps {
  Number first, count;
};

// The windows along one axis. Window i has the positions i * stride - before + u * dilation for u < kernel.
template <class Number>
struct Axis {
  Number in, out, kernel, stride, dilation, before, after;

  // The number of steps of `dilation` that lead over a distance.
  __device__ Number steps(Number distance) const {
    return dilation == 1 ? distance : (distance + dilation - 1) / dilation;
  }

  __device__ Taps<Number> taps(Number i) const {
    const Number start = i * stride - before;
    const Number begin = start < 0 ? steps(-start) : 0;
    const Number end = start < in ? min(kernel, steps(in - start)) : 0;
    return {start + begin * dilation, end > begin ? end - begin : 0};
  }

  // The number of cells of window i inside the input, or inside the input and its padding. The dilation is 1.
  __device__ Number cells(Number i, bool count_include_pad) const {
    const Number start = i * stride - before;
    return count_include_pad ? min(start + kernel, in + after) - start : taps(i).count;
  }

  // The last window that begins at or before input `at`.
  __device__ Number last_window(Number at) const { return min(out - 1, (at + before) / stride); }

  // Returns whether window i, which begins at or before input `at`, reaches it. The dilation is 1.
  __device__ bool reaches(Number i, Number at) const { return i * stride - before + kernel > at; }
};

// Numbers of positions are of the type Number: int32_t if that is large enough, because a division of 64-bit
// numbers takes several times as long.
template <class Number>
struct Windows {
  Axis<Number> rows, columns;

  explicit Windows(const Pool2dShape& s)
      : rows(axis(s.in_h, s.out_h, s.kernel.h, s.stride.h, s.dilation.h, s.padding.top, s.padding.bottom)),
        columns(
            axis(s.in_w, s.out_w, s.kernel.w, s.stride.w, s.dilation.w, s.padding.left, s.padding.right)) {}

 private:
  template <class... Numbers>
  static Axis<Number> axis(Numbers... numbers) {
    return {static_cast<Number>(numbers)...};
  }
};

int64_t input_count(const Pool2dShape& s) { return s.planes() * s.in_h * s.in_w; }
int64_t output_count(const Pool2dShape& s) { return s.planes() * s.out_h * s.out_w; }
// The number of positions of a window.
int64_t area(const Pool2dShape& s) { return s.kernel.h * s.kernel.w; }

// Calls launch(windows) with the smaller type of numbers that suits the shape.
template <class Launch>
void with_windows(const Pool2dShape& s, const Launch& launch) {
  // A position plus the extent of a window is then below 2^31.
  constexpr int64_t kMost = int64_t{1} << 29;
  const bool is_small = std::max({input_count(s), output_count(s), s.in_h + s.padding.top + s.padding.bottom,
                                  s.in_w + s.padding.left + s.padding.right, s.stride.h, s.stride.w,
                                  s.dilation.h, s.dilation.w}) < kMost;
  if (is_small)
    launch(Windows<int32_t>(s));
  else
    launch(Windows<int64_t>(s));
}

// Windows with more positions than this are shared by the lanes of a warp. A thread alone would read them too
// slowly, and a plane that has one large window has few threads.
constexpr int64_t kThreadTaps = 64;

// Calls visit(position) for positions in the plane of a window, in ascending order. If kLanes threads share
// the window, each of them visits every kLanes-th position.
template <int kLanes, class Number, class Visit>
__device__ void for_taps(const Windows<Number>& w, const Taps<Number>& rows, const Taps<Number>& columns,
                         const Visit& visit) {
  const Number corner = rows.first * w.columns.in + columns.first;
  const Number row = w.rows.dilation * w.columns.in, column = w.columns.dilation;
  if constexpr (kLanes == 1) {
    for (Number u = 0; u < rows.count; ++u)
      for (Number v = 0; v < columns.count; ++v) visit(corner + u * row + v * column);
  } else if (columns.count > 0) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const Number down = kLanes / columns.count, across = kLanes % columns.count;
    Number u = lane / columns.count, v = lane % columns.count;
    while (u < rows.count) {
      visit(corner + u * row + v * column);
      u += down, v += across;
      if (v >= columns.count) v -= columns.count, ++u;
    }
  }
}

// Calls body(i, plane, row, column) for each window i of all planes, by kLanes threads each. Its place among
// the windows of its plane is (row, column). Neighbouring groups of threads have neighbouring windows.
template <int kLanes, class Number, class Body>
__device__ void for_windows(const Windows<Number>& w, int64_t count, const Body& body) {
  constexpr int kGroups = kThreads / kLanes;
  const int64_t first = int64_t{blockIdx.x} * kGroups + static_cast<int>(threadIdx.x) / kLanes;
  for (int64_t i = first; i < count; i += int64_t{gridDim.x} * kGroups) {
    const auto number = static_cast<Number>(i);
    const Number line = number / w.columns.out, plane = line / w.rows.out;
    body(i, plane, line - plane * w.rows.out, number - line * w.columns.out);
  }
}

// ------------------------------------------------------------------------------------------------------------
// The maximum of each window

struct Maximum {
  float value;
  int32_t place;  // -1 if there is no value

  // Takes a value that comes behind all values so far.
  __device__ void visit(float v, int64_t at) {
    if (place < 0 || v > value || isnan(v)) value = v, place = static_cast<int32_t>(at);
  }
};

// Returns whether `a` wins over `b`: a NaN over a number, the last of two NaN, the larger of two numbers, and
// the first of two equal numbers.
__device__ bool wins(const Maximum& a, const Maximum& b) {
  if (a.place < 0 || b.place < 0) return b.place < 0;
  if (isnan(a.value) || isnan(b.value)) return isnan(a.value) && (!isnan(b.value) || a.place > b.place);
  return a.value > b.value || (a.value == b.value && a.place < b.place);
}

template <int kLanes, class Number>
__global__ void __launch_bounds__(kThreads)
    max_kernel(Windows<Number> w, int64_t count, const float* x, float* y, int32_t* index) {
  for_windows<kLanes>(w, count, [&](int64_t i, Number plane, Number row, Number column) {
    const Taps<Number> rows = w.rows.taps(row), columns = w.columns.taps(column);
    const float* const from = x + plane * w.rows.in * w.columns.in;
    Maximum best{-INFINITY, -1};
    for_taps<kLanes>(w, rows, columns, [&](Number at) { best.visit(from[at], at); });
    for (int offset = kLanes / 2; offset > 0; offset /= 2) {
      const Maximum other{__shfl_xor_sync(kAllLanes, best.value, offset),
                          __shfl_xor_sync(kAllLanes, best.place, offset)};
      if (wins(other, best)) best = other;
    }
    if (threadIdx.x % kLanes == 0) y[i] = best.value, index[i] = best.place;
  });
}

// ------------------------------------------------------------------------------------------------------------
// The mean of each window

// Windows with more positions than this are summed in double precision. In float32, the mean of 224 x 224
// equal values has a relative error of up to 1e-3.
constexpr int64_t kFloatTaps = 16;

template <int kLanes, class Sum, class Number>
__global__ void __launch_bounds__(kThreads)
    average_kernel(Windows<Number> w, int64_t count, bool count_include_pad, const float* x, float* y) {
  for_windows<kLanes>(w, count, [&](int64_t i, Number plane, Number row, Number column) {
    const Taps<Number> rows = w.rows.taps(row), columns = w.columns.taps(column);
    const float* const from = x + plane * w.rows.in * w.columns.in;
    Sum sum = 0;
    for_taps<kLanes>(w, rows, columns, [&](Number at) { sum += from[at]; });
    for (int offset = kLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
    if (threadIdx.x % kLanes != 0) return;
    const int64_t cells =
        int64_t{w.rows.cells(row, count_include_pad)} * w.columns.cells(column, count_include_pad);
    const bool blind = rows.count == 0 || columns.count == 0;  // no input lies in the window
    y[i] = blind ? 0.0f : static_cast<float>(sum / static_cast<Sum>(cells));
  });
}

template <class Number>
__global__ void __launch_bounds__(kThreads)
    average_backward_kernel(Windows<Number> w, int64_t count, bool count_include_pad, const float* dy,
                            float* dx) {
  const int64_t first = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (int64_t i = first; i < count; i += int64_t{gridDim.x} * kThreads) {
    const auto number = static_cast<Number>(i);
    const Number line = number / w.columns.in, plane = line / w.rows.in;
    const Number row = line - plane * w.rows.in, column = number - line * w.columns.in;
    const Number last = w.columns.last_window(column);
    float sum = 0.0f;
    for (Number r = w.rows.last_window(row); r >= 0 && w.rows.reaches(r, row); --r) {
      const float* const from = dy + (plane * w.rows.out + r) * w.columns.out;
      const Number cells = w.rows.cells(r, count_include_pad);
      for (Number c = last; c >= 0 && w.columns.reaches(c, column); --c)
        sum += from[c] / static_cast<float>(int64_t{cells} * w.columns.cells(c, count_include_pad));
    }
    dx[i] = sum;
  }
}

// ------------------------------------------------------------------------------------------------------------
// The gradient of the maximum
//
// A gradient may go to any position of the plane, and several gradients to the same one. If every output had
// a thread, which adds its gradient to dx, the order of the additions would be random. If every input had a
// thread, it would have to read all indices. This kernel is between the two: a warp has 1024 inputs, a tile
// of the plane.
//
//   index of a plane   | 128 outputs | 128 outputs | ...       Each warp of the plane reads all of it.
//                                |
//                      which indices are in my tile?           Usually none: on to the next 128.
//                                |
//   tile (shared)      | | |+| | | |+| | ...                   Adds 32 gradients at a time, in order.
//                                |
//   dx of a plane      | tile 0 | tile 1 | tile 2 | ...        Is written once.
//
// The plane of 112 x 112 inputs of a large network has 13 tiles. Its 56 x 56 indices are then read 13 times,
// but from memory only once, because the 8 warps of a block have neighbouring tiles and find the indices in
// the L1 cache. The sum of each input begins with 0 and takes the gradients in the order of the outputs.

constexpr int kTile = 1024;
constexpr int kLoads = 4;  // the number of indices that a lane reads at a time

// Adds the values of the lanes with `hit` to tile[at]. Lanes with the same `at` take turns, in the order of
// their numbers. Usually every lane has its turn in the first round.
__device__ void add_in_order(float* tile, bool hit, int at, float value) {
  const unsigned lower_lanes = (1u << threadIdx.x % kWarp) - 1;
  const int turn = __popc(__match_any_sync(kAllLanes, hit ? at : -1) & lower_lanes);
  for (int round = 0; __any_sync(kAllLanes, hit && turn >= round); ++round) {
    if (hit && turn == round) tile[at] += value;
    __syncwarp();
  }
}

__global__ void __launch_bounds__(kThreads)
    max_backward_kernel(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                        int64_t plane_size, int64_t tiles_per_plane, float* dx, int* bad) {
  __shared__ float tiles[kWarps][kTile];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  float* const tile = tiles[warp];
  for (int64_t i = int64_t{blockIdx.x} * kWarps + warp; i < planes * tiles_per_plane;
       i += int64_t{gridDim.x} * kWarps) {
    const int64_t plane = i / tiles_per_plane, first = (i - plane * tiles_per_plane) * kTile;
    const int size = static_cast<int>(min(int64_t{kTile}, plane_size - first));
    for (int k = lane; k < size; k += kWarp) tile[k] = 0.0f;
    __syncwarp();
    bool valid = true;
    for (int64_t begin = plane * outputs; begin < (plane + 1) * outputs; begin += kLoads * kWarp) {
      int64_t places[kLoads];
      bool hits[kLoads], any = false;
#pragma unroll
      for (int j = 0; j < kLoads; ++j) {
        const int64_t output = begin + j * kWarp + lane;
        places[j] = output < (plane + 1) * outputs ? index[output] : -1;
        hits[j] = places[j] >= first && places[j] < first + size;
        any = any || hits[j];
        valid = valid && places[j] >= -1 && places[j] < plane_size;
      }
      if (!__any_sync(kAllLanes, any)) continue;
#pragma unroll
      for (int j = 0; j < kLoads; ++j) {
        const float value = hits[j] ? dy[begin + j * kWarp + lane] : 0.0f;
        add_in_order(tile, hits[j], static_cast<int>(places[j] - first), value);
      }
    }
    for (int k = lane; k < size; k += kWarp) dx[plane * plane_size + first + k] = tile[k];
    if (first == 0 && !valid) report_bad(bad);
  }
}

}  // namespace

void max_pool2d(const Pool2dShape& s, const float* x, float* y, int32_t* index) {
  const int64_t count = output_count(s);
  if (count == 0) return;
  with_windows(s, [&](const auto& w) {
    if (area(s) <= kThreadTaps)
      max_kernel<1><<<blocks_for(count, kThreads), kThreads, 0, stream()>>>(w, count, x, y, index);
    else
      max_kernel<kWarp><<<blocks_for(count, kWarps), kThreads, 0, stream()>>>(w, count, x, y, index);
  });
  check_launch("max_pool2d");
}

void max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                         int64_t plane_size, float* dx) {
  if (planes == 0 || (outputs == 0 && plane_size == 0)) return;
  // An empty plane has a tile, too, so that its indices are checked.
  const int64_t tiles_per_plane = std::max<int64_t>(1, parts(plane_size, kTile));
  max_backward_kernel<<<blocks_for(planes * tiles_per_plane, kWarps), kThreads, 0, stream()>>>(
      dy, index, planes, outputs, plane_size, tiles_per_plane, dx, flag_of(Checked::kMaxPool2dBackward));
  check_launch("max_pool2d_backward");
}

void avg_pool2d(const Pool2dShape& s, bool count_include_pad, const float* x, float* y) {
  const int64_t count = output_count(s);
  if (count == 0) return;
  with_windows(s, [&](const auto& w) {
    if (area(s) <= kFloatTaps)
      average_kernel<1, float>
          <<<blocks_for(count, kThreads), kThreads, 0, stream()>>>(w, count, count_include_pad, x, y);
    else if (area(s) <= kThreadTaps)
      average_kernel<1, double>
          <<<blocks_for(count, kThreads), kThreads, 0, stream()>>>(w, count, count_include_pad, x, y);
    else
      average_kernel<kWarp, double>
          <<<blocks_for(count, kWarps), kThreads, 0, stream()>>>(w, count, count_include_pad, x, y);
  });
  check_launch("avg_pool2d");
}

void avg_pool2d_backward(const Pool2dShape& s, bool count_include_pad, const float* dy, float* dx) {
  const int64_t count = input_count(s);
  if (count == 0) return;
  with_windows(s, [&](const auto& w) {
    average_backward_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream()>>>(
        w, count, count_include_pad, dy, dx);
  });
  check_launch("avg_pool2d_backward");
}

}  // namespace byhand::cuda
