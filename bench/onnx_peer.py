"""ONNX Runtime as a contender in inference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
from byhand.bench.cases import Case
from byhand.bench.inference import Inference
from byhand.bench.sampling import Calls
from byhand.bench.tasks import Task
from byhand.models import Model
from byhand.nn import Conv2d, Flatten, Linear, MaxPool2d, Module
from onnx import helper, numpy_helper

# Every current ONNX Runtime accepts these versions.
OPSET, IR_VERSION = 17, 8


class Peer:
    version = f"ONNX Runtime {onnxruntime.__version__}"

    def __init__(self, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._options = options

    def kernel(self, case: Case, batch: int) -> None:
        return None

    def training(self, task: Task) -> None:
        return None

    def inference(self, inference: Inference) -> Calls:
        """Bind input and output to memory beforehand, so that no call allocates them."""
        images = inference.images()
        model = _translate(inference.start(), len(images)).SerializeToString()
        session = onnxruntime.InferenceSession(
            model, self._options, providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        logits = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            session.get_outputs()[0].shape, np.float32
        )
        binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(images))
        binding.bind_ortvalue_output("y", logits)

        def call() -> Any:
            session.run_with_iobinding(binding)
            return logits.numpy()

        return Calls(call)


def _translate(model: Model, batch: int) -> Any:
    """Return an ONNX model from x, shape (batch, ...), to y."""
    layers = [layer for layer, _ in model.layer_inputs(model.input_shape)]
    edges = ["x", *(f"edge {i}" for i in range(len(layers) - 1)), "y"]
    nodes = [
        _node(layer, [before, *_weights(i, layer)], after)
        for i, (layer, before, after) in enumerate(zip(layers, edges[:-1], edges[1:], strict=True))
    ]
    shapes = {"x": model.input_shape, "y": model.output_shape(model.input_shape)}
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, *shape])
        for name, shape in shapes.items()
    )
    weights = [numpy_helper.from_array(w, name) for name, w in model.state_dict().items()]
    graph = helper.make_graph(nodes, "network", [x], [y], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    translated = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(translated)
    return translated


def _weights(i: int, layer: Module) -> Iterator[str]:
    """Yield the names of the layer's weights in the model's state."""
    return (f"{i}.{name}" for name, _ in layer.named_parameters())


def _node(layer: Module, inputs: list[str], output: str) -> Any:
    if isinstance(layer, Conv2d):
        return helper.make_node("Conv", inputs, [output], kernel_shape=layer.kernel_size)
    if isinstance(layer, MaxPool2d):
        size = layer.kernel_size
        return helper.make_node("MaxPool", inputs, [output], kernel_shape=size, strides=size)
    if isinstance(layer, Linear):
        return helper.make_node("Gemm", inputs, [output], transB=1)
    if isinstance(layer, Flatten):
        return helper.make_node("Flatten", inputs, [output])
    names = {"ReLU": "Relu"}
    name = type(layer).__name__
    return helper.make_node(names.get(name, name), inputs, [output])
