"""Run a model layer by layer, and keep the input and the output of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.engine.memory import Array
from byhand.models import Model
from byhand.nn import Module, Residual, Sequential


@dataclass(frozen=True)
class Step:
    """One layer with the arrays of one image.

    Parameters
    ----------
    layer : Module
        The layer.
    x, y : ndarray, float32
        The input and the output, without the batch axis.
    """

    layer: Module
    x: Array
    y: Array


def trace(model: Model, image: NDArray[np.uint8]) -> list[Step]:
    """Run a model on one image, layer by layer.

    Parameters
    ----------
    model : Model
        The model. It must be in inference mode.
    image : ndarray, shape (H, W) or (C, H, W), uint8
        The image in the size of the model's input.

    Returns
    -------
    list of Step
        The layers in the order in which they run. The last output is the output of the model.
    """
    images = model.check_images(image[np.newaxis])
    x = kernels.empty((1, *model.input_shape))
    model.gather(images, np.zeros(1, np.int64), x)
    return list(_steps(model, x))


def _steps(module: Module, x: Array) -> Iterator[Step]:
    """Run a module, and yield its innermost layers.

    Networks inside the network are entered, unless a user's subclass may compute something else.
    """
    if type(module) in (Model, Sequential, Residual):
        first = x
        for child in module.children:
            for step in _steps(child, x):
                yield step
                x = step.y[np.newaxis]
        if type(module) is Residual:
            yield Step(module, x[0], kernels.add(first, x)[0])
    else:
        yield Step(module, x[0], module.forward(x)[0])
