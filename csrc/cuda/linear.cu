// The fully connected layer of ops/linear.h. The products are those of tile_product.cuh, to which this file
// adds:
//   linear               adds the bias and applies f when a value of the product is stored
//   linear_act_backward  computes dz from dy and y when a value of dz is loaded, so dz needs no memory
//   linear_backward_bias sums the columns of dz (column_sums.cuh)
#include <type_traits>

#include "cuda/activation.cuh"
#include "cuda/column_sums.cuh"
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
  __device__ Column column(int64_t j) const { return {j, bias ? bias[j] : 0.0f}; }
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
  template <class T>
  struct Loaded {
    T dy, y;
  };

  const float* y;

  ActivationGradient(const Operand& dy, const float* output) : Operand(dy), y(output) {}

  template <class T>
  __device__ void load(const float* at, Loaded<T>& loaded) const {
    Operand::load(at, loaded.dy);
    Operand::load(y + (at - data), loaded.y);
  }
  __device__ static float value(const Loaded<float>& a) { return F::backward(a.dy, a.y); }
  __device__ static float4 value(const Loaded<float4>& a) {
    return make_float4(F::backward(a.dy.x, a.y.x), F::backward(a.dy.y, a.y.y), F::backward(a.dy.z, a.y.z),
                       F::backward(a.dy.w, a.y.w));
  }
};

// Four values of dz can be read at once if this is so for both arrays.
template <class F>
Layout layout_of(const ActivationGradient<F>& dz) {
  return cuda::layout_of(dz, dz.y) == Layout::kStrided ? Layout::kStrided : cuda::layout_of(dz, dz.data);
}

// Returns dz as an operand. Without an activation it is dy, and y is not read.
template <class F>
auto gradient(const Operand& dy, const float* y) {
  if constexpr (std::is_same_v<F, Identity>)
    return dy;
  else
    return ActivationGradient<F>(dy, y);
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
  column_sums(Operand{dy, columns, rows, 1, columns}, db, "linear_backward_bias");
}

void linear_act_backward(ops::Activation f, const ops::LinearGradients& g) {
  const char* const op = "linear_act_backward";
  const ops::Matrix dy{g.dy, g.x.rows, g.weight.rows, g.weight.rows, 1};
  with_activation(f, [&](auto activation) {
    using F = decltype(activation);
    const auto dz = gradient<F>(rows_of(dy), g.y);
    const auto dz_transposed = gradient<F>(rows_of(dy.transposed()), g.y);
    backward_weight(dz_transposed, g.x, g.dw, op);
    if (g.db) column_sums(dz_transposed, g.db, op);
    if (g.dx) backward_input(dz, g.weight, g.dx, op);
  });
}

}  // namespace byhand::cuda
