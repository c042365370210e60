"""A picture file as the image that a model takes."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from byhand.model import Model

from .prepare import plain, prepare
from .read import read_picture


def is_prepared_for(model: Model) -> bool:
    """Whether pictures for this model are made like MNIST's images, not just resized."""
    return model.pictures == "mnist" and model.input_shape[0] == 1


def image_for(
    model: Model, source: str | os.PathLike[str] | bytes, raw: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(image, pixels): what the model takes, uint8 (H, W) or (C, H, W), and the picture itself.

    The way that the model was trained: `prepare` or, where its training images were pictures of
    any kind or with `raw`, `plain`. Errors of `read_picture` and `prepare`.
    """
    pixels = read_picture(source)
    channels, height, width = model.input_shape
    if is_prepared_for(model) and not raw:
        return prepare(pixels, height, width), pixels
    return plain(pixels, channels, height, width), pixels
