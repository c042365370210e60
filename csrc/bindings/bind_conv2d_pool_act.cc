#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/conv2d_geometry.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

Shape cache_shape(const Shape& weight) {
  return {ops::conv2d_weight_cache_size({weight[0], weight[1], weight[2], weight[3]})};
}

py::object conv2d_weight_cache(py::handle weight_shape) {
  const Shape shape = parse_shape(weight_shape, "weight_shape", 4);
  const Shape size = cache_shape(shape);
  require(is_countable(size.data(), size.size()),
          "weight_shape must need a cache of at most 2**60 bytes, got ", shape);
  const Output<float> cache(py::none(), "", size, {});
  ops::conv2d_clear_weight_cache(cache.data());
  return cache.array();
}

// The argument weight_cache. With None, data() is null.
class WeightCache {
 public:
  WeightCache(py::handle object, const Shape& weight, std::initializer_list<Region> inputs) {
    if (object.is_none()) return;
    array_.emplace(object, "weight_cache", inputs);
    const Shape wanted = cache_shape(weight);
    require(array_->shape() == wanted, "weight_cache must have shape ", wanted, ", got ", array_->shape(),
            "; make it with conv2d_weight_cache(weight.shape)");
  }
  float* data() const { return array_ ? array_->data() : nullptr; }
  Region region() const { return array_ ? array_->region() : Region(); }

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
  bias.expect({s.out_channels}, "one value per output channel of weight");
  const ops::Activation activation = parse_activation(activation_object);
  const Pair size = parse_pair(pool_size, "pool_size");
  require(size.h >= 1 && size.w >= 1 && size.h <= s.out_h && size.w <= s.out_w,
          "pool_size must be from (1, 1) to the output size of the convolution, (", s.out_h, ", ", s.out_w,
          "), got (", size.h, ", ", size.w, ")");
  const Pool2dShape pool =
      make_pool2d_shape({s.batch, s.out_channels, s.out_h, s.out_w}, size, size, {}, {1, 1}, false);
  const Shape pooled{s.batch, s.out_channels, pool.out_h, pool.out_w};
  const WeightCache cache(cache_object, weight.shape(), {x.region(), weight.region(), bias.region()});
  const std::vector<py::object> outs = unpack_out(out_object, 2);
  const Output<float> y(outs[0], "out[0]", pooled,
                        {x.region(), weight.region(), bias.region(), cache.region()});
  const Output<int32_t> indices(outs[1], "out[1]", pooled,
                                {x.region(), weight.region(), bias.region(), cache.region(), y.region()});
  without_gil([&] {
    y.device().conv2d_pool_act(s, geometry.algorithm, pool, activation, x.data(), weight.data(), bias.data(),
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
  require(dy.shape()[0] == s.batch && dy.shape()[1] == s.out_channels, "grad_output must have the shape (",
          s.batch, ", ", s.out_channels,
          ", height, width), for the batch of x and the output channels of weight, got ", dy.shape());
  y.expect(dy.shape(), "the shape of grad_output");
  require(indices.shape() == dy.shape(), "indices must have shape ", dy.shape(),
          " (the shape of grad_output), got ", indices.shape());
  const ops::Activation activation = parse_activation(activation_object);
  const WeightCache cache(cache_object, weight.shape(),
                          {dy.region(), y.region(), indices.region(), x.region(), weight.region()});
  const Gradients grads(
      out_object, input_gradient, bias_gradient, x.shape(), weight.shape(), {s.out_channels},
      {dy.region(), y.region(), indices.region(), x.region(), weight.region(), cache.region()});
  const ops::ConvPoolGradients gradients{
      dy.data(),  y.data(),      indices.data(), dy.shape()[2] * dy.shape()[3],
      x.data(),   weight.data(), cache.data(),   grads.dx(),
      grads.dw(), grads.db()};
  without_gil([&] { grads.device().conv2d_pool_act_backward(s, geometry.algorithm, activation, gradients); });
  return grads.arrays();
}

}  // namespace

void bind_conv2d_pool_act(py::module_& m) {
  define<conv2d_pool_act>(
      m,
      "conv2d_pool_act(x, weight, bias=None, activation='relu', pool_size=2, *, stride=1, padding=0, "
      "dilation=1, groups=1, algorithm='auto', weight_cache=None, out=None)",
      R"(Convolve, take the maximum of each window and apply an activation, in one pass.

The result has the same bits as activation(max_pool2d(conv2d(x, weight, bias), pool_size)). It
is faster, because the output of the convolution is pooled while it is in the CPU's cache, and
never stored.

Parameters
----------
x : ndarray, shape (N, in_channels, H, W), float32
    Images.
weight : ndarray, shape (out_channels, in_channels / groups, KH, KW), float32
    Filters.
bias : ndarray, shape (out_channels,), float32, optional
    Values that are added to the output channels, one per channel.
activation : {"relu", "tanh", "sigmoid", None}, default "relu"
    Function applied to the pooled values; None applies nothing.
pool_size : int or (int, int), default 2
    Size of the pooling windows, as one number or (height, width). The windows do not overlap,
    and rows and columns that do not fill a window are dropped.
stride, padding, dilation, groups, algorithm : optional
    Arguments of the convolution, as for `conv2d`.
weight_cache : ndarray, float32, optional
    A cache that `conv2d_weight_cache` made for the shape of weight. It keeps the weights as
    Winograd's algorithm transforms them. The next call transforms them again only if they have
    changed.
out : (ndarray, ndarray), optional
    Receive the results. They must be writable and C-contiguous, and must overlap neither an
    input nor each other. For an item that is None, the function makes a new array.

Returns
-------
output : ndarray, shape (N, out_channels, PH, PW), float32
    The pooled and activated values. PH is the height of the convolution's output divided by the
    height of a window, rounded down, and PW likewise.
indices : ndarray, shape (N, out_channels, PH, PW), int32
    Position of each maximum in its plane of the convolution's output: row * width + column.

Raises
------
TypeError
    If an array is not an ndarray of the dtype above, or another argument has the wrong type.
ValueError
    If the shapes do not agree, pool_size is larger than the convolution's output, the
    activation is unknown, or weight_cache or `out` is not as described above.)");
  define<conv2d_weight_cache>(m, "conv2d_weight_cache(weight_shape)",
                              R"(Make an empty weight cache for conv2d_pool_act and its backward function.

Both functions write to the cache, so Python threads that call them at the same time need
separate caches.

Parameters
----------
weight_shape : (int, int, int, int)
    Shape of the weight, (out_channels, in_channels / groups, KH, KW).

Returns
-------
ndarray, one-dimensional, float32
    The cache.

Raises
------
TypeError
    If weight_shape is not a sequence of integers.
ValueError
    If weight_shape does not have 4 sizes of at least 0, or the cache would be too large.)");
  define<conv2d_pool_act_backward>(
      m,
      "conv2d_pool_act_backward(grad_output, output, indices, x, weight, activation='relu', *, stride=1, "
      "padding=0, dilation=1, groups=1, algorithm='auto', input_gradient=True, "
      "bias_gradient=True, weight_cache=None, out=None)",
      R"(Compute all gradients of conv2d_pool_act.

Parameters
----------
grad_output : ndarray, shape (N, out_channels, PH, PW), float32
    Gradient with respect to the output.
output : ndarray, shape of grad_output, float32
    The output of `conv2d_pool_act`.
indices : ndarray, shape of grad_output, int32
    The indices of `conv2d_pool_act`.
x, weight : ndarray, float32
    As given to `conv2d_pool_act`.
activation, stride, padding, dilation, groups, algorithm : optional
    As given to `conv2d_pool_act`.
input_gradient : bool, default True
    Whether to compute grad_x. A network's first layer does not need it.
bias_gradient : bool, default True
    Whether to compute grad_bias.
weight_cache : ndarray, float32, optional
    As given to `conv2d_pool_act`.
out : (ndarray, ndarray, ndarray), optional
    Receive the results. They must be writable and C-contiguous, and must overlap neither an
    input nor each other. For an item that is None, the function makes a new array. The item of
    a gradient that is not computed must be None.

Returns
-------
grad_x : ndarray, shape of x, float32, or None
    Gradient with respect to x; None if input_gradient is False.
grad_weight : ndarray, shape of weight, float32
    Gradient with respect to the weight.
grad_bias : ndarray, shape (out_channels,), float32, or None
    Gradient with respect to the bias; None if bias_gradient is False.

Raises
------
TypeError
    If an array has the wrong dtype, or another argument has the wrong type.
ValueError
    If the shapes do not agree, an index lies outside the plane of the convolution's output,
    or weight_cache or `out` is not as described above.)");
}

}  // namespace byhand::bindings
