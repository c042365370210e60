"""The exponential moving average of a network's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from byhand import kernels
from byhand.checks import number
from byhand.engine.memory import Array, aligned_offsets, assign, device_of, host_copy
from byhand.nn import Parameter
from byhand.nn.parameter import Storage, flat_pieces, load_arrays


def check_decay(decay: float) -> float:
    """Check the decay of an average of weights.

    Parameters
    ----------
    decay : float
        The decay, at least 0 and less than 1.

    Returns
    -------
    float
        `decay`.

    Raises
    ------
    TypeError, ValueError
        If `decay` is not a number in that range. The message calls it "ema", which is the name of
        the argument of `Trainer`.
    """
    if not 0.0 <= number("ema", decay) < 1.0:
        raise ValueError(f"ema must be at least 0 and less than 1, not {decay}")
    return float(decay)


class WeightAverage:
    """An exponential moving average of the weights of a network.

    The average begins with the weights at the time of the construction.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to average.
    decay : float
        The largest decay, at least 0 and less than 1.

    Attributes
    ----------
    decay : float
        The largest decay.
    updates : int
        The number of updates so far.

    Notes
    -----
    Update t, counted from 0, computes::

        decay_t = min(decay, (1 + t) / (10 + t))
        average = decay_t * average + (1 - decay_t) * weights

    In the first updates decay_t is small, so the initial weights soon have no influence.

    References
    ----------
    Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992. The growing
    decay is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, parameters: Iterable[Parameter], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._parameters = tuple(parameters)
        self._offsets, size = aligned_offsets([p.size for p in self._parameters])
        device = device_of(self._parameters[0].data) if self._parameters else "cpu"
        self._flat = kernels.empty((size,), device)
        # `sgd_step` requires this array.
        self._unused_velocity = kernels.empty((size,), device)
        self._flat.fill(0.0)
        self._storages: list[Storage | None] = []
        self._pieces: list[tuple[Array, Array, Array]] = []
        for parameter, average in zip(self._parameters, self._views(), strict=True):
            average[...] = parameter.data

    def update(self) -> None:
        """Update the average with the present weights of the network."""
        if [parameter.storage for parameter in self._parameters] != self._storages:
            self._find_pieces()
        # average += (1 - decay_t) * (weights - average) is a step of SGD without momentum. Its
        # learning rate is -(1 - decay_t). Its gradient is weights - average: the gradient passed is
        # `weights`, and the weight decay of -1 subtracts the average.
        rate = min(self.decay, (1 + self.updates) / (10 + self.updates)) - 1.0
        for average, weights, unused in self._pieces:
            kernels.sgd_step(average, weights, unused, lr=rate, weight_decay=-1.0)
        self.updates += 1

    @contextlib.contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """Use the average as the network's weights inside a with statement, then restore them."""
        own = [parameter.data.copy() for parameter in self._parameters]
        self.replace_weights()
        try:
            yield
        finally:
            for parameter, weights in zip(self._parameters, own, strict=True):
                assign(parameter.data, weights)

    def replace_weights(self) -> None:
        """Copy the average to the weights of the network."""
        for parameter, average in zip(self._parameters, self._views(), strict=True):
            assign(parameter.data, average)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the averages by name: "0" for the first parameter, and so on."""
        return {str(i): host_copy(average) for i, average in enumerate(self._views())}

    def load_state_dict(self, state: Mapping[str, Any], updates: int) -> None:
        """Set the averages and the number of updates.

        Parameters
        ----------
        state : mapping of str to array_like, float32
            The averages by name, as `state_dict` returns them.
        updates : int
            The number of updates so far.

        Raises
        ------
        TypeError
            If `state` is not a mapping.
        ValueError
            If a name, a shape or a dtype differs. In this case, nothing is changed.
        """
        targets = {str(i): average for i, average in enumerate(self._views())}
        load_arrays(targets, state, type(self).__name__)
        self.updates = updates

    def __getstate__(self) -> dict[str, Any]:
        # The pieces are views of this object's arrays, so a copy must find its own pieces.
        return {**vars(self), "_storages": [], "_pieces": []}

    def _find_pieces(self) -> None:
        """Find the pieces for `update`: parameters that one kernel call can update together.

        If layers move into another network, their storage changes, and `update` calls this method
        again.
        """
        self._storages = [parameter.storage for parameter in self._parameters]
        self._pieces = [
            (self._flat[here], storage.data[there], self._unused_velocity[here])
            for storage, there, here in flat_pieces(self._parameters, self._offsets)
        ]

    def _views(self) -> list[Array]:
        """Return the average of each parameter, as a view of the flat array."""
        return [
            self._flat[offset : offset + p.size].reshape(p.shape)
            for offset, p in zip(self._offsets, self._parameters, strict=True)
        ]
