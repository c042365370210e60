"""Ops: the steps of a network, and the arrays that a step works on.

An op is a layer, several layers that one kernel computes together, or a residual branch, which
consists of ops. To bind an op to a batch is to take all arrays that the op needs for this batch.
The result is a `Call`: the op with its arrays. A plan takes the arrays from its arena. A call of a
single layer by hand, `layer.forward(x)`, takes new arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import with_batch
from byhand.engine.memory import Array, Buffer, Memory, Shape

Saved = tuple[NDArray[Any], ...]


class Op:
    """One step of a network.

    An argument `shape` is the shape of one image, without the batch axis. Every array has the batch
    axis in front.
    """

    is_view: bool = False
    """Whether the output is the input's memory in another shape. A plan never runs such an op."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of one image's output.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input.

        Raises
        ------
        ValueError
            If the op cannot take an input of this shape.
        """
        raise NotImplementedError

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        """Return the buffers that the op needs in addition to the input and the output.

        `run` fills them. `run_backward` may read them, for example the positions of the maxima.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input.
        """
        return ()

    def gradients(self) -> tuple[Array, ...]:
        """Return the arrays for the gradients with respect to the op's parameters."""
        return ()

    def run(self, b: Call) -> None:
        """Compute the output: write `b.y` and `b.saved`.

        Parameters
        ----------
        b : Call
            The arrays of the batch.
        """
        raise NotImplementedError

    def run_backward(self, b: Call) -> None:
        """Compute the gradients: overwrite `b.gradients`, and `b.grad_x` unless it is None.

        Parameters
        ----------
        b : Call
            The arrays of the batch after `run`. `b.grad_y` is filled, too.
        """
        raise NotImplementedError

    def bind(self, x: Array, memory: Memory, *, inference: bool = False) -> Call:
        """Take the arrays that the op needs for the forward pass of a batch.

        Parameters
        ----------
        x : ndarray, shape (N, ...), float32
            The array of the input. Its values are not read yet.
        memory : Memory
            The source of the other arrays.
        inference : bool
            Whether the call is for inference. If so, no backward pass follows, and the memory of
            the saved arrays may be used again after this op.

        Returns
        -------
        Call
            The op with its arrays.
        """
        saved = tuple(memory.take(buffer) for buffer in self.saved(x.shape[1:]))
        y = memory.take(Buffer(self.output_shape(x.shape[1:])))
        if inference:
            memory.release(*saved)
        return Call(self, x, y, saved, inference=inference)

    def bind_backward(self, b: Call, grad_y: Array, memory: Memory, grad_x: Array | None) -> None:
        """Take the arrays that the op needs for its backward pass, and store them in the call.

        Parameters
        ----------
        b : Call
            The call, as `bind` returned it.
        grad_y : ndarray, of the shape of b.y, float32
            The gradient with respect to the output.
        memory : Memory
            The source of further arrays.
        grad_x : ndarray, of the shape of b.x, float32, or None
            The array for the gradient with respect to the input. None if this gradient is not
            needed.
        """
        b.grad_y, b.grad_x, b.gradients = grad_y, grad_x, self.gradients()


class Call:
    """An op with the arrays of one batch.

    `Op.bind_backward` adds `grad_y` and `grad_x`, the gradients with respect to the output and the
    input, and `gradients`, those with respect to the parameters.

    Parameters
    ----------
    op : Op
        The op to run.
    x, y : ndarray, float32
        The input and the output.
    saved : tuple of ndarray
        The arrays for the buffers that `Op.saved` lists.
    inference : bool
        Whether the call is for inference.
    """

    grad_y: Array
    grad_x: Array | None
    gradients: tuple[Array, ...]

    def __init__(self, op: Op, x: Array, y: Array, saved: Saved, *, inference: bool) -> None:
        self.op, self.x, self.y, self.saved = op, x, y, saved
        self.inference = inference
        """Whether to run in inference mode. If it is False, the layer's own mode decides."""
        self.training = True
        """Whether the last `run` was in training mode. `run` sets it, and `run_backward` reads it.

        Only layers that differ between the modes use it.
        """
        self.inner: list[Call] = []
        self.inner_backward: list[Call] = []
        """The calls inside a branch, in the order of the forward pass and of the backward pass."""


