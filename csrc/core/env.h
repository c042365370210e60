// The only reader of the environment in C++.
#pragma once

#include <string>

namespace byhand::env {

// BYHAND_NUM_THREADS, otherwise the first number of OMP_NUM_THREADS, at most `most`; 0 if neither is set. In
// our own variable anything but a whole number from 1 to `most` is an error. OMP_NUM_THREADS belongs to other
// libraries, which accept words such as "auto" and larger numbers. A larger number counts as `most`, and a
// value that is not a number counts as not set.
int num_threads(int most);

// BYHAND_ISA, or "" where it is not set.
std::string isa();

}  // namespace byhand::env
