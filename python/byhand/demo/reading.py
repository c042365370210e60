"""What the page shows of a drawing or a picture, as JSON values.

An array is sent as a dictionary with its shape, its type and its bytes in base64. This takes a
tenth of the time and a quarter of the space of a list of numbers.
"""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from byhand.models import Model
from byhand.pictures import Symbols, symbols_for, symbols_of_drawing

from .explain import explain, stages
from .trace import Step, trace

# The largest number of symbols in one picture that are read. A picture of noise may have thousands.
MOST_SYMBOLS = 20
# The longest side of a picture that is sent to the page, in pixels.
_SHOWN_SIDE = 320


class RequestError(ValueError):
    """The page has asked for something that does not exist or is not possible."""


class Reader:
    """Reads drawings and pictures with one model. Several threads may use it at the same time.

    Parameters
    ----------
    model : Model
        The model. The reader puts it into inference mode.
    name : str
        The name of the model, for example its path.
    pictures : {"digits", "plain"}, optional
        How to prepare pictures. By default they are prepared as the model's training images were.
    """

    def __init__(self, model: Model, name: str, pictures: str | None = None) -> None:
        self.model = model.eval()
        self.name = name
        self.way = model.preparation(pictures)
        # A layer keeps its last input, and a layer of the user's own may do anything, so only one
        # thread at a time runs the layers.
        self._lock = threading.Lock()
        blank = np.zeros(model.input_shape, np.uint8)
        steps = trace(model, blank)
        self._stages = stages(steps)
        # The number of the convolution that sees the image itself, if there is one.
        sees_image = bool(self._stages) and self._stages[0][0] is steps[0]
        self._image_stage = 0 if sees_image else None

    def describe(self) -> dict[str, Any]:
        """Return what the page needs to know about the model."""
        model = self.model
        return {
            "name": self.name,
            "parameters": sum(parameter.data.size for parameter in model.parameters()),
            "layers": [repr(layer) for layer, _ in model.layer_inputs(model.input_shape)],
            "input_shape": model.input_shape,
            "scale": model.scale,
            "offset": model.offset,
            "class_names": model.class_names,
            "preparation": self.way,
            "image_stage": self._image_stage,
            "stages": [[repr(step.layer) for step in stage] for stage in self._stages],
        }

    def read_drawing(self, ink: NDArray[np.uint8], light: bool) -> dict[str, Any]:
        """Read the symbols of a drawing.

        Parameters
        ----------
        ink : ndarray, shape (H, W), uint8
            The drawing, as `symbols_of_drawing` takes it.
        light : bool
            Whether the ink is light, if the model takes the whole drawing as it is.

        Returns
        -------
        dict of JSON values
            The answers, and the steps of the preparation.
        """
        return self._answers(symbols_of_drawing(self.model, ink, self.way, light=light))

    def read_picture(self, content: bytes) -> dict[str, Any]:
        """Read the symbols of a picture file.

        Parameters
        ----------
        content : bytes
            The content of the file.

        Returns
        -------
        dict of JSON values
            The answers, the steps of the preparation, and the picture.
        """
        symbols = symbols_for(self.model, content, self.way)
        return {**self._answers(symbols), "picture": packed(_thumbnail(symbols.pixels))}

    def _answers(self, symbols: Symbols) -> dict[str, Any]:
        """Return the answers for the symbols that were found, in reading order."""
        if len(symbols.images) > MOST_SYMBOLS:
            raise RequestError(
                f"{len(symbols.images)} symbols were found, and at most {MOST_SYMBOLS} are read: "
                "draw or crop fewer"
            )
        images = np.stack(symbols.images)
        chosen = self.model.predict(images)
        if self.model.classes == 1:
            numbers = self.model.outputs(images)[:, 0].tolist()
            answers = [
                {"answer": str(digit), "number": number}
                for digit, number in zip(chosen, numbers, strict=True)
            ]
        else:
            rows = self.model.predict_proba(images).tolist()
            names = self.model.class_names
            answers = [
                {"answer": names[digit], "class": int(digit), "probabilities": row}
                for digit, row in zip(chosen, rows, strict=True)
            ]
        inks: list[Any] = [packed(_shown_ink(ink)) for ink in symbols.inks]
        inks = inks or [None] * len(images)
        parts = zip(answers, images, symbols.boxes, inks, strict=True)
        return {
            "symbols": [
                {
                    **answer,
                    "box": box,
                    "image": packed(image),
                    "ink": ink,
                }
                for answer, image, box, ink in parts
            ],
            "main": symbols.main,
            "is_stroke": symbols.strokes,
        }

    def maps(self, image: bytes) -> dict[str, Any]:
        """Compute the feature maps of all convolutions.

        Parameters
        ----------
        image : bytes
            The pixels of an image that was read before, as ``image`` of a symbol has them.

        Returns
        -------
        dict of JSON values
            For each convolution its output and, if other layers follow, the output of the last.
        """
        shown = []
        for stage in self._run(image):
            after = packed(stage[-1].y) if len(stage) > 1 else None
            shown.append({"output": packed(stage[0].y), "after": after})
        return {"stages": shown}

    def explain(
        self, image: bytes, stage: int, channel: int, row: int, column: int
    ) -> dict[str, Any]:
        """Explain one value of a convolution's output.

        Parameters
        ----------
        image : bytes
            The pixels of an image, as in `maps`.
        stage : int
            The number of the convolution.
        channel, row, column : int
            The position of the value in its output.

        Returns
        -------
        dict of JSON values
            The numbers, as `byhand.demo.explain.explain` returns them, and ``input``: the planes
            from which the patch was taken.
        """
        found = self._run(image)
        if stage >= len(found):
            raise RequestError(f"stage={stage}: the model has {len(found)} convolutions")
        position = {"channel": channel, "row": row, "column": column}
        for (name, value), size in zip(position.items(), found[stage][0].y.shape, strict=True):
            if value >= size:
                raise RequestError(f"{name}={value} must be from 0 to {size - 1}")
        explained = explain(found[stage], channel, row, column)
        first, count = explained["first_channel"], len(explained["patch"])
        return {**explained, "input": packed(found[stage][0].x[first : first + count])}

    def _run(self, image: bytes) -> list[list[Step]]:
        shape = self.model.input_shape
        pixels = np.frombuffer(image, np.uint8)
        if pixels.size != np.prod(shape):
            raise RequestError(
                f"the body must have {np.prod(shape)} bytes, the pixels of one image {shape}, "
                f"not {pixels.size}"
            )
        with self._lock:
            return stages(trace(self.model, pixels.reshape(shape)))


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """Return an array as JSON values.

    Parameters
    ----------
    array : ndarray, uint8 or float32
        The array.
    """
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.data).decode("ascii")
    return {"shape": array.shape, "type": array.dtype.name, "data": data}


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a picture (H, W, 1 or 3) down to the size in which the page shows it."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    small = np.asarray(image)
    return small if small.ndim == 3 else small[..., np.newaxis]


def _shown_ink(ink: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return ink (H, W) from 0 to 1 as pixels, in the size in which the page shows it."""
    pixels = np.clip(ink * 255, 0, 255).astype(np.uint8)
    return _thumbnail(pixels[..., np.newaxis])[..., 0]
