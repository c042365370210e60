"""Plans: a network and a batch size become a list of kernel calls over one arena.

A plan allocates once. Its arena holds every buffer of the largest batch; a smaller batch, such as
the last of an epoch, uses leading views of the same memory. Running a step then allocates nothing.

The contract is small on purpose. A plan knows ops, and an op is anything with the methods of `Op`:
a layer today, several layers fused into one kernel, or a layer in a private layout, tomorrow. All
state of a batch is in the buffers that the plan hands over, so two batches, or two chunks of one,
can go through the same ops out of different buffers at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from byhand import kernels

Shape = tuple[int, ...]
Array = NDArray[np.float32]
Saved = tuple[NDArray[Any], ...]

# Buffers start on cache lines: 16 floats are 64 bytes.
ALIGNMENT = 16

# The number of batch sizes below the largest for which a plan keeps views of its arena.
_MOST_BATCHES = 16


class Buffer(NamedTuple):
    """A buffer of one image. Every dtype is four bytes wide, so that all live in one arena."""

    shape: Shape
    dtype: type[np.float32] | type[np.int32] = np.float32


@dataclass
class Forward:
    """The arrays of one op in one batch: input, output, and what backward needs beside them."""

    x: Array
    y: Array
    saved: Saved
    inference: bool = field(default=False, kw_only=True)
    """Run as in inference. Otherwise the mode of each layer (`train`, `eval`) decides."""
    training: bool = field(default=True, kw_only=True)
    """The mode of this run, written by ops that have two; their `run_backward` reads it."""
    inner: Any = field(default=None, kw_only=True)
    """An op that consists of ops keeps their arrays here, from its first run on."""


@dataclass
class Backward:
    """The arrays of `forward` with their gradients; grad_x is None if nobody needs it."""

    forward: Forward
    grad_y: Array
    grad_x: Array | None
    gradients: tuple[Array, ...]
    inner: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self.x, self.y, self.saved = self.forward.x, self.forward.y, self.forward.saved


class Op(Protocol):
    """One node of a plan. Shapes are those of one image; arrays have the batch axis in front."""

    is_view: bool
    """The output is the input in another shape, in the same memory: `run` is never called."""

    def output_shape(self, shape: Shape) -> Shape:
        """The output's shape for this input's; ValueError where the op cannot take it."""

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        """The buffers that `run` needs or keeps for `run_backward`, beside x and y."""

    def gradients(self) -> tuple[Array, ...]:
        """The arrays for the gradients of the op's parameters. Empty if it has none."""

    def run(self, b: Forward) -> None:
        """Write y and saved."""

    def run_backward(self, b: Backward) -> None:
        """Write grad_x, unless it is None, and gradients. Nothing is added to what was there."""


class Loss(Protocol):
    """The end of a training plan; `shape` is that of one image's prediction."""

    def saved(self, shape: Shape) -> tuple[Buffer, ...]: ...

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32: ...

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None: ...


@dataclass(frozen=True)
class Record:
    """One op with the arrays that it works on; backward is None where no gradient is needed."""

    op: Op
    forward: Forward
    backward: Backward | None


class Batch:
    """A plan for exactly n images: write `input`, then call `forward` or `train`.

    The arrays belong to the plan and are overwritten by its next batch.
    """

    def __init__(
        self,
        records: Sequence[Record],
        input: Array,
        output: Array,
        loss: tuple[Loss, Saved, Array] | None,
    ) -> None:
        self.records = tuple(records)
        self.input = input
        self.output = output
        self._loss = loss
        self._forward = tuple((r.op.run, r.forward) for r in records)
        backward = [(r.op, r.backward) for r in reversed(records) if r.backward is not None]
        rooms = _rooms_for_shared_gradients([op for op, _ in backward])
        self._backward = tuple((*b, room) for b, room in zip(backward, rooms, strict=True))

    def forward(self) -> Array:
        """Run the ops; returns `output`."""
        for run, buffers in self._forward:
            run(buffers)
        return self.output

    def train(self, target: NDArray[Any]) -> np.float32:
        """Forward, loss and backward: the gradients of all parameters are overwritten."""
        if self._loss is None:
            raise RuntimeError("a plan without a loss cannot train")
        loss, saved, grad = self._loss
        value = loss.run(self.forward(), target, saved)
        loss.run_backward(self.output, target, saved, grad)
        for op, buffers, rooms in self._backward:
            if buffers.gradients:
                buffers.gradients = op.gradients()  # they move when a layer joins another network
            if rooms:
                self._add_gradients(op, buffers, rooms)
            else:
                op.run_backward(buffers)
        return value

    @staticmethod
    def _add_gradients(op: Op, buffers: Backward, rooms: Mapping[int, Array]) -> None:
        """Run an op whose gradients with numbers in `rooms` are added to what is there."""
        targets = buffers.gradients
        buffers.gradients = tuple(rooms.get(i, gradient) for i, gradient in enumerate(targets))
        op.run_backward(buffers)
        for i, room in rooms.items():
            kernels.accumulate(targets[i], room)


def _rooms_for_shared_gradients(ops: Sequence[Op]) -> list[dict[int, Array]]:
    """For each op, memory for those of its gradients that it must not overwrite, by their number.

    Layers may share a parameter. The first op to run backward overwrites its gradient, and each
    later one computes its part in memory of its own, which is then added.
    """
    written: set[int] = set()
    rooms = []
    for op in ops:
        own = {}
        for i, gradient in enumerate(op.gradients()):
            if id(gradient) in written:
                own[i] = kernels.empty(gradient.shape)
            written.add(id(gradient))
        rooms.append(own)
    return rooms


