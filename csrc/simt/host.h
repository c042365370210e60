// What the functions that a program's host code calls share: the last error, and the state of the device.
#pragma once

#include <stddef.h>

#include "simt/include/cuda_runtime.h"

namespace simt {

inline constexpr size_t kUsualDynamicShared = 48 << 10, kLargestDynamicShared = 227 << 10;

// Stores an error for cudaGetLastError(), and returns it.
cudaError_t fail(cudaError_t error);

// Why there is no device, or cudaSuccess. Tests set SIMT_DEVICES=0 or SIMT_DRIVER=0 in the environment.
cudaError_t device_error();

// A launch that failed, and whose error the program has not asked for. `error` is cudaSuccess if there is
// none.
struct UnseenError {
  cudaError_t error;
  Line line;
};
extern UnseenError unseen_error;

}  // namespace simt
