"""A picture as the bytes of a file."""

from __future__ import annotations

import io

from PIL import Image


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
