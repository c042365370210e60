// Counts how many of 4096 numbers are even. Each block counts its numbers, and its first thread adds the count to
// the total.
#include <cstdio>

__global__ void count_even(const int* x, int* total) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int count = __syncthreads_count(x[i] % 2 == 0);
  if (threadIdx.x == 0) *total += count;
}

int main() {
  constexpr int n = 4096;
  static int x[n], total = 0;
  for (int i = 0; i < n; ++i) x[i] = i;

  int *dx, *dtotal;
  cudaMalloc(&dx, sizeof x);
  cudaMalloc(&dtotal, sizeof total);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  cudaMemset(dtotal, 0, sizeof total);
  count_even<<<n / 256, 256>>>(dx, dtotal);
  cudaMemcpy(&total, dtotal, sizeof total, cudaMemcpyDeviceToHost);
  printf("%d of %d are even\n", total, n);
  cudaFree(dx);
  cudaFree(dtotal);
}
