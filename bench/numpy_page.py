"""The kernels in NumPy, with the names and arguments of byhand.kernels that the benchmarks use.

They are written for speed: they use matrix products and strided views of windows, and a convolution
takes groups of images whose im2col columns stay in the cache. They accept any float dtype. In
float64, they are the reference with which every contender is compared.
"""

from __future__ import annotations

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


def _columns(x: Array, size: tuple[int, int]) -> Iterator[tuple[slice, Array]]:
    """Yield groups of images, with their windows as an array (images, C * KH * KW, pixels)."""
    windows = sliding_window_view(x, size, axis=(2, 3)).transpose(0, 1, 4, 5, 2, 3)
    pixels = windows.shape[4] * windows.shape[5]
    columns = np.empty((min(GROUP, len(x)), *windows.shape[1:]), x.dtype)
    for start in range(0, len(x), GROUP):
        part = slice(start, min(start + GROUP, len(x)))
        n = part.stop - start
        columns[:n] = windows[part]
        yield part, columns[:n].reshape(n, -1, pixels)


def _padded(x: Array, padding: int) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2)) if padding else x


def conv2d(
    x: Array, weight: Array, bias: Array, *, padding: int = 0, out: Array | None = None
) -> Array:
    x = _padded(x, padding)
    n, (o, _, kh, kw) = len(x), weight.shape
    y = np.empty((n, o, x.shape[2] - kh + 1, x.shape[3] - kw + 1), x.dtype) if out is None else out
    for part, columns in _columns(x, (kh, kw)):
        np.matmul(weight.reshape(o, -1), columns, out=y[part].reshape(len(columns), o, -1))
    y += bias[:, None, None]
    return y


def conv2d_backward_input(
    grad: Array,
    weight: Array,
    input_shape: Sequence[int],
    *,
    padding: int = 0,
    out: Array | None = None,
) -> Array:
    if padding:
        *images, h, w = input_shape
        shape = *images, h + 2 * padding, w + 2 * padding
        inside = conv2d_backward_input(grad, weight, shape)
        inside = inside[:, :, padding : padding + h, padding : padding + w]
        return inside if out is None else np.positive(inside, out=out)
    n, o, height, width = grad.shape
    grad_x = np.empty(input_shape, grad.dtype) if out is None else out
    grad_x.fill(0)
    for start in range(0, n, GROUP):
        part = slice(start, start + GROUP)
        rows = grad[part].reshape(-1, o, height * width)
        columns = np.matmul(weight.reshape(o, -1).T, rows)
        columns = columns.reshape(len(rows), *weight.shape[1:], height, width)
        for i in range(weight.shape[2]):
            for j in range(weight.shape[3]):
                grad_x[part, :, i : i + height, j : j + width] += columns[:, :, i, j]
    return grad_x


def conv2d_backward_weight(
    grad: Array,
    x: Array,
    weight_shape: Sequence[int],
    *,
    padding: int = 0,
    out: Array | None = None,
) -> Array:
    x = _padded(x, padding)
    grad_weight = np.empty(weight_shape, grad.dtype) if out is None else out
    grad_weight.fill(0)
    flat = grad_weight.reshape(weight_shape[0], -1)
    for part, columns in _columns(x, (weight_shape[2], weight_shape[3])):
        rows = grad[part].reshape(len(columns), weight_shape[0], -1)
        flat += np.matmul(rows, columns.transpose(0, 2, 1)).sum(axis=0)
    return grad_weight


def conv2d_backward_bias(grad: Array) -> Any:
    return grad.sum(axis=(0, 2, 3))


def _cells(x: Array, k: int) -> Iterator[tuple[int, int, Array]]:
    """Yield (i, j, values): the values at (i, j) of all k x k windows, which do not overlap."""
    height, width = x.shape[2] // k * k, x.shape[3] // k * k
    for i in range(k):
        for j in range(k):
            yield i, j, x[:, :, i:height:k, j:width:k]


def max_pool2d(x: Array, kernel_size: int) -> tuple[Array, NDArray[np.int32]]:
    k, width = kernel_size, x.shape[3]
    rows = np.arange(x.shape[2] // k, dtype=np.int32)[:, None] * (k * width)
    corners = rows + np.arange(width // k, dtype=np.int32) * k
    y = x[:, :, : x.shape[2] // k * k : k, : width // k * k : k].copy()
    indices = np.empty(y.shape, np.int32)
    indices[...] = corners
    for i, j, cell in _cells(x, k):
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


def avg_pool2d(x: Array, kernel_size: int) -> Array:
    k = kernel_size
    y: Array = np.zeros((*x.shape[:2], x.shape[2] // k, x.shape[3] // k), x.dtype)
    for _, _, cell in _cells(x, k):
        y += cell
    y /= k * k
    return y


def avg_pool2d_backward(grad: Array, input_shape: Sequence[int], kernel_size: int) -> Array:
    grad_x = np.zeros(input_shape, grad.dtype)
    share = grad / grad.dtype.type(kernel_size * kernel_size)
    for _, _, cell in _cells(grad_x, kernel_size):
        cell[...] = share
    return grad_x


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