class Plan:
    """Kernel calls for batches of up to `batch_size` images of `input_shape`.

    With a loss it is a training plan: each layer runs in its own mode (`train`, `eval`), every
    activation is kept, and there are gradient buffers. The gradient with respect to the images is
    never computed. Without a loss it is an inference plan: each layer runs as in inference, and two
    buffers take turns as input and output.

    Raises ValueError where an op cannot take the shape that reaches it.
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
        self._loss = loss
        layout = _Layout(batch_size)
        self._input = layout.slot(layout.region(), Buffer(input_shape))
        self._nodes = _forward_nodes(ops, self._input, layout, training=loss is not None)
        self._output = self._nodes[-1].y if self._nodes else self._input
        self._loss_saved: tuple[_Slot, ...] = ()
        self._grad_output: _Slot | None = None
        if loss is not None:
            shape = self._output.buffer.shape
            self._loss_saved = tuple(layout.slot(layout.region(), b) for b in loss.saved(shape))
            self._grad_output = _add_backward(self._nodes, self._output, layout)
        self._offsets, size = layout.place()
        self._arena = kernels.empty((size,), device)
        self._batches: dict[int, Batch] = {batch_size: self._bind(batch_size)}

    def batch(self, n: int) -> Batch:
        """The plan for n images, from 0 to batch_size. The latest sizes are kept."""
        batch = self._batches.get(n)
        if batch is None:
            if not 0 <= n <= self.batch_size:
                raise ValueError(f"n must be from 0 to {self.batch_size}, not {n}")
            if len(self._batches) > _MOST_BATCHES:
                self._batches = {self.batch_size: self._batches[self.batch_size]}
            batch = self._batches[n] = self._bind(n)
        return batch

    def _bind(self, n: int) -> Batch:
        def view(slot: _Slot) -> Any:
            start = self._offsets[slot.region]
            flat = self._arena[start : start + n * math.prod(slot.buffer.shape)]
            return flat.view(slot.buffer.dtype).reshape((n, *slot.buffer.shape))

        def views(slots: Sequence[_Slot]) -> Saved:
            return tuple(view(slot) for slot in slots)

        records = []
        for node in self._nodes:
            if node.op.is_view:
                continue
            arrays = view(node.x), view(node.y), views(node.saved)
            forward = Forward(*arrays, inference=self._loss is None)
            backward = None
            if node.grad_y is not None:
                grad_x = None if node.grad_x is None else view(node.grad_x)
                backward = Backward(forward, view(node.grad_y), grad_x, node.op.gradients())
            records.append(Record(node.op, forward, backward))
        end = None
        if self._loss is not None and self._grad_output is not None:
            end = self._loss, views(self._loss_saved), view(self._grad_output)
        return Batch(records, view(self._input), view(self._output), end)


# --------------------------------------------------------------------------------------------------
# The place of each buffer


class _Slot(NamedTuple):
    """A buffer at the start of a region; slots of one region are never needed at the same time."""

    region: int
    buffer: Buffer


@dataclass
class _Node:
    op: Op
    x: _Slot
    y: _Slot
    saved: tuple[_Slot, ...]
    grad_y: _Slot | None = None
    grad_x: _Slot | None = None


class _Layout:
    """Regions of the arena, each as large as the largest slot that was put there."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._sizes: list[int] = []

    def region(self) -> int:
        self._sizes.append(0)
        return len(self._sizes) - 1

    def slot(self, region: int, buffer: Buffer) -> _Slot:
        size = self._batch_size * math.prod(buffer.shape)
        self._sizes[region] = max(self._sizes[region], size)
        return _Slot(region, buffer)

    def place(self) -> tuple[list[int], int]:
        """The regions' offsets and the arena's size, in floats."""
        return aligned_offsets(self._sizes)


def aligned_offsets(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Offsets of arrays that lie one behind the other on cache lines, and where the last ends."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return offsets, end


def _forward_nodes(ops: Sequence[Op], x: _Slot, layout: _Layout, *, training: bool) -> list[_Node]:
    """Training keeps all outputs; inference writes them to two regions in turn."""
    nodes: list[_Node] = []
    turns = (layout.region(), layout.region())
    scratch: list[int] = []
    calls = 0
    for op in ops:
        buffer = Buffer(op.output_shape(x.buffer.shape))
        saved: tuple[_Slot, ...] = ()
        if op.is_view:
            y = _Slot(x.region, buffer)
        else:
            buffers = op.saved(x.buffer.shape)
            if training:
                scratch = []
            while len(scratch) < len(buffers):
                scratch.append(layout.region())
            saved = tuple(layout.slot(r, b) for r, b in zip(scratch, buffers, strict=False))
            y = layout.slot(layout.region() if training else turns[calls % 2], buffer)
            calls += 1
        nodes.append(_Node(op, x, y, saved))
        x = y
    return nodes


def _add_backward(nodes: Sequence[_Node], output: _Slot, layout: _Layout) -> _Slot:
    """Give nodes their gradient slots, which take turns in two regions; returns the output's.

    Gradients flow back to the first op with parameters, whose own input needs none.
    """
    turns = (layout.region(), layout.region())
    grad = grad_output = layout.slot(turns[0], output.buffer)
    first = next((i for i, node in enumerate(nodes) if node.op.gradients()), len(nodes))
    calls = 0
    for node in reversed(nodes[first:]):
        node.grad_y = grad
        if node is nodes[first]:
            break
        if node.op.is_view:
            grad = _Slot(grad.region, node.x.buffer)
        else:
            calls += 1
            grad = layout.slot(turns[calls % 2], node.x.buffer)
        node.grad_x = grad
    return grad_output
