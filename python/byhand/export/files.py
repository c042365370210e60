"""Write a model as a file for ONNX Runtime or PyTorch."""

from __future__ import annotations

import io
import json
import os

from byhand.checks import as_path, instance
from byhand.export.onnx_model import exported_shape, to_onnx
from byhand.export.torch_module import to_torch
from byhand.files.atomic import write_atomic
from byhand.models import Model

SUFFIXES = (".onnx", ".pt2")


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model in inference mode, with its preprocessing, whole or not at all.

    Parameters
    ----------
    model : Model
        The model. Its layers must be those of byhand.nn.
    path : str or os.PathLike
        The file. If its name ends in .onnx, it gets the model of `to_onnx`. If it ends in .pt2, it
        gets the module of `to_torch`, as torch.export.load reads it, for batches of any size of
        uint8 images of the same shape as in ONNX. The entry "class_names" of its extra files has
        the names of the classes, as a JSON list.

    Raises
    ------
    ExportError
        If a layer is the user's own, or cannot be translated.
    ModuleNotFoundError
        If the package onnx or PyTorch is needed and not installed.
    OSError
        If the file cannot be written. The error names the path.
    TypeError, ValueError
        If `model` is not a Model, or the name of the file has another ending.
    """
    instance("model", model, Model)
    path = as_path("path", path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, not {path.name!r}")
    content = to_onnx(model).SerializeToString() if path.suffix == ".onnx" else _program(model)
    write_atomic(path, content)


def _program(model: Model) -> bytes:
    """Return the content of the file .pt2."""
    module = to_torch(model)
    import torch

    images = torch.zeros((2, *exported_shape(model)), dtype=torch.uint8)
    program = torch.export.export(
        module, (images,), dynamic_shapes=({0: torch.export.Dim("N", min=0)},)
    )
    content = io.BytesIO()
    names = {"class_names": json.dumps(model.class_names)}
    torch.export.save(program, content, extra_files=names)
    return content.getvalue()
