"""The definition of every kernel in float64 NumPy, named and called as in byhand.kernels.

Loops run over the taps of a window and nothing else, so that a definition can be read against its
formula. Inputs of any dtype are taken as float64; results are float64 (indices int64), a tuple
if the kernel returns several. test_reference.py checks this file by finite differences, by known
examples and, if it is installed, against PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Pair = int | Sequence[int]
Padding = int | Sequence[int] | Sequence[Sequence[int]]


def f64(x: npt.ArrayLike) -> Float64:
    return np.asarray(x, np.float64)


# --------------------------------------------------------------------------------------------------
# Matrices


def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    trans_a: bool = False,
    trans_b: bool = False,
) -> Float64:
    """alpha * op(a) @ op(b) + beta * c. If a factor is 0, its matrices are not read."""
    a, b = f64(a.T if trans_a else a), f64(b.T if trans_b else b)
    product = alpha * (a @ b) if alpha != 0 else np.zeros((a.shape[0], b.shape[1]))
    return product if c is None or beta == 0 else product + beta * f64(c)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Float64:
    """x (N, in) @ weight (out, in).T + bias (out,)."""
    return f64(x) @ f64(weight).T + (0.0 if bias is None else f64(bias))


def activated(y: Float64, activation: str | None) -> Float64:
    return y if activation is None else np.asarray(globals()[activation](y))


def before_activation(grad_output: Array, output: Array | None, activation: str | None) -> Float64:
    grad = f64(grad_output)
    return grad if activation is None else globals()[f"{activation}_backward"](grad, output)


def linear_act(
    x: Array, weight: Array, bias: Array | None = None, activation: str | None = "relu"
) -> Float64:
    return activated(linear(x, weight, bias), activation)


def linear_act_backward(
    grad_output: Array,
    output: Array | None,
    x: Array,
    weight: Array,
    activation: str | None = "relu",
    *,
    input_gradient: bool = True,
    bias_gradient: bool = True,
) -> tuple[Float64, ...]:
    grad = before_activation(grad_output, output, activation)
    grad_x = (linear_backward_input(grad, weight),) if input_gradient else ()
    grad_bias = (linear_backward_bias(grad),) if bias_gradient else ()
    return (*grad_x, linear_backward_weight(grad, x), *grad_bias)


def linear_backward_input(grad_output: Array, weight: Array) -> Float64:
    return f64(grad_output) @ f64(weight)


def linear_backward_weight(grad_output: Array, x: Array) -> Float64:
    return f64(grad_output).T @ f64(x)


def linear_backward_bias(grad_output: Array) -> Float64:
    return f64(grad_output).sum(axis=0)


# --------------------------------------------------------------------------------------------------
# Windows: the geometry that convolution and pooling share


def pair(value: Pair) -> tuple[int, int]:
    return (value[0], value[1]) if isinstance(value, Sequence) else (value, value)


def sides(padding: Padding) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) for an int, a pair (h, w), or the four numbers."""
    h, w = padding if isinstance(padding, Sequence) else (padding, padding)
    return pair(h), pair(w)


