// The functions that kernels call: indices, barriers, warp operations, atomic functions and mathematics. They
// have the names and the meaning of CUDA C++.
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <limits>
#include <type_traits>

#include <simt_api.h>
#include <vector_types.h>

// ---- indices

namespace simt {
inline uint3 to_uint3(Extent e) { return {e.x, e.y, e.z}; }
inline dim3 to_dim3(Extent e) { return {e.x, e.y, e.z}; }
}  // namespace simt

#define threadIdx (::simt::to_uint3(::simt::thread_index()))
#define blockIdx (::simt::to_uint3(::simt::block_index()))
#define blockDim (::simt::to_dim3(::simt::block_extent()))
#define gridDim (::simt::to_dim3(::simt::grid_extent()))
static const int warpSize = 32;

// ---- barriers and fences. The default argument is the line of the call.

inline void __syncthreads(::simt::Line line = SIMT_LINE) {
  ::simt::block_barrier(::simt::Vote::kNone, false, line);
}
inline int __syncthreads_or(int predicate, ::simt::Line line = SIMT_LINE) {
  return ::simt::block_barrier(::simt::Vote::kOr, predicate != 0, line);
}
inline int __syncthreads_and(int predicate, ::simt::Line line = SIMT_LINE) {
  return ::simt::block_barrier(::simt::Vote::kAnd, predicate != 0, line);
}
inline int __syncthreads_count(int predicate, ::simt::Line line = SIMT_LINE) {
  return ::simt::block_barrier(::simt::Vote::kCount, predicate != 0, line);
}
inline void __threadfence() { ::simt::thread_fence(); }
inline void __threadfence_block() { ::simt::thread_fence(); }
inline void __threadfence_system() { ::simt::thread_fence(); }
inline void __nanosleep(unsigned) {}

// ---- warp operations

namespace simt {

template <class T>
uint64_t to_word(T value) {
  static_assert(sizeof(T) <= 8, "a warp operation takes values of at most 8 bytes");
  if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return static_cast<uint64_t>(static_cast<int64_t>(value));
  } else {
    uint64_t word = 0;
    __builtin_memcpy(&word, &value, sizeof value);
    return word;
  }
}
template <class T>
T from_word(uint64_t word) {
  T value;
  __builtin_memcpy(&value, &word, sizeof value);
  return value;
}
template <class T>
T in_warp(WarpOp op, unsigned mask, T value, int lane, int width, Line line, const char* name) {
  return from_word<T>(warp_operation(op, mask, to_word(value), lane, width, std::is_signed_v<T>, line, name));
}

}  // namespace simt

inline void __syncwarp(unsigned mask = 0xffffffffu, ::simt::Line line = SIMT_LINE) {
  ::simt::warp_operation(::simt::WarpOp::kSync, mask, 0, 0, 32, false, line, "__syncwarp");
}
#define SIMT_SHUFFLE(name, op, argument)                                                                 \
  template <class T>                                                                                     \
  T name(unsigned mask, T value, argument, int width = 32, ::simt::Line line = SIMT_LINE) {              \
    return ::simt::in_warp(::simt::WarpOp::op, mask, value, static_cast<int>(lane), width, line, #name); \
  }
SIMT_SHUFFLE(__shfl_sync, kShuffle, int lane)
SIMT_SHUFFLE(__shfl_up_sync, kShuffleUp, unsigned lane)
SIMT_SHUFFLE(__shfl_down_sync, kShuffleDown, unsigned lane)
SIMT_SHUFFLE(__shfl_xor_sync, kShuffleXor, int lane)
#undef SIMT_SHUFFLE

inline unsigned __ballot_sync(unsigned mask, int predicate, ::simt::Line line = SIMT_LINE) {
  return static_cast<unsigned>(::simt::warp_operation(::simt::WarpOp::kBallot, mask, predicate != 0, 0, 32,
                                                      false, line, "__ballot_sync"));
}
inline int __any_sync(unsigned mask, int predicate, ::simt::Line line = SIMT_LINE) {
  return ::simt::warp_operation(::simt::WarpOp::kBallot, mask, predicate != 0, 0, 32, false, line,
                                "__any_sync") != 0;
}
inline int __all_sync(unsigned mask, int predicate, ::simt::Line line = SIMT_LINE) {
  return ::simt::warp_operation(::simt::WarpOp::kBallot, mask, predicate == 0, 0, 32, false, line,
                                "__all_sync") == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, ::simt::Line line = SIMT_LINE) {
  return static_cast<unsigned>(::simt::warp_operation(::simt::WarpOp::kMatchAny, mask, ::simt::to_word(value),
                                                      0, 32, false, line, "__match_any_sync"));
}
#define SIMT_REDUCE(name, op)                                                               \
  template <class T>                                                                        \
  T name(unsigned mask, T value, ::simt::Line line = SIMT_LINE) {                           \
    static_assert(sizeof(T) == 4 && std::is_integral_v<T>, #name " takes int or unsigned"); \
    return ::simt::in_warp(::simt::WarpOp::op, mask, value, 0, 32, line, #name);            \
  }
SIMT_REDUCE(__reduce_add_sync, kAdd)
SIMT_REDUCE(__reduce_min_sync, kMin)
SIMT_REDUCE(__reduce_max_sync, kMax)
SIMT_REDUCE(__reduce_and_sync, kAnd)
SIMT_REDUCE(__reduce_or_sync, kOr)
SIMT_REDUCE(__reduce_xor_sync, kXor)
#undef SIMT_REDUCE
inline unsigned __activemask(::simt::Line line = SIMT_LINE) { return ::simt::active_mask(line); }

// ---- atomic functions. They return the value before the change.

namespace simt {
template <class T, class F>
SIMT_PLAIN T change(T* address, F function, Line line, bool compares = false) {
  atomic_access(address, sizeof(T), line, compares);
  const T before = *address;
  *address = function(before);
  return before;
}
template <class T>
using Same = typename std::type_identity<T>::type;
// Integers wrap around.
template <class T>
SIMT_PLAIN T wrapping_sum(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) + static_cast<std::make_unsigned_t<T>>(b));
  else
    return a + b;
}
template <class T>
SIMT_PLAIN T wrapping_difference(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) - static_cast<std::make_unsigned_t<T>>(b));
  else
    return a - b;
}
}  // namespace simt

