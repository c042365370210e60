// The squared error of ops/squared_error.h.
//
// The errors and the gradient are computed value by value (each.cuh). The sum takes two kernels:
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

#include "cuda/each.cuh"
#include "cuda/memory.h"
#include "cuda/ops.h"
#include "cuda/team.cuh"

namespace byhand::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPartialSums = 1024;  // the largest number of blocks of the sum
// The smallest number of values that a block of the sum adds, if there are that many.
constexpr int64_t kValuesPerBlock = 4096;

__device__ float square(float d) { return d * d; }

struct SquaredError {
  const float *prediction, *target;
  float* error;

  __device__ float2 load(int64_t i) const { return {prediction[i], target[i]}; }
  __device__ void store(int64_t i, float2 v) const { error[i] = square(v.x - v.y); }
};

__global__ void __launch_bounds__(kThreads)
    partial_sums_kernel(const float* prediction, const float* target, int64_t count, double* partial_sums) {
  double sum = 0;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads)
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

struct Gradient {
  const float *prediction, *target;
  float factor;
  const float* each;  // a factor per value, or null
  float* grad_prediction;

  __device__ float2 load(int64_t i) const {
    return {prediction[i] - target[i], each ? factor * each[i] : factor};
  }
  __device__ void store(int64_t i, float2 v) const { grad_prediction[i] = v.y * v.x; }
};

}  // namespace

void squared_errors(const float* prediction, const float* target, int64_t count, float* errors) {
  for_each(count, SquaredError{prediction, target, errors}, "squared_errors");
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
  for_each(count, Gradient{prediction, target, factor, grad_loss.each, grad_prediction},
           "squared_error_backward");
}

}  // namespace byhand::cuda