def bind_all(
    ops: Sequence[Op], x: Array, memory: Memory, *, inference: bool = False, keep: bool = False
) -> tuple[list[Call], Array]:
    """Bind a chain of ops: the output of each op is the input of the next one.

    In inference, the memory of an array may be used again as soon as the next op has read the
    array. In training, all arrays are kept for the backward pass.

    Parameters
    ----------
    ops : sequence of Op
        The ops, in the order in which they run.
    x : ndarray, shape (N, ...), float32
        The input of the first op.
    memory : Memory
        The source of the other arrays.
    inference : bool
        Whether the calls are for inference.
    keep : bool
        Whether the caller still needs `x` after the ops have run.

    Returns
    -------
    calls : list of Call
        The calls to run. An op that is a view has no call.
    output : ndarray, shape (N, ...), float32
        The output of the last op.
    """
    calls: list[Call] = []
    for op in ops:
        if op.is_view:
            x = x.reshape((len(x), *op.output_shape(x.shape[1:])))
            continue
        call = op.bind(x, memory, inference=inference)
        if inference and (calls or not keep):
            memory.release(x)
        calls.append(call)
        x = call.y
    return calls, x


def bind_all_backward(
    calls: Sequence[Call],
    grad_y: Array,
    memory: Memory,
    grad_x: Array | None,
    *,
    keep: bool = False,
) -> list[Call]:
    """Bind the backward passes of a chain of calls.

    Parameters
    ----------
    calls : sequence of Call
        The calls, in the order of the forward pass.
    grad_y : ndarray, float32
        The gradient with respect to the output of the last call.
    memory : Memory
        The source of the other arrays.
    grad_x : ndarray, float32, or None
        The array for the gradient with respect to the input of the first call. If it is None, this
        gradient is not needed. Then the calls in front of the first one with parameters have no
        backward pass.
    keep : bool
        Whether the caller still needs `grad_y` after the backward pass.

    Returns
    -------
    list of Call
        The calls to run backward, in the order in which they run: the last call first.
    """
    first = 0
    if grad_x is None:
        first = next((i for i, call in enumerate(calls) if call.op.gradients()), len(calls))
    chosen = list(reversed(calls[first:]))
    for call in chosen:
        target = grad_x
        if call is not chosen[-1]:
            target = memory.take(Buffer(call.x.shape[1:]))
        elif grad_x is not None:
            target = grad_x.reshape(call.x.shape)
        call.op.bind_backward(call, grad_y.reshape(call.y.shape), memory, target)
        if not (keep and call is chosen[0]):
            memory.release(grad_y)
        if target is not None:
            grad_y = target
    return chosen


class Branch(Op):
    """A residual branch: y = x + f(x), where f is a chain of ops.

    Parameters
    ----------
    ops : sequence of Op
        The ops of f, in the order in which they run.
    """

    def __init__(self, ops: Sequence[Op]) -> None:
        self.ops = list(ops)

    def output_shape(self, shape: Shape) -> Shape:
        y = shape
        for op in self.ops:
            y = op.output_shape(y)
        if y != shape:
            raise ValueError(
                "the layers of a Residual must return the shape they take, "
                f"not {with_batch(y)} for {with_batch(shape)}"
            )
        return shape

    def gradients(self) -> tuple[Array, ...]:
        return tuple(gradient for op in self.ops for gradient in op.gradients())

    def bind(self, x: Array, memory: Memory, *, inference: bool = False) -> Call:
        shape = self.output_shape(x.shape[1:])
        inner, end = bind_all(self.ops, x, memory, inference=inference, keep=True)
        call = Call(self, x, memory.take(Buffer(shape)), (), inference=inference)
        if inference and inner:
            memory.release(end)
        call.inner = inner
        return call

    def bind_backward(self, b: Call, grad_y: Array, memory: Memory, grad_x: Array | None) -> None:
        super().bind_backward(b, grad_y, memory, grad_x)
        b.inner_backward = bind_all_backward(b.inner, grad_y, memory, grad_x, keep=True)

    def run(self, b: Call) -> None:
        y = b.x
        for call in b.inner:
            call.op.run(call)
            y = call.y
        kernels.add(y.reshape(b.x.shape), b.x, out=b.y)

    def run_backward(self, b: Call) -> None:
        # b.gradients has the gradients of all inner ops, in the order of the forward pass. The loop
        # runs backward, so it hands out the parts from the end of b.gradients to its beginning.
        end = len(b.gradients)
        for call in b.inner_backward:
            start = end - len(call.op.gradients())
            call.gradients, end = b.gradients[start:end], start
            call.op.run_backward(call)
        if b.grad_x is not None:
            if b.inner_backward:
                kernels.accumulate(b.grad_x, b.grad_y)
            else:  # f has only views or no op at all, so y = x + x
                kernels.add(b.grad_y, b.grad_y, out=b.grad_x)
