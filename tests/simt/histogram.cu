// A histogram: each block counts in shared memory, and adds its counts to those of the grid.
#include "check.h"

constexpr int kBins = 64;

__global__ void count_all(const unsigned char* x, unsigned* counts, int n) {
  __shared__ unsigned bins[kBins];
#ifndef FAULT_3
#ifdef FAULT_6
  for (int b = threadIdx.x; b <= kBins; b += blockDim.x) bins[b] = 0;  // FAULT_6: out-of-bounds in count_all
#else
  for (int b = threadIdx.x; b < kBins; b += blockDim.x) bins[b] = 0;
#endif
#endif
#ifndef FAULT_4
  __syncthreads();
#endif
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
#ifdef FAULT_1
    bins[x[i] % kBins]++;  // FAULT_1: race in count_all; FAULT_1: other
#else
    atomicAdd(&bins[x[i] % kBins], 1u);  // FAULT_3: uninitialized in count_all; FAULT_4: uninitialized in count_all; FAULT_5: race in count_all
#endif
#ifndef FAULT_5
  __syncthreads();
#endif
  for (int b = threadIdx.x; b < kBins; b += blockDim.x)
#ifdef FAULT_2
    counts[b] += bins[b];  // FAULT_2: race in count_all; FAULT_2: other
#else
    atomicAdd(&counts[b], bins[b]);  // FAULT_5: other
#endif
}

int main() {
  constexpr int n = 1000;
  std::vector<unsigned char> x(n);
  std::vector<unsigned> expected(kBins);
  for (int i = 0; i < n; ++i) ++expected[(x[i] = static_cast<unsigned char>(i * i % 97)) % kBins];
  unsigned char* const d_x = to_device(x);
  unsigned* const d_counts = device_array<unsigned>(kBins);
  CHECK(cudaMemset(d_counts, 0, kBins * sizeof(unsigned)));
  count_all<<<3, 48>>>(d_x, d_counts, n);
  REQUIRE(to_host(d_counts, kBins) == expected);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_counts));
}
