"""Optimizers: a step over all parameters of a network is one kernel call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from byhand import kernels
from byhand.checks import flag, listed, not_negative, number
from byhand.engine.memory import Array, aligned_offsets
from byhand.nn import Parameter
from byhand.nn.parameter import Storage, clear_gradients, flat_pieces, load_arrays

Settings = Mapping[str, Callable[[str, Any], Any]]


class Optimizer:
    """The base of all optimizers: parameters, and values of their own beside every weight.

    Those values are flat buffers, one for each of `_moving`, that lie as the parameters of one
    network do: then a step is one call of `_move`. `lr` and the other settings may be changed
    between steps. A parameter that is left out stays as it is.

    Raises ValueError where a setting is out of range, a parameter occurs twice or there is none,
    TypeError where a setting is not a number.
    """

    _moving: ClassVar[tuple[str, ...]]
    """Names of the values, as in `state_dict`."""

    _settings: ClassVar[Settings]
    """The check of each setting, from its name and value to the value that is kept."""

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        self.parameters = tuple(parameters)
        if not all(isinstance(parameter, Parameter) for parameter in self.parameters):
            raise TypeError("parameters must be those of a network: network.parameters()")
        if not self.parameters or len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"parameters must be different ones, not {list(self.parameters)}")
        self.lr, self.weight_decay = not_negative("lr", lr), weight_decay
        sizes = [parameter.size for parameter in self.parameters]
        self._offsets, size = aligned_offsets(sizes)
        self._values = {name: kernels.empty((size,)) for name in self._moving}
        # An array of float32, so that it is saved as all other state is. It counts to 2^24. By then
        # no step depends on its number any more.
        self._steps = kernels.empty((1,))
        for values in (self._steps, *self._values.values()):
            values.fill(0.0)
        self._storages: list[Storage | None] = []
        self._runs: list[tuple[Array, ...]] = []

    def __setattr__(self, name: str, value: Any) -> None:
        check = self._settings.get(name)
        super().__setattr__(name, value if check is None else check(name, value))

    @property
    def steps(self) -> int:
        """The number of steps so far."""
        return int(self._steps[0])

    def step(self) -> None:
        """Move every parameter against its gradient."""
        self._steps += 1
        if [parameter.storage for parameter in self.parameters] != self._storages:
            self._find_runs()
        for arrays in self._runs:
            self._move(*arrays)

    def zero_grad(self) -> None:
        clear_gradients(self.parameters)

    def settings(self) -> dict[str, Any]:
        """The arguments of the constructor as they are now: numbers, lists of them, booleans."""
        values = {name: getattr(self, name) for name in self._settings}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def state_dict(self) -> dict[str, Array]:
        """Copies of the values: "velocity.0" for the first parameter, and so on."""
        return {name: values.copy() for name, values in self._named_values().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the values; ValueError, and no change, where names, shapes or dtypes differ."""
        load_arrays(self._named_values(), state, type(self).__name__)

    def __getstate__(self) -> dict[str, Any]:
        # Runs are views: a copy finds its own.
        return {**vars(self), "_storages": [], "_runs": []}

    def _move(self, *arrays: Array) -> None:
        """One step of a flat piece of weights, gradients, and the values beside them."""
        raise NotImplementedError

    def _named_values(self) -> dict[str, Array]:
        named = {
            f"{name}.{i}": values[offset : offset + p.size].reshape(p.shape)
            for name, values in self._values.items()
            for i, (offset, p) in enumerate(zip(self._offsets, self.parameters, strict=True))
        }
        return {"steps": self._steps, **named}

    def _find_runs(self) -> None:
        """Pieces of weights, gradients and values; again when layers have moved elsewhere."""
        self._storages = [parameter.storage for parameter in self.parameters]
        self._runs = [
            (storage.data[there], storage.grad[there], *(v[here] for v in self._values.values()))
            for storage, there, here in flat_pieces(self.parameters, self._offsets)
        ]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and L2 regularisation, as torch.optim.SGD.

    For a gradient g: g += weight_decay * p; v = momentum * v + (1 - dampening) * g; p -= lr * v, or
    with nesterov p -= lr * (g + momentum * v). The first step does not dampen its gradient, and
    without momentum no step does.
    """

    _moving = ("velocity",)
    _settings: ClassVar[Settings] = {
        "lr": number,
        "momentum": not_negative,
        "dampening": number,
        "weight_decay": not_negative,
        "nesterov": flag,
    }

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                "nesterov=True needs a momentum above 0 and a dampening of 0, "
                f"not momentum={momentum} and dampening={dampening}"
            )

    def _move(self, *arrays: Array) -> None:
        kernels.sgd_step(
            *arrays,
            lr=self.lr,
            momentum=self.momentum,
            dampening=self.dampening if self.steps > 1 else 0.0,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )


def _betas(name: str, value: Any) -> tuple[float, float]:
    pair = listed(value)
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{name} must be a pair of numbers, not {value!r}")
    for i, beta in enumerate(pair):
        if not 0 <= number(f"{name}[{i}]", beta) < 1:
            raise ValueError(f"{name}[{i}] must be from 0 to below 1, not {beta}")
    return float(pair[0]), float(pair[1])


class Adam(Optimizer):
    """Adam (Kingma and Ba, ICLR 2015), as torch.optim.Adam; `kernels.adam_step` has the formula.

    weight_decay is L2 regularisation: it is added to the gradient. Errors as of every Optimizer.
    """

    _moving = ("first_moment", "second_moment")
    _settings: ClassVar[Settings] = {
        "lr": number,
        "betas": _betas,
        "eps": not_negative,
        "weight_decay": not_negative,
    }
    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.betas, self.eps = betas, eps

    def _move(self, *arrays: Array) -> None:
        kernels.adam_step(
            *arrays,
            step=self.steps,
            lr=self.lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=self.eps,
            weight_decay=self.weight_decay,
            decoupled=self._decoupled,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019), as torch.optim.AdamW.

    Each step multiplies the parameters by 1 - lr * weight_decay; the gradient stays as it is.
    """

    _decoupled = True

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)


OPTIMIZERS: dict[str, type[SGD | Adam]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
