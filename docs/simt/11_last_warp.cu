// Adds up 256 numbers in shared memory. When 64 sums are left, one warp does the rest. It uses no barrier, because
// the lanes of a warp run together.
#include <cstdio>

constexpr int kBlock = 256;

__global__ void sum_block(const int* x, int* total) {
  __shared__ int sum[kBlock];
  const int t = threadIdx.x;
  sum[t] = x[t];
  __syncthreads();
  for (int half = kBlock / 2; half > 32; half /= 2) {
    if (t < half) sum[t] += sum[t + half];
    __syncthreads();
  }
  if (t < 32) {
    for (int half = 32; half > 0; half /= 2) {
      sum[t] += sum[t + half];
    }
  }
  if (t == 0) *total = sum[0];
}

int main() {
  static int x[kBlock], total = 0;
  for (int i = 0; i < kBlock; ++i) x[i] = i;

  int *dx, *dtotal;
  cudaMalloc(&dx, sizeof x);
  cudaMalloc(&dtotal, sizeof total);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  sum_block<<<1, kBlock>>>(dx, dtotal);
  cudaMemcpy(&total, dtotal, sizeof total, cudaMemcpyDeviceToHost);
  printf("total = %d\n", total);
  cudaFree(dx);
  cudaFree(dtotal);
}
