#include "ops/pool2d.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "core/check.h"
#include "core/scratch.h"
#include "cpu/kernels/pool2d.h"
#include "cpu/kernels/reduce.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// `count` neighbouring windows along an axis. Each of them has the same number of positions inside the input.
// This number is `taps`; it may be 0. `first` is the first of these positions in the first window.
struct Run {
  int64_t count, first, taps;
  int64_t padded_cells;  // the number of cells of a window inside the input and its padding
};

// The windows along one axis. All windows that lie wholly in the input are one run. Every other window is a
// run of its own. For example, windows of 3 with stride 1 over 5 inputs, with a padding of 1 on both sides,
// give three runs: window 0 with 2 taps from input 0 on, windows 1 to 3 with 3 taps from input 0 on, and
// window 4 with 2 taps from input 3 on.
struct Axis {
  int64_t in, out, kernel, stride, dilation, before, after;

  // The run that begins with window i.
  Run run(int64_t i) const {
    const int64_t start = i * stride - before;
    const int64_t begin = start < 0 ? ceil_div(-start, dilation) : 0;
    const int64_t end = start < in ? std::min(kernel, ceil_div(in - start, dilation)) : 0;
    Run r{1, start + begin * dilation, std::max<int64_t>(0, end - begin),
          std::min(start + kernel, in + after) - start};
    if (r.taps == kernel)
      r.count = std::min(out, (in - 1 - (kernel - 1) * dilation + before) / stride + 1) - i;
    return r;
  }

  // Returns true if a window is blind: no input lies in it.
  bool any_blind() const {
    for (int64_t i = 0; i < out;) {
      const Run r = run(i);
      if (r.taps == 0) return true;
      i += r.count;
    }
    return false;
  }
};

// The positions of the windows of one plane. They are the same for every plane.
class Windows {
 public:
  Windows(const Pool2dShape& s, bool count_include_pad)
      : shape_(s),
        count_include_pad_(count_include_pad),
        rows_{s.in_h, s.out_h, s.kernel.h, s.stride.h, s.dilation.h, s.padding.top, s.padding.bottom},
        columns_{s.in_w, s.out_w, s.kernel.w, s.stride.w, s.dilation.w, s.padding.left, s.padding.right} {}

  bool any_blind() const { return rows_.any_blind() || columns_.any_blind(); }

  // Returns true if every input belongs to exactly one window.
  bool tile_the_plane() const {
    const Padding& pad = shape_.padding;
    return shape_.kernel.h == shape_.stride.h && shape_.kernel.w == shape_.stride.w &&
           shape_.out_h * shape_.stride.h == shape_.in_h && shape_.out_w * shape_.stride.w == shape_.in_w &&
           pad.top + pad.bottom + pad.left + pad.right == 0;
  }

  // The number of columns that a kernel takes at a time, width * together, is at most this.
  int64_t room() const { return std::max(shape_.in_w, kRoom); }

  // Calls body(windows, input, output) for every block of windows that are not blind, in `planes` planes. A
  // block combines a run of rows with a run of columns. `input` and `output` are the positions of its first
  // input and its first output in their planes.
  template <class Body>
  void visit(int64_t planes, const Body& body) const {
    for (int64_t i = 0; i < rows_.out;) {
      const Run r = rows_.run(i);
      for (int64_t j = 0; r.taps > 0 && j < columns_.out;) {
        const Run c = columns_.run(j);
        if (c.taps > 0) body(block(planes, r, c), r.first * shape_.in_w + c.first, i * shape_.out_w + j);
        j += c.count;
      }
      i += r.count;
    }
  }

