"""Optimisers: a step over all parameters of a network is one kernel call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from byhand import kernels
from byhand.engine import Array, aligned_offsets
from byhand.module import not_negative
from byhand.parameters import Parameter, Storage, clear_gradients, load_arrays


class SGD:
    """Stochastic gradient descent with momentum and L2 regularisation, as torch.optim.SGD.

    For a gradient g: g += weight_decay * p; v = momentum * v + g; p -= lr * v, or with nesterov
    p -= lr * (g + momentum * v). `lr` and the other settings may be changed between steps.

    Raises ValueError where a setting is out of range, a parameter occurs twice or there is none,
    TypeError where a setting is not a number.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = tuple(parameters)
        if not all(isinstance(parameter, Parameter) for parameter in self.parameters):
            raise TypeError("parameters must be those of a network: network.parameters()")
        if not self.parameters or len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"parameters must be different ones, not {list(self.parameters)}")
        self.lr = not_negative("lr", lr)
        self.momentum = not_negative("momentum", momentum)
        self.nesterov = nesterov
        self.weight_decay = not_negative("weight_decay", weight_decay)
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        sizes = [parameter.size for parameter in self.parameters]
        self._offsets, size = aligned_offsets(sizes)
        self._velocity = kernels.empty((size,))
        self._velocity.fill(0.0)
        self._storages: list[Storage | None] = []
        self._runs: list[tuple[Array, Array, Array]] = []

    def step(self) -> None:
        """Move every parameter against its gradient."""
        if [parameter.storage for parameter in self.parameters] != self._storages:
            self._find_runs()
        for data, grad, velocity in self._runs:
            kernels.sgd_step(
                data,
                grad,
                velocity,
                lr=self.lr,
                momentum=self.momentum,
                nesterov=self.nesterov,
                weight_decay=self.weight_decay,
            )

    def zero_grad(self) -> None:
        clear_gradients(self.parameters)

    def settings(self) -> dict[str, float | bool]:
        return {
            "lr": float(self.lr),
            "momentum": float(self.momentum),
            "nesterov": bool(self.nesterov),
            "weight_decay": float(self.weight_decay),
        }

    def state_dict(self) -> dict[str, Array]:
        """Copies of the velocities: "velocity.0" for the first parameter, and so on."""
        return {name: velocity.copy() for name, velocity in self._velocities().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the velocities; ValueError, and no change, where names, shapes or dtypes differ."""
        load_arrays(self._velocities(), state, "SGD")

    def __getstate__(self) -> dict[str, Any]:
        # Runs are views: a copy finds its own.
        return {**vars(self), "_storages": [], "_runs": []}

    def _velocities(self) -> dict[str, Array]:
        return {
            f"velocity.{i}": self._velocity[offset : offset + p.size].reshape(p.shape)
            for i, (offset, p) in enumerate(zip(self._offsets, self.parameters, strict=True))
        }

    def _find_runs(self) -> None:
        """Flat pieces of weights, gradients and velocities, each as long as memory allows.

        Parameters of one network, in their order, lie in its storage as their velocities do here,
        and are one piece. Found again when layers have moved into another network.
        """
        self._storages = [parameter.storage for parameter in self.parameters]
        self._runs = []
        begin = 0
        for i, parameter in enumerate(self.parameters):
            following = self.parameters[i + 1] if i + 1 < len(self.parameters) else None
            if (
                following is not None
                and following.storage is parameter.storage
                and following.offset - parameter.offset == self._offsets[i + 1] - self._offsets[i]
            ):
                continue
            storage = parameter.storage
            assert storage is not None
            first = self.parameters[begin].offset
            last = parameter.offset + parameter.size
            start = self._offsets[begin]
            velocity = self._velocity[start : start + last - first]
            self._runs.append((storage.data[first:last], storage.grad[first:last], velocity))
            begin = i + 1
