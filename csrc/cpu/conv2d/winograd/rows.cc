// Terms:
//   lane   one place of a vector; it works on rows of its own;
//   band   the output rows of one lane: all rows of an image, or some of them if there are few images;
//   group  the bands that one task computes together, one band per lane of a vector;
//   tile   8 neighbouring inputs of a row, which give 6 outputs for 3 x 3 weights and 4 for 5 x 5.
#include "cpu/conv2d/winograd/rows.h"

#include <algorithm>

#include "cpu/activation.h"
#include "cpu/kernels/conv2d_winograd.h"
#include "cpu/kernels/conv2d_winograd_rows.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// The number of output rows that are computed together in each channel. These rows are written to the plane
// in one piece, so more rows make longer writes. The transformed input rows that 4 output rows need still fit
// into L1.
constexpr int64_t kRowsTogether = 4;

struct Tiling {
  explicit Tiling(const Conv2dShape& s)
      : lanes(kernels<WinogradRowKernels>().lanes),
        taps(s.kernel.h),
        tile_outputs(kWinogradSize + 1 - taps),
        tiles(ceil_div(s.out_w, tile_outputs)),
        channel(tiles * kWinogradSize * lanes),
        row(s.in_channels * channel),
        slots(kRowsTogether + taps - 1) {}
  const int lanes;
  const int64_t taps, tile_outputs, tiles;  // taps per row of weights, outputs per tile, tiles per row
  const int64_t channel, row;               // floats of a transformed row, in one channel and in all channels
  const int64_t slots;                      // transformed rows that are kept
};

// The image of each lane, and the first output row of its band. A lane beyond the last image begins below the
// plane, so it reads zeros and writes nothing.
struct Lanes {
  Lanes(const Conv2dShape& s, const RowBands& bands, int64_t group, int lanes)
      : count(lanes), alike(bands.bands == 1) {
    for (int n = 0; n < lanes; ++n) {
      const int64_t band = group * lanes + n;
      image[n] = band / bands.bands, first[n] = band % bands.bands * bands.rows;
      if (image[n] >= s.batch) image[n] = 0, first[n] = s.in_h + s.padding.top + s.out_h;
    }
  }
  const int count;
  const bool alike;  // true if all lanes have the same number of rows
  int64_t image[kMaxRowLanes], first[kMaxRowLanes];
};

// Transformed rows of inputs. A row is transformed when it is first needed, and kept in a ring buffer until
// no later output needs it.
class Rows {
 public:
  Rows(const Conv2dShape& s, const Tiling& t, const Lanes& lanes, const float* x, ScratchFrame& frame)
      : s_(s), t_(t), lanes_(lanes), x_(x) {
    const int64_t size = (t.tiles * t.tile_outputs + t.taps - 1) * t.lanes;
    padded_ = frame.allocate<float>(size);
    std::fill_n(padded_, size, 0.0f);
    ring_ = frame.allocate<float>(t.slots * t.row);
  }

  // Returns row y of every lane. Row 0 is the first row that the lane's outputs read, which may lie in the
  // padding. Callers ask for rows in order.
  const float* operator[](int64_t y) {
    for (; next_ <= y; ++next_) transform(next_);
    return slot(y);
  }

 private:
  float* slot(int64_t y) const { return ring_ + y % t_.slots * t_.row; }

  void transform(int64_t y) {
    const WinogradRowKernels& k = kernels<WinogradRowKernels>();
    for (int64_t c = 0; c < s_.in_channels; ++c) {
      const float* from[kMaxRowLanes];
      for (int n = 0; n < lanes_.count; ++n) {
        const int64_t row = lanes_.first[n] + y - s_.padding.top;
        from[n] = row < 0 || row >= s_.in_h
                      ? nullptr
                      : x_ + ((lanes_.image[n] * s_.in_channels + c) * s_.in_h + row) * s_.in_w;
      }
      k.to_lanes(from, s_.in_w, padded_ + s_.padding.left * t_.lanes);
      k.size[t_.taps == 5].inputs(padded_, t_.tiles, slot(y) + c * t_.channel);
    }
  }

  const Conv2dShape& s_;
  const Tiling& t_;
  const Lanes& lanes_;
  const float* x_;
  float *padded_, *ring_;
  int64_t next_ = 0;
};

// Planes (batch, channels, height, width), which are written a few rows at a time.
template <class T>
struct Planes {
  T* data;
  int64_t channels, height, width;

