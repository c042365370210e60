#include "cuda/memory.h"

#include <sstream>

#include "core/check.h"
#include "cuda/launch.h"
#include "ops/device.h"

namespace byhand::cuda {
namespace {

constexpr int kFlags = static_cast<int>(Checked::kCount);

// What was wrong, in the order of Checked.
constexpr const char* kMessages[kFlags] = {
    "conv2d_pool_act_backward got an index outside the plane of the convolution's output; its gradients are "
    "undefined",
    "max_pool2d_backward got an index that is neither -1 nor inside the plane of the input; the gradient at "
    "this index is left out",
    "softmax_cross_entropy or its backward function got a label that is neither a class nor ignore_index; "
    "the loss and the gradient of this row are NaN",
    "count_correct got a label that is not a class; the row counts as wrong",
    "gather_images got an index that is not the number of an image; all pixels of this image are NaN",
};

int* flags() {
  static int* const words = [] {
    void* memory = nullptr;
    check(cudaMalloc(&memory, kFlags * sizeof(int)), "the flags");
    check(cudaMemsetAsync(memory, 0, kFlags * sizeof(int), stream()), "the flags");
    return static_cast<int*>(memory);
  }();
  return words;
}

}  // namespace

void* allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t error = cudaMallocAsync(&memory, bytes, stream());
  if (error != cudaErrorMemoryAllocation) {
    check(error, "memory");
    return memory;
  }
  cudaGetLastError();  // otherwise the next launch would report this error again
  const Room left = room();
  std::ostringstream message;
  message << "cuda: out of memory: " << bytes << " bytes were asked for, and " << left.free << " of "
          << left.total << " bytes are free; use smaller batches, or delete arrays that are no longer needed";
  throw OutOfMemory(message.str());
}

void release(void* memory) noexcept {
  if (memory != nullptr) cudaFreeAsync(memory, stream());
}

// The driver keeps released memory in its pool for the next allocations, and does not count it as free.
Room room() {
  check(cudaStreamSynchronize(stream()), "the work on the GPU");
  Room result{};
  check(cudaMemGetInfo(&result.free, &result.total), "memory");
  cudaMemPool_t pool;
  check(cudaDeviceGetDefaultMemPool(&pool, 0), "memory");
  uint64_t reserved = 0, used = 0;
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved), "memory");
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used), "memory");
  result.free += reserved - used;
  return result;
}

int* flag_of(Checked op) { return flags() + static_cast<int>(op); }

void wait_and_check_flags() {
  int found[kFlags] = {};
  check(cudaMemcpyAsync(found, flags(), sizeof found, cudaMemcpyDeviceToHost, stream()), "a copy");
  check(cudaStreamSynchronize(stream()), "the work on the GPU");
  const char* message = nullptr;
  for (int i = kFlags - 1; i >= 0; --i) {
    if (!found[i]) continue;
    message = kMessages[i];
    check(cudaMemsetAsync(flags() + i, 0, sizeof(int), stream()), "the flags");
  }
  if (message != nullptr) fail("an earlier call on cuda had bad input: ", message);
}

}  // namespace byhand::cuda
