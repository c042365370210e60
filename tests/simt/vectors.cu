// Vectors of four values: an address must be a multiple of the vector's size, and the last values need care.
#include "check.h"

__global__ void add_vectors(const float* x, const float* y, float* z, int n) {
  const int i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
#ifdef FAULT_2
  if (i < n) {
#else
  if (i + 3 < n) {
#endif
    const float4 a = *reinterpret_cast<const float4*>(x + i);  // FAULT_1: misaligned in add_vectors; FAULT_2: out-of-bounds in add_vectors
    const float4 b = reinterpret_cast<const float4*>(y)[i / 4];
    reinterpret_cast<float4*>(z)[i / 4] = make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
  }
#ifndef FAULT_2
  else
    for (int j = i; j < n; ++j) z[j] = x[j] + y[j];
#endif
}

// Two numbers per thread from bytes, of which the first is a header.
__global__ void read_numbers(const unsigned char* bytes, int* sum) {
#ifdef FAULT_3
  const int2 pair = reinterpret_cast<const int2*>(bytes + 4)[threadIdx.x];  // FAULT_3: misaligned in read_numbers
#elif defined FAULT_4
  const int* const from = reinterpret_cast<const int*>(bytes + 2) + 2 * threadIdx.x;
  const int2 pair = make_int2(from[0], from[1]);  // FAULT_4: misaligned in read_numbers
#else
  const int* const from = reinterpret_cast<const int*>(bytes + 4) + 2 * threadIdx.x;
  const int2 pair = make_int2(from[0], from[1]);
#endif
  atomicAdd(sum, pair.x + pair.y);
}

// Shared memory as vectors.
__global__ void reverse_vectors(const float4* x, float4* y) {
  __shared__ float4 tile[32];
  tile[threadIdx.x] = __ldg(&x[threadIdx.x]);
  __syncthreads();
  const float4 v = tile[31 - threadIdx.x];
  y[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
}

int main() {
  constexpr int n = 135;
  std::vector<float> x(n), y(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>(i), y[i] = static_cast<float>(2 * i);
  float *const d_x = to_device(x), *const d_y = to_device(y), *const d_z = device_array<float>(n);
#ifdef FAULT_1
  add_vectors<<<2, 32>>>(d_x + 1, d_y, d_z, n - 1);
#else
  add_vectors<<<2, 32>>>(d_x, d_y, d_z, n);
#endif
  const std::vector<float> z = to_host(d_z, n);
  for (int i = 0; i < n; ++i) REQUIRE(z[i] == 3.0f * static_cast<float>(i));

  std::vector<unsigned char> bytes(4 + 8 * 32);
  int expected = 0;
  for (int i = 0; i < 64; ++i) {
    memcpy(&bytes[4 + 4 * i], &i, sizeof i);
    expected += i;
  }
  unsigned char* const d_bytes = to_device(bytes);
  int* const d_sum = to_device(std::vector<int>{0});
  read_numbers<<<1, 32>>>(d_bytes, d_sum);
  REQUIRE(to_host(d_sum, 1)[0] == expected);

  float4 *const d_from = reinterpret_cast<float4*>(d_x), *const d_to = reinterpret_cast<float4*>(d_z);
  reverse_vectors<<<1, 32>>>(d_from, d_to);
  const std::vector<float> back = to_host(d_z, 128);
  for (int i = 0; i < 128; ++i) REQUIRE(back[i] == x[127 - i]);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(d_z));
  CHECK(cudaFree(d_bytes));
  CHECK(cudaFree(d_sum));
}
