// Lanes of a warp that end early: the masks of the others may still name them.
#include "check.h"

constexpr unsigned kAll = 0xffffffffu;

// Only the lanes below `count` stay. They vote, and pass values to their left neighbours.
__global__ void early_return(int* y, int count) {
  __shared__ int box[32];
  const int lane = threadIdx.x;
  if (lane >= count) return;
  box[lane] = lane;
  __syncwarp();
  const int next = box[(lane + 1) % count];
  const unsigned here = __ballot_sync(kAll, 1);
  const int all = __all_sync(kAll, lane < count), any = __any_sync(kAll, lane >= count);
  const int sum = __reduce_add_sync(kAll, 1);
#ifdef FAULT_1
  const int right = __shfl_down_sync(kAll, lane, 1);  // FAULT_1: shuffle-lane in early_return
#else
  const int right = __shfl_sync(kAll, lane, (lane + 1) % count);
#endif
  y[lane] = __popc(here) == count && all && !any && sum == count && right == next ? next : -1;
}

// The odd lanes end after the even ones have begun to wait for all lanes.
__global__ void late_return(int* y) {
  __shared__ int turns[32];
  const int lane = threadIdx.x;
  turns[lane] = 0;
  if (lane % 2) {
    for (int i = 0; i < 3; ++i) {
      ++turns[lane];
      __syncwarp(0xaaaaaaaau);
    }
#ifdef FAULT_2
    __syncthreads();
#endif
    return;
  }
#ifdef FAULT_3
  const int other = turns[lane + 1];  // FAULT_3: uninitialized in late_return
#else
  const int other = 0;
#endif
  y[lane / 2] = __popc(__ballot_sync(kAll, lane + other >= 16));  // FAULT_2: deadlock in late_return; FAULT_4 strict: warp-mask in late_return
}

int main() {
  int* const y = device_array<int>(32);
#ifndef FAULT_4
  for (const int count : {1, 7, 31, 32}) {
    early_return<<<1, 32>>>(y, count);
    const std::vector<int> next = to_host(y, count);
    for (int i = 0; i < count; ++i) REQUIRE(next[i] == (i + 1) % count);
  }
#endif
  late_return<<<1, 32>>>(y);
  REQUIRE(to_host(y, 16) == std::vector<int>(16, 8));
  CHECK(cudaFree(y));
}
