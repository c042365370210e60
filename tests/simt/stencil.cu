// A stencil of seven points. A block loads its values and a halo of three on each side.
#include "check.h"

constexpr int kRadius = 3, kThreads = 32;

__global__ void blur(const float* x, float* y, int n) {
  __shared__ float tile[kThreads + 2 * kRadius];
  const int i = blockIdx.x * kThreads + threadIdx.x, at = threadIdx.x + kRadius;
#ifdef FAULT_2
  if (i < n) tile[at] = x[i];
#else
  tile[at] = i < n ? x[i] : 0.0f;
#endif
#ifdef FAULT_3
  if (threadIdx.x < kRadius) {
    tile[at - kRadius] = x[i - kRadius];  // FAULT_3: out-of-bounds in blur
#else
#ifdef FAULT_4
  if (threadIdx.x < kRadius - 1) {
#else
  if (threadIdx.x < kRadius) {
#endif
    tile[at - kRadius] = i >= kRadius ? x[i - kRadius] : 0.0f;
#endif
    tile[at + kThreads] = i + kThreads < n ? x[i + kThreads] : 0.0f;
  }
#ifndef FAULT_1
  __syncthreads();
#endif
  float sum = 0.0f;
  if (i < n) {
    for (int d = -kRadius; d <= kRadius; ++d)
      sum += tile[at + d];  // FAULT_1: uninitialized in blur; FAULT_2: uninitialized in blur; FAULT_4: uninitialized in blur
    y[i] = sum;
  }
}

int main() {
  constexpr int n = 203;
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i % 11);
  float *const d_x = to_device(x), *const d_y = device_array<float>(n);
  blur<<<(n + kThreads - 1) / kThreads, kThreads>>>(d_x, d_y, n);
  const std::vector<float> y = to_host(d_y, n);
  for (int i = 0; i < n; ++i) {
    float expected = 0.0f;
    for (int j = i - kRadius; j <= i + kRadius; ++j) expected += j >= 0 && j < n ? x[j] : 0.0f;
    REQUIRE(y[i] == expected);
  }
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
}
