#include "cpu/runtime/peak.h"

#include <algorithm>
#include <chrono>

#include "cpu/runtime/registry.h"

namespace byhand::cpu {

double fma_peak(double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  constexpr int64_t kSteps = 100'000;  // about a millisecond
  const PeakKernels& k = kernels().peak;
  volatile float kept = 0;  // so that the work is not optimised away
  double best = 0;
  for (const auto begin = Clock::now(); since(begin) < seconds;) {
    const auto start = Clock::now();
    kept = kept + k.fma_chains(kSteps);
    best = std::max(best, static_cast<double>(kSteps) * k.flops_per_step / since(start));
  }
  return best;
}

}  // namespace byhand::cpu
