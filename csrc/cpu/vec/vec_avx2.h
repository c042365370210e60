// Vectors for AVX2 and FMA: 8 lanes, 16 registers. vec_portable.h has the same types and functions in plain
// code, with comments.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "cpu/vec/halves_x86.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

inline constexpr int kRegisters = 16;

// Returns a mask whose first n lanes have all bits set, and whose other lanes have none.
inline __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

struct Vec {
  static constexpr int kLanes = 8;
  __m256 v;

  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec set(float x) { return {_mm256_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  // Loads the first n values. The other lanes are 0, and their memory is not accessed. load_strided also
  // passes n < 0, which loads nothing, and n > kLanes, which loads kLanes values.
  static Vec load(const float* p, int n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  // Stores the first n lanes in pieces of 4, 2 and 1 lanes. On Zen 3, a masked store takes five times as
  // long (4.5 instead of 0.9 ns, measured).
  void store(float* p, int n) const {
    __m128 part = _mm256_castps256_ps128(v);
    if (n >= 8) return store(p);
    if (n & 4) {
      _mm_storeu_ps(p, part);
      part = _mm256_extractf128_ps(v, 1);
      p += 4;
    }
    if (n & 2) {
      _mm_storel_pi(reinterpret_cast<__m64*>(p), part);
      part = _mm_movehl_ps(part, part);
      p += 2;
    }
    if (n & 1) __builtin_memcpy(p, &part, sizeof(float));
  }
  // Loads n values p[0], p[stride], p[2 * stride], ... The other lanes are 0.
  static Vec load_strided(const float* p, int64_t stride, int n) {
    if (stride == 1) return load(p, n);
    if (stride == 2) {
      // The last value that is needed is p[14]. Therefore `high` begins at p[7]. If it began at p[8], it
      // would also read p[15], which may lie outside the array.
      const bool whole = n == kLanes;
      const __m256 low = (whole ? load(p) : load(p, 2 * n - 1)).v;
      const __m256 high = (whole ? load(p + 7) : load(p + 7, 2 * n - 8)).v;
      // The lanes of `even` are the values of p at 0 2 8 10 4 6 12 14. The permutation below sorts them.
      const __m256 even = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 2, 0));
      return {_mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), _MM_SHUFFLE(3, 1, 2, 0)))};
    }
    float lane[kLanes] = {};
    for (int i = 0; i < n; ++i) __builtin_memcpy(lane + i, p + i * stride, sizeof(float));
    return load(lane);
  }
  static Vec load_bytes(const uint8_t* p, int n) {
    uint8_t byte[kLanes] = {};
    if (n == kLanes)
      __builtin_memcpy(byte, p, kLanes);
    else
      for (int i = 0; i < n; ++i) byte[i] = p[i];
    return {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(byte))))};
  }
};

struct IVec {
  __m256i v;

  static IVec set(int32_t x) { return {_mm256_set1_epi32(x)}; }
  static IVec iota(int32_t step) {  // 0, step, 2 * step, ...
    return {_mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(step))};
  }
  static IVec load(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  static IVec load(const int32_t* p, int n) { return {_mm256_maskload_epi32(p, first_lanes(n))}; }
  void store(int32_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  void store(int32_t* p, int n) const { Vec{_mm256_castsi256_ps(v)}.store(reinterpret_cast<float*>(p), n); }
};

struct Mask {
  __m256 v;  // all bits of a lane are 1, or all are 0
};

inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }  // b if a or b is NaN

inline Mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask operator>(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask first_mask(int n) { return {_mm256_castsi256_ps(first_lanes(n))}; }  // the first n lanes
inline Mask is_nan(Vec a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
inline Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.v, b.v)}; }
inline Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.v)}; }
inline IVec select(Mask m, IVec a, IVec b) {
  return {_mm256_blendv_epi8(b.v, a.v, _mm256_castps_si256(m.v))};
}

inline Mask operator==(IVec a, IVec b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.v, b.v))}; }
inline Mask operator<(IVec a, IVec b) { return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(b.v, a.v))}; }
inline IVec operator+(IVec a, IVec b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline IVec operator-(IVec a, IVec b) { return {_mm256_sub_epi32(a.v, b.v)}; }
inline IVec operator*(IVec a, IVec b) { return {_mm256_mullo_epi32(a.v, b.v)}; }  // no product may overflow
inline IVec operator&(IVec a, IVec b) { return {_mm256_and_si256(a.v, b.v)}; }
inline IVec operator|(IVec a, IVec b) { return {_mm256_or_si256(a.v, b.v)}; }
inline IVec operator^(IVec a, IVec b) { return {_mm256_xor_si256(a.v, b.v)}; }
template <int kBits>
inline IVec shift_left(IVec a) {
  return {_mm256_slli_epi32(a.v, kBits)};
}
template <int kBits>
inline IVec shift_right(IVec a) {  // arithmetic
  return {_mm256_srai_epi32(a.v, kBits)};
}
// The 64-bit products of the lanes of two vectors: the upper and the lower 32 bits. The lanes count as
// unsigned numbers.
struct WideProduct {
  IVec high, low;
};
inline WideProduct multiply_wide(IVec a, IVec b) {
  const __m256i even = _mm256_mul_epu32(a.v, b.v);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a.v, 32), _mm256_srli_epi64(b.v, 32));
  return {{_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA)},
          {_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA)}};
}
inline IVec bits(Vec a) { return {_mm256_castps_si256(a.v)}; }
inline Vec from_bits(IVec a) { return {_mm256_castsi256_ps(a.v)}; }
// Convert to an integer and to a float. `truncate` rounds toward zero. The result must fit into an int32.
inline IVec truncate(Vec a) { return {_mm256_cvttps_epi32(a.v)}; }
inline Vec to_float(IVec a) { return {_mm256_cvtepi32_ps(a.v)}; }
// Loads p[index] in each lane.
inline Vec gather(const float* p, IVec index) { return {_mm256_i32gather_ps(p, index.v, sizeof(float))}; }

