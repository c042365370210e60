// The distortion of images of ops/warp_images.h.
//
// The first kernel draws the random numbers: a thread per block of four words, which are four control points.
// The first thread of an image also draws its affine map. The second kernel has a thread per pixel of the
// output. It adds up the 16 control points around the pixel, and then samples all planes of the image at the
// same point:
//
//   draw_kernel     thread  | image 0: map, c0 | c1 | c2 | ... | image 1: map, c0 | c1 | ...
//   sample_kernel   thread  | image 0: pixel 0 | 1  | 2  | ... | image 1: pixel 0 | 1  | ...
#include <algorithm>
#include <cmath>

#include "core/warp.h"
#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

constexpr int kThreads = 256, kWords = 4, kGroup = 64, kBlocks = kGroup / kWords, kTaps = 4;

// What both kernels need to know.
struct Warp {
  ops::WarpShape shape;
  WarpGrid grid;
  int64_t groups;  // of 64 control points per image; 0 if there is no elastic displacement
  ImageWarp* maps;
  float* control;
};

__global__ void __launch_bounds__(kThreads)
    draw_kernel(Warp warp, const int64_t* index, WarpStrengths strengths, WarpKey key) {
  const int64_t blocks = warp.groups * kBlocks, threads = max(int64_t{1}, blocks);
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < warp.shape.count * threads;
       i += int64_t{gridDim.x} * kThreads) {
    const int64_t place = i / threads, block = i % threads, number = index[place];
    if (block == 0) warp.maps[place] = draw_warp(strengths, key, number, warp.shape.height, warp.shape.width);
    if (block >= blocks) continue;
    const Random4 random = warp_words(key, number, kFirstControlBlock + static_cast<uint32_t>(block));
    float* to = warp.control + place * warp.groups * kGroup + block / kBlocks * kGroup + block % kBlocks;
#pragma unroll
    for (int w = 0; w < kWords; ++w)
      to[w * kBlocks] = (__uint_as_float(random.words[w] >> 9 | 0x3F800000) - 1.5f) * warp.grid.amplitude;
  }
}

// The cubic B-spline, for any t.
__device__ float spline(float t) {
  const float outer = fmaxf(0, 2 - fabsf(t)), inner = fmaxf(0, 1 - fabsf(t));
  return fmaf(outer * outer, outer, -4 * (inner * inner * inner)) * (1.0f / 6);
}

// The four control points along an axis that a position in the grid depends on, and their weights.
struct Taps {
  int64_t first;
  float weight[kTaps];
};
__device__ Taps taps_at(float position, int64_t count) {
  Taps taps;
  taps.first = min(static_cast<int64_t>(position), count - kTaps);
  for (int k = 0; k < kTaps; ++k) taps.weight[k] = spline(position - static_cast<float>(taps.first + k - 1));
  return taps;
}

__device__ float displacement(const float* control, int64_t columns, const Taps& y, const Taps& x) {
  float sum = 0;
  for (int i = 0; i < kTaps; ++i) {
    const float* c = control + (y.first + i) * columns + x.first;
    float row = 0;
    for (int j = 0; j < kTaps; ++j) row = fmaf(c[j], x.weight[j], row);
    sum = fmaf(y.weight[i], row, sum);
  }
  return sum;
}

__global__ void __launch_bounds__(kThreads)
    sample_kernel(Warp warp, const float* images, float fill, float* to) {
  const int64_t height = warp.shape.height, width = warp.shape.width, plane = height * width;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < warp.shape.count * plane;
       i += int64_t{gridDim.x} * kThreads) {
    const int64_t place = i / plane, pixel = i % plane;
    const auto y = static_cast<float>(pixel / width), x = static_cast<float>(pixel % width);
    const ImageWarp map = warp.maps[place];
    float from_y = fmaf(map.yx, x, fmaf(map.yy, y, map.y0)),
          from_x = fmaf(map.xx, x, fmaf(map.xy, y, map.x0));
    if (warp.groups > 0) {
      const WarpGrid& grid = warp.grid;
      const Taps rows = taps_at(fmaf(y, grid.per_pixel, map.phase_y), grid.rows);
      const Taps columns = taps_at(fmaf(x, grid.per_pixel, map.phase_x), grid.columns);
      const float* control = warp.control + place * warp.groups * kGroup;
      from_y += displacement(control, grid.columns, rows, columns);
      from_x += displacement(control + grid.points(), grid.columns, rows, columns);
    }
    // Beyond the border, all pixels are `fill`.
    from_y = fminf(fmaxf(from_y, -1), static_cast<float>(height));
    from_x = fminf(fmaxf(from_x, -1), static_cast<float>(width));
    const float top = floorf(from_y), left = floorf(from_x), down = from_y - top, right = from_x - left;
    const auto row = static_cast<int64_t>(top), column = static_cast<int64_t>(left);
    const int64_t first = place * warp.shape.planes * plane;
    for (int64_t p = 0; p < warp.shape.planes; ++p) {
      const float* image = images + first + p * plane;
      const auto at = [=](int64_t r, int64_t c) {
        return r >= 0 && r < height && c >= 0 && c < width ? image[r * width + c] : fill;
      };
      const float a = at(row, column), b = at(row, column + 1);
      const float c = at(row + 1, column), d = at(row + 1, column + 1);
      const float above = fmaf(right, b - a, a), below = fmaf(right, d - c, c);
      to[first + p * plane + pixel] = fmaf(down, below - above, above);
    }
  }
}

}  // namespace

void warp_images(const float* images, const int64_t* index, const ops::WarpShape& shape,
                 const WarpStrengths& strengths, float fill, const WarpKey& key, float* to) {
  if (shape.count * shape.size() == 0) return;
  if (strengths.is_zero()) {
    check(cudaMemcpyAsync(to, images, static_cast<size_t>(shape.count * shape.size()) * sizeof(float),
                          cudaMemcpyDeviceToDevice, stream()),
          "warp_images");
    return;
  }
  const WarpGrid grid = warp_grid(strengths, shape.height, shape.width);
  const int64_t groups = strengths.elastic > 0 ? parts(2 * grid.points(), kGroup) : 0;
  const Scratch<ImageWarp> maps(shape.count);
  const Scratch<float> control(shape.count * groups * kGroup);
  const Warp warp{shape, grid, groups, maps.data(), control.data()};
  const int64_t draws = shape.count * std::max<int64_t>(1, groups * kBlocks);
  draw_kernel<<<blocks_for(draws, kThreads), kThreads, 0, stream()>>>(warp, index, strengths, key);
  check_launch("warp_images");
  const int64_t pixels = shape.count * shape.height * shape.width;
  sample_kernel<<<blocks_for(pixels, kThreads), kThreads, 0, stream()>>>(warp, images, fill, to);
  check_launch("warp_images");
}

}  // namespace byhand::cuda
