"""The base class of layers and networks, and of what users write themselves."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from byhand import kernels
from byhand.checks import flag, form
from byhand.engine.memory import Array, Shape
from byhand.engine.op import Call, Op
from byhand.nn.parameter import Parameter, Statistic, clear_gradients, load_arrays

Self = TypeVar("Self", bound="Module")


class Module:
    """The base class of layers and networks.

    A subclass that defines `forward` and `backward` in plain NumPy is a user's own layer. It works
    wherever a layer of byhand.nn works. Its parameters are attributes of the type `Parameter`, and
    its `backward` adds to their `.grad`. If it consists of modules, it lists them in `children`. If
    it takes settings, it stores each of them under the name of the constructor's argument.
    """

    training: bool = True
    """Whether `forward` computes as in training. `train` and `eval` set it."""

    children: tuple[Module, ...] = ()
    """The modules that this one consists of."""

    has_modes: bool = False
    """Whether the module computes differently in training and in inference mode."""

    def forward(self, x: Array) -> Array:
        """Compute the output for a batch.

        Parameters
        ----------
        x : ndarray, shape (N, ...), float32
            The batch. It must not be changed.

        Returns
        -------
        ndarray, shape (N, ...), float32
            The output.
        """
        raise undefined(self, "forward")

    def backward(self, grad_output: Array) -> Array:
        """Compute the gradients for the batch of the last `forward`.

        It adds the gradients with respect to the parameters to their `.grad`. Call `zero_grad`
        before, unless the gradients of several batches are to be added up.

        Parameters
        ----------
        grad_output : ndarray, of the shape of the output, float32
            The gradient of the loss with respect to the output. It must not be changed.

        Returns
        -------
        ndarray, of the shape of the input, float32
            The gradient of the loss with respect to the input.
        """
        raise undefined(self, "backward")

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of one image's output, without the batch axis.

        A user's own module need not define it: this method calls `forward` on an image of zeros,
        once per shape, in inference mode.

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

        Only matrix products and convolutions count. A multiplication with its addition counts as
        two operations.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.
        """
        return 0

    def layers(self) -> Iterator[Op]:
        """Return the layers that a plan runs, in their order, with those of inner networks."""
        yield ByHand(self)

    def layer_inputs(self, shape: Shape) -> Iterator[tuple[Module, Shape]]:
        """Return each layer, including inner layers, with the shape of its input.

        The layers inside a user's own module are left out, because their input shapes are unknown.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.
        """
        return iter(())

    def least_batch(self, shape: Shape) -> int:
        """Return the smallest number of images that the module can take in its present mode.

        Parameters
        ----------
        shape : tuple of int
            The shape of one image's input, without the batch axis.
        """
        return 1

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the parameters and their names.

        The names are those of PyTorch: "weight" in a layer, "0.weight" in a Sequential. A parameter
        that several layers share comes once, under its first name.

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
        """Iterate over parameters and running statistics: all that `state_dict` holds.

        A parameter that several layers share comes once for each of its names.

        Yields
        ------
        name : str
            The name.
        parameter : Parameter
            The parameter or, if it is a `Statistic`, the running statistic.
        """
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value
        for i, child in enumerate(self.children):
            for name, value in child.named_state():
                yield f"{i}.{name}", value

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
        """Return the parameters. One that several layers share comes once."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        clear_gradients(self.parameters())

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode or inference mode. A new module is in training mode.

        The modes differ in Dropout and batch normalisation.

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
        """Set what decides the random numbers that layers draw in the next pass.

        Parameters
        ----------
        seed : int
            The seed of the training.
        step : int
            The number of the step, counted from 0.
        """
        for child in self.children:
            child.begin_step(seed, step)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the values of all parameters and running statistics, by name."""
        return {name: parameter.data.copy() for name, parameter in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the values of all parameters and running statistics.

        Parameters
        ----------
        state : mapping of str to array_like, float32
            The values by name, as `state_dict` returns them. A state of the same network in PyTorch
            fits: the counters that PyTorch keeps beside running statistics are ignored.

        Raises
        ------
        TypeError
            If `state` is not a mapping.
        ValueError
            If a name, a shape or a dtype differs. The message lists every difference, and nothing
            has changed.
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
        """Return the arguments with which the constructor makes such a module again.

        `rng` is left out. A pair of equal numbers is returned as one number.

        Raises
        ------
        TypeError
            If the module does not store an argument under its name.
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
            array = isinstance(value, np.ndarray)
            kind = f"an array {form(value)}" if array else f"a value of type {form(value)}"
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
        # Plans and activations are left out. Their arrays are views of one arena, but the copied
        # arrays would be separate.
        return {
            name: v for name, v in vars(self).items() if name not in ("_last", "_plans", "_shapes")
        }


# --------------------------------------------------------------------------------------------------
# A user's own layer

# A thread holds this lock while a user's layer computes in inference. `training` of the layer is
# False for that time, and no other thread may set it back meanwhile. A forked process begins with a
# new lock, which nobody holds.
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
        # `backward` of the module adds to `.grad` of its parameters, but an op must overwrite
        # `b.gradients`. These are usually the same arrays. If layers share a parameter, a plan
        # gives other arrays, and `.grad` must stay as it was.
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
        array = array.view()
        array.flags.writeable = False  # other ops read it later, so a change would corrupt them
        result = function(array)
        if not isinstance(result, np.ndarray) or result.shape != to.shape:
            raise ValueError(
                f"{function.__name__} of {type(self.module).__name__} must return an array of "
                f"shape {to.shape} for one of shape {array.shape}, not {form(result)}"
            )
        to[...] = result


@contextmanager
def _in_inference(module: Module) -> Iterator[None]:
    """Put a module and its children into inference mode, then give back all their attributes.

    So `backward` finds what the last `forward` in training kept for it.
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
    """Return the error that a module does not define a method.

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

    2 means (2, 2), and (1, 2) means ((1, 1), (2, 2)).
    """
    if not isinstance(value, tuple) or len(value) != 2:
        return value
    if all(isinstance(side, tuple) and side[0] == side[1] for side in value):
        return _shortest(tuple(side[0] for side in value))
    return value[0] if value[0] == value[1] and not isinstance(value[0], tuple) else value
