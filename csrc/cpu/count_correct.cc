#include "ops/count_correct.h"

#include <atomic>

#include "core/check.h"
#include "cpu/kernels/count_correct.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

void count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes,
                   int64_t* count) {
  for (int64_t i = 0; i < rows; ++i)
    require(labels[i] >= 0 && labels[i] < classes, "labels[", i, "] must be from 0 to ", classes - 1,
            ", a class, got ", labels[i]);
  const auto kernel = kernels<CountCorrectKernels>().count;
  const double row_ns = 5 + memory_ns(sizeof(float)) * static_cast<double>(classes);
  std::atomic<int64_t> correct{0};
  parallel_ranges(rows, row_ns, [=, &correct](int64_t begin, int64_t end) {
    correct += kernel(scores + begin * classes, labels + begin, end - begin, classes);
  });
  *count = correct;
}

}  // namespace byhand::ops
