// The most multiply-adds that a core can do, for benchmarks to stand against.
#include "cpu/kernels/fill.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// 12 independent chains, in registers: enough to hide the latency, and no memory touched.
float fma_chains(int64_t steps) {
  constexpr int kChains = 12;
  Vec chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = Vec::set(static_cast<float>(i));
  const Vec factor = Vec::set(0.999f), term = Vec::set(0.001f);
  for (int64_t s = 0; s < steps; ++s)
    for (Vec& c : chain) c = fma(c, factor, term);
  Vec total = chain[0];
  for (int i = 1; i < kChains; ++i) total = total + chain[i];
  return sum(total);
}

}  // namespace

void fill_peak(PeakKernels& k) {
  k.fma_chains = fma_chains;
  k.flops_per_step = 2 * 12 * Vec::kLanes;
}

}  // namespace byhand::cpu::BYHAND_ISA
