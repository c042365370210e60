// The only reader of the environment in C++.
#pragma once

#include <string>

namespace byhand::env {

// BYHAND_NUM_THREADS, else the first number of OMP_NUM_THREADS, at most `most`; 0 if neither is set. Anything
// but a whole number from 1 to `most` is an error in our own variable. OMP_NUM_THREADS belongs to other
// libraries, which take words as "auto" or numbers beyond ours: a larger number counts as `most`, and what is
// no number counts as not set.
int num_threads(int most);

// BYHAND_ISA, or "" where it is not set.
std::string isa();

}  // namespace byhand::env
