// Sums and maxima over a team. A team is a group of kTeam neighbouring threads of a block that work on the
// same row of a matrix: half a warp for short rows, a warp, or a block for long rows.
//
//                      lane 0            lane 16          lane 31
//                       |                 |                 |
//   kTeam = 16          |<--- row r ----->|<-- row r + 1 -->|
//   kTeam = 32          |<------------- row r ------------->|
//   kTeam = 256 or more |<--- row r, with all warps of the block
//
// Thread t of a team works on the values t, t + kTeam, t + 2 kTeam, ... of its row, so neighbouring threads
// read neighbouring values. Then the threads combine their results. In a warp, they do this with shuffles:
//
//   lane        0     1     2     3
//   value       a     b     c     d
//   lane ^ 2   a+c   b+d   a+c   b+d         log2(kTeam) steps, after which
//   lane ^ 1   abcd  abcd  abcd  abcd        every lane has the same result
//
// A team of several warps then puts one value per warp into shared memory, from where all threads read them.
// The order of the additions depends only on kTeam, so the result has the same bits in every run.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/launch.h"

namespace byhand::cuda {

// The threads per block for a team: one large team, or as many small teams as fit into 256 threads.
template <int kTeam>
inline constexpr int kTeamThreads = kTeam > 256 ? kTeam : 256;
// The teams of a block.
template <int kTeam>
inline constexpr int kTeams = kTeamThreads<kTeam> / kTeam;

// The number of the calling thread in its team.
template <int kTeam>
__device__ int thread_of_team() {
  return static_cast<int>(threadIdx.x) % kTeam;
}

// The number of the calling thread's team in the grid.
template <int kTeam>
__device__ int64_t team_of_grid() {
  return int64_t{blockIdx.x} * kTeams<kTeam> + static_cast<int>(threadIdx.x) / kTeam;
}

// Returns the combination of the values of all threads of the team. All threads of the block must call it,
// also those whose team has no row.
template <int kTeam, class T, class Combine>
__device__ T combine_team(T value, const Combine& combine) {
  static_assert(kTeam <= kWarp || kTeam == kTeamThreads<kTeam>, "a team of several warps is a block");
#pragma unroll
  for (int step = (kTeam < kWarp ? kTeam : kWarp) / 2; step > 0; step /= 2)
    value = combine(value, __shfl_xor_sync(kAllLanes, value, step));
  if constexpr (kTeam > kWarp) {
    __shared__ T of_warp[kTeam / kWarp];
    __syncthreads();  // an earlier call may still read of_warp
    if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = of_warp[0];
    for (int i = 1; i < kTeam / kWarp; ++i) value = combine(value, of_warp[i]);
  }
  return value;
}

template <int kTeam, class T>
__device__ T team_sum(T value) {
  return combine_team<kTeam>(value, [](T a, T b) { return a + b; });
}

// The largest value that is not NaN. If all values are NaN, the result is NaN.
template <int kTeam>
__device__ float team_max(float value) {
  return combine_team<kTeam>(value, [](float a, float b) { return fmaxf(a, b); });
}

// Calls launch(team) with a team size that suits rows of `count` values. decltype(team)::value is the size.
template <class Launch>
void with_team(int64_t count, const Launch& launch) {
  if (count <= 16)
    launch(std::integral_constant<int, 16>{});
  else if (count <= 4096)
    launch(std::integral_constant<int, kWarp>{});
  else
    launch(std::integral_constant<int, 1024>{});
}

}  // namespace byhand::cuda