inline float sum(Vec a) { return sum_of_8(a.v); }
inline float max_lane(Vec a) { return max_of_8(a.v); }  // no lane may be NaN

// Adds up vectors lane by lane, in double precision.
struct DoubleSum {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();

  void add(Vec a) {
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
  }
  void add_product(Vec a, Vec b) {  // the product is exact in double
    low = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)),
                          _mm256_cvtps_pd(_mm256_castps256_ps128(b.v)), low);
    high = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)),
                           _mm256_cvtps_pd(_mm256_extractf128_ps(b.v, 1)), high);
  }
  // Returns the sum over all lanes.
  double total() const { return sum_of_4(_mm256_add_pd(low, high)); }
  // Writes the sum of each lane: kLanes values.
  void store(double* p) const {
    _mm256_storeu_pd(p, low);
    _mm256_storeu_pd(p + 4, high);
  }
  // Returns the sum of each lane divided by `divisor`, rounded to float32.
  Vec over(double divisor) const {
    const __m256d d = _mm256_set1_pd(divisor);
    return {_mm256_set_m128(_mm256_cvtpd_ps(_mm256_div_pd(high, d)), _mm256_cvtpd_ps(_mm256_div_pd(low, d)))};
  }
};

// Loads p[0] to p[3] into the lower four lanes and q[0] to q[3] into the upper four.
inline Vec load_fours(const float* p, const float* q) { return {_mm256_loadu2_m128(q, p)}; }
inline void store_fours(Vec a, float* p, float* q) { _mm256_storeu2_m128(q, p, a.v); }
// The four functions below work on each group of four lanes separately. If the lanes of a group are a0 a1 a2
// a3 in a and b0 b1 b2 b3 in b, the lanes of the result are:
//   even_of_fours  a0 a2 b0 b2      low_of_fours   a0 b0 a1 b1
//   odd_of_fours   a1 a3 b1 b3      high_of_fours  a2 b2 a3 b3
inline Vec even_of_fours(Vec a, Vec b) { return {_mm256_shuffle_ps(a.v, b.v, _MM_SHUFFLE(2, 0, 2, 0))}; }
inline Vec odd_of_fours(Vec a, Vec b) { return {_mm256_shuffle_ps(a.v, b.v, _MM_SHUFFLE(3, 1, 3, 1))}; }
inline Vec low_of_fours(Vec a, Vec b) { return {_mm256_unpacklo_ps(a.v, b.v)}; }
inline Vec high_of_fours(Vec a, Vec b) { return {_mm256_unpackhi_ps(a.v, b.v)}; }
// Loads two values from each of p, p + step, q and q + step.
inline Vec load_twos(const float* p, const float* q, int64_t step) {
  return {_mm256_set_m128(load_twos(q, step), load_twos(p, step))};
}
// Loads the same values, but only those of the first `rows` of the two rows, the first columns[0] of the two
// values from p and the first columns[1] of those from q. The other lanes are 0.
inline Vec load_twos(const float* p, const float* q, int64_t step, int rows, const int (&columns)[2]) {
  return {_mm256_set_m128(load_twos(q, step, rows, columns[1]), load_twos(p, step, rows, columns[0]))};
}

// Transposes a square of kLanes x kLanes values: exchanges lane j of row i and lane i of row j.
inline void transpose(Vec (&row)[Vec::kLanes]) {
  __m256 pair[8], quad[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i].v, row[i + 1].v);
    pair[i + 1] = _mm256_unpackhi_ps(row[i].v, row[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      quad[i + 2 * j] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], _MM_SHUFFLE(1, 0, 1, 0));
      quad[i + 2 * j + 1] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], _MM_SHUFFLE(3, 2, 3, 2));
    }
  for (int i = 0; i < 4; ++i) {
    row[i].v = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20);
    row[i + 4].v = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31);
  }
}

// HalfVec is the whole Vec, because operations on 128 bits would take as long as those on 256 bits.
using HalfVec = Vec;
inline HalfVec low_half(Vec a) { return a; }

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
