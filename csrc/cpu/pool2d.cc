#include "ops/pool2d.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "core/check.h"
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

  // Calls body(windows, input, output) for every block of windows that are not blind. A block combines a run
  // of rows with a run of columns. `input` and `output` are the positions of its first input and its first
  // output in their planes.
  template <class Body>
  void visit(const Body& body) const {
    for (int64_t i = 0; i < rows_.out;) {
      const Run r = rows_.run(i);
      for (int64_t j = 0; r.taps > 0 && j < columns_.out;) {
        const Run c = columns_.run(j);
        if (c.taps > 0) body(block(r, c), r.first * shape_.in_w + c.first, i * shape_.out_w + j);
        j += c.count;
      }
      i += r.count;
    }
  }

 private:
  PoolWindows block(const Run& r, const Run& c) const {
    PoolWindows w{};
    w.rows = r.count, w.columns = c.count;
    w.x_row = shape_.stride.h * shape_.in_w, w.x_column = c.count > 1 ? shape_.stride.w : 1;
    w.y_row = shape_.out_w;
    w.tap_rows = r.taps, w.tap_columns = c.taps;
    w.tap_row = shape_.dilation.h * shape_.in_w, w.tap_column = shape_.dilation.w;
    w.first = static_cast<int32_t>(r.first * shape_.in_w + c.first);
    w.divisor = static_cast<float>(count_include_pad_ ? r.padded_cells * c.padded_cells : r.taps * c.taps);
    return w;
  }

  Pool2dShape shape_;
  bool count_include_pad_;
  Axis rows_, columns_;
};

// Estimates the nanoseconds for one plane: 20 ns, and half a nanosecond per output and tap. On vectors of
// four lanes, a tap of four outputs takes one or two operations.
double plane_ns(const Pool2dShape& s) {
  const double outputs = static_cast<double>(s.out_h) * static_cast<double>(s.out_w);
  return 20 + outputs * static_cast<double>(s.kernel.h) * static_cast<double>(s.kernel.w) / 2;
}

// Returns whether this is global pooling: the window is the whole plane, whose values are contiguous. The
// kernels for blocks of windows compute one window per lane, so they would use only one lane.
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
    for (int64_t p = begin; p < end; ++p)
      windows.visit([=](const PoolWindows& w, int64_t input, int64_t output) {
        kernel(w, x + p * inputs + input, y + p * outputs + output, index + p * outputs + output);
      });
  });
}

void avg_pool2d(const Pool2dShape& s, bool count_include_pad, const float* x, float* y) {
  if (is_global(s)) {
    const auto sum = kernels<ReduceKernels>().sum;
    return for_whole_planes(s, [=](int64_t p, int64_t begin, int64_t count) {
      y[p] = static_cast<float>(sum(x + begin, count) / static_cast<double>(count));
    });
  }
  const auto kernel = kernels<Pool2dKernels>().average;
  const int64_t inputs = s.in_h * s.in_w, outputs = s.out_h * s.out_w;
  const Windows windows(s, count_include_pad);
  const bool blind = s.planes() > 0 && windows.any_blind();
  parallel_ranges(s.planes(), plane_ns(s), [=, &windows](int64_t begin, int64_t end) {
    if (blind) std::fill(y + begin * outputs, y + end * outputs, 0.0f);
    for (int64_t p = begin; p < end; ++p)
      windows.visit([=](const PoolWindows& w, int64_t input, int64_t output) {
        kernel(w, x + p * inputs + input, y + p * outputs + output);
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
  parallel_ranges(s.planes(), plane_ns(s), [=, &windows](int64_t begin, int64_t end) {
    std::fill(dx + begin * inputs, dx + end * inputs, 0.0f);
    for (int64_t p = begin; p < end; ++p)
      windows.visit([=](const PoolWindows& w, int64_t input, int64_t output) {
        kernel(w, dy + p * outputs + output, dx + p * inputs + input);
      });
  });
}

void max_pool2d_backward(const float* dy, const int32_t* index, int64_t planes, int64_t outputs,
                         int64_t plane_size, float* dx) {
  const double ns = 20 + memory_ns(static_cast<double>(outputs + plane_size) * sizeof(float)) +
                    static_cast<double>(outputs);
  std::atomic<bool> valid = true;
  parallel_ranges(planes * outputs, memory_ns(sizeof(float)), [=, &valid](int64_t begin, int64_t end) {
    bool all = true;
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
