"""Models as ONNX graphs, which ONNX Runtime and many other programs run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

import byhand._core
from byhand.checks import instance, needs_extra
from byhand.engine.memory import Shape
from byhand.export.onnx_layers import Graph, add_layers
from byhand.models import Model
from byhand.nn import Sequential

# ONNX Runtime reads these versions since 2022, and all later releases still do.
_OPSET, _IR_VERSION = 17, 8


def to_onnx(model: Model) -> Any:
    """Translate a model to ONNX, in inference mode.

    The input "images" has the type uint8 and the shape (N, C, H, W), or (N, H, W) for images of one
    channel, for any N. The graph begins with the preprocessing of the model. The outputs are
    "logits" and "probabilities", both float32 of shape (N, classes). A model with one output has
    only the output "number", of shape (N, 1). The metadata of the file have the names of the
    classes, as a JSON list called "class_names".

    Parameters
    ----------
    model : Model
        The model. Its layers must be those of byhand.nn.

    Returns
    -------
    onnx.ModelProto
        The translation, which `onnx.checker` has checked.

    Raises
    ------
    ExportError
        If a layer is the user's own, or ONNX computes something else for its arguments.
    ModuleNotFoundError
        If the package onnx is not installed.
    TypeError
        If `model` is not a Model.
    """
    instance("model", model, Model)
    try:
        import onnx
        from onnx import helper
    except ModuleNotFoundError as error:
        raise needs_extra(error, "an export to ONNX", "export") from None

    shape = exported_shape(model)
    graph = Graph()
    graph.add_parameters(model)
    pixels = _preprocessed(graph, model, shape)
    output = "number" if model.classes == 1 else "logits"
    graph.add("Identity", add_layers(graph, model, pixels, model.input_shape), output=output)
    outputs = [output]
    if model.classes > 1:
        outputs.append(graph.add("Softmax", output, output="probabilities", axis=-1))
    translated = model_of(
        graph,
        helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["N", *shape]),
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", model.classes])
            for name in outputs
        ],
    )
    helper.set_model_props(translated, {"class_names": json.dumps(model.class_names)})
    return translated


def layers_to_onnx(network: Sequential, shape: Shape, batch: int | str = "N") -> Any:
    """Translate layers alone to ONNX, from the float32 input "x" to the float32 output "y".

    Parameters
    ----------
    network : Sequential
        The layers.
    shape : tuple of int
        The shape of one image's input, without the batch axis.
    batch : int or str
        The number of images, or a name if it may be any number.

    Returns
    -------
    onnx.ModelProto
        The translation, which `onnx.checker` has checked.
    """
    import onnx
    from onnx import helper

    graph = Graph()
    graph.add_parameters(network)
    graph.add("Identity", add_layers(graph, network, "x", shape), output="y")
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, *sizes])
        for name, sizes in (("x", shape), ("y", network.output_shape(shape)))
    )
    return model_of(graph, x, [y])


def model_of(graph: Graph, taken: Any, outputs: Sequence[Any]) -> Any:
    """Make a model of a graph, and check it.

    Parameters
    ----------
    graph : Graph
        The graph.
    taken : onnx.ValueInfoProto
        The input.
    outputs : sequence of onnx.ValueInfoProto
        The outputs.

    Returns
    -------
    onnx.ModelProto
        The model.
    """
    import onnx
    from onnx import helper

    translated = helper.make_model(
        helper.make_graph(graph.nodes, "byhand", [taken], outputs, graph.tensors),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="byhand",
        producer_version=byhand._core.__version__,
    )
    onnx.checker.check_model(translated, full_check=True)
    return translated


def exported_shape(model: Model) -> Shape:
    """Return the shape of one image that an exported model takes: (C, H, W), or (H, W) if C is 1.

    Parameters
    ----------
    model : Model
        The model.
    """
    return model.input_shape[1:] if model.input_shape[0] == 1 else model.input_shape


def _preprocessed(graph: Graph, model: Model, shape: Shape) -> str:
    """Add the preprocessing. Return the name of its output, of shape (N, C, H, W)."""
    pixels = graph.add("Cast", "images", output="pixels", to=1)  # 1 is float32
    if len(shape) == 2:
        pixels = graph.add("Unsqueeze", pixels, graph.constant("axes", np.array([1])))
    scale = graph.constant("scale", np.float32(model.scale))
    offset = graph.constant("offset", np.float32(model.offset))
    return graph.add("Add", graph.add("Mul", pixels, scale), offset)
