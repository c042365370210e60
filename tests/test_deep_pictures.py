"""Pictures with 16 bits per channel, of which scanners use 8 to 16."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.pictures import prepare, read_picture
from byhand.pictures.drawings import drawing_png
from byhand.pictures.encode import png
from PIL import Image

Array = np.ndarray[Any, Any]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(pixels: Array, orientation: int = 1) -> bytes:
    """Make a PNG file with 16 bits per channel. Pillow cannot write colours with this depth."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2"))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def deep_tiff(pixels: Array, order: str, packed: bool) -> bytes:
    """Make a TIFF file of colours with 16 bits per channel in one strip.

    If `packed`, the strip is compressed by zlib.
    """
    height, width, _ = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    bits_at = 8 + 2 + 9 * 12 + 4
    short, long = f"{order}HHIHxx", f"{order}HHII"
    fields = (
        struct.pack(short, 256, 3, 1, width),
        struct.pack(short, 257, 3, 1, height),
        struct.pack(long, 258, 3, 3, bits_at),
        struct.pack(short, 259, 3, 1, 8 if packed else 1),  # compression
        struct.pack(short, 262, 3, 1, 2),  # RGB
        struct.pack(long, 273, 4, 1, bits_at + 6),  # the strip's position in the file
        struct.pack(short, 277, 3, 1, 3),  # channels
        struct.pack(short, 278, 3, 1, height),  # rows in the strip
        struct.pack(long, 279, 4, 1, len(data)),
    )
    head = struct.pack(f"{order}2sHIH", {"<": b"II", ">": b"MM"}[order], 42, 8, len(fields))
    return head + b"".join(fields) + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + data


def noise(bits: int, channels: int) -> Array:
    pixels = np.random.default_rng(bits).integers(0, 2**bits, (9, 7, channels))
    pixels[4, 4] = 2**bits - 1
    return pixels


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_white_is_the_largest_number_of_the_bits_in_use(bits: int, channels: int) -> None:
    """White is the largest number that the used bits can hold.

    Two channels are grey and opacity, and four are colour and opacity. Opacity always has 16 bits.
    """
    pixels = noise(bits, channels)
    if channels != 3:
        pixels[..., -1] = 2**16 - 1
    expected = pixels[..., : 1 if channels == 2 else 3] >> (bits - 8)
    assert np.array_equal(read_picture(deep_png(pixels)), expected)
    turned = read_picture(deep_png(pixels, orientation=6))
    assert np.array_equal(turned, np.rot90(expected, -1))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_files(order: str, packed: bool, tmp_path: Path) -> None:
    pixels, file = noise(12, 3), tmp_path / "scan.tiff"
    file.write_bytes(deep_tiff(pixels, order, packed))
    for source in (file, file.read_bytes()):
        assert np.array_equal(read_picture(source), pixels >> 4)


def test_a_black_picture_stays_black() -> None:
    assert not read_picture(deep_png(np.zeros((9, 7, 3), int))).any()


def test_a_scan_of_twelve_bits_is_read_like_one_of_eight() -> None:
    digit = prepare(read_picture(drawing_png(7)))
    ink, paper = np.array((30, 40, 90)), np.array((250, 245, 235))
    page = np.where(np.kron(digit, np.ones((4, 4)))[..., np.newaxis] > 127, ink, paper)
    shallow = read_picture(png(Image.fromarray(page.astype(np.uint8))))
    deep = read_picture(deep_png(page * 16 + 15))
    assert np.array_equal(deep, page)
    assert np.array_equal(prepare(deep), prepare(shallow))
