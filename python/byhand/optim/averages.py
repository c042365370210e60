"""The exponential moving average of a network's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from byhand import kernels
from byhand.checks import number
from byhand.engine.memory import Array, aligned_offsets
from byhand.nn import Parameter
from byhand.nn.parameter import Storage, flat_pieces, load_arrays


def check_decay(decay: float) -> float:
    """`decay` as a float; TypeError or ValueError where it is not a number from 0 up, below 1."""
    if not 0.0 <= number("ema", decay) < 1.0:
        raise ValueError(f"ema must be from 0 up and below 1, not {decay}")
    return float(decay)


class WeightAverage:
    """average = decay_t * average + (1 - decay_t) * weights, from the weights that are there now.

    decay_t = min(decay, (1 + t) / (10 + t)) for update t, counted from 0: the first weights are
    soon forgotten. Source: Polyak and Juditsky, Acceleration of stochastic approximation by
    averaging, 1992; the growing decay is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, parameters: Iterable[Parameter], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._parameters = tuple(parameters)
        self._offsets, size = aligned_offsets([p.size for p in self._parameters])
        self._flat = kernels.empty((size,))
        self._room = kernels.empty((size,))
        self._flat.fill(0.0)
        self._storages: list[Storage | None] = []
        self._pieces: list[tuple[Array, Array, Array]] = []
        for parameter, average in zip(self._parameters, self._views(), strict=True):
            average[...] = parameter.data

    def update(self) -> None:
        """Take the weights as they are into the average."""
        if [parameter.storage for parameter in self._parameters] != self._storages:
            self._find_pieces()
        # sgd_step's g is weights - average, of which it takes 1 - decay_t; momentum is not used.
        rate = min(self.decay, (1 + self.updates) / (10 + self.updates)) - 1.0
        for average, weights, room in self._pieces:
            kernels.sgd_step(average, weights, room, lr=rate, weight_decay=-1.0)
        self.updates += 1

    @contextlib.contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """The network has the average as its weights meanwhile, and its own again after that."""
        own = [parameter.data.copy() for parameter in self._parameters]
        self.replace_weights()
        try:
            yield
        finally:
            for parameter, weights in zip(self._parameters, own, strict=True):
                parameter.data[...] = weights

    def replace_weights(self) -> None:
        """Give the network the average as its weights."""
        for parameter, average in zip(self._parameters, self._views(), strict=True):
            parameter.data[...] = average

    def state_dict(self) -> dict[str, Array]:
        """Copies of the averages: "0" for the first parameter, and so on."""
        return {str(i): average.copy() for i, average in enumerate(self._views())}

    def load_state_dict(self, state: Mapping[str, Any], updates: int) -> None:
        """Set averages and count; ValueError, and no change, where names or shapes differ."""
        targets = {str(i): average for i, average in enumerate(self._views())}
        load_arrays(targets, state, type(self).__name__)
        self.updates = updates

    def __getstate__(self) -> dict[str, Any]:
        # Pieces are views: a copy finds its own.
        return {**vars(self), "_storages": [], "_pieces": []}

    def _find_pieces(self) -> None:
        """Again when layers have moved into another network."""
        self._storages = [parameter.storage for parameter in self._parameters]
        self._pieces = [
            (self._flat[here], storage.data[there], self._room[here])
            for storage, there, here in flat_pieces(self._parameters, self._offsets)
        ]

    def _views(self) -> list[Array]:
        return [
            self._flat[offset : offset + p.size].reshape(p.shape)
            for offset, p in zip(self._offsets, self._parameters, strict=True)
        ]
