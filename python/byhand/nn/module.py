"""The base of layers and networks, and calls of a single layer by hand."""

from __future__ import annotations

import copy
import inspect
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import flag, form
from byhand.engine.memory import Array, Memory, Shape
from byhand.engine.plan import Branch, Call, Op
from byhand.nn.parameter import Parameter, Statistic, clear_gradients, load_arrays

Self = TypeVar("Self", bound="Module")


class Module:
    """A layer or a network.

    A subclass with `forward` and `backward` is a layer of its own and may stand wherever a layer of
    byhand.nn may. Its parameters are attributes that are `Parameter`s; `backward` adds to their
    `.grad`. If it consists of modules, it lists them in `children`. If it takes settings, it stores
    them under the names of its constructor's arguments.
    """

    training: bool = True
    children: tuple[Module, ...] = ()

    def forward(self, x: Array) -> Array:
        """Return the output for x, both with the batch axis in front. It must not change x."""
        raise _undefined(self, "forward")

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient with respect to the last x; add to the `.grad` of the parameters.

        It must not change grad_output.
        """
        raise _undefined(self, "backward")

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one image's output for that of its input, both without the batch axis.

        A module that does not define it is tried on an image of zeros, once for each shape, in
        inference. Raises ValueError if the input does not fit.
        """
        known: dict[Shape, Shape] = vars(self).setdefault("_shapes", {})
        if shape not in known:
            with _lock, _in_inference(self) as twin:
                y = twin.forward(np.zeros((1, *shape), np.float32))
            if not isinstance(y, np.ndarray) or len(y) != 1:
                raise ValueError(
                    f"forward of {type(self).__name__} must return an array with the batch axis "
                    f"in front, not {form(y)}"
                )
            known[shape] = y.shape[1:]
        return known[shape]

    def flops(self, shape: Shape) -> int:
        """Floating-point operations of the matrix products in one image's forward pass.

        A multiplication with its addition counts as two; bias, pooling and activation as none, and
        so does a module that does not define it.
        """
        return 0

    def layers(self) -> Iterator[Op]:
        """What a plan runs, in this order: the layers, those of inner networks included."""
        yield ByHand(self)

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        """Each layer with the shape of one image that reaches it, those inside layers included.

        The layers inside a user's own module are left out, because nothing says what reaches them.
        """
        return iter(())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters under PyTorch's names: "weight" in a layer, "0.weight" in a Sequential.

        A parameter that several layers share comes once, under its first name.
        """
        seen: set[Parameter] = set()
        for name, parameter in self.named_state():
            if not isinstance(parameter, Statistic) and parameter not in seen:
                seen.add(parameter)
                yield name, parameter

    def named_state(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters and running statistics, all that `state_dict` holds, under all their names."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value
        for i, child in enumerate(self.children):
            for name, value in child.named_state():
                yield f"{i}.{name}", value

    def modules(self) -> Iterator[Module]:
        """This one and all inside it, in the order in which they run."""
        yield self
        for child in self.children:
            yield from child.modules()

    def __call__(self, x: Array) -> Array:
        return self.forward(x)

    def parameters(self) -> list[Parameter]:
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        clear_gradients(self.parameters())

    def train(self: Self, mode: bool = True) -> Self:
        """Whether `forward` is that of training, which is how a layer begins, or of inference."""
        mode = flag("mode", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        return self.train(False)

    def begin_step(self, seed: int, step: int) -> None:
        """Set the seed and the step, both from 0, that decide what layers draw in the next pass."""
        for child in self.children:
            child.begin_step(seed, step)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and running statistics by name."""
        return {name: parameter.data.copy() for name, parameter in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` has, by name, from float32 arrays or what NumPy reads as such.

        The counters that PyTorch has beside running statistics are passed over. Raises ValueError
        that lists every missing, unexpected and unfit entry; then nothing has changed.
        """
        targets = {name: parameter.data for name, parameter in self.named_state()}
        if isinstance(state, Mapping):
            counters = {
                name.replace("running_mean", "num_batches_tracked")
                for name in targets
                if name.endswith("running_mean")
            }
            state = {name: value for name, value in state.items() if name not in counters}
        load_arrays(targets, state, type(self).__name__)

    def arguments(self) -> dict[str, Any]:
        """The arguments of the constructor, apart from the weights: numbers, pairs and booleans.

        Raises TypeError if the module does not store one of them under its name.
        """
        found = {}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if name == "rng":
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(
                self, name
            ):
                raise TypeError(
                    f"{type(self).__name__} does not store its argument {name} under that name"
                )
            found[name] = _shortest(getattr(self, name))
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter):
            array = isinstance(value, np.ndarray)
            kind = f"an array {form(value)}" if array else f"a value of type {form(value)}"
            raise TypeError(
                f"{name} of {type(self).__name__} is a parameter and cannot be replaced by {kind}: "
                f"to change its values, use .{name}.data = array"
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if isinstance(vars(self).get(name), Parameter):
            raise TypeError(
                f"{name} of {type(self).__name__} is a parameter and cannot be removed: make a "
                "new layer without it, for example with bias=False"
            )
        super().__delattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        # Plans and activations are left out: copies of views no longer share one arena.
        return {
            name: v for name, v in vars(self).items() if name not in ("_last", "_plans", "_shapes")
        }


class Layer(Module, Op):
    """One step of a network.

    A layer stores its arguments under their names. Its calculation is `run`, `run_backward` and
    `saved`, on buffers that are given: calls by hand make fresh ones, plans have an arena. Arrays
    have the batch axis in front, shapes have not.
    """

    has_modes: bool = False
    """Whether the layer computes differently in training and in inference."""

    _last: Call | None = None

    def gradients(self) -> tuple[Array, ...]:
        return tuple(parameter.grad for parameter in self.parameters())

    def run(self, b: Call) -> None:
        raise _undefined(self, "run")

    def run_backward(self, b: Call) -> None:
        raise _undefined(self, "run_backward")

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def flops(self, shape: Shape) -> int:
        return 0

    def least_batch(self, shape: Shape) -> int:
        """The fewest images of this shape that the layer can take in its present mode."""
        return 1

    def layers(self) -> Iterator[Op]:
        yield ByHand(self) if is_by_hand(self) else self

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        yield self, shape

    def forward(self, x: Array) -> Array:
        """x (N, ...) to a fresh array, or a view of x where the layer only reshapes.

        The layer keeps x and its output for `backward` and does not copy them.
        Raises ValueError where x does not fit, TypeError where it is not float32.
        """
        if not isinstance(x, np.ndarray) or x.ndim == 0:
            raise TypeError(f"x must be an array with a batch axis, not {form(x)}")
        _check_float32("x", x)
        if self.is_view:
            y = x.reshape((len(x), *self.output_shape(x.shape[1:])))
            call = Call(self, x, y, (), inference=False)
        else:
            call = self.bind(x, Memory(len(x)))
            call.op.run(call)
        self._last = call
        return call.y  # not self._last.y: another thread may have run the layer meanwhile

    def backward(self, grad_output: Array) -> Array:
        """The gradient of the last x for that of its output; adds to every parameter's `.grad`.

        Raises RuntimeError before the first forward, ValueError where grad_output has not the
        output's shape, TypeError where it is not float32.
        """
        last = self._last
        if last is None:
            raise RuntimeError(f"backward of {self!r} was called before forward")
        if not isinstance(grad_output, np.ndarray) or grad_output.shape != last.y.shape:
            raise ValueError(
                f"grad_output of {self!r} must have the output's shape {last.y.shape}, "
                f"not be {form(grad_output)}"
            )
        _check_float32("grad_output", grad_output)
        if self.is_view:
            return grad_output.reshape(last.x.shape)
        grad_x = kernels.empty(last.x.shape)
        last.op.bind_backward(last, grad_output, Memory(len(grad_x)), grad_x)
        targets = last.gradients
        last.gradients = tuple(kernels.empty(target.shape) for target in targets)
        last.op.run_backward(last)
        for target, gradient in zip(targets, last.gradients, strict=True):
            kernels.accumulate(target, gradient)
        return grad_x

    def __repr__(self) -> str:
        signature = inspect.signature(type(self)).parameters
        shown = []
        for name, value in self.arguments().items():
            default = signature[name].default
            if default is inspect.Parameter.empty:
                shown.append(str(value))
            elif value != default:
                shown.append(f"{name}={value}")
        return f"{type(self).__name__}({', '.join(shown)})"


# --------------------------------------------------------------------------------------------------
# A user's own layer

# Held while a user's layer computes in inference, because its mode is set for the time. A forked
# process begins with a lock that nobody holds.
_lock = threading.RLock()


def _new_lock() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_new_lock)


class ByHand(Op):
    """A module, as an op that calls the module's own `forward` and `backward`."""

    def __init__(self, module: Module) -> None:
        self.module = module

    def output_shape(self, shape: Shape) -> Shape:
        return self.module.output_shape(shape)

    def gradients(self) -> tuple[Array, ...]:
        return tuple(parameter.grad for parameter in self.module.parameters())

    def run(self, b: Call) -> None:
        if not b.inference:
            self._copy(self.module.forward, b.x, b.y)
            return
        with _lock, _in_inference(self.module) as twin:
            self._copy(twin.forward, b.x, b.y)

    def run_backward(self, b: Call) -> None:
        # `backward` adds to the gradients that the parameters have, and a plan overwrites them.
        parameters = self.module.parameters()
        before = [parameter.grad.copy() for parameter in parameters]
        self.module.zero_grad()
        grad_x = kernels.empty(b.x.shape) if b.grad_x is None else b.grad_x
        self._copy(self.module.backward, b.grad_y, grad_x)
        fresh = [parameter.grad.copy() for parameter in parameters]
        for parameter, old in zip(parameters, before, strict=True):
            parameter.grad[...] = old
        for target, gradient in zip(b.gradients, fresh, strict=True):
            target[...] = gradient

    def _copy(self, function: Callable[[Array], Any], array: Array, to: Array) -> None:
        array = array.view()
        array.flags.writeable = False  # others read it later: a change would be a wrong gradient
        result = function(array)
        if not isinstance(result, np.ndarray) or result.shape != to.shape:
            raise ValueError(
                f"{function.__name__} of {type(self.module).__name__} must return an array of "
                f"shape {to.shape} for one of shape {array.shape}, not {form(result)}"
            )
        to[...] = result


@contextmanager
def _in_inference(module: Module) -> Iterator[Module]:
    """A copy in inference mode. What it keeps for `backward` is not kept in the module itself."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield copy.copy(module)
    finally:
        for part in training:
            part.training = True


def is_by_hand(module: Module) -> bool:
    """Whether a class computes something else in `forward` or `backward` than a plan would run.

    A plan runs `run` and `run_backward` of layers, and what `layers` of a network yields. A class
    that is derived further may override `forward` or `backward` alone.
    """
    names = ("run", "run_backward") if isinstance(module, Layer) else ("layers", "layers")
    return overrides(type(module), *names)


def overrides(kind: type, forward: str, backward: str) -> bool:
    """Whether a class is derived further by its `forward` than by the method named `forward`.

    The same for `backward`. These two are what a plan runs.
    """
    pairs = (("forward", forward), ("backward", backward))
    return any(_depth(kind, by_hand) < _depth(kind, planned) for by_hand, planned in pairs)


def must_have_gradients(network: Module) -> None:
    """Raise TypeError if an op of the network has no backward pass."""
    for op in _with_inner(network.layers()):
        if isinstance(op, ByHand):
            kind: type = type(op.module)
            method, missing = "backward", type(op.module).backward is Module.backward
        else:
            kind, method = type(op), "run_backward"
            missing = not op.is_view and type(op).run_backward is Layer.run_backward
        if missing:
            raise TypeError(f"{kind.__name__} defines no {method}, so fit cannot train with it")


def _with_inner(ops: Iterable[Op]) -> Iterator[Op]:
    for op in ops:
        yield op
        if isinstance(op, Branch):
            yield from _with_inner(op.ops)


def _depth(kind: type, method: str) -> int:
    """The number of steps up the method resolution order to the class that defines a method."""
    return next(i for i, base in enumerate(kind.__mro__) if method in vars(base))


def _undefined(module: Module, method: str) -> NotImplementedError:
    return NotImplementedError(f"{type(module).__name__} defines no {method}")


def _shortest(value: Any) -> Any:
    """The shortest form of a number, a pair of numbers or a pair of pairs, with the same meaning.

    2 means (2, 2), and (1, 2) means ((1, 1), (2, 2)).
    """
    if not isinstance(value, tuple) or len(value) != 2:
        return value
    if all(isinstance(side, tuple) and side[0] == side[1] for side in value):
        return _shortest(tuple(side[0] for side in value))
    return value[0] if value[0] == value[1] and not isinstance(value[0], tuple) else value


def _check_float32(name: str, array: NDArray[Any]) -> None:
    if array.dtype != np.float32:
        raise TypeError(
            f"{name} must be a float32 array, not {array.dtype}: use .astype(np.float32)"
        )