#define SIMT_ATOMIC(name, expression)                                                        \
  template <class T>                                                                         \
  T name(T* address, ::simt::Same<T> value, ::simt::Line line = SIMT_LINE) {                 \
    return ::simt::change(address, [=](T old) SIMT_PLAIN -> T { return expression; }, line); \
  }
SIMT_ATOMIC(atomicAdd, ::simt::wrapping_sum(old, value))
SIMT_ATOMIC(atomicSub, ::simt::wrapping_difference(old, value))
SIMT_ATOMIC(atomicExch, value)
SIMT_ATOMIC(atomicMin, value < old ? value : old)
SIMT_ATOMIC(atomicMax, old < value ? value : old)
SIMT_ATOMIC(atomicAnd, static_cast<T>(old& value))
SIMT_ATOMIC(atomicOr, static_cast<T>(old | value))
SIMT_ATOMIC(atomicXor, static_cast<T>(old ^ value))
SIMT_ATOMIC(atomicInc, old >= value ? T{0} : static_cast<T>(old + 1))
SIMT_ATOMIC(atomicDec, old == 0 || old > value ? value : static_cast<T>(old - 1))
#undef SIMT_ATOMIC
template <class T>
T atomicAdd_block(T* address, ::simt::Same<T> value, ::simt::Line line = SIMT_LINE) {
  return atomicAdd(address, value, line);
}
template <class T>
T atomicAdd_system(T* address, ::simt::Same<T> value, ::simt::Line line = SIMT_LINE) {
  return atomicAdd(address, value, line);
}
template <class T>
T atomicCAS(T* address, ::simt::Same<T> compare, ::simt::Same<T> value, ::simt::Line line = SIMT_LINE) {
  return ::simt::change(
      address, [=](T old) SIMT_PLAIN -> T { return old == compare ? value : old; }, line, true);
}

// ---- mathematics: what math.h lacks

#define SIMT_LOAD(name)                                                \
  template <class T>                                                   \
  SIMT_PLAIN T name(const T* address, ::simt::Line line = SIMT_LINE) { \
    ::simt::plain_access(address, sizeof(T), alignof(T), false, line); \
    return *address;                                                   \
  }
SIMT_LOAD(__ldg)
SIMT_LOAD(__ldca)
SIMT_LOAD(__ldcg)
SIMT_LOAD(__ldcs)
SIMT_LOAD(__ldlu)
SIMT_LOAD(__ldcv)
#undef SIMT_LOAD
#define SIMT_STORE(name)                                                                   \
  template <class T>                                                                       \
  SIMT_PLAIN void name(T* address, ::simt::Same<T> value, ::simt::Line line = SIMT_LINE) { \
    ::simt::plain_access(address, sizeof(T), alignof(T), true, line);                      \
    *address = value;                                                                      \
  }
