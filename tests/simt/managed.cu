// Managed and pinned memory: the host waits for the kernel before it reads.
#include "check.h"

__global__ void square(int* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= x[i];
}

int main() {
  constexpr int n = 50;
  int* x = nullptr;
  CHECK(cudaMallocManaged(&x, n * sizeof(int)));
  for (int i = 0; i < n; ++i) x[i] = i;
#ifdef FAULT_2
  x[n] = 0;  // FAULT_2: out-of-bounds
#endif
  square<<<2, 32>>>(x, n);
  CHECK(cudaGetLastError());
#ifndef FAULT_1
  CHECK(cudaDeviceSynchronize());
#endif
  for (int i = 0; i < n; ++i) REQUIRE(x[i] == i * i);  // FAULT_1: host-too-early
  CHECK(cudaFree(x));
#ifdef FAULT_3
  REQUIRE(x[0] == 0);  // FAULT_3: use-after-free
#endif

  // A copy without waiting needs pinned memory. It is complete when its stream is.
  int *pinned = nullptr, *d_x = nullptr;
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMallocHost(&pinned, n * sizeof(int)));
  CHECK(cudaMalloc(&d_x, n * sizeof(int)));
  for (int i = 0; i < n; ++i) pinned[i] = i + 1;
  CHECK(cudaMemcpyAsync(d_x, pinned, n * sizeof(int), cudaMemcpyHostToDevice, stream));
#ifdef FAULT_5
  pinned[0] = 0;  // FAULT_5: host-too-early
#endif
  square<<<2, 32, 0, stream>>>(d_x, n);
  CHECK(cudaMemcpyAsync(pinned, d_x, n * sizeof(int), cudaMemcpyDeviceToHost, stream));
#ifndef FAULT_4
  CHECK(cudaStreamSynchronize(stream));
#endif
  for (int i = 0; i < n; ++i) REQUIRE(pinned[i] == (i + 1) * (i + 1));  // FAULT_4: host-too-early
  CHECK(cudaFreeHost(pinned));
  CHECK(cudaFree(d_x));
  CHECK(cudaStreamDestroy(stream));
}
