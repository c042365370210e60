// The table of operators of an NVIDIA GPU, its memory functions, and the search for a GPU.
#include "cuda/device.h"

#include <string>

#include "cuda/each.cuh"
#include "cuda/memory.h"
#include "cuda/ops.h"

namespace byhand::cuda {
namespace {

struct Fill {
  float* to;
  float value;

  __device__ float load(int64_t) const { return value; }
  __device__ void store(int64_t i, float loaded) const { to[i] = loaded; }
};

void fill(float* to, int64_t count, float value) { for_each(count, Fill{to, value}, "fill"); }

// Waits, because some GPUs read the memory of the host by themselves, after cudaMemcpyAsync has returned.
void from_host(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream()), "a copy to the GPU");
  check(cudaStreamSynchronize(stream()), "a copy to the GPU");
}

void to_host(void* to, const void* from, size_t bytes) {
  if (bytes > 0)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream()), "a copy from the GPU");
  wait_and_check_flags();
}

void copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()), "a copy");
}

#ifdef SIMT_EMULATED
constexpr bool kIsGpu = false;
#else
constexpr bool kIsGpu = true;
#endif

const Device kCuda{.name = "cuda",
                   .is_gpu = kIsGpu,
                   .allocate = allocate,
                   .release = release,
                   .release_cached = release_cached,
                   .from_host = from_host,
                   .to_host = to_host,
                   .copy = copy,
                   .fill = fill,
                   .wait = wait,
                   .synchronize = wait_and_check_flags,
#define X(name) .name = cuda::name,
                   BYHAND_OPERATORS(X)
#undef X
};

// As NVIDIA writes it: 13000 is "13.0".
std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string why_no_device(cudaError_t error) {
  if (error == cudaErrorNoDevice)
    return "no NVIDIA GPU was found; if there is one, check `nvidia-smi` and CUDA_VISIBLE_DEVICES";
  if (error != cudaErrorInsufficientDriver)
    return std::string("CUDA reports: ") + cudaGetErrorString(error) +
           "; check whether `nvidia-smi` shows the GPU, or compute on the CPU";
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "there is no NVIDIA driver; install it, or compute on the CPU";
  return "the NVIDIA driver is too old: it supports CUDA " + version(driver) +
         ", but byhand was built with CUDA " + version(runtime) + "; update the driver";
}

}  // namespace

const Device& device() { return kCuda; }

std::string why_not() {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    cudaGetLastError();
    return why_no_device(error);
  }
  if (count == 0) return why_no_device(cudaErrorNoDevice);
  try {
    int current = 0;
    cudaGetDevice(&current);
    if (current != 0)
      return "byhand uses the first GPU, but this thread has chosen GPU " + std::to_string(current) +
             "; choose a GPU with CUDA_VISIBLE_DEVICES instead";
    int has_pools = 0;
    check(cudaDeviceGetAttribute(&has_pools, cudaDevAttrMemoryPoolsSupported, 0), "the GPU");
    if (!has_pools) return "the GPU or its driver has no memory pools, which byhand needs; update the driver";
    const Scratch<float> probe(1);  // finds a GPU that this build has no code for
    fill(probe.data(), 1, 0);
    wait_and_check_flags();
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

Info info() {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "the GPU");
  const Room memory = room();
  return {properties.name, memory.free, memory.total};
}

}  // namespace byhand::cuda
