"""NVIDIA GPUs: whether byhand can use one, its name and its memory.

byhand uses the first GPU that CUDA shows, which the environment variable CUDA_VISIBLE_DEVICES can
choose. The functions here load the extension module `byhand._cuda`, which only a build with CUDA
has. Nothing else does, until an array is made on the device "cuda".
"""

import functools
import importlib
from types import ModuleType
from typing import Any, NamedTuple

from byhand._core import DeviceError, add_device

__all__ = [
    "DeviceError",
    "Memory",
    "device_name",
    "is_available",
    "is_emulated",
    "load",
    "memory",
    "why_not",
]

_NOT_BUILT = (
    "this build of byhand has no CUDA; in a checkout of byhand, "
    "pip install . -C cmake.define.BYHAND_CUDA=ON builds it"
)


class Memory(NamedTuple):
    """The memory of the GPU, in bytes.

    Attributes
    ----------
    used : int
        The bytes in use, by all programs.
    total : int
        All bytes.
    """

    used: int
    total: int


def is_available() -> bool:
    """Return whether arrays can be on the device "cuda"."""
    return why_not() is None


def why_not() -> str | None:
    """Return why the device "cuda" cannot be used, and what to do about it. None if it can."""
    try:
        _module()
    except DeviceError as error:
        return str(error)
    return None


def load() -> None:
    """Make the device "cuda" known, unless that has been done.

    Raises
    ------
    DeviceError
        If the device cannot be used. The message has the reason that `why_not` returns.
    """
    if (reason := why_not()) is not None:
        raise DeviceError(f'device "cuda" cannot be used: {reason}')


def device_name() -> str:
    """Return the name of the GPU.

    Raises
    ------
    DeviceError
        If the device "cuda" cannot be used.
    """
    name: str = _info()["name"]
    return name


def memory() -> Memory:
    """Return how much memory of the GPU is in use.

    Raises
    ------
    DeviceError
        If the device "cuda" cannot be used.
    """
    info = _info()
    return Memory(info["total_bytes"] - info["free_bytes"], info["total_bytes"])


def is_emulated() -> bool:
    """Return whether the device "cuda" is byhand's emulator, which runs the kernels on the CPU.

    Raises
    ------
    DeviceError
        If the device "cuda" cannot be used.
    """
    load()
    emulated: bool = _module().is_emulated
    return emulated


def _info() -> dict[str, Any]:
    """Return the name of the GPU and its memory."""
    load()
    try:
        info: dict[str, Any] = _module().info()
    except RuntimeError as error:  # the module cannot raise the classes of byhand._core
        raise DeviceError(str(error)) from error
    return info


@functools.cache
def _module() -> ModuleType:
    """Return the extension module, after a check that there is a GPU. Make its device known."""
    try:
        module = importlib.import_module("byhand._cuda")
    except ModuleNotFoundError as error:
        raise DeviceError(_NOT_BUILT) from error
    except ImportError as error:
        raise DeviceError(
            f"the CUDA part of byhand cannot be loaded: {error}; build byhand again, or compute on "
            "the CPU"
        ) from error
    reason = module.why_not()
    if reason is not None:
        raise DeviceError(reason)
    add_device(module.device)
    return module
