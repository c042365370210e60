// Smooths a signal: y[i] is the mean of x[i - 1], x[i] and x[i + 1]. The signal is 0 before its first value and
// after its last one.
#include <cstdio>

constexpr int kBlock = 128;

__global__ void smooth(const float* x, float* y, int n) {
  __shared__ float tile[kBlock + 2];  // the values of the block, and one more on each side
  const int i = blockIdx.x * kBlock + threadIdx.x, t = threadIdx.x + 1;
  tile[t] = i < n ? x[i] : 0.0f;
  if (threadIdx.x == 0) tile[0] = i > 0 ? x[i - 1] : 0.0f;
  if (threadIdx.x == kBlock - 1) tile[kBlock + 1] = x[i + 1];
  __syncthreads();
  if (i < n) y[i] = (tile[t - 1] + tile[t] + tile[t + 1]) / 3;
}

int main() {
  constexpr int n = 1000;
  static float x[n], y[n];
  for (int i = 0; i < n; ++i) x[i] = 3;

  float *dx, *dy;
  cudaMalloc(&dx, sizeof x);
  cudaMalloc(&dy, sizeof y);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  smooth<<<(n + kBlock - 1) / kBlock, kBlock>>>(dx, dy, n);
  cudaMemcpy(y, dy, sizeof y, cudaMemcpyDeviceToHost);
  printf("%g %g %g\n", y[0], y[1], y[999]);
  cudaFree(dx);
  cudaFree(dy);
}
