// The contract of the kernel that counts correct predictions.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct CountCorrectKernels {
  // Returns the number of rows that have their largest score at their label. If several scores are the
  // largest, the first counts. A row with a NaN is not correct. Labels are from 0 to classes - 1.
  int64_t (*count)(const float* scores, const int64_t* labels, int64_t rows, int64_t classes);
};

}  // namespace byhand::cpu
