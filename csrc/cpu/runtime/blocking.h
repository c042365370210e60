// Sizes of caches, ranges, and estimates of durations. Drivers use them to choose blocks and threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace byhand::cpu {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The number of floats that fit into each cache. Every CPU of the last ten years has caches of this size or
// larger. Drivers leave a share of each cache to data that is read only once.
inline constexpr int64_t kL1Floats = 32 * 1024 / 4;
inline constexpr int64_t kL2Floats = 256 * 1024 / 4;
// The number of floats that fit into L2 and one core's share of L3 together. It is for data that is read
// repeatedly, in long contiguous pieces.
inline constexpr int64_t kSharedFloats = 4 * 1024 * 1024 / 4;

// Returns whether values at this distance, in floats, evict each other. If it is a multiple of 2 KB, L1 can
// keep only a few of their cache lines (section 7 of docs/gemm.md).
inline bool is_aliased(int64_t stride) { return stride % 512 == 0; }

// The indices from begin to end - 1.
struct Range {
  int64_t begin, end;
};
// The range [0, total), cut into nearly equal parts. A loop over tiles makes one Split, so that it does not
// divide in every round: a division takes as long as about ten multiply-adds of vectors.
class Split {
 public:
  Split(int64_t total, int64_t parts) : size_(total / parts), longer_(total % parts) {}
  Range operator[](int64_t i) const {
    return {size_ * i + std::min(i, longer_), size_ * (i + 1) + std::min(i + 1, longer_)};
  }
  int64_t length(int64_t i) const { return size_ + (i < longer_ ? 1 : 0); }

 private:
  int64_t size_, longer_;  // the first `longer_` parts have one more than `size_`
};
// Returns part `i` of `parts` nearly equal parts of [0, total).
inline Range split(int64_t total, int64_t parts, int64_t i) { return Split(total, parts)[i]; }

// The approximate duration of an operation that reads and writes this number of bytes and does little
// arithmetic. The rate is 10 bytes per nanosecond.
inline double memory_ns(double bytes) { return bytes / 10; }

}  // namespace byhand::cpu
