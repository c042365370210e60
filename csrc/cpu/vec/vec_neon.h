// Vectors for NEON on AArch64: 4 lanes, 32 registers. vec_portable.h has the same types and functions in
// plain code, with comments.
#pragma once

#include <arm_neon.h>
#include <stdint.h>

namespace byhand::cpu::BYHAND_ISA {
namespace {

inline constexpr int kRegisters = 32;

// NEON has no masked loads and stores. The next two functions load and store the first n of 4 values of 32
// bits, 0 <= n <= 4.
//
// Lane i gets value i, or the last value if there are fewer. Then the lanes beyond n are cleared. If n is 0,
// the loads read the stack frame instead of p. The addresses are computed without a branch, because compilers
// would otherwise make a copy of a tile's loop for each n.
inline uint32x4_t load_first(const void* p, int n) {
  const intptr_t empty = (n - 1) >> 31;  // all bits are 1 if n is 0, otherwise all are 0
  const intptr_t frame = reinterpret_cast<intptr_t>(__builtin_frame_address(0));
  const intptr_t from = (reinterpret_cast<intptr_t>(p) & ~empty) | (frame & empty);
  const intptr_t last = (n - 1) & ~empty;
  const auto value = [&](intptr_t i) {
    const intptr_t beyond = (last - i) & ((last - i) >> 63);  // 0 if i <= last
    uint32_t x;
    __builtin_memcpy(&x, reinterpret_cast<const void*>(from + 4 * (i + beyond)), sizeof x);
    return x;
  };
  uint32x4_t v = vdupq_n_u32(value(0));
  v = vsetq_lane_u32(value(1), v, 1);
  v = vsetq_lane_u32(value(2), v, 2);
  v = vsetq_lane_u32(value(3), v, 3);
  const int32_t index[4] = {0, 1, 2, 3};
  return vandq_u32(v, vcltq_s32(vld1q_s32(index), vdupq_n_s32(n)));
}
inline void store_first(uint32x4_t v, void* p, int n) {
  if (n >= 4) {
    __builtin_memcpy(p, &v, 16);
    return;
  }
  char* to = static_cast<char*>(p);
  uint32x2_t two = vget_low_u32(v);
  if (n & 2) {
    __builtin_memcpy(to, &two, 8);
    two = vget_high_u32(v);
    to += 8;
  }
  if (n & 1) __builtin_memcpy(to, &two, 4);
}

// Kernels also move int32 values through a Vec. This is safe, because vld1q_f32 and vst1q_f32 may access
// values of any type.
struct Vec {
  static constexpr int kLanes = 4;
  float32x4_t v;

  static Vec zero() { return {vdupq_n_f32(0)}; }
  static Vec set(float x) { return {vdupq_n_f32(x)}; }
  static Vec load(const float* p) { return {vld1q_f32(p)}; }
  static Vec load(const float* p, int n) { return {vreinterpretq_f32_u32(load_first(p, n))}; }
  void store(float* p) const { vst1q_f32(p, v); }
  void store(float* p, int n) const { store_first(vreinterpretq_u32_f32(v), p, n); }
  // Loads n values p[0], p[stride], p[2 * stride], ... The other lanes are 0.
  static Vec load_strided(const float* p, int64_t stride, int n) {
    if (stride == 1) return load(p, n);
    if (stride == 2 && n == kLanes) {
      // The last value that is needed is p[6]. Therefore `high` begins at p[3]. If it began at p[4], it would
      // also read p[7], which may lie outside the array.
      const float32x4_t low = load(p).v, high = load(p + 3).v;
      return {vcombine_f32(vuzp1_f32(vget_low_f32(low), vget_high_f32(low)),
                           vuzp2_f32(vget_low_f32(high), vget_high_f32(high)))};
    }
    float lane[kLanes] = {};
    for (int i = 0; i < n; ++i) __builtin_memcpy(lane + i, p + i * stride, sizeof(float));
    return load(lane);
  }
  static Vec load_bytes(const uint8_t* p, int n) {
    uint8_t byte[8] = {};
    if (n == kLanes)
      __builtin_memcpy(byte, p, kLanes);
    else
      for (int i = 0; i < n; ++i) byte[i] = p[i];
    return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vld1_u8(byte)))))};
  }
};

