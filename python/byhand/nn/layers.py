"""Layers: linear, convolution, pooling, activations, and flattening."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from byhand import kernels
from byhand.checks import flag, integer, listed, with_batch
from byhand.engine.memory import Array, Buffer, Shape
from byhand.engine.op import Call
from byhand.nn.layer import Layer
from byhand.nn.parameter import NO_WEIGHTS, Parameter, draw, generator

if TYPE_CHECKING:
    from byhand.nn.parameter import Rng

Pair = int | Sequence[int]
Padding = int | Sequence[int] | Sequence[Sequence[int]]
ActivationName = Literal["relu", "tanh", "sigmoid"]


class _Weighted(Layer):
    """The base of layers that have a weight and, unless bias=False, a bias."""

    weight: Parameter
    bias: Parameter | None

    def _draw(self, shape: Shape, bias: bool, rng: Rng) -> None:
        """Make the weight of this shape, and the bias with one value per output."""
        fan_in = math.prod(shape[1:])
        rng = rng if rng is NO_WEIGHTS else generator(rng)
        self.weight = draw(shape, fan_in, rng)
        self.bias = draw(shape[:1], fan_in, rng) if flag("bias", bias) else None

    def bias_data(self) -> Array | None:
        """Return the values of the bias, or None if there is none."""
        return None if self.bias is None else self.bias.data

    def gradients(self) -> tuple[Array, ...]:
        # Training calls this method in every step. It is ten times as fast as the inherited one,
        # which searches all attributes of the layer.
        return (self.weight.grad,) if self.bias is None else (self.weight.grad, self.bias.grad)

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"bias": self.bias is not None}


class Linear(_Weighted):
    """A linear layer: y = x @ weight.T + bias.

    Parameters
    ----------
    in_features, out_features : int
        The number of features of an image in the input (N, in_features) and in the output
        (N, out_features).
    bias : bool
        Whether to add a bias.
    rng : numpy.random.Generator, int or None
        The source of the initial weights: a generator, a seed, or None for a random seed.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: Rng = None
    ) -> None:
        self.in_features = _count("in_features", in_features)
        self.out_features = _count("out_features", out_features)
        self._draw((self.out_features, self.in_features), bias, rng)

    def output_shape(self, shape: Shape) -> Shape:
        if shape != (self.in_features,):
            raise ValueError(f"{self!r} takes (N, {self.in_features}), not {with_batch(shape)}")
        return (self.out_features,)

    def flops(self, shape: Shape) -> int:
        return 2 * self.in_features * self.out_features

    def run(self, b: Call) -> None:
        kernels.linear(b.x, self.weight.data, self.bias_data(), out=b.y)

    def run_backward(self, b: Call, activation: ActivationName | None = None) -> None:
        """Compute the gradients of the layer, or of the layer followed by an activation.

        Parameters
        ----------
        b : Call
            The arrays of the batch. With an activation, `b.y` is the output of the activation.
        activation : {"relu", "tanh", "sigmoid"} or None
            The activation after the layer. None means that there is none.
        """
        kernels.linear_act_backward(
            b.grad_y,
            b.y,
            b.x,
            self.weight.data,
            activation,
            input_gradient=b.grad_x is not None,
            bias_gradient=self.bias is not None,
            out=(b.grad_x, b.gradients[0], b.gradients[1] if self.bias is not None else None),
        )


