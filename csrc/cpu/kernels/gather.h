// The contract of the kernel that converts pixels to floats.
#pragma once

#include <stdint.h>

namespace byhand::cpu {

struct GatherKernels {
  // to[i] = bytes[i] * scale + offset
  void (*bytes)(const uint8_t* bytes, int64_t count, float scale, float offset, float* to);
};

}  // namespace byhand::cpu
