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

# The formats that are tried. Formats that Pillow hands over to another program or to a renderer are
# not among them.
FORMATS: tuple[str, ...] = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
if "avif" in features.modules and features.check("avif"):  # pillow 11.3 and newer
    FORMATS = (*FORMATS, "AVIF")

# The brands (the names in the header of a file) of the formats in which telephones store
# photographs.
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")

# A picture with more pixels is refused before it is decoded. Photographs of 50 megapixels from a
# telephone are accepted.
MAX_PIXELS = 64_000_000

# Larger pictures are reduced to this many pixels on their longer side, which is more than enough to
# recognize a digit.
MAX_SIDE = 2048

# Pictures with transparent pixels. Pixels with an alpha of at least `_OPAQUE` are opaque. The
# opaque pixels hold both paper and ink if they fill more than the share `_FULL` of the rectangle
# around them, which strokes alone do not, and if their grey levels differ by more than `_SPREAD`. A
# rim of `_RIM` pixels does not count for this difference.
_OPAQUE = 128
_FULL = 0.6
_SPREAD = 64
_RIM = 2

# If colours have 16 bits, Pillow keeps only the high byte of each channel. The raw mode of the
# image names the order of the two bytes: big-endian, little-endian or native. If the image is
# decoded with the opposite order, Pillow keeps the low bytes. This table has, for each raw mode,
# the mode with the opposite order and the indices of the channels red, green and blue. There is no
# opposite order for grey with alpha, but its four bytes per pixel can be read as RGBA.
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

    The picture is rotated as its EXIF data says. Transparent pixels get a colour on which the other
    pixels are visible. If a side is longer than `MAX_SIDE`, the picture is averaged down.

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
        If the file is not a picture, is damaged or animated, or has more than `MAX_PIXELS` pixels.
    OSError
        If the file cannot be opened.
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
            raise PictureError(_unknown(file)) from None
        except Image.DecompressionBombError:
            raise PictureError(f"more than {MAX_PIXELS:,} pixels") from None
        except Exception as error:  # a decoder may raise any exception on damaged bytes
            raise PictureError(f"damaged picture: {error or type(error).__name__}") from error


def _unknown(file: BinaryIO | Image.Image) -> str:
    """Return why a file cannot be read, and what the user can do.

    A HEIF file begins with the length of its header and the letters `ftyp`.
    """
    head = b""
    if not isinstance(file, Image.Image):
        file.seek(0)
        head = file.read(32)
    if head[4:8] == b"ftyp" and b"avif" in head[8:]:
        return "an AVIF picture, which needs pillow 11.3 or newer; or save it as JPEG or PNG"
    if head[4:8] == b"ftyp" and any(brand in head[8:] for brand in _HEIC):
        return (
            "a HEIC picture, which byhand cannot read: save or export it as JPEG or PNG "
            "(on an iPhone: Settings, Camera, Formats, Most Compatible)"
        )
    return f"not a picture; known are {', '.join(FORMATS)}"


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
        raise PictureError(f"animated or of several pages: {frames} pictures in one file")
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
    """Use the low bytes of colours with 16 bits if the high bytes are small.

    Files with 16 bits per channel often hold only the 8 to 14 bits of a scanner. Their high bytes
    are nearly black. If the largest value needs b bits, white is therefore 2**b - 1, as in
    `_eight_bits`. Alpha stays as it is. A PIL image has already lost its low bytes, so it is not
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
    """Convert deep grey to 8 bits.

    Files with 16 bits per pixel often hold only the 8 to 14 bits of a scanner. If the lightest
    pixel needs b bits, white is therefore 2**b - 1. In images of other depths, the darkest pixel
    becomes 0 and the lightest one 255.
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
    """Lay a picture (H, W, 3) on one colour on which its content is visible.

    If the opaque pixels hold paper and ink, the ground gets the paper's colour. Otherwise the
    content is the shape of the opaque pixels, for example ink that was cut out of its paper. The
    ground is then white if the opaque pixels are dark, and black if they are light.
    """
    opaque = alpha >= _OPAQUE
    if not opaque.any():
        opaque = np.ones_like(opaque)
    rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
    room = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    shrunk = Image.fromarray(opaque.astype(np.uint8) * 255).filter(
        ImageFilter.MinFilter(2 * _RIM + 1)
    )
    grey = colour.astype(np.float64).mean(axis=-1)
    inner = grey[np.asarray(shrunk) > 0]
    spread = np.ptp(np.percentile(inner, (1, 99))) if inner.size else 0.0
    if opaque.sum() > _FULL * room and spread > _SPREAD:
        ground = np.median(colour[opaque].astype(np.float64), axis=0)
    else:
        ground = np.full(3, 255.0 if np.median(grey[opaque]) < 128 else 0.0)
    weight = alpha[..., np.newaxis] / 255.0
    return np.rint(colour * weight + ground * (1 - weight)).astype(np.uint8)
