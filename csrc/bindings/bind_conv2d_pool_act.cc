#include "ops/conv2d_pool_act.h"

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/conv2d_geometry.h"
#include "bindings/function.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

Shape cache_shape(const Shape& weight) {
  return {ops::conv2d_weight_cache_size({weight[0], weight[1], weight[2], weight[3]})};
}

py::object conv2d_weight_cache(py::handle weight_shape) {
  const Shape shape = parse_shape(weight_shape, "weight_shape", 4);
  const Output<float> cache(py::none(), "", cache_shape(shape), {});
  ops::conv2d_clear_weight_cache(cache.data());
  return cache.array();
}

// The cache, or null where it is None.
class WeightCache {
 public:
  WeightCache(py::handle object, const Shape& weight, std::initializer_list<py::array> inputs) {
    if (object.is_none()) return;
    array_.emplace(object, "weight_cache", inputs);
    const Shape wanted = cache_shape(weight);
    require(array_->shape() == wanted, "weight_cache must have shape ", wanted,
            ", as conv2d_weight_cache makes it, got ", array_->shape());
  }
  float* data() const { return array_ ? array_->data() : nullptr; }
  py::array array() const { return array_ ? array_->array() : py::array(); }

 private:
  std::optional<InPlace> array_;
};

py::tuple conv2d_pool_act(py::handle x_object, py::handle weight_object, py::handle bias_object,
                          py::handle activation_object, py::handle pool_size, py::handle stride,
                          py::handle padding, py::handle dilation, py::handle groups, py::handle algorithm,
                          py::handle cache_object, py::handle out_object) {
  const Input x(x_object, "x", 4), weight(weight_object, "weight", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(x.shape(), weight.shape());
  const OptionalInput bias(bias_object, "bias", 1);
  bias.expect({s.out_channels}, "a value for each output channel of weight");
  const ops::Activation activation = parse_activation(activation_object);
  const Pair size = parse_pair(pool_size, "pool_size");
  require(size.h >= 1 && size.w >= 1 && size.h <= s.out_h && size.w <= s.out_w,
          "pool_size must be from 1 to the convolution's (", s.out_h, ", ", s.out_w, "), got (", size.h, ", ",
          size.w, ")");
  const Pool2dShape pool =
      make_pool2d_shape({s.batch, s.out_channels, s.out_h, s.out_w}, size, size, {}, {1, 1}, false);
  const Shape pooled{s.batch, s.out_channels, pool.out_h, pool.out_w};
  const WeightCache cache(cache_object, weight.shape(), {x.original(), weight.original(), bias.original()});
  const std::vector<py::object> outs = unpack_out(out_object, 2);
  const Output<float> y(outs[0], "out[0]", pooled,
                        {x.original(), weight.original(), bias.original(), cache.array()});
  const Output<int32_t> indices(outs[1], "out[1]", pooled,
                                {x.original(), weight.original(), bias.original(), cache.array(), y.array()});
  without_gil([&] {
    ops::conv2d_pool_act(s, geometry.algorithm, pool, activation, x.data(), weight.data(), bias.data(),
                         cache.data(), y.data(), indices.data());
  });
  return py::make_tuple(y.array(), indices.array());
}

py::tuple conv2d_pool_act_backward(py::handle dy_object, py::handle y_object, py::handle indices_object,
                                   py::handle x_object, py::handle weight_object,
                                   py::handle activation_object, py::handle stride, py::handle padding,
                                   py::handle dilation, py::handle groups, py::handle algorithm,
                                   py::handle input_gradient, py::handle bias_gradient,
                                   py::handle cache_object, py::handle out_object) {
  const Input dy(dy_object, "grad_output", 4), y(y_object, "output", 4);
  const ExactInput<int32_t> indices(indices_object, "indices", 0);
  const Input x(x_object, "x", 4), weight(weight_object, "weight", 4);
  const Geometry geometry(stride, padding, dilation, groups, algorithm);
  const Conv2dShape s = geometry.shape(x.shape(), weight.shape());
  require(dy.shape()[0] == s.batch && dy.shape()[1] == s.out_channels,
          "grad_output must begin with the batch of x and the output channels of weight, (", s.batch, ", ",
          s.out_channels, "), got ", dy.shape());
  y.expect(dy.shape(), "that of grad_output");
  require(indices.shape() == dy.shape(), "indices must have shape ", dy.shape(),
          ", that of grad_output, got ", indices.shape());
  const ops::Activation activation = parse_activation(activation_object);
  const WeightCache cache(cache_object, weight.shape(),
                          {dy.original(), y.original(), indices.original(), x.original(), weight.original()});
  const Gradients grads(
      out_object, input_gradient, bias_gradient, x.shape(), weight.shape(), {s.out_channels},
      {dy.original(), y.original(), indices.original(), x.original(), weight.original(), cache.array()});
  const ops::ConvPoolGradients gradients{
      dy.data(),  y.data(),      indices.data(), dy.shape()[2] * dy.shape()[3],
      x.data(),   weight.data(), cache.data(),   grads.dx(),
      grads.dw(), grads.db()};
  without_gil([&] { ops::conv2d_pool_act_backward(s, geometry.algorithm, activation, gradients); });
  return grads.arrays();
}

}  // namespace

void bind_conv2d_pool_act(py::module_& m) {
  define<conv2d_pool_act>(
      m,
      "conv2d_pool_act(x, weight, bias=None, activation='relu', pool_size=2, *, stride=1, padding=0, "
      "dilation=1, groups=1, algorithm='auto', weight_cache=None, out=None)",
      R"(Convolution, max pooling and activation in one pass: (output, indices).

output = activation(max_pool2d(conv2d(x, weight, bias), pool_size)), indices as max_pool2d returns them:
every bit is that of the three functions, but what the convolution writes never leaves the cache.
activation is "relu", "tanh", "sigmoid" or None; windows of pool_size, an int or (h, w), do not overlap;
the other arguments are conv2d's. weight_cache, an array that conv2d_weight_cache made, keeps what the
algorithm makes of the weight from call to call: it is made anew where the weight has changed.)");
  define<conv2d_weight_cache>(
      m, "conv2d_weight_cache(weight_shape)",
      R"(An array for the weight_cache of conv2d_pool_act and its backward: empty, float32.

weight_shape (out_channels, in_channels, height, width). The functions write to it: threads that call them
at the same time take one each.)");
  define<conv2d_pool_act_backward>(
      m,
      "conv2d_pool_act_backward(grad_output, output, indices, x, weight, activation='relu', *, stride=1, "
      "padding=0, dilation=1, groups=1, algorithm='auto', input_gradient=True, "
      "bias_gradient=True, weight_cache=None, out=None)",
      R"(Gradients of conv2d_pool_act: (grad_x, grad_weight, grad_bias).

output and indices are what conv2d_pool_act returned, grad_output has their shape; the other arguments are
conv2d_pool_act's. grad_x is None where input_gradient is False, grad_bias where bias_gradient is. Raises ValueError where an index is not of the convolution's plane.)");
}

}  // namespace byhand::bindings
