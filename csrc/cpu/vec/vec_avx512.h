// Vectors for AVX-512 (F, BW, DQ, VL): 16 lanes, 32 registers, and a mask for every load and store.
// vec_portable.h has the same types and functions in plain code, with comments.
#pragma once

#if defined(__clang__)
#include <immintrin.h>
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 warns about its own intrinsics (bug 105593)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif
#include <stdint.h>

#include "cpu/vec/halves_x86.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

inline constexpr int kRegisters = 32;

// Returns a mask with one bit set for each of the first n lanes, 0 <= n <= 16.
inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1); }

struct Vec {
  static constexpr int kLanes = 16;
  __m512 v;

  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec set(float x) { return {_mm512_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // Loads the first n values, 0 <= n <= kLanes. The other lanes are 0, and their memory is not accessed.
  static Vec load(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(float* p, int n) const { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
  // Loads n values p[0], p[stride], p[2 * stride], ... The other lanes are 0.
  static Vec load_strided(const float* p, int64_t stride, int n) {
    if (stride == 1) return load(p, n);
    if (stride == 2) {
      // Load p[0] to p[15] into `low`, and p[15] to p[30] into `high`. For n values, only p[0] to p[2 n - 2]
      // are needed: bit i of `wanted` is set if p[i] is needed.
      const uint64_t wanted = ((uint64_t{1} << (2 * n)) - 1) >> 1;
      const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(wanted), p);
      const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(wanted >> 15), p + 15);
      const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
      return {_mm512_permutex2var_ps(low, even, high)};
    }
    // Measured on Zen 4: this loop takes 2.2 ns if n is kLanes, and 7 to 8 ns for a smaller n. A gather
    // instruction takes 6.0 ns for any n.
    float lane[kLanes] = {};
    for (int i = 0; i < n; ++i) __builtin_memcpy(lane + i, p + i * stride, sizeof(float));
    return load(lane);
  }
  static Vec load_bytes(const uint8_t* p, int n) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)))};
  }
};

struct IVec {
  __m512i v;

  static IVec set(int32_t x) { return {_mm512_set1_epi32(x)}; }
  static IVec iota(int32_t step) {  // 0, step, 2 * step, ...
    return {_mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                               _mm512_set1_epi32(step))};
  }
  static IVec load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
  static IVec load(const int32_t* p, int n) { return {_mm512_maskz_loadu_epi32(first_lanes(n), p)}; }
  void store(int32_t* p) const { _mm512_storeu_si512(p, v); }
  void store(int32_t* p, int n) const { _mm512_mask_storeu_epi32(p, first_lanes(n), v); }
};

struct Mask {
  __mmask16 v;  // one bit per lane
};

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }  // b if a or b is NaN

inline Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask operator>(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask first_mask(int n) { return {first_lanes(n)}; }  // the first n lanes
inline Mask is_nan(Vec a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.v | b.v)}; }
inline Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }
inline IVec select(Mask m, IVec a, IVec b) { return {_mm512_mask_blend_epi32(m.v, b.v, a.v)}; }

inline Mask operator==(IVec a, IVec b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
inline Mask operator<(IVec a, IVec b) { return {_mm512_cmplt_epi32_mask(a.v, b.v)}; }
inline IVec operator+(IVec a, IVec b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline IVec operator-(IVec a, IVec b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline IVec operator*(IVec a, IVec b) { return {_mm512_mullo_epi32(a.v, b.v)}; }  // no product may overflow
inline IVec operator&(IVec a, IVec b) { return {_mm512_and_si512(a.v, b.v)}; }
inline IVec operator|(IVec a, IVec b) { return {_mm512_or_si512(a.v, b.v)}; }
inline IVec operator^(IVec a, IVec b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int kBits>
inline IVec shift_left(IVec a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
inline IVec shift_right(IVec a) {  // arithmetic
  return {_mm512_srai_epi32(a.v, kBits)};
}
// The 64-bit products of the lanes of two vectors: the upper and the lower 32 bits. The lanes count as
// unsigned numbers.
struct WideProduct {
  IVec high, low;
};
inline WideProduct multiply_wide(IVec a, IVec b) {
  const __m512i even = _mm512_mul_epu32(a.v, b.v);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), _mm512_srli_epi64(b.v, 32));
  return {{_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd)},
          {_mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32))}};
}
inline IVec bits(Vec a) { return {_mm512_castps_si512(a.v)}; }
inline Vec from_bits(IVec a) { return {_mm512_castsi512_ps(a.v)}; }
// Convert to an integer and to a float. `truncate` rounds toward zero. The result must fit into an int32.
inline IVec truncate(Vec a) { return {_mm512_cvttps_epi32(a.v)}; }
inline Vec to_float(IVec a) { return {_mm512_cvtepi32_ps(a.v)}; }
// Loads p[index] in each lane.
inline Vec gather(const float* p, IVec index) { return {_mm512_i32gather_ps(index.v, p, sizeof(float))}; }

