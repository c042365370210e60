"""Picture files as pixels: any format that pillow knows by its content, any mode, as it is seen."""

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

# By content, not by name. No format that hands over to another program or to a renderer.
FORMATS: tuple[str, ...] = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
if "avif" in features.modules and features.check("avif"):  # pillow 11.3 and newer
    FORMATS = (*FORMATS, "AVIF")

# Brands of files in which telephones keep photographs.
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")

# A telephone's 50 megapixels fit. What is larger is refused before a pixel is decoded.
MAX_PIXELS = 64_000_000

# More pixels a side than anybody needs to read a digit; larger pictures are made smaller at once.
MAX_SIDE = 2048

# Transparency: pixels this opaque are ink or paper. They are a picture, with paper and ink, if they
# fill this share of the rectangle round them, which strokes do not, and if their grey levels are
# spread as wide as this, not counting a rim of so many pixels.
_OPAQUE = 128
_FULL = 0.6
_SPREAD = 64
_RIM = 2

# Pillow keeps the high byte of each channel when it decodes colours of 16 bits. Their raw modes
# name the order of the two bytes: big-endian, little-endian or native. With the other order it
# keeps the low bytes, here with the channels of red, green and blue. Grey with opacity has no other
# order, but its four bytes per pixel can be read as RGBA.
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
    """A file that is no picture, or one that cannot be used."""


class PictureWarning(UserWarning):
    """A picture that may be another one than its user believes, such as one of several digits."""


def read_picture(source: Picture) -> NDArray[np.uint8]:
    """The pixels of a picture file, (H, W, 1) where it is grey and (H, W, 3) where it has colour.

    source: a path, the bytes of a file, or a PIL image at its present frame.
    The picture is turned as its EXIF data says; what is transparent becomes a ground that sets off
    the rest; sides are at most MAX_SIDE, larger pictures are averaged down. Raises PictureError
    if the file is not a picture, is damaged or animated, or has more than MAX_PIXELS pixels;
    OSError if it cannot be read.
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
        except Exception as error:  # decoders raise anything on damaged bytes
            raise PictureError(f"damaged picture: {error or type(error).__name__}") from error


def _unknown(file: BinaryIO | Image.Image) -> str:
    """Why a file is not read, and what to do. HEIF files begin with their length and `ftyp`."""
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
        return contextlib.nullcontext(source.copy())  # the caller's own stays as it is
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return open_file(as_path("source", source))


def _read(file: BinaryIO | Image.Image) -> NDArray[np.uint8]:
    image = file if isinstance(file, Image.Image) else Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"{image.width}x{image.height}: more than {MAX_PIXELS:,} pixels")
    # MPO is the JPEG of many telephones: the photograph, and a small copy or a depth map after it.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise PictureError(f"animated or of several pages: {frames} pictures in one file")
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # JPEG alone: decoded at a fraction of its size
    _brighten_deep_colour(image, file)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _shrunk(_eight_bits(image))[..., np.newaxis]
    if not image.has_transparency_data:
        return _without_equal_channels(_shrunk(image.convert("RGB")))
    pixels = _shrunk(image.convert("RGBA"))
    return _without_equal_channels(_on_ground(pixels[..., :3], pixels[..., 3]))


def _brighten_deep_colour(image: Image.Image, file: BinaryIO | Image.Image) -> None:
    """Use the low bytes of colours with 16 bits if the high ones are small.

    Files of 16 bits often hold only the 8 to 14 bits of a scanner, which are nearly black in their
    high bytes. As in deep grey, white is therefore the largest number of as many bits as the
    lightest channel needs. Opacity stays as it is. A PIL image has lost its low bytes already.
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
    """The raw mode in an entry of an image's `tile`: codec, box, offset, arguments of the codec."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _with_raw_mode(tile: Any, mode: str) -> Any:
    arguments = mode if isinstance(tile[3], str) else (mode, *tile[3][1:])
    make = getattr(tile, "_make", tuple)  # a plain tuple before pillow 11
    return make((*tile[:3], arguments))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert deep grey to 8 bits.

    Files of 16 bits often hold only the 8 to 14 bits of a scanner. White is therefore the largest
    number of as many bits as the lightest pixel needs. In other depths the darkest pixel becomes 0
    and the lightest one 255.
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
    """Lay a picture (H, W, 3) on one colour that keeps its content visible.

    If the opaque pixels hold paper and ink, the ground has the paper's colour. Otherwise the shape
    of the opaque pixels is the content, whatever the colour of its rim: the ground is white if it
    is dark and black if it is light. This also shows ink that was cut out of its paper.
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