struct IVec {
  int32x4_t v;

  static IVec set(int32_t x) { return {vdupq_n_s32(x)}; }
  static IVec iota(int32_t step) {  // 0, step, 2 * step, ...
    const int32_t lane[Vec::kLanes] = {0, 1, 2, 3};
    return {vmulq_n_s32(vld1q_s32(lane), step)};
  }
  static IVec load(const int32_t* p) { return {vld1q_s32(p)}; }
  static IVec load(const int32_t* p, int n) { return {vreinterpretq_s32_u32(load_first(p, n))}; }
  void store(int32_t* p) const { vst1q_s32(p, v); }
  void store(int32_t* p, int n) const { store_first(vreinterpretq_u32_s32(v), p, n); }
};

struct Mask {
  uint32x4_t v;  // all bits of a lane are 1, or all are 0
};

inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Vec max(Vec a, Vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }  // b if a or b is NaN

inline Mask operator<(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
inline Mask operator>(Vec a, Vec b) { return {vcgtq_f32(a.v, b.v)}; }
inline Mask first_mask(int n) { return {vcltq_s32(IVec::iota(1).v, vdupq_n_s32(n))}; }  // the first n lanes
inline Mask is_nan(Vec a) { return {vmvnq_u32(vceqq_f32(a.v, a.v))}; }
inline Mask operator|(Mask a, Mask b) { return {vorrq_u32(a.v, b.v)}; }
inline Vec select(Mask m, Vec a, Vec b) { return {vbslq_f32(m.v, a.v, b.v)}; }
inline IVec select(Mask m, IVec a, IVec b) { return {vbslq_s32(m.v, a.v, b.v)}; }

inline Mask operator==(IVec a, IVec b) { return {vceqq_s32(a.v, b.v)}; }
inline Mask operator<(IVec a, IVec b) { return {vcltq_s32(a.v, b.v)}; }
inline IVec operator+(IVec a, IVec b) { return {vaddq_s32(a.v, b.v)}; }
inline IVec operator-(IVec a, IVec b) { return {vsubq_s32(a.v, b.v)}; }
inline IVec operator*(IVec a, IVec b) { return {vmulq_s32(a.v, b.v)}; }  // no product may overflow
inline IVec operator&(IVec a, IVec b) { return {vandq_s32(a.v, b.v)}; }
inline IVec operator|(IVec a, IVec b) { return {vorrq_s32(a.v, b.v)}; }
inline IVec operator^(IVec a, IVec b) { return {veorq_s32(a.v, b.v)}; }
template <int kBits>
inline IVec shift_left(IVec a) {
  return {vshlq_n_s32(a.v, kBits)};
}
template <int kBits>
inline IVec shift_right(IVec a) {  // arithmetic
  return {vshrq_n_s32(a.v, kBits)};
}
// The 64-bit products of the lanes of two vectors: the upper and the lower 32 bits. The lanes count as
// unsigned numbers.
struct WideProduct {
  IVec high, low;
};
inline WideProduct multiply_wide(IVec a, IVec b) {
  const uint32x4_t x = vreinterpretq_u32_s32(a.v), y = vreinterpretq_u32_s32(b.v);
  const uint32x4_t first = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x), vget_low_u32(y)));
  const uint32x4_t second = vreinterpretq_u32_u64(vmull_high_u32(x, y));
  return {{vreinterpretq_s32_u32(vuzp2q_u32(first, second))},
          {vreinterpretq_s32_u32(vuzp1q_u32(first, second))}};
}
inline IVec bits(Vec a) { return {vreinterpretq_s32_f32(a.v)}; }
inline Vec from_bits(IVec a) { return {vreinterpretq_f32_s32(a.v)}; }
// Convert to an integer and to a float. `truncate` rounds toward zero. The result must fit into an int32.
inline IVec truncate(Vec a) { return {vcvtq_s32_f32(a.v)}; }
inline Vec to_float(IVec a) { return {vcvtq_f32_s32(a.v)}; }
// Loads p[index] in each lane.
inline Vec gather(const float* p, IVec index) {
  float32x4_t v = vld1q_dup_f32(p + vgetq_lane_s32(index.v, 0));
  v = vld1q_lane_f32(p + vgetq_lane_s32(index.v, 1), v, 1);
  v = vld1q_lane_f32(p + vgetq_lane_s32(index.v, 2), v, 2);
  return {vld1q_lane_f32(p + vgetq_lane_s32(index.v, 3), v, 3)};
}