  // Writes `rows` rows of channel c, from row y of each lane's band on. `values` has the shape (rows, width,
  // lanes). y counts rows of these planes, but lanes.first counts rows before the pooling. So kDivisor is 2
  // if the planes are pooled, otherwise 1. If lanes have different numbers of rows, each row is written
  // separately. The kernel copies 32-bit values, which may be integers.
  template <int kDivisor>
  void write(const float* values, const Lanes& lanes, int64_t c, int64_t y, int64_t rows) const {
    const int64_t at_once = lanes.alike ? rows : 1;
    for (int64_t i = 0; i < rows; i += at_once) {
      float* to[kMaxRowLanes];
      for (int n = 0; n < lanes.count; ++n) {
        const int64_t row = lanes.first[n] / kDivisor + y + i;
        to[n] =
            row >= height
                ? nullptr
                : reinterpret_cast<float*>(data + ((lanes.image[n] * channels + c) * height + row) * width);
      }
      kernels<WinogradRowKernels>().from_lanes(values + i * width * lanes.count, at_once * width, to);
    }
  }
};

}  // namespace

// Estimates the multiply-adds per image.
double winograd_rows_cost(const Conv2dShape& s) {
  // The cost of a multiply-add, which needs a load, relative to one of the direct algorithm.
  constexpr double kProduct = 1.2;
  // The costs in multiply-adds, per channel: of transforming a tile of inputs, and of computing an output
  // from the products of a tile.
  constexpr double kInput = 40, kOutput = 8;
  // If the transformed rows of a group take more than 512 KB, they leave L2 on some CPUs, and everything
  // takes longer. With 256 channels, one filter of 3 x 3, planes of 16 x 16 and 8 images, this method takes
  // 504 us with AVX-512, and the direct algorithm 214 us.
  constexpr int64_t kRingFloats = 512 * 1024 / 4;
  constexpr double kDistantRow = 3;
  const RowBands bands(s);
  const Tiling t(s);
  const double distant = t.slots * t.row > kRingFloats ? kDistantRow : 1;
  const double tiles = static_cast<double>(bands.groups * t.lanes) * static_cast<double>(bands.rows) *
                       static_cast<double>(t.tiles) / static_cast<double>(s.batch);
  const double in = static_cast<double>(s.in_channels), out = static_cast<double>(s.out_channels);
  const double products = kProduct * in * out * static_cast<double>(kWinogradSize * s.kernel.h);
  // Loads limit this method, so it gains less from vectors of 16 lanes than the direct algorithm.
  const double slower = narrow_multiply_add() > 1 ? 1.5 : 1;
  return slower * distant * tiles *
         (products + in * kInput + out * kOutput * static_cast<double>(t.tile_outputs));
}

// Chooses the number of bands per image for which a lane computes the fewest rows in all groups together. Of
// several such numbers, it takes the smallest.
RowBands::RowBands(const Conv2dShape& s) : bands(1), rows(0), groups(0) {
  const int64_t lanes = kernels<WinogradRowKernels>().lanes, pairs = ceil_div(s.out_h, 2);
  for (int64_t b = 1; b <= std::min(lanes, pairs); ++b) {
    const int64_t high = 2 * ceil_div(pairs, b), wide = ceil_div(s.batch * b, lanes);
    if (b == 1 || high * wide < rows * groups) bands = b, rows = high, groups = wide;
  }
}

WinogradRows::WinogradRows(const Conv2dShape& s, const float* weight, ScratchFrame& frame)
    : shape_(s), bands_(s) {
  // There is one task for each pair of a group and a part of the output channels. Every part transforms the
  // inputs again, so the channels are cut into several parts only under three conditions: there are at most
  // kTasks tasks; a part has at least kMultiplyAdds multiply-adds over all images; and a part has about
  // kOutputs channels or more.
  constexpr int64_t kTasks = 8, kOutputs = 8, kMultiplyAdds = 200'000;
  const auto worth =
      static_cast<int64_t>(winograd_rows_cost(s) * static_cast<double>(s.batch)) / kMultiplyAdds;
  parts_ =
      std::clamp<int64_t>(std::min(kTasks / bands_.groups, worth), 1, ceil_div(s.out_channels, kOutputs));
  const int64_t rows = s.out_channels * s.in_channels * s.kernel.h;
  float* const u = frame.allocate<float>(rows * kWinogradSize);
  kernels<WinogradRowKernels>().size[s.kernel.h == 5].weights(weight, rows, u);
  weights_ = u;
}

