// Counts the rows of `scores` that are correct: the largest score of the row is that of its label. If several
// scores share the maximum, the first of them counts as the largest. A row with a NaN is not correct.
#pragma once

#include <stdint.h>

namespace byhand::ops {

// Writes the number of correct rows to `count`. scores (rows, classes) and labels (rows) are contiguous.
// Throws std::invalid_argument if a label is not from 0 to classes - 1.
void count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes, int64_t* count);

}  // namespace byhand::ops