inline float sum(Vec a) {
  const float32x2_t two = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float max_lane(Vec a) { return vmaxvq_f32(a.v); }  // no lane may be NaN

// Adds up vectors lane by lane, in double precision.
struct DoubleSum {
  float64x2_t low = vdupq_n_f64(0), high = vdupq_n_f64(0);

  void add(Vec a) {
    low = vaddq_f64(low, vcvt_f64_f32(vget_low_f32(a.v)));
    high = vaddq_f64(high, vcvt_high_f64_f32(a.v));
  }
  void add_product(Vec a, Vec b) {  // the product is exact in double
    low = vfmaq_f64(low, vcvt_f64_f32(vget_low_f32(a.v)), vcvt_f64_f32(vget_low_f32(b.v)));
    high = vfmaq_f64(high, vcvt_high_f64_f32(a.v), vcvt_high_f64_f32(b.v));
  }
  // Returns the sum over all lanes.
  double total() const { return vaddvq_f64(vaddq_f64(low, high)); }
  // Writes the sum of each lane: kLanes values.
  void store(double* p) const {
    vst1q_f64(p, low);
    vst1q_f64(p + 2, high);
  }
  // Returns the sum of each lane divided by `divisor`, rounded to float32.
  Vec over(double divisor) const {
    const float64x2_t d = vdupq_n_f64(divisor);
    return {vcvt_high_f32_f64(vcvt_f32_f64(vdivq_f64(low, d)), vdivq_f64(high, d))};
  }
};

// With 4 lanes, the second pointer of the next functions is not used.
inline Vec load_fours(const float* p, const float*) { return Vec::load(p); }
inline void store_fours(Vec a, float* p, float*) { a.store(p); }
// Loads two values from each of p and p + step.
inline Vec load_twos(const float* p, const float*, int64_t step) {
  return {vcombine_f32(vld1_f32(p), vld1_f32(p + step))};
}
// Loads the first `columns` of two values; the others are 0.
inline float32x2_t load_two(const float* p, int columns) {
  if (columns >= 2) return vld1_f32(p);
  return columns == 1 ? vld1_lane_f32(p, vdup_n_f32(0), 0) : vdup_n_f32(0);
}
// Loads the same values as load_twos above, but only those of the first `rows` of the two rows, and the first
// columns[0] of each row. The other lanes are 0.
inline Vec load_twos(const float* p, const float*, int64_t step, int rows, const int (&columns)[2]) {
  return {
      vcombine_f32(load_two(p, rows > 0 ? columns[0] : 0), load_two(p + step, rows > 1 ? columns[0] : 0))};
}
// If the lanes are a0 a1 a2 a3 in a and b0 b1 b2 b3 in b, the lanes of the results are:
//   even_of_fours  a0 a2 b0 b2      low_of_fours   a0 b0 a1 b1
//   odd_of_fours   a1 a3 b1 b3      high_of_fours  a2 b2 a3 b3
inline Vec even_of_fours(Vec a, Vec b) { return {vuzp1q_f32(a.v, b.v)}; }
inline Vec odd_of_fours(Vec a, Vec b) { return {vuzp2q_f32(a.v, b.v)}; }
inline Vec low_of_fours(Vec a, Vec b) { return {vzip1q_f32(a.v, b.v)}; }
inline Vec high_of_fours(Vec a, Vec b) { return {vzip2q_f32(a.v, b.v)}; }

// Transposes a square of kLanes x kLanes values: exchanges lane j of row i and lane i of row j.
inline void transpose(Vec (&row)[Vec::kLanes]) {
  const Vec first = low_of_fours(row[0], row[2]), second = high_of_fours(row[0], row[2]);
  const Vec third = low_of_fours(row[1], row[3]), fourth = high_of_fours(row[1], row[3]);
  row[0] = low_of_fours(first, third);
  row[1] = high_of_fours(first, third);
  row[2] = low_of_fours(second, fourth);
  row[3] = high_of_fours(second, fourth);
}

// With 4 lanes there is no shorter vector.
using HalfVec = Vec;
inline HalfVec low_half(Vec a) { return a; }

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
