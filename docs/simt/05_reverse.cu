// Reverses each group of 64 values. The group waits in shared memory until its values are written back.
#include <cstdio>

constexpr int kGroup = 64;

__global__ void reverse(int* x) {
  __shared__ int tile[kGroup];
  int* const group = x + blockIdx.x * kGroup;
  const int t = threadIdx.x;
  tile[t] = group[t];
  group[t] = tile[kGroup - 1 - t];
}

int main() {
  constexpr int n = 4 * kGroup;
  static int x[n];
  for (int i = 0; i < n; ++i) x[i] = i;

  int* dx;
  cudaMalloc(&dx, sizeof x);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  reverse<<<n / kGroup, kGroup>>>(dx);
  cudaMemcpy(x, dx, sizeof x, cudaMemcpyDeviceToHost);
  printf("%d %d ... %d\n", x[0], x[1], x[n - 1]);
  cudaFree(dx);
}
