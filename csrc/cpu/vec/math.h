// Elementary functions of vectors. fit_polynomials.py computes the coefficients.
//
// The largest errors, in units in the last place (ulp), are 1.03 for exp, 0.87 for log, 2.50 for tanh and
// 2.41 for sigmoid. They are the same with and without fused multiply-adds. The errors were measured
// with two sets of floats: every float whose magnitude is at least 0.01, as far as the result still changes
// with it, and every fifteenth of the other floats.
//
// exp and log first reduce their argument to a small interval, on which a polynomial approximates the
// function. The reduction follows Cody and Waite, "Software Manual for the Elementary Functions" (1980).
// log(2) is the sum of a high part with few bits and a low part. The product of the high part and a small
// integer is therefore exact, even without a fused multiply-add.
#pragma once

#include <stdint.h>

#include BYHAND_VEC_HEADER

namespace byhand::cpu::BYHAND_ISA {
namespace {

inline constexpr float kLog2E = 0x1.715476p0f;      // the base-2 logarithm of e, 1 / log(2)
inline constexpr float kLog2High = 0x1.62e4p-1f;    // the first 15 bits of log(2)
inline constexpr float kLog2Low = 0x1.7f7d1cp-20f;  // log(2) - kLog2High
// For |x| < 2^22, x + kRound - kRound is x rounded to an integer. The lowest bits of the float x + kRound
// are this integer, as a two's complement number.
inline constexpr float kRound = 0x1.8p23f;

// expm1(r) = r + r^2 P(r), relative error 2^-26.1 for |r| <= 0.3475
inline constexpr float kExp[] = {0x1.fffffep-2f, 0x1.5554b2p-3f, 0x1.5556f8p-5f, 0x1.1226d8p-7f,
                                 0x1.6b96f2p-10f};
// log(1 + f) = f - f^2 / 2 + f^3 P(f), relative error 2^-27.4 for sqrt(1/2) <= 1 + f < sqrt(2)
inline constexpr float kLog[] = {0x1.555554p-2f, -0x1.000226p-2f, 0x1.99a01cp-3f, -0x1.54728ap-3f,
                                 0x1.22d92ep-3f, -0x1.0d8242p-3f, 0x1.055ec6p-3f, -0x1.38c9dep-4f};

// Returns the sum of coefficient[i] * x^i, by Horner's rule.
template <int kCount>
inline Vec polynomial(const float (&coefficient)[kCount], Vec x) {
  Vec sum = Vec::set(coefficient[kCount - 1]);
  for (int i = kCount - 2; i >= 0; --i) sum = fma(sum, x, Vec::set(coefficient[i]));
  return sum;
}

inline Vec abs(Vec x) { return from_bits(bits(x) & IVec::set(INT32_MAX)); }
inline Vec copy_sign(Vec magnitude, Vec sign) {
  return from_bits(bits(abs(magnitude)) | (bits(sign) & IVec::set(INT32_MIN)));
}

// For |x| <= 104, `reduce` finds an integer n and a remainder r with x = n log(2) + r and |r| <= 0.3475,
// which is a little more than log(2) / 2. So exp(x) = 2^n exp(r). If n may be too small for the exponent
// field of a float, a positive kBias keeps 2^(n + kBias) a normal number.
struct Reduced {
  Vec expm1;  // expm1(r)
  Vec power;  // 2^(n + kBias)
};
// The lowest bits of `shifted` are n + kBias + 127. The shift to the left by 23 makes them the exponent
// field of a float, whose value is 2^(n + kBias).
template <int kBias>
inline Reduced reduce(Vec x) {
  const Vec shifted = fma(x, Vec::set(kLog2E), Vec::set(kRound + 127 + kBias));
  const Vec n = shifted - Vec::set(kRound + 127 + kBias);
  const Vec r = fma(n, Vec::set(-kLog2Low), fma(n, Vec::set(-kLog2High), x));
  return {fma(polynomial(kExp, r), r * r, r), from_bits(shift_left<23>(bits(shifted)))};
}

// Returns exp(x) for x <= 0. Softmax and sigmoid need no other arguments. exp(NaN) is NaN, and exp(0) is
// exactly 1.
inline Vec exp_nonpositive(Vec x) {
  // If x < -104, x is replaced by -104, for which the result is 0, too. 2^n may be a subnormal number, which
  // an exponent field alone cannot express. Therefore compute with 2^(n + 64) and multiply by 2^-64 at the
  // end. Only this last product can round to a subnormal number.
  const Reduced e = reduce<64>(max(Vec::set(-104), x));
  return fma(e.power, e.expm1, e.power) * Vec::set(0x1p-64f);
}

// Returns log(x) for finite x >= 1, and NaN for NaN. x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
inline Vec log(Vec x) {
  const IVec k = shift_right<23>(bits(x) - IVec::set(0x3f3504f3));  // the bits of sqrt(1/2)
  const Vec n = from_bits(k + bits(Vec::set(kRound))) - Vec::set(kRound);
  const Vec f = from_bits(bits(x) - shift_left<23>(k)) - Vec::set(1);
  const Vec tail = fma(n, Vec::set(kLog2Low), polynomial(kLog, f) * f * f * f);
  const Vec y = fma(n, Vec::set(kLog2High), f + fma(Vec::set(-0.5f) * f, f, tail));
  return select(is_nan(x), x, y);
}

// Returns tanh(x) = sign(x) * -y / (y + 2) with y = expm1(-2 |x|). This formula is accurate for small x, and
// the magnitude of its result is never larger than 1.
inline Vec tanh(Vec x) {
  const Reduced e = reduce<0>(max(Vec::set(-20), Vec::set(-2) * abs(x)));
  const Vec y = fma(e.power, e.expm1, e.power - Vec::set(1));
  return copy_sign(y / (y + Vec::set(2)), x);
}

// Returns sigmoid(x) = 1 / (1 + exp(-x)). If x < 0, it is computed as exp(x) / (1 + exp(x)). The argument of
// exp is then -|x| in both cases, and exp never overflows.
inline Vec sigmoid(Vec x) {
  const Vec e = exp_nonpositive(from_bits(bits(x) | IVec::set(INT32_MIN)));
  const Vec one = Vec::set(1);
  return select(x < Vec::zero(), e, one) / (one + e);
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
