// Multiplies two square matrices, c = a * b. A block computes a tile of c of 16 x 16 values. It goes along a row of
// tiles of a and down a column of tiles of b, and copies each pair of tiles to shared memory.
#include <cstdio>

constexpr int kTile = 16, kSize = 64;

__global__ void multiply(const float* a, const float* b, float* c) {
  __shared__ float tile_a[kTile][kTile], tile_b[kTile][kTile];
  const int x = threadIdx.x, y = threadIdx.y;
  const int column = blockIdx.x * kTile + x, row = blockIdx.y * kTile + y;
  float sum = 0;
  for (int k = 0; k < kSize; k += kTile) {
    tile_a[y][x] = a[row * kSize + k + x];
    tile_b[y][x] = b[(k + y) * kSize + column];
    __syncthreads();
    for (int i = 0; i < kTile; ++i) sum += tile_a[y][i] * tile_b[i][x];
  }
  c[row * kSize + column] = sum;
}

int main() {
  static float a[kSize * kSize], b[kSize * kSize], c[kSize * kSize];
  for (int i = 0; i < kSize * kSize; ++i) a[i] = 1, b[i] = 2;

  float *da, *db, *dc;
  cudaMalloc(&da, sizeof a);
  cudaMalloc(&db, sizeof b);
  cudaMalloc(&dc, sizeof c);
  cudaMemcpy(da, a, sizeof a, cudaMemcpyHostToDevice);
  cudaMemcpy(db, b, sizeof b, cudaMemcpyHostToDevice);
  multiply<<<dim3(kSize / kTile, kSize / kTile), dim3(kTile, kTile)>>>(da, db, dc);
  cudaMemcpy(c, dc, sizeof c, cudaMemcpyDeviceToHost);
  printf("c[0] = %g\n", c[0]);
  cudaFree(da);
  cudaFree(db);
  cudaFree(dc);
}