class Conv2d(_Weighted):
    """A convolution of images (N, in_channels, H, W) with out_channels filters.

    As in PyTorch, it is a cross-correlation: the filters are not flipped.

    Parameters
    ----------
    in_channels, out_channels : int
        The number of channels of the input and the output.
    kernel_size : int or (int, int)
        The height and the width of the filters.
    stride : int or (int, int)
        The distance between neighbouring windows.
    padding : int, (int, int) or ((int, int), (int, int))
        The zeros added around each plane: one number, (vertical, horizontal), or
        ((top, bottom), (left, right)).
    dilation : int or (int, int)
        The distance between neighbouring filter taps.
    groups : int
        The number of groups. Both input and output channels are divided into this many groups, and
        the output channels of a group depend only on the input channels of the same group.
    bias : bool
        Whether to add a bias to each channel.
    rng : numpy.random.Generator, int or None
        The source of the initial weights: a generator, a seed, or None for a random seed.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, height, width)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ValueError
        If `groups` does not divide `in_channels` and `out_channels`.

    Notes
    -----
    With a padding of `top` and `bottom` rows, the height of the output is
    floor((H + top + bottom - dilation * (kernel_height - 1) - 1) / stride) + 1. The width follows
    from W, left, right and the kernel's width in the same way.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: Rng = None,
    ) -> None:
        self.in_channels = _count("in_channels", in_channels)
        self.out_channels = _count("out_channels", out_channels)
        self.kernel_size = _pair("kernel_size", kernel_size)
        self.stride = _pair("stride", stride)
        self.padding = _sides(padding)
        self.dilation = _pair("dilation", dilation)
        self.groups = _count("groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups={groups} must divide in_channels={in_channels} "
                f"and out_channels={out_channels}"
            )
        self.geometry: dict[str, Any] = {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }
        kernel = self.kernel_size
        self._draw((self.out_channels, self.in_channels // self.groups, *kernel), bias, rng)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[0] != self.in_channels:
            wanted = f"(N, {self.in_channels}, H, W)"
            raise ValueError(f"{self!r} takes {wanted}, not {with_batch(shape)}")
        return (self.out_channels, *_windows(self, shape))

    def flops(self, shape: Shape) -> int:
        return 2 * math.prod(self.output_shape(shape)) * math.prod(self.weight.shape[1:])

    def run(self, b: Call) -> None:
        kernels.conv2d(b.x, self.weight.data, self.bias_data(), **self.geometry, out=b.y)

    def run_backward(self, b: Call) -> None:
        weight, geometry = self.weight.data, self.geometry
        kernels.conv2d_backward_weight(b.grad_y, b.x, weight.shape, **geometry, out=b.gradients[0])
        if self.bias is not None:
            kernels.conv2d_backward_bias(b.grad_y, out=b.gradients[1])
        if b.grad_x is not None:
            kernels.conv2d_backward_input(b.grad_y, weight, b.x.shape, **geometry, out=b.grad_x)


class _Pool2d(Layer):
    """The base of MaxPool2d and AvgPool2d. `_geometry` holds the arguments of the kernel."""

    dilation: tuple[int, int] = (1, 1)

    def _set(self, kernel_size: Pair, stride: Pair | None, padding: Padding, ceil: bool) -> None:
        """Check and store the arguments that both layers have."""
        self.kernel_size = _pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else _pair("stride", stride)
        self.padding = _sides(padding)
        self.ceil_mode = flag("ceil_mode", ceil)
        self._geometry: dict[str, Any] = {
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
        }

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"{self!r} takes (N, C, H, W), not {with_batch(shape)}")
        return (shape[0], *_windows(self, shape, self.ceil_mode))


class MaxPool2d(_Pool2d):
    """The maximum of each window. The gradient goes only to the position of the maximum.

    If a window contains a NaN, the result is NaN. If several values equal the maximum, the first of
    them, in the order of rows and columns, gets the gradient.

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and the width of the windows.
    stride : int, (int, int) or None
        The distance between neighbouring windows. None means `kernel_size`.
    padding : int, (int, int) or ((int, int), (int, int))
        The size of the border around each plane: one number, (vertical, horizontal), or
        ((top, bottom), (left, right)). A value of the border is never the maximum.
    dilation : int or (int, int)
        The distance between neighbouring values of a window.
    ceil_mode : bool
        Whether the last window of a row or a column may reach beyond the padded input.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        dilation: Pair = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.dilation = _pair("dilation", dilation)
        self._geometry["dilation"] = self.dilation

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        return (Buffer(self.output_shape(shape), np.int32),)  # positions of the maxima

    def run(self, b: Call) -> None:
        kernels.max_pool2d(b.x, self.kernel_size, **self._geometry, out=(b.y, b.saved[0]))

    def run_backward(self, b: Call) -> None:
        if b.grad_x is not None:
            kernels.max_pool2d_backward(b.grad_y, b.saved[0], b.x.shape, out=b.grad_x)


