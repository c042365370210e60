// The matrix product in eight steps, from three nested loops to what gemm() does. tools/ladder.py times them.
#pragma once

#include <string>
#include <vector>

#include "ops/gemm.h"

namespace byhand::cpu {

// Returns the names of the steps, from the three loops on.
std::vector<std::string> ladder_steps();
// Computes out = A B by the method of one step. The rows of B are contiguous.
void ladder_multiply(const std::string& step, const ops::Matrix& a, const ops::Matrix& b, float* out);

}  // namespace byhand::cpu