SIMT_STORE(__stwb)
SIMT_STORE(__stcg)
SIMT_STORE(__stcs)
SIMT_STORE(__stwt)
#undef SIMT_STORE
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.0f, x); }
inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
inline float sinpif(float x) { return static_cast<float>(sin(3.14159265358979323846 * x)); }
inline float cospif(float x) { return static_cast<float>(cos(3.14159265358979323846 * x)); }
inline void __sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }
inline float norm3df(float x, float y, float z) { return sqrtf(x * x + y * y + z * z); }
inline float rnorm3df(float x, float y, float z) { return 1.0f / norm3df(x, y, z); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline float __saturatef(float x) { return x >= 1.0f ? 1.0f : x > 0.0f ? x : 0.0f; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y = y << 1 | (x >> i & 1);
  return y;
}
inline unsigned long long __brevll(unsigned long long x) {
  return static_cast<unsigned long long>(__brev(static_cast<unsigned>(x))) << 32 |
         __brev(static_cast<unsigned>(x >> 32));
}
// Bytes 0 to 3 are those of x, 4 to 7 those of y. Each of four digits of `selector` chooses a byte of the
// result.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const unsigned long long both = static_cast<unsigned long long>(y) << 32 | x;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i)
    result |= static_cast<unsigned>(both >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
  return result;
}
// The upper, or lower, 32 bits of the shifted 64-bit value that `high` and `low` make.
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  return static_cast<unsigned>(both << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  return static_cast<unsigned>(both >> (shift & 31));
}
// The low 32 bits of the product of the low 24 bits of each factor.
inline unsigned __umul24(unsigned x, unsigned y) { return (x & 0xffffffu) * (y & 0xffffffu); }
inline int __mul24(int x, int y) {
  const long long a = static_cast<int>(static_cast<unsigned>(x) << 8) >> 8;
  const long long b = static_cast<int>(static_cast<unsigned>(y) << 8) >> 8;
  return static_cast<int>(static_cast<unsigned>(a * b));
}
inline int __mulhi(int x, int y) { return static_cast<int>(static_cast<long long>(x) * y >> 32); }
namespace simt {
__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;
}  // namespace simt
inline long long __mul64hi(long long x, long long y) {
  return static_cast<long long>(static_cast<::simt::Wide>(x) * y >> 64);
}
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return static_cast<unsigned long long>(static_cast<::simt::UnsignedWide>(x) * y >> 64);
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32);
}
#define SIMT_BITS(name, To, From)       \
  inline To name(From x) {              \
    To y;                               \
    __builtin_memcpy(&y, &x, sizeof y); \
    return y;                           \
  }
SIMT_BITS(__float_as_int, int, float)
SIMT_BITS(__int_as_float, float, int)
SIMT_BITS(__float_as_uint, unsigned, float)
SIMT_BITS(__uint_as_float, float, unsigned)
SIMT_BITS(__double_as_longlong, long long, double)
SIMT_BITS(__longlong_as_double, double, long long)
#undef SIMT_BITS
// A number outside of the range of the result becomes the nearest one of the range, and NaN becomes 0.
namespace simt {
template <class To>
To to_integer(double x) {
  constexpr To least = std::numeric_limits<To>::min(), most = std::numeric_limits<To>::max();
  return isnan(x)                          ? To{0}
         : x <= static_cast<double>(least) ? least
         : x >= static_cast<double>(most)  ? most
                                           : static_cast<To>(x);
}
}  // namespace simt
#define SIMT_TO_INTEGER(from, From, to, To)                                           \
  inline To __##from##2##to##_rn(From x) { return ::simt::to_integer<To>(rint(x)); }  \
  inline To __##from##2##to##_rz(From x) { return ::simt::to_integer<To>(trunc(x)); } \
  inline To __##from##2##to##_rd(From x) { return ::simt::to_integer<To>(floor(x)); } \
  inline To __##from##2##to##_ru(From x) { return ::simt::to_integer<To>(ceil(x)); }
SIMT_TO_INTEGER(float, float, int, int)
SIMT_TO_INTEGER(float, float, uint, unsigned)
SIMT_TO_INTEGER(float, float, ll, long long)
SIMT_TO_INTEGER(float, float, ull, unsigned long long)
SIMT_TO_INTEGER(double, double, int, int)
SIMT_TO_INTEGER(double, double, uint, unsigned)
SIMT_TO_INTEGER(double, double, ll, long long)
SIMT_TO_INTEGER(double, double, ull, unsigned long long)
#undef SIMT_TO_INTEGER
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __ll2float_rn(long long x) { return static_cast<float>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }
inline double __int2double_rn(int x) { return x; }
inline long long clock64() { return static_cast<long long>(::clock()); }
inline void __trap(::simt::Line line = SIMT_LINE) {
  ::simt::assertion_failed("__trap()", line.file, static_cast<unsigned>(line.number));
}

#define SIMT_MIN_MAX(T)                            \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
inline unsigned min(int a, unsigned b) { return min(static_cast<unsigned>(a), b); }
inline unsigned min(unsigned a, int b) { return min(a, static_cast<unsigned>(b)); }
inline unsigned max(int a, unsigned b) { return max(static_cast<unsigned>(a), b); }
inline unsigned max(unsigned a, int b) { return max(a, static_cast<unsigned>(b)); }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(float a, double b) { return fmin(a, b); }
inline double min(double a, float b) { return fmin(a, b); }
inline double max(float a, double b) { return fmax(a, b); }
inline double max(double a, float b) { return fmax(a, b); }