double WinogradRows::ns() const {
  return fma_ns(winograd_rows_cost(shape_) * static_cast<double>(shape_.batch) /
                static_cast<double>(tasks()));
}

// Calls compute(pairs, rows, lanes, o, y) for each output channel o of the task and for up to kRowsTogether
// rows of outputs at a time. `rows` is their number, and they begin at row y of every band. pairs[i] holds
// the operands for the rows y + 2 i and y + 2 i + 1.
template <class Compute>
void WinogradRows::visit(int64_t task, const float* x, const float* bias, const Compute& compute) const {
  const Conv2dShape& s = shape_;
  const Tiling t(s);
  const Range outputs = split(s.out_channels, parts_, task % parts_);
  const Lanes lanes(s, bands_, task / parts_, t.lanes);
  ScratchFrame frame;
  Rows inputs(s, t, lanes, x, frame);
  const int64_t height = std::min(bands_.rows, s.out_h);
  for (int64_t y = 0; y < height; y += kRowsTogether) {
    const int64_t rows = std::min(kRowsTogether, height - y);
    WinogradRowPair pairs[kRowsTogether / 2];
    for (int64_t i = 0; i < rows; i += 2) {
      WinogradRowPair& w = pairs[i / 2];
      for (int64_t j = 0; j <= t.taps; ++j) w.v[j] = inputs[y + i + j];
      w.v_channel = t.channel, w.channels = s.in_channels, w.columns = s.out_w;
      w.rows = static_cast<int>(std::min<int64_t>(2, rows - i));
    }
    for (int64_t o = outputs.begin; o < outputs.end; ++o) {
      for (int64_t i = 0; i < rows; i += 2) {
        pairs[i / 2].u = weights_ + o * s.in_channels * t.taps * kWinogradSize;
        pairs[i / 2].bias = bias ? bias[o] : 0.0f;
      }
      compute(pairs, rows, lanes, o, y);
    }
  }
}

void WinogradRows::forward(int64_t task, const float* x, const float* bias, float* y) const {
  const WinogradRowKernels& k = kernels<WinogradRowKernels>();
  const int64_t row = shape_.out_w * k.lanes;
  const Planes<float> planes{y, shape_.out_channels, shape_.out_h, shape_.out_w};
  ScratchFrame frame;
  float* const values = frame.allocate<float>(kRowsTogether * row);
  visit(task, x, bias,
        [&](const WinogradRowPair* pairs, int64_t rows, const Lanes& lanes, int64_t o, int64_t first) {
          for (int64_t i = 0; i < rows; i += 2)
            k.size[shape_.kernel.h == 5].rows(pairs[i / 2], values + i * row);
          planes.write<1>(values, lanes, o, first, rows);
        });
}

void WinogradRows::forward_pooled(int64_t task, ops::Activation f, const float* x, const float* bias,
                                  float* y, int32_t* index) const {
  const WinogradRowKernels& k = kernels<WinogradRowKernels>();
  const int64_t height = shape_.out_h / 2, width = shape_.out_w / 2, row = width * k.lanes;
  const Planes<float> planes{y, shape_.out_channels, height, width};
  const Planes<int32_t> places_planes{index, shape_.out_channels, height, width};
  ScratchFrame frame;
  float* const values = frame.allocate<float>(kRowsTogether / 2 * row);
  int32_t* const places = frame.allocate<int32_t>(kRowsTogether / 2 * row);
  int32_t* const first_place = frame.allocate<int32_t>(k.lanes);
  const auto activate = forward_kernel(f);
  visit(task, x, bias,
        [&](const WinogradRowPair* pairs, int64_t rows, const Lanes& lanes, int64_t o, int64_t first) {
          for (int n = 0; n < k.lanes; ++n)
            first_place[n] = static_cast<int32_t>((lanes.first[n] + first) * shape_.out_w);
          // If the number of rows is odd, the last row is in no window.
          for (int64_t i = 0; i < rows / 2; ++i)
            k.size[shape_.kernel.h == 5].maxima(pairs[i], first_place,
                                                static_cast<int32_t>(2 * i * shape_.out_w), values + i * row,
                                                places + i * row);
          if (activate) activate(values, rows / 2 * row, values);
          planes.write<2>(values, lanes, o, first / 2, rows / 2);
          places_planes.write<2>(reinterpret_cast<const float*>(places), lanes, o, first / 2, rows / 2);
        });
}

}  // namespace byhand::cpu
