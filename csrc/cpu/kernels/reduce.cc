// Sums of all values of an array, of the rows of a matrix, and of two arrays.
#include "cpu/kernels/reduce.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

double sum_in_double(const float* x, int64_t pieces, int64_t distance, int64_t count) {
  DoubleSum total;
  for (int64_t p = 0; p < pieces; ++p, x += distance)
    for_vectors(count, [=, &total](int64_t i, auto n) { total.add(load(x + i, n)); });
  return total.total();
}

// The sum is taken in double precision. In float32, the sum of a plane of 224 x 224 equal values has a
// relative error of 3e-5, although each lane adds only a part of the values. To save conversions, eight
// vectors at a time are first added pairwise in float32, and then each lane adds one sum of eight values in
// double precision. Such a sum is exact for equal values, and the function is four times as fast. If a
// float32 sum overflows, everything is summed again in double precision.
double sum(const float* x, int64_t pieces, int64_t distance, int64_t count) {
  constexpr int kLanes = Vec::kLanes;
  DoubleSum total;
  for (int64_t p = 0; p < pieces; ++p) {
    const float* const piece = x + p * distance;
    int64_t i = 0;
    for (; i + 8 * kLanes <= count; i += 8 * kLanes) {
      const auto pair = [=](int k) {
        return Vec::load(piece + i + k * kLanes) + Vec::load(piece + i + (k + 1) * kLanes);
      };
      total.add((pair(0) + pair(2)) + (pair(4) + pair(6)));
    }
    for_vectors(count - i, [=, &total](int64_t j, auto n) { total.add(load(piece + i + j, n)); });
  }
  const double sum = total.total();
  return __builtin_isfinite(sum) ? sum : sum_in_double(x, pieces, distance, count);
}

void add_rows(const float* x, int64_t rows, int64_t columns, int64_t stride, float* to) {
  constexpr int kLanes = Vec::kLanes;
  for (int64_t j = 0; j < columns; j += kLanes) {
    const int n = columns - j < kLanes ? static_cast<int>(columns - j) : kLanes;
    DoubleSum total;
    total.add(Vec::load(to + j, n));
    for (int64_t i = 0; i < rows; ++i) total.add(Vec::load(x + i * stride + j, n));
    total.over(1).store(to + j, n);
  }
}

void add(const float* a, const float* b, int64_t count, float* y) {
  for_vectors(count, [=](int64_t i, auto n) { store(load(a + i, n) + load(b + i, n), y + i, n); });
}

}  // namespace

void fill_reduce(ReduceKernels& k) {
  k.sum = sum;
  k.add_rows = add_rows;
  k.add = add;
}

}  // namespace byhand::cpu::BYHAND_ISA