@dataclass(frozen=True)
class Axis:
    """One axis of a window.

    out[i] sees in[i * stride + tap * dilation - before] for 0 <= tap < kernel.
    """

    size: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def out(self) -> int:
        """The number of outputs.

        ceil_mode rounds it up, but as in PyTorch, a last window that starts after the input is
        dropped.
        """
        span = self.size + self.before + self.after - self.dilation * (self.kernel - 1) - 1
        count = (span + (self.stride - 1 if self.ceil_mode else 0)) // self.stride + 1
        if self.ceil_mode and (count - 1) * self.stride >= self.size + self.before:
            count -= 1
        return count

    def tap(self, tap: int) -> tuple[slice, slice]:
        """Return which outputs see an input through this tap, and which inputs they see."""
        step, at = self.stride, tap * self.dilation - self.before  # output 0 sees input `at`
        begin = max(-(at // step), 0)
        end = max(min((self.size - 1 - at) // step + 1, self.out), begin)
        return slice(begin, end), slice(at + begin * step, at + end * step, step)


@dataclass(frozen=True)
class Window:
    rows: Axis
    columns: Axis

    @property
    def out(self) -> tuple[int, int]:
        return self.rows.out, self.columns.out

    def taps(self) -> Iterator[tuple[int, int, Any, Any]]:
        """Yield (u, v, outputs, inputs) row by row. outputs and inputs index the last two axes."""
        for u in range(self.rows.kernel):
            out_rows, in_rows = self.rows.tap(u)
            for v in range(self.columns.kernel):
                out_columns, in_columns = self.columns.tap(v)
                yield u, v, (..., out_rows, out_columns), (..., in_rows, in_columns)


def window(
    size: Sequence[int],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Window:
    axes = zip(size, pair(kernel), pair(stride), sides(padding), pair(dilation), strict=True)
    rows, columns = (Axis(n, k, s, *p, d, ceil_mode) for n, k, s, p, d in axes)
    return Window(rows, columns)


# --------------------------------------------------------------------------------------------------
# Convolution: cross-correlation of NCHW images with OIHW filters. `geometry` stands for the
# arguments of conv_geometry after the two shapes.


def conv_geometry(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> tuple[Window, int]:
    return window(input_shape[2:], weight_shape[2:], stride, padding, dilation), int(groups)


def _split(x: Array, axis: int, groups: int) -> Float64:
    """Split the channel axis into (groups, channels per group)."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def conv2d(x: Array, weight: Array, bias: Array | None = None, **geometry: Any) -> Float64:
    """y[n, o, i, j] = bias[o] + the sum over c, u, v of
    weight[o, c, u, v] * x[n, c, i*stride + u*dilation - top, j*stride + v*dilation - left]."""
    win, groups = conv_geometry(x.shape, weight.shape, **geometry)
    xs, ws = _split(f64(x), 1, groups), _split(f64(weight), 0, groups)
    y: Array = np.zeros((x.shape[0], groups, ws.shape[1], *win.out))
    for u, v, out, at in win.taps():
        y[out] += np.einsum("goc,ngcij->ngoij", ws[..., u, v], xs[at], optimize=True)
    y = y.reshape(x.shape[0], weight.shape[0], *win.out)
    return y if bias is None else y + f64(bias)[:, None, None]


def conv2d_backward_input(
    grad_output: Array, weight: Array, input_shape: Sequence[int], **geometry: Any
) -> Float64:
    win, groups = conv_geometry(input_shape, weight.shape, **geometry)
    dy, ws = _split(f64(grad_output), 1, groups), _split(f64(weight), 0, groups)
    dx = _split(np.zeros(tuple(input_shape)), 1, groups)
    for u, v, out, at in win.taps():
        dx[at] += np.einsum("goc,ngoij->ngcij", ws[..., u, v], dy[out], optimize=True)
    return dx.reshape(input_shape)


def conv2d_backward_weight(
    grad_output: Array, x: Array, weight_shape: Sequence[int], **geometry: Any
) -> Float64:
    win, groups = conv_geometry(x.shape, weight_shape, **geometry)
    dy, xs = _split(f64(grad_output), 1, groups), _split(f64(x), 1, groups)
    dw = _split(np.zeros(tuple(weight_shape)), 0, groups)
    for u, v, out, at in win.taps():
        dw[..., u, v] = np.einsum("ngoij,ngcij->goc", dy[out], xs[at], optimize=True)
    return dw.reshape(weight_shape)


def conv2d_backward_bias(grad_output: Array) -> Float64:
    return f64(grad_output).sum(axis=(0, 2, 3))


# --------------------------------------------------------------------------------------------------
# Pooling


def max_pool2d(
    x: Array,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Float64, Float64]:
    """Maximum of each window and its index in the input plane.

    The first of equal maxima wins. A NaN wins over numbers, and the last NaN over earlier ones. A
    window that sees no input gives -inf and index -1.
    """
    x = f64(x)
    stride = kernel_size if stride is None else stride
    win = window(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    plane = np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    best = np.full((*x.shape[:2], *win.out), -np.inf)
    index = np.full(best.shape, -1)
    for _, _, out, at in win.taps():
        better = (x[at] > best[out]) | np.isnan(x[at]) | (index[out] < 0)
        best[out] = np.where(better, x[at], best[out])
        index[out] = np.where(better, plane[at[1:]], index[out])
    return best, index


def conv2d_pool_act(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | None = "relu",
    pool_size: Pair = 2,
    **geometry: Any,
) -> tuple[Float64, Float64]:
    y, indices = max_pool2d(conv2d(x, weight, bias, **geometry), pool_size)
    return activated(y, activation), indices


def conv2d_pool_act_backward(
    grad_output: Array,
    output: Array,
    indices: Array,
    x: Array,
    weight: Array,
    activation: str | None = "relu",
    *,
    input_gradient: bool = True,
    bias_gradient: bool = True,
    **geometry: Any,
) -> tuple[Float64, ...]:
    win, _ = conv_geometry(x.shape, weight.shape, **geometry)
    grad = before_activation(grad_output, output, activation)
    planes = max_pool2d_backward(grad, indices, (*grad_output.shape[:2], *win.out))
    grad_x = (conv2d_backward_input(planes, weight, x.shape, **geometry),) if input_gradient else ()
    grad_weight = conv2d_backward_weight(planes, x, weight.shape, **geometry)
    grad_bias = (conv2d_backward_bias(planes),) if bias_gradient else ()
    return (*grad_x, grad_weight, *grad_bias)


def max_pool2d_backward(grad_output: Array, indices: Array, input_shape: Sequence[int]) -> Float64:
    planes = np.zeros((*input_shape[:2], input_shape[2] * input_shape[3]))
    flat = indices.reshape(*indices.shape[:2], indices.shape[2] * indices.shape[3])
    image, channel, at = np.nonzero(flat >= 0)
    gradients = f64(grad_output).reshape(flat.shape)[image, channel, at]
    np.add.at(planes, (image, channel, flat[image, channel, at]), gradients)
    return planes.reshape(input_shape)


def _averages(
    size: Sequence[int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Window, Array]:
    """Return the window and the divisors.

    A divisor is the number of cells of a window inside the input, or inside the input and the
    padding.
    """
    stride = kernel_size if stride is None else stride
    win = window(size, kernel_size, stride, padding, 1, ceil_mode)

    def cells(axis: Axis) -> Float64:
        before, after = (axis.before, axis.after) if count_include_pad else (0, 0)
        starts = np.arange(axis.out) * axis.stride - axis.before
        ends = starts + axis.kernel
        return ends.clip(-before, axis.size + after) - starts.clip(-before, axis.size + after)

    divisors: Array = cells(win.rows)[:, None] * cells(win.columns)
    return win, np.maximum(divisors, 1)


def avg_pool2d(x: Array, kernel_size: Pair, **geometry: Any) -> Float64:
    """Mean of each window; a window that sees no input gives 0."""
    win, divisors = _averages(x.shape[2:], kernel_size, **geometry)
    total = np.zeros((*x.shape[:2], *win.out))
    for _, _, out, at in win.taps():
        total[out] += f64(x)[at]
    return total / divisors


def avg_pool2d_backward(
    grad_output: Array, input_shape: Sequence[int], kernel_size: Pair, **geometry: Any
) -> Float64:
    win, divisors = _averages(input_shape[2:], kernel_size, **geometry)
    share = f64(grad_output) / divisors
    dx = np.zeros(tuple(input_shape))
    for _, _, out, at in win.taps():
        dx[at] += share[out]
    return dx


# --------------------------------------------------------------------------------------------------
# Activations


def relu(x: Array) -> Float64:
    return np.maximum(f64(x), 0.0)


def relu_backward(grad_output: Array, output: Array) -> Float64:
    """The gradient passes unless output <= 0. If the output is NaN, it passes, too."""
    return np.where(f64(output) <= 0, 0.0, f64(grad_output))


def tanh(x: Array) -> Float64:
    return np.tanh(f64(x))


def tanh_backward(grad_output: Array, output: Array) -> Float64:
    return f64(grad_output) * (1 - f64(output) ** 2)


def sigmoid(x: Array) -> Float64:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-f64(x)))


def sigmoid_backward(grad_output: Array, output: Array) -> Float64:
    return f64(grad_output) * (1 - f64(output)) * f64(output)


# --------------------------------------------------------------------------------------------------
# Normalisation and noise


def _channels(x: Array) -> tuple[Float64, Callable[[Array], Float64]]:
    """Return x as (channels, values), and a function that shapes (channels,) for use with x."""
    rows = np.moveaxis(f64(x), 1, 0).reshape(x.shape[1], -1)
    return rows, lambda v: f64(v).reshape(-1, *[1] * (x.ndim - 2))


def batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Float64, Float64, Float64, Float64, Float64]:
    """gamma * (x - mean) / sqrt(variance + eps) + beta, the mean, 1 / sqrt(...), and the
    running statistics. Training moves these towards the mean and the unbiased variance of x."""
    rows, spread = _channels(x)
    mean, variance, count = f64(running_mean), f64(running_var), rows.shape[1]
    new = mean, variance
    if training:
        mean, variance = np.zeros(len(rows)), np.zeros(len(rows))
    if training and count:
        mean = rows.mean(axis=1)
        variance = rows.var(axis=1)
        own = mean, rows.var(axis=1, ddof=1)
        new = tuple((1 - momentum) * r + momentum * o for r, o in zip(new, own, strict=True))
    inv_std = 1 / np.sqrt(variance + eps)
    y = spread(gamma) * (f64(x) - spread(mean)) * spread(inv_std) + spread(beta)
    return y, mean, inv_std, *new


def batch_norm_backward(
    grad_output: Array,
    x: Array,
    gamma: Array,
    saved_mean: Array,
    saved_inv_std: Array,
    *,
    training: bool = True,
) -> tuple[Float64, Float64, Float64]:
    _, spread = _channels(x)
    dy, scale = f64(grad_output), spread(f64(gamma) * f64(saved_inv_std))
    deviation = f64(x) - spread(saved_mean)
    beta, gamma = (_channels(terms)[0].sum(axis=1) for terms in (dy, dy * deviation))
    gamma = gamma * f64(saved_inv_std)
    if not training:
        return scale * dy, gamma, beta
    count = max(x.size // max(x.shape[1], 1), 1)
    slope = spread(saved_inv_std) * spread(gamma)
    return scale * (dy - (spread(beta) + deviation * slope) / count), gamma, beta


def philox(counter: Array, key: tuple[int, int], rounds: int = 7) -> Array:
    """Return Philox4x32's four 32-bit words for each column of `counter`, shape (4, blocks).

    All numbers are stored as uint64.
    """
    low = np.uint64(0xFFFFFFFF)
    a, b, c, d = counter.astype(np.uint64)
    for i in range(rounds):
        k0 = np.uint64((key[0] + i * 0x9E3779B9) % 2**32)
        k1 = np.uint64((key[1] + i * 0xBB67AE85) % 2**32)
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, c = (q >> np.uint64(32)) ^ b ^ k0, (p >> np.uint64(32)) ^ d ^ k1
        b, d = q & low, p & low
    return np.stack([a, b, c, d])


def uniform(count: int, seed: int, step: int, stream: int) -> Float64:
    """Return the numbers in [0, 1) by which dropout decides. Each is 23 bits of a random word.

    Each group of 64 values uses 16 blocks of 4 words. Value e of a group uses word e // 16 of block
    e % 16. For example, value 17 uses word 1 of block 1.
    """
    groups = -(-count // 64)
    block = np.arange(groups * 16, dtype=np.uint64)
    counter = np.stack([block, *(np.full_like(block, word) for word in (0, step, stream))])
    words = philox(counter, (seed % 2**32, seed >> 32)).reshape(4, groups, 16)
    return (words.transpose(1, 0, 2).ravel()[:count] >> np.uint64(9)) / 2.0**23


def dropout(x: Array, rate: float, *, seed: int, step: int, stream: int = 0) -> Float64:
    """x / (1 - rate), but each value is set to 0 with the probability `rate`."""
    kept = uniform(x.size, seed, step, stream).reshape(x.shape) >= np.round(rate * 2**23) / 2**23
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(kept, f64(x) / np.float64(1 - rate), 0.0)


def dropout_backward(
    grad_output: Array, rate: float, *, seed: int, step: int, stream: int = 0
) -> Float64:
    return dropout(grad_output, rate, seed=seed, step=step, stream=stream)


# --------------------------------------------------------------------------------------------------
# Losses


def log_softmax(x: Array) -> Float64:
    """x - max - log(sum(exp(x - max))) per row. A row with NaN, +inf or only -inf gives NaN."""
    x = f64(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(x: Array) -> Float64:
    return np.exp(log_softmax(x))


def targets(
    labels: Array, classes: int, ignore_index: int, label_smoothing: float
) -> tuple[Float64, Float64]:
    """Return the target probabilities, (N, C), and which rows count, (N,)."""
    if labels.ndim == 2:
        hard, kept = f64(labels), np.ones(len(labels), bool)
    else:
        kept = labels != ignore_index
        hard = np.zeros((len(labels), classes))
        hard[kept, labels[kept]] = 1.0
    return (1 - label_smoothing) * hard + label_smoothing / max(classes, 1), kept


def _reduce(rows: Float64, reduction: str, count: int) -> Float64:
    """Return the rows, their sum, or their sum divided by `count`, which is NaN for no rows."""
    if reduction == "none":
        return rows
    with np.errstate(invalid="ignore"):
        return np.asarray(rows.sum() / np.float64(count if reduction == "mean" else 1))


def loss_scale(grad_loss: Array | float | None, reduction: str, count: int) -> Float64:
    with np.errstate(divide="ignore"):
        scale = f64(1.0 if grad_loss is None else grad_loss)
        return scale / count if reduction == "mean" else scale


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Float64, Float64]:
    """Return -sum(target * log_softmax(logits)) of each row, and softmax(logits).

    A target of 0 adds no loss, even if its logit is -inf. The loss of an ignored row is 0, and the
    row does not count in the mean. The mean over no row is NaN.
    """
    target, kept = targets(labels, logits.shape[1], ignore_index, label_smoothing)
    log_p = log_softmax(logits)
    with np.errstate(invalid="ignore"):
        terms = np.where((target == 0) & ~np.isnan(log_p), 0.0, -target * log_p)
    rows = np.where(kept, terms.sum(axis=1), 0.0)
    return _reduce(rows, reduction, kept.sum()), np.exp(log_p)


def softmax_cross_entropy_backward(
    probabilities: Array,
    labels: Array,
    grad_loss: Array | float | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Float64:
    target, kept = targets(labels, probabilities.shape[1], ignore_index, label_smoothing)
    gradient = f64(probabilities) * target.sum(axis=1, keepdims=True) - target
    scale = loss_scale(grad_loss, reduction, kept.sum()).reshape(-1, 1)
    with np.errstate(invalid="ignore"):
        return np.where(kept[:, None], gradient * scale, 0.0)


def count_correct(scores: Array, labels: Array) -> Array:
    """The number of rows in which the label has the largest score, the first of equal ones.

    A row with NaN does not count.
    """
    correct = ~np.isnan(scores).any(axis=1) & (scores.argmax(axis=1) == labels)
    return np.asarray(np.count_nonzero(correct))


def squared_error(prediction: Array, target: Array, *, reduction: str = "mean") -> Float64:
    """(prediction - target)^2, its sum, or its mean over all elements (NaN over none)."""
    squares = (f64(prediction) - f64(target)) ** 2
    return _reduce(squares, reduction, squares.size)


def squared_error_backward(
    prediction: Array,
    target: Array,
    grad_loss: Array | float | None = None,
    *,
    reduction: str = "mean",
) -> Float64:
    difference = f64(prediction) - f64(target)
    return 2 * difference * loss_scale(grad_loss, reduction, difference.size)


# --------------------------------------------------------------------------------------------------
# Batches and parameters. If a kernel changes arrays in place, the function here returns new ones.


def shift_of(number: int, max_shift: int, seed: int, step: int) -> tuple[int, ...]:
    """Return the shift (dy, dx) of the image with this number in a step."""
    counter = np.array([[number % 2**32], [number >> 32], [step], [2**32 - 1]])
    words = philox(counter, (seed % 2**32, seed >> 32)).ravel().tolist()
    return tuple(word * (2 * max_shift + 1) // 2**32 - max_shift for word in words[:2])


def moved(image: Array, dy: int, dx: int) -> Array:
    """Move the last two axes of an image down and to the right. Fill free places with zeros."""
    height, width = image.shape[-2:]
    to = np.zeros_like(image)
    rows, columns = slice(max(dy, 0), height + dy), slice(max(dx, 0), width + dx)
    if abs(dy) < height and abs(dx) < width:
        source = image[..., max(-dy, 0) : height - dy, max(-dx, 0) : width - dx]
        to[..., rows, columns][..., : source.shape[-2], : source.shape[-1]] = source
    return to


def gather_images(
    images: Array,
    index: Array,
    *,
    scale: float,
    offset: float,
    max_shift: int = 0,
    seed: int = 0,
    step: int = 0,
) -> Float64:
    chosen = images[index]
    if max_shift > 0:
        for i, number in enumerate(index):
            chosen[i] = moved(images[number], *shift_of(int(number), max_shift, seed, step))
    return f64(chosen) * scale + offset


def warp_words(number: int, blocks: range, seed: int, step: int) -> Float64:
    """Return the uniform random numbers of some blocks of an image, shape (4, blocks)."""
    number %= 2**64
    counter = np.array([[number % 2**32, number >> 32, step, 2**31 + b] for b in blocks]).T
    return (philox(counter, (seed % 2**32, seed >> 32)) >> np.uint64(9)) / 2.0**23


def warp_map(
    number: int,
    side: tuple[int, int],
    seed: int,
    step: int,
    rotation: float,
    scale: float,
    shear: float,
    shift: float,
) -> tuple[Float64, Float64, Float64]:
    """Return the affine map of an image, as a matrix and a vector, and the position of the grid.

    The matrix maps (y, x) of the output to the input. The vector is added to the product.
    """
    u = warp_words(number, range(2), seed, step)
    angle, factor, slant, dy = (2 * u[:, 0] - 1) * (rotation, scale, shear, shift)
    move = np.array([dy, (2 * u[0, 1] - 1) * shift])
    a, b = np.radians([angle, slant])
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    forward = (1 + factor) * turn @ np.array([[1, np.tan(b)], [0, 1]])  # for (x, y)
    backward = np.linalg.inv(forward)[::-1, ::-1]  # for (y, x)
    centre = (np.array(side) - 1) / 2
    return backward, centre - backward @ (centre + move), u[1:3, 1]


def spline(t: Array) -> Float64:
    """Return the cubic B-spline in its usual form, by pieces."""
    t = np.abs(t)
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0.0))


def warp_points(
    number: int,
    side: tuple[int, int],
    *,
    seed: int,
    step: int,
    rotation: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    shift: float = 0.0,
    elastic: float = 0.0,
    smoothness: float = 4.0,
) -> Float64:
    """Return the points (y, x) of the input that the pixels of an image belong to, (2, H, W)."""
    matrix, vector, phase = warp_map(number, side, seed, step, rotation, scale, shear, shift)
    pixels = np.stack(np.meshgrid(*map(np.arange, side), indexing="ij")).astype(np.float64)
    points = np.einsum("ij,jyx->iyx", matrix, pixels) + vector[:, None, None]
    if elastic == 0:
        return points
    spacing = np.sqrt(3) * smoothness
    # The number of control points and the positions are those of a spacing rounded to float32.
    rate = float(np.float32(1 / spacing))
    rows, columns = (int((n - 1) * rate) + 5 for n in side)
    count = 2 * rows * columns
    groups = -(-count // 64)
    words = warp_words(number, range(2, 2 + 16 * groups), seed, step).reshape(4, groups, 16)
    u = words.transpose(1, 0, 2).ravel()[:count].reshape(2, rows, columns)
    control = (u - 0.5) * np.sqrt(12) * 315 / 151 * elastic
    weights = [
        spline((np.arange(n) * rate + f)[:, None] - np.arange(points) + 1)
        for n, f, points in zip(side, phase, (rows, columns), strict=True)
    ]
    return points + weights[0] @ control @ weights[1].T


def bilinear(image: Array, points: Array, fill: float) -> Float64:
    """Interpolate planes (channels, H, W) at the points. Pixels outside have the value `fill`."""
    height, width = image.shape[1:]
    padded = np.pad(f64(image), ((0, 0), (1, 2), (1, 2)), constant_values=fill)
    y, x = (np.clip(p + 1, 0, n + 1) for p, n in zip(points, (height, width), strict=True))
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = y - i, x - j
    above = (1 - right) * padded[:, i, j] + right * padded[:, i, j + 1]
    below = (1 - right) * padded[:, i + 1, j] + right * padded[:, i + 1, j + 1]
    return (1 - down) * above + down * below


def warp_images(
    images: Array, index: Array, *, seed: int, step: int, fill: float = 0.0, **strengths: float
) -> Float64:
    result = np.zeros(images.shape)
    if not any(value for name, value in strengths.items() if name != "smoothness"):
        return f64(images)
    for i, number in enumerate(index if images.size else ()):
        points = warp_points(int(number), images.shape[2:], seed=seed, step=step, **strengths)
        result[i] = bilinear(images[i], points, fill)
    return result


def sgd_step(
    parameters: Array,
    gradients: Array,
    velocity: Array,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> tuple[Float64, Float64]:
    """g += weight_decay * p; v = momentum * v + (1 - dampening) * g, or g if momentum is 0;
    p -= lr * (nesterov ? g + momentum * v : v).

    If weight_decay or momentum is 0, the array that it multiplies is not read.
    """
    gradient = f64(gradients)
    if weight_decay != 0:
        gradient = gradient + weight_decay * f64(parameters)
    velocity = momentum * f64(velocity) + (1 - dampening) * gradient if momentum != 0 else gradient
    step = gradient + momentum * velocity if nesterov else velocity
    return f64(parameters) - lr * step, velocity


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
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Float64, Float64, Float64]:
    """Kingma and Ba's algorithm 1, with weight decay in the gradient or decoupled, as in AdamW."""
    p, gradient = f64(parameters), f64(gradients)
    if weight_decay != 0 and not decoupled:
        gradient = gradient + weight_decay * p
    m = beta1 * f64(first_moment) + (1 - beta1) * gradient
    v = beta2 * f64(second_moment) + (1 - beta2) * gradient**2
    update = (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps)
    kept = p * (1 - lr * weight_decay) if decoupled else p
    return kept - lr * update, m, v


def add(a: Array, b: Array) -> Float64:
    return f64(a) + f64(b)


def accumulate(target: Array, x: Array) -> Float64:
    return f64(target) + f64(x)
