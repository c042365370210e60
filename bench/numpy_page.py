"""The kernels in NumPy, with the names and arguments of byhand.kernels that the benchmarks use.

They are written for speed: they use matrix products and strided views of windows, and a convolution
takes groups of images whose im2col columns stay in the cache. They accept any float dtype. In
float64, they are the reference with which every contender is compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]

# Number of images whose im2col columns are made at a time. In LeNet's second convolution, they take
# 2 MB.
GROUP = 16


# NumPy's own function, because a call of a wrapper would slow down small products.
gemm: Callable[..., Array] = np.matmul


def linear(x: Array, weight: Array, bias: Array, *, out: Array | None = None) -> Array:
    y: Array = np.matmul(x, weight.T, out=out)
    y += bias
    return y


def linear_backward_input(grad: Array, weight: Array, *, out: Array | None = None) -> Array:
    return np.matmul(grad, weight, out=out)


def linear_backward_weight(grad: Array, x: Array, *, out: Array | None = None) -> Array:
    return np.matmul(grad.T, x, out=out)


def linear_backward_bias(grad: Array) -> Any:
    return grad.sum(axis=0)


def linear_act(x: Array, weight: Array, bias: Array, *, out: Array | None = None) -> Array:
    y = linear(x, weight, bias, out=out)
    return np.maximum(y, 0, out=y)


def linear_act_backward(
    grad: Array, output: Array, x: Array, weight: Array
) -> tuple[Array, Array, Array]:
    dz = relu_backward(grad, output)
    return (
        linear_backward_input(dz, weight),
        linear_backward_weight(dz, x),
        linear_backward_bias(dz),
    )


def _geometry(x: Array, weight_shape: Sequence[int], stride: int, dilation: int) -> tuple[int, ...]:
    """Return the height and the width of the output. `x` is padded."""
    spans = (dilation * (size - 1) + 1 for size in weight_shape[2:])
    return tuple((size - span) // stride + 1 for size, span in zip(x.shape[2:], spans, strict=True))


def _columns(
    x: Array, weight_shape: Sequence[int], stride: int = 1, dilation: int = 1
) -> Iterator[tuple[slice, Array]]:
    """Yield groups of images, with their windows as an array (images, C * KH * KW, pixels)."""
    spans = [dilation * (size - 1) + 1 for size in weight_shape[2:]]
    windows = sliding_window_view(x, spans, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation].transpose(0, 1, 4, 5, 2, 3)
    pixels = windows.shape[4] * windows.shape[5]
    columns = np.empty((min(GROUP, len(x)), *windows.shape[1:]), x.dtype)
    for start in range(0, len(x), GROUP):
        part = slice(start, min(start + GROUP, len(x)))
        n = part.stop - start
        columns[:n] = windows[part]
        yield part, columns[:n].reshape(n, -1, pixels)


def _padded(x: Array, padding: int) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2)) if padding else x


def _split(array: Array, groups: int, axis: int) -> list[Array]:
    return np.split(array, groups, axis) if groups > 1 else [array]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    x = _padded(x, padding)
    shape = len(x), len(weight), *_geometry(x, weight.shape, stride, dilation)
    y = np.empty(shape, x.dtype) if out is None else out
    for own_x, w, own_y in zip(
        _split(x, groups, 1), _split(weight, groups, 0), _split(y, groups, 1), strict=True
    ):
        for part, columns in _columns(own_x, w.shape, stride, dilation):
            if groups == 1:
                np.matmul(
                    w.reshape(len(w), -1), columns, out=y[part].reshape(len(columns), len(w), -1)
                )
            else:
                own_y[part] = np.matmul(w.reshape(len(w), -1), columns).reshape(own_y[part].shape)
    y += bias[:, None, None]
    return y


def conv2d_backward_input(
    grad: Array,
    weight: Array,
    input_shape: Sequence[int],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    if padding:
        *images, rows, columns = input_shape
        shape = *images, rows + 2 * padding, columns + 2 * padding
        inside = conv2d_backward_input(
            grad, weight, shape, stride=stride, dilation=dilation, groups=groups
        )
        inside = inside[:, :, padding : padding + rows, padding : padding + columns]
        return inside if out is None else np.positive(inside, out=out)
    grad_x = np.empty(input_shape, grad.dtype) if out is None else out
    grad_x.fill(0)
    height, width = grad.shape[2:]
    for own_grad, w, own_x in zip(
        _split(grad, groups, 1), _split(weight, groups, 0), _split(grad_x, groups, 1), strict=True
    ):
        for start in range(0, len(grad), GROUP):
            part = slice(start, start + GROUP)
            images_of_part = own_grad[part].reshape(-1, len(w), height * width)
            taps = np.matmul(w.reshape(len(w), -1).T, images_of_part)
            taps = taps.reshape(-1, *w.shape[1:], height, width)
            for i in range(w.shape[2]):
                for j in range(w.shape[3]):
                    vertical = slice(i * dilation, i * dilation + stride * height, stride)
                    horizontal = slice(j * dilation, j * dilation + stride * width, stride)
                    own_x[part, :, vertical, horizontal] += taps[:, :, i, j]
    return grad_x


def conv2d_backward_weight(
    grad: Array,
    x: Array,
    weight_shape: Sequence[int],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    x = _padded(x, padding)
    grad_weight = np.empty(weight_shape, grad.dtype) if out is None else out
    grad_weight.fill(0)
    for own_grad, own_x, own_weight in zip(
        _split(grad, groups, 1), _split(x, groups, 1), _split(grad_weight, groups, 0), strict=True
    ):
        flat = own_weight.reshape(len(own_weight), -1)
        for part, columns in _columns(own_x, weight_shape, stride, dilation):
            rows = own_grad[part].reshape(len(columns), len(own_weight), -1)
            flat += np.matmul(rows, columns.transpose(0, 2, 1)).sum(axis=0)
    return grad_weight


def conv2d_backward_bias(grad: Array) -> Any:
    return grad.sum(axis=(0, 2, 3))


def _cells(x: Array, k: int, stride: int | None = None) -> Iterator[tuple[int, int, Array]]:
    """Yield (i, j, values): the values at (i, j) of all k x k windows."""
    step = stride or k
    bottom, right = x.shape[2] - k + 1, x.shape[3] - k + 1
    for i in range(k):
        for j in range(k):
            yield i, j, x[:, :, i : i + bottom : step, j : j + right : step]


def max_pool2d(
    x: Array, kernel_size: int, *, stride: int | None = None
) -> tuple[Array, NDArray[np.int32]]:
    step, width = stride or kernel_size, x.shape[3]
    (_, _, first), *others = _cells(x, kernel_size, step)
    y = first.copy()
    rows = np.arange(y.shape[2], dtype=np.int32)[:, None] * (step * width)
    corners = rows + np.arange(y.shape[3], dtype=np.int32) * step
    indices = np.empty(y.shape, np.int32)
    indices[...] = corners
    for i, j, cell in others:
        larger = cell > y
        np.copyto(y, cell, where=larger)
        np.copyto(indices, corners + np.int32(i * width + j), where=larger)
    return y, indices


def max_pool2d_values(x: Array, kernel_size: int) -> Array:
    """`max_pool2d` without the indices."""
    (_, _, first), *others = _cells(x, kernel_size)
    y: Array = first.copy()
    for _, _, cell in others:
        np.maximum(y, cell, out=y)
    return y


def max_pool2d_backward(grad: Array, indices: Array, input_shape: Sequence[int]) -> Array:
    n, c = input_shape[:2]
    grad_x = np.zeros(input_shape, grad.dtype)
    planes = grad_x.reshape(n, c, -1)
    np.put_along_axis(planes, indices.reshape(n, c, -1), grad.reshape(n, c, -1), axis=2)
    return grad_x


def avg_pool2d(x: Array, kernel_size: int, *, stride: int | None = None) -> Array:
    (_, _, first), *others = _cells(x, kernel_size, stride)
    y: Array = first.copy()
    for _, _, cell in others:
        y += cell
    y /= kernel_size * kernel_size
    return y


def avg_pool2d_backward(
    grad: Array, input_shape: Sequence[int], kernel_size: int, *, stride: int | None = None
) -> Array:
    grad_x = np.zeros(input_shape, grad.dtype)
    share = grad / grad.dtype.type(kernel_size * kernel_size)
    for _, _, cell in _cells(grad_x, kernel_size, stride):
        if stride is None:  # no windows overlap
            cell[...] = share
        else:
            cell += share
    return grad_x


def conv2d_pool_act(x: Array, weight: Array, bias: Array) -> tuple[Array, NDArray[np.int32]]:
    y, indices = max_pool2d(conv2d(x, weight, bias), 2)
    return np.maximum(y, 0, out=y), indices


def conv2d_pool_act_backward(
    grad: Array, output: Array, indices: Array, x: Array, weight: Array
) -> tuple[Array, Array, Array]:
    height, width = (x.shape[i] - weight.shape[i] + 1 for i in (2, 3))
    dz = relu_backward(grad, output)
    dy = max_pool2d_backward(dz, indices, (len(x), len(weight), height, width))
    return (
        conv2d_backward_input(dy, weight, x.shape),
        conv2d_backward_weight(dy, x, weight.shape),
        dz.sum(axis=_PIXELS),
    )


_PIXELS = (0, 2, 3)  # the axes of the images and their pixels


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    *,
    training: bool,
) -> tuple[Array, Array, Array]:
    """Return the output, the means and the inverse standard deviations. `training` is True."""
    mean, var, count = x.mean(axis=_PIXELS), x.var(axis=_PIXELS), x.size // x.shape[1]
    running_mean += 0.1 * (mean - running_mean)
    running_var += 0.1 * (var * (count / (count - 1)) - running_var)
    inv_std = 1 / np.sqrt(var + 1e-5)
    scale = gamma * inv_std
    y: Array = x * scale[:, None, None]
    y += (beta - mean * scale)[:, None, None]
    return y, mean, inv_std


def batch_norm_backward(
    grad: Array, x: Array, gamma: Array, mean: Array, inv_std: Array
) -> tuple[Array, Array, Array]:
    normal = x - mean[:, None, None]
    normal *= inv_std[:, None, None]
    count = x.size // x.shape[1]
    grad_beta = grad.sum(axis=_PIXELS)
    grad_gamma = np.einsum("nchw,nchw->c", grad, normal)
    grad_x = grad - (grad_beta / count)[:, None, None]
    grad_x -= normal * (grad_gamma / count)[:, None, None]
    grad_x *= (gamma * inv_std)[:, None, None]
    return grad_x, grad_gamma, grad_beta


def add(a: Array, b: Array, *, out: Array | None = None) -> Array:
    return np.add(a, b, out=out)


def relu(x: Array, *, out: Array | None = None) -> Array:
    return np.maximum(x, 0, out=out)


def relu_backward(grad: Array, output: Array, *, out: Array | None = None) -> Array:
    return np.multiply(grad, output > 0, out=out)


def tanh(x: Array, *, out: Array | None = None) -> Array:
    return np.tanh(x, out=out)


def tanh_backward(grad: Array, output: Array, *, out: Array | None = None) -> Array:
    y: Array = np.multiply(output, output, out=out)
    np.subtract(1, y, out=y)
    y *= grad
    return y


def sigmoid(x: Array, *, out: Array | None = None) -> Array:
    y: Array = np.negative(x, out=out)
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def sigmoid_backward(grad: Array, output: Array, *, out: Array | None = None) -> Array:
    y: Array = np.subtract(1, output, out=out)
    y *= output
    y *= grad
    return y


def softmax(x: Array, *, out: Array | None = None) -> Array:
    y: Array = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def log_softmax(x: Array, *, out: Array | None = None) -> Array:
    y: Array = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
    return y


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Any, Array]:
    log_p = log_softmax(logits)
    return -log_p[np.arange(len(labels)), labels].mean(), np.exp(log_p)


def softmax_cross_entropy_backward(probabilities: Array, labels: Array) -> Array:
    grad: Array = probabilities.copy()
    grad[np.arange(len(labels)), labels] -= 1
    grad /= len(labels)
    return grad


def count_correct(scores: Array, labels: Array) -> int:
    return int(np.count_nonzero(scores.argmax(axis=1) == labels))


def squared_error(prediction: Array, target: Array) -> Any:
    difference = (prediction - target).ravel()
    return difference @ difference / difference.size


def squared_error_backward(prediction: Array, target: Array, *, out: Array | None = None) -> Array:
    y: Array = np.subtract(prediction, target, out=out)
    y *= y.dtype.type(2 / y.size)
    return y


def gather_images(
    images: Array, index: Array, *, scale: float, offset: float, out: Array | None = None
) -> Array:
    y: Array = np.multiply(images[index], np.float32(scale), out=out, dtype=np.float32)
    y += np.float32(offset)
    return y


def sgd_step(
    parameters: Array,
    gradients: Array,
    velocity: Array,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> None:
    velocity *= momentum
    velocity += gradients
    velocity += weight_decay * parameters
    parameters -= lr * velocity


def adam_step(
    parameters: Array,
    gradients: Array,
    first_moment: Array,
    second_moment: Array,
    *,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> None:
    first_moment += (1 - beta1) * (gradients - first_moment)
    second_moment *= beta2
    second_moment += (1 - beta2) * (gradients * gradients)
    deviation = np.sqrt(second_moment)
    deviation *= 1 / math.sqrt(1 - beta2**step)
    deviation += eps
    parameters -= lr / (1 - beta1**step) * (first_moment / deviation)
