// The sums of the columns of a matrix, such as the gradient of a bias, or the sum of several parts of a
// result.
//
// A block sums 32 columns. Warp w reads the rows w, w + 32, w + 64, ... and its lanes read neighbouring
// columns:
//
//              32 columns
//           +-------------+
//   row 0   | warp 0      |      sums[warp][lane]       Then warp w adds the 32 sums of column w.
//   row 1   | warp 1      |      +-------------+
//    ...    |  ...        |  ->  |   32 x 32   |  ->  out[w] = sums[0][w] + sums[1][w] + ...
//   row 32  | warp 0      |      +-------------+
//           +-------------+
//
// The sums are of type double: a float sum of 300,000 rows would lose two digits. The order of the additions
// depends on the number of rows alone.
#pragma once

#include "cuda/tile_product.cuh"

namespace byhand::cuda {

// The operand is the transposed matrix: its rows are summed.
template <class X>
__global__ void __launch_bounds__(kWarp* kWarp) column_sums_kernel(X transposed, float* out) {
  __shared__ double sums[kWarp][kWarp + 1];  // the extra column spreads the values of a column over the banks
  constexpr int kAhead = 4;                  // the number of loads before the first of them is used
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kWarp;
  double sum = 0.0;
  if (first + lane < transposed.rows)
    for (int64_t i = warp; i < transposed.depth; i += kAhead * kWarp) {
      typename X::template Loaded<float> loaded[kAhead] = {};
#pragma unroll
      for (int k = 0; k < kAhead; ++k)
        if (i + k * kWarp < transposed.depth)
          transposed.load(transposed.address(first + lane, i + k * kWarp), loaded[k]);
#pragma unroll
      for (int k = 0; k < kAhead; ++k) sum += static_cast<double>(X::value(loaded[k]));
    }
  sums[warp][lane] = sum;
  __syncthreads();
  sum = sums[lane][warp];
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    sum += __shfl_down_sync(kAllLanes, sum, distance);
  if (lane == 0 && first + warp < transposed.rows) out[first + warp] = static_cast<float>(sum);
}

// Writes the sums of the columns to `out`. `op` names the operator in errors.
template <class X>
void column_sums(const X& transposed, float* out, const char* op) {
  if (transposed.rows == 0) return;
  const auto blocks = static_cast<unsigned>(parts(transposed.rows, kWarp));
  column_sums_kernel<<<blocks, kWarp * kWarp, 0, stream()>>>(transposed, out);
  check_launch(op);
}

}  // namespace byhand::cuda
