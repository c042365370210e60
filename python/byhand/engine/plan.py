"""Plans: the kernel calls for a network and a batch size, with all their arrays.

A plan is a list of calls. A call is one step of the network, an op, with the arrays that it works
on. The activations of all calls, and the gradients with respect to them, lie in one piece of
memory, the arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.engine.memory import Arena, Array, Buffer, Memory, Shape, device_of
from byhand.engine.op import Call, Op, Saved, bind_all, bind_all_backward

# A plan keeps the bound calls for its largest batch size, and for up to this number of smaller
# sizes.
_MOST_BATCHES = 16


class PlannedLoss(Protocol):
    """The methods that a training plan calls on its loss."""

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        """Return the buffers that `run` fills and `run_backward` reads.

        Parameters
        ----------
        shape : tuple of int
            The shape of the prediction for one image.
        """

    def run(self, prediction: Array, target: NDArray[Any], saved: Saved) -> np.float32:
        """Return the loss of a batch. On a GPU, it is a DeviceArray without dimensions.

        Parameters
        ----------
        prediction : ndarray, shape (N, ...), float32
            The output of the network.
        target : ndarray
            The labels, or the values that the prediction should have.
        saved : tuple of ndarray
            The arrays for the buffers that the method `saved` lists.
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
            The labels, or the values that the prediction should have.
        saved : tuple of ndarray
            The arrays that `run` filled.
        grad : ndarray, of the shape of the prediction, float32
            The array to write the gradient to.
        """


class Batch:
    """A plan for one batch size: write the images to `input`, then call `forward` or `train`.

    All batch sizes of a `Plan` share its memory. So a batch of one size overwrites `input` and
    `output` of all other sizes.

    Parameters
    ----------
    ops : sequence of Op
        The ops of the network.
    shape : tuple of int
        The shape of one image.
    memory : Memory
        Gives out the arrays, each for the number of images in this batch.
    loss : PlannedLoss or None
        The loss of a training plan. With None, this is an inference plan.
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
        extras = _extra_gradients(self.backward)
        self._backward_steps = list(zip(self.backward, extras, strict=True))

    def forward(self) -> Array:
        """Run the ops on `input`.

        Returns
        -------
        ndarray, shape (N, ...), float32
            The array `output` of this object. The next batch of the plan overwrites it.
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
            The labels, or the values that the prediction should have.

        Returns
        -------
        numpy.float32
            The loss of the batch. On a GPU, it is a DeviceArray without dimensions.

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
        for call, extra in self._backward_steps:
            if call.gradients:
                # If a layer has become part of another network, its gradients have moved.
                call.gradients = call.op.gradients()
            if extra:
                _add_gradients(call, extra)
            else:
                call.op.run_backward(call)
        return value


def _add_gradients(call: Call, extra: Mapping[int, Array]) -> None:
    """Run an op backward that shares parameters with an op that has run backward before.

    The op computes each gradient i of a shared parameter in the array `extra[i]`, which is then
    added to the gradient of the parameter.
    """
    targets = call.gradients
    call.gradients = tuple(extra.get(i, gradient) for i, gradient in enumerate(targets))
    call.op.run_backward(call)
    for i, gradient in extra.items():
        kernels.accumulate(targets[i], gradient)


def _extra_gradients(calls: Sequence[Call]) -> list[dict[int, Array]]:
    """Make extra arrays for the gradients of parameters that several ops share.

    The first op that runs backward overwrites the gradient of a shared parameter. Each later op
    must add to it, but `run_backward` always overwrites. So a later op computes its gradient in an
    extra array, which is then added.

    Parameters
    ----------
    calls : sequence of Call
        The calls in the order of the backward pass.

    Returns
    -------
    list of dict of int to ndarray
        A dict for each call: the extra array of gradient i, for each i that needs one.
    """
    written: set[int] = set()
    extras = []
    for call in calls:
        extra = {}
        for i, gradient in enumerate(call.gradients):
            if id(gradient) in written:
                extra[i] = kernels.empty(gradient.shape, device_of(gradient))
            written.add(id(gradient))
        extras.append(extra)
    return extras


class Plan:
    """The kernel calls of a network, for batches of at most `batch_size` images.

    With a loss, this is a training plan. Each layer runs in its own mode, which `train` and `eval`
    of the layer set. All activations are kept for the backward pass. The gradient with respect to
    the images is never computed.

    Without a loss, this is an inference plan. Each layer runs in inference mode, and the memory of
    an activation is used again as soon as nothing reads it any more.

    After the first batch of a size, a batch of that size allocates no memory, unless a user's own
    layer does.

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
        If `batch_size` is less than 1, or an op cannot take the shape of its input.
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
        """Return the plan for one batch size.

        The plan keeps the result for later batches of that size. If it already keeps 16 smaller
        sizes, it first drops all of them.

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
