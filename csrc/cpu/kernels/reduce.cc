// Sums.
#include "cpu/kernels/fill.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// In double: in float32 the sum of a plane of 224 x 224 equal values is off by 3e-5 of it.
double sum_all(const float* x, int64_t count) {
  constexpr int kLanes = Vec::kLanes, kChains = 4;  // additions in flight
  DoubleSum chain[kChains];
  int64_t i = 0;
  for (; i + kChains * kLanes <= count; i += kChains * kLanes)
    for (int c = 0; c < kChains; ++c) chain[c].add(Vec::load(x + i + c * kLanes));
  for (; i < count; i += kLanes)
    chain[0].add(Vec::load(x + i, count - i < kLanes ? static_cast<int>(count - i) : kLanes));
  return (chain[0].total() + chain[1].total()) + (chain[2].total() + chain[3].total());
}

void add_rows(const float* x, int64_t rows, int64_t columns, int64_t stride, float* to) {
  constexpr int kLanes = Vec::kLanes;
  for (int64_t j = 0; j < columns; j += kLanes) {
    const int n = columns - j < kLanes ? static_cast<int>(columns - j) : kLanes;
    Vec total = Vec::zero();
    for (int64_t i = 0; i < rows; ++i) total = total + Vec::load(x + i * stride + j, n);
    (Vec::load(to + j, n) + total).store(to + j, n);
  }
}

void add(const float* a, const float* b, int64_t count, float* y) {
  for_vectors(count, [=](int64_t i, auto n) { store(load(a + i, n) + load(b + i, n), y + i, n); });
}

}  // namespace

void fill_reduce(ReduceKernels& k) {
  k.sum = sum_all;
  k.add_rows = add_rows;
  k.add = add;
}

}  // namespace byhand::cpu::BYHAND_ISA
