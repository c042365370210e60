"""The layers of byhand.nn as nodes of ONNX. This module needs the package onnx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from byhand import nn
from byhand.engine.memory import Shape, host_copy
from byhand.export.errors import layer_error, named_children
from byhand.export.windows import windows_along


class Graph:
    """The nodes and the constant tensors of an ONNX graph.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        The nodes, in the order in which they run.
    tensors : list of onnx.TensorProto
        The weights and the other constants.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self._parameters: dict[Any, str] = {}

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Return the name of the output of a new node.

        Parameters
        ----------
        kind : str
            The name of the operator.
        *inputs : str
            The names of the inputs.
        output : str, optional
            The name of the output. By default, it is the operator's name with a number.
        **attributes : object
            The attributes of the operator.
        """
        from onnx import helper

        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, name: str, values: Any) -> str:
        """Return the name of a new constant. It begins with `name`.

        Parameters
        ----------
        name : str
            The beginning of the name.
        values : ndarray
            The values.
        """
        from onnx import numpy_helper

        name = f"{name}_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add_parameters(self, network: nn.Module) -> None:
        """Add the weights and the running statistics of a network, each under its first name.

        Parameters
        ----------
        network : Module
            The network.
        """
        from onnx import numpy_helper

        for name, parameter in network.named_state():
            if parameter not in self._parameters:
                self._parameters[parameter] = name
                self.tensors.append(numpy_helper.from_array(host_copy(parameter.data), name))

    def parameters(self, *parameters: nn.Parameter | None) -> list[str]:
        """Return the names of parameters, without the None of a bias that a layer does not have.

        Parameters
        ----------
        *parameters : Parameter or None
            The parameters.
        """
        return [self._parameters[parameter] for parameter in parameters if parameter is not None]


def add_layers(
    graph: Graph, network: nn.Sequential | nn.Residual, x: str, shape: Shape, name: str = ""
) -> str:
    """Return the name of the output of a network, whose layers are added to a graph.

    Parameters
    ----------
    graph : Graph
        The graph.
    network : Sequential or Residual
        The network.
    x : str
        The name of the input.
    shape : tuple of int
        The shape of one image's input.
    name : str
        The name of the network: empty, or its number in a larger network.

    Raises
    ------
    ExportError
        If a layer is the user's own, or ONNX computes something else for its arguments.
    """
    for child, layer in named_children(network, name):
        if isinstance(layer, nn.Sequential):
            x = add_layers(graph, layer, x, shape, child)
        elif isinstance(layer, nn.Residual):
            x = graph.add("Add", x, add_layers(graph, layer, x, shape, child))
        else:
            x = _LAYERS[type(layer)](graph, x, layer, shape, child)
        shape = layer.output_shape(shape)
    return x


_Translation = Callable[[Graph, str, Any, Shape, str], str]


def _linear(graph: Graph, x: str, layer: nn.Linear, shape: Shape, name: str) -> str:
    return graph.add("Gemm", x, *graph.parameters(layer.weight, layer.bias), transB=1)


def _conv2d(graph: Graph, x: str, layer: nn.Conv2d, shape: Shape, name: str) -> str:
    (top, bottom), (left, right) = layer.padding
    return graph.add(
        "Conv",
        x,
        *graph.parameters(layer.weight, layer.bias),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=[top, left, bottom, right],
        dilations=layer.dilation,
        group=layer.groups,
    )


def _max_pool2d(graph: Graph, x: str, layer: nn.MaxPool2d, shape: Shape, name: str) -> str:
    rows, columns = (windows_along(layer, shape, axis) for axis in (0, 1))
    if not (rows.inside.all() and columns.inside.all()):
        raise layer_error(
            name,
            layer,
            f"one of its windows lies outside the images of shape {shape}. There the maximum is "
            "-inf in byhand, but a finite number in ONNX Runtime. Use a smaller padding",
        )
    padded = _padded(graph, x, rows, columns, np.float32(-np.inf))
    window: Any = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
    return graph.add("MaxPool", padded, dilations=layer.dilation, **window)


def _avg_pool2d(graph: Graph, x: str, layer: nn.AvgPool2d, shape: Shape, name: str) -> str:
    rows, columns = (windows_along(layer, shape, axis) for axis in (0, 1))
    padded = _padded(graph, x, rows, columns, np.float32(0))
    window: Any = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
    means = graph.add("AveragePool", padded, **window)
    # AveragePool divides by the size of the window. Multiply by size / divisor where they differ.
    size = layer.kernel_size[0] * layer.kernel_size[1]
    factors = size / np.maximum(np.outer(rows.divisors, columns.divisors), 1)
    if (factors == 1).all():
        return means
    return graph.add("Mul", means, graph.constant("factors", factors.astype(np.float32)))


def _padded(graph: Graph, x: str, rows: Any, columns: Any, value: np.float32) -> str:
    """Pad images as far as the windows of a pooling layer reach."""
    pads = [0, 0, rows.before, columns.before, 0, 0, rows.after, columns.after]
    if not any(pads):
        return x
    return graph.add("Pad", x, graph.constant("pads", pads), graph.constant("value", value))


def _batch_norm(
    graph: Graph, x: str, layer: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape, name: str
) -> str:
    inputs = graph.parameters(layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return graph.add("BatchNormalization", x, *inputs, epsilon=layer.eps)


def _single(kind: str, **attributes: Any) -> _Translation:
    """Return the translation of a layer that is a single node without weights."""
    return lambda graph, x, layer, shape, name: graph.add(kind, x, **attributes)


_LAYERS: dict[type[nn.Module], _Translation] = {
    nn.AvgPool2d: _avg_pool2d,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Conv2d: _conv2d,
    nn.Dropout: lambda graph, x, layer, shape, name: x,  # the identity in inference
    nn.Flatten: _single("Flatten", axis=1),
    nn.GlobalAvgPool2d: _single("GlobalAveragePool"),
    nn.Linear: _linear,
    nn.MaxPool2d: _max_pool2d,
    nn.ReLU: _single("Relu"),
    nn.Sigmoid: _single("Sigmoid"),
    nn.Tanh: _single("Tanh"),
}
