// Dynamic shared memory: its size stands in the launch.
#include "check.h"

extern __shared__ __align__(16) unsigned char pool[];  // at file scope: several arrays share it

__global__ void reverse(const int* x, int* y) {
  extern __shared__ int tile[];
  const int t = threadIdx.x, last = blockDim.x - 1;
  tile[t] = x[t];  // FAULT_1: out-of-bounds in reverse; FAULT_2: out-of-bounds in reverse; FAULT_5: out-of-bounds in reverse
  __syncthreads();
  y[t] = tile[last - t];
}

// Three arrays, one behind the other. The one with the largest values comes first.
template <typename T>
__global__ void three_arrays(const T* x, T* y, int n) {
#ifdef FAULT_3
  char* const marks = reinterpret_cast<char*>(pool);
  T* const values = reinterpret_cast<T*>(marks + n);
  int* const numbers = reinterpret_cast<int*>(values + n);
#else
  T* const values = reinterpret_cast<T*>(pool);
  int* const numbers = reinterpret_cast<int*>(values + n);
  char* const marks = reinterpret_cast<char*>(numbers + n);
#endif
  const int t = threadIdx.x;
  marks[t] = t % 2;
  numbers[t] = n - 1 - t;  // FAULT_3: misaligned in three_arrays<double>
  values[t] = x[t];
  __syncthreads();
  const int other = numbers[t];
  y[t] = marks[other] ? values[other] : -values[other];
}

int main() {
  constexpr int n = 33;
  std::vector<int> x(n);
  std::vector<double> v(n);
  for (int i = 0; i < n; ++i) x[i] = i, v[i] = 0.5 * i;
  int *const d_x = to_device(x), *const d_y = device_array<int>(n);
#ifdef FAULT_1
  reverse<<<1, n, n>>>(d_x, d_y);
#elif defined FAULT_2
  reverse<<<1, n>>>(d_x, d_y);
#elif defined FAULT_5
  reverse<<<1, n, (n - 1) * sizeof(int)>>>(d_x, d_y);
#else
  reverse<<<1, n, n * sizeof(int)>>>(d_x, d_y);
#endif
  const std::vector<int> y = to_host(d_y, n);
  for (int i = 0; i < n; ++i) REQUIRE(y[i] == n - 1 - i);

  double *const d_v = to_device(v), *const d_w = device_array<double>(n);
#ifndef FAULT_4
  CHECK(cudaFuncSetAttribute(three_arrays<double>, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10));
#endif
  three_arrays<double><<<1, n, 64 << 10>>>(d_v, d_w, n);  // FAULT_4: launch-error
#ifndef FAULT_4
  const std::vector<double> w = to_host(d_w, n);
  for (int i = 0; i < n; ++i) REQUIRE(w[i] == ((n - 1 - i) % 2 ? 1 : -1) * v[n - 1 - i]);
#endif
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(d_v));
  CHECK(cudaFree(d_w));
}
