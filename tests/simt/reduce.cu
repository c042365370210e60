// The sum of an array in four styles: a tree in shared memory, a tree whose last steps run in one warp, shuffles in
// two steps, and a template whose loops the compiler unrolls.
#include "check.h"

constexpr int kThreads = 128;
constexpr unsigned kAll = 0xffffffffu;

__global__ void sum_tree(const int* x, int* sums, int n) {
  __shared__ int part[kThreads];
  const int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
#ifdef FAULT_3
  if (i <= n) part[t] = x[i];  // FAULT_3: out-of-bounds in sum_tree
  else part[t] = 0;
#elif defined FAULT_4
  if (i < n) part[t] = x[i];
#else
  part[t] = i < n ? x[i] : 0;
#endif
#ifndef FAULT_1
  __syncthreads();
#endif
  for (int s = blockDim.x / 2; s > 0; s /= 2) {
    if (t < s) {
      const int other = part[t + s];  // FAULT_1: uninitialized in sum_tree; FAULT_2: other; FAULT_4: uninitialized in sum_tree
      part[t] += other;               // FAULT_2: race in sum_tree
    }
#ifndef FAULT_2
    __syncthreads();
#endif
  }
  if (t == 0) sums[blockIdx.x] = part[0];
}

// Each thread adds two values first, and the last warp goes on alone.
__global__ void sum_last_warp(const int* x, int* sums, int n) {
  __shared__ int part[kThreads];
  const int t = threadIdx.x, i = 2 * blockIdx.x * blockDim.x + t;
  int sum = i < n ? x[i] : 0;
  if (i + blockDim.x < n) sum += x[i + blockDim.x];
  part[t] = sum;
  __syncthreads();
  for (int s = blockDim.x / 2; s >= 32; s /= 2) {
    if (t < s) part[t] = sum = sum + part[t + s];
    __syncthreads();
  }
  if (t < 32) {
#ifdef FAULT_5
    volatile int* const v = part;  // what older programs rely on: a warp that runs in step
    v[t] += v[t + 16];  // FAULT_5: race in sum_last_warp
    v[t] += v[t + 8];
    v[t] += v[t + 4];  // FAULT_5: other
#else
    for (int s = 16; s > 0; s /= 2) {
      const int other = part[(t + s) % 32];
      __syncwarp();
      part[t] = sum = sum + other;
      __syncwarp();
    }
#endif
    if (t == 0) sums[blockIdx.x] = part[0];
  }
}

__device__ int sum_of_warp(int value) {
  for (int s = 16; s > 0; s /= 2) value += __shfl_down_sync(kAll, value, s);  // FAULT_6: shuffle-lane in sum_shuffles
  return value;
}

// A loop over the grid, then a sum per warp, then the sum of the warps' sums.
__global__ void sum_shuffles(const int* x, int* sums, int n) {
  __shared__ int of_warp[kThreads / 32];
  int sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  sum = sum_of_warp(sum);
  if (lane == 0) of_warp[warp] = sum;
  __syncthreads();
#ifdef FAULT_6
  if (threadIdx.x < kThreads / 32) {  // four lanes, but the mask names 32, and the others end
#else
  if (warp == 0) {
#endif
    sum = sum_of_warp(lane < kThreads / 32 ? of_warp[lane] : 0);
    if (lane == 0) sums[blockIdx.x] = sum;
  }
}

template <class T, int kBlock>
__global__ void sum_template(const T* x, T* sums, int n) {
  __shared__ T part[kBlock];
  const int t = threadIdx.x;
  T sum = 0;
  for (int i = blockIdx.x * kBlock + t; i < n; i += kBlock * gridDim.x) sum += x[i];
  part[t] = sum;
  __syncthreads();
#pragma unroll
  for (int s = kBlock / 2; s > 0; s /= 2) {
#ifdef FAULT_7
    if (t >= s) return;
    part[t] += part[t + s];
    __syncthreads();  // FAULT_7 strict: barrier-after-exit in sum_template<int, kThreads>
#else
    if (t < s) part[t] += part[t + s];
    __syncthreads();
#endif
  }
  if (t == 0) sums[blockIdx.x] = part[0];
}

int main() {
  constexpr int n = 1000, blocks = (n + kThreads - 1) / kThreads;
  std::vector<int> x(n);
  int expected = 0;
  for (int i = 0; i < n; ++i) expected += x[i] = i * 7 % 31;
  int *const d_x = to_device(x), *const d_sums = device_array<int>(blocks);
  const auto total = [&](int count) {
    int sum = 0;
    for (const int s : to_host(d_sums, count)) sum += s;
    return sum;
  };
  sum_tree<<<blocks, kThreads>>>(d_x, d_sums, n);
  REQUIRE(total(blocks) == expected);
  sum_last_warp<<<blocks / 2, kThreads>>>(d_x, d_sums, n);
  REQUIRE(total(blocks / 2) == expected);
  sum_shuffles<<<3, kThreads>>>(d_x, d_sums, n);
  REQUIRE(total(3) == expected);
  sum_template<int, kThreads><<<dim3(2), dim3(kThreads)>>>(d_x, d_sums, n);
  REQUIRE(total(2) == expected);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_sums));
}
