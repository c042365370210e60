// Transformed patches in memory, their products, and the positions of the patches of a convolution.
// winograd.cc and by_channels.cc share this file.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/conv2d/winograd/winograd.h"
#include "cpu/kernels/conv2d_winograd.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

inline int lanes() { return kernels<WinogradProductKernels>().lanes; }
inline const WinogradTransformKernels& transforms() { return kernels<WinogradTransformKernels>(); }
inline const WinogradTransform& weight_transform(const Conv2dShape& s) {
  return transforms().weight[s.kernel.h == 5];
}
inline const WinogradTransform& output_transform(const Conv2dShape& s) {
  return transforms().output[s.kernel.h == 5];
}
inline const WinogradPooling& pooling(const Conv2dShape& s) { return transforms().pooling[s.kernel.h == 5]; }

// A matrix of transformed patches, for example (output channels, input channels) for the weights. A patch has
// 64 values. With 8 lanes, these are 8 vectors, which lie in 8 planes: plane q holds vector q of every patch
// (WinogradPatches).
class Patches {
 public:
  Patches(int64_t rows, int64_t columns, float* data)
      : lanes_(kernels<WinogradProductKernels>().lanes),
        columns_(columns),
        plane_(plane_of(rows, columns, lanes_)),
        data_(data) {}
  Patches(int64_t rows, int64_t columns, ScratchFrame& frame)
      : Patches(rows, columns, frame.allocate<float>(size(rows, columns))) {}
  static int64_t size(int64_t rows, int64_t columns) {
    return size_of(rows, columns, kernels<WinogradProductKernels>().lanes);
  }

  // Returns the largest size() of such a matrix, for any number of lanes.
  static int64_t most(int64_t rows, int64_t columns) {
    return std::max({size_of(rows, columns, 4), size_of(rows, columns, 8), size_of(rows, columns, 16)});
  }

  WinogradPatches row(int64_t i) const { return {data_ + i * row_stride(), plane_}; }
  int64_t row_stride() const { return row_of(columns_, lanes_); }
  int64_t plane() const { return plane_; }
  float* data() const { return data_; }

 private:
  // The size of a row and that of a plane are odd numbers of cache lines. So the vectors of a column, and the
  // vectors of one patch, which lie in different planes, fall into different sets of a cache and do not evict
  // each other.
  static int64_t row_of(int64_t columns, int lanes) {
    return (ceil_div(columns * lanes, kCacheLineFloats) | 1) * kCacheLineFloats;
  }
  static int64_t plane_of(int64_t rows, int64_t columns, int lanes) {
    return (rows * row_of(columns, lanes) / kCacheLineFloats | 1) * kCacheLineFloats;
  }
  static int64_t size_of(int64_t rows, int64_t columns, int lanes) {
    return columns == 0 ? 0 : kWinogradValues / lanes * plane_of(rows, columns, lanes);
  }

  int lanes_;
  int64_t columns_, plane_;
  float* data_;
};

// An operand a or b of `multiply`. `plane` is the distance of two planes, `row` the stride of the first index
// of a[i, p] or b[j, p], and `depth` the stride of p.
struct Operand {
  const float* data;
  int64_t plane, row, depth;
};
// by_rows: i counts the rows of the matrix of patches, and p its columns from `first` on. by_columns reads
// the transposed matrix: i counts its columns from `first` on, and p its rows.
inline Operand by_rows(const Patches& p, int64_t first = 0) {
  return {p.data() + first * lanes(), p.plane(), p.row_stride(), lanes()};
}
inline Operand by_columns(const Patches& p, int64_t first = 0) {
  return {p.data() + first * lanes(), p.plane(), lanes(), p.row_stride()};
}

// out[i, j] = (out[i, j] if `add`) + sum_p a[i, p] * b[j, p]. Each element is a patch of 64 values, and *
// multiplies value by value.
void multiply(const Operand& a, int64_t rows, const Operand& b, int64_t columns, int64_t depth,
              const WinogradPatches& out, int64_t out_row, int64_t out_column, bool add);

// The patches of a convolution. They are counted from 0: all patches of image 0, row by row, then those of
// image 1, and so on.
struct Tiling {
  explicit Tiling(const Conv2dShape& shape)
      : s(shape),
        step(kWinogradSize + 1 - s.kernel.h),
        rows(ceil_div(s.out_h, step)),
        columns(ceil_div(s.out_w, step)),
        per_image(rows * columns) {}

  // Return patch t of x, or patch t of y, in all channels.
  WinogradImages inputs(int64_t t, const float* x, int64_t channels) const {
    return window(t, x, channels, {s.in_h, s.in_w}, kWinogradSize, s.padding.top, s.padding.left);
  }
  WinogradImages outputs(int64_t t, const float* y, int64_t channels) const {
    return window(t, y, channels, {s.out_h, s.out_w}, step, 0, 0);
  }

  // The 2 x 2 pooling windows in patch t of y. No window lies in two patches, because `step` is even.
  WinogradMaxima windows(int64_t t, const float* y, const int32_t* index) const {
    const int64_t height = s.out_h / 2, width = s.out_w / 2, side = step / 2;
    const int64_t top = t % per_image / columns * side, left = t % columns * side;
    const int64_t at = t / per_image * s.out_channels * height * width + top * width + left;
    const auto inside = [&](int64_t rest) { return static_cast<int>(std::clamp<int64_t>(rest, 0, side)); };
    return {s.out_channels,
            y + at,
            index + at,
            height * width,
            width,
            inside(height - top),
            inside(width - left),
            static_cast<int32_t>(2 * (top * s.out_w + left)),
            static_cast<int32_t>(s.out_w)};
  }

  const Conv2dShape& s;
  const int64_t step, rows, columns, per_image;

 private:
  WinogradImages window(int64_t t, const float* data, int64_t channels, Pair plane, int64_t size, int64_t top,
                        int64_t left) const {
    const int64_t y = t % per_image / columns * step - top, x = t % columns * step - left;
    const auto inside = [&](int64_t at) { return static_cast<int>(std::clamp<int64_t>(at, 0, size)); };
    return {channels,          data + t / per_image * channels * plane.h * plane.w + y * plane.w + x,
            plane.h * plane.w, plane.w,
            inside(-y),        inside(plane.h - y),
            inside(-x),        inside(plane.w - x)};
  }
};

// Returns the weights from the input channels `in` to output channel o, as patches of r x r values.
inline WinogradImages kernels_of(const Conv2dShape& s, const float* weight, int64_t o, Range in) {
  const int r = static_cast<int>(s.kernel.h);
  return {in.end - in.begin, weight + (o * s.in_channels + in.begin) * r * r, r * r, r, 0, r, 0, r};
}

// Returns the same patches, but only those of some channels.
inline WinogradImages channels_of(WinogradImages images, Range channels) {
  images.values += channels.begin * images.channel;
  images.count = channels.end - channels.begin;
  return images;
}

// Estimate the nanoseconds for transforming `patches` patches of one channel, and for multiplying `patches`
// patches in all channels by the transformed weights.
inline double transforms_ns(int64_t patches) {
  return fma_ns(static_cast<double>(patches) * kWinogradTransform * narrow_multiply_add());
}
inline double products_ns(const Conv2dShape& s, int64_t patches) {
  return fma_ns(static_cast<double>(patches * kWinogradValues) *
                static_cast<double>(s.in_channels * s.out_channels));
}

}  // namespace byhand::cpu
