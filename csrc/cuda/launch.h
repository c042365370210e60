// Launches: every kernel runs in the one stream of this library, and every launch is checked.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/launch_limit.h"

namespace byhand::cuda {

// Throws std::runtime_error if `error` is one. `what` names the operator. After some errors, such as an
// access to a wrong address, every later call fails, too. The message then says so.
inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  const bool is_lost = cudaDeviceSynchronize() != cudaSuccess;
  throw std::runtime_error(
      std::string("cuda: ") + what + ": " + cudaGetErrorString(error) +
      (is_lost ? "; this process cannot use the GPU any more and must be restarted" : ""));
}

// To be called after every launch. An error of an earlier kernel or copy may show only here, so `op` is not
// always to blame.
inline void check_launch(const char* op) { check(cudaGetLastError(), op); }

// The stream of all work. It is made at the first call, and never destroyed. It waits for the work that other
// libraries have put into the default stream, and that work waits for it, so arrays may be shared with them.
// All threads share it, so that an array that one thread has computed is complete before the kernels of
// another thread read it.
inline cudaStream_t stream() {
  static const cudaStream_t handle = [] {
    cudaStream_t made = nullptr;
    check(cudaStreamCreateWithFlags(&made, cudaStreamDefault), "a stream");
    return made;
  }();
  return handle;
}

// The threads of a warp, and a mask that names all of them.
inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// The number of parts of `size` values that hold `count` values.
inline int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The number of blocks for `count` items of work, if a block does `size` of them at a time.
inline unsigned blocks_for(int64_t count, int64_t size) {
  return static_cast<unsigned>(std::min(parts(count, size), most_blocks));
}

}  // namespace byhand::cuda
