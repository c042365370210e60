"""A PyTorch network in float64 that checks a byhand network layer by layer.

The usual way to compare two networks is to compare their outputs with a tolerance. That is a weak
test. Rounding errors grow from layer to layer. An input of a ReLU may be +1e-8 on one side and
-1e-8 on the other, which changes a gradient by its whole size. A tolerance that allows for both
would hide real faults as well. The twin avoids this. While data pass through it, a *joint* before
and after each of its layers compares PyTorch's value with the one that byhand had at the same
place, and passes byhand's value on. On the way back the joints do the same with gradients. So each
layer of PyTorch sees exactly the numbers that byhand's layer saw, and both take the same branch at
every kink. The difference is the rounding error of one layer, for which bounds.py has a derived
bound. Between layers there is no tolerance at all: the next layer must get the same bits that the
layer before it has returned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import prod
from typing import Any

import bounds
import numpy as np
import reference
import torch
from byhand import nn
from byhand.bench.torch_network import PaddedConv2d, with_weights_of
from byhand.bench.torch_network import in_torch as translated
from calls import Array, Call
from networks import drawn
from tolerance import EPS, SMALLEST, accumulation, assert_within, ulp
from torch.nn import functional

# The bound of Winograd's error in docs/winograd.md: the Euclidean norm of the error over that of
# the same convolution of absolute values. It holds for each patch of a plane, not for each value:
# the terms of one value may all be 0, and those of its neighbours still give it an error.
WINOGRAD = 2e-5

STATISTICS = "running_mean", "running_var"

torch.set_num_threads(1)


def agree(ours: Array, theirs: torch.Tensor, limit: Any, what: str) -> None:
    """Compare with PyTorch's result. A limit of 0 asks for equality.

    Other limits leave room for sums of subnormal numbers, which lose up to half of the smallest one
    per term: 2^-139 in all, where the smallest normal number is 2^-126.
    """
    expected, limit = theirs.detach().numpy(), np.asarray(limit)
    limit = limit + 1024 * SMALLEST * (limit > 0)
    fine = ours.dtype == np.float32 and ours.shape == expected.shape
    if not (fine and np.all(np.abs(ours - expected) <= limit)):  # the fast path for the usual case
        assert_within(ours, expected, limit, what)


def double(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float64))


# --------------------------------------------------------------------------------------------------
# Logs of byhand's layers


class Log:
    """Copies of what a layer read and wrote in its last pass."""

    x: Array
    y: Array
    statistics: list[Array]
    grad_y: Array
    grad_x: Array


def record(network: nn.Module) -> dict[nn.Module, Log]:
    """Make each layer of the network keep a log. Layers inside containers do so, too."""
    logs = {m: Log() for m in network.modules() if isinstance(m, nn.Layer) and not m.is_view}
    for layer, log in logs.items():
        _record(layer, log)
    return logs


def _record(layer: Any, log: Log) -> None:
    run, run_backward = layer.run, layer.run_backward

    def recorded_run(b: Any) -> None:
        log.statistics = [statistic.copy() for statistic in statistics(layer)]
        run(b)
        log.x, log.y = b.x.copy(), b.y.copy()

    def recorded_backward(b: Any) -> None:
        run_backward(b)
        log.grad_y, log.grad_x = b.grad_y.copy(), b.grad_x.copy()

    layer.run, layer.run_backward = recorded_run, recorded_backward


def statistics(layer: nn.Module) -> list[Array]:
    """The running mean and variance of a batch norm, empty for other layers."""
    return [getattr(layer, name).data for name in STATISTICS if hasattr(layer, name)]


# --------------------------------------------------------------------------------------------------
# The same network in PyTorch


class Dropout(torch.nn.Module):
    """Drop the values that byhand's layer dropped in its last pass, according to the reference."""

    def __init__(self, layer: nn.Dropout) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        if not self.training:
            return x
        return x * torch.from_numpy(reference.dropout(np.ones(x.shape), **drawn(self.layer)))


def product(module: Any, x: Any, weight: Any, bias: Any) -> Any:
    """The output of a Linear or Conv2d for given weights."""
    if isinstance(module, torch.nn.Linear):
        return functional.linear(x, weight, bias)
    if isinstance(module, PaddedConv2d):
        x = functional.pad(x, module.sides)
    geometry = module.stride, module.padding, module.dilation, module.groups
    return functional.conv2d(x, weight, bias, *geometry)


def in_torch(network: nn.Module) -> Any:
    """The same network in PyTorch, in float64, with dropout of the same values."""
    return translated(network, {nn.Dropout: Dropout}).double()


# --------------------------------------------------------------------------------------------------
# Joints


