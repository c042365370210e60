#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

ops::Matrix transposed_if(const MatrixInput& input, bool transpose) {
  return transpose ? input.matrix().transposed() : input.matrix();
}

// Returns whether `out` is c itself: the same memory with the same strides. The shapes are already equal.
// `out` may be c, because gemm reads each element of c before it writes the result to the same place.
bool is_same_view(const Output<float>& out, const ops::Matrix& c) {
  return out.data() == c.data && c.row_stride == c.columns && c.column_stride == 1;
}

py::object gemm(py::handle a_object, py::handle b_object, py::handle c_object, py::handle alpha_object,
                py::handle beta_object, py::handle trans_a, py::handle trans_b, py::handle out_object) {
  const MatrixInput a_input(a_object, "a"), b_input(b_object, "b");
  const ops::Matrix a = transposed_if(a_input, parse_bool(trans_a, "trans_a")),
                    b = transposed_if(b_input, parse_bool(trans_b, "trans_b"));
  require(a.columns == b.rows, "b must have ", a.columns,
          " rows, the number of columns of a (after transposing), got ", b.rows);
  const float alpha = parse_float(alpha_object, "alpha");
  const Shape shape{a.rows, b.columns};
  if (c_object.is_none()) {
    const Output<float> out(out_object, "out", shape, {a_input.region(), b_input.region()});
    without_gil(out.device(), ops::multiply_adds(a, b),
                [&] { out.device().gemm(alpha, a, b, 0, {}, out.data()); });
    return out.array();
  }
  const MatrixInput c(c_object, "c");
  const float beta = parse_float(beta_object, "beta");
  require(c.matrix().rows == shape[0] && c.matrix().columns == shape[1], "c must have shape ", shape,
          ", the shape of the product, got ", Shape{c.matrix().rows, c.matrix().columns});
  common_device({a_input.region(), b_input.region(), c.region()});
  const Output<float> out(out_object, "out", shape, {a_input.region(), b_input.region()});
  if (!is_same_view(out, c.matrix())) out.must_not_overlap(c.region());
  without_gil(out.device(), ops::multiply_adds(a, b),
              [&] { out.device().gemm(alpha, a, b, beta, c.matrix(), out.data()); });
  return out.array();
}

}  // namespace

void bind_gemm(py::module_& m) {
  define<gemm>(m, "gemm(a, b, c=None, *, alpha=1.0, beta=1.0, trans_a=False, trans_b=False, out=None)",
               R"(Multiply two matrices: alpha * op(a) @ op(b), plus beta * c if c is given.

op(a) is a, or its transpose if trans_a is True, and op(b) likewise. Inputs with any strides are
read without a copy.

Parameters
----------
a : ndarray, shape (m, k), or (k, m) with trans_a, float32
    Left factor.
b : ndarray, shape (k, n), or (n, k) with trans_b, float32
    Right factor.
c : ndarray, shape (m, n), float32, optional
    Matrix to add. If beta is 0, it is not read, so that a NaN in it has no effect.
alpha : float, default 1.0
    Factor of the product. If it is 0, a and b are not read.
beta : float, default 1.0
    Factor of c.
trans_a, trans_b : bool, default False
    Whether to transpose a, and whether to transpose b.
out : ndarray, shape (m, n), float32, optional
    Receives the result. It must be writable and C-contiguous. It may be the array c itself, but
    must not overlap an input in another way.

Returns
-------
ndarray, shape (m, n), float32
    The result.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument has the wrong type.
ValueError
    If the shapes do not agree, or `out` is not as described above.

Notes
-----
NaN and infinities follow IEEE arithmetic: products with a zero are not skipped. The error of
an element is at most (k + 3) * 2**-24 * (abs(alpha) * abs(a) @ abs(b) + abs(beta * c)).

References
----------
J. J. Dongarra et al., A set of level 3 Basic Linear Algebra Subprograms, ACM TOMS 16, 1990.)");
}

}  // namespace byhand::bindings