class AvgPool2d(_Pool2d):
    """The mean of each window.

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and the width of the windows.
    stride : int, (int, int) or None
        The distance between neighbouring windows. None means `kernel_size`.
    padding : int, (int, int) or ((int, int), (int, int))
        The zeros added around each plane: one number, (vertical, horizontal), or
        ((top, bottom), (left, right)).
    ceil_mode : bool
        Whether the last window of a row or a column may reach beyond the padded input.
    count_include_pad : bool
        Whether the zeros of the padding count as values of the window.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = flag("count_include_pad", count_include_pad)
        self._geometry["count_include_pad"] = self.count_include_pad

    def run(self, b: Call) -> None:
        kernels.avg_pool2d(b.x, self.kernel_size, **self._geometry, out=b.y)

    def run_backward(self, b: Call) -> None:
        if b.grad_x is not None:
            size = self.kernel_size
            kernels.avg_pool2d_backward(b.grad_y, b.x.shape, size, **self._geometry, out=b.grad_x)


class GlobalAvgPool2d(Layer):
    """The mean of each plane: (N, C, H, W) becomes (N, C, 1, 1).

    PyTorch calls this layer AdaptiveAvgPool2d(1).
    """

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"{self!r} takes (N, C, H, W), not {with_batch(shape)}")
        return (shape[0], 1, 1)

    def run(self, b: Call) -> None:
        kernels.avg_pool2d(b.x, b.x.shape[2:], out=b.y)

    def run_backward(self, b: Call) -> None:
        if b.grad_x is not None:
            kernels.avg_pool2d_backward(b.grad_y, b.x.shape, b.x.shape[2:], out=b.grad_x)


class _Activation(Layer):
    """The base of elementwise functions whose derivative is a function of their output."""

    _forward: ClassVar[Any]
    """The kernel that computes the output: kernel(x, out=y)."""
    _gradient: ClassVar[Any]
    """The kernel that computes the gradient: kernel(grad_output, output, out=grad_x)."""

    def run(self, b: Call) -> None:
        self._forward(b.x, out=b.y)

    def run_backward(self, b: Call) -> None:
        if b.grad_x is not None:
            self._gradient(b.grad_y, b.y, out=b.grad_x)


class ReLU(_Activation):
    """The rectified linear unit max(x, 0). Its derivative at 0 is defined as 0. NaN stays NaN."""

    _forward = staticmethod(kernels.relu)
    _gradient = staticmethod(kernels.relu_backward)


class Tanh(_Activation):
    """The hyperbolic tangent tanh(x)."""

    _forward = staticmethod(kernels.tanh)
    _gradient = staticmethod(kernels.tanh_backward)


class Sigmoid(_Activation):
    """The logistic function 1 / (1 + exp(-x))."""

    _forward = staticmethod(kernels.sigmoid)
    _gradient = staticmethod(kernels.sigmoid_backward)


ACTIVATIONS: dict[ActivationName, type[ReLU | Tanh | Sigmoid]] = {
    "relu": ReLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
}


class Flatten(Layer):
    """A change of shape from (N, ...) to (N, features). The output shares memory with the input."""

    is_view = True

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


# --------------------------------------------------------------------------------------------------
# Arguments and shapes


def _count(name: str, value: Any) -> int:
    return integer(name, value, 1)


def _pair(name: str, value: Any, least: int = 1) -> tuple[int, int]:
    value = listed(value)
    if not isinstance(value, list | tuple):
        return (integer(name, value, least),) * 2
    if len(value) != 2:
        raise ValueError(f"{name} must be an integer or a pair, not {value}")
    return integer(name, value[0], least), integer(name, value[1], least)


def _sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a padding as ((top, bottom), (left, right))."""
    padding = listed(padding)
    if isinstance(padding, list | tuple) and any(isinstance(p, list | tuple) for p in padding):
        if len(padding) != 2:
            raise ValueError(f"padding must be ((top, bottom), (left, right)), not {padding}")
        return _pair("padding", padding[0], 0), _pair("padding", padding[1], 0)
    height, width = _pair("padding", padding, 0)
    return (height, height), (width, width)


def _windows(layer: Conv2d | _Pool2d, shape: Shape, ceil_mode: bool = False) -> tuple[int, int]:
    """Return the number of windows along the height and the width of an input (C, H, W).

    With ceil_mode, the last window may reach beyond the padded input. PyTorch's rule applies: such
    a window counts only if it begins inside the input or the padding before the input.
    """
    counts = []
    for axis in (0, 1):
        before, after = layer.padding[axis]
        size, stride = shape[axis + 1], layer.stride[axis]
        room = size + before + after - layer.dilation[axis] * (layer.kernel_size[axis] - 1) - 1
        windows = -(-room // stride) + 1 if ceil_mode else room // stride + 1
        if ceil_mode and (windows - 1) * stride >= size + before:
            windows -= 1
        if windows < 1:
            raise ValueError(
                f"{layer!r}: its window is larger than the input {with_batch(shape)} and its "
                "padding"
            )
        counts.append(windows)
    return counts[0], counts[1]
