#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

py::object apply(const Input& x, py::handle rate_object, py::handle seed, py::handle step, py::handle stream,
                 py::handle out_object) {
  const float rate = parse_float(rate_object, "rate");
  require(rate >= 0 && rate <= 1, "rate must be from 0 to 1, got ", rate);
  const ops::DropoutKey key{parse_unsigned(seed, "seed", UINT64_MAX),
                            static_cast<uint32_t>(parse_unsigned(step, "step", UINT32_MAX)),
                            static_cast<uint32_t>(parse_unsigned(stream, "stream", UINT32_MAX))};
  const Output<float> out(out_object, "out", x.shape(), {x.region()});
  without_gil([&] { out.device().dropout(key, rate, x.data(), x.size(), out.data()); });
  return out.array();
}

py::object dropout(py::handle x, py::handle rate, py::handle seed, py::handle step, py::handle stream,
                   py::handle out) {
  return apply(Input(x, "x"), rate, seed, step, stream, out);
}

py::object dropout_backward(py::handle dy, py::handle rate, py::handle seed, py::handle step,
                            py::handle stream, py::handle out) {
  return apply(Input(dy, "grad_output"), rate, seed, step, stream, out);
}

}  // namespace

void bind_dropout(py::module_& m) {
  define<dropout>(m, "dropout(x, rate, *, seed, step, stream=0, out=None)",
                  R"(Set random values to 0 and divide the others by 1 - rate.

The division keeps the expected value of each output equal to its input.

Parameters
----------
x : ndarray, any shape, float32
    Input.
rate : float
    Probability that a value is dropped, from 0 (the result is x) to 1 (the result is 0). The
    actual probability differs from it by less than 2**-23.
seed : int
    Seed of the random numbers, from 0 to 2**64 - 1.
step : int
    Number of the batch, from 0 to 2**32 - 1.
stream : int, default 0
    Number of the dropout layer, from 0 to 2**32 - 1, so that two layers drop different values.
out : ndarray, shape of x, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of x, float32
    The output. It is 0 at each dropped value, even if the value is NaN or infinite.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument is not a number.
ValueError
    If rate, seed, step or stream is out of range, or `out` is not as described above.

Notes
-----
Which values are dropped depends only on seed, step, stream, rate and the position of the value
in the array, for any number of threads and any instruction set. So `dropout_backward` draws
the same random numbers again, and no mask is stored.

References
----------
N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR
15, 2014. The generator Philox4x32-7: J. K. Salmon et al., Parallel random numbers:
as easy as 1, 2, 3, SC 2011.)");
  define<dropout_backward>(m, "dropout_backward(grad_output, rate, *, seed, step, stream=0, out=None)",
                           R"(Compute the gradient of dropout with respect to x.

Parameters
----------
grad_output : ndarray, any shape, float32
    Gradient with respect to the output.
rate : float
    As given to `dropout`.
seed, step, stream : int
    As given to `dropout`.
out : ndarray, shape of grad_output, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of grad_output, float32
    grad_output, with the same values dropped and the others divided as in `dropout`.

Raises
------
TypeError
    If an array is not a float32 ndarray, or another argument is not a number.
ValueError
    If rate, seed, step or stream is out of range, or `out` is not as described above.)");
}

}  // namespace byhand::bindings
