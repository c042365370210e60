// The matrix product in steps, from three nested loops to what gemm() does. tools/ladder.py times them.
#pragma once

#include <string>
#include <vector>

#include "ops/gemm.h"

namespace byhand::cpu {

// The names of the steps in their order, and one step: out = A B. Rows of B are contiguous.
std::vector<std::string> ladder_steps();
void ladder_multiply(const std::string& step, const ops::Matrix& a, const ops::Matrix& b, float* out);

}  // namespace byhand::cpu
