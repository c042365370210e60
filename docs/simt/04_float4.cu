// Adds up each row of a matrix. A thread reads four values at a time, and the last values of the row one by one.
#include <cstdio>

constexpr int kRows = 64, kColumns = 30;
constexpr int kPitch = kColumns;  // the distance between two rows in memory, in values

__global__ void sum_rows(const float* x, float* sum) {
  const float* const row = x + threadIdx.x * kPitch;
  float s = 0;
  int c = 0;
  for (; c + 4 <= kColumns; c += 4) {
    const float4 four = *reinterpret_cast<const float4*>(row + c);
    s += four.x + four.y + four.z + four.w;
  }
  for (; c < kColumns; ++c) s += row[c];
  sum[threadIdx.x] = s;
}

int main() {
  static float x[kRows * kPitch], sum[kRows];
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) x[r * kPitch + c] = r;

  float *dx, *dsum;
  cudaMalloc(&dx, sizeof x);
  cudaMalloc(&dsum, sizeof sum);
  cudaMemcpy(dx, x, sizeof x, cudaMemcpyHostToDevice);
  sum_rows<<<1, kRows>>>(dx, dsum);
  cudaMemcpy(sum, dsum, sizeof sum, cudaMemcpyDeviceToHost);
  printf("row 0: %g, row 63: %g\n", sum[0], sum[63]);
  cudaFree(dx);
  cudaFree(dsum);
}
