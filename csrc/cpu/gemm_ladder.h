// The matrix product as it grows from three loops to what gemm() does, for `byhand bench gemm --ladder`.
#pragma once

#include <string>
#include <vector>

#include "ops/gemm.h"

namespace byhand::cpu {

// The steps in their order, and one of them: out = A B. Rows of B are contiguous.
std::vector<std::string> ladder_steps();
void ladder_multiply(const std::string& step, const ops::Matrix& a, const ops::Matrix& b, float* out);

}  // namespace byhand::cpu
