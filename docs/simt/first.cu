// Adds two vectors.
#include <cstdio>

__global__ void add(const float* a, const float* b, float* sum, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) sum[i] = a[i] + b[i];
}

int main() {
  constexpr int n = 1000;
  static float a[n], b[n], sum[n];
  for (int i = 0; i < n; ++i) a[i] = i, b[i] = 2 * i;

  float *da, *db, *dsum;
  cudaMalloc(&da, sizeof a);
  cudaMalloc(&db, sizeof b);
  cudaMalloc(&dsum, sizeof sum);
  cudaMemcpy(da, a, sizeof a, cudaMemcpyHostToDevice);
  cudaMemcpy(db, b, sizeof b, cudaMemcpyHostToDevice);
  add<<<(n + 255) / 256, 256>>>(da, db, dsum, n);
  cudaMemcpy(sum, dsum, sizeof sum, cudaMemcpyDeviceToHost);
  printf("sum[999] = %g\n", sum[999]);
  cudaFree(da);
  cudaFree(db);
  cudaFree(dsum);
}
