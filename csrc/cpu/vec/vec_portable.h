// Vectors in plain code, with the vector extensions of GCC and Clang. The other files vec_*.h define the
// same types and functions for one instruction set each, and follow the comments of this file. A kernel
// source includes one of these files as BYHAND_VEC_HEADER.
//
// Compilers translate this file to SSE2 on x86-64, to NEON on AArch64, and to the vector instructions of
// other CPUs. Not every CPU has a fused multiply-add, so fma(a, b, c) rounds the product and then the sum.
//
// With BYHAND_LANES=16, Vec has 16 lanes, and kernels assume 32 registers, as with AVX-512. The code for
// this vector size can then be tested on any CPU. It is slow, because each vector takes several registers.
#pragma once

#include <stdint.h>

#if !defined(BYHAND_LANES)
#define BYHAND_LANES 4
#endif

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The number of vector registers that a kernel may use.
inline constexpr int kRegisters = BYHAND_LANES == 16 ? 32 : 16;

// A vector of kLanes float32 values. Pointers need not be aligned.
struct Vec {
  static constexpr int kLanes = BYHAND_LANES;
  typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
  Floats v;

  static Vec zero() { return {Floats{}}; }
  // A scalar minus a vector is a vector, so the compiler copies x to all lanes. x - 0 is x, also if x is -0,
  // but -0 + 0 would be +0.
  static Vec set(float x) { return {x - Floats{}}; }
  static Vec load(const float* p) {
    Vec r;
    __builtin_memcpy(&r.v, p, sizeof r.v);
    return r;
  }
  // Loads the first n values, 0 <= n <= kLanes. The other lanes are 0, and their memory is not accessed.
  static Vec load(const float* p, int n) {
    Vec r = zero();
    for (int i = 0; i < kLanes; ++i)
      if (i < n) r.v[i] = p[i];
    return r;
  }
  void store(float* p) const { __builtin_memcpy(p, &v, sizeof v); }
  // Stores the first n lanes, 0 <= n <= kLanes. No memory beyond them is accessed.
  void store(float* p, int n) const {
    for (int i = 0; i < kLanes; ++i)
      if (i < n) p[i] = v[i];
  }
  // Loads n values p[0], p[stride], p[2 * stride], ... The other lanes are 0. The values may be int32.
  static Vec load_strided(const float* p, int64_t stride, int n) {
    float lane[kLanes] = {};
    for (int i = 0; i < kLanes; ++i)
      if (i < n) __builtin_memcpy(lane + i, p + i * stride, sizeof(float));
    return load(lane);
  }
  // Loads n bytes and converts them to float32. The other lanes are 0.
  static Vec load_bytes(const uint8_t* p, int n) {
    typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
    Bytes byte{};
    if (n == kLanes)
      __builtin_memcpy(&byte, p, kLanes);
    else
      for (int i = 0; i < n; ++i) byte[i] = p[i];
    return {__builtin_convertvector(byte, Floats)};
  }
};

// A vector of int32 values, with as many lanes as Vec.
struct IVec {
  typedef int32_t Ints __attribute__((vector_size(Vec::kLanes * sizeof(int32_t))));
  Ints v;

  static IVec set(int32_t x) { return {x - Ints{}}; }
  static IVec iota(int32_t step) {  // 0, step, 2 * step, ...
    IVec r{};
    for (int i = 0; i < Vec::kLanes; ++i)
      r.v[i] = static_cast<int32_t>(static_cast<uint32_t>(i) * static_cast<uint32_t>(step));
    return r;
  }
  static IVec load(const int32_t* p) {
    IVec r;
    __builtin_memcpy(&r.v, p, sizeof r.v);
    return r;
  }
  static IVec load(const int32_t* p, int n) {
    IVec r{};
    for (int i = 0; i < Vec::kLanes; ++i)
      if (i < n) r.v[i] = p[i];
    return r;
  }
  void store(int32_t* p) const { __builtin_memcpy(p, &v, sizeof v); }
  void store(int32_t* p, int n) const {
    for (int i = 0; i < Vec::kLanes; ++i)
      if (i < n) p[i] = v[i];
  }
};

// One truth value per lane.
struct Mask {
  IVec::Ints v;  // all bits of a lane are 1, or all are 0
};

inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec sqrt(Vec a) {
  for (int i = 0; i < Vec::kLanes; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }  // b if a or b is NaN

inline Mask operator<(Vec a, Vec b) { return {a.v < b.v}; }
inline Mask operator>(Vec a, Vec b) { return {a.v > b.v}; }
inline Mask first_mask(int n) { return {IVec::iota(1).v < n}; }  // the first n lanes
inline Mask is_nan(Vec a) { return {a.v != a.v}; }
inline Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
// Takes each lane from a if it is set in m, otherwise from b.
inline Vec select(Mask m, Vec a, Vec b) { return {m.v ? a.v : b.v}; }
inline IVec select(Mask m, IVec a, IVec b) { return {m.v ? a.v : b.v}; }

inline Mask operator==(IVec a, IVec b) { return {a.v == b.v}; }
inline Mask operator<(IVec a, IVec b) { return {a.v < b.v}; }
inline IVec operator+(IVec a, IVec b) { return {a.v + b.v}; }
inline IVec operator-(IVec a, IVec b) { return {a.v - b.v}; }
inline IVec operator*(IVec a, IVec b) { return {a.v * b.v}; }  // no product may overflow
inline IVec operator&(IVec a, IVec b) { return {a.v & b.v}; }
inline IVec operator|(IVec a, IVec b) { return {a.v | b.v}; }
inline IVec operator^(IVec a, IVec b) { return {a.v ^ b.v}; }
template <int kBits>
inline IVec shift_left(IVec a) {
  return {a.v << kBits};
}
template <int kBits>
inline IVec shift_right(IVec a) {  // arithmetic
  return {a.v >> kBits};
}
// The 64-bit products of the lanes of two vectors: the upper and the lower 32 bits. The lanes count as
// unsigned numbers.
struct WideProduct {
  IVec high, low;
};
inline WideProduct multiply_wide(IVec a, IVec b) {
  typedef uint32_t Unsigned __attribute__((vector_size(Vec::kLanes * sizeof(uint32_t))));
  typedef uint64_t Wide __attribute__((vector_size(Vec::kLanes * sizeof(uint64_t))));
  const Wide product =
      __builtin_convertvector((Unsigned)a.v, Wide) * __builtin_convertvector((Unsigned)b.v, Wide);
  return {{(IVec::Ints) __builtin_convertvector(product >> 32, Unsigned)},
          {(IVec::Ints) __builtin_convertvector(product, Unsigned)}};
}
// Reinterpret the bits of each lane, without a conversion.
inline IVec bits(Vec a) { return {(IVec::Ints)a.v}; }
inline Vec from_bits(IVec a) { return {(Vec::Floats)a.v}; }
// Convert to an integer and to a float. `truncate` rounds toward zero. The result must fit into an int32.
inline IVec truncate(Vec a) { return {__builtin_convertvector(a.v, IVec::Ints)}; }
inline Vec to_float(IVec a) { return {__builtin_convertvector(a.v, Vec::Floats)}; }
// Loads p[index] in each lane.
inline Vec gather(const float* p, IVec index) {
  Vec r;
  for (int i = 0; i < Vec::kLanes; ++i) r.v[i] = p[index.v[i]];
  return r;
}

// Adds the upper half of the lanes to the lower half, then the upper half of the remaining lanes to their
// lower half, and so on until one lane is left. Every instruction set with this number of lanes adds in the
// same order.
inline float sum(Vec a) {
  float lane[Vec::kLanes];
  a.store(lane);
  for (int half = Vec::kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  return lane[0];
}
// No lane may be NaN.
inline float max_lane(Vec a) {
  float best = a.v[0];
  for (int i = 1; i < Vec::kLanes; ++i) best = a.v[i] > best ? a.v[i] : best;
  return best;
}

// Adds up vectors lane by lane, in double precision.
struct DoubleSum {
  typedef double Doubles __attribute__((vector_size(Vec::kLanes * sizeof(double))));
  Doubles lane{};

  void add(Vec a) { lane += __builtin_convertvector(a.v, Doubles); }
  void add_product(Vec a, Vec b) {  // the product is exact in double
    lane += __builtin_convertvector(a.v, Doubles) * __builtin_convertvector(b.v, Doubles);
  }
  // Writes the sum of each lane: kLanes values.
  void store(double* p) const { __builtin_memcpy(p, &lane, sizeof lane); }
  // Returns the sum of each lane divided by `divisor`, rounded to float32.
  Vec over(double divisor) const { return {__builtin_convertvector(lane / divisor, Vec::Floats)}; }
  // Returns the sum over all lanes.
  double total() const {
    double result = 0;
    for (int i = 0; i < Vec::kLanes; ++i) result += lane[i];
    return result;
  }
};

#if BYHAND_LANES == 16
// A vector of 8 lanes, as in vec_avx512.h. Here it is a Vec of 16 lanes whose upper half is not used.
struct HalfVec {
  static constexpr int kLanes = 8;
  Vec whole;

  static HalfVec zero() { return {Vec::zero()}; }
  static HalfVec set(float x) { return {Vec::set(x)}; }
  static HalfVec load(const float* p) { return {Vec::load(p, kLanes)}; }
  static HalfVec load(const float* p, int n) { return {Vec::load(p, n)}; }
  void store(float* p) const { whole.store(p, kLanes); }
  void store(float* p, int n) const { whole.store(p, n); }
};
inline HalfVec operator+(HalfVec a, HalfVec b) { return {a.whole + b.whole}; }
inline HalfVec operator*(HalfVec a, HalfVec b) { return {a.whole * b.whole}; }
inline HalfVec fma(HalfVec a, HalfVec b, HalfVec c) { return {fma(a.whole, b.whole, c.whole)}; }
inline HalfVec low_half(Vec a) { return {a}; }
inline float sum(HalfVec a) { return sum(a.whole); }  // the upper half of loaded values is zero
#else
// With 4 lanes there is no shorter vector.
using HalfVec = Vec;
inline HalfVec low_half(Vec a) { return a; }
#endif

// Loads p[0] to p[3] into the first four lanes. If Vec has more lanes, the next four lanes get q[0] to q[3],
// and all other lanes get 0. store_fours is the reverse.
inline Vec load_fours(const float* p, const float* q) {
  Vec r = Vec::zero();
  for (int i = 0; i < 4; ++i) {
    r.v[i] = p[i];
    if (Vec::kLanes > 4) r.v[(4 + i) % Vec::kLanes] = q[i];
  }
  return r;
}
inline void store_fours(Vec a, float* p, float* q) {
  for (int i = 0; i < 4; ++i) {
    p[i] = a.v[i];
    if (Vec::kLanes > 4) q[i] = a.v[(4 + i) % Vec::kLanes];
  }
}
// The four functions below work on each group of four lanes separately. If the lanes of a group are a0 a1 a2
// a3 in a and b0 b1 b2 b3 in b, the lanes of the result are:
//   even_of_fours  a0 a2 b0 b2      low_of_fours   a0 b0 a1 b1
//   odd_of_fours   a1 a3 b1 b3      high_of_fours  a2 b2 a3 b3
inline Vec even_of_fours(Vec a, Vec b) {
  Vec r;
  for (int i = 0; i < Vec::kLanes; ++i) r.v[i] = (i % 4 < 2 ? a : b).v[i / 4 * 4 + i % 2 * 2];
  return r;
}
inline Vec odd_of_fours(Vec a, Vec b) {
  Vec r;
  for (int i = 0; i < Vec::kLanes; ++i) r.v[i] = (i % 4 < 2 ? a : b).v[i / 4 * 4 + i % 2 * 2 + 1];
  return r;
}
inline Vec low_of_fours(Vec a, Vec b) {
  Vec r;
  for (int i = 0; i < Vec::kLanes; ++i) r.v[i] = (i % 2 == 0 ? a : b).v[i / 4 * 4 + i % 4 / 2];
  return r;
}
inline Vec high_of_fours(Vec a, Vec b) {
  Vec r;
  for (int i = 0; i < Vec::kLanes; ++i) r.v[i] = (i % 2 == 0 ? a : b).v[i / 4 * 4 + 2 + i % 4 / 2];
  return r;
}
// Loads two values from p and two from p + step into the first four lanes. If Vec has more lanes, the next
// four lanes get two values from q and two from q + step, and all other lanes get 0.
inline Vec load_twos(const float* p, const float* q, int64_t step) {
  const float* const twos[4] = {p, p + step, q, q + step};
  float lane[Vec::kLanes] = {};
  for (int i = 0; i < Vec::kLanes / 2 && i < 4; ++i)
    __builtin_memcpy(lane + 2 * i, twos[i], 2 * sizeof(float));
  return Vec::load(lane);
}
// Loads the same values, but only those of the first `rows` of the two rows, the first columns[0] of the two
// values from p and the first columns[1] of those from q. The other lanes are 0.
inline Vec load_twos(const float* p, const float* q, int64_t step, int rows, const int (&columns)[2]) {
  const float* const group[2] = {p, q};
  float lane[Vec::kLanes] = {};
  for (int i = 0; i < Vec::kLanes && i < 8; ++i)
    if (i / 2 % 2 < rows && i % 2 < columns[i / 4])  // the values may be int32
      __builtin_memcpy(lane + i, group[i / 4] + i / 2 % 2 * step + i % 2, sizeof(float));
  return Vec::load(lane);
}

// Transposes a square of kLanes x kLanes values: exchanges lane j of row i and lane i of row j.
inline void transpose(Vec (&row)[Vec::kLanes]) {
  for (int i = 0; i < Vec::kLanes; ++i)
    for (int j = 0; j < i; ++j) {
      const float t = row[i].v[j];
      row[i].v[j] = row[j].v[i];
      row[j].v[i] = t;
    }
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
