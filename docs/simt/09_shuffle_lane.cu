// Adds up 1000 numbers. Each warp adds its 32 numbers with shuffles, and then its first lane adds the sum to the
// total. The last warp has only 8 numbers, so the mask names only the lanes that have a number.
#include <cstdio>

__global__ void sum_all(const int* x, int* total, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned mask = __ballot_sync(0xffffffff, i < n);
  if (i < n) {
    int sum = x[i];
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(mask, sum, offset);
    if (threadIdx.x % 32 == 0) atomicAdd(total, sum);
  }
}

int main() {
  constexpr int n = 1000;
  static int x[n], total = 0;
  for (int i = 0; i < n; ++i) x[i] = i;

  int *dx, *dtotal;
  cudaMalloc(&dx, sizeof x);
  cudaMalloc(&dtotal, sizeof total);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  cudaMemset(dtotal, 0, sizeof total);
  sum_all<<<(n + 255) / 256, 256>>>(dx, dtotal, n);
  cudaMemcpy(&total, dtotal, sizeof total, cudaMemcpyDeviceToHost);
  printf("total = %d\n", total);
  cudaFree(dx);
  cudaFree(dtotal);
}
