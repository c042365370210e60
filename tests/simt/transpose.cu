// The transpose of a matrix through a tile in shared memory. The tile has a column more than it needs, so that its
// columns lie in different banks.
#include "check.h"

constexpr int kTile = 16, kRows = 4;

__global__ void transpose(const float* x, float* y, int width, int height) {
  __shared__ float tile[kTile][kTile + 1];
  int column = blockIdx.x * kTile + threadIdx.x, row = blockIdx.y * kTile + threadIdx.y;
  for (int j = 0; j < kTile; j += kRows)
#ifdef FAULT_2
    if (column < width)
      tile[threadIdx.y + j][threadIdx.x] = x[(row + j) * width + column];  // FAULT_2: out-of-bounds in transpose
#else
    if (column < width && row + j < height)
      tile[threadIdx.y + j][threadIdx.x] = x[(row + j) * width + column];
#endif
#ifndef FAULT_1
  __syncthreads();
#endif
  column = blockIdx.y * kTile + threadIdx.x;
  row = blockIdx.x * kTile + threadIdx.y;
  for (int j = 0; j < kTile; j += kRows)
#ifdef FAULT_3
    if (column < width && row + j < height)                                 // the edges of x, not of y
      y[(row + j) * height + column] = tile[threadIdx.x][threadIdx.y + j];  // FAULT_3: uninitialized in transpose
#elif defined FAULT_4
    if (column < height && row + j < width)
      y[(row + j) * height + column] = tile[threadIdx.x + kTile][threadIdx.y + j];  // FAULT_4: out-of-bounds in transpose
#else
    if (column < height && row + j < width)
      y[(row + j) * height + column] = tile[threadIdx.x][threadIdx.y + j];  // FAULT_1: uninitialized in transpose
#endif
}

int main() {
  constexpr int width = 50, height = 37;
  std::vector<float> x(width * height);
  for (int i = 0; i < width * height; ++i) x[i] = static_cast<float>(i);
  float *const d_x = to_device(x), *const d_y = device_array<float>(x.size());
  const dim3 grid((width + kTile - 1) / kTile, (height + kTile - 1) / kTile), block(kTile, kRows);
  transpose<<<grid, block>>>(d_x, d_y, width, height);
  const std::vector<float> y = to_host(d_y, x.size());
  for (int i = 0; i < height; ++i)
    for (int j = 0; j < width; ++j) REQUIRE(y[j * height + i] == x[i * width + j]);
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
}
