// The squared error of ops/squared_error.h.
//
// One thread computes one error or one gradient. The sum takes two kernels:
//
//   values        | 256 | 256 | 256 | 256 | 256 | 256 | ...
//   block            0     1     2     0     1     2          first kernel: one sum per block
//                     \____ | ____/
//   partial_sums        s0 s1 s2                              second kernel: one block adds these
//
// The end of the first kernel orders the two, so they need neither fences nor atomic functions. The order of
// the additions depends only on `count`, so the sum has the same bits in every run. There is one addition in
// double precision per 8 bytes read. A GPU that does few of them per second still waits for memory.
#include <algorithm>

#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/ops.h"
#include "cuda/team.cuh"

namespace byhand::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPartialSums = 1024;  // the largest number of blocks of the sum
// The smallest number of values that a block of the sum adds, if there are that many.
constexpr int64_t kValuesPerBlock = 4096;

// The number of the calling thread in the grid.
__device__ int64_t thread_of_grid() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

__device__ float square(float d) { return d * d; }

__global__ void __launch_bounds__(kThreads)
    errors_kernel(const float* prediction, const float* target, int64_t count, float* errors) {
  const int64_t i = thread_of_grid();
  if (i < count) errors[i] = square(prediction[i] - target[i]);
}

__global__ void __launch_bounds__(kThreads)
    partial_sums_kernel(const float* prediction, const float* target, int64_t count, double* partial_sums) {
  double sum = 0;
  for (int64_t i = thread_of_grid(); i < count; i += int64_t{gridDim.x} * kThreads)
    sum += square(prediction[i] - target[i]);
  sum = team_sum<kThreads>(sum);
  if (threadIdx.x == 0) partial_sums[blockIdx.x] = sum;
}

// Adds up the partial sums, one per thread, and divides by `divisor`. Runs in one block.
__global__ void __launch_bounds__(kPartialSums)
    whole_sum_kernel(const double* partial_sums, int count, double divisor, float* sum) {
  const int i = static_cast<int>(threadIdx.x);
  const double all = team_sum<kPartialSums>(i < count ? partial_sums[i] : 0.0);
  if (i == 0) *sum = static_cast<float>(all / divisor);
}

__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const float* prediction, const float* target, int64_t count, float factor,
                    const float* each, float* grad_prediction) {
  const int64_t i = thread_of_grid();
  if (i >= count) return;
  const float scale = each ? factor * each[i] : factor;
  grad_prediction[i] = scale * (prediction[i] - target[i]);
}

// A grid has up to 2^31 - 1 blocks, which is enough for 2^39 values.
unsigned blocks_of(int64_t count) { return static_cast<unsigned>(parts(count, kThreads)); }

}  // namespace

void squared_errors(const float* prediction, const float* target, int64_t count, float* errors) {
  if (count == 0) return;
  errors_kernel<<<blocks_of(count), kThreads, 0, stream()>>>(prediction, target, count, errors);
  check_launch("squared_errors");
}

void squared_error(const float* prediction, const float* target, int64_t count, Reduction reduction,
                   float* error) {
  const int sums = static_cast<int>(std::min<int64_t>(parts(count, kValuesPerBlock), kPartialSums));
  const Scratch<double> partial_sums(sums);
  if (sums > 0) {
    partial_sums_kernel<<<static_cast<unsigned>(sums), kThreads, 0, stream()>>>(prediction, target, count,
                                                                                partial_sums.data());
    check_launch("squared_error");
  }
  const double divisor = reduction == Reduction::kMean ? static_cast<double>(count) : 1.0;
  whole_sum_kernel<<<1, kPartialSums, 0, stream()>>>(partial_sums.data(), sums, divisor, error);
  check_launch("squared_error");
}

void squared_error_backward(const float* prediction, const float* target, int64_t count, Reduction reduction,
                            GradLoss grad_loss, float* grad_prediction) {
  if (count == 0) return;
  const double share = reduction == Reduction::kMean ? 1 / static_cast<double>(count) : 1;
  const float factor = static_cast<float>(2 * share * grad_loss.value);
  gradient_kernel<<<blocks_of(count), kThreads, 0, stream()>>>(prediction, target, count, factor,
                                                               grad_loss.each, grad_prediction);
  check_launch("squared_error_backward");
}

}  // namespace byhand::cuda
