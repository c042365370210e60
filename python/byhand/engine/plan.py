"""Plans: the kernel calls for a network and a batch size, with all their arrays.

A plan is a list of calls. Each call is an op, one step of the network, with its arrays. The
activations of all calls, and the gradients with respect to them, lie in one block of memory, the
arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.engine.memory import Arena, Array, Buffer, Memory, Shape
from byhand.engine.op import Call, Op, Saved, bind_all, bind_all_backward

# A plan keeps views of its arena for its largest batch size and up to this number of smaller sizes.
_MOST_BATCHES = 16


class PlannedLoss(Protocol):
    """The methods that a training plan calls on its loss."""

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        """Return the buffers that `run` fills for `run_backward`.

        Parameters
        ----------
        shape : tuple of int
            The shape of the prediction for one image.
        """

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        """Return the loss of a batch.

        Parameters
        ----------
        prediction : ndarray, shape (N, ...), float32
            The output of the network.
        target : ndarray
            The labels or the values that the prediction should have.
        saved : tuple of ndarray
            The arrays for the buffers of `saved`.
        """

    def run_backward(
        self, prediction: Array, target: NDArray[Any], saved: Saved, grad: Array
    ) -> None:
        """Compute the gradient of the loss with respect to the prediction.

        Parameters
        ----------
        prediction : ndarray, shape (N, ...), float32
            The output of the network.
        target : ndarray
            The labels or the values that the prediction should have.
        saved : tuple of ndarray
            What `run` stored.
        grad : ndarray, of the shape of the prediction, float32
            The array to write the gradient to.
        """


class Batch:
    """A plan for an exact number of images: write `input`, then call `forward` or `train`.

    The arrays belong to the plan, and its next batch overwrites them.

    Parameters
    ----------
    ops : sequence of Op
        The ops of the network.
    shape : tuple of int
        The shape of one image.
    memory : Memory
        Where to take the arrays from. It knows the number of images.
    loss : PlannedLoss or None
        The loss of a training plan. None makes an inference plan.
    """

    def __init__(
        self, ops: Sequence[Op], shape: Shape, memory: Memory, loss: PlannedLoss | None
    ) -> None:
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
        """Run the ops on `input`.

        Returns
        -------
        ndarray, shape (N, ...), float32
            `output`, which the next batch overwrites.
        """
        for call in self.calls:
            call.op.run(call)
        return self.output

    def train(self, target: NDArray[Any]) -> np.float32:
        """Run the forward pass, the loss and the backward pass.

        The gradients of all parameters are overwritten.

        Parameters
        ----------
        target : ndarray
            The labels or the values that the prediction should have.

        Returns
        -------
        numpy.float32
            The loss of the batch.

        Raises
        ------
        RuntimeError
            If the plan has no loss.
        """
        loss = self._loss
        if loss is None:
            raise RuntimeError("a plan without a loss cannot train")
        for call in self.calls:
            call.op.run(call)
        value = loss.run(self.output, target, self._loss_saved)
        loss.run_backward(self.output, target, self._loss_saved, self._grad_output)
        for call, rooms in self._steps_back:
            if call.gradients:
                # They get other memory when the layer becomes part of another network.
                call.gradients = call.op.gradients()
            if rooms:
                _add_gradients(call, rooms)
            else:
                call.op.run_backward(call)
        return value


def _add_gradients(call: Call, rooms: Mapping[int, Array]) -> None:
    """Run an op backward. Gradients whose index is in `rooms` are computed there, then added."""
    targets = call.gradients
    call.gradients = tuple(rooms.get(i, gradient) for i, gradient in enumerate(targets))
    call.op.run_backward(call)
    for i, room in rooms.items():
        kernels.accumulate(targets[i], room)


def _rooms_for_shared_gradients(calls: Sequence[Call]) -> list[dict[int, Array]]:
    """Return, for each call, {index: extra array} for gradients that an earlier call has written.

    Layers may share a parameter. The first op that runs backward overwrites the gradient of the
    parameter. Each later op computes its part in an extra array, its room, which is then added.
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
    """The kernel calls of a network, for batches of up to some number of images.

    With a loss it is a training plan. Each layer runs in its own mode (`train`, `eval`), every
    activation is kept, and there are buffers for the gradients. The gradient with respect to the
    images is never computed. Without a loss it is an inference plan. Each layer runs as in
    inference, and memory is reused as soon as nothing reads it any more.

    Running a batch allocates nothing, unless a user's own layer does.

    Parameters
    ----------
    ops : sequence of Op
        The ops of the network, in the order in which they run.
    input_shape : tuple of int
        The shape of one image.
    batch_size : int
        The number of images in the largest batch, at least 1.
    loss : PlannedLoss, optional
        The loss of a training plan.
    device : str
        The device to allocate on, as in `kernels.empty`.

    Raises
    ------
    ValueError
        If `batch_size` is less than 1, or an op cannot take the shape that reaches it.
    """

    def __init__(
        self,
        ops: Sequence[Op],
        input_shape: Shape,
        batch_size: int,
        *,
        loss: PlannedLoss | None = None,
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
        """Return the plan for an exact number of images.

        It is kept for the next batch of that size, unless batches of very many sizes are requested.

        Parameters
        ----------
        n : int
            The number of images, from 0 to `batch_size`.

        Raises
        ------
        ValueError
            If `n` is out of range.
        """
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
