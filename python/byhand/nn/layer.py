"""The base class of the layers of byhand.nn: how one layer runs, alone or in a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import form
from byhand.engine.memory import Array, Memory, Shape, device_of, is_array
from byhand.engine.op import Branch, Call, Op
from byhand.nn.module import ByHand, Module, undefined


class Layer(Module, Op):
    """The base class of the layers of byhand.nn.

    A layer computes in `run` and `run_backward`, on arrays that their caller passes in. There are
    two callers. `forward` and `backward`, which a user calls by hand, allocate new arrays for each
    call. A plan, which trains and predicts, passes arrays that it allocated once.

    Every array has the batch axis in front. An argument `shape` is the shape of one image, without
    the batch axis. A layer stores each argument of its constructor in an attribute of that name.
    """

    _last: Call | None = None

    def gradients(self) -> tuple[Array, ...]:
        return tuple(parameter.grad for parameter in self.parameters())

    def run(self, b: Call) -> None:
        raise undefined(self, "run")

    def run_backward(self, b: Call) -> None:
        raise undefined(self, "run_backward")

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of one image's output, without the batch axis.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.

        Raises
        ------
        ValueError
            If the layer does not take an input of this shape.
        """
        return shape

    def flops(self, shape: Shape) -> int:
        return 0

    def layers(self) -> Iterator[Op]:
        yield ByHand(self) if is_by_hand(self) else self

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Module, Shape]]:
        yield self, shape

    def forward(self, x: Array) -> Array:
        """Compute the output for a batch.

        The layer keeps `x` and the output for `backward`, without a copy. Do not change these two
        arrays until `backward` has run.

        Parameters
        ----------
        x : ndarray, shape (N, ...), float32
            The batch.

        Returns
        -------
        ndarray, shape (N, ...), float32
            A new array, or a view of `x` if the layer only changes the shape.

        Raises
        ------
        TypeError
            If `x` is not a float32 array.
        ValueError
            If the layer does not take an input of this shape.
        """
        if not is_array(x) or x.ndim == 0:
            raise TypeError(f"x must be an array with a batch axis, not {form(x)}")
        _check_float32("x", x)
        if self.is_view:
            y = x.reshape((len(x), *self.output_shape(x.shape[1:])))
            call = Call(self, x, y, (), inference=False)
        else:
            call = self.bind(x, Memory(len(x), device_of(x)))
            call.op.run(call)
        self._last = call
        return call.y  # not self._last.y, because another thread may have run the layer meanwhile

    def backward(self, grad_output: Array) -> Array:
        """Compute the gradients for the batch of the last `forward`.

        This method adds the gradients with respect to the parameters to their `.grad`. Call
        `zero_grad` before, unless you want the sum of the gradients of several batches.

        Parameters
        ----------
        grad_output : ndarray, of the shape of the output, float32
            The gradient of the loss with respect to the output.

        Returns
        -------
        ndarray, of the shape of the input, float32
            The gradient of the loss with respect to the input.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        TypeError
            If `grad_output` is not float32.
        ValueError
            If `grad_output` does not have the shape of the output.
        """
        last = self._last
        if last is None:
            raise RuntimeError(f"backward of {self!r} was called before forward")
        if not is_array(grad_output) or grad_output.shape != last.y.shape:
            raise ValueError(
                f"grad_output of {self!r} must have the shape {last.y.shape} of the output, "
                f"but it is {form(grad_output)}"
            )
        _check_float32("grad_output", grad_output)
        if self.is_view:
            return grad_output.reshape(last.x.shape)
        device = device_of(last.x)
        grad_x: Array = kernels.empty(last.x.shape, device)
        last.op.bind_backward(last, grad_output, Memory(len(grad_x), device), grad_x)
        targets = last.gradients
        last.gradients = tuple(kernels.empty(target.shape, device) for target in targets)
        last.op.run_backward(last)
        for target, gradient in zip(targets, last.gradients, strict=True):
            kernels.accumulate(target, gradient)
        return grad_x


def is_by_hand(module: Module) -> bool:
    """Return whether a plan must call `forward` and `backward` of a module.

    In general, the result is False: a plan calls `run` and `run_backward` of a layer of byhand.nn,
    and replaces a network by the layers that its method `layers` returns. But if a user's subclass
    overrides `forward` or `backward`, only these two methods compute what the user wants.

    Parameters
    ----------
    module : Module
        A layer or a network.
    """
    names = ("run", "run_backward") if isinstance(module, Layer) else ("layers", "layers")
    return overrides(type(module), *names)


def overrides(kind: type, forward: str, backward: str) -> bool:
    """Return whether a class overrides `forward` or `backward`, but not the method for plans.

    For example, a subclass of ReLU that defines `forward` inherits `run` from the class that it
    derives from. A plan that called `run` would ignore the new `forward`, so the result is True.
    The result is False if the subclass also defines `run`.

    Parameters
    ----------
    kind : type
        The class.
    forward, backward : str
        The names of the methods that a plan calls instead of `forward` and `backward`.
    """
    pairs = (("forward", forward), ("backward", backward))
    return any(_depth(kind, by_hand) < _depth(kind, planned) for by_hand, planned in pairs)


def must_have_gradients(network: Module) -> None:
    """Check that a network can be trained.

    Parameters
    ----------
    network : Module
        The network.

    Raises
    ------
    TypeError
        If a layer of the network defines no backward pass.
    """
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
    """Iterate over ops and the ops inside branches."""
    for op in ops:
        yield op
        if isinstance(op, Branch):
            yield from _with_inner(op.ops)


def _depth(kind: type, method: str) -> int:
    """Return the position, in the method resolution order, of the class that defines a method.

    The position of `kind` itself is 0.
    """
    return next(i for i, base in enumerate(kind.__mro__) if method in vars(base))


def _check_float32(name: str, array: NDArray[Any]) -> None:
    if array.dtype != np.float32:
        raise TypeError(
            f"{name} must be a float32 array, not {array.dtype}: use .astype(np.float32)"
        )
