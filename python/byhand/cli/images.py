"""Picture files as the images that a model takes, without any change to them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

# By content, not by name. No format that hands over to another program or to a renderer.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

# 8 bits or fewer a channel, and nothing lost on the way to RGBA.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


class ImageError(ValueError):
    """A file that is no picture, or not one that a model can take as it is."""


def read_image(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """The grey levels of a picture of exactly this size, (height, width), as they are stored.

    A picture with colour channels must be grey in every pixel, one with transparency opaque. No
    pixel is decoded before the size is known to be right. Raises ImageError; OSError where the file
    cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings():
                # Sizes that Pillow only warns of are refused below.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(file, formats=_FORMATS)
            if image.size != (width, height):
                raise ImageError(
                    f"{image.width}x{image.height} pixels, but the model takes {width}x{height} "
                    "as they are"
                )
            return _grey(image)
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError(f"not a picture; known are {', '.join(_FORMATS)}") from None
        except Image.DecompressionBombError:
            raise ImageError(f"far too many pixels; the model takes {width}x{height}") from None
        except Exception as error:  # decoders raise anything on damaged bytes
            raise ImageError(f"damaged picture: {error or type(error).__name__}") from error


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode not in _MODES:
        raise ImageError(f"pixels of mode {image.mode}, but 8-bit grey is needed")
    pixels = np.asarray(image.convert("RGBA"))
    if (pixels[..., 3] != 255).any():
        raise ImageError("transparent in places, but opaque grey is needed")
    if (pixels[..., :3] != pixels[..., :1]).any():
        raise ImageError("in colour, but grey is needed")
    return np.ascontiguousarray(pixels[..., 0])
