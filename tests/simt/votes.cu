// Barriers that count: a loop that ends when no thread has work left, and sorting by counting.
#include "check.h"

constexpr int kThreads = 64;

// The number of steps of the Collatz sequence of each value. All threads leave the loop together.
__global__ void collatz(const int* x, int* steps, int* rounds) {
  int value = x[threadIdx.x], count = 0, round = 0;
#ifdef FAULT_1
  while (value != 1) {
    value = value % 2 ? 3 * value + 1 : value / 2;
    ++count;
    __syncthreads();
  }
  __syncthreads();  // FAULT_1: divergent-barrier in collatz
#else
  while (__syncthreads_or(value != 1)) {
    if (value != 1) {
      value = value % 2 ? 3 * value + 1 : value / 2;
      ++count;
    }
    ++round;
  }
#endif
  steps[threadIdx.x] = count;
  if (threadIdx.x == 0) *rounds = round;
}

// Moves the even values to the front, in the order of the bits of 0 and 1: one step of a radix sort.
__global__ void split(const int* x, int* y, int* evens) {
  __shared__ int before[kThreads];
  const int t = threadIdx.x, value = x[t];
  const bool is_even = value % 2 == 0;
  before[t] = is_even;
#ifdef FAULT_2
  int count = 0;
  if (is_even)
    count = __syncthreads_count(true);
  else
    count = __syncthreads_count(false);  // FAULT_2: divergent-barrier in split
#else
  const int count = __syncthreads_count(is_even);
#endif
  int mine = 0;
  for (int i = 0; i < t; ++i) mine += before[i];
  y[is_even ? mine : count + t - mine] = value;
  if (__syncthreads_and(value >= 0) && t == 0) *evens = count;
}

// A barrier after a `continue` that only some threads take.
__global__ void pair_sums(const int* x, int* y) {
  __shared__ int tile[kThreads];
  const int t = threadIdx.x;
  for (int round = 0; round < 2; ++round) {
    tile[t] = x[(t + round) % kThreads];
#ifdef FAULT_3
    if (t % 2) continue;
    __syncthreads();  // FAULT_3 strict: barrier-after-exit in pair_sums
    y[t] = tile[t] + tile[t + 1];
    __syncthreads();
#else
    __syncthreads();
    if (t % 2 == 0) y[t] = tile[t] + tile[t + 1];
    __syncthreads();
#endif
  }
}

int main() {
  std::vector<int> x(kThreads);
  int evens = 0;
  for (int i = 0; i < kThreads; ++i) evens += (x[i] = 1 + i * 5 % 23) % 2 == 0;
  int *const d_x = to_device(x), *const d_y = device_array<int>(kThreads), *const d_one = device_array<int>(1);
  collatz<<<1, kThreads>>>(d_x, d_y, d_one);
  std::vector<int> y = to_host(d_y, kThreads);
  int most = 0;
  for (int i = 0; i < kThreads; ++i) {
    int count = 0;
    for (int v = x[i]; v != 1; v = v % 2 ? 3 * v + 1 : v / 2) ++count;
    REQUIRE(y[i] == count);
    most = count > most ? count : most;
  }
  REQUIRE(to_host(d_one, 1)[0] == most);
  split<<<1, kThreads>>>(d_x, d_y, d_one);
  y = to_host(d_y, kThreads);
  for (int i = 0; i < kThreads; ++i) REQUIRE((y[i] % 2 == 0) == (i < evens));
  REQUIRE(to_host(d_one, 1)[0] == evens);
  pair_sums<<<1, kThreads>>>(d_x, d_y);
  y = to_host(d_y, kThreads);
  for (int i = 0; i + 2 < kThreads; i += 2) REQUIRE(y[i] == x[i + 1] + x[i + 2]);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(d_one));
}
