#include "cpu/conv2d_winograd_rows.h"

#include <algorithm>

#include "cpu/activation.h"
#include "cpu/conv2d_method.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// Rows of outputs that are computed one behind the other in each channel, so that longer pieces of a plane
// are written at a time; the rows of inputs that they need still fit L1.
constexpr int64_t kBand = 4;

struct Tiling {
  explicit Tiling(const Conv2dShape& s)
      : lanes(kernels().winograd_rows.lanes),
        taps(s.kernel.h),
        step(kWinogradSize + 1 - taps),
        tiles(ceil_div(s.out_w, step)),
        channel(tiles * kWinogradSize * lanes),
        row(s.in_channels * channel) {}
  const int lanes;
  const int64_t taps, step, tiles;
  const int64_t channel, row;  // floats of a transformed row, in a channel and in all
};

// Rows of a group of images, transformed when a band of output rows first needs them, and kept until the last
// has.
class Rows {
 public:
  Rows(const Conv2dShape& s, const Tiling& t, const float* x, int images, ScratchFrame& frame)
      : s_(s), t_(t), x_(x), images_(images) {
    const int64_t size = (t.tiles * t.step + t.taps - 1) * t.lanes;
    padded_ = frame.allocate<float>(size);
    std::fill_n(padded_, size, 0.0f);
    ring_ = frame.allocate<float>(slots() * t.row);
  }

  // Row y of the padded input, asked for in order.
  const float* operator[](int64_t y) {
    for (; next_ <= y; ++next_) transform(next_);
    return slot(y);
  }

 private:
  int64_t slots() const { return kBand + t_.taps - 1; }
  float* slot(int64_t y) const { return ring_ + y % slots() * t_.row; }

  void transform(int64_t y) {
    const int64_t row = y - s_.padding.top;
    if (row < 0 || row >= s_.in_h) {
      std::fill_n(slot(y), t_.row, 0.0f);
      return;
    }
    const WinogradRowKernels& k = kernels().winograd_rows;
    for (int64_t c = 0; c < s_.in_channels; ++c) {
      k.to_lanes(x_ + (c * s_.in_h + row) * s_.in_w, s_.in_channels * s_.in_h * s_.in_w, images_, s_.in_w,
                 padded_ + s_.padding.left * t_.lanes);
      k.size[t_.taps == 5].inputs(padded_, t_.tiles, slot(y) + c * t_.channel);
    }
  }

  const Conv2dShape& s_;
  const Tiling& t_;
  const float* x_;
  const int images_;
  float *padded_, *ring_;
  int64_t next_ = 0;
};

}  // namespace

WinogradRows::WinogradRows(const Conv2dShape& s, const float* weight, ScratchFrame& frame) : shape_(s) {
  constexpr int64_t kTasks = 8;
  groups_ = ceil_div(s.batch, kernels().winograd_rows.lanes);
  parts_ = std::min(ceil_div(kTasks, groups_), ceil_div(s.out_channels, kTasks));
  const int64_t rows = s.out_channels * s.in_channels * s.kernel.h;
  float* const u = frame.allocate<float>(rows * kWinogradSize);
  kernels().winograd_rows.size[s.kernel.h == 5].weights(weight, rows, u);
  weights_ = u;
}

double WinogradRows::ns() const {
  return fma_ns(winograd_rows_multiply_adds(shape_) * static_cast<double>(shape_.batch) /
                static_cast<double>(tasks()));
}

// band(w, rows, first, images, o, y) for every band of output rows, from y on, of every channel o of the
// task; w is that of the first two. `first` is the number of the first image.
template <class Band>
void WinogradRows::visit(int64_t task, const float* x, const float* bias, const Band& band) const {
  const Conv2dShape& s = shape_;
  const Tiling t(s);
  const Range outputs = split(s.out_channels, parts_, task % parts_);
  const int64_t first = task / parts_ * t.lanes;
  const int images = static_cast<int>(std::min<int64_t>(t.lanes, s.batch - first));
  ScratchFrame frame;
  Rows rows(s, t, x + first * s.in_channels * s.in_h * s.in_w, images, frame);
  for (int64_t y = 0; y < s.out_h; y += kBand) {
    const int64_t count = std::min(kBand, s.out_h - y);
    WinogradRowPair pairs[kBand / 2];
    for (int64_t i = 0; i < count; i += 2) {
      WinogradRowPair& w = pairs[i / 2];
      for (int64_t j = 0; j <= t.taps; ++j) w.v[j] = rows[y + i + j];
      w.v_channel = t.channel, w.channels = s.in_channels, w.columns = s.out_w;
      w.rows = static_cast<int>(std::min<int64_t>(2, count - i));
    }
    for (int64_t o = outputs.begin; o < outputs.end; ++o) {
      for (int64_t i = 0; i < count; i += 2) {
        pairs[i / 2].u = weights_ + o * s.in_channels * t.taps * kWinogradSize;
        pairs[i / 2].bias = bias ? bias[o] : 0.0f;
      }
      band(pairs, count, first, images, o, y);
    }
  }
}

void WinogradRows::forward(int64_t task, const float* x, const float* bias, float* y) const {
  const WinogradRowKernels& k = kernels().winograd_rows;
  const int64_t width = shape_.out_w, plane = shape_.out_h * width, image = shape_.out_channels * plane;
  ScratchFrame frame;
  float* const values = frame.allocate<float>(kBand * width * k.lanes);
  visit(task, x, bias,
        [&](const WinogradRowPair* pairs, int64_t rows, int64_t first, int images, int64_t o, int64_t row) {
          for (int64_t i = 0; i < rows; i += 2)
            k.size[shape_.kernel.h == 5].rows(pairs[i / 2], values + i * width * k.lanes);
          k.from_lanes(values, rows * width, images, y + first * image + o * plane + row * width, image);
        });
}

void WinogradRows::forward_pooled(int64_t task, ops::Activation f, const float* x, const float* bias,
                                  float* y, int32_t* index) const {
  const WinogradRowKernels& k = kernels().winograd_rows;
  const int64_t width = shape_.out_w / 2, plane = shape_.out_h / 2 * width;
  const int64_t image = shape_.out_channels * plane, most = kBand / 2 * width * k.lanes;
  ScratchFrame frame;
  float* const values = frame.allocate<float>(most);
  int32_t* const places = frame.allocate<int32_t>(most);
  const auto activate = forward_kernel(f);
  visit(task, x, bias,
        [&](const WinogradRowPair* pairs, int64_t rows, int64_t first, int images, int64_t o, int64_t row) {
          const int64_t count = rows / 2 * width;  // a last row alone is in no window
          for (int64_t i = 0; i < rows / 2; ++i) {
            const auto place = static_cast<int32_t>((row + 2 * i) * shape_.out_w);
            const int64_t at = i * width * k.lanes;
            k.size[shape_.kernel.h == 5].maxima(pairs[i], place, values + at, places + at);
          }
          if (activate) activate(values, count * k.lanes, values);
          const int64_t at = first * image + o * plane + row / 2 * width;
          k.from_lanes(values, count, images, y + at, image);
          k.from_lanes(reinterpret_cast<const float*>(places), count, images,
                       reinterpret_cast<float*>(index + at), image);
        });
}

}  // namespace byhand::cpu
