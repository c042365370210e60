// The CPU's table of operators.
#include "ops/device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/scratch.h"

namespace byhand {
namespace {

// Arrays begin at the start of a cache line. The size that std::aligned_alloc takes is a multiple of one.
void* allocate(size_t bytes) {
  constexpr size_t kLine = kCacheLineBytes;
  void* const memory = std::aligned_alloc(kLine, (bytes / kLine + 1) * kLine);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release(void* memory) noexcept { std::free(memory); }

void copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void fill(float* to, int64_t count, float value) { std::fill_n(to, count, value); }

void nothing() {}

const Device kCpu{.name = "cpu",
                  .is_gpu = false,
                  .allocate = allocate,
                  .release = release,
                  .release_cached = release_scratch,
                  .from_host = copy,
                  .to_host = copy,
                  .copy = copy,
                  .fill = fill,
                  .wait = nothing,
                  .synchronize = nothing,
#define X(name) .name = ops::name,
                  BYHAND_OPERATORS(X)
#undef X
};

}  // namespace

const Device& cpu_device() { return kCpu; }

}  // namespace byhand
