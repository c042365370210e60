// Results that must not depend on the order of the threads: keeping the even values in their order, a sum of floats,
// and the place of the largest value.
#include "check.h"

constexpr int kThreads = 64;

__global__ void keep_even(const int* x, int* y, int* count) {
#ifdef FAULT_1
  const int value = x[threadIdx.x];  // the atomic function gives the places in the order of arrival. FAULT_1: schedule at 0
  if (value % 2 == 0) y[atomicAdd(count, 1)] = value;
#else
  __shared__ int warp_counts[kThreads / 32];
  const int value = x[threadIdx.x], lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const unsigned evens = __ballot_sync(0xffffffffu, value % 2 == 0);
  if (lane == 0) warp_counts[warp] = __popc(evens);
  __syncthreads();
  int first = 0;
  for (int w = 0; w < warp; ++w) first += warp_counts[w];
  if (value % 2 == 0) y[first + __popc(evens & ((1u << lane) - 1))] = value;
  if (threadIdx.x == kThreads - 1) *count = first + __popc(evens);
#endif
}

__global__ void sum(const float* x, float* total) {
#ifdef FAULT_2
  atomicAdd(total, x[threadIdx.x]);  // floats are rounded after each addition. FAULT_2: schedule at 0
#else
  float s = 0.0f;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kThreads; ++i) s += x[i];
    *total = s;
  }
#endif
}

__global__ void find_largest(const int* x, unsigned long long* largest) {
#ifdef FAULT_3
  // Among equal values, the last one to arrive wins. FAULT_3: schedule at 0
  const unsigned long long mine = static_cast<unsigned long long>(x[threadIdx.x]) << 32 | threadIdx.x;
  unsigned long long seen = 0;
  do {
    seen = atomicAdd(largest, 0ull);
  } while (mine >> 32 >= seen >> 32 && atomicCAS(largest, seen, mine) != seen);
#else
  atomicMax(largest, static_cast<unsigned long long>(x[threadIdx.x]) << 32 | threadIdx.x);
#endif
}

int main() {
  std::vector<int> x(kThreads), expected;
  std::vector<float> f(kThreads);
  float total = 0.0f;
  unsigned long long largest = 0;
  for (int i = 0; i < kThreads; ++i) {
    x[i] = i * 13 % 10;
    if (x[i] % 2 == 0) expected.push_back(x[i]);
    total += f[i] = 1.0f / static_cast<float>(i + 1);
    const unsigned long long mine = static_cast<unsigned long long>(x[i]) << 32 | i;
    largest = mine > largest ? mine : largest;
  }
  int *const d_x = to_device(x), *const d_y = device_array<int>(kThreads), *const d_count = to_device(std::vector<int>{0});
  float *const d_f = to_device(f), *const d_total = to_device(std::vector<float>{0.0f});
  unsigned long long* const d_largest = to_device(std::vector<unsigned long long>{0});
  keep_even<<<1, kThreads>>>(d_x, d_y, d_count);
  REQUIRE(to_host(d_count, 1)[0] == static_cast<int>(expected.size()));
  [[maybe_unused]] const std::vector<int> y = to_host(d_y, expected.size());
  sum<<<1, kThreads>>>(d_f, d_total);
  [[maybe_unused]] const float s = to_host(d_total, 1)[0];
  find_largest<<<1, kThreads>>>(d_x, d_largest);
  [[maybe_unused]] const unsigned long long l = to_host(d_largest, 1)[0];
#if !defined FAULT_1 && !defined FAULT_2 && !defined FAULT_3
  REQUIRE(y == expected && s == total && l == largest);
#endif
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(d_count));
  CHECK(cudaFree(d_f));
  CHECK(cudaFree(d_total));
  CHECK(cudaFree(d_largest));
}
