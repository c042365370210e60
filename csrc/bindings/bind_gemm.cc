#include <algorithm>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "core/check.h"
#include "ops/gemm.h"

namespace byhand::bindings {
namespace {

ops::Matrix transposed_if(const MatrixInput& input, bool transpose) {
  return transpose ? input.matrix().transposed() : input.matrix();
}

// Strides of dimensions of one element say nothing.
bool same_strides(const py::array& a, const py::array& b) {
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    if (a.shape(i) != 1 && a.strides(i) != b.strides(i)) return false;
  return true;
}

// Whether the array is the very array that C is, in which case beta * C is read where it is written.
bool same_view(py::handle out, const py::array& c) {
  if (!py::isinstance<py::array>(out)) return false;
  const auto array = py::reinterpret_borrow<py::array>(out);
  return array.data() == c.data() && array.ndim() == c.ndim() &&
         std::equal(array.shape(), array.shape() + array.ndim(), c.shape()) &&
         (array.size() <= 1 || same_strides(array, c));
}

py::array gemm(py::handle a_object, py::handle b_object, py::handle c_object, py::handle alpha_object,
               py::handle beta_object, py::handle trans_a, py::handle trans_b, py::handle out_object) {
  const MatrixInput a_input(a_object, "a"), b_input(b_object, "b");
  const ops::Matrix a = transposed_if(a_input, parse_bool(trans_a, "trans_a")),
                    b = transposed_if(b_input, parse_bool(trans_b, "trans_b"));
  require(a.columns == b.rows, "b must have ", a.columns,
          " rows, as many as a has columns (after transposing), got ", b.rows);
  const float alpha = parse_float(alpha_object, "alpha");
  const Shape shape{a.rows, b.columns};
  if (c_object.is_none()) {
    const Output<float> out(out_object, "out", shape, {a_input.original(), b_input.original()});
    without_gil(ops::multiply_adds(a, b), [&] { ops::gemm(alpha, a, b, 0, {}, out.data()); });
    return out.array();
  }
  const MatrixInput c(c_object, "c");
  const float beta = parse_float(beta_object, "beta");
  require(c.matrix().rows == shape[0] && c.matrix().columns == shape[1], "c must have shape ", shape,
          ", that of the product, got ", Shape{c.matrix().rows, c.matrix().columns});
  const py::array apart = same_view(out_object, c.original()) ? a_input.original() : c.original();
  const Output<float> out(out_object, "out", shape, {a_input.original(), b_input.original(), apart});
  without_gil(ops::multiply_adds(a, b), [&] { ops::gemm(alpha, a, b, beta, c.matrix(), out.data()); });
  return out.array();
}

}  // namespace

void bind_gemm(py::module_& m) {
  define<gemm>(m, "gemm(a, b, c=None, *, alpha=1.0, beta=1.0, trans_a=False, trans_b=False, out=None)",
               R"(Matrix product alpha * op(a) @ op(b), plus beta * c where c is given.

op(x) is x, or its transpose where trans_a / trans_b say so. op(a) is (m, k), op(b) (k, n), c and the
result (m, n), all float32. Inputs may have any strides. With beta == 0 c is not read; with alpha == 0
or k == 0 a and b are not. NaN and Inf follow IEEE arithmetic. `out` may be exactly c.
The error of an element is at most (k + 3) * 2**-24 * (abs(alpha) * abs(a) @ abs(b) + abs(beta * c)).

Source: Dongarra et al., A set of level 3 Basic Linear Algebra Subprograms, ACM TOMS 16 (1990).)");
}

}  // namespace byhand::bindings
