// Launches: limits, the error of a launch that is too large, a launch in a macro, a kernel in a namespace or in a
// header, expressions whose values are kernels, and configurations with calls and templates.
#include "check.h"
#include "parts/fill.cuh"

#include <algorithm>

namespace kernels {
__global__ void fill(int* x, int value, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = value;
}
template <class T, int kStep = 1>
__global__ void add_step(T* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += kStep;  // FAULT_5: out-of-bounds in steps[1]
}
}  // namespace kernels

using Kernel = void (*)(int*, int);
struct Choice {
  Kernel kernel;
  Kernel get() const { return kernel; }
};

#define LAUNCH(kernel, n, ...)                       \
  do {                                               \
    kernel<<<((n) + 31) / 32, 32>>>(__VA_ARGS__, n); \
    CHECK(cudaGetLastError());                       \
  } while (0)

int main() {
  constexpr int n = 2000;
  int* const d_x = device_array<int>(n);
#ifdef FAULT_1
  kernels::fill<<<2, 1025>>>(d_x, 1, n);  // FAULT_1: launch-error
#elif defined FAULT_2
  kernels::fill<<<n / 4096, 256>>>(d_x, 1, n);  // FAULT_2: launch-error
#elif defined FAULT_3
  kernels::fill<<<dim3(1, 70000), 32>>>(d_x, 1, n);  // FAULT_3: launch-error
#elif defined FAULT_4
  kernels::fill<<<2, dim3(8, 8, 65)>>>(d_x, 1, n);  // FAULT_4: launch-error
#else
  kernels::fill<<<2, 1025>>>(d_x, 1, n);
  REQUIRE(cudaGetLastError() == cudaErrorInvalidConfiguration);
  kernels::fill<<<2, 1000>>>(d_x, 1, n);
  REQUIRE(to_host(d_x, n) == std::vector<int>(n, 1));
  LAUNCH(kernels::fill, n, d_x, 2);
  REQUIRE(to_host(d_x, n) == std::vector<int>(n, 2));
  kernels::add_step<int, 3><<<dim3(std::max(1, n / 100), 1), std::min<int>(100, n)>>>(d_x, n);
  REQUIRE(to_host(d_x, n) == std::vector<int>(n, 5));
  kernels::add_step<<<(n + 255) / 256, 256>>>(d_x, n);
  REQUIRE(to_host(d_x, n) == std::vector<int>(n, 6));
  void (*const kernel)(int*, int, int) = kernels::fill;
  kernel<<<(n + 511) / 512, 512, 0, nullptr>>>(d_x, 7, n);
  REQUIRE(to_host(d_x, n) == std::vector<int>(n, 7));
  fill_from_header<<<(n + 255) / 256, 256>>>(d_x, 8, n);
  REQUIRE(to_host(d_x, n) == std::vector<int>(n, 8));

  // Each of these launches adds 1 or 3.
  const Kernel steps[] = {kernels::add_step<int>, kernels::add_step<int, 3>};
  const Choice choice{steps[1]}, *const pointer = &choice;
  const dim3 grid((n + 255) / 256);
#ifdef FAULT_5
  steps[1]<<<grid, 256>>>(d_x, n + 1);
#endif
  steps[0]<<<grid, 256>>>(d_x, n);
  steps[grid.y]<<<grid, 256>>>(d_x, n);
  choice.kernel<<<grid, 256>>>(d_x, n);
  pointer->kernel<<<grid, 256>>>(d_x, n);
  choice.get()<<<grid, 256>>>(d_x, n);
  if (n > 1) (n > 3000 ? steps[0] : kernels::add_step<int, 3>)<<<grid, 256>>>(d_x, n);
  (*steps[0])<<<grid, 256>>>(d_x, n);
  REQUIRE(to_host(d_x, n) == std::vector<int>(n, 8 + 1 + 3 + 3 + 3 + 3 + 3 + 1));
#endif
  CHECK(cudaFree(d_x));
}
