// Vectors of float32 for the steps of the ladder, with the vector extension of GCC and Clang: +, * and the
// other operators compute all lanes at once, and a float beside a vector stands for a vector of equal lanes.
// The compiler turns a * b + c into a fused multiply-add where the instruction set has one.
#pragma once

#include <cstring>

// The lanes of a vector, and the rows of a register tile that is two vectors wide. A tile of r rows needs 2 r
// registers for sums, two for values of B and one for a value of A. AVX-512 has 32 vector registers, others
// have 16.
#if !defined(LANES) && defined(__AVX512F__)
#define LANES 16
#elif !defined(LANES) && defined(__AVX__)
#define LANES 8
#elif !defined(LANES)
#define LANES 4
#endif
constexpr int kLanes = LANES, kTileRows = LANES == 16 ? 14 : 6;

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));

// Pointers need not be aligned.
inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline void add(float* p, Vec v) { store(p, load(p) + v); }

// Unrolls the loop behind it. The elements of an array of vectors can then stay in registers.
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