 private:
  PoolWindows block(int64_t planes, const Run& r, const Run& c) const {
    PoolWindows w{};
    w.planes = planes, w.x_plane = shape_.in_h * shape_.in_w, w.y_plane = shape_.out_h * shape_.out_w;
    w.rows = r.count, w.columns = c.count;
    const int64_t last_tap = (c.taps - 1) * shape_.dilation.w;
    const bool has_all_windows = r.count == shape_.out_h && c.count == shape_.out_w;
    w.x_row = shape_.stride.h * shape_.in_w;
    w.x_column = c.count > 1 ? shape_.stride.w : has_all_windows ? last_tap + 1 : 1;
    w.y_row = shape_.out_w;
    w.tap_rows = r.taps, w.tap_columns = c.taps;
    w.tap_row = shape_.dilation.h * shape_.in_w, w.tap_column = shape_.dilation.w;
    w.first = static_cast<int32_t>(r.first * shape_.in_w + c.first);
    w.divisor = static_cast<float>(count_include_pad_ ? r.padded_cells * c.padded_cells : r.taps * c.taps);
    w.disjoint = shape_.kernel.h <= shape_.stride.h && shape_.kernel.w <= shape_.stride.w;
    const int64_t apart = c.count * w.x_column;
    w.joined = has_all_windows && last_tap < w.x_column && c.first + apart <= shape_.in_w;
    w.width = w.joined ? apart : (c.count - 1) * w.x_column + last_tap + 1;
    w.together = std::clamp<int64_t>(kRoom / w.width, 1, w.joined ? planes * r.count : r.count);
    return w;
  }

  static constexpr int64_t kRoom = 512;  // small enough to stay in L1 with the rows of x and y

  Pool2dShape shape_;
  bool count_include_pad_;
  Axis rows_, columns_;
};

// Estimates the nanoseconds for one plane: 20 ns, and a quarter of a nanosecond for each value that one of
// the two passes of a kernel visits. On vectors of four lanes, four values take one to three operations.
double plane_ns(const Pool2dShape& s) {
  const auto taps = [](int64_t kernel, int64_t in) { return static_cast<double>(std::min(kernel, in)); };
  const double columns = static_cast<double>(s.in_w) * taps(s.kernel.h, s.in_h);
  const double windows = static_cast<double>(s.out_w) * taps(s.kernel.w, s.in_w);
  return 20 + static_cast<double>(s.out_h) * (columns + windows) / 4;
}

// Returns whether this is global pooling: the window is the whole plane, whose values are contiguous. The
// first pass of the kernels for blocks of windows would fill only as many lanes as the plane has columns.
bool is_global(const Pool2dShape& s) {
  const Padding& pad = s.padding;
  return s.out_h == 1 && s.out_w == 1 && s.kernel.h == s.in_h && s.kernel.w == s.in_w && s.dilation.h == 1 &&
         s.dilation.w == 1 && pad.top + pad.bottom + pad.left + pad.right == 0;
}

// Calls body(p, begin, count) for each plane p. The plane has `count` values, which begin at offset `begin`
// of the array.
template <class Body>
void for_whole_planes(const Pool2dShape& s, const Body& body) {
  const int64_t count = s.in_h * s.in_w;
  parallel_ranges(s.planes(), 20 + memory_ns(static_cast<double>(count) * sizeof(float)),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t p = begin; p < end; ++p) body(p, p * count, count);
                  });
}

}  // namespace

void max_pool2d(const Pool2dShape& s, const float* x, float* y, int32_t* index) {
  const auto kernel = kernels<Pool2dKernels>().max;
  const int64_t inputs = s.in_h * s.in_w, outputs = s.out_h * s.out_w;
  const Windows windows(s, false);
  const bool blind = s.planes() > 0 && windows.any_blind();
  parallel_ranges(s.planes(), plane_ns(s), [=, &windows](int64_t begin, int64_t end) {
    if (blind) {
      std::fill(y + begin * outputs, y + end * outputs, -std::numeric_limits<float>::infinity());
      std::fill(index + begin * outputs, index + end * outputs, -1);
    }
    ScratchFrame frame;
    float* const values = frame.allocate<float>(windows.room());
    int32_t* const places = frame.allocate<int32_t>(windows.room());
    windows.visit(end - begin, [=](const PoolWindows& w, int64_t input, int64_t output) {
      const int64_t to = begin * outputs + output;
      kernel(w, x + begin * inputs + input, y + to, index + to, values, places);
    });
  });
}

