// The number of correct rows of ops/count_correct.h.
//
// The kernel does not look for the largest score. A row is correct if no score beats that of its label:
//
//   scores        4    7    9    9    2      label = 2: correct
//   comparison   < 9  < 9  <= 9 <= 9 <= 9
//
// The scores before the label must be smaller, because the first of several equal maxima counts.
// A comparison with NaN is false, so a row with NaN is not correct. A warp works on one row, and its lanes
// vote. Then the block counts its correct rows, and adds their number to `count`. This addition of integers
// is atomic. Integers have the same sum in every order.
#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/ops.h"
#include "cuda/team.cuh"

namespace byhand::cuda {
namespace {

constexpr int kThreads = kTeamThreads<kWarp>, kRows = kTeams<kWarp>;

__global__ void __launch_bounds__(kThreads)
    count_kernel(const float* scores, const int64_t* labels, int64_t rows, int64_t classes, int64_t* count,
                 int* bad) {
  const int lane = thread_of_team<kWarp>();
  const int64_t row = team_of_grid<kWarp>();
  const int64_t label = row < rows ? labels[row] : 0;
  const bool is_good = row < rows && label >= 0 && label < classes;
  bool is_best = is_good;
  if (is_good) {
    const float* const x = scores + row * classes;
    const float own = x[label];
    for (int64_t j = lane; j < classes; j += kWarp) is_best &= j < label ? x[j] < own : x[j] <= own;
  }
  if (row < rows && !is_good && lane == 0) report_bad(bad);
  const bool is_correct = __all_sync(kAllLanes, is_best);
  const int correct = __syncthreads_count(is_correct && lane == 0);
  // CUDA has no atomicAdd for signed numbers of 64 bits. Both kinds of numbers have the same sums.
  if (threadIdx.x == 0 && correct > 0)
    atomicAdd(reinterpret_cast<unsigned long long*>(count), static_cast<unsigned long long>(correct));
}

}  // namespace

void count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes,
                   int64_t* count) {
  check(cudaMemsetAsync(count, 0, sizeof *count, stream()), "count_correct");
  if (rows == 0) return;
  count_kernel<<<static_cast<unsigned>(parts(rows, kRows)), kThreads, 0, stream()>>>(
      scores, labels, rows, classes, count, flag_of(Checked::kCountCorrect));
  check_launch("count_correct");
}

}  // namespace byhand::cuda
