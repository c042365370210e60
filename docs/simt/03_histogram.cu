// Counts how often each digit from 0 to 9 occurs. Each block counts in shared memory first, because that is faster,
// and then adds its counts to those of the whole grid.
#include <cstdio>

__global__ void histogram(const int* digits, int* total, int n) {
  __shared__ int count[10];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(&count[digits[i]], 1);
  __syncthreads();
  if (threadIdx.x < 10) atomicAdd(&total[threadIdx.x], count[threadIdx.x]);
}

int main() {
  constexpr int n = 1000;
  static int digits[n], total[10];
  for (int i = 0; i < n; ++i) digits[i] = i * i % 10;

  int *device_digits, *device_total;
  cudaMalloc(&device_digits, sizeof digits);
  cudaMalloc(&device_total, sizeof total);
  cudaMemcpy(device_digits, digits, sizeof digits, cudaMemcpyHostToDevice);
  cudaMemset(device_total, 0, sizeof total);
  histogram<<<(n + 255) / 256, 256>>>(device_digits, device_total, n);
  cudaMemcpy(total, device_total, sizeof total, cudaMemcpyDeviceToHost);
  for (int i = 0; i < 10; ++i) printf("%d: %d\n", i, total[i]);
  cudaFree(device_digits);
  cudaFree(device_total);
}