class Joint(torch.autograd.Function):
    """Compare PyTorch's value with byhand's and pass byhand's on, in both directions."""

    @staticmethod
    def forward(ctx: Any, value: Any, ours: Array, limit: Any, arrived: Any, what: str) -> Any:
        agree(ours, value, limit, what)
        ctx.arrived = arrived
        return double(ours)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        ours, limit, what = ctx.arrived()
        agree(ours, grads[0], limit, what)
        return double(ours), None, None, None, None


def trained_in_torch(network: nn.Module) -> Any:
    """The same network in PyTorch, with the same weights and statistics."""
    return with_weights_of(network, in_torch(network))


class Twin:
    """PyTorch's copy of a network whose layers keep logs. Call `check` after byhand's own pass."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.logs = record(network)
        self.module = in_torch(network)
        pairs = list(zip(network.modules(), self.module.modules(), strict=True))
        self.parameters = dict(zip(parameters(network), self.module.parameters(), strict=True))
        self.limits: dict[Any, Any] = defaultdict(float)
        for i, (layer, module) in enumerate(pairs):
            if layer in self.logs:
                name = f"{type(layer).__name__}, number {i} of modules()"
                self._join(layer, module, self.logs[layer], name)

    def load(self) -> None:
        """Copy byhand's weights and statistics into the PyTorch network, and clear gradients."""
        with_weights_of(self.network, self.module)
        self.module.zero_grad()
        self.limits.clear()

    def check(self, x: Array, y: Array, grad_y: Array, grad_x: Array) -> None:
        """Compare a forward and a backward pass of the network with PyTorch's.

        `grad` of parameters may be the sum over several passes since the last `load`.
        """
        inputs = double(x).requires_grad_()
        outputs = self.module(inputs)
        agree(y, outputs, 0, "output of the network")
        outputs.backward(double(grad_y))
        agree(grad_x, inputs.grad, 0, "gradient of the input")
        for ours, theirs in self.parameters.items():
            limit = self.limits[theirs] + 4 * EPS * theirs.grad.abs().numpy()
            agree(ours.grad, theirs.grad, limit, f"gradient of {ours}")

    def infer(self, x: Array, y: Array) -> None:
        """Compare a forward pass with PyTorch's."""
        agree(y, self.module(double(x)), 0, "output of the network")

    def _join(self, layer: nn.Module, module: Any, log: Log, name: str) -> None:
        limit_x: list[Any] = []

        def before(_: Any, args: Any) -> Any:
            def arrived() -> Any:
                return log.grad_x, limit_x.pop(), f"gradient of the input of {name}"

            return (Joint.apply(args[0], log.x, 0, arrived, f"input of {name}"),)

        def after(_: Any, args: Any, y: Any) -> Any:
            def arrived() -> Any:
                on_x, *on_weights = backward_limits(module, log)
                limit_x.append(on_x)
                own = module.parameters(recurse=False)
                for parameter, limit in zip(own, on_weights, strict=True):
                    self.limits[parameter] = self.limits[parameter] + limit
                return log.grad_y, 0, f"gradient of the output of {name}"

            limit, *on_statistics = forward_limits(module, log, y.detach().numpy())
            for ours, one, on_one in zip(
                statistics(layer), STATISTICS, on_statistics, strict=False
            ):
                agree(ours, getattr(module, one), on_one, f"{one} of {name}")
                setattr(module, one, double(ours))
            return Joint.apply(y, log.y, limit, arrived, f"output of {name}")

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)


def parameters(network: nn.Module) -> list[Any]:
    """List each Parameter once, as torch.nn.Module.parameters does."""
    return list(dict.fromkeys(network.parameters()))


# --------------------------------------------------------------------------------------------------
# Bounds on the difference between one layer's float32 results and PyTorch's


def weighted(module: Any) -> bool:
    return isinstance(module, torch.nn.Linear | torch.nn.Conv2d)


def winograd(module: Any, size: Array) -> Any:
    """The error that Winograd's algorithm may add. "auto" uses it for these shapes only."""
    square = isinstance(module, torch.nn.Conv2d) and module.kernel_size in ((3, 3), (5, 5))
    if not square or (*module.stride, *module.dilation, module.groups) != (1, 1, 1, 1, 1):
        return 0.0
    return WINOGRAD * size.max(initial=0.0)


def forward_limits(module: Any, log: Log, y: Array) -> tuple[Any, ...]:
    """The limits of the output, and of the running statistics of a batch norm."""
    if not len(log.x):
        return 0.0, 0.0, 0.0
    if weighted(module):
        absolute = [None if p is None else p.abs() for p in (module.weight, module.bias)]
        size = product(module, double(log.x).abs(), *absolute).detach().numpy()
        terms = prod(module.weight.shape[1:]) + 1
        return (accumulation(size, terms) + winograd(module, size),)
    match type(module).__name__:
        case "BatchNorm1d" | "BatchNorm2d":
            limit_y, _, _, *on_statistics = bounds.batch_norm(batch_norm_call(module, log))
            return limit_y, *on_statistics
        case "AvgPool2d" | "AdaptiveAvgPool2d" | "PaddedPool2d":
            size = module.forward(double(log.x).abs()).numpy()
            return (accumulation(size, window_area(module, log)),)
        case "Tanh":
            return (bounds.TANH_ULP * ulp(y),)
        case "Sigmoid":
            return (bounds.SIGMOID_ULP * ulp(y),)
        case "Residual" | "Dropout":
            return (accumulation(np.abs(y), 1),)
    return (0.0,)


