#include "cpu/runtime/peak.h"

#include <algorithm>
#include <chrono>

#include "core/check.h"
#include "core/scratch.h"
#include "cpu/kernels/peak.h"
#include "cpu/kernels/reduce.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {
namespace {

// Calls run() again and again for `seconds`. One run does `work`, in operations or bytes. Returns the work
// per second of the fastest run.
template <class Run>
double best_rate(double seconds, double work, const Run& run) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  double best = 0;
  for (const auto begin = Clock::now(); since(begin) < seconds;) {
    const auto start = Clock::now();
    run();
    best = std::max(best, work / since(start));
  }
  return best;
}

}  // namespace

double fma_peak(double seconds) {
  constexpr int64_t kSteps = 100'000;  // steps per run, which takes some tenths of a millisecond
  const PeakKernels& k = kernels<PeakKernels>();
  volatile float kept = 0;  // keeps the compiler from removing the work
  return best_rate(seconds, static_cast<double>(kSteps) * k.flops_per_step,
                   [&] { kept = kept + k.fma_chains(kSteps); });
}

double memory_rate(int64_t bytes, double seconds) {
  // The bytes of a pair of values, one of each array, and the bytes that adding the pair moves: two reads and
  // one write.
  constexpr int64_t kPair = 2 * sizeof(float), kMoved = 3 * sizeof(float);
  // The bytes that the arrays of all passes of a run have together. With arrays in L1, a run takes some tens
  // of microseconds.
  constexpr int64_t kRun = int64_t{1} << 22;
  require(bytes >= kPair, "bytes must be at least ", kPair, ", got ", bytes);
  const int64_t count = bytes / kPair, passes = std::max<int64_t>(1, kRun / bytes);
  ScratchFrame frame;
  float *const target = frame.allocate<float>(count), *const x = frame.allocate<float>(count);
  std::fill_n(target, count, 0.0f);
  std::fill_n(x, count, 0.0f);
  return best_rate(seconds, static_cast<double>(passes * count * kMoved), [&] {
    for (int64_t i = 0; i < passes; ++i) kernels<ReduceKernels>().add(target, x, count, target);
  });
}

}  // namespace byhand::cpu
