// Keeps the positive values. The lanes of a warp that have one reserve their places with one atomic function.
#include "check.h"

#include <algorithm>

__device__ int reserve(int* count) {
#ifdef FAULT_1
  const unsigned active = 0xffffffffu;
#else
  const unsigned active = __activemask();
#endif
  const int leader = __ffs(active) - 1, lane = threadIdx.x % 32;
  int first = 0;
#ifdef FAULT_2
  if (lane == leader) {
    first = *count;                  // FAULT_2: race in keep_positive
    *count = first + __popc(active);  // FAULT_2: other
  }
#elif defined FAULT_3
  if (lane == 0) first = atomicAdd(count, __popc(active));
  first = __shfl_sync(active, first, 0);  // FAULT_3: shuffle-lane in keep_positive
#else
  if (lane == leader) first = atomicAdd(count, __popc(active));
#endif
#ifndef FAULT_3
  first = __shfl_sync(active, first, leader);  // FAULT_1 strict: warp-mask in keep_positive
#endif
  return first + __popc(active & ((1u << lane) - 1));
}

__global__ void keep_positive(const int* x, int* kept, int* count, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && x[i] > 0) kept[reserve(count)] = x[i];
}

// Counts the values of each kind: the lanes with the same value find each other.
__global__ void count_kinds(const int* kinds, int* counts, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned here = __ballot_sync(0xffffffff, i < n);
  if (i >= n) return;
#ifdef FAULT_4
  const unsigned same = __match_any_sync(0xffffffff, kinds[i]);  // FAULT_4 strict: warp-mask in count_kinds
#else
  const unsigned same = __match_any_sync(here, kinds[i]);
#endif
  if (threadIdx.x % 32 == 31 - __clz(same)) atomicAdd(&counts[kinds[i]], __popc(same));
}

int main() {
  constexpr int n = 150;
  std::vector<int> x(n), expected;
  for (int i = 0; i < n; ++i)
    if ((x[i] = i * 29 % 17 - 9) > 0) expected.push_back(x[i]);
  int *const d_x = to_device(x), *const d_kept = device_array<int>(n), *const d_count = device_array<int>(1);
  CHECK(cudaMemset(d_count, 0, sizeof(int)));
  keep_positive<<<3, 64>>>(d_x, d_kept, d_count, n);
  CHECK(cudaGetLastError());
#ifdef FAULT_5
  std::vector<int> kept = to_host(d_kept, expected.size());  // whose order depends on the schedule. FAULT_5: schedule at 0
#else
  int count = 0;
  CHECK(cudaMemcpy(&count, d_count, sizeof(int), cudaMemcpyDeviceToHost));
  REQUIRE(count == static_cast<int>(expected.size()));
#endif

  for (int& kind : x) kind = (kind + 9) % 5;
  std::vector<int> in_kind(5);
  for (const int kind : x) ++in_kind[kind];
  CHECK(cudaMemcpy(d_x, x.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  CHECK(cudaMemset(d_kept, 0, 5 * sizeof(int)));
  count_kinds<<<5, 32>>>(d_x, d_kept, n);
  REQUIRE(to_host(d_kept, 5) == in_kind);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_kept));
  CHECK(cudaFree(d_count));
}
