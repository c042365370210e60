"""Parameters: weights and their gradients, as views of two flat buffers.

A network keeps all its weights in one buffer and all their gradients in another, so that the step
of an optimizer is one kernel call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand._core import asarray
from byhand.engine.memory import (
    Array,
    Shape,
    aligned_offsets,
    assign,
    device_of,
    is_array,
)


class Storage:
    """The flat buffers `data` and `grad` of one or more parameters, filled with zeros.

    Parameters
    ----------
    size : int
        The number of floats in each buffer.
    device : str
        The device to allocate on, as in `kernels.empty`.
    """

    def __init__(self, size: int, device: str = "cpu") -> None:
        self.device = device
        self.data = kernels.empty((size,), device)
        self.grad = kernels.empty((size,), device)
        self.data.fill(0.0)
        self.grad.fill(0.0)


P = TypeVar("P", bound="Parameter")


class Parameter:
    """A float32 array that training changes, `.data`, with its gradient `.grad` of the same shape.

    Both arrays may be changed in place at any time. An assignment such as `parameter.data = array`
    copies the values of the array.

    Parameters
    ----------
    value : ndarray or DeviceArray, float32, or tuple of int
        The values to copy, or the shape of a parameter of zeros on the CPU.

    Raises
    ------
    TypeError
        If `value` is neither a float32 array nor a shape.
    """

    __slots__ = ("_data", "_grad", "offset", "shape", "storage")

    def __init__(self, value: Array | Shape) -> None:
        if is_array(value):
            _check_float32("Parameter(...)", value)
        elif not isinstance(value, tuple) or not all(isinstance(n, int) for n in value):
            raise TypeError(f"Parameter takes a float32 array or a shape, not {value!r}")
        if isinstance(value, tuple):
            self._set_shape(value)
            share_storage([self])
        else:
            self._set_shape(value.shape)
            share_storage([self], device_of(value))
            assign(self.data, value)

    def _set_shape(self, shape: Shape) -> None:
        self.shape = shape
        self.storage: Storage | None = None
        self.offset = 0
        self._data: Array | None = None
        self._grad: Array | None = None

    @classmethod
    def without_memory(cls: type[P], shape: Shape) -> P:
        """Make a parameter that has no values until `bind` gives it memory.

        Parameters
        ----------
        shape : tuple of int
            Its shape.

        Returns
        -------
        Parameter
            The parameter.
        """
        parameter = cls.__new__(cls)
        parameter._set_shape(shape)
        return parameter

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def data(self) -> Array:
        """The values. An assignment copies a float32 array of the same shape into them."""
        if self._data is None:
            raise RuntimeError(f"{self!r} has no memory yet: share_storage gives it some")
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        self._assign("data", self.data, value)

    @property
    def grad(self) -> Array:
        """The gradient. An assignment copies a float32 array of the same shape into it."""
        assert self._grad is not None
        return self._grad

    @grad.setter
    def grad(self, value: Array) -> None:
        self._assign("grad", self.grad, value)

    def bind(self, storage: Storage, offset: int) -> None:
        """Move the parameter: `.data` and `.grad` become views of the buffers of a storage.

        Parameters
        ----------
        storage : Storage
            The new storage. If the parameter has values and a gradient, they are copied there.
        offset : int
            The offset of the parameter in both buffers of the storage, in floats.
        """
        part = slice(offset, offset + self.size)
        data = storage.data[part].reshape(self.shape)
        grad = storage.grad[part].reshape(self.shape)
        if self._data is not None and self._grad is not None:
            assign(data, self._data)
            assign(grad, self._grad)
        self.storage, self.offset, self._data, self._grad = storage, offset, data, grad

    def _assign(self, name: str, target: Array, value: Any) -> None:
        _check_float32(f".{name}", value, ", and zero_grad() to clear gradients")
        if value.shape != self.shape:
            raise ValueError(f".{name} has the shape {self.shape}, not {value.shape}")
        assign(target, value)

    def __getstate__(self) -> tuple[Shape, Array | None, Array | None]:
        # A copy or a pickle holds only the values of this parameter, not the storage of the whole
        # network. A copied network moves its parameters into one storage again.
        return self.shape, self._data, self._grad

    def __setstate__(self, state: tuple[Shape, Array | None, Array | None]) -> None:
        shape, data, grad = state
        self._set_shape(shape)
        if data is not None and grad is not None:
            share_storage([self], device_of(data))
            self.data, self.grad = data, grad

    def __repr__(self) -> str:
        return f"Parameter{self.shape}"


def _check_float32(name: str, value: Any, also: str = "") -> None:
    if not is_array(value) or value.dtype != np.float32:
        form = value.dtype if is_array(value) else type(value).__name__
        raise TypeError(f"{name} takes a float32 array, not {form}: use .astype(np.float32){also}")


class Statistic(Parameter):
    """An array that a layer updates without a gradient, such as a running mean.

    Only `.data` is used, and it is saved with the weights. `.grad` has no meaning. Optimizers never
    change a statistic, because `Module.parameters` leaves it out.

    Parameters
    ----------
    value : ndarray, float32, or tuple of int
        As in `Parameter`.
    """

    __slots__ = ()


def share_storage(parameters: Sequence[Parameter], device: str = "cpu") -> None:
    """Move parameters into one new storage, in this order, each at the start of a cache line.

    Parameters
    ----------
    parameters : sequence of Parameter
        The parameters. They may belong to several networks.
    device : str
        The device of the storage.
    """
    offsets, size = aligned_offsets([parameter.size for parameter in parameters])
    storage = Storage(size, device)
    for parameter, offset in zip(parameters, offsets, strict=True):
        parameter.bind(storage, offset)


def move(parameters: Iterable[Parameter], device: str) -> None:
    """Move parameters to a device. Those that share a storage share one there, too.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters. Those without memory are left as they are.
    device : str
        The device.
    """
    # A shared parameter may occur several times. Sorted by offset, parameters keep their order.
    found = dict.fromkeys(p for p in parameters if p.storage and p.storage.device != device)
    groups: dict[Storage | None, list[Parameter]] = {}
    for parameter in sorted(found, key=lambda parameter: parameter.offset):
        groups.setdefault(parameter.storage, []).append(parameter)
    places = [aligned_offsets([p.size for p in group]) for group in groups.values()]
    # All memory is allocated first, so that nothing has moved if there is too little.
    storages = [Storage(size, device) for _, size in places]
    for group, (offsets, _), storage in zip(groups.values(), places, storages, strict=True):
        for parameter, offset in zip(group, offsets, strict=True):
            parameter.bind(storage, offset)


def flat_pieces(
    parameters: Sequence[Parameter], offsets: Sequence[int]
) -> list[tuple[Storage, slice, slice]]:
    """Group neighbouring parameters, so that one kernel call can work on a whole group.

    The caller has a flat array with a part for each parameter, such as the velocities of an
    optimizer. A piece is a group of parameters that lie at the same distances from each other in
    their storage and in the caller's array. So a piece is one slice of the storage and one slice of
    the caller's array.

    For example, all parameters of a Sequential, in their order, are one piece. The parameters of
    two networks, one after the other, are two pieces.

    Parameters
    ----------
    parameters : sequence of Parameter
        The parameters.
    offsets : sequence of int
        The offset of each parameter in the caller's flat array, in floats.

    Returns
    -------
    list of (Storage, slice, slice)
        For each piece: the storage, the slice of the storage, and the slice of the caller's array.
    """
    pieces = []
    begin = 0  # the number of the first parameter of the piece
    for i, parameter in enumerate(parameters):
        last = i + 1 == len(parameters)
        following = parameter if last else parameters[i + 1]
        if (
            not last
            and following.storage is parameter.storage
            and following.offset - parameter.offset == offsets[i + 1] - offsets[i]
        ):
            continue
        assert parameter.storage is not None
        first, start = parameters[begin].offset, offsets[begin]
        end = parameter.offset + parameter.size
        there, here = slice(first, end), slice(start, start + end - first)
        pieces.append((parameter.storage, there, here))
        begin = i + 1
    return pieces


def clear_gradients(parameters: Iterable[Parameter]) -> None:
    """Set the gradients of parameters to zero.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters.
    """
    for parameter in parameters:
        parameter.grad.fill(0.0)


def misfits(shapes: Mapping[str, Shape], arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Describe each difference between the arrays that were found and the expected ones.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The name and the shape of each expected array. The expected dtype is float32.
    arrays : mapping of str to ndarray
        The arrays that were found, by name.

    Returns
    -------
    list of str
        A phrase for each missing, unexpected or different array. It is empty if all arrays fit.
    """
    problems = [f"unexpected {name}" for name in arrays if name not in shapes]
    for name, shape in shapes.items():
        array = arrays.get(name)
        if array is None:
            problems.append(f"missing {name}")
        elif array.shape != shape or array.dtype != np.float32:
            problems.append(
                f"{name} is {array.dtype} of shape {array.shape}, not float32 of shape {shape}"
            )
    return problems


