// Temporary memory for drivers, the code that splits an operator into calls of kernels. The memory is a stack
// of blocks that are aligned to 64 bytes. Each thread has its own stack.
//
//   ScratchFrame frame;
//   float* panel = frame.allocate<float>(count);   // not initialised; valid until `frame` goes out of scope
//
// When the last open frame of a thread closes, the thread keeps up to 64 MiB for its next frames and frees
// the rest. So a second call of an operator with the same sizes allocates nothing if it needs at most 64 MiB.
// release_scratch frees what all threads keep.
#pragma once

#include <cstddef>
#include <cstdint>

namespace byhand {

// The size of a cache line, in bytes and in floats. Memory moves between caches and cores in pieces of this
// size.
inline constexpr int64_t kCacheLineBytes = 64, kCacheLineFloats = kCacheLineBytes / int64_t{sizeof(float)};

class ScratchFrame {
 public:
  ScratchFrame();
  ~ScratchFrame();
  ScratchFrame(const ScratchFrame&) = delete;
  ScratchFrame& operator=(const ScratchFrame&) = delete;

  // Throws std::bad_alloc if the system cannot supply the memory, or if `count` is negative or too large.
  template <class T>
  T* allocate(int64_t count) {
    return static_cast<T*>(allocate_bytes(count, sizeof(T)));
  }

 private:
  void* allocate_bytes(int64_t count, size_t size);

  size_t block_, used_;  // the top of the stack when this frame was opened
};

// Frees the scratch memory of every thread that has no open frame. Returns the number of bytes. No other
// thread may fork meanwhile.
size_t release_scratch();

// Returns the largest number of bytes that all threads together have had since the last call of this
// function.
size_t scratch_peak();

}  // namespace byhand
