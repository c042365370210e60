// The only reader of the environment in C++.
#pragma once

#include <string>

namespace byhand::env {

// Returns BYHAND_NUM_THREADS, otherwise the first number of OMP_NUM_THREADS, or 0 if neither is set. If
// BYHAND_NUM_THREADS is not a whole number from 1 to `most`, throws std::invalid_argument. OMP_NUM_THREADS
// belongs to other libraries, which accept words such as "auto" and larger numbers: a larger number counts as
// `most`, and a value that is not a number counts as not set.
int num_threads(int most);

// Returns BYHAND_ISA, or "" if it is not set.
std::string isa();

}  // namespace byhand::env
