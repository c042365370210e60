#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "core/check.h"
#include "ops/dropout.h"

namespace byhand::bindings {
namespace {

py::array apply(const Input& x, py::handle rate_object, py::handle seed, py::handle step, py::handle stream,
                py::handle out_object) {
  const float rate = parse_float(rate_object, "rate");
  require(rate >= 0 && rate <= 1, "rate must be from 0 to 1, got ", rate);
  const ops::DropoutKey key{parse_unsigned(seed, "seed", UINT64_MAX),
                            static_cast<uint32_t>(parse_unsigned(step, "step", UINT32_MAX)),
                            static_cast<uint32_t>(parse_unsigned(stream, "stream", UINT32_MAX))};
  const Output<float> out(out_object, "out", x.shape(), {x.original()});
  without_gil([&] { ops::dropout(key, rate, x.data(), x.size(), out.data()); });
  return out.array();
}

py::array dropout(py::handle x, py::handle rate, py::handle seed, py::handle step, py::handle stream,
                  py::handle out) {
  return apply(Input(x, "x"), rate, seed, step, stream, out);
}

py::array dropout_backward(py::handle dy, py::handle rate, py::handle seed, py::handle step,
                           py::handle stream, py::handle out) {
  return apply(Input(dy, "grad_output"), rate, seed, step, stream, out);
}

}  // namespace

void bind_dropout(py::module_& m) {
  define<dropout>(m, "dropout(x, rate, *, seed, step, stream=0, out=None)",
                  R"(x with a part of its values set to 0 and the others divided by 1 - rate: the mean stays.

x of any shape -> that shape. A value is dropped with the probability rate, from 0 (x itself) to 1 (zeros),
to within 2**-23. Which ones depends on seed (0 to 2**64 - 1), step and stream (0 to 2**32 - 1), the rate and
their place in the array alone, whatever the threads and the instruction set: a layer has its own stream, a
batch its step, and nothing is kept for the gradient. A dropped NaN or infinity is 0 too.

Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR 15, 2014.
Random words: Philox4x32-7 of Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.)");
  define<dropout_backward>(m, "dropout_backward(grad_output, rate, *, seed, step, stream=0, out=None)",
                           R"(Gradient of dropout's x: grad_output, dropped and scaled as dropout's x was.

grad_output of any shape -> that shape; the other arguments as dropout took them.)");
}

}  // namespace byhand::bindings
