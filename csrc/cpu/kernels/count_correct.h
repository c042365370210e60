// The contract of the kernel that counts correct predictions.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct CountCorrectKernels {
  // Returns the number of correct rows of `scores` (rows, classes). A row is correct if its largest score is
  // that of its label. If several scores are equal and largest, the first of them counts as the largest. A
  // row with a NaN is not correct. Labels must be from 0 to classes - 1.
  int64_t (*count)(const float* scores, const int64_t* labels, int64_t rows, int64_t classes);
};

}  // namespace byhand::cpu
