// Recursion and local arrays: each thread has a stack of its own.
#include "check.h"

__device__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__device__ unsigned depth(unsigned n) {
  volatile unsigned local[16];
  local[n % 16] = n;
#ifdef FAULT_1
  return n == 0xffffffffu ? 0 : local[n % 16] + depth(n + 1);
#else
  return n == 0 ? 0 : 1 + depth(local[n % 16] - 1);
#endif
}

// Sorts a few values in a local array.
__global__ void median(const int* x, int* y) {
#ifdef FAULT_2
  int local[100000];
  for (int i = 0; i < 100000; ++i) local[i] = 0;
#else
  int local[9];
#endif
  for (int i = 0; i < 9; ++i) {
    int j = i;
    const int value = x[9 * threadIdx.x + i];
    for (; j > 0 && local[j - 1] > value; --j) local[j] = local[j - 1];
    local[j] = value;
  }
  y[threadIdx.x] = local[4];
}

__global__ void recurse(int* y) { y[threadIdx.x] = fibonacci(threadIdx.x % 12) + depth(100); }

int main() {
  std::vector<int> x(9 * 40);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * 4 % 9 + i / 9);
  int *const d_x = to_device(x), *const d_y = device_array<int>(40);
  median<<<1, 40>>>(d_x, d_y);  // FAULT_2: stack-overflow in median
  std::vector<int> y = to_host(d_y, 40);
  for (int i = 0; i < 40; ++i) REQUIRE(y[i] == 4 + i);
  recurse<<<1, 40>>>(d_y);  // FAULT_1: stack-overflow in recurse
  y = to_host(d_y, 40);
  REQUIRE(y[7] == 13 + 100 && y[11] == 89 + 100);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
}
