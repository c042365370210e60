"""Read the pixels of picture files as a viewer would show them.

The format is recognized by the content of the file, not by its name.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError, features

from byhand.checks import as_path
from byhand.files.atomic import open_file

# The formats that byhand reads. Pillow passes some other formats on to a separate program, such as
# EPS to Ghostscript, and byhand does not read these.
FORMATS: tuple[str, ...] = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
if "avif" in features.modules and features.check("avif"):  # pillow 11.3 and newer
    FORMATS = (*FORMATS, "AVIF")

# The brands of HEIC, the format in which many telephones store photographs. A brand is a name of
# four letters in the header of a file.
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")

# The largest number of pixels of a picture. A larger picture is refused before it is decoded. The
# limit is above the 50 megapixels of a telephone's photograph.
MAX_PIXELS = 64_000_000

# If the longer side of a picture has more pixels than this, the picture is scaled down to this
# length. That is more than enough to recognize a digit.
MAX_SIDE = 2048

# These constants are for pictures with transparent pixels. A pixel is opaque if its alpha is at
# least `_OPAQUE` of 255. The opaque pixels may be ink alone, or paper with ink on it. They are
# paper with ink if both of these conditions hold:
# - They fill more than the share `_FULL` of the rectangle around them. Strokes alone fill less.
# - Their grey levels differ by more than `_SPREAD`. The outermost `_RIM` pixels of the
#   opaque area do not count, because they may be a mixture with the transparent background.
_OPAQUE = 128
_FULL = 0.6
_SPREAD = 64
_RIM = 2

# If the channels of a file have 16 bits, Pillow keeps only the high byte of each channel. The raw
# mode, Pillow's name for the layout of the bytes, ends with their order: B (big-endian), L
# (little-endian) or N (native). If the file is decoded again with the opposite order, Pillow keeps
# the low bytes instead. For example, the value 0x0123 is stored as the bytes 01 23 in big-endian
# order. Pillow keeps 01 in the mode RGB;16B and 23 in the mode RGB;16L.
# For each raw mode, this table has the mode with the opposite order, and the indices of the
# channels in which Pillow then returns the low bytes of red, green and blue. Grey with alpha has no
# mode with the opposite order. It is read as RGBA with 8 bits per channel: the bytes of a pixel are
# the high and the low byte of grey, then of alpha, so index 1 is the low byte of grey.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_LOW_BYTES = {
    **{
        f"{mode};16{order}": (f"{mode};16{other}", [0, 1, 2])
        for mode in ("RGB", "RGBA")
        for order, other in _OTHER_ORDER.items()
    },
    "LA;16B": ("RGBA", [1, 1, 1]),
}

Picture = str | os.PathLike[str] | bytes | Image.Image


class PictureError(ValueError):
    """The file is not a picture, or it is a picture that cannot be used."""


class PictureWarning(UserWarning):
    """The image may show something else than the user expects, such as one digit of several."""


def read_picture(source: Picture) -> NDArray[np.uint8]:
    """Read the pixels of a picture.

    The picture is rotated as its EXIF data says. Transparent pixels get a background colour on
    which the other pixels are visible. If a side is longer than `MAX_SIDE` pixels, the picture is
    scaled down by averaging, so that its longer side has `MAX_SIDE` pixels.

    Parameters
    ----------
    source : path, bytes or PIL.Image.Image
        A file, the content of a file, or an image. If an image has several frames, its current
        frame is read.

    Returns
    -------
    ndarray, shape (H, W, 1) or (H, W, 3), uint8
        The pixels. There is one channel if red, green and blue are equal in every pixel.

    Raises
    ------
    PictureError
        If the file is not a picture, is damaged, has several frames or pages, or has more than
        `MAX_PIXELS` pixels.
    OSError
        If the file cannot be opened.
    """
    with _opened(source) as file:
        try:
            with warnings.catch_warnings():
                # Pillow warns of large pictures, which `_read` refuses, and of odd metadata.
                warnings.simplefilter("ignore")
                return _read(file)
        except PictureError:
            raise
        except UnidentifiedImageError:
            raise PictureError(_unknown(file)) from None
        except Image.DecompressionBombError:
            raise PictureError(f"more than {MAX_PIXELS:,} pixels") from None
        except Exception as error:  # a decoder may raise any exception on damaged bytes
            raise PictureError(f"damaged picture: {error or type(error).__name__}") from error


def _unknown(file: BinaryIO | Image.Image) -> str:
    """Return why a file cannot be read, and what the user can do.

    A HEIC or AVIF file begins with four bytes that hold the length of its header. The letters
    `ftyp` and the brands follow.
    """
    head = b""
    if not isinstance(file, Image.Image):
        file.seek(0)
        head = file.read(32)
    if head[4:8] == b"ftyp" and b"avif" in head[8:]:
        return (
            "an AVIF picture, which byhand cannot read with this version of pillow: install pillow "
            "11.3 or newer, or save the picture as JPEG or PNG"
        )
    if head[4:8] == b"ftyp" and any(brand in head[8:] for brand in _HEIC):
        return (
            "a HEIC picture, which byhand cannot read: save or export it as JPEG or PNG "
            "(on an iPhone: Settings, Camera, Formats, Most Compatible)"
        )
    return f"not a picture; byhand reads {', '.join(FORMATS)}"


def _opened(source: Picture) -> contextlib.AbstractContextManager[BinaryIO | Image.Image]:
    if isinstance(source, Image.Image):
        return contextlib.nullcontext(source.copy())  # do not change the caller's image
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return open_file(as_path("source", source))


def _read(file: BinaryIO | Image.Image) -> NDArray[np.uint8]:
    image = file if isinstance(file, Image.Image) else Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"{image.width}x{image.height}: more than {MAX_PIXELS:,} pixels")
    # Many telephones write MPO files: a JPEG photograph, followed by a small copy or a depth map.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise PictureError(f"has {frames} frames or pages; byhand reads pictures that have one")
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # decodes a large JPEG at a fraction of its size
    _brighten_deep_colour(image, file)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _shrunk(_eight_bits(image))[..., np.newaxis]
    if not image.has_transparency_data:
        return _without_equal_channels(_shrunk(image.convert("RGB")))
    pixels = _shrunk(image.convert("RGBA"))
    return _without_equal_channels(_on_ground(pixels[..., :3], pixels[..., 3]))


def _brighten_deep_colour(image: Image.Image, file: BinaryIO | Image.Image) -> None:
    """Add the low bytes of colours with 16 bits to the image if its high bytes are small.

    Files with 16 bits per channel often hold only the 8 to 14 bits of a scanner. Their high bytes
    alone show a nearly black picture. Let b be the number of bits of the largest value of red,
    green and blue, but at least 8. The function shifts the colours so that 2**b - 1 becomes white.
    `_eight_bits` does the same for grey.
    Alpha stays as it is. If `file` is a PIL image, it has lost its low bytes already, so it is not
    changed.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    modes = {_raw_mode(tile) for tile in tiles}
    if isinstance(file, Image.Image) or len(modes) != 1 or not modes <= _LOW_BYTES.keys():
        return
    high = np.asarray(image)
    used = int(high[..., :3].max(initial=0)).bit_length()
    if used == 8:
        return
    low_mode, channels = _LOW_BYTES[modes.pop()]
    file.seek(0)
    low: Any = Image.open(file, formats=FORMATS)
    low.tile = [_with_raw_mode(tile, low_mode) for tile in tiles]
    pixels = high.copy()
    pixels[..., :3] = (high[..., :3] << (8 - used)) | (np.asarray(low)[..., channels] >> used)
    image.paste(Image.fromarray(pixels))