void avg_pool2d(const Pool2dShape& s, bool count_include_pad, const float* x, float* y) {
  if (is_global(s)) {
    const auto sum = kernels<ReduceKernels>().sum;
    return for_whole_planes(s, [=](int64_t p, int64_t begin, int64_t count) {
      y[p] = static_cast<float>(sum(x + begin, 1, count, count) / static_cast<double>(count));
    });
  }
  const auto kernel = kernels<Pool2dKernels>().average;
  const int64_t inputs = s.in_h * s.in_w, outputs = s.out_h * s.out_w;
  const Windows windows(s, count_include_pad);
  const bool blind = s.planes() > 0 && windows.any_blind();
  parallel_ranges(s.planes(), plane_ns(s), [=, &windows](int64_t begin, int64_t end) {
    if (blind) std::fill(y + begin * outputs, y + end * outputs, 0.0f);
    ScratchFrame frame;
    double* const room = frame.allocate<double>(windows.room() + kPoolLanes);
    windows.visit(end - begin, [=](const PoolWindows& w, int64_t input, int64_t output) {
      kernel(w, x + begin * inputs + input, y + begin * outputs + output, room);
    });
  });
}

void avg_pool2d_backward(const Pool2dShape& s, bool count_include_pad, const float* dy, float* dx) {
  if (is_global(s))
    return for_whole_planes(s, [=](int64_t p, int64_t begin, int64_t count) {
      std::fill_n(dx + begin, count, dy[p] / static_cast<float>(count));
    });
  const auto kernel = kernels<Pool2dKernels>().average_backward;
  const int64_t inputs = s.in_h * s.in_w, outputs = s.out_h * s.out_w;
  const Windows windows(s, count_include_pad);
  const bool whole = windows.tile_the_plane();
  parallel_ranges(s.planes(), plane_ns(s), [=, &windows](int64_t begin, int64_t end) {
    if (!whole) std::fill(dx + begin * inputs, dx + end * inputs, 0.0f);
    ScratchFrame frame;
    float* const room = frame.allocate<float>(3 * windows.room());
    windows.visit(end - begin, [=](const PoolWindows& w, int64_t input, int64_t output) {
      kernel(w, dy + begin * outputs + output, dx + begin * inputs + input, room);
    });
  });
}

void max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                         int64_t plane_size, float* dx) {
  const double ns = 20 + memory_ns(static_cast<double>(outputs + plane_size) * sizeof(float)) +
                    static_cast<double>(outputs);
  std::atomic<bool> valid = true;
  const auto inside = kernels<Pool2dKernels>().inside;
  parallel_ranges(planes * outputs, memory_ns(sizeof(float)), [=, &valid](int64_t begin, int64_t end) {
    const int64_t last = std::min<int64_t>(plane_size - 1, std::numeric_limits<int32_t>::max());
    if (plane_size > 0 && inside(index + begin, end - begin, static_cast<int32_t>(last))) return;
    bool all = true;  // -1 is valid, too
    for (int64_t i = begin; i < end; ++i) all &= index[i] >= -1 && index[i] < plane_size;
    if (!all) valid = false;
  });
  if (!valid)
    for (int64_t i = 0; i < planes * outputs; ++i)
      require(index[i] >= -1 && index[i] < plane_size, "indices must be from -1 to ", plane_size - 1,
              ", places in a plane of the input, got ", index[i], " at ", i, " of the flattened array");
  if (plane_size == 0) return;
  // `index` is the caller's array, and another thread may write to it meanwhile. So each index is checked
  // again when it is used. This loop is not in a kernel, because scattered additions gain nothing from
  // vectors.
  parallel_ranges(planes, ns, [=, &valid](int64_t begin, int64_t end) {
    const auto size = static_cast<uint64_t>(plane_size);
    bool all = true;
    for (int64_t p = begin; p < end; ++p) {
      float* const plane = dx + p * plane_size;
      std::fill_n(plane, plane_size, 0.0f);
      for (int64_t i = p * outputs; i < (p + 1) * outputs; ++i) {
        const int64_t at = __atomic_load_n(index + i, __ATOMIC_RELAXED);  // read once, for check and use
        if (static_cast<uint64_t>(at) < size)
          plane[at] += dy[i];
        else
          all &= at == -1;
      }
    }
    if (!all) valid = false;
  });
  require(valid, "indices must not be changed by another thread while max_pool2d_backward reads them");
}

}  // namespace byhand::ops