def backward_limits(module: Any, log: Log) -> tuple[Any, ...]:
    """The limits of the gradients of the input and of the layer's weights."""
    if not len(log.x):
        return (0.0,) * (1 + len(list(module.parameters(recurse=False))))
    x, size = double(log.x), double(log.grad_y).abs()
    if weighted(module):
        weights = [p for p in (module.weight, module.bias) if p is not None]
        places = [a.detach().abs().requires_grad_() for a in (x, *weights)]
        sizes = pulled_back(lambda *a: product(module, *a, *[None] * (3 - len(a))), places, size)
        outputs, taps = module.weight.shape[0], prod(module.weight.shape[2:])
        terms = [outputs * taps // getattr(module, "groups", 1)]
        terms += [size.numel() // outputs] * len(weights)
        return tuple(
            accumulation(s, n + 4) + winograd(module, s) for s, n in zip(sizes, terms, strict=True)
        )
    match type(module).__name__:
        case "BatchNorm1d" | "BatchNorm2d":
            return batch_norm_backward(module, log)
        case "Residual":
            return (accumulation(np.abs(log.grad_x), 1),)
        case "Tanh":
            call = Call("tanh_backward", (log.grad_y, log.y), {})
            inner = 2 * np.abs(log.y) * bounds.TANH_ULP * ulp(log.y)
            return (bounds.tanh_backward(call)[0] + np.abs(log.grad_y) * inner,)
        case "Sigmoid":
            call = Call("sigmoid_backward", (log.grad_y, log.y), {})
            inner = bounds.SIGMOID_ULP * ulp(log.y)
            return (bounds.sigmoid_backward(call)[0] + np.abs(log.grad_y) * inner,)
        case "ReLU":
            return (0.0,)
    (size_x,) = pulled_back(module.forward, [x.requires_grad_()], size)
    return (accumulation(size_x, window_area(module, log)),)


def pulled_back(function: Callable[..., Any], places: list[Any], grad: Any) -> list[Array]:
    """Return the gradients with respect to all arguments, given that of the function's output."""
    with torch.enable_grad():
        return [g.numpy() for g in torch.autograd.grad(function(*places), places, grad)]


def window_area(module: Any, log: Log) -> int:
    """The largest number of values that are added up for one pooled value."""
    if type(module).__name__ == "AdaptiveAvgPool2d":
        return prod(log.x.shape[2:])
    owner = getattr(module, "layer", module)
    return prod(reference.pair(getattr(owner, "kernel_size", 1)))


def batch_norm_call(module: Any, log: Log) -> Call:
    args = (log.x, *(p.detach().numpy() for p in (module.weight, module.bias)), *log.statistics)
    settings = {"momentum": module.momentum, "eps": module.eps}
    return Call("batch_norm", args, {"training": module.training, **settings})


def batch_norm_backward(module: Any, log: Log) -> tuple[Any, ...]:
    """The kernel's bound for given statistics, plus the effect of errors of the statistics."""
    x, dy = log.x.astype(np.float64), np.abs(log.grad_y.astype(np.float64))
    forward = batch_norm_call(module, log)
    _, mean, inv_std, *_ = forward.expected()
    call = Call(
        "batch_norm_backward",
        (log.grad_y, log.x, forward.args[1], mean, inv_std),
        {"training": module.training},
    )
    on_x, on_gamma, on_beta = bounds.batch_norm_backward(call)
    _, of_mean, of_inv_std, *_ = bounds.batch_norm(forward)
    axes = (0, *range(2, x.ndim))

    def spread(a: Array) -> Array:
        return a.reshape(-1, *[1] * (x.ndim - 2))

    m, i, g, e, r = map(spread, (mean, inv_std, np.abs(forward.args[1]), of_mean, of_inv_std))
    normal, off = np.abs(x - m) * i, e * i + np.abs(x - m) * r  # normalised values, their errors
    on_gamma = on_gamma + (dy * off).sum(axes)
    if module.training:
        by_normal, by_off = spread((dy * normal).mean(axes)), spread((dy * off).mean(axes))
        size = dy + spread(dy.mean(axes)) + normal * by_normal
        on_x = on_x + g * r * size + g * i * (off * by_normal + normal * by_off)
    else:
        on_x = on_x + g * r * dy
    return on_x, on_gamma, on_beta
