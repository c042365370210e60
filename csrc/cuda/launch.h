// Launches: every kernel runs in the stream of the calling thread, and every launch is checked.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace byhand::cuda {

// Throws std::runtime_error if `error` is one. `what` names the operator.
inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string("cuda: ") + what + ": " + cudaGetErrorString(error));
}

// To be called after every launch. An error of an earlier kernel or copy may show only here, so `op` is not
// always to blame.
inline void check_launch(const char* op) { check(cudaGetLastError(), op); }

// The stream of the calling thread. It is made at the first call, for the device that is current then, and
// lives as long as the thread. So a thread uses one device.
inline cudaStream_t stream() {
  struct Stream {
    cudaStream_t handle = nullptr;
    Stream() { check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "a stream"); }
    ~Stream() { cudaStreamDestroy(handle); }
  };
  static thread_local Stream own;
  return own.handle;
}

// The threads of a warp, and a mask that names all of them.
inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// The number of parts of `size` values that hold `count` values.
inline int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The largest number of blocks of a launch, for kernels whose blocks take several parts of the work. 4096
// blocks fill every GPU. Tests choose a small number, because an emulated GPU would need minutes for more
// than 4096 blocks.
inline int64_t most_blocks = 4096;

// The number of blocks for `count` items of work, if a block does `size` of them at a time.
inline unsigned blocks_for(int64_t count, int64_t size) {
  return static_cast<unsigned>(std::min(parts(count, size), most_blocks));
}

}  // namespace byhand::cuda
