"""Pictures of any kind as the images that a model takes. Needs pillow, which byhand[cli] brings."""

from __future__ import annotations

from byhand.words import needs_extra

try:
    from .convert import as_image, image_for, images_for
    from .prepare import BlankError, plain, prepare
    from .read import PictureError, read_picture
except ModuleNotFoundError as error:
    raise needs_extra(error, "byhand.pictures", "cli") from None

__all__ = [
    "BlankError",
    "PictureError",
    "as_image",
    "image_for",
    "images_for",
    "plain",
    "prepare",
    "read_picture",
]
