"""Plans: a network and a batch size become a list of kernel calls over one arena.

A plan knows ops. An op is a layer, several layers that one kernel computes together, or a branch
that consists of ops. Binding an op to a batch makes a `Call`: the op with the arrays that it works
on. The arrays of a batch are in its calls. Calls of a layer by hand are made in the same way, on
fresh arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import with_batch
from byhand.engine.memory import Arena, Array, Buffer, Memory, Shape

Saved = tuple[NDArray[Any], ...]

# The number of batch sizes below the largest for which a plan keeps views of its arena.
_MOST_BATCHES = 16


class Op:
    """One step of a network. Shapes are those of one image; arrays have the batch axis in front."""

    is_view: bool = False
    """The output is the input in another shape, in the same memory: the op is never run."""

    def output_shape(self, shape: Shape) -> Shape:
        """The output's shape for this input's; ValueError if the op cannot take it."""
        raise NotImplementedError

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        """The buffers beside x and y that `run` needs or keeps for `run_backward`."""
        return ()

    def gradients(self) -> tuple[Array, ...]:
        """The arrays for the gradients of the op's parameters. Empty if it has none."""
        return ()

    def run(self, b: Call) -> None:
        """Write b.y and b.saved."""
        raise NotImplementedError

    def run_backward(self, b: Call) -> None:
        """Write b.grad_x, unless it is None, and b.gradients. Nothing is added to old values."""
        raise NotImplementedError

    def bind(self, x: Array, memory: Memory, *, inference: bool = False) -> Call:
        """The op with its arrays for the input x."""
        saved = tuple(memory.take(buffer) for buffer in self.saved(x.shape[1:]))
        y = memory.take(Buffer(self.output_shape(x.shape[1:])))
        if inference:
            memory.release(*saved)
        return Call(self, x, y, saved, inference=inference)

    def bind_backward(self, b: Call, grad_y: Array, memory: Memory, grad_x: Array | None) -> None:
        """Give a call its gradients; grad_x is None if nobody needs it."""
        b.grad_y, b.grad_x, b.gradients = grad_y, grad_x, self.gradients()


class Call:
    """An op with the arrays of one batch. The gradients are there if `bind_backward` gave them."""

    grad_y: Array
    grad_x: Array | None
    gradients: tuple[Array, ...]

    def __init__(self, op: Op, x: Array, y: Array, saved: Saved, *, inference: bool) -> None:
        self.op, self.x, self.y, self.saved = op, x, y, saved
        self.inference = inference
        """Run as in inference. Otherwise the mode of each layer (`train`, `eval`) decides."""
        self.training = True
        """The mode of the last run, written by ops that have two; their `run_backward` reads it."""
        self.inner: list[Call] = []
        self.inner_backward: list[Call] = []
        """The calls of a branch, from the first to the last, and in the order of backward."""


def bind_all(
    ops: Sequence[Op], x: Array, memory: Memory, *, inference: bool = False, keep: bool = False
) -> tuple[list[Call], Array]:
    """Bind ops that follow each other; return their calls and the output.

    keep: x is still needed when the ops are done. All other outputs are released in inference as
    soon as the next op has read them; in training they stay for the backward pass.
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
    """Give calls that follow each other their gradients; return those to run, the last one first.

    If grad_x is None, nobody needs the gradient with respect to the first input, and the backward
    pass ends at the first op with parameters. keep: grad_y is still needed when the calls are done.
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
    """y = x + ops(x), the ops one after the other."""

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
        end = len(b.gradients)
        for call in b.inner_backward:
            start = end - len(call.op.gradients())
            call.gradients, end = b.gradients[start:end], start
            call.op.run_backward(call)
        if b.grad_x is not None:
            if b.inner_backward:
                kernels.accumulate(b.grad_x, b.grad_y)
            else:
                kernels.add(b.grad_y, b.grad_y, out=b.grad_x)


class Loss(Protocol):
    """The end of a training plan; `shape` is that of one image's prediction."""

    def saved(self, shape: Shape) -> tuple[Buffer, ...]: ...

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32: ...

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None: ...


