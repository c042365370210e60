// Bitonic sort: in shared memory for a block, and with one launch per step for a whole array.
#include "check.h"

#include <algorithm>

__device__ void order_pair(int& a, int& b, bool up) {
  if ((a > b) == up) {  // FAULT_1: uninitialized in sort_block; FAULT_2: other; FAULT_3: other
    const int swap = a;
    a = b;  // FAULT_2: race in sort_step; FAULT_3: race in sort_block
    b = swap;
  }
}

__global__ void sort_block(int* x) {
  extern __shared__ int s[];
  const int t = threadIdx.x;
  s[t] = x[t];
  s[t + blockDim.x] = x[t + blockDim.x];
  for (int size = 2; size <= 2 * blockDim.x; size *= 2)
    for (int step = size / 2; step > 0; step /= 2) {
#ifdef FAULT_3
      if (step > 1 || size == 2) __syncthreads();
#elif !defined FAULT_1
      __syncthreads();
#endif
      const int i = 2 * t - (t & (step - 1));
      order_pair(s[i], s[i + step], (t & (size / 2)) == 0);
    }
  __syncthreads();
  x[t] = s[t];
  x[t + blockDim.x] = s[t + blockDim.x];
}

__global__ void sort_step(int* x, int size, int step) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x, i = 2 * t - (t & (step - 1));
#ifdef FAULT_2
  order_pair(x[i], x[i + 2 * step - 1], (t & (size / 2)) == 0);
#else
  order_pair(x[i], x[i + step], (t & (size / 2)) == 0);
#endif
}

int main() {
  constexpr int n = 128;
  std::vector<int> x(n), sorted(n);
  for (int i = 0; i < n; ++i) x[i] = sorted[i] = i * 37 % 101;
  std::sort(sorted.begin(), sorted.end());
  int* const d_x = to_device(x);
  sort_block<<<1, n / 2, n * sizeof(int)>>>(d_x);
  REQUIRE(to_host(d_x, n) == sorted);
  CHECK(cudaMemcpy(d_x, x.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  for (int size = 2; size <= n; size *= 2)
    for (int step = size / 2; step > 0; step /= 2) sort_step<<<4, n / 8>>>(d_x, size, step);
  REQUIRE(to_host(d_x, n) == sorted);
  CHECK(cudaFree(d_x));
}
