"""`Model`: a network that knows its images and its classes."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand._core import asarray
from byhand.checks import instance, integer, listed, with_batch
from byhand.engine.memory import Array, assign, device_of
from byhand.engine.plan import Plan
from byhand.engine.pool import CHUNK, InferencePlans
from byhand.files.atomic import write_atomic
from byhand.files.tensors import FORMAT, tensors_file
from byhand.models.architecture import describe, shared_names
from byhand.models.images import check_images, image_shape, is_picture
from byhand.models.layer_table import layer_table
from byhand.models.picture_form import check_pictures
from byhand.models.transfer import copy_weights
from byhand.nn import Module, Sequential
from byhand.nn.fusion import fused
from byhand.nn.losses import Loss

# Every step compares the dtype of the images with this dtype. A comparison with the type
# numpy.uint8 would create a new dtype each time.
_BYTES = np.dtype(np.uint8)


class Model(Sequential):
    """A chain of layers that knows the shape and the preprocessing of its images, and its classes.

    Parameters
    ----------
    *layers : Module
        The layers, in the order in which they run. The output must have the shape (N, classes).
    input_shape : (int, int, int)
        The channels, the height and the width of the images.
    scale, offset : float
        The preprocessing: the network sees pixel * scale + offset for a pixel from 0 to 255. The
        default maps the pixels to [-1, 1].
    class_names : sequence of str, optional
        The names of the classes. By default they are "0", "1" and so on.
    pictures : {"digits", "plain"}, optional
        How pictures of any size become images of the model. "digits" finds the ink and makes an
        image like those of MNIST, and "plain" only resizes the picture. If it is None, the first
        training set decides.

    Attributes
    ----------
    trained : mapping or None
        The record of the last training: epoch, images, validation_images, validation_accuracy.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the layers do not fit each other or the input shape, or the output is not (N, classes).
    """

    trained: Mapping[str, Any] | None = None

    _plans: InferencePlans | None = None

    def __init__(
        self,
        *layers: Module,
        input_shape: Sequence[int] = (1, 28, 28),
        scale: float = 1 / 127.5,
        offset: float = -1.0,
        class_names: Sequence[str] | None = None,
        pictures: str | None = None,
    ) -> None:
        super().__init__(*layers)
        self.input_shape = image_shape(input_shape)
        self.scale = _finite("scale", scale)
        self.offset = _finite("offset", offset)
        output = self.output_shape(self.input_shape)
        if len(output) != 1:
            raise ValueError(f"a model's output must be (N, classes), not {with_batch(output)}")
        self.class_names = _names(class_names, output[0])
        self.pictures = pictures

    @property
    def pictures(self) -> str | None:
        """How pictures become images: "digits", "plain", or None if nothing has decided it yet."""
        return self._pictures

    @pictures.setter
    def pictures(self, value: str | None) -> None:
        self._pictures = None if value is None else check_pictures(value, self.input_shape[0])

    def preparation(self, wanted: str | None = None) -> str:
        """Decide how a picture becomes an image.

        Parameters
        ----------
        wanted : {"digits", "plain"}, optional
            What the user asked for.

        Returns
        -------
        {"digits", "plain"}
            `wanted` if it is given, otherwise the attribute `pictures` of the model. If that is
            None, the result is "digits" for images of one channel and "plain" for others.

        Raises
        ------
        ValueError
            If `wanted` is unknown, or does not suit the images of the model.
        """
        channels = self.input_shape[0]
        if wanted is not None:
            return check_pictures(wanted, channels)
        return self.pictures or ("digits" if channels == 1 else "plain")

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def predict_proba(self, images: Any, *, pictures: str | None = None) -> Array:
        """Predict the probability of each class.

        Parameters
        ----------
        images : ndarray, uint8, or float32 in [0, 1]; or pictures
            An array has the shape (N, channels, height, width), or (N, height, width) for images of
            one channel. A float32 value is pixel / 255. A picture is the path of a file or a PIL
            image of any size, and several pictures are a list. Pictures need the extra
            byhand[pictures]. If a picture has several marks, the largest one is used, with a
            PictureWarning.
        pictures : {"digits", "plain"}, optional
            How pictures become images. By default, the model's method `preparation` decides.

        Returns
        -------
        ndarray, shape (N, classes), float32
            The probabilities. Each row sums to 1.

        Raises
        ------
        TypeError, ValueError
            If the dtype, the shape or the range of `images` is wrong, or the model has only one
            output. A PictureError, which is a ValueError, names a picture that cannot be used.
        OSError
            If a file cannot be read.
        FloatingPointError
            If the output of the network is not finite.
        """
        if self.classes == 1:
            raise ValueError("a model with one output has no probabilities: use predict or outputs")
        return kernels.softmax(self._finite_logits(images, pictures))

    def predict_top(
        self, images: Any, k: int = 3, *, pictures: str | None = None
    ) -> list[list[tuple[str, float]]]:
        """Predict the most probable classes and their probabilities.

        Parameters
        ----------
        images : ndarray, uint8, or float32 in [0, 1]; or pictures
            As in `predict_proba`.
        k : int
            The number of classes per image. A model with fewer classes gives all of them.
        pictures : {"digits", "plain"}, optional
            As in `predict_proba`.

        Returns
        -------
        list of list of (str, float)
            For each image, the names and the probabilities, the most probable class first.

        Raises
        ------
        TypeError, ValueError, OSError, FloatingPointError
            As in `predict_proba`.
        """
        k = integer("k", k, 1)
        rows = self.predict_proba(images, pictures=pictures)
        order = np.argsort(-rows, axis=1, kind="stable")[:, :k]
        return [
            [(self.class_names[c], float(row[c])) for c in best]
            for row, best in zip(rows, order, strict=True)
        ]

    def predict(self, images: Any, *, pictures: str | None = None) -> NDArray[np.int64]:
        """Predict the class of each image.

        Parameters
        ----------
        images : ndarray, uint8, or float32 in [0, 1]; or pictures
            As in `predict_proba`.
        pictures : {"digits", "plain"}, optional
            As in `predict_proba`.

        Returns
        -------
        ndarray, shape (N,), int64
            The number of the most probable class. For a model with one output, it is the output,
            rounded to an integer.

        Raises
        ------
        TypeError, ValueError, OSError, FloatingPointError
            As in `predict_proba`, except that a model with one output is permitted.
        """
        logits = self._finite_logits(images, pictures)
        if self.classes == 1:
            return np.rint(logits[:, 0]).astype(np.int64)
        return np.asarray(logits.argmax(axis=1), np.int64)

    def evaluate(self, data: Any, *, loss: Loss | None = None) -> Any:
        """Compute the loss, the accuracy and the confusion matrix on a data set.

        This is `byhand.evaluate(model, data, loss=loss)`.

        Parameters
        ----------
        data : data set or pair (images, labels)
            As in `Trainer.fit`.
        loss : Loss, optional
            As in `byhand.evaluate`.

        Returns
        -------
        byhand.training.Evaluation
            The attributes are `loss`, `accuracy`, `confusion` and `class_accuracy`.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As in `byhand.evaluate`.
        """
        assert evaluate_model is not None
        return evaluate_model(self, data, loss=loss)

    def outputs(self, images: Any, *, pictures: str | None = None) -> Array:
        """Compute the output of the network: logits, or the number of a model with one output.

        Parameters
        ----------
        images : ndarray, uint8, or float32 in [0, 1]; or pictures
            As in `predict_proba`.
        pictures : {"digits", "plain"}, optional
            As in `predict_proba`.

        Returns
        -------
        ndarray, shape (N, classes), float32
            The output.

        Raises
        ------
        TypeError, ValueError, OSError, FloatingPointError
            As in `predict_proba`, except that a model with one output is permitted.
        """
        return self._finite_logits(images, pictures)

    def _finite_logits(self, images: Any, pictures: str | None) -> Array:
        logits = self.logits(self.check_images(self._read(images, pictures)))
        if not np.isfinite(logits).all():
            raise FloatingPointError(
                "the network's output is not finite: its weights are NaN, infinite or too large"
            )
        return logits

    def _read(self, images: Any, pictures: str | None) -> Any:
        """Turn pictures into images. Return anything else unchanged."""
        if pictures is None and isinstance(images, np.ndarray):
            return images  # fast: the code below would take a tenth of the MLP's prediction time
        sources = list(images) if isinstance(images, list | tuple) else [images]
        if all(map(is_picture, sources)) and read_pictures is not None:
            return read_pictures(self, sources, pictures)
        if pictures is not None:
            raise ValueError(
                f"pictures={pictures!r} needs paths or PIL images: arrays are images already"
            )
        return images

    def logits(self, images: NDArray[Any]) -> Array:
        """Compute the output of the network for images that were checked.

        Several threads may call it at the same time, because each call computes on its own plan.

        Parameters
        ----------
        images : ndarray, shape (N, channels, height, width), uint8 or float32
            The images, as `check_images` returns them.

        Returns
        -------
        ndarray, shape (N, classes), float32
            The output.
        """
        n = len(images)
        logits = kernels.empty((n, self.classes))
        if n == 0:
            return logits
        plans = self._plans
        device = self.device
        if plans is None or plans.device != device:
            plans = self._plans = InferencePlans(self._new_plan, device)
        plan = plans.take(min(n, CHUNK))
        try:
            for start in range(0, n, CHUNK):
                end = min(start + CHUNK, n)
                batch = plan.batch(end - start)
                self.gather(images[start:end], np.arange(end - start), batch.input)
                assign(logits[start:end], batch.forward())
        finally:
            plans.give_back(plan)
        return logits

    def _new_plan(self, batch_size: int) -> Plan:
        ops = fused(self.layers(), training=False)
        return Plan(ops, self.input_shape, batch_size, device=self.device)

    def gather(
        self,
        images: NDArray[Any],
        index: NDArray[np.int64],
        out: Array,
        *,
        max_shift: int = 0,
        seed: int = 0,
        step: int = 0,
    ) -> None:
        """Copy a batch of images and preprocess it.

        Parameters
        ----------
        images : ndarray, shape (N, channels, height, width), uint8 or float32
            The images, as `check_images` returns them.
        index : ndarray, shape (n,), int64
            The numbers of the images in the batch.
        out : ndarray, shape (n, channels, height, width), float32
            The array to write to. If it is on a GPU, `images` of uint8 and `index` may be there,
            too. Otherwise they are copied to it.
        max_shift, seed, step : int
            As in `kernels.gather_images`. They are ignored for images of float32.
        """
        device = device_of(out)
        if images.dtype == _BYTES:
            if device != "cpu":
                images, index = asarray(images, device), asarray(index, device)
            kernels.gather_images(
                images,
                index,
                scale=self.scale,
                offset=self.offset,
                max_shift=max_shift,
                seed=seed,
                step=step,
                out=out,
            )
        else:
            batch = out if device == "cpu" else np.empty(out.shape, np.float32)
            images.take(index, axis=0, out=batch, mode="clip")
            batch *= np.float32(255 * self.scale)
            batch += np.float32(self.offset)
            if device != "cpu":
                assign(out, batch)

    def check_images(self, images: Any) -> NDArray[Any]:
        """Check that an array holds images of this model.

        Parameters
        ----------
        images : ndarray, uint8, or float32 in [0, 1]
            The images, as in `predict_proba`.

        Returns
        -------
        ndarray, shape (N, channels, height, width), uint8 or float32
            The images, contiguous.

        Raises
        ------
        TypeError, ValueError
            If the dtype, the shape or the range of `images` is wrong.
        """
        return check_images(images, self.input_shape)

    def start_from(self, source: Model) -> list[str]:
        """Copy the weights of a trained model with the same layers, to continue from them.

        The last layer with weights keeps its own initial weights if its shape or the classes
        differ. Scale and offset are copied too. The probability of a Dropout may differ.

        Parameters
        ----------
        source : Model
            The trained model.

        Returns
        -------
        list of str
            The names of the weights that kept their initial values. Empty if all were replaced.

        Raises
        ------
        TypeError, ValueError
            If `source` is not a Model, or the models differ in anything else. Then nothing has
            changed.
        """
        if instance("source", source, Model).input_shape != self.input_shape:
            raise ValueError(
                "the models differ in more than the last layer: the trained model takes images "
                f"{source.input_shape}, the new one {self.input_shape}"
            )
        same_classes = source.class_names == self.class_names
        kept = copy_weights(source, self, last_too=same_classes)
        self.scale, self.offset = source.scale, source.offset
        return kept

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a safetensors file, whole or not at all. `byhand.load` reads it.

        Parameters
        ----------
        path : str or os.PathLike
            The path of the file.

        Raises
        ------
        OSError
            If the file cannot be written. The error has the path.
        TypeError
            If the settings of a user's own layer cannot be described.
        """
        write_atomic(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the content of the file that `save` writes.

        Raises
        ------
        TypeError
            If the settings of a user's own layer cannot be described.
        """
        trained = {} if self.trained is None else {"trained": self.trained}
        return tensors_file(self.state_dict(), {**self.description(), **trained})

    def description(self) -> dict[str, Any]:
        """Return a JSON-able description of the model: everything except the weights."""
        return {
            "format": FORMAT,
            "layers": [describe(child) for child in self.children],
            "input_shape": list(self.input_shape),
            "preprocessing": {
                "scale": self.scale,
                "offset": self.offset,
                "pictures": self.pictures,
            },
            "class_names": list(self.class_names),
            **({"shared": shared} if (shared := shared_names(self)) else {}),
        }

    def __repr__(self) -> str:
        title = f"{type(self).__name__}: images {self.input_shape}, FLOPs of one forward pass"
        return "\n".join([title, *layer_table(self, self.input_shape)])


# The function that reads pictures for a model. byhand/__init__.py sets it to a call of
# `byhand.pictures.images_for`. This module does not import `byhand.pictures`, which needs pillow.
read_pictures: Callable[[Model, Sequence[Any], str | None], NDArray[np.uint8]] | None = None
# `byhand.evaluate`. byhand/__init__.py sets it, because byhand.training is a layer above this one.
evaluate_model: Callable[..., Any] | None = None


def _finite(name: str, value: Any) -> float:
    """Check that a value is a finite number."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _names(names: Any, classes: int) -> tuple[str, ...]:
    """Check the names of the classes, or make them."""
    if names is None:
        return tuple(str(i) for i in range(classes))
    names = listed(names)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"class_names must be a list of strings, not {names!r}")
    if len(names) != classes:
        raise ValueError(f"the model has {classes} classes but {len(names)} class_names")
    return tuple(names)