def _raw_mode(tile: Any) -> str:
    """Return the raw mode of a tile, which is (codec, box, offset, arguments of the codec)."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _with_raw_mode(tile: Any, mode: str) -> Any:
    arguments = mode if isinstance(tile[3], str) else (mode, *tile[3][1:])
    make = getattr(tile, "_make", tuple)  # a plain tuple before pillow 11
    return make((*tile[:3], arguments))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert a grey image of more than 8 bits per pixel to 8 bits.

    Files with 16 bits per pixel often hold only the 8 to 14 bits of a scanner. Let b be the number
    of bits of the lightest pixel's value, but at least 8. Then the value 2**b - 1 becomes white. In
    images of 32 bits, integers or floats, the darkest pixel becomes 0 and the lightest pixel 255.
    """
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16"):
        low, high = 0.0, float(2 ** max(8, int(values.max(initial=0)).bit_length()) - 1)
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
    """Lay a picture (H, W, 3) on a ground of one colour on which its content is visible.

    If the opaque pixels are paper with ink on it, the ground gets their median colour, which is the
    colour of the paper. If they are not, the content is the shape of the opaque pixels, for example
    ink that was cut out of its paper. The ground is then white if the opaque pixels are dark, and
    black if they are light. If no pixel is opaque, all pixels are treated as opaque.
    """
    opaque = alpha >= _OPAQUE
    if not opaque.any():
        opaque = np.ones_like(opaque)
    rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
    box_area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    eroded = Image.fromarray(opaque.astype(np.uint8) * 255).filter(
        ImageFilter.MinFilter(2 * _RIM + 1)
    )
    grey = colour.astype(np.float64).mean(axis=-1)
    inner = grey[np.asarray(eroded) > 0]
    spread = np.ptp(np.percentile(inner, (1, 99))) if inner.size else 0.0
    if opaque.sum() > _FULL * box_area and spread > _SPREAD:
        ground = np.median(colour[opaque].astype(np.float64), axis=0)
    else:
        ground = np.full(3, 255.0 if np.median(grey[opaque]) < 128 else 0.0)
    weight = alpha[..., np.newaxis] / 255.0
    return np.rint(colour * weight + ground * (1 - weight)).astype(np.uint8)
