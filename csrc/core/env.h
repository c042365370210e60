// Environment variables. No other C++ file reads them. A variable that is empty counts as not set.
#pragma once

#include <string>

namespace byhand::env {

// Returns the number in BYHAND_NUM_THREADS. If this variable is not set, returns the first number in
// OMP_NUM_THREADS, or 0 if neither variable is set. Throws std::invalid_argument if BYHAND_NUM_THREADS is not
// a whole number from 1 to `most`. OMP_NUM_THREADS belongs to other libraries, which accept larger numbers
// and words such as "auto". In OMP_NUM_THREADS, a number above `most` counts as `most`, and a value that is
// not a positive number counts as not set.
int num_threads(int most);

// Returns BYHAND_ISA, or "" if it is not set.
std::string isa();

}  // namespace byhand::env
