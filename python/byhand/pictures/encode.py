"""Encode a picture as a PNG file."""

from __future__ import annotations

import io

from PIL import Image


def png(image: Image.Image) -> bytes:
    """Encode an image as PNG.

    Parameters
    ----------
    image : PIL.Image.Image
        The image.

    Returns
    -------
    bytes
        The content of the file.
    """
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
