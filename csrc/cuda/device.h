// The GPU: its table of operators, whether it can be used, its name and its memory. For module.cc.
#pragma once

#include <cstddef>
#include <string>

#include "ops/device.h"

namespace byhand::cuda {

// The table of operators. It can be used if why_not() is empty.
const Device& device();

// Returns why the GPU cannot be used, and what to do about it, or an empty string if it can.
std::string why_not();

struct Info {
  std::string name;
  size_t free_bytes, total_bytes;  // of its memory
};
Info info();

}  // namespace byhand::cuda
