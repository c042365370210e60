// Arrays of bytes: threads that use different bytes of a word do not race, and those that use the same byte do.
#include "check.h"

constexpr int kPixels = 130;

// Each thread writes a byte of its own, then one thread per block reads the four bytes of a word.
__global__ void invert(const unsigned char* x, unsigned char* y, int* sums) {
  const int i = threadIdx.x;
  if (i < kPixels) y[i] = static_cast<unsigned char>(255 - x[i]);  // FAULT_1: race in invert; FAULT_3: other
#ifdef FAULT_3
  if (i == 7) y[0] = 1;  // FAULT_3: race in invert
#endif
#ifndef FAULT_1
  __syncthreads();
#endif
  if (i < kPixels / 4) {
    int sum = 0;
    for (int k = 0; k < 4; ++k) sum += y[4 * i + k];  // FAULT_1: other
    sums[i] = sum;
  }
}

// Threads 0 to 3 read one byte each. Then thread 4 writes a byte that another thread has read.
__global__ void last_reader(const unsigned char* x, unsigned char* y, int* out) {
  __shared__ unsigned char tile[4];
  const int i = threadIdx.x;
  if (i < 4) tile[i] = x[i];
  __syncthreads();
  if (i < 4) out[i] = tile[i];  // FAULT_2: other
#ifndef FAULT_2
  __syncthreads();
#endif
  if (i == 4) tile[2] = 9;  // FAULT_2: race in last_reader
  __syncthreads();
  if (i == 0) y[2] = tile[2];
}

int main() {
  std::vector<unsigned char> x(kPixels);
  for (int i = 0; i < kPixels; ++i) x[i] = static_cast<unsigned char>(i);
  unsigned char *const d_x = to_device(x), *const d_y = device_array<unsigned char>(kPixels);
  CHECK(cudaMemset(d_y, 0, kPixels));
  int* const sums = device_array<int>(kPixels / 4);
  invert<<<1, 160>>>(d_x, d_y, sums);
  const std::vector<unsigned char> y = to_host(d_y, kPixels);
  const std::vector<int> s = to_host(sums, kPixels / 4);
  for (int i = 0; i < kPixels; ++i) REQUIRE(y[i] == 255 - i);
  for (int i = 0; i < kPixels / 4; ++i) REQUIRE(s[i] == 4 * 255 - 16 * i - 6);
  last_reader<<<1, 32>>>(d_x, d_y, sums);
  REQUIRE(to_host(d_y, 3)[2] == 9 && to_host(sums, 4)[3] == 3);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
  CHECK(cudaFree(sums));
}
