#include "ops/gather.h"

#include "core/check.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// Images of a shuffled batch lie anywhere in memory; asked for in time, several come at once.
constexpr int64_t kAhead = 4;

void prefetch(const uint8_t* data, int64_t size) {
  constexpr int64_t kLine = 64;
  for (int64_t i = 0; i < size; i += kLine) __builtin_prefetch(data + i);
}

}  // namespace

void gather_images(const ImageBytes& images, const int64_t* index, int64_t count, float scale, float offset,
                   float* to) {
  for (int64_t i = 0; i < count; ++i)
    require(index[i] >= 0 && index[i] < images.count, "index[", i, "] must be of 0 to ", images.count - 1,
            ", a row of images, got ", index[i]);
  const auto kernel = kernels().gather.bytes;
  const double ns = memory_ns(static_cast<double>(images.size) * (1 + sizeof(float))) + 10;
  parallel_ranges(count, ns, [=, &images](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (i + kAhead < end) prefetch(images.data + index[i + kAhead] * images.size, images.size);
      kernel(images.data + index[i] * images.size, images.size, scale, offset, to + i * images.size);
    }
  });
}

}  // namespace byhand::ops