def load_arrays(targets: Mapping[str, Array], state: Mapping[str, Any], owner: str) -> None:
    """Copy each array of a state into the target of the same name.

    If one of them does not fit, nothing is copied.

    Parameters
    ----------
    targets : mapping of str to ndarray, float32
        The arrays to overwrite, by name.
    state : mapping of str to array_like
        The new values, by name.
    owner : str
        The name that messages give to the object whose state is loaded.

    Raises
    ------
    TypeError
        If `state` is not a mapping.
    ValueError
        If a name, a shape or a dtype differs. The message lists every difference.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be arrays by name, as from state_dict(), not {state!r}")
    arrays = {name: asarray(value) for name, value in state.items()}
    problems = misfits({name: target.shape for name, target in targets.items()}, arrays)
    if problems:
        raise ValueError(f"state does not fit {owner}: {'; '.join(problems)}")
    for name, target in targets.items():
        assign(target, arrays[name])


class _Sentinel(Enum):
    NO_WEIGHTS = "no weights"


NO_WEIGHTS: Final = _Sentinel.NO_WEIGHTS
"""A value for the argument `rng` of a layer, for a layer whose weights are loaded later.

The parameters of the layer have no memory until `share_storage` gives them some.
"""

if TYPE_CHECKING:  # np.random takes a while to import
    Rng = np.random.Generator | int | _Sentinel | None


def draw(shape: Shape, fan_in: int, rng: Rng) -> Parameter:
    """Make a parameter with PyTorch's default initial weights, uniform in +-1/sqrt(fan_in).

    Parameters
    ----------
    shape : tuple of int
        The shape of the parameter.
    fan_in : int
        The number of inputs that each output depends on. A bias has the fan_in of its weight.
    rng : numpy.random.Generator, int or None
        As in `generator`. With NO_WEIGHTS, the parameter has no memory.

    Returns
    -------
    Parameter
        The parameter.

    Notes
    -----
    PyTorch calls this distribution kaiming_uniform with a = sqrt(5).

    References
    ----------
    He et al., Delving deep into rectifiers, arXiv 1502.01852.
    """
    if rng is NO_WEIGHTS:
        return Parameter.without_memory(shape)
    parameter = Parameter(shape)
    bound = 1.0 / math.sqrt(fan_in)
    parameter.data[...] = generator(rng).random(shape, np.float32) * (2 * bound) - bound
    return parameter


def generator(rng: Rng) -> np.random.Generator:
    """Return the generator that an argument `rng` stands for.

    Parameters
    ----------
    rng : numpy.random.Generator, int or None
        A generator is returned unchanged, so all layers that get it draw from the same sequence.
        For a seed, the result is stream 0 of that seed (see `stream`). None means a random seed.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng() if rng is None else stream(rng, 0)


def stream(seed: Any, number: int) -> np.random.Generator:
    """Return one of many independent generators that belong to the same seed.

    Stream 0 draws the initial weights. Stream e shuffles the images of epoch e, counted from 1.

    Parameters
    ----------
    seed : int
        The seed, from 0 to 2**64 - 1.
    number : int
        The number of the stream.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not an integer in that range.

    Notes
    -----
    The generator is Philox with the key (seed, number).
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer, not {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be from 0 to 2**64 - 1, not {seed}")
    return np.random.Generator(np.random.Philox(key=int(seed) + (number << 64)))
