"""Convert picture files to the images that a model takes. This needs `byhand[pictures]`."""

from __future__ import annotations

from byhand.checks import needs_extra

try:
    from .convert import Symbols, as_image, image_for, images_for, symbols_for, symbols_of_drawing
    from .marks import Mark, marks
    from .prepare import BlankError, plain, prepare
    from .read import PictureError, PictureWarning, read_picture
except ModuleNotFoundError as error:
    raise needs_extra(error, "byhand.pictures", "pictures") from None

__all__ = [
    "BlankError",
    "Mark",
    "PictureError",
    "PictureWarning",
    "Symbols",
    "as_image",
    "image_for",
    "images_for",
    "marks",
    "plain",
    "prepare",
    "read_picture",
    "symbols_for",
    "symbols_of_drawing",
]
