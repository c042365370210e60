// The product of two matrices through tiles in shared memory. No extent is a multiple of the tile.
#include "check.h"

template <int kTile>
__global__ void product(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ float left[kTile][kTile];
  __shared__ float right[kTile][kTile];
  const int x = threadIdx.x, y = threadIdx.y;
  const int row = blockIdx.y * kTile + y, column = blockIdx.x * kTile + x;
#ifdef FAULT_3
  if (row >= m || column >= n) return;
#endif
  float sum = 0.0f;
  for (int first = 0; first < k; first += kTile) {
#ifdef FAULT_4
    if (row < m && first + x < k) left[y][x] = a[row * k + first + x];
    if (first + y < k && column < n) right[y][x] = b[(first + y) * n + column];
#elif defined FAULT_5
    left[y][x] = row < m && first + x <= k ? a[row * k + first + x] : 0.0f;  // FAULT_5: out-of-bounds in product<8>
    right[y][x] = first + y < k && column < n ? b[(first + y) * n + column] : 0.0f;
#else
    left[y][x] = row < m && first + x < k ? a[row * k + first + x] : 0.0f;           // FAULT_1: other
    right[y][x] = first + y < k && column < n ? b[(first + y) * n + column] : 0.0f;
#endif
#if defined FAULT_6
    if (column < n) {
      __syncthreads();  // FAULT_6: divergent-barrier in product<8>
    } else {
      __syncthreads();
    }
#elif !defined FAULT_2
    __syncthreads();  // FAULT_3 strict: barrier-after-exit in product<8>
#endif
#ifdef FAULT_4
    for (int i = 0; i < kTile; ++i) sum += left[y][i] * right[i][x];  // FAULT_4: uninitialized in product<8>
#else
    for (int i = 0; i < kTile; ++i)
      sum += left[y][i] *   // FAULT_1: race in product<8>; FAULT_2: uninitialized in product<8>
             right[i][x];
#endif
#ifndef FAULT_1
    __syncthreads();
#endif
  }
  if (row < m && column < n) c[row * n + column] = sum;
}

int main() {
  constexpr int m = 19, n = 21, k = 29, kTile = 8;
  std::vector<float> a(m * k), b(k * n);
  for (int i = 0; i < m * k; ++i) a[i] = static_cast<float>(i % 7 - 3);
  for (int i = 0; i < k * n; ++i) b[i] = static_cast<float>(i % 5 - 2);
  float *const d_a = to_device(a), *const d_b = to_device(b), *const d_c = device_array<float>(m * n);
  const dim3 grid((n + kTile - 1) / kTile, (m + kTile - 1) / kTile);
  product<8><<<grid, dim3(kTile, kTile)>>>(d_a, d_b, d_c, m, n, k);
  const std::vector<float> c = to_host(d_c, m * n);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      float expected = 0.0f;
      for (int p = 0; p < k; ++p) expected += a[i * k + p] * b[p * n + j];
      REQUIRE(c[i * n + j] == expected);
    }
  CHECK(cudaFree(d_a));
  CHECK(cudaFree(d_b));
  CHECK(cudaFree(d_c));
}
