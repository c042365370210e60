"""The table of layers that `print(model)` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from byhand.engine.memory import Shape
from byhand.nn import Module, Residual, Sequential


def layer_table(network: Sequential, input_shape: Shape) -> list[str]:
    """Return the lines of the table: a heading, one line per layer, and the totals.

    Parameters
    ----------
    network : Sequential
        The network.
    input_shape : (int, int, int)
        The channels, the height and the width of its images.
    """
    rows = [("", "layer", "output", "parameters", "FLOPs")]
    rows += _rows(network.children, input_shape)
    weights = sum(parameter.size for parameter in network.parameters())
    rows.append(("", "total", "", f"{weights:,}", f"{network.flops(input_shape):,}"))
    width = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for number, layer, output, *sizes in rows:
        left = f"{number:<{width[0]}}  {layer:<{width[1]}}  {output:<{width[2]}}"
        lines.append(f"{left}  {sizes[0]:>{width[3]}}  {sizes[1]:>{width[4]}}")
    return lines


def _rows(
    layers: Sequence[Module], shape: Shape, prefix: str = ""
) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield a row per layer. The layers inside a Residual or a Sequential are indented."""
    for i, layer in enumerate(layers):
        number, output = f"{prefix}{i}", layer.output_shape(shape)
        inner = layer.children if isinstance(layer, Sequential | Residual) else ()
        name = f"{type(layer).__name__} of" if inner else repr(layer)
        weights = sum(parameter.size for parameter in layer.parameters())
        indented = "  " * prefix.count(".") + name
        yield number, indented, str(output), f"{weights:,}", f"{layer.flops(shape):,}"
        yield from _rows(inner, shape, f"{number}.")
        shape = output
