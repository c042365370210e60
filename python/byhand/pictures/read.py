"""Picture files as pixels: any format that pillow knows by its content, any mode, as it is seen."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

# By content, not by name. No format that hands over to another program or to a renderer.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

# A telephone's 50 megapixels fit. What is larger is refused before a pixel is decoded.
MAX_PIXELS = 64_000_000

# More pixels a side than anybody needs to read a digit; larger pictures are made smaller at once.
MAX_SIDE = 2048

# Transparency: pixels this opaque are ink or paper. A spread of grey levels as wide as this among
# them, or more of them than ink ever covers, means that the picture is in them.
_OPAQUE = 128
_SPREAD = 64
_MOST_INK = 0.6


Picture = str | os.PathLike[str] | bytes | Image.Image


class PictureError(ValueError):
    """A file that is no picture, or one that cannot be used."""


def read_picture(source: Picture) -> NDArray[np.uint8]:
    """The pixels of a picture file, (H, W, 1) where it is grey and (H, W, 3) where it has colour.

    source: a path, the bytes of a file, or a PIL image, of which the frame that it shows counts.
    The picture is turned as its EXIF data says; what is transparent becomes a ground that sets off
    the rest; sides are at most MAX_SIDE, larger pictures are averaged down. Raises PictureError
    where the file is no picture, damaged, animated or larger than MAX_PIXELS; OSError where it
    cannot be read.
    """
    with _opened(source) as file:
        try:
            with warnings.catch_warnings():
                # Pillow warns of sizes that are refused below, and of odd metadata.
                warnings.simplefilter("ignore")
                return _read(file)
        except PictureError:
            raise
        except UnidentifiedImageError:
            raise PictureError(f"not a picture; known are {', '.join(FORMATS)}") from None
        except Image.DecompressionBombError:
            raise PictureError(f"more than {MAX_PIXELS:,} pixels") from None
        except Exception as error:  # decoders raise anything on damaged bytes
            raise PictureError(f"damaged picture: {error or type(error).__name__}") from error


def _opened(source: Picture) -> contextlib.AbstractContextManager[BinaryIO | Image.Image]:
    if isinstance(source, Image.Image):
        return contextlib.nullcontext(source.copy())  # the caller's own stays as it is
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _read(file: BinaryIO | Image.Image) -> NDArray[np.uint8]:
    image = file if isinstance(file, Image.Image) else Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"{image.width}x{image.height}: more than {MAX_PIXELS:,} pixels")
    # MPO is the JPEG of many telephones: the photograph, and a small copy or a depth map after it.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise PictureError(f"animated or of several pages: {frames} pictures in one file")
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # JPEG alone: decoded at a fraction of its size
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _shrunk(_eight_bits(image))[..., np.newaxis]
    if not image.has_transparency_data:
        return _without_equal_channels(_shrunk(image.convert("RGB")))
    pixels = _shrunk(image.convert("RGBA"))
    return _without_equal_channels(_on_ground(pixels[..., :3], pixels[..., 3]))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey as 8 bits: 16 bits by their high byte, other depths from darkest to lightest."""
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        if not np.isfinite(values).all():
            raise PictureError("pixels that are not finite")
        low, high = values.min(), max(values.max(), values.min() + 1e-6)
    return Image.fromarray(np.rint((values - low) * (255 / (high - low))).astype(np.uint8))


def _shrunk(image: Image.Image) -> NDArray[np.uint8]:
    if max(image.size) > MAX_SIDE:
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def _without_equal_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = (pixels == pixels[..., :1]).all()
    return np.ascontiguousarray(pixels[..., :1] if grey else pixels)


def _on_ground(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) laid on one colour, which keeps to be seen what is to be seen.

    Opaque pixels of much one brightness are ink: they come on white if they are dark, else on
    black. Opaque pixels of many a brightness are a picture, paper and all: it comes on its own
    middle colour.
    """
    opaque = colour[alpha >= _OPAQUE].astype(np.float64)
    if len(opaque) == 0:
        opaque = colour.reshape(-1, 3).astype(np.float64)
    grey = opaque.mean(axis=1)
    low, high = np.percentile(grey, (1, 99))
    if high - low > _SPREAD or (alpha >= _OPAQUE).mean() > _MOST_INK:
        ground = np.median(opaque, axis=0)
    else:
        ground = np.full(3, 255.0 if np.median(grey) < 128 else 0.0)
    weight = alpha[..., np.newaxis] / 255.0
    return np.rint(colour * weight + ground * (1 - weight)).astype(np.uint8)
