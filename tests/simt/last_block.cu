// A sum with one kernel: the block that ends last adds the sums of all blocks. __threadfence() makes sure that it
// sees them.
#include "check.h"

constexpr int kThreads = 64;

__device__ unsigned blocks_done = 0;

__global__ void sum_all(const float* x, float* sums, float* total, int n) {
  __shared__ float part[kThreads];
  __shared__ bool is_last;
  const int t = threadIdx.x, i = blockIdx.x * kThreads + t;
  part[t] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (int s = kThreads / 2; s > 0; s /= 2) {
    if (t < s) part[t] += part[t + s];
    __syncthreads();
  }
  if (t == 0) {
    sums[blockIdx.x] = part[0];  // FAULT_1: other
#ifndef FAULT_1
    __threadfence();
#endif
#ifdef FAULT_3
    is_last = blocks_done++ == gridDim.x - 1;  // FAULT_3: race in sum_all; FAULT_3: other
#else
    is_last = atomicAdd(&blocks_done, 1u) == gridDim.x - 1;  // FAULT_2: other
#endif
  }
#ifndef FAULT_2
  __syncthreads();
#endif
  if (!is_last) return;  // FAULT_2: race in sum_all
  float sum = 0.0f;
  for (int b = t; b < gridDim.x; b += kThreads) sum += sums[b];  // FAULT_1: race in sum_all
  part[t] = sum;  // FAULT_4: race in sum_all
#ifndef FAULT_4
  __syncthreads();
#endif
  for (int s = kThreads / 2; s > 0; s /= 2) {
    if (t < s) part[t] += part[t + s];  // FAULT_4: other
    __syncthreads();
  }
  if (t == 0) {
    *total = part[0];
    blocks_done = 0;
  }
}

int main() {
  constexpr int n = 500, blocks = (n + kThreads - 1) / kThreads;
  std::vector<float> x(n);
  float expected = 0.0f;
  for (int i = 0; i < n; ++i) expected += x[i] = static_cast<float>(i % 10);
  float *const d_x = to_device(x), *const d_sums = device_array<float>(blocks), *const d_total = device_array<float>(1);
  for (int repeat = 0; repeat < 2; ++repeat) {
    sum_all<<<blocks, kThreads>>>(d_x, d_sums, d_total, n);
    REQUIRE(to_host(d_total, 1)[0] == expected);
  }
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_sums));
  CHECK(cudaFree(d_total));
}
