// Prefix sums: with two buffers (Hillis and Steele), with a tree (Blelloch), with shuffles, and of more values than a
// block has threads.
#include "check.h"

constexpr int kThreads = 64;

__global__ void scan_two_buffers(const int* x, int* y) {
  __shared__ int buffer[2][kThreads];
  const int t = threadIdx.x;
  int from = 0;
  buffer[from][t] = x[t];
  __syncthreads();
  for (int s = 1; s < kThreads; s *= 2) {
#ifdef FAULT_1
    if (t >= s) buffer[0][t] += buffer[0][t - s];  // FAULT_1: race in scan_two_buffers; FAULT_1: other
#else
    buffer[1 - from][t] = t >= s ? buffer[from][t] + buffer[from][t - s] : buffer[from][t];
    from = 1 - from;
#endif
    __syncthreads();
  }
  y[t] = buffer[from][t];
}

// The sum of all values before each value.
__global__ void scan_tree(const int* x, int* y) {
  __shared__ int tree[2 * kThreads];
  const int t = threadIdx.x;
  tree[2 * t] = x[2 * t];
  tree[2 * t + 1] = x[2 * t + 1];
  int step = 1;
  for (int d = kThreads; d > 0; d /= 2) {
    __syncthreads();
    if (t < d) tree[step * (2 * t + 2) - 1] += tree[step * (2 * t + 1) - 1];  // FAULT_2: other
    step *= 2;
  }
#ifdef FAULT_2
  if (t == 1) tree[2 * kThreads - 1] = 0;  // FAULT_2: race in scan_tree
#else
  if (t == 0) tree[2 * kThreads - 1] = 0;
#endif
  for (int d = 1; d <= kThreads; d *= 2) {
    step /= 2;
    __syncthreads();
    if (t < d) {
      const int left = step * (2 * t + 1) - 1, right = step * (2 * t + 2) - 1;
      const int before = tree[left];
      tree[left] = tree[right];
      tree[right] += before;  // FAULT_3: other
    }
  }
#ifndef FAULT_3
  __syncthreads();
#endif
  y[t] = tree[t];  // FAULT_3: race in scan_tree
  y[t + kThreads] = tree[t + kThreads];
}

__device__ int scan_of_warp(int value) {
  const int lane = threadIdx.x & 31;
  for (int s = 1; s < 32; s *= 2) {
    const int other = __shfl_up_sync(0xffffffffu, value, s);
    if (lane >= s) value += other;
  }
  return value;
}

// Scans each block, and stores its total.
__global__ void scan_blocks(int* x, int* totals, int n) {
  __shared__ int of_warp[kThreads / 32];
  const int i = blockIdx.x * kThreads + threadIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int value = scan_of_warp(i < n ? x[i] : 0);
  if (lane == 31) of_warp[warp] = value;
  __syncthreads();
  for (int w = 0; w < warp; ++w) value += of_warp[w];
  if (i < n) x[i] = value;
#ifdef FAULT_4
  if (i == n - 1 || threadIdx.x == kThreads - 1) totals[blockIdx.x + 1] = value;  // FAULT_4: out-of-bounds in scan_blocks
#else
  if (threadIdx.x == kThreads - 1) totals[blockIdx.x] = value;
#endif
}

__global__ void add_totals(int* x, const int* totals, int n) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  int before = 0;
  for (int b = 0; b < blockIdx.x; ++b) before += totals[b];
  if (i < n) x[i] += before;
}

int main() {
  constexpr int n = 300, blocks = (n + kThreads - 1) / kThreads;
  std::vector<int> x(n), inclusive(n);
  int sum = 0;
  for (int i = 0; i < n; ++i) {
    x[i] = i % 9 - 3;
    inclusive[i] = sum += x[i];
  }
  int *const d_x = to_device(x), *const d_y = device_array<int>(2 * kThreads), *const d_totals = device_array<int>(blocks);
  scan_two_buffers<<<1, kThreads>>>(d_x, d_y);
  std::vector<int> y = to_host(d_y, kThreads);
  for (int i = 0; i < kThreads; ++i) REQUIRE(y[i] == inclusive[i]);
  scan_tree<<<1, kThreads>>>(d_x, d_y);
  y = to_host(d_y, 2 * kThreads);
  for (int i = 0; i < 2 * kThreads; ++i) REQUIRE(y[i] == inclusive[i] - x[i]);
  scan_blocks<<<blocks, kThreads>>>(d_x, d_totals, n);
  add_totals<<<blocks, kThreads>>>(d_x, d_totals, n);
  y = to_host(d_x, n);
  for (int i = 0; i < n; ++i) REQUIRE(y[i] == inclusive[i]);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(d_totals));
}
