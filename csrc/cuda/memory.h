// Memory of the device for the operators' own use: scratch arrays, and flags for bad labels and indices.
#pragma once

#include <cstddef>
#include <cstdint>

namespace byhand::cuda {

// Memory functions of byhand::Device. Memory is allocated and freed in the order of the stream, so a kernel
// that was launched before `release` may still use it.
void* allocate(size_t bytes);
void release(void* memory) noexcept;
size_t release_cached();

// The bytes that arrays can still take, and all bytes of the GPU. `free` includes the bytes in the pool of
// released memory, `in_pool`.
struct Room {
  size_t free, total, in_pool;
};
Room room();  // waits for the work in the stream, which may release memory

// An array of `count` values that lives until the work that is in the stream at its end is done.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : data_(static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T)))) {}
  ~Scratch() { release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }

 private:
  T* data_;
};

// The operators that check labels or indices on the device. Each of them has a flag, a word of the device
// that is 0. If a value is bad, the operator's kernel writes 1 there. Each
// thread of the host has its own flags, so it learns about the bad values of its own calls only.
enum class Checked {
  kConv2dPoolActBackward,
  kMaxPool2dBackward,
  kSoftmaxCrossEntropy,
  kCountCorrect,
  kGatherImages,
  kCount,
};
int* flag_of(Checked op);

void wait();  // for the stream

// Copies the flags of the calling thread to the host and waits for the stream. Clears those that are set, and
// throws std::invalid_argument for the first of them.
void wait_and_check_flags();

}  // namespace byhand::cuda
