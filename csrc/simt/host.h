// What the functions that a program's host code calls share: the last error, and the state of the device.
#pragma once

#include <stddef.h>

#include "simt/include/cuda_runtime.h"

namespace simt {

inline constexpr size_t kUsualDynamicShared = 48 << 10, kLargestDynamicShared = 227 << 10;

// Stores an error for cudaGetLastError(), and returns it.
cudaError_t fail(cudaError_t error);

// Lets one thread of the host at a time into the emulator. A thread that has a turn may take another one
// inside. A launch is one turn.
class Turn {
 public:
  Turn();
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

// Why there is no device, or cudaSuccess. Tests set SIMT_DEVICES or SIMT_DRIVER in the environment.
cudaError_t device_error();

// A launch that failed, and whose error the program has not asked for. `error` is cudaSuccess if there is
// none.
struct UnseenError {
  cudaError_t error;
  Line line;
};
extern UnseenError unseen_error;

}  // namespace simt
