"""Optimizers. A step over all parameters of a network is one kernel call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from byhand import kernels
from byhand._core import asarray
from byhand.checks import finite, flag, listed, not_negative, number
from byhand.engine.memory import Array, aligned_offsets, device_of, host_copy
from byhand.nn import Parameter
from byhand.nn.parameter import Storage, clear_gradients, flat_pieces, load_arrays

Settings = Mapping[str, Callable[[str, Any], Any]]


class Optimizer:
    """The base class of optimizers.

    An optimizer keeps one or two numbers for each weight, such as a velocity. These numbers lie in
    flat buffers, in the same order as the weights of a network. Therefore a step for a whole
    network is one kernel call. `lr` and the other settings may be changed between steps.

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
        If a setting is out of range, a parameter occurs twice, or `parameters` is empty.
    """

    _buffer_names: ClassVar[tuple[str, ...]]
    """The names of the flat buffers, which `state_dict` also uses."""

    _settings: ClassVar[Settings]
    """The check of each setting, a function of (name, value).

    It returns the value to store, or raises an error.
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
        self._values = {name: kernels.empty((size,)) for name in self._buffer_names}
        # The number of steps. It is a float32 array, so that it is saved like all other state.
        # float32 counts only up to 2^24 steps. Then the number stays the same. This has no effect,
        # because the bias correction of Adam is 1 by then for all usual betas.
        self._steps = kernels.empty((1,))
        for values in (self._steps, *self._values.values()):
            values.fill(0.0)
        self._storages: list[Storage | None] = []
        self._pieces: list[tuple[Array, ...]] = []

    def __setattr__(self, name: str, value: Any) -> None:
        check = self._settings.get(name)
        super().__setattr__(name, value if check is None else check(name, value))

    @property
    def steps(self) -> int:
        """The number of steps so far."""
        return int(self._steps[0])

    def step(self) -> None:
        """Do one step: change all parameters, using their present gradients."""
        self._find_pieces()
        self._steps += 1
        for arrays in self._pieces:
            self._step_piece(*arrays)

    def flat_gradients(self) -> list[Array]:
        """Return the gradients of all parameters as flat arrays: one for a whole `Sequential`.

        The arrays are views. They may contain a few floats of padding between two parameters.
        """
        self._find_pieces()
        return [gradients for _, gradients, *_ in self._pieces]

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        clear_gradients(self.parameters)

    def settings(self) -> dict[str, Any]:
        """Return the present settings by name, as JSON-able values."""
        values = {name: getattr(self, name) for name in self._settings}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def restore_settings(self, settings: Mapping[str, Any]) -> None:
        """Set settings, for example to continue an interrupted training.

        Parameters
        ----------
        settings : mapping
            The settings by name, as the method `settings` returns them.

        Raises
        ------
        TypeError, ValueError
            If a value does not fit its setting.
        """
        for name, value in settings.items():
            setattr(self, name, value)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the state by name: "steps", and for example "velocity.0"."""
        return {name: host_copy(values) for name, values in self._named_values().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state, for example to continue an interrupted training.

        Parameters
        ----------
        state : mapping of str to array_like, float32
            The state by name, as `state_dict` returns it.

        Raises
        ------
        TypeError
            If `state` is not a mapping.
        ValueError
            If a name, a shape or a dtype differs. In this case, nothing is changed.
        """
        load_arrays(self._named_values(), state, type(self).__name__)

    def __getstate__(self) -> dict[str, Any]:
        # The pieces are views of this optimizer's arrays, so a copy must find its own pieces.
        return {**vars(self), "_storages": [], "_pieces": []}

    def _step_piece(self, *arrays: Array) -> None:
        """Call the kernel for one piece: its weights, its gradients and its part of each buffer."""
        raise NotImplementedError

    def _named_values(self) -> dict[str, Array]:
        """Return the state by name. The arrays are views, not copies."""
        named = {
            f"{name}.{i}": values[offset : offset + p.size].reshape(p.shape)
            for name, values in self._values.items()
            for i, (offset, p) in enumerate(zip(self._offsets, self.parameters, strict=True))
        }
        return {"steps": self._steps, **named}

    def _find_pieces(self) -> None:
        """Find the pieces for `step`: parameters that one kernel call can change together.

        If layers move into another network or to another device, their storage changes, and the
        pieces are found again. The optimizer's own arrays then move to the device, too. If the
        device has too little memory for them, the optimizer does not change, so the next step tries
        again.
        """
        storages = [parameter.storage for parameter in self.parameters]
        if storages == self._storages:
            return
        device = device_of(self.parameters[0].data)
        values = {name: asarray(array, device) for name, array in self._values.items()}
        pieces = [
            (storage.data[there], storage.grad[there], *(v[here] for v in values.values()))
            for storage, there, here in flat_pieces(self.parameters, self._offsets)
        ]
        self._storages, self._values, self._pieces = storages, values, pieces


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and L2 regularisation, as torch.optim.SGD.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to change, such as `network.parameters()`.
    lr : float
        The learning rate.
    momentum : float
        The factor by which each step multiplies the old velocity. 0 means no momentum.
    dampening : float
        The share of the gradient that is not added to the velocity. The first step ignores it.
    weight_decay : float
        The factor of the L2 regularisation.
    nesterov : bool
        Whether to use Nesterov's momentum.

    Raises
    ------
    TypeError
        If a setting is not a number, or an element of `parameters` is not a Parameter.
    ValueError
        If a setting is out of range, a parameter occurs twice, or `parameters` is empty. Also if
        `nesterov` is True, but `momentum` is 0 or `dampening` is not 0.

    Notes
    -----
    Let p be a parameter, g its gradient and v its velocity, which is 0 at first. A step computes::

        g = g + weight_decay * p
        v = momentum * v + (1 - dampening) * g
        p = p - lr * (g + momentum * v if nesterov else v)

    In the first step, the dampening is 0. Without momentum, a step sets v = g. There is one
    difference from PyTorch: if a user raises the momentum from 0 during training, v begins with the
    last gradient, but in PyTorch it begins with 0.

    References
    ----------
    Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013.
    """

    _buffer_names = ("velocity",)
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

    def _step_piece(self, *arrays: Array) -> None:
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
        The decay of the running mean of the gradient, and that of the running mean of the squared
        gradient. Both are at least 0 and less than 1.
    eps : float
        The number added to the denominator, so that no division by 0 occurs.
    weight_decay : float
        The factor of the L2 regularisation.

    Raises
    ------
    TypeError
        If a setting is not a number, or an element of `parameters` is not a Parameter.
    ValueError
        If a setting is out of range, a parameter occurs twice, or `parameters` is empty.

    Notes
    -----
    Let p be a parameter, g its gradient, and m and v the running means, which are 0 at first. Step
    t, counted from 1, computes::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p = p - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.
    """

    _buffer_names = ("first_moment", "second_moment")
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

    def _step_piece(self, *arrays: Array) -> None:
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
        The decay of the running mean of the gradient, and that of the running mean of the squared
        gradient. Both are at least 0 and less than 1.
    eps : float
        The number added to the denominator, so that no division by 0 occurs.
    weight_decay : float
        The factor of the weight decay.

    Raises
    ------
    TypeError
        If a setting is not a number, or an element of `parameters` is not a Parameter.
    ValueError
        If a setting is out of range, a parameter occurs twice, or `parameters` is empty.

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