// A vector of 8 lanes. On a CPU with 256-bit units, an operation on it takes half of the time of one on a
// Vec.
struct HalfVec {
  static constexpr int kLanes = 8;
  __m256 v;

  static HalfVec zero() { return {_mm256_setzero_ps()}; }
  static HalfVec set(float x) { return {_mm256_set1_ps(x)}; }
  static HalfVec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static HalfVec load(const float* p, int n) {
    return {_mm256_maskz_loadu_ps(static_cast<__mmask8>(first_lanes(n)), p)};
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store(float* p, int n) const { _mm256_mask_storeu_ps(p, static_cast<__mmask8>(first_lanes(n)), v); }
};
inline HalfVec operator+(HalfVec a, HalfVec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline HalfVec operator*(HalfVec a, HalfVec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline HalfVec fma(HalfVec a, HalfVec b, HalfVec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }

inline HalfVec low_half(Vec a) {
  // Without this line, Clang broadcasts the same value twice: into a Vec and into a HalfVec.
  asm("" : "+v"(a.v));
  return {_mm512_castps512_ps256(a.v)};
}
inline __m256 high_half(Vec a) { return _mm512_extractf32x8_ps(a.v, 1); }

inline float sum(HalfVec a) { return sum_of_8(a.v); }
inline float sum(Vec a) { return sum_of_8(_mm256_add_ps(low_half(a).v, high_half(a))); }
// No lane may be NaN.
inline float max_lane(Vec a) { return max_of_8(_mm256_max_ps(low_half(a).v, high_half(a))); }

// Adds up vectors lane by lane, in double precision.
struct DoubleSum {
  __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();

  void add(Vec a) {
    low = _mm512_add_pd(low, _mm512_cvtps_pd(low_half(a).v));
    high = _mm512_add_pd(high, _mm512_cvtps_pd(high_half(a)));
  }
  void add_product(Vec a, Vec b) {  // the product is exact in double
    low = _mm512_fmadd_pd(_mm512_cvtps_pd(low_half(a).v), _mm512_cvtps_pd(low_half(b).v), low);
    high = _mm512_fmadd_pd(_mm512_cvtps_pd(high_half(a)), _mm512_cvtps_pd(high_half(b)), high);
  }
  // Writes the sum of each lane: kLanes values.
  void store(double* p) const {
    _mm512_storeu_pd(p, low);
    _mm512_storeu_pd(p + 8, high);
  }
  // Returns the sum of each lane divided by `divisor`, rounded to float32.
  Vec over(double divisor) const {
    const __m512d d = _mm512_set1_pd(divisor);
    return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(_mm512_div_pd(low, d))),
                               _mm512_cvtpd_ps(_mm512_div_pd(high, d)), 1)};
  }
  // Returns the sum over all lanes.
  double total() const {
    const __m512d eight = _mm512_add_pd(low, high);
    return sum_of_4(_mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1)));
  }
};

