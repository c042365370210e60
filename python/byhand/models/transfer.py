"""Transfer learning: the weights of a trained network become the initial weights of another one."""

from __future__ import annotations

from collections.abc import Sequence

from byhand import nn


def copy_weights(source: nn.Sequential, network: nn.Sequential, *, last_too: bool) -> list[str]:
    """Copy the weights of `source` to `network`, which has the same layers.

    Parameters
    ----------
    source, network : Sequential
        The networks.
    last_too : bool
        Whether the last layer with weights is copied too if its shape is the same.

    Returns
    -------
    list of str
        The names of the weights of `network` that were not replaced.

    Raises
    ------
    ValueError
        If more than the last layer with weights differs. Then nothing has changed.
    """
    weights, own = source.state_dict(), network.state_dict()
    shapes, own_shapes = ({n: a.shape for n, a in state.items()} for state in (weights, own))
    different = [name for name in {**own, **weights} if shapes.get(name) != own_shapes.get(name)]
    last = int(list(own)[-1].split(".")[0]) if own else len(network.children)
    of_last = {name for name in own if name.split(".")[0] == str(last)}
    errors = [] if set(different) <= of_last else different
    errors = errors or _other_layers(source.children, network.children, last)
    if errors:
        raise ValueError(f"the models differ in more than the last layer: {', '.join(errors)}")
    kept = set() if last_too and not different else of_last
    network.load_state_dict({**weights, **{name: own[name] for name in kept}})
    return sorted(kept)


def _other_layers(
    source: Sequence[nn.Module], children: Sequence[nn.Module], last: int
) -> list[str]:
    """List the pairs of layers that differ, except pair `last`, which is allowed to differ."""
    if len(source) != len(children):
        return [f"{len(source)} layers in the trained model, {len(children)} in the new one"]
    pairs = [pair for i, pair in enumerate(zip(source, children, strict=True)) if i != last]
    return [
        f"{old!r} in the trained model, {new!r} in the new one"
        for old, new in pairs
        if repr(old) != repr(new) and not (type(old) is nn.Dropout and type(new) is nn.Dropout)
    ]
