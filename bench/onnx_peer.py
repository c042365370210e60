"""ONNX Runtime as a contender in inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from byhand.bench.cases import Case
from byhand.bench.inference import Inference
from byhand.bench.sampling import Calls
from byhand.bench.tasks import Task
from byhand.export.onnx_model import layers_to_onnx


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
        network = inference.start()
        model = layers_to_onnx(network, network.input_shape, len(images)).SerializeToString()
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