// Loads p[0] to p[3] into the first four lanes and q[0] to q[3] into the next four. The other lanes are 0.
inline Vec load_fours(const float* p, const float* q) {
  return {_mm512_zextps256_ps512(_mm256_loadu2_m128(q, p))};
}
inline void store_fours(Vec a, float* p, float* q) { _mm256_storeu2_m128(q, p, low_half(a).v); }
// The four functions below work on each group of four lanes separately. If the lanes of a group are a0 a1 a2
// a3 in a and b0 b1 b2 b3 in b, the lanes of the result are:
//   even_of_fours  a0 a2 b0 b2      low_of_fours   a0 b0 a1 b1
//   odd_of_fours   a1 a3 b1 b3      high_of_fours  a2 b2 a3 b3
inline Vec even_of_fours(Vec a, Vec b) { return {_mm512_shuffle_ps(a.v, b.v, _MM_SHUFFLE(2, 0, 2, 0))}; }
inline Vec odd_of_fours(Vec a, Vec b) { return {_mm512_shuffle_ps(a.v, b.v, _MM_SHUFFLE(3, 1, 3, 1))}; }
inline Vec low_of_fours(Vec a, Vec b) { return {_mm512_unpacklo_ps(a.v, b.v)}; }
inline Vec high_of_fours(Vec a, Vec b) { return {_mm512_unpackhi_ps(a.v, b.v)}; }
// Loads two values from each of p, p + step, q and q + step, in this order. The other lanes are 0.
inline Vec load_twos(const float* p, const float* q, int64_t step) {
  return {_mm512_zextps256_ps512(_mm256_set_m128(load_twos(q, step), load_twos(p, step)))};
}
// Loads the same values, but only those of the first `rows` of the two rows, the first columns[0] of the two
// values from p and the first columns[1] of those from q. The other lanes are 0.
inline Vec load_twos(const float* p, const float* q, int64_t step, int rows, const int (&columns)[2]) {
  return {_mm512_zextps256_ps512(
      _mm256_set_m128(load_twos(q, step, rows, columns[1]), load_twos(p, step, rows, columns[0])))};
}

// Transposes a square of kLanes x kLanes values: exchanges lane j of row i and lane i of row j.
inline void transpose(Vec (&row)[Vec::kLanes]) {
  // First transpose each of the 16 blocks of 4 x 4 values. quad[4 * i + j] then holds column j of each of
  // the four blocks that lie side by side in the rows 4 * i to 4 * i + 3.
  __m512 pair[16], quad[16];
  for (int i = 0; i < 16; i += 2) {
    pair[i] = _mm512_unpacklo_ps(row[i].v, row[i + 1].v);
    pair[i + 1] = _mm512_unpackhi_ps(row[i].v, row[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      quad[i + 2 * j] = _mm512_shuffle_ps(pair[i + j], pair[i + j + 2], _MM_SHUFFLE(1, 0, 1, 0));
      quad[i + 2 * j + 1] = _mm512_shuffle_ps(pair[i + j], pair[i + j + 2], _MM_SHUFFLE(3, 2, 3, 2));
    }
  // Then transpose the square of blocks. even_low and even_high hold the columns j and j + 8 of the original
  // square, odd_low and odd_high the columns j + 4 and j + 12. The names with `low` hold rows 0 to 7, those
  // with `high` rows 8 to 15.
  for (int j = 0; j < 4; ++j) {
    const __m512 even_low = _mm512_shuffle_f32x4(quad[j], quad[j + 4], _MM_SHUFFLE(2, 0, 2, 0));
    const __m512 even_high = _mm512_shuffle_f32x4(quad[j + 8], quad[j + 12], _MM_SHUFFLE(2, 0, 2, 0));
    const __m512 odd_low = _mm512_shuffle_f32x4(quad[j], quad[j + 4], _MM_SHUFFLE(3, 1, 3, 1));
    const __m512 odd_high = _mm512_shuffle_f32x4(quad[j + 8], quad[j + 12], _MM_SHUFFLE(3, 1, 3, 1));
    row[j].v = _mm512_shuffle_f32x4(even_low, even_high, _MM_SHUFFLE(2, 0, 2, 0));
    row[j + 4].v = _mm512_shuffle_f32x4(odd_low, odd_high, _MM_SHUFFLE(2, 0, 2, 0));
    row[j + 8].v = _mm512_shuffle_f32x4(even_low, even_high, _MM_SHUFFLE(3, 1, 3, 1));
    row[j + 12].v = _mm512_shuffle_f32x4(odd_low, odd_high, _MM_SHUFFLE(3, 1, 3, 1));
  }
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
