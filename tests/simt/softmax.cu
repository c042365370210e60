// The softmax of the rows of a matrix: a warp per row with shuffles, and a block per row with shared memory.
#include "check.h"

#include <cmath>

constexpr int kWarps = 4, kThreads = 32 * kWarps;

__device__ float max_of_warp(float x, unsigned mask) {
  for (int s = 16; s > 0; s /= 2) x = fmaxf(x, __shfl_xor_sync(mask, x, s));  // FAULT_1: shuffle-lane in softmax_warp; FAULT_2: shuffle-lane in softmax_warp
  return x;
}
__device__ float sum_of_warp(float x) {
  for (int s = 16; s > 0; s /= 2) x += __shfl_xor_sync(0xffffffff, x, s);
  return x;
}

__global__ void softmax_warp(const float* x, float* y, int rows, int columns) {
  const int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  if (row >= rows) return;  // a whole warp: it takes part in no barrier
#ifdef FAULT_1
  constexpr unsigned mask = 0xffff;  // a half warp
#else
  constexpr unsigned mask = 0xffffffff;
#endif
  float most = -INFINITY;
#ifdef FAULT_2
  if (lane >= columns) return;  // but the shuffles need all lanes
#endif
  for (int i = lane; i < columns; i += 32) most = fmaxf(most, x[row * columns + i]);
  most = max_of_warp(most, mask);
  float sum = 0.0f;
  for (int i = lane; i < columns; i += 32) sum += expf(x[row * columns + i] - most);
  sum = sum_of_warp(sum);
  for (int i = lane; i < columns; i += 32) y[row * columns + i] = expf(x[row * columns + i] - most) / sum;
}

__global__ void softmax_block(const float* x, float* y, int columns) {
  __shared__ float of_warp[kWarps];
  const float* const from = x + blockIdx.x * columns;
  float* const to = y + blockIdx.x * columns;
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;

  float most = -INFINITY;
  for (int i = t; i < columns; i += kThreads) most = fmaxf(most, from[i]);
  most = max_of_warp(most, 0xffffffff);
  if (lane == 0) of_warp[warp] = most;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) most = fmaxf(most, of_warp[w]);  // FAULT_3: other
#ifndef FAULT_3
  __syncthreads();
#endif
  float sum = 0.0f;
  for (int i = t; i < columns; i += kThreads) sum += expf(from[i] - most);
  sum = sum_of_warp(sum);
  if (lane == 0) of_warp[warp] = sum;  // FAULT_3: race in softmax_block
  __syncthreads();
  sum = 0.0f;
  for (int w = 0; w < kWarps; ++w) sum += of_warp[w];
  for (int i = t; i < columns; i += kThreads) to[i] = expf(from[i] - most) / sum;
}

int main() {
  constexpr int rows = 6, columns = 27, wide = 300;
  std::vector<float> x(rows * wide);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 19) * 0.25f;
  float *const d_x = to_device(x), *const d_y = device_array<float>(x.size());
  const auto check = [&](int count) {
    const std::vector<float> y = to_host(d_y, rows * count);
    for (int r = 0; r < rows; ++r) {
      double sum = 0.0;
      for (int i = 0; i < count; ++i) sum += std::exp(static_cast<double>(x[r * count + i]));
      for (int i = 0; i < count; ++i)
        REQUIRE(std::fabs(y[r * count + i] - std::exp(static_cast<double>(x[r * count + i])) / sum) < 1e-6);
    }
  };
  softmax_warp<<<2, dim3(32, kWarps)>>>(d_x, d_y, rows, columns);
  check(columns);
  softmax_block<<<rows, kThreads>>>(d_x, d_y, wide);
  check(wide);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
}
