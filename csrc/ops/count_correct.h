// Counts the correct rows of `scores`, the rows whose largest score is that of their label. If several scores
// of a row are the largest, the first one counts. A row with NaN is not correct.
#pragma once

#include <stdint.h>

namespace byhand::ops {

// scores (rows, classes) and labels (rows) are contiguous. Throws std::invalid_argument if a label is not
// from 0 to classes - 1.
int64_t count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes);

}  // namespace byhand::ops
