// Squares the numbers from 0 to 9 in managed memory, which the host and the device share.
#include <cstdio>

__global__ void square(int* x) { x[threadIdx.x] *= x[threadIdx.x]; }

int main() {
  constexpr int n = 10;
  int* x;
  cudaMallocManaged(&x, n * sizeof(int));
  for (int i = 0; i < n; ++i) x[i] = i;
  square<<<1, n>>>(x);
  for (int i = 0; i < n; ++i) printf("%d%c", x[i], i + 1 < n ? ' ' : '\n');
  cudaFree(x);
}
