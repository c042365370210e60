// Variables of the device and constants, at file scope and in a namespace, and how the host reaches them.
#include "check.h"

#include <cmath>

constexpr int kTaps = 5;
__constant__ float taps[kTaps];
__constant__ int origin = 2;
__device__ int calls = 0;
__device__ float table[4][8];
__device__ float* pointer;
__device__ const float weights[3] = {0.25f, 0.5f, 0.25f};
const __device__ int first_weight = 1;
static __device__ constexpr int kWeights = 3;
__constant__ const int doubled[2] = {2, 4};
__device__ const float* read_only_data;  // the pointer itself is not constant
namespace settings {
__device__ float scale = 0.5f;
}
int host_offset = 3;

__global__ void filter(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
#ifdef FAULT_1
  taps[0] = 1.0f;  // FAULT_1: constant-write in filter
#endif
#ifdef FAULT_3
  ++calls;  // FAULT_3: race in filter; FAULT_3: other
#else
  atomicAdd(&calls, 1);
#endif
  if (i >= n) return;
  float sum = 0.0f;
#ifdef FAULT_4
  sum += host_offset;  // FAULT_4: host-pointer in filter
#endif
#ifdef FAULT_8
  for (int k = 0; k <= kTaps + 1; ++k)
#else
  for (int k = 0; k < kTaps; ++k)
#endif
    if (i + k - origin >= 0 && i + k - origin < n)
      sum += taps[k] * x[i + k - origin];  // FAULT_8: out-of-bounds in filter
  y[i] = settings::scale * sum;
}

__global__ void fill_table() {
#ifdef FAULT_6
  table[threadIdx.y + 1][threadIdx.x] = threadIdx.x;  // FAULT_6: out-of-bounds in fill_table
#else
  table[threadIdx.y][threadIdx.x] = 10.0f * threadIdx.y + threadIdx.x;
#endif
}
__device__ float weight(const float* all, int i) {
  return all[i];  // FAULT_9: out-of-bounds in use_constants
}
__global__ void use_constants(const float* x) {
  if (threadIdx.x == 0) read_only_data = x;
  __syncthreads();
  float sum = 0.0f;
#ifdef FAULT_9
  for (int k = 0; k < 16 * kWeights; ++k) sum += weight(weights, k);
#else
  for (int k = 0; k < kWeights; ++k) sum += weight(weights, k);
#endif
  const int* const factors = doubled;
  table[0][threadIdx.x] = sum * factors[first_weight] + read_only_data[threadIdx.x];
}
__global__ void use_pointer() {
  pointer[threadIdx.x] = 1.0f;  // FAULT_7: null-pointer in use_pointer
}

int main() {
  constexpr int n = 60;
  const float host_taps[kTaps] = {1.0f, 2.0f, 3.0f, 2.0f, 1.0f};
#ifdef FAULT_5
  for (int k = 0; k < kTaps; ++k) taps[k] = host_taps[k];  // FAULT_5: device-pointer
#else
  CHECK(cudaMemcpyToSymbol(taps, host_taps, sizeof taps));
#endif
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i % 8);
  float *const d_x = to_device(x), *const d_y = device_array<float>(n);
  filter<<<2, 32>>>(d_x, d_y, n);
  const std::vector<float> y = to_host(d_y, n);
  for (int i = 0; i < n; ++i) {
    float sum = 0.0f;
    for (int k = 0; k < kTaps; ++k)
      if (i + k >= 2 && i + k - 2 < n) sum += host_taps[k] * x[i + k - 2];
    REQUIRE(y[i] == 0.5f * sum);
  }
#ifdef FAULT_2
  const int count = calls;  // FAULT_2: device-pointer
#else
  int count = 0;
  CHECK(cudaMemcpyFromSymbol(&count, calls, sizeof count));
#endif
  REQUIRE(count == 64);

  fill_table<<<1, dim3(8, 4)>>>();
  float last = 0.0f;
  CHECK(cudaMemcpyFromSymbol(&last, table, sizeof last, sizeof table - sizeof last));
  REQUIRE(last == 37.0f);
  use_constants<<<1, 8>>>(d_x);
  CHECK(cudaMemcpyFromSymbol(&last, table, sizeof last, 7 * sizeof last));
  REQUIRE(last == 4.0f + 7.0f);
  static_assert(kWeights == 3);
  void* address = nullptr;
  CHECK(cudaGetSymbolAddress(&address, table));
  CHECK(cudaMemset(address, 0, sizeof table));

#ifndef FAULT_7
  CHECK(cudaMemcpyToSymbol(pointer, &d_y, sizeof d_y));
#endif
  use_pointer<<<1, 32>>>();
  REQUIRE(to_host(d_y, 32) == std::vector<float>(32, 1.0f));
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
}
