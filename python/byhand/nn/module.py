"""The base class of layers, of networks, and of layers that users write themselves."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Iterator, Mapping, ValuesView
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from byhand import kernels
from byhand.checks import flag, form
from byhand.engine.memory import Array, Shape, host_copy, is_array
from byhand.engine.op import Call, Op
from byhand.nn.parameter import Parameter, Statistic, clear_gradients, load_arrays, move

Self = TypeVar("Self", bound="Module")

# Attributes that hold arrays of earlier batches: the last call of a layer, the plans of a model.
_OF_BATCHES = ("_last", "_plans")


class Module:
    """The base class of layers and networks.

    To write a layer of your own, derive a class that defines `forward` and `backward` in plain
    NumPy. It works wherever a layer of byhand.nn works. Parameters are attributes of the type
    `Parameter`, and `backward` adds to their `.grad`. A layer that consists of other modules lists
    them in `children`. A layer stores each argument of its constructor in an attribute of that
    name.
    """

    training: bool = True
    """Whether the module is in training mode. `train` and `eval` set this attribute."""

    children: tuple[Module, ...] = ()
    """The modules that this one consists of."""

    _device: str = "cpu"

    has_modes: bool = False
    """Whether training mode and inference mode of the module give different results."""

    def forward(self, x: Array) -> Array:
        """Compute the output for a batch.

        Parameters
        ----------
        x : ndarray, shape (N, ...), float32
            The batch. `forward` must not change it.

        Returns
        -------
        ndarray, shape (N, ...), float32
            The output.
        """
        raise undefined(self, "forward")

    def backward(self, grad_output: Array) -> Array:
        """Compute the gradients for the batch of the last `forward`.

        This method adds the gradients with respect to the parameters to their `.grad`. Call
        `zero_grad` before, unless you want the sum of the gradients of several batches.

        Parameters
        ----------
        grad_output : ndarray, of the shape of the output, float32
            The gradient of the loss with respect to the output. `backward` must not change it.

        Returns
        -------
        ndarray, of the shape of the input, float32
            The gradient of the loss with respect to the input.
        """
        raise undefined(self, "backward")

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of one image's output, without the batch axis.

        A user's own module need not define `output_shape`: this method finds the shape by a call of
        `forward` in inference mode, with one image of zeros. It does so once per input shape.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.

        Raises
        ------
        ValueError
            If the module does not take an input of this shape.
        """
        known: dict[Shape, Shape] = vars(self).setdefault("_shapes", {})
        if shape not in known:
            with _lock, _in_inference(self):
                y = self.forward(np.zeros((1, *shape), np.float32))
            if not isinstance(y, np.ndarray) or len(y) != 1:
                raise ValueError(
                    f"forward of {type(self).__name__} must return an array with the batch axis "
                    f"in front, not {form(y)}"
                )
            known[shape] = y.shape[1:]
        return known[shape]

    def flops(self, shape: Shape) -> int:
        """Return the number of floating-point operations in the forward pass of one image.

        Only matrix products and convolutions count. A multiplication and the addition after it are
        two operations.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.
        """
        return 0

    def layers(self) -> Iterator[Op]:
        """Return the layers that a plan runs, in their order. A network returns all its layers."""
        yield ByHand(self)

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Module, Shape]]:
        """Return each layer of byhand.nn, including inner layers, with the shape of its input.

        A user's own module and the layers inside it are left out, because only its `forward` knows
        the input shapes of these layers.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.
        """
        return iter(())

    def least_batch(self, shape: Shape) -> int:
        """Return the smallest number of images in a batch that the module can compute.

        The number is 2 if batch normalisation in training mode gets one value per channel and
        image, because a single value has no variance. Otherwise it is 1.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.
        """
        return 1

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the parameters and their names.

        The names are those of PyTorch: "weight" in a layer, "0.weight" in a Sequential. If several
        layers share a parameter, it appears once, with its first name.

        Yields
        ------
        name : str
            The name.
        parameter : Parameter
            The parameter.
        """
        seen: set[Parameter] = set()
        for name, parameter in self.named_state():
            if not isinstance(parameter, Statistic) and parameter not in seen:
                seen.add(parameter)
                yield name, parameter

    def named_state(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the parameters and running statistics: the content of `state_dict`.

        If several layers share a parameter, it appears once per name.

        Yields
        ------
        name : str
            The name.
        parameter : Parameter
            A parameter, or a running statistic, which is an instance of `Statistic`.
        """
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value
            elif name != "children":
                self._check_nothing_is_hidden(name, value)
        for i, child in enumerate(self.children):
            for name, value in child.named_state():
                yield f"{i}.{name}", value

    def _check_nothing_is_hidden(self, name: str, value: Any) -> None:
        """Raise if an attribute holds parameters that would be neither trained nor saved."""
        items = value.values() if isinstance(value, Mapping) else value
        for item in items if isinstance(items, list | tuple | ValuesView) else [value]:
            where = f"{name} of {type(self).__name__}"
            if isinstance(item, Parameter):
                raise TypeError(
                    f"{where} holds a parameter in a {type(value).__name__}, where it would be "
                    "neither trained nor saved: store each parameter in an attribute of its own"
                )
            if isinstance(item, Module) and not any(item is part for part in self.modules()):
                raise TypeError(
                    f"{where} is a {type(item).__name__} that is not in children, so it would be "
                    "neither trained nor saved: set self.children to the modules of this layer"
                )

    def modules(self) -> Iterator[Module]:
        """Iterate over this module and all modules inside it, in the order in which they run.

        Yields
        ------
        Module
            The module.
        """
        yield self
        for child in self.children:
            yield from child.modules()

    def __call__(self, x: Array) -> Array:
        return self.forward(x)

    def parameters(self) -> list[Parameter]:
        """Return the parameters. If several layers share a parameter, it appears once."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        clear_gradients(self.parameters())

    @property
    def device(self) -> str:
        """The device to which the whole module was moved last, such as "cpu".

        If you move single layers of a network, the network does not notice it.
        """
        return self._device

    def to(self: Self, device: str) -> Self:
        """Move all parameters and running statistics to a device.

        From then on, the module computes there. It takes arrays of this device and returns such
        arrays. The methods of `Model` that predict still take and return NumPy arrays. The
        activations of the last `forward` are dropped, so `backward` needs another `forward` first.

        Parameters
        ----------
        device : {"cpu", "cuda"}
            The device.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        TypeError
            If the module has a layer of yours, which computes with NumPy on the CPU.
        byhand.cuda.DeviceError
            If the device cannot be used. The message says why.
        ValueError
            If the device is unknown.
        MemoryError
            If the device has too little free memory. Then nothing has moved.
        """
        kernels.empty((0,), device)  # raises an error if the device cannot be used
        by_hand = [m for m in self.modules() if any(isinstance(op, ByHand) for op in m.layers())]
        if by_hand and device != "cpu":
            kind = type(by_hand[-1]).__name__
            raise TypeError(f"{kind} computes with NumPy, so it cannot be moved to {device}")
        move((parameter for _, parameter in self.named_state()), device)
        for module in self.modules():
            if module._device != device:
                module._device = device
                for name in _OF_BATCHES:  # frees their memory
                    vars(module).pop(name, None)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode or inference mode. A new module is in training mode.

        In byhand.nn, only Dropout and batch normalisation compute differently in the two modes.

        Parameters
        ----------
        mode : bool
            True for training mode, False for inference mode.

        Returns
        -------
        Module
            This module.
        """
        mode = flag("mode", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Set inference mode: `train(False)`.

        Returns
        -------
        Module
            This module.
        """
        return self.train(False)

    def begin_step(self, seed: int, step: int) -> None:
        """Set the seed and the step from which layers draw random numbers in the next pass.

        `Trainer` calls this method before each step.

        Parameters
        ----------
        seed : int
            The seed of the training.
        step : int
            The number of the training step, counted from 0.
        """
        for child in self.children:
            child.begin_step(seed, step)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the values of all parameters and running statistics, by name."""
        return {name: host_copy(parameter.data) for name, parameter in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the values of all parameters and running statistics.

        Parameters
        ----------
        state : mapping of str to array_like, float32
            The values by name, as `state_dict` returns them. The state of the same network in
            PyTorch also fits. Its counters "num_batches_tracked" are ignored.

        Raises
        ------
        TypeError
            If `state` is not a mapping.
        ValueError
            If a name, a shape or a dtype differs. The message lists every difference. In this case,
            no value is changed.
        """
        targets = {name: parameter.data for name, parameter in self.named_state()}
        if isinstance(state, Mapping):
            counters = {
                name.replace("running_mean", "num_batches_tracked")
                for name in targets
                if name.endswith("running_mean")
            }
            state = {name: value for name, value in state.items() if name not in counters}
        load_arrays(targets, state, type(self).__name__)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for the constructor that make a module with the same settings.

        The argument `rng` is left out. A pair of equal numbers is returned as one number.

        Raises
        ------
        TypeError
            If the module does not store an argument in an attribute of that name.
        """
        found = {}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if name == "rng":
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(
                self, name
            ):
                raise TypeError(
                    f"{type(self).__name__} does not store its argument {name} under that name"
                )
            found[name] = _shortest(getattr(self, name))
        return found

    def __repr__(self) -> str:
        try:
            arguments = self.arguments()
        except TypeError:
            return f"{type(self).__name__}(...)"
        signature = inspect.signature(type(self)).parameters
        shown = []
        for name, value in arguments.items():
            default = signature[name].default
            text = form(value) if isinstance(value, np.ndarray) else str(value)
            if default is inspect.Parameter.empty:
                shown.append(text)
            elif isinstance(value, np.ndarray) or value != default:
                shown.append(f"{name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter):
            kind = (
                f"an array {form(value)}" if is_array(value) else f"a value of type {form(value)}"
            )
            raise TypeError(
                f"{name} of {type(self).__name__} is a parameter and cannot be replaced by {kind}: "
                f"to change its values, use .{name}.data = array"
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if isinstance(vars(self).get(name), Parameter):
            raise TypeError(
                f"{name} of {type(self).__name__} is a parameter and cannot be removed: make a "
                "new layer without it, for example with bias=False"
            )
        super().__delattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        # A copy or a pickle leaves out plans and activations. Many of their arrays are views of the
        # same memory. A copy would turn each view into a separate array.
        left_out = (*_OF_BATCHES, "_shapes")
        return {name: v for name, v in vars(self).items() if name not in left_out}


# --------------------------------------------------------------------------------------------------
# A user's own layer

# A thread holds this lock while it runs a user's layer in inference. During this time, the layer's
# `training` is False, and no other thread may change it. A forked process gets a new lock, because
# the old one would stay locked forever if another thread held it during the fork.
_lock = threading.RLock()


def _new_lock() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_new_lock)


class ByHand(Op):
    """An op that calls the `forward` and `backward` of a user's own module.

    Parameters
    ----------
    module : Module
        The module.
    """

    def __init__(self, module: Module) -> None:
        self.module = module

    def output_shape(self, shape: Shape) -> Shape:
        return self.module.output_shape(shape)

    def gradients(self) -> tuple[Array, ...]:
        return tuple(parameter.grad for parameter in self.module.parameters())

    def run(self, b: Call) -> None:
        if not b.inference:
            self._copy(self.module.forward, b.x, b.y)
            return
        with _lock, _in_inference(self.module):
            self._copy(self.module.forward, b.x, b.y)

    def run_backward(self, b: Call) -> None:
        # The module's `backward` adds to the `.grad` of its parameters, but an op must overwrite
        # `b.gradients`. Usually, `b.gradients` are the same arrays as `.grad`. But if a layer that
        # has already run backward shares a parameter, the plan passes an extra array for it and
        # adds this array to `.grad` afterwards (`_extra_gradients` in engine/plan.py). So `.grad`
        # must keep its values.
        parameters = self.module.parameters()
        before = [parameter.grad.copy() for parameter in parameters]
        self.module.zero_grad()
        grad_x = kernels.empty(b.x.shape) if b.grad_x is None else b.grad_x
        self._copy(self.module.backward, b.grad_y, grad_x)
        fresh = [parameter.grad.copy() for parameter in parameters]
        for parameter, old in zip(parameters, before, strict=True):
            parameter.grad[...] = old
        for target, gradient in zip(b.gradients, fresh, strict=True):
            target[...] = gradient

    def _copy(self, function: Callable[[Array], Any], array: Array, to: Array) -> None:
        """Copy the result of `function(array)` into the array `to`."""
        array = array.view()
        array.flags.writeable = False  # other ops still need the values
        name = f"{function.__name__} of {type(self.module).__name__}"
        try:
            result = function(array)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise ValueError(
                f"{name} must not change its argument: copy the array first"
            ) from error
        if not isinstance(result, np.ndarray) or result.shape != to.shape:
            raise ValueError(
                f"{name} got an array of shape {array.shape} and must return an array of shape "
                f"{to.shape}, not {form(result)}"
            )
        to[...] = result


@contextmanager
def _in_inference(module: Module) -> Iterator[None]:
    """Put a module and its children into inference mode, and restore all attributes at the end.

    In training, `forward` may keep arrays in attributes for `backward`. If a `forward` in inference
    comes in between, it overwrites these attributes, so they must be restored.
    """
    parts = tuple(module.modules())
    before = [dict(vars(part)) for part in parts]
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part, attributes in zip(parts, before, strict=True):
            vars(part).update(attributes)
            for name in vars(part).keys() - attributes.keys():
                del vars(part)[name]


def undefined(module: Module, method: str) -> NotImplementedError:
    """Return the exception for a call of a method that a module does not define.

    Parameters
    ----------
    module : Module
        The module.
    method : str
        The name of the method.
    """
    return NotImplementedError(f"{type(module).__name__} defines no {method}")


def _shortest(value: Any) -> Any:
    """Return the shortest form of a number, a pair of numbers or a pair of pairs.

    For example, (2, 2) becomes 2, and ((1, 1), (2, 2)) becomes (1, 2).
    """
    if not isinstance(value, tuple) or len(value) != 2:
        return value
    if all(isinstance(side, tuple) and side[0] == side[1] for side in value):
        return _shortest(tuple(side[0] for side in value))
    return value[0] if value[0] == value[1] and not isinstance(value[0], tuple) else value
