// Counts how many of 4096 numbers are even, with one kernel and without an atomic addition for each count. Every
// block stores its count. The block that arrives last adds up all of them.
#include <cstdio>

constexpr int kBlock = 256, kGrid = 16;

__device__ int counts[kGrid];
__device__ unsigned arrived = 0;

__global__ void count_even(const int* x, int* total) {
  __shared__ bool is_last;
  const int t = threadIdx.x, i = blockIdx.x * kBlock + t;
  const int count = __syncthreads_count(x[i] % 2 == 0);
  if (t == 0) {
    counts[blockIdx.x] = count;
    is_last = atomicAdd(&arrived, 1) == kGrid - 1;
  }
  __syncthreads();
  if (is_last && t == 0) {
    int sum = 0;
    for (int b = 0; b < kGrid; ++b) sum += counts[b];
    *total = sum;
  }
}

int main() {
  constexpr int n = kGrid * kBlock;
  static int x[n], total = 0;
  for (int i = 0; i < n; ++i) x[i] = i;

  int *dx, *dtotal;
  cudaMalloc(&dx, sizeof x);
  cudaMalloc(&dtotal, sizeof total);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  count_even<<<kGrid, kBlock>>>(dx, dtotal);
  cudaMemcpy(&total, dtotal, sizeof total, cudaMemcpyDeviceToHost);
  printf("%d of %d are even\n", total, n);
  cudaFree(dx);
  cudaFree(dtotal);
}
