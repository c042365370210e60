// Memory of the device: where it comes from, copies of all directions, and its end.
#include "check.h"

__global__ void saxpy(float a, const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += a * x[i];  // FAULT_8: uninitialized in saxpy; FAULT_9: uninitialized in saxpy; FAULT_10: use-after-free in saxpy; FAULT_12: out-of-bounds in saxpy
}

int main() {
  constexpr int n = 100;
  std::vector<float> x(n), y(n), back(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i);
  float *d_x = nullptr, *d_y = nullptr, *d_z = nullptr;
  const size_t bytes = n * sizeof(float);
  CHECK(cudaMalloc(&d_x, bytes));
#ifdef FAULT_12
  CHECK(cudaMalloc(&d_y, n));
  CHECK(cudaMemset(d_y, 0, n));
#else
  CHECK(cudaMalloc((void**)&d_y, bytes));
#ifdef FAULT_9
  CHECK(cudaMemset(d_y, 0, n));
#elif !defined FAULT_8
  CHECK(cudaMemset(d_y, 0, bytes));
#endif
#endif
  CHECK(cudaMalloc(&d_z, bytes));
#ifdef FAULT_3
  CHECK(cudaMemcpy(d_x, x.data(), bytes, cudaMemcpyDeviceToHost));  // FAULT_3: copy-direction
#elif defined FAULT_4
  CHECK(cudaMemcpy(d_x, x.data(), bytes * sizeof(float), cudaMemcpyHostToDevice));  // FAULT_4: out-of-bounds
#elif defined FAULT_5
  for (int i = 0; i < n; ++i) d_x[i] = x[i];  // FAULT_5: device-pointer
#elif defined FAULT_6
  CHECK(cudaMemcpy(x.data(), d_x, bytes, cudaMemcpyHostToDevice));  // FAULT_6: copy-direction
#else
  CHECK(cudaMemcpy(d_x, x.data(), bytes, cudaMemcpyHostToDevice));
#endif
#ifdef FAULT_10
  CHECK(cudaFree(d_y));
#endif
  saxpy<<<(n + 31) / 32, 32>>>(2.0f, d_x, d_y, n);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(d_z, d_y, bytes, cudaMemcpyDeviceToDevice));
#ifdef FAULT_11
  CHECK(cudaFree(d_z));
#endif
  CHECK(cudaMemcpy(back.data(), d_z, bytes, cudaMemcpyDefault));  // FAULT_11: use-after-free
  for (int i = 0; i < n; ++i) REQUIRE(back[i] == 2.0f * x[i]);

  // Rows of the device may be longer than those of the host.
  constexpr size_t width = 5 * sizeof(float), height = 4, pitch = 8 * sizeof(float);
  CHECK(cudaMemcpy2D(d_z, pitch, x.data(), width, width, height, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy2D(back.data(), width, d_z, pitch, width, height, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 20; ++i) REQUIRE(back[i] == x[i]);

  size_t free_bytes = 0, total_bytes = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  REQUIRE(free_bytes + 3 * bytes == total_bytes);
  float* too_large = nullptr;
  REQUIRE(cudaMalloc(&too_large, total_bytes) == cudaErrorMemoryAllocation);
  REQUIRE(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);

#ifdef FAULT_2
  CHECK(cudaFree(d_x + 1));  // FAULT_2: invalid-free
#elif defined FAULT_7
  CHECK(cudaFree(x.data()));  // FAULT_7: invalid-free
#else
  CHECK(cudaFree(d_x));
#endif
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(d_z));
#ifdef FAULT_1
  CHECK(cudaFree(d_y));  // FAULT_1: double-free
#endif
  CHECK(cudaFree(nullptr));
}
