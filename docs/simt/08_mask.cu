// Adds up each row of a matrix with 16 columns. A warp has two rows, and adds the values of both at the same time,
// with shuffles among the 16 lanes of a row.
#include <cstdio>

constexpr int kColumns = 16;

__global__ void sum_rows(const int* x, int* sum) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  int s = x[i];
  for (int offset = kColumns / 2; offset > 0; offset /= 2) {
    s += __shfl_down_sync(0x0000ffff, s, offset, kColumns);
  }
  if (i % kColumns == 0) sum[i / kColumns] = s;
}

int main() {
  constexpr int rows = 64;
  static int x[rows * kColumns], sum[rows];
  for (int i = 0; i < rows * kColumns; ++i) x[i] = i;

  int *dx, *dsum;
  cudaMalloc(&dx, sizeof x);
  cudaMalloc(&dsum, sizeof sum);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  sum_rows<<<rows * kColumns / 256, 256>>>(dx, dsum);
  cudaMemcpy(sum, dsum, sizeof sum, cudaMemcpyDeviceToHost);
  printf("row 0: %d, row 1: %d\n", sum[0], sum[1]);
  cudaFree(dx);
  cudaFree(dsum);
}
