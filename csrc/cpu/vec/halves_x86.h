// Functions that vec_avx2.h and vec_avx512.h share: the last steps of a sum or a maximum over all lanes,
// which add or compare the two halves of a vector, and loads of two pairs of values.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace byhand::cpu::BYHAND_ISA {
namespace {

inline float sum_of_8(__m256 a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// No lane may be NaN.
inline float max_of_8(__m256 a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

inline double sum_of_4(__m256d a) {
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

// Loads p[0], p[1], p[step] and p[step + 1].
inline __m128 load_twos(const float* p, int64_t step) {
  const __m128 low = _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm_loadh_pi(low, reinterpret_cast<const __m64*>(p + step));
}

// Loads the first `columns` of two values; the others are 0. The values may be int32.
inline __m128 load_two(const float* p, int columns) {
  if (columns >= 2) return _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  int32_t first = 0;
  if (columns == 1) __builtin_memcpy(&first, p, sizeof first);
  return _mm_castsi128_ps(_mm_cvtsi32_si128(first));
}
// Loads the same values as load_twos above, but only those of the first `rows` of the two pairs and the first
// `columns` of each pair; the others are 0.
inline __m128 load_twos(const float* p, int64_t step, int rows, int columns) {
  return _mm_movelh_ps(load_two(p, rows > 0 ? columns : 0), load_two(p + step, rows > 1 ? columns : 0));
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
