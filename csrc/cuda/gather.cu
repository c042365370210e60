// The batch of images of ops/gather.h, with the same bits as on the CPU.
//
// A block of 256 threads converts 1024 pixels of one image, and a thread every 256th of them, so that
// neighbouring threads read and write neighbouring pixels:
//
//   to        | image 0             | image 1             | ...
//   blocks    |    0     |    1     |    2     |    3     |        here an image has two parts
//   threads   |0..255|0..255|0..255|0..255|
//
// All threads of a block need the same shift. Each thread computes it by itself, in less than 100
// instructions. If one thread computed it, the others would have to wait for it at a barrier.
#include <algorithm>
#include <cmath>

#include "core/counter_random.h"
#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/ops.h"
#include "cuda/team.cuh"

namespace byhand::cuda {
namespace {

constexpr int kThreads = 256, kPixels = 1024;

// A shift by dy rows and dx columns.
struct Move {
  int64_t dy, dx;
};

// Returns the random shift of image `index`.
__device__ Move draw(const ops::Shift& shift, int64_t index) {
  const auto row = static_cast<uint64_t>(index);
  const Random4 bits = philox4x32(
      {{static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32), shift.step, ops::kShiftStream}},
      shift.seed);
  const auto choices = static_cast<uint32_t>(2 * shift.max_shift + 1);
  return {below(choices, bits.words[0]) - shift.max_shift, below(choices, bits.words[1]) - shift.max_shift};
}

// The number of a pixel in its image is a Number: uint32_t if it is large enough, because a division of
// 64-bit numbers takes several times as long.
template <class Number>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(ops::ImageBytes images, const int64_t* index, int64_t count, float scale, float offset,
                  ops::Shift shift, float* to, int* bad) {
  const int64_t size = images.planes * images.height * images.width,
                parts_of_image = max(int64_t{1}, (size + kPixels - 1) / kPixels);
  const auto height = static_cast<Number>(images.height), width = static_cast<Number>(images.width);
  for (int64_t part = blockIdx.x; part < count * parts_of_image; part += gridDim.x) {
    const int64_t place = part / parts_of_image, first = part % parts_of_image * kPixels;
    const int64_t last = min(first + kPixels, size);
    const int64_t number = index[place];
    const bool is_good = number >= 0 && number < images.count;
    if (!is_good && threadIdx.x == 0) report_bad(bad);
    const Move move = shift.max_shift > 0 ? draw(shift, number) : Move{0, 0};
    for (int64_t i = first + threadIdx.x; i < last; i += kThreads) {
      const auto pixel = static_cast<Number>(i);
      const int64_t y = static_cast<int64_t>(pixel / width % height) - move.dy;
      const int64_t x = static_cast<int64_t>(pixel % width) - move.dx;
      float value = is_good ? offset : NAN;
      if (is_good && y >= 0 && y < images.height && x >= 0 && x < images.width)
        value = fmaf(images.data[number * size + i - move.dy * images.width - move.dx], scale, offset);
      to[place * size + i] = value;
    }
  }
}

}  // namespace

void gather_images(const ops::ImageBytes& images, const int64_t* index, int64_t count, float scale,
                   float offset, const ops::Shift& shift, float* to) {
  if (shift.max_shift < 0 || shift.max_shift > ops::kLargestShift)
    throw std::invalid_argument("max_shift must be from 0 to " + std::to_string(ops::kLargestShift) +
                                ", got " + std::to_string(shift.max_shift));
  if (count == 0) return;
  const auto kernel = images.size() <= INT32_MAX ? gather_kernel<uint32_t> : gather_kernel<uint64_t>;
  // An image without pixels has one part, too, which checks its index.
  const int64_t blocks = count * std::max<int64_t>(1, parts(images.size(), kPixels));
  kernel<<<static_cast<unsigned>(std::min<int64_t>(blocks, INT32_MAX)), kThreads, 0, stream()>>>(
      images, index, count, scale, offset, shift, to, flag_of(Checked::kGatherImages));
  check_launch("gather_images");
}

}  // namespace byhand::cuda
