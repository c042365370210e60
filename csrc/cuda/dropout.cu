// Dropout of ops/dropout.h, with the same bits as on the CPU.
//
// A thread computes one block of the random number generator: four words, which decide about four values. The
// value 64 g + e takes word e / 16 of block 16 g + e mod 16, so each row below is the work of one load or
// store of half a warp, which reads or writes 16 neighbouring values:
//
//   thread               16 g   16 g + 1   ...   16 g + 15
//   values with word 0  64 g      + 1      ...      + 15
//               word 1   + 16     + 17     ...      + 31
//               word 2   + 32     + 33     ...      + 47
//               word 3   + 48     + 49     ...      + 63
#include "core/counter_random.h"
#include "cuda/launch.h"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

constexpr int kThreads = 256, kWords = 4, kGroup = 64, kLanes = kGroup / kWords;

// y[i] = 0 if 1 + u[i] < limit, otherwise x[i] * scale
__global__ void __launch_bounds__(kThreads)
    dropout_kernel(ops::DropoutKey key, float limit, float scale, const float* x, int64_t count, float* y) {
  const int64_t block = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const Random4 random = philox4x32(
      {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), key.step, key.stream}}, key.seed);
  const int64_t first = block / kLanes * kGroup + block % kLanes;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    const int64_t i = first + w * kLanes;
    if (i >= count) return;
    // The upper 23 bits of the word are the mantissa of 1 + u, a number from 1 to below 2.
    const float one_plus_u = __uint_as_float(random.words[w] >> 9 | 0x3F800000);
    y[i] = one_plus_u < limit ? 0.0f : x[i] * scale;
  }
}

}  // namespace

void dropout(const ops::DropoutKey& key, float rate, const float* x, int64_t count, float* y) {
  if (count == 0) return;
  const float limit = 1 + rate, scale = static_cast<float>(1 / (1 - static_cast<double>(rate)));
  const unsigned blocks = static_cast<unsigned>(parts(count, kThreads * kWords));
  dropout_kernel<<<blocks, kThreads, 0, stream()>>>(key, limit, scale, x, count, y);
  check_launch("dropout");
}

}  // namespace byhand::cuda
