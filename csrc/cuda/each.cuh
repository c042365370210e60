// One thread per value: for_each calls a function object on the device with each index.
//
//   index      0 1 2 ... 255 | 256 257 ... 511 | ... | 1048576 ...
//   block      0             | 1               | ... | 0, in its second round
//
// Neighbouring threads have neighbouring indices, so the accesses of a warp to x[i] fill whole cache lines.
#pragma once

#include "cuda/launch.h"

namespace byhand::cuda {

inline constexpr int kEachThreads = 256;

template <class F>
__global__ void __launch_bounds__(kEachThreads) each_kernel(int64_t count, F f) {
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kEachThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kEachThreads + threadIdx.x; i < count; i += threads)
    f(i);
}

// Calls f(i) for every i from 0 to below `count`, in any order. `op` names the operator in errors.
template <class F>
void for_each(int64_t count, F f, const char* op) {
  if (count == 0) return;
  each_kernel<<<blocks_for(count, kEachThreads), kEachThreads, 0, stream()>>>(count, f);
  check_launch(op);
}

}  // namespace byhand::cuda
