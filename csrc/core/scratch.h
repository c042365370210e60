// Temporary memory of a driver: a stack of 64-byte aligned blocks, one stack per thread.
//
//   ScratchFrame frame;
//   float* panel = frame.allocate<float>(count);   // uninitialised; gone when `frame` goes out of scope
//
// A thread keeps up to 64 MiB for its next calls, so that a call which has run once with the same sizes
// allocates nothing. If a call takes more, the rest is freed when it ends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace byhand {

// The size of a cache line: memory moves between caches and cores in such pieces.
inline constexpr int64_t kCacheLineBytes = 64, kCacheLineFloats = kCacheLineBytes / int64_t{sizeof(float)};

class ScratchFrame {
 public:
  ScratchFrame();
  ~ScratchFrame();
  ScratchFrame(const ScratchFrame&) = delete;
  ScratchFrame& operator=(const ScratchFrame&) = delete;

  // Throws std::bad_alloc where `count` values are more than the machine has, or than can be counted.
  template <class T>
  T* allocate(int64_t count) {
    return static_cast<T*>(allocate_bytes(count, sizeof(T)));
  }

 private:
  void* allocate_bytes(int64_t count, size_t size);

  size_t block_;  // where the stack stood when the frame opened
  size_t used_;
};

}  // namespace byhand
