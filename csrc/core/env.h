// The only reader of the environment in C++.
#pragma once

#include <string>

namespace byhand::env {

// BYHAND_NUM_THREADS, else the first number of OMP_NUM_THREADS, at most `most`; 0 where neither is set.
// Anything but a whole number of at least 1 is an error, and so is more than `most` in our own variable.
int num_threads(int most);

// BYHAND_ISA, or "" where it is not set.
std::string isa();

}  // namespace byhand::env
