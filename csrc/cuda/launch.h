// Launches: every kernel runs in the one stream of this library, and every launch is checked.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "cuda/launch_limit.h"

namespace byhand::cuda {

// Throws if `error` is one: OutOfMemory if memory is short, otherwise DeviceError. `what` names the
// operator. The message ends with what to do, if that is known.
void check(cudaError_t error, const char* what);

// To be called after every launch. An error of an earlier kernel or copy may show only here, so `op` is not
// always to blame.
inline void check_launch(const char* op) { check(cudaGetLastError(), op); }

// The stream of all work. It is made at the first call, and never destroyed. It waits for the work that other
// libraries have put into the default stream, and that work waits for it, so arrays may be shared with them.
// All threads share it, so that an array that one thread has computed is complete before the kernels of
// another thread read it.
cudaStream_t stream();

// The threads of a warp, and a mask that names all of them.
inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// The number of parts of `size` values that hold `count` values.
inline int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The number of blocks for `count` items of work, if a block does `size` of them at a time.
inline unsigned blocks_for(int64_t count, int64_t size) {
  return static_cast<unsigned>(std::min(parts(count, size), most_blocks));
}

// Sets a flag of memory.h, because an input has a bad value. Many threads may do so at the same time.
__device__ inline void report_bad(int* flag) { atomicExch(flag, 1); }

}  // namespace byhand::cuda
