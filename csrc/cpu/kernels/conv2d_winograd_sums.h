// Products of Winograd's matrices with vectors x of at most 8 elements. Every element is a Vec, so each lane
// computes a product of its own. Because the compiler knows the matrices, most of their factors that are 0, 1
// or -1 need no multiplication. Two rows of a matrix that differ only in signs share their sums.
#pragma once

#include "cpu/kernels/conv2d_winograd.h"
#include "cpu/kernels/conv2d_winograd_matrices.h"
#include "cpu/vec/unroll.h"
#include BYHAND_VEC_HEADER

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr int kSize = kWinogradSize;

// Returns sum + P[i][j] * x, or only the product if kFirst. The functions of this file are recursive
// templates instead of loops over i and j, because compilers do not always unroll a loop before they look for
// factors that are 0 or 1.
template <class P, int i, int j, bool kFirst>
inline Vec add_product(Vec x, Vec sum) {
  constexpr float kFactor = P::kValue[i][j];
  if constexpr (kFirst)
    return kFactor == 1 ? x : Vec::set(kFactor) * x;
  else if constexpr (kFactor == 1)
    return sum + x;
  else if constexpr (kFactor == -1)
    return sum - x;
  else
    return fma(Vec::set(kFactor), x, sum);
}

// Returns the sum of P[i][k] * x[k] over k = j, j + 2, j + 4, ...
template <class P, int i, int j, bool kFirst = true>
inline Vec row_sum(const Vec (&x)[P::kColumns], Vec sum = Vec::zero()) {
  if constexpr (j >= P::kColumns)
    return sum;
  else if constexpr (P::kValue[i][j] == 0)
    return row_sum<P, i, j + 2, kFirst>(x, sum);
  else
    return row_sum<P, i, j + 2, false>(x, add_product<P, i, j, kFirst>(x[j], sum));
}

// y = P x for a matrix P of conv2d_winograd_matrices.h. Rows 1 and 2 of P are a pair: they belong to a point
// and its negative. So do rows 3 and 4, and rows 5 and 6. The two rows of a pair are equal in even columns
// and differ in sign in odd columns.
template <class P, int i = 0>
inline void expand(const Vec (&x)[P::kColumns], Vec (&y)[kSize]) {
  const Vec even = row_sum<P, i, 0>(x), odd = row_sum<P, i, 1>(x);
  y[i] = even + odd;
  if constexpr (i > 0 && i + 1 < kSize) y[i + 1] = even - odd;
  constexpr int kNext = i == 0 ? 1 : i + 2;
  if constexpr (kNext < kSize) expand<P, kNext>(x, y);
}

// Returns the sum of P[i][j] * y[i] over all rows i, for one column j. The two rows i and i + 1 of a pair
// contribute
//   P[i][j] * sum[i / 2]         with sum[i / 2] = y[i] + y[i + 1]         if j is even,
//   P[i][j] * difference[i / 2]  with difference[i / 2] = y[i] - y[i + 1]  if j is odd.
template <class P, int j, int i = 0, bool kFirst = true>
inline Vec column_sum(const Vec (&y)[kSize], const Vec (&sum)[3], const Vec (&difference)[3],
                      Vec total = Vec::zero()) {
  if constexpr (i >= kSize) {
    return total;
  } else {
    constexpr int kNext = i == 0 ? 1 : i + 2;
    if constexpr (P::kValue[i][j] == 0) {
      return column_sum<P, j, kNext, kFirst>(y, sum, difference, total);
    } else {
      const Vec value = i == 0 || i + 1 == kSize ? y[i] : j % 2 ? difference[i / 2] : sum[i / 2];
      return column_sum<P, j, kNext, false>(y, sum, difference, add_product<P, i, j, kFirst>(value, total));
    }
  }
}

template <class P, int j = 0>
inline void column_sums(const Vec (&y)[kSize], const Vec (&sum)[3], const Vec (&difference)[3],
                        Vec (&x)[P::kColumns]) {
  x[j] = column_sum<P, j>(y, sum, difference);
  if constexpr (j + 1 < P::kColumns) column_sums<P, j + 1>(y, sum, difference, x);
}

// x = P' y, where P' is the transpose of P.
template <class P>
inline void contract(const Vec (&y)[kSize], Vec (&x)[P::kColumns]) {
  const Vec sum[3] = {y[1] + y[2], y[3] + y[4], y[5] + y[6]};
  const Vec difference[3] = {y[1] - y[2], y[3] - y[4], y[5] - y[6]};
  column_sums<P>(y, sum, difference, x);
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
