#include "cuda/memory.h"

#include <mutex>
#include <sstream>
#include <vector>

#include "core/check.h"
#include "cuda/launch.h"
#include "ops/device.h"

namespace byhand::cuda {
namespace {

constexpr int kFlags = static_cast<int>(Checked::kCount);

// The message of each flag, in the order of Checked.
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

// The flags of one thread of the host, in memory of the device. When the thread ends, the next new thread
// takes this memory over.
class Flags {
 public:
  Flags() {
    {
      const std::lock_guard lock(mutex());
      if (!unused().empty()) {
        words_ = unused().back();
        unused().pop_back();
      }
    }
    if (words_ == nullptr) words_ = static_cast<int*>(allocate(kFlags * sizeof(int)));
    check(cudaMemsetAsync(words_, 0, kFlags * sizeof(int), stream()), "the flags");
  }
  ~Flags() {
    const std::lock_guard lock(mutex());
    unused().push_back(words_);
  }
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;
  int* words() const { return words_; }

 private:
  // These two are never destroyed, because threads may end later than the main function.
  static std::mutex& mutex() {
    static std::mutex& only = *new std::mutex;
    return only;
  }
  static std::vector<int*>& unused() {
    static std::vector<int*>& all = *new std::vector<int*>;
    return all;
  }

  int* words_ = nullptr;
};

int* flags() {
  thread_local const Flags own;
  return own.words();
}

// The pool of all arrays. It keeps freed memory for the next allocation instead of returning it to the driver
// at each synchronization. It is not the default pool, which belongs to other libraries of the process, too.
cudaMemPool_t pool() {
  static const cudaMemPool_t handle = [] {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = 0;
    cudaMemPool_t made = nullptr;
    check(cudaMemPoolCreate(&made, &properties), "memory");
    uint64_t threshold = UINT64_MAX;
    check(cudaMemPoolSetAttribute(made, cudaMemPoolAttrReleaseThreshold, &threshold), "memory");
    return made;
  }();
  return handle;
}

}  // namespace

void* allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t error = cudaMallocFromPoolAsync(&memory, bytes, pool(), stream());
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

size_t release_cached() {
  const size_t before = room().in_pool;
  check(cudaMemPoolTrimTo(pool(), 0), "memory");
  const size_t after = room().in_pool;  // larger if another thread has just released an array
  return before > after ? before - after : 0;
}

// The driver keeps released memory in its pool for the next allocations, and does not count it as free.
Room room() {
  wait();
  Room result{};
  check(cudaMemGetInfo(&result.free, &result.total), "memory");
  uint64_t reserved = 0, used = 0;
  check(cudaMemPoolGetAttribute(pool(), cudaMemPoolAttrReservedMemCurrent, &reserved), "memory");
  check(cudaMemPoolGetAttribute(pool(), cudaMemPoolAttrUsedMemCurrent, &used), "memory");
  result.in_pool = reserved - used;
  result.free += result.in_pool;
  return result;
}

int* flag_of(Checked op) { return flags() + static_cast<int>(op); }

void wait() { check(cudaStreamSynchronize(stream()), "the work on the GPU"); }

void wait_and_check_flags() {
  int found[kFlags] = {};
  check(cudaMemcpyAsync(found, flags(), sizeof found, cudaMemcpyDeviceToHost, stream()), "a copy");
  wait();
  const char* message = nullptr;
  for (int i = kFlags - 1; i >= 0; --i) {
    if (!found[i]) continue;
    message = kMessages[i];
    check(cudaMemsetAsync(flags() + i, 0, sizeof(int), stream()), "the flags");
  }
  if (message != nullptr) fail("an earlier call on cuda had bad input: ", message);
}

}  // namespace byhand::cuda
