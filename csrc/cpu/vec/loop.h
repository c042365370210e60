// Loops over arrays, one vector at a time. If the length is not a multiple of the vector width, the last
// vector uses only some of its lanes. One loop body serves whole vectors and this last one, so every value
// is computed in the same way. No memory beyond the array is accessed.
#pragma once

#include <stdint.h>

#include BYHAND_VEC_HEADER

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The parameter `n` of a loop body and of the functions below is the number of lanes to compute. It has one
// of two types. A WholeVector stands for all kLanes lanes, and lets the compiler use plain loads and stores.
// An int is a number from 1 to kLanes.
struct WholeVector {};

inline Vec load(const float* p, WholeVector) { return Vec::load(p); }
inline Vec load(const float* p, int n) { return Vec::load(p, n); }
inline Vec load_bytes(const uint8_t* p, WholeVector) { return Vec::load_bytes(p, Vec::kLanes); }
inline Vec load_bytes(const uint8_t* p, int n) { return Vec::load_bytes(p, n); }
inline IVec load(const int32_t* p, WholeVector) { return IVec::load(p); }
inline IVec load(const int32_t* p, int n) { return IVec::load(p, n); }
inline void store(Vec v, float* p, WholeVector) { v.store(p); }
inline void store(Vec v, float* p, int n) { v.store(p, n); }
inline void store(IVec v, int32_t* p, WholeVector) { v.store(p); }
inline void store(IVec v, int32_t* p, int n) { v.store(p, n); }
inline void store(const DoubleSum& sum, double* p, WholeVector) { sum.store(p); }
inline void store(const DoubleSum& sum, double* p, int n) {
  double lane[Vec::kLanes];
  sum.store(lane);
  for (int i = 0; i < n; ++i) p[i] = lane[i];
}
// Returns v with the lanes from n on replaced by those of `rest`.
inline Vec fill_rest(Vec v, WholeVector, Vec) { return v; }
inline Vec fill_rest(Vec v, int n, Vec rest) { return select(first_mask(n), v, rest); }

// Calls body(i, n) for i = 0, kLanes, 2 * kLanes, ... below count. The body computes n values from index i
// on.
template <class Body>
inline void for_vectors(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= count; i += Vec::kLanes) body(i, WholeVector{});
  if (i < count) body(i, static_cast<int>(count - i));
}

// Like for_vectors, but uses only whole vectors if count >= kLanes. The last vector then ends at `count` and
// may overlap the previous one: with 8 lanes and count = 13, the vectors begin at 0 and 5. Because some
// values are computed twice, `body` must not read what it writes.
template <class Body>
inline void for_overlapping_vectors(int64_t count, Body body) {
  constexpr int64_t kLanes = Vec::kLanes;
  if (count < kLanes) return for_vectors(count, body);
  for (int64_t i = 0; i < count; i += kLanes) body(i + kLanes <= count ? i : count - kLanes, WholeVector{});
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
