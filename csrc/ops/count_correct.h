// Rows of scores (rows, classes) whose largest score, the first of equal ones, is the label's. A row with NaN
// is not correct.
#pragma once

#include <stdint.h>

namespace byhand::ops {

// Throws std::invalid_argument where a label is not of 0 to classes - 1.
int64_t count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes);

}  // namespace byhand::ops
