"""Optimizers. A step over all parameters of a network is one kernel call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from byhand import kernels
from byhand.checks import finite, flag, listed, not_negative, number
from byhand.engine.memory import Array, aligned_offsets
from byhand.nn import Parameter
from byhand.nn.parameter import Storage, clear_gradients, flat_pieces, load_arrays

Settings = Mapping[str, Callable[[str, Any], Any]]


class Optimizer:
    """The base class of optimizers.

    An optimizer keeps one or two numbers for each weight, such as its velocity. They lie in flat
    buffers, in the order in which the weights of a network lie, so that a step is one kernel call.
    `lr` and the other settings may be changed between steps.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to change, such as `network.parameters()`.
    lr : float
        The learning rate.
    weight_decay : float
        The factor of the weight decay.

    Raises
    ------
    TypeError
        If a setting is not a number, or an element of `parameters` is not a Parameter.
    ValueError
        If a setting is out of range, a parameter occurs twice, or there is none.
    """

    _moving: ClassVar[tuple[str, ...]]
    """The names of the flat buffers, as in `state_dict`."""

    _settings: ClassVar[Settings]
    """The check of each setting: a function of its name and value that returns the value to keep.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        self.parameters = tuple(parameters)
        if not all(isinstance(parameter, Parameter) for parameter in self.parameters):
            raise TypeError("parameters must be nn.Parameters, such as network.parameters()")
        if not self.parameters:
            raise ValueError("parameters must not be empty")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(
                f"parameters must not repeat: one occurs twice in {[*self.parameters]}"
            )
        self.lr, self.weight_decay = not_negative("lr", lr), weight_decay
        sizes = [parameter.size for parameter in self.parameters]
        self._offsets, size = aligned_offsets(sizes)
        self._values = {name: kernels.empty((size,)) for name in self._moving}
        # A float32 array, so that it is saved like all other state. It counts only up to 2^24. By
        # then, the bias correction of Adam is 1 for all usual betas, so the number has no effect.
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
        """Change all parameters once, by their present gradients."""
        self._steps += 1
        if [parameter.storage for parameter in self.parameters] != self._storages:
            self._find_runs()
        for arrays in self._runs:
            self._move(*arrays)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        clear_gradients(self.parameters)

    def settings(self) -> dict[str, Any]:
        """Return the present settings by name, as JSON-able values."""
        values = {name: getattr(self, name) for name in self._settings}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the state by name, such as "steps" and "velocity.0" of parameter 0."""
        return {name: values.copy() for name, values in self._named_values().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state, for example to continue a training.

        Parameters
        ----------
        state : mapping of str to array_like, float32
            The state by name, as `state_dict` returns it.

        Raises
        ------
        TypeError
            If `state` is not a mapping.
        ValueError
            If a name, a shape or a dtype differs. Then nothing has changed.
        """
        load_arrays(self._named_values(), state, type(self).__name__)

    def __getstate__(self) -> dict[str, Any]:
        # The runs are views, so a copy of the optimizer has to find its own.
        return {**vars(self), "_storages": [], "_runs": []}

    def _move(self, *arrays: Array) -> None:
        """Call the kernel for one piece: its weights, its gradients and its part of each buffer."""
        raise NotImplementedError

    def _named_values(self) -> dict[str, Array]:
        named = {
            f"{name}.{i}": values[offset : offset + p.size].reshape(p.shape)
            for name, values in self._values.items()
            for i, (offset, p) in enumerate(zip(self._offsets, self.parameters, strict=True))
        }
        return {"steps": self._steps, **named}

    def _find_runs(self) -> None:
        """Find the pieces for `_move`. `step` repeats this if layers moved into another network."""
        self._storages = [parameter.storage for parameter in self.parameters]
        self._runs = [
            (storage.data[there], storage.grad[there], *(v[here] for v in self._values.values()))
            for storage, there, here in flat_pieces(self.parameters, self._offsets)
        ]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and L2 regularisation, as torch.optim.SGD.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to change, such as `network.parameters()`.
    lr : float
        The learning rate.
    momentum : float
        The part of the velocity that is kept in each step. 0 means no momentum.
    dampening : float
        The part of the gradient that does not enter the velocity, except in the first step.
    weight_decay : float
        The factor of the L2 regularisation.
    nesterov : bool
        Whether to use Nesterov's momentum.

    Raises
    ------
    TypeError
        If a setting is not a number, or an element of `parameters` is not a Parameter.
    ValueError
        If a setting is out of range, a parameter occurs twice, or there is none. Also if `nesterov`
        is True without momentum, or with dampening.

    Notes
    -----
    With the parameter p, its gradient g and its velocity v, which begins with 0, a step computes

        g = g + weight_decay * p
        v = momentum * v + (1 - dampening) * g
        p = p - lr * (g + momentum * v if nesterov else v)

    The first step does not dampen the gradient. Without momentum, v = g. If momentum is switched on
    during the training, v continues from the last gradient; in PyTorch it begins with 0.

    References
    ----------
    Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013.
    """

    _moving = ("velocity",)
    _settings: ClassVar[Settings] = {
        "lr": number,
        "momentum": not_negative,
        "dampening": finite,
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
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.nesterov and self.dampening != 0:
            raise ValueError(f"nesterov needs a dampening of 0, not {dampening}")

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
    """Check that a value is a pair of numbers, each at least 0 and less than 1."""
    pair = listed(value)
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{name} must be a pair of numbers, not {value!r}")
    for i, beta in enumerate(pair):
        if not 0 <= number(f"{name}[{i}]", beta) < 1:
            raise ValueError(f"{name}[{i}] must be at least 0 and less than 1, not {beta}")
    return float(pair[0]), float(pair[1])


class Adam(Optimizer):
    """Adam, as torch.optim.Adam.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to change, such as `network.parameters()`.
    lr : float
        The learning rate.
    betas : (float, float)
        The decay of the mean of the gradient and of the mean of its square. Both are at least 0
        and less than 1.
    eps : float
        The number added to the denominator.
    weight_decay : float
        The factor of the L2 regularisation.

    Raises
    ------
    TypeError
        If a setting is not a number, or an element of `parameters` is not a Parameter.
    ValueError
        If a setting is out of range, a parameter occurs twice, or there is none.

    Notes
    -----
    With the parameter p, its gradient g, and the means m and v, which begin with 0, step t computes

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p = p - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.
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
    """Adam with decoupled weight decay, as torch.optim.AdamW.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to change, such as `network.parameters()`.
    lr : float
        The learning rate.
    betas : (float, float)
        The decay of the mean of the gradient and of the mean of its square. Both are at least 0
        and less than 1.
    eps : float
        The number added to the denominator.
    weight_decay : float
        The factor of the weight decay.

    Raises
    ------
    TypeError
        If a setting is not a number, or an element of `parameters` is not a Parameter.
    ValueError
        If a setting is out of range, a parameter occurs twice, or there is none.

    Notes
    -----
    The formulas are those of `Adam`, but the weight decay is not added to the gradient. Instead,
    each step first multiplies the parameters by 1 - lr * weight_decay.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.
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
