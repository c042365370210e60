"""Take models to ONNX and to PyTorch, and take weights of PyTorch.

For example::

    byhand.export.save(model, "model.onnx")    # for ONNX Runtime and other programs
    byhand.export.save(model, "model.pt2")     # for torch.export.load
    module = byhand.export.to_torch(model)     # a torch.nn.Module with the same weights
    byhand.export.load_weights(model, "weights.pt")

ONNX needs the extra `byhand[export]`. The other functions need PyTorch, and none of them is part of
`import byhand`.
"""

from __future__ import annotations

from byhand.export.errors import ExportError
from byhand.export.files import save
from byhand.export.onnx_model import to_onnx
from byhand.export.torch_module import to_torch
from byhand.export.weights import load_weights

__all__ = ["ExportError", "load_weights", "save", "to_onnx", "to_torch"]
