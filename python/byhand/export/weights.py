"""Take weights from a file of PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from byhand import nn
from byhand.checks import as_path, instance, needs_extra
from byhand.files.atomic import open_file
from byhand.files.tensors import CheckpointError


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Set the weights of a network from a file that holds the state_dict of the same network.

    The file has the names and shapes that a torch.nn.Sequential of the same layers gives. Its
    counters "num_batches_tracked" are ignored. No code from the file is executed.

    Parameters
    ----------
    network : Module
        The network, for example a Model.
    path : str or os.PathLike
        The file. If its name ends in .safetensors, it is a safetensors file. Otherwise torch.save
        has written it, and PyTorch must be installed. Such a file is read with `weights_only=True`.

    Raises
    ------
    OSError
        If the file cannot be read. It is a FileNotFoundError if there is no such file.
    CheckpointError
        If the file is damaged, or holds anything else than tensors by name.
    ValueError
        If a name, a shape or a dtype differs. The message lists every difference. In this case, no
        weight is changed.
    ModuleNotFoundError
        If PyTorch is needed and not installed.
    """
    instance("network", network, nn.Module)
    path = as_path("path", path)
    with open_file(path):
        pass  # if this fails, the user gets Python's own error, such as FileNotFoundError
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    network.load_state_dict(state)


def _read_safetensors(path: os.PathLike[str]) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file of NumPy's types: {error}"
        ) from error


def _read_torch(path: os.PathLike[str]) -> Mapping[str, Any]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise needs_extra(error, "reading a file of torch.save", "torch") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged file may raise nearly any error
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} is not a file of weights that can be read safely: {reason}. Save the weights "
            "alone, with torch.save(module.state_dict(), path)"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise CheckpointError(
            f"{path} must hold tensors by name, as torch.save(module.state_dict(), path) writes "
            f"them, not a {type(state).__name__} of something else"
        )
    return {name: value.detach() for name, value in state.items()}
