"""`Warp`: how strongly the training images are distorted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import number


@dataclasses.dataclass(frozen=True)
class Warp:
    """Strengths of the random distortion of the training images: see `kernels.warp_images`.

    The default strengths suit digits of 28 x 28 pixels.

    Parameters
    ----------
    rotation : float
        The largest angle in degrees.
    scale : float
        The largest change of the size. With 0.1, the factor is from 0.9 to 1.1.
    shear : float
        The largest horizontal shear in degrees.
    shift : float
        The largest vertical and horizontal shift in pixels.
    elastic : float
        The standard deviation of the elastic displacement in pixels.
    smoothness : float
        The smoothness of the elastic displacement in pixels.

    Raises
    ------
    TypeError
        If a strength is not a number.
    ValueError
        If a strength is out of range.
    """

    rotation: float = 10.0
    scale: float = 0.1
    shear: float = 5.0
    shift: float = 1.0
    elastic: float = 0.8
    smoothness: float = 4.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = number(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, float(value))
        # The kernel has the limits.
        nothing = np.empty((0, 1, 1, 1), np.float32)
        kernels.warp_images(nothing, np.empty(0, np.int64), seed=0, step=0, **self.strengths())

    def strengths(self) -> dict[str, Any]:
        """Return all strengths by name."""
        return dataclasses.asdict(self)

    def apply(
        self,
        images: NDArray[np.float32],
        numbers: NDArray[np.int64],
        out: NDArray[np.float32],
        *,
        fill: float,
        seed: int,
        epoch: int,
    ) -> None:
        """Distort a batch of images.

        Parameters
        ----------
        images : ndarray, shape (N, channels, height, width), float32
            The batch.
        numbers : ndarray, shape (N,), int64
            The numbers of the images in the training set.
        out : ndarray, shape of images, float32
            The array to write to.
        fill : float
            The value of the pixels outside an image.
        seed, epoch : int
            Together with the number of an image, they decide its distortion.
        """
        kernels.warp_images(
            images, numbers, seed=seed, step=epoch, fill=fill, out=out, **self.strengths()
        )
