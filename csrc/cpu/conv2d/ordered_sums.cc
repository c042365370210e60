#include "cpu/conv2d/ordered_sums.h"

#include <algorithm>

#include "cpu/kernels/reduce.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

int64_t max_partial_sums(int64_t size) {
  constexpr int64_t kFloats = int64_t{1} << 22;  // the maximum size of all partial sums together: 16 MiB
  return std::clamp<int64_t>(kFloats / std::max<int64_t>(size, 1), 1, kMaxPartialSums);
}

int64_t partial_sum_count(const Conv2dShape& s, int64_t size) {
  // The minimum number of output positions per partial sum. With this many, clearing and adding the partial
  // sums costs less than 1 % of computing them.
  constexpr int64_t kPositions = 2048;
  const int64_t positions = s.batch * s.out_h * s.out_w;
  return std::min(s.batch, std::clamp<int64_t>(positions / kPositions, 1, max_partial_sums(size)));
}

void add_in_order(const float* sums, int64_t count, int64_t distance, int64_t size, float* total) {
  const auto add = kernels<ReduceKernels>().add;
  for (int64_t i = 0; i < count; ++i) add(total, sums + i * distance, size, total);
}

}  // namespace byhand::cpu