class Batch:
    """A plan for exactly n images: write `input`, then call `forward` or `train`.

    The arrays belong to the plan and are overwritten by its next batch.
    """

    def __init__(self, ops: Sequence[Op], shape: Shape, memory: Memory, loss: Loss | None) -> None:
        self.input = memory.take(Buffer(shape))
        self.calls, self.output = bind_all(ops, self.input, memory, inference=loss is None)
        self.backward: list[Call] = []
        self._loss = loss
        if loss is not None:
            buffer = Buffer(self.output.shape[1:])
            self._loss_saved = tuple(memory.take(b) for b in loss.saved(buffer.shape))
            self._grad_output = memory.take(buffer)
            self.backward = bind_all_backward(self.calls, self._grad_output, memory, None)
        rooms = _rooms_for_shared_gradients(self.backward)
        self._steps_back = list(zip(self.backward, rooms, strict=True))

    def forward(self) -> Array:
        """Run the ops; returns `output`."""
        for call in self.calls:
            call.op.run(call)
        return self.output

    def train(self, target: NDArray[Any]) -> np.float32:
        """Forward, loss and backward: the gradients of all parameters are overwritten."""
        loss = self._loss
        if loss is None:
            raise RuntimeError("a plan without a loss cannot train")
        value = loss.run(self.forward(), target, self._loss_saved)
        loss.run_backward(self.output, target, self._loss_saved, self._grad_output)
        for call, rooms in self._steps_back:
            if call.gradients:
                call.gradients = call.op.gradients()  # they move if a layer joins a network
            if rooms:
                _add_gradients(call, rooms)
            else:
                call.op.run_backward(call)
        return value


def _add_gradients(call: Call, rooms: Mapping[int, Array]) -> None:
    """Run an op whose gradients with numbers in `rooms` are added to what is there."""
    targets = call.gradients
    call.gradients = tuple(rooms.get(i, gradient) for i, gradient in enumerate(targets))
    call.op.run_backward(call)
    for i, room in rooms.items():
        kernels.accumulate(targets[i], room)


def _rooms_for_shared_gradients(calls: Sequence[Call]) -> list[dict[int, Array]]:
    """For each call, memory for those of its gradients that it must not overwrite, by their number.

    Layers may share a parameter. The first op to run backward overwrites its gradient, and each
    later one computes its part in memory of its own, which is then added.
    """
    written: set[int] = set()
    rooms = []
    for call in calls:
        own = {}
        for i, gradient in enumerate(call.gradients):
            if id(gradient) in written:
                own[i] = kernels.empty(gradient.shape)
            written.add(id(gradient))
        rooms.append(own)
    return rooms


class Plan:
    """Kernel calls for batches of up to `batch_size` images of `input_shape`.

    With a loss it is a training plan: each layer runs in its own mode (`train`, `eval`), every
    activation is kept, and there are gradient buffers. The gradient with respect to the images is
    never computed. Without a loss it is an inference plan: each layer runs as in inference, and
    memory is used again as soon as nobody reads it any more.

    Running a batch allocates nothing, unless a user's own layer does. Raises ValueError if an op
    cannot take the shape that reaches it.
    """

    def __init__(
        self,
        ops: Sequence[Op],
        input_shape: Shape,
        batch_size: int,
        *,
        loss: Loss | None = None,
        device: str = "cpu",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.batch_size = batch_size
        self._parts = list(ops), input_shape
        self._loss = loss
        self._arena = Arena()
        Batch(*self._parts, self._arena, loss)
        self._arena.allocate(batch_size, device)
        self._batches = {batch_size: self._bind(batch_size)}

    def batch(self, n: int) -> Batch:
        """The plan for n images, from 0 to batch_size. It is kept, unless there are many sizes."""
        batch = self._batches.get(n)
        if batch is None:
            if not 0 <= n <= self.batch_size:
                raise ValueError(f"n must be from 0 to {self.batch_size}, not {n}")
            if len(self._batches) > _MOST_BATCHES:
                self._batches = {self.batch_size: self._batches[self.batch_size]}
            batch = self._batches[n] = self._bind(n)
        return batch

    def _bind(self, n: int) -> Batch:
        self._arena.begin(n)
        return Batch(*self._parts, self._arena, self._loss)
