// Shuffles of all kinds, votes, and the reductions of newer devices.
#include "check.h"

constexpr unsigned kAll = 0xffffffffu;

__global__ void shuffle(const float* x, float* y, double* z, long long* w) {
  const int lane = threadIdx.x;
  const float value = x[lane];
  y[lane] = __shfl_sync(kAll, value, 31 - lane) + __shfl_sync(kAll, value, 5);
  y[32 + lane] = __shfl_up_sync(kAll, value, 2) + __shfl_down_sync(kAll, value, 3, 8);
#ifdef FAULT_1
  z[lane] = __shfl_xor_sync(kAll, static_cast<double>(value), 1, 12);  // FAULT_1: warp-mask in shuffle
#else
  z[lane] = __shfl_xor_sync(kAll, static_cast<double>(value), 1);
#endif
  w[lane] = __shfl_sync(kAll, static_cast<long long>(lane) << 40, lane + 1, 32);  // beyond the last lane: lane 0
}

// The first 20 lanes add their values.
__global__ void first_twenty(const float* x, float* y) {
  constexpr unsigned mask = (1u << 20) - 1;
  const int lane = threadIdx.x;
  if (lane >= 20) return;
  float sum = x[lane];
  for (int s = 16; s > 0; s /= 2) {
#ifdef FAULT_2
    sum += __shfl_down_sync(mask, sum, s);  // FAULT_2: shuffle-lane in first_twenty
#else
    const float other = __shfl_sync(mask, sum, lane + s < 20 ? lane + s : lane);
    if (lane + s < 20) sum += other;
#endif
  }
  if (lane == 0) y[0] = sum;
}

__global__ void vote(const float* x, int* y) {
  const int lane = threadIdx.x % 32;
#ifdef FAULT_3
  if (blockDim.x - threadIdx.x / 32 * 32 >= 32) return;  // the second warp has only 8 threads
#endif
  const unsigned here = threadIdx.x < 32 ? kAll : 0xff;
#ifdef FAULT_3
  const unsigned large = __ballot_sync(kAll, x[threadIdx.x] > 3.0f);  // FAULT_3: warp-mask in vote
#else
  const unsigned large = __ballot_sync(here, x[threadIdx.x] > 3.0f);
#endif
#ifdef FAULT_4
  int most = 0;
  if (lane % 2)
    most = __reduce_max_sync(here, lane);  // FAULT_4: warp-mask in vote
  else
    most = __reduce_add_sync(here, lane);
#else
  const int most = __reduce_max_sync(here, lane);
#endif
  const int least = __reduce_min_sync(here, -lane), sum = __reduce_add_sync(here, 1);
  const unsigned bits = __reduce_xor_sync(here, 1u << lane) & __reduce_or_sync(here, here);
  y[threadIdx.x] = __popc(large) + 100 * (most + least + sum) + (bits == here ? 10000 : 0);
}

int main() {
  std::vector<float> x(40);
  int large[2] = {};
  for (int i = 0; i < 40; ++i) large[i / 32] += (x[i] = static_cast<float>(i * 7 % 10)) > 3.0f;
  float *const d_x = to_device(x), *const d_y = device_array<float>(64);
  double* const d_z = device_array<double>(32);
  long long* const d_w = device_array<long long>(32);
  shuffle<<<1, 32>>>(d_x, d_y, d_z, d_w);
  const std::vector<float> y = to_host(d_y, 64);
  const std::vector<double> z = to_host(d_z, 32);
  const std::vector<long long> w = to_host(d_w, 32);
  for (int i = 0; i < 32; ++i) {
    REQUIRE(y[i] == x[31 - i] + x[5]);
    REQUIRE(y[32 + i] == x[i < 2 ? i : i - 2] + x[i % 8 < 5 ? i + 3 : i]);
    REQUIRE(z[i] == x[i ^ 1] && w[i] == static_cast<long long>((i + 1) % 32) << 40);
  }
  first_twenty<<<1, 32>>>(d_x, d_y);
  float sum = 0.0f;
  for (int i = 0; i < 20; ++i) sum += x[i];
  REQUIRE(to_host(d_y, 1)[0] == sum);
  int* const d_v = device_array<int>(40);
  vote<<<1, 40>>>(d_x, d_v);
  const std::vector<int> v = to_host(d_v, 40);
  for (int i = 0; i < 40; ++i) REQUIRE(v[i] == 10000 + 100 * (i < 32 ? 32 : 8) + large[i / 32]);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(d_z));
  CHECK(cudaFree(d_w));
  CHECK(cudaFree(d_v));
}
