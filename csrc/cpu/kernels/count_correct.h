// The contract of the kernel that counts right answers.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct CountCorrectKernels {
  // The number of rows whose first largest score is at their label. Labels are from 0 to classes - 1.
  int64_t (*count)(const float* scores, const int64_t* labels, int64_t rows, int64_t classes);
};

}  // namespace byhand::cpu
