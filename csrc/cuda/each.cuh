// One result per index: for_each calls a function object on the device with each index. A thread has four
// indices at a time:
//
//   index      0 1 2 ... 255 | 256 ... 511 | 512 ... 767 | 768 ... 1023 | 1024 ... 1279 | ...
//   block      0: load 0     | load 1      | load 2      | load 3       | 1: load 0     | ...
//
// Neighbouring threads have neighbouring indices, so the accesses of a warp to x[i] fill whole cache lines.
// All four loads are issued before the first store. With one load per thread, too few bytes would be on their
// way to keep the memory of a large GPU busy.
#pragma once

#include "cuda/launch.h"

namespace byhand::cuda {

inline constexpr int kEachThreads = 256;

template <int kCount, class F>
__global__ void __launch_bounds__(kEachThreads) each_kernel(int64_t count, F f) {
  constexpr int64_t kStep = int64_t{kCount} * kEachThreads;
  for (int64_t first = blockIdx.x * kStep + threadIdx.x; first < count; first += gridDim.x * kStep) {
    decltype(f.load(first)) loaded[kCount];
#pragma unroll
    for (int k = 0; k < kCount; ++k)
      if (first + k * kEachThreads < count) loaded[k] = f.load(first + k * kEachThreads);
#pragma unroll
    for (int k = 0; k < kCount; ++k)
      if (first + k * kEachThreads < count) f.store(first + k * kEachThreads, loaded[k]);
  }
}

// Calls f.store(i, f.load(i)) for every i from 0 to below `count`, in any order. A thread loads kCount values
// before it stores the first of them, so f.load(i) must not read what f.store writes for another index. `op`
// names the operator in errors.
template <int kCount = 4, class F>
void for_each(int64_t count, F f, const char* op) {
  if (count == 0) return;
  each_kernel<kCount><<<blocks_for(count, kCount * kEachThreads), kEachThreads, 0, stream()>>>(count, f);
  check_launch(op);
}

}  // namespace byhand::cuda
