#include "cuda/launch.h"

#include <string>

#include "ops/device.h"

namespace byhand::cuda {
namespace {

// Returns what a user can do about an error, as the end of a message.
const char* advice(cudaError_t error) {
  switch (error) {
    case cudaErrorInitializationError:
      return "; a forked process cannot use the GPU: start processes with the method \"spawn\" of "
             "multiprocessing";
    case cudaErrorNoKernelImageForDevice:
      return "; byhand was built for other GPUs: build it again, for all GPUs or for this one "
             "(BYHAND_CUDA_ARCHITECTURES)";
    case cudaErrorUnsupportedPtxVersion:
      return "; the driver is older than the toolkit that built byhand: update the driver";
    case cudaErrorDevicesUnavailable:
      return "; another process has the GPU for itself: wait until it has ended, or compute on the CPU";
    default:
      break;
  }
  int current = 0;
  if (cudaGetDevice(&current) == cudaSuccess && current != 0)
    return "; byhand uses the first GPU, but this thread has chosen another one: choose it with "
           "CUDA_VISIBLE_DEVICES instead";
  // After some errors, such as an access to a wrong address, every later call fails with the same error.
  if (cudaDeviceSynchronize() == error)
    return "; this process cannot use the GPU any more and must be restarted";
  return "";
}

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // otherwise the next launch would report this error again
  std::string message = std::string("cuda: ") + what + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation)
    throw OutOfMemory(message + "; use smaller batches, or delete arrays that are no longer needed");
  message += advice(error);
  cudaGetLastError();  // the calls of advice() may have failed, too
  throw DeviceError(message);
}

cudaStream_t stream() {
  static const cudaStream_t handle = [] {
    cudaStream_t made = nullptr;
    check(cudaStreamCreateWithFlags(&made, cudaStreamDefault), "a stream");
    return made;
  }();
  return handle;
}

}  // namespace byhand::cuda
