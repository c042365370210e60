// A loop that does as many multiply-adds per second as one core can. Benchmarks measure its speed and compare
// kernels with it.
#include "cpu/kernels/peak.h"

#include BYHAND_VEC_HEADER
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The number of chains. A chain is a sequence of multiply-adds, each of which needs the result of the
// previous one. Two units with a latency of 4 cycles need 8 independent chains to be always busy. A latency
// of 5 cycles, as on older CPUs, needs 10 chains. The 12 chains, the factor and the term fit into 16
// registers.
constexpr int kChains = 12;

float fma_chains(int64_t steps) {
  Vec chain[kChains];
  BYHAND_UNROLL
  for (int i = 0; i < kChains; ++i) chain[i] = Vec::set(static_cast<float>(i));
  const Vec factor = Vec::set(0.999f), term = Vec::set(0.001f);
  for (int64_t s = 0; s < steps; ++s) {
    BYHAND_UNROLL
    for (Vec& c : chain) c = fma(c, factor, term);
  }
  Vec total = chain[0];
  BYHAND_UNROLL
  for (int i = 1; i < kChains; ++i) total = total + chain[i];
  return sum(total);
}

}  // namespace

void fill_peak(PeakKernels& k) {
  k.fma_chains = fma_chains;
  k.flops_per_step = 2 * kChains * Vec::kLanes;
}

}  // namespace byhand::cpu::BYHAND_ISA
