// The lanes of a warp exchange values through shared memory, with __syncwarp(), and work in groups.
#include "check.h"

constexpr unsigned kAll = 0xffffffffu, kLow = 0x0000ffffu, kHigh = 0xffff0000u;

__global__ void rotate(const int* x, int* y) {
  __shared__ int box[64];
  const int t = threadIdx.x, next = t / 32 * 32 + (t + 1) % 32;
  box[t] = x[t];  // FAULT_2: other
#ifdef FAULT_2
  if (t % 32 < 16) __syncwarp(kLow);
  else __syncwarp(kHigh);
#elif !defined FAULT_1
  __syncwarp();
#endif
  const int value = box[next];  // FAULT_1: uninitialized in rotate; FAULT_2: race in rotate; FAULT_3: other
#ifndef FAULT_3
  __syncwarp();
#endif
  box[t] = 2 * value;  // FAULT_3: race in rotate
  __syncwarp();
  y[t] = box[next];
}

// The two halves of a warp do different work, each with its own mask.
__global__ void halves(int* y) {
  const int lane = threadIdx.x;
  int value = lane;
  if (lane < 16) {
#ifdef FAULT_4
    constexpr unsigned mask = kHigh;
#elif defined FAULT_5
    constexpr unsigned mask = kAll;
#else
    constexpr unsigned mask = kLow;
#endif
    for (int s = 8; s > 0; s /= 2) value += __shfl_xor_sync(mask, value, s);  // FAULT_4: warp-mask in halves; FAULT_5 strict: warp-mask in halves
  } else {
    int most = value;
    for (int s = 8; s > 0; s /= 2)
      most = max(most, __shfl_xor_sync(kHigh, most, s, 16));
    value = most;
  }
  y[lane] = value;
}

// Half of the lanes wait at a barrier of the block, the others for the whole warp.
__global__ void two_barriers(int* y) {
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
#ifdef FAULT_6
  if (threadIdx.x % 32 < 16)
    __syncthreads();
  else
    __syncwarp();  // FAULT_6: deadlock in two_barriers
#else
  __syncthreads();
#endif
  atomicAdd(&sum, 1);
#ifdef FAULT_7
  if (threadIdx.x % 32 == 31) return;
  const int any = __any_sync(kAll, threadIdx.x == 3);  // FAULT_7 strict: warp-mask in two_barriers
#else
  const int any = __any_sync(kAll, threadIdx.x % 32 == 3);
#endif
  __syncthreads();
  y[threadIdx.x] = sum + any + __all_sync(kAll, any);
}

int main() {
  std::vector<int> x(64);
  for (int i = 0; i < 64; ++i) x[i] = 3 * i;
  int *const d_x = to_device(x), *const d_y = device_array<int>(64);
  rotate<<<1, 64>>>(d_x, d_y);
  std::vector<int> y = to_host(d_y, 64);
  for (int i = 0; i < 64; ++i) REQUIRE(y[i] == 2 * x[i / 32 * 32 + (i + 2) % 32]);
  halves<<<1, 32>>>(d_y);
  y = to_host(d_y, 32);
  for (int i = 0; i < 32; ++i) REQUIRE(y[i] == (i < 16 ? 120 : 31));
  two_barriers<<<1, 64>>>(d_y);
  REQUIRE(to_host(d_y, 64) == std::vector<int>(64, 66));
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
}
