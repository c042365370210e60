// Subtracts from each value of a row the mean of the row. A block has a row of 256 values. It adds them up in
// eight steps: in each step, half as many threads as in the step before add two values.
#include <cstdio>

constexpr int kColumns = 256;

__global__ void subtract_mean(float* x) {
  __shared__ float sum[kColumns];
  const int t = threadIdx.x;
  float* const row = x + blockIdx.x * kColumns;
  sum[t] = row[t];
  __syncthreads();
  for (int half = kColumns / 2; half > 0; half /= 2) {
    if (t < half) {
      sum[t] += sum[t + half];
      __syncthreads();
    }
  }
  __syncthreads();
  row[t] -= sum[0] / kColumns;
}

int main() {
  constexpr int n = 2 * kColumns;
  static float x[n];
  for (int i = 0; i < n; ++i) x[i] = i;

  float* dx;
  cudaMalloc(&dx, sizeof x);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  subtract_mean<<<2, kColumns>>>(dx);
  cudaMemcpy(x, dx, sizeof x, cudaMemcpyDeviceToHost);
  printf("%g %g\n", x[0], x[kColumns]);
  cudaFree(dx);
}
