"""The translation of a network to PyTorch, which the benchmarks and the tests share."""

from __future__ import annotations

from typing import Any

from byhand import nn
from byhand.export._torch_layers import Own, PaddedConv2d, load, translated

__all__ = ["PaddedConv2d", "in_torch", "with_weights_of"]


def in_torch(network: nn.Module, own: Own | None = None) -> Any:
    """Return the same network in PyTorch, with initial weights that PyTorch draws.

    Parameters and statistics have the same names in byhand and in PyTorch. Dropout has the same
    rate, but drops other values.

    Parameters
    ----------
    own : functions that translate layers of some types
    """
    return translated(network, {}, own=own)


def with_weights_of(network: nn.Module, module: Any) -> Any:
    """Copy the weights and statistics of a network into its translation `module`; return it."""
    load(module, network)
    return module
