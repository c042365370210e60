// The fully connected layer of ops/linear.h. The products are those of tile_product.cuh. What is added here:
//   linear               adds the bias and applies f when a value of the product is stored
//   linear_act_backward  computes dz from dy and y when a value of dz is loaded, so dz needs no memory
//   linear_backward_bias sums the columns of dz
#include <type_traits>

#include "cuda/activation.cuh"
#include "cuda/ops.h"
#include "cuda/tile_product.cuh"

namespace byhand::cuda {
namespace {

// y = f(z + bias)
template <class F>
struct StoreActivated {
  const float* bias;  // may be null
  float* y;
  int64_t columns;

  struct Column {
    int64_t j;
    float bias;
  };
  __device__ Column column(int64_t j) const { return {j, bias && j < columns ? bias[j] : 0.0f}; }
  __device__ void operator()(int64_t i, const Column& own, float z) const {
    y[i * columns + own.j] = F::forward(z + own.bias);
  }
};

// out = z
struct StoreValue {
  float* out;
  int64_t columns;

  __device__ int64_t column(int64_t j) const { return j; }
  __device__ void operator()(int64_t i, int64_t j, float z) const { out[i * columns + j] = z; }
};

// The gradient with respect to the activation's input, as an operand of a product. y has the strides of dy.
template <class F>
struct ActivationGradient : Operand {
  const float* y;

  ActivationGradient(const Operand& dy, const float* output) : Operand(dy), y(output) {}

  __device__ float value(int64_t row, int64_t p) const {
    return F::backward(Operand::value(row, p), y[offset(row, p)]);
  }

  __device__ float4 four_values(int64_t row, int64_t p) const {
    const float4 g = Operand::four_values(row, p), v = *reinterpret_cast<const float4*>(y + offset(row, p));
    return make_float4(F::backward(g.x, v.x), F::backward(g.y, v.y), F::backward(g.z, v.z),
                       F::backward(g.w, v.w));
  }

  Layout layout() const {
    return reinterpret_cast<uintptr_t>(y) % 16 == 0 ? Operand::layout() : Layout::kStrided;
  }
};

// Returns dz as an operand. Without an activation it is dy, and y is not read.
template <class F>
auto gradient(const Operand& dy, const float* y) {
  if constexpr (std::is_same_v<F, Identity>)
    return dy;
  else
    return ActivationGradient<F>(dy, y);
}

// Sums the columns of dz, 32 columns per block. Warp w reads the rows w, w + 32, w + 64, ... of dz, and its
// lanes read neighbouring columns:
//
//              32 columns
//           +-------------+
//   row 0   | warp 0      |      sums[warp][lane]       Then warp w adds the 32 sums of column w.
//   row 1   | warp 1      |      +-------------+
//    ...    |  ...        |  ->  |   32 x 32   |  ->  db[w] = sums[0][w] + sums[1][w] + ...
//   row 32  | warp 0      |      +-------------+
//           +-------------+
//
// The sums are of type double: a float sum of 300,000 rows would lose two digits. The operand is dz', as in
// the product dW = dz' x: its rows are the columns of dz.
template <class Gradient>
__global__ void __launch_bounds__(kWarp* kWarp) bias_kernel(Gradient dz_transposed, float* db) {
  __shared__ double sums[kWarp][kWarp + 1];  // the extra column spreads the values of a column over the banks
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kWarp;
  double sum = 0.0;
  if (first + lane < dz_transposed.rows)
    for (int64_t i = warp; i < dz_transposed.depth; i += kWarp)
      sum += static_cast<double>(dz_transposed.value(first + lane, i));
  sums[warp][lane] = sum;
  __syncthreads();
  sum = sums[lane][warp];
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    sum += __shfl_down_sync(0xffffffffu, sum, distance);
  if (lane == 0 && first + warp < dz_transposed.rows) db[first + warp] = static_cast<float>(sum);
}

// The rows of a matrix as an operand. In a product A B', rows of A are multiplied by rows of B.
Operand rows_of(const ops::Matrix& a) { return {a.data, a.rows, a.columns, a.row_stride, a.column_stride}; }

// dX = dz W
template <class Gradient>
void backward_input(const Gradient& dz, const ops::Matrix& weight, float* dx, const char* op) {
  product(dz, rows_of(weight.transposed()), StoreValue{dx, weight.columns}, op);
}

// dW = dz' x
template <class Gradient>
void backward_weight(const Gradient& dz_transposed, const ops::Matrix& x, float* dw, const char* op) {
  product(dz_transposed, rows_of(x.transposed()), StoreValue{dw, x.columns}, op);
}

// db = the sum of dz over its rows
template <class Gradient>
void backward_bias(const Gradient& dz_transposed, float* db, const char* op) {
  if (dz_transposed.rows == 0) return;
  const auto blocks = static_cast<unsigned>(parts(dz_transposed.rows, kWarp));
  bias_kernel<<<blocks, kWarp * kWarp, 0, stream()>>>(dz_transposed, db);
  check_launch(op);
}

}  // namespace

void linear(ops::Matrix x, ops::Matrix weight, const float* bias, ops::Activation f, float* y) {
  with_activation(f, [&](auto activation) {
    using F = decltype(activation);
    product(rows_of(x), rows_of(weight), StoreActivated<F>{bias, y, weight.rows}, "linear");
  });
}

void linear_backward_input(ops::Matrix dy, ops::Matrix weight, float* dx) {
  backward_input(rows_of(dy), weight, dx, "linear_backward_input");
}

void linear_backward_weight(ops::Matrix dy, ops::Matrix x, float* dw) {
  backward_weight(rows_of(dy.transposed()), x, dw, "linear_backward_weight");
}

void linear_backward_bias(const float* dy, int64_t rows, int64_t columns, float* db) {
  backward_bias(Operand{dy, columns, rows, 1, columns}, db, "linear_backward_bias");
}

void linear_act_backward(ops::Activation f, const ops::LinearGradients& g) {
  const char* const op = "linear_act_backward";
  const ops::Matrix dy{g.dy, g.x.rows, g.weight.rows, g.weight.rows, 1};
  with_activation(f, [&](auto activation) {
    using F = decltype(activation);
    const auto dz = gradient<F>(rows_of(dy), g.y);
    const auto dz_transposed = gradient<F>(rows_of(dy.transposed()), g.y);
    backward_weight(dz_transposed, g.x, g.dw, op);
    if (g.db) backward_bias(dz_transposed, g.db, op);
    if (g.dx) backward_input(dz, g.weight, g.dx, op);
  });
}

}  // namespace byhand::cuda
