"""A table with one row per kernel: shapes to test, how to draw a call, the bound of the error.

To test a new kernel, add its row here and its definition to reference.py. test_every_kernel.py then
checks all promises that kernels make.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import bounds
import numpy as np
import reference
import tolerance
from bounds import Bound
from calls import Array, Call, Fill, shapes

Shape = dict[str, Any]


@dataclass(frozen=True)
class Op:
    """A row of the table.

    `make(fill, **shape)` draws the positional arguments of the kernel. A shape is a dictionary. It
    holds the sizes of the arrays. For example, a shape of `linear` is `{"nio": (9, 33, 17)}`:
    9 images, 33 inputs, 17 outputs. A shape may also hold keyword arguments of the kernel.
    `keywords` lists their names.
    """

    make: Callable[..., tuple[Any, ...]]
    bound: Bound
    small: Sequence[Shape]  # edges of vectors and tiles; a call takes a few microseconds
    large: Shape  # enough work for several threads
    empty: Sequence[Shape]  # N = 0; the other dimensions are small, or enough for several threads
    keywords: Sequence[str] = ()  # the keys of a shape that are passed to the kernel
    exact: Callable[[Call], bool] = lambda call: True  # whether integers give exact integers

    def call(self, name: str, fill: Fill, shape: Shape) -> Call:
        kwargs = {key: shape[key] for key in self.keywords if key in shape}
        return Call(name, self.make(fill, **shape), kwargs)


def draw(name: str, fill: Fill, shape: Shape) -> Call:
    return OPS[name].call(name, fill, shape)


def check(call: Call, results: Sequence[Array]) -> None:
    """Assert that each result is within the bound of its kernel."""
    expected = call.expected()
    assert len(results) == len(expected), call
    with np.errstate(all="ignore"):
        limits = OPS[call.op].bound(call)
    for got, want, limit in zip(results, expected, limits, strict=True):
        tolerance.assert_within(got, want, limit, repr(call))


def check_exact(call: Call, results: Sequence[Array]) -> None:
    """Assert that each result, from integers, equals the reference."""
    for got, want, size in zip(results, call.expected(), call.sizes(), strict=True):
        tolerance.assert_exact(got, want, size, repr(call))


# --------------------------------------------------------------------------------------------------
# Matrices


def _gemm(
    fill: Fill, mnk: Sequence[int], trans_a: bool = False, trans_b: bool = False, **_: Any
) -> tuple[Any, ...]:
    m, n, k = mnk
    a = fill(k, m) if trans_a else fill(m, k)
    b = fill(n, k) if trans_b else fill(k, n)
    return a, b, fill(m, n)


def _gemm_terms(a: Array, b: Array, c: Array | None = None, **kwargs: Any) -> int:
    return a.shape[0 if kwargs.get("trans_a") else 1] + 1


def _linear(
    fill: Fill, nio: Sequence[int], activation: str | None = None
) -> tuple[Array, Array, Array, str | None]:
    n, inputs, outputs = nio
    return fill(n, inputs), fill(outputs, inputs), fill(outputs), activation


def _linear_grad(fill: Fill, nio: Sequence[int], activation: str | None = None) -> tuple[Any, ...]:
    x, weight, bias, _ = _linear(fill, nio)
    output = reference.linear_act(x, weight, bias, activation).astype(np.float32)
    return fill(*output.shape), output, x, weight, activation


LINEAR_ACT = {
    "small": [
        {"nio": (9, 33, 17), "activation": name} for name in ("relu", "tanh", "sigmoid", None)
    ],
    "large": {"nio": (130, 784, 128), "activation": "relu"},
    "empty": [
        {"nio": nio, "activation": activation}
        for nio in ((0, 7, 3), (0, 1024, 1024), (0, 9000, 60), (64, 0, 1024), (64, 1024, 0))
        for activation in ("tanh", None)
    ],
}
LINEAR = {
    "small": [
        {"nio": nio} for nio in ((1, 1, 1), (5, 7, 3), (9, 33, 17), (3, 20, 10), (17, 8, 16))
    ],
    "large": {"nio": (130, 784, 128)},
    "empty": [
        {"nio": nio}
        for nio in ((0, 7, 3), (0, 1024, 1024), (0, 9000, 60), (64, 0, 1024), (64, 1024, 0))
    ],
}


# --------------------------------------------------------------------------------------------------
# Windows

CONV = shapes("conv2d")
POOL = shapes("pool2d")
GEOMETRY = ("stride", "padding", "dilation", "groups", "algorithm")
WINDOW = ("stride", "padding", "dilation", "ceil_mode")
AVERAGE = ("stride", "padding", "ceil_mode", "count_include_pad")


def conv_output_shape(x: Sequence[int], weight: Sequence[int], **geometry: Any) -> tuple[int, ...]:
    win, _ = reference.conv_geometry(x, weight, **geometry)
    return (x[0], weight[0], *win.out)


def _conv(fill: Fill, x: Sequence[int], weight: Sequence[int], **_: Any) -> tuple[Any, ...]:
    return fill(*x), fill(*weight), fill(weight[0])


def _conv_grad(fill: Fill, x: Sequence[int], weight: Sequence[int], **geometry: Any) -> Array:
    return fill(*conv_output_shape(x, weight, **geometry))


def _conv_input(
    fill: Fill, x: Sequence[int], weight: Sequence[int], **geometry: Any
) -> tuple[Any, ...]:
    return _conv_grad(fill, x, weight, **geometry), fill(*weight), tuple(x)


def _conv_weight(
    fill: Fill, x: Sequence[int], weight: Sequence[int], **geometry: Any
) -> tuple[Any, ...]:
    return _conv_grad(fill, x, weight, **geometry), fill(*x), tuple(weight)


def _conv_bias(fill: Fill, **shape: Any) -> tuple[Any, ...]:
    return (_conv_grad(fill, **shape),)


def _some(table: dict[str, Shape], *names: str) -> list[Shape]:
    return [table[name] for name in names]


# Convolution by the direct algorithm. test_conv2d_winograd.py tests Winograd's.
CONVOLUTION = {
    "small": [
        {**shape, "algorithm": "direct"}
        for shape in _some(
            CONV,
            "lenet-conv1",
            "same-3x3",
            "pointwise",
            "stride-2",
            "dilation-stride",
            "groups",
            "depthwise",
            "asymmetric-padding",
            "width-17",
            "kernel-over-input",
        )
    ],
    "large": {"x": (16, 20, 12, 12), "weight": (50, 20, 5, 5), "algorithm": "direct"},
    "empty": [
        {"x": (0, 3, 6, 5), "weight": (4, 3, 3, 2), "padding": 1},
        {"x": (0, 64, 32, 32), "weight": (128, 64, 5, 5)},
        {"x": (0, 64, 32, 32), "weight": (128, 64, 3, 3), "algorithm": "winograd"},
        {"x": (0, 256, 32, 32), "weight": (256, 256, 1, 1)},
        {"x": (0, 64, 32, 32), "weight": (128, 1, 4, 4), "stride": 2, "groups": 64},
    ],
}


def _conv_pool(
    fill: Fill,
    x: Sequence[int],
    weight: Sequence[int],
    activation: str | None = None,
    pool_size: reference.Pair = 2,
    **_: Any,
) -> tuple[Any, ...]:
    return *_conv(fill, x, weight), activation, pool_size


def _conv_pool_grad(
    fill: Fill,
    x: Sequence[int],
    weight: Sequence[int],
    activation: str | None = None,
    pool_size: reference.Pair = 2,
    **geometry: Any,
) -> tuple[Any, ...]:
    forward = _conv_pool(fill, x, weight, activation, pool_size)
    output, indices = reference.conv2d_pool_act(*forward, **geometry)
    images, filters, *_ = forward
    grad = fill(*output.shape)
    return grad, output.astype(np.float32), indices.astype(np.int32), images, filters, activation


CONV_POOL = {
    "small": [
        {**shape, "algorithm": "direct", "activation": activation}
        for shape, activation in (
            (CONV["lenet-conv1"], "tanh"),
            (CONV["same-3x3"], "relu"),
            (CONV["stride-2"], None),
            (CONV["groups"], "sigmoid"),
            (CONV["asymmetric-padding"], "relu"),
            (CONV["width-17"], None),
        )
    ]
    + [{**CONV["dilation"], "algorithm": "direct", "activation": "relu", "pool_size": (2, 3)}],
    "large": {
        "x": (40, 1, 28, 28),
        "weight": (20, 1, 5, 5),
        "activation": "relu",
        "algorithm": "direct",
    },
    "empty": CONVOLUTION["empty"],
}


def pool_arguments(shape: Shape, keywords: Sequence[str]) -> Shape:
    return {key: shape[key] for key in keywords if key in shape}


def _pool(fill: Fill, x: Sequence[int], kernel_size: reference.Pair, **_: Any) -> tuple[Any, ...]:
    return fill(*x), kernel_size


def _max_pool_grad(
    fill: Fill, x: Sequence[int], kernel_size: reference.Pair, **window: Any
) -> tuple[Any, ...]:
    indices = reference.max_pool2d(fill(*x), kernel_size, **window)[1].astype(np.int32)
    return fill(*indices.shape), indices, tuple(x)


def _avg_pool_grad(
    fill: Fill, x: Sequence[int], kernel_size: reference.Pair, **window: Any
) -> tuple[Any, ...]:
    shape = reference.avg_pool2d(np.zeros(x), kernel_size, **window).shape
    return fill(*shape), tuple(x), kernel_size


def _divides_exactly(call: Call) -> bool:
    """Return whether all windows have the same size, a power of two."""
    cells = bounds.window_area(*call.args)
    return cells & (cells - 1) == 0 and not call.kwargs.get("ceil_mode")


POOLING = {
    "small": _some(
        POOL, "lenet-pool2", "odd-input", "overlap", "stride-1", "padding", "ceil-mode", "width-17"
    ),
    "large": {"x": (16, 20, 24, 24), "kernel_size": 2},
    "empty": [
        {"x": x, "kernel_size": kernel_size}
        for x, kernel_size in (((0, 3, 6, 5), 2), ((0, 512, 64, 64), 2), ((0, 512, 64, 64), 64))
    ],
}
MAX_POOLING = {**POOLING, "small": [*POOLING["small"], POOL["dilation"], POOL["window-in-padding"]]}
AVERAGING = {
    **POOLING,
    "small": [
        *POOLING["small"],
        POOL["window-in-padding"],
        {**POOL["padding"], "count_include_pad": False},
        {**POOL["ceil-mode-asymmetric"], "count_include_pad": False},
    ],
}


# --------------------------------------------------------------------------------------------------
# Elements, losses, parameters

LENGTHS = (1, 7, 8, 9, 17, 33)
ELEMENTS = {
    "small": [*({"shape": (n,)} for n in LENGTHS), {"shape": (3, 5, 7)}],
    "large": {"shape": (500, 803)},
    "empty": [{"shape": shape} for shape in ((0, 3), (0, 10**7), (10**7, 0), (0,))],
}
ROWS = {
    "small": [{"shape": (3, n)} for n in (*LENGTHS, 2, 10, 16)],
    "large": {"shape": (5003, 10)},
    "empty": [{"shape": (0, 10)}, {"shape": (0, 10**7)}],
}


def _one(fill: Fill, shape: Sequence[int], **_: Any) -> tuple[Any, ...]:
    return (fill(*shape),)


def _two(fill: Fill, shape: Sequence[int], **_: Any) -> tuple[Any, ...]:
    return fill(*shape), fill(*shape)


def _three(fill: Fill, shape: Sequence[int], **_: Any) -> tuple[Any, ...]:
    return fill(*shape), fill(*shape), fill(*shape)


def _labels(fill: Fill, shape: Sequence[int], soft: bool = False) -> Array:
    if not soft:
        return fill.rng.integers(0, shape[1], shape[0])
    return reference.softmax(fill(*shape)).astype(np.float32)


def _loss(fill: Fill, shape: Sequence[int], soft: bool = False, **_: Any) -> tuple[Any, ...]:
    return fill(*shape), _labels(fill, shape, soft)


def _loss_grad(
    fill: Fill, shape: Sequence[int], soft: bool = False, **kwargs: Any
) -> tuple[Any, ...]:
    probabilities = reference.softmax(fill(*shape)).astype(np.float32)
    weights = (fill(shape[0]),) if kwargs.get("reduction") == "none" else ()
    return probabilities, _labels(fill, shape, soft), *weights


def _error_grad(fill: Fill, shape: Sequence[int], reduction: str = "mean") -> tuple[Any, ...]:
    weights = (fill(*shape),) if reduction == "none" else ()
    return fill(*shape), fill(*shape), *weights


REDUCTIONS = [{"reduction": "none"}, {"reduction": "sum"}]
LOSS = {
    "small": [
        *ROWS["small"],
        *({"shape": (9, 10), **kwargs} for kwargs in REDUCTIONS),
        {"shape": (9, 10), "label_smoothing": 0.1},
        {"shape": (9, 10), "ignore_index": 3},
        {"shape": (9, 10), "soft": True},
        {"shape": (9, 10), "soft": True, "label_smoothing": 0.25, "reduction": "none"},
    ],
    "large": ROWS["large"],
    "empty": ROWS["empty"],
}
LOSS_KEYWORDS = ("reduction", "label_smoothing", "ignore_index")
ERROR = {
    **ELEMENTS,
    "small": [*ELEMENTS["small"], *({"shape": (5, 7), **kwargs} for kwargs in REDUCTIONS)],
}


def _not_a_mean(call: Call) -> bool:
    return call.kwargs.get("reduction", "mean") != "mean"


def _inexact(call: Call) -> bool:
    return False


def _images(fill: Fill, images: Sequence[int], index: int, **_: Any) -> tuple[Any, ...]:
    pixels = fill.rng.integers(0, 256, images).astype(np.uint8)
    return pixels, fill.rng.integers(0, max(images[0], 1), index)


GATHER = {
    "small": [
        {"images": images, "index": 6, "scale": 0.5, "offset": -1.0}
        for images in ((5, 1), (4, 7), (3, 8), (2, 17), (7, 5, 3), (3, 2, 28, 28))
    ]
    + [
        {"images": images, "index": 9, "scale": 0.5, "offset": -1.0, "max_shift": most, "step": 3}
        for images, most in (((7, 5, 3), 2), ((3, 2, 9, 17), 1), ((4, 1, 1), 1), ((9, 4, 4), 9))
    ],
    "large": {
        "images": (300, 28, 28),
        "index": 512,
        "scale": 1 / 256,
        "offset": -0.5,
        "max_shift": 2,
        "seed": 2**64 - 1,
    },
    "empty": [
        {"images": images, "index": 0, "scale": 1.0, "offset": 0.0, "max_shift": most}
        for images in ((3, 4, 4), (2, 8, 512, 512))
        for most in (0, 2)
    ],
}


def _warped(fill: Fill, /, images: Sequence[int], **_: Any) -> tuple[Any, ...]:
    return fill(*images), fill.rng.permutation(images[0])


# A little of everything, and more of it.
GENTLE = {"rotation": 10, "scale": 0.1, "shear": 5, "shift": 1.5, "elastic": 0.8}
STRONG = {"rotation": 180, "scale": 0.9, "shear": 80, "shift": 9, "elastic": 5, "smoothness": 1}
WARP = {
    "small": [
        {"images": (2, 1, 1, 1), "seed": 1, "step": 0, **GENTLE},
        {"images": (3, 1, 5, 3), "seed": 2**64 - 1, "step": 2**32 - 1, **GENTLE},
        {"images": (2, 2, 7, 17), "seed": 2, "step": 3, "fill": -0.5, **GENTLE},
        {"images": (2, 3, 16, 9), "seed": 2, "step": 3, "fill": 1.5, **STRONG},
        {"images": (2, 1, 28, 28), "seed": 5, "step": 6, "smoothness": 2.5, "elastic": 1.0},
        {"images": (2, 1, 4, 33), "seed": 5, "step": 6, "rotation": 20, "shift": 2.0},
        {"images": (2, 2, 3, 4), "seed": 5, "step": 6},
        {"images": (1, 1, 2, 90), "seed": 5, "step": 6, "smoothness": 100, "elastic": 2.0},
    ],
    "large": {"images": (200, 1, 28, 28), "seed": 7, "step": 8, **GENTLE},
    "empty": [
        {"images": images, "seed": 0, "step": 0, **GENTLE}
        for images in ((0, 1, 4, 4), (0, 8, 512, 512), (5, 0, 4, 4), (64, 3, 0, 1024))
    ],
}
WARP_KEYWORDS = ("seed", "step", "rotation", "scale", "shear", "shift", "elastic", "smoothness")


def _norm(fill: Fill, x: Sequence[int], **_: Any) -> tuple[Any, ...]:
    channels = x[1]
    return (fill(*x), fill(channels), fill(channels), fill(channels), np.abs(fill(channels)))


def _norm_grad(fill: Fill, x: Sequence[int], **_: Any) -> tuple[Any, ...]:
    channels = x[1]
    mean, inv_std = fill(channels), np.abs(fill(channels))
    return fill(*x), fill(*x), fill(channels), mean, inv_std


def _shares_exactly(call: Call) -> bool:
    """Return whether the means over a channel are exact: it has 1, 2, 4 or 8 values."""
    channels = max(call.args[0].shape[1], 1)
    return call.args[0].size // channels in (1, 2, 4, 8) or call.kwargs.get("training") is False


NORM = {
    "small": [
        *({"x": x, "training": True} for x in ((2, 1), (4, 8), (9, 17), (64, 5), (130, 70))),
        *({"x": x, "training": True} for x in ((1, 3, 2, 4), (3, 2, 3, 5), (2, 9, 4, 4))),
        {"x": (3, 300, 5, 7), "training": True, "momentum": 0.5, "eps": 0.25},
        {"x": (1, 9), "training": False},
        {"x": (2, 3, 3, 3), "training": False, "eps": 0.0},
    ],
    "large": {"x": (64, 20, 24, 24), "training": True},
    "empty": [
        {"x": x, "training": training}
        for x in ((0, 3), (0, 10**5), (0, 4096, 64, 64), (64, 4096, 0, 64))
        for training in (True, False)
    ],
}
DROPOUT_KEY = ("seed", "step", "stream")
DROPOUT = {
    "small": [
        *({"shape": (n,), "rate": 0.5, "seed": n, "step": 1} for n in (1, 8, 17, 63, 64, 65, 81)),
        {"shape": (3, 5, 7), "rate": 0.75, "seed": 2**64 - 1, "step": 2**32 - 1, "stream": 7},
        {"shape": (200,), "rate": 0.1, "seed": 3, "step": 4},
        {"shape": (70,), "rate": 0.0, "seed": 0, "step": 0},
        {"shape": (70,), "rate": 1.0, "seed": 0, "step": 0},
    ],
    "large": {"shape": (500, 803), "rate": 0.5, "seed": 1, "step": 2, "stream": 3},
    "empty": [
        {"shape": shape, "rate": 0.5, "seed": 0, "step": 0} for shape in ((0, 3), (0, 10**7))
    ],
}


def _noisy(fill: Fill, shape: Sequence[int], rate: float, **_: Any) -> tuple[Any, ...]:
    return fill(*shape), rate


def _halves(call: Call) -> bool:
    return call.args[1] in (0.0, 0.5, 0.75, 1.0)


SGD_KEYWORDS = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
SGD = {
    "small": [
        {"shape": (n,), "lr": 0.5, **kwargs}
        for n in (1, 8, 17, 33)
        for kwargs in (
            {},
            {"momentum": 0.5},
            {"momentum": 0.5, "nesterov": True, "weight_decay": 0.25},
            {"momentum": 0.5, "dampening": 0.75, "weight_decay": 0.25},
        )
    ],
    "large": {"shape": (130_000,), "lr": 0.25, "momentum": 0.5, "weight_decay": 0.125},
    "empty": [{"shape": (0,), "lr": 0.1}],
}
ADAM_KEYWORDS = ("step", "lr", "beta1", "beta2", "eps", "weight_decay", "decoupled")
ADAM = {
    "small": [
        {"shape": (n,), **kwargs}
        for n in (1, 8, 17, 33)
        for kwargs in (
            {"step": 1},
            {"step": 7, "lr": 0.1, "beta1": 0.5, "beta2": 0.75, "weight_decay": 0.25},
            {"step": 3, "eps": 0.5, "weight_decay": 0.25, "decoupled": True},
        )
    ],
    "large": {"shape": (130_000,), "step": 100, "weight_decay": 0.125},
    "empty": [{"shape": (0,), "step": 1}],
}


def _adam(fill: Fill, shape: Sequence[int], **_: Any) -> tuple[Array, ...]:
    return *_three(fill, shape), np.abs(fill(*shape))


# --------------------------------------------------------------------------------------------------
# The table

OPS: dict[str, Op] = {
    "gemm": Op(
        _gemm,
        bounds.summed(_gemm_terms),
        small=[
            {"mnk": (1, 1, 1)},
            {"mnk": (7, 17, 5)},
            {"mnk": (6, 16, 33), "trans_a": True, "alpha": -0.5, "beta": 0.5},
            {"mnk": (13, 9, 20), "trans_b": True},
            {"mnk": (5, 31, 8), "trans_a": True, "trans_b": True, "beta": 0.0},
        ],
        large={"mnk": (200, 130, 257)},
        empty=[
            {"mnk": mnk, **kwargs}
            for mnk in ((0, 5, 3), (0, 1024, 1024), (1024, 0, 1024), (1024, 1024, 0), (60, 0, 9000))
            for kwargs in ({}, {"trans_a": True, "trans_b": True, "beta": 0.0})
        ],
        keywords=("alpha", "beta", "trans_a", "trans_b"),
    ),
    "linear": Op(
        lambda fill, nio: (fill(*nio[:2]), fill(nio[2], nio[1]), fill(nio[2])),
        bounds.summed(lambda x, weight, bias: x.shape[1] + 1),
        **LINEAR,
    ),
    "linear_act": Op(
        _linear,
        bounds.linear_act,
        exact=lambda call: call.args[3] in ("relu", None),
        **LINEAR_ACT,
    ),
    "linear_act_backward": Op(
        _linear_grad,
        bounds.linear_act_backward,
        exact=lambda call: call.args[4] in ("relu", None),
        **LINEAR_ACT,
    ),
    "linear_backward_input": Op(
        lambda fill, nio: (fill(nio[0], nio[2]), fill(nio[2], nio[1])),
        bounds.summed(lambda grad_output, weight: len(weight)),
        **LINEAR,
    ),
    "linear_backward_weight": Op(
        lambda fill, nio: (fill(nio[0], nio[2]), fill(nio[0], nio[1])),
        bounds.summed(lambda grad_output, x: len(x)),
        **LINEAR,
    ),
    "linear_backward_bias": Op(
        lambda fill, nio: (fill(nio[0], nio[2]),), bounds.summed(len), **LINEAR
    ),
    "conv2d": Op(_conv, bounds.summed(bounds.conv_terms), keywords=GEOMETRY, **CONVOLUTION),
    "conv2d_backward_input": Op(
        _conv_input, bounds.summed(bounds.conv_input_terms), keywords=GEOMETRY, **CONVOLUTION
    ),
    "conv2d_backward_weight": Op(
        _conv_weight, bounds.summed(bounds.pixels), keywords=GEOMETRY, **CONVOLUTION
    ),
    "conv2d_backward_bias": Op(_conv_bias, bounds.summed(bounds.pixels), **CONVOLUTION),
    "conv2d_pool_act": Op(
        _conv_pool,
        bounds.conv2d_pool_act,
        keywords=GEOMETRY,
        exact=lambda call: call.args[3] in ("relu", None),
        **CONV_POOL,
    ),
    "conv2d_pool_act_backward": Op(
        _conv_pool_grad,
        bounds.conv2d_pool_act_backward,
        keywords=GEOMETRY,
        exact=lambda call: call.args[5] in ("relu", None),
        **CONV_POOL,
    ),
    "max_pool2d": Op(_pool, bounds.equal, keywords=WINDOW, **MAX_POOLING),
    "max_pool2d_backward": Op(
        _max_pool_grad, bounds.summed(bounds.windows_of_a_pixel), **MAX_POOLING
    ),
    "avg_pool2d": Op(
        _pool,
        bounds.summed(bounds.window_area),
        keywords=AVERAGE,
        exact=_divides_exactly,
        **AVERAGING,
    ),
    "avg_pool2d_backward": Op(
        _avg_pool_grad,
        bounds.summed(bounds.window_area),
        keywords=AVERAGE,
        exact=_divides_exactly,
        **AVERAGING,
    ),
    "relu": Op(_one, bounds.equal, **ELEMENTS),
    "relu_backward": Op(_two, bounds.equal, **ELEMENTS),
    "tanh": Op(_one, bounds.ulps(bounds.TANH_ULP), exact=_inexact, **ELEMENTS),
    "tanh_backward": Op(_two, bounds.tanh_backward, **ELEMENTS),
    "sigmoid": Op(_one, bounds.ulps(bounds.SIGMOID_ULP), exact=_inexact, **ELEMENTS),
    "sigmoid_backward": Op(_two, bounds.sigmoid_backward, **ELEMENTS),
    "softmax": Op(_one, bounds.softmax, exact=_inexact, **ROWS),
    "log_softmax": Op(_one, bounds.log_softmax, exact=_inexact, **ROWS),
    "softmax_cross_entropy": Op(
        _loss, bounds.cross_entropy, keywords=LOSS_KEYWORDS, exact=_inexact, **LOSS
    ),
    "softmax_cross_entropy_backward": Op(
        _loss_grad, bounds.cross_entropy_backward, keywords=LOSS_KEYWORDS, exact=_inexact, **LOSS
    ),
    "count_correct": Op(_loss, lambda call: (0,), **ROWS),
    "squared_error": Op(
        _two, bounds.all_positive, keywords=("reduction",), exact=_not_a_mean, **ERROR
    ),
    "squared_error_backward": Op(
        _error_grad, bounds.elementwise, keywords=("reduction",), exact=_not_a_mean, **ERROR
    ),
    "batch_norm": Op(
        _norm,
        bounds.batch_norm,
        keywords=("training", "momentum", "eps"),
        exact=_inexact,
        **NORM,
    ),
    "batch_norm_backward": Op(
        _norm_grad,
        bounds.batch_norm_backward,
        keywords=("training",),
        exact=_shares_exactly,
        **NORM,
    ),
    "dropout": Op(_noisy, bounds.elementwise, keywords=DROPOUT_KEY, exact=_halves, **DROPOUT),
    "dropout_backward": Op(
        _noisy, bounds.elementwise, keywords=DROPOUT_KEY, exact=_halves, **DROPOUT
    ),
    "gather_images": Op(
        _images,
        bounds.summed(lambda *_, **__: 2),
        keywords=("scale", "offset", "max_shift", "seed", "step"),
        **GATHER,
    ),
    "warp_images": Op(
        _warped, bounds.warp, keywords=(*WARP_KEYWORDS, "fill"), exact=_inexact, **WARP
    ),
    "sgd_step": Op(_three, bounds.summed(lambda *_, **__: 6), keywords=SGD_KEYWORDS, **SGD),
    "adam_step": Op(_adam, bounds.adam, keywords=ADAM_KEYWORDS, exact=_inexact, **ADAM),
    "add": Op(_two, bounds.summed(lambda *_: 2), **ELEMENTS),
    "accumulate": Op(_two, bounds.summed(lambda *_: 2), **ELEMENTS),
}
