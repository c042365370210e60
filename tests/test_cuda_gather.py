"""gather_images on an emulated GPU: the bits of the CPU, shifts, and bad indices."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from byhand import kernels
from calls import Array
from cuda_support import call, device
from tolerance import assert_same_bits

F32 = np.float32


class ImageBytes(ctypes.Structure):
    """ops::ImageBytes."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("count", "planes", "height", "width")),
    )


class Shift(ctypes.Structure):
    """ops::Shift."""

    _fields_ = (("max_shift", ctypes.c_int64), ("seed", ctypes.c_uint64), ("step", ctypes.c_uint32))


def gather(
    images: Array,
    index: Array,
    scale: float = 1 / 0.3081 / 255,
    offset: float = -0.4242,
    bad: bool = False,
    max_shift: int = 0,
    seed: int = 0,
    step: int = 0,
) -> Array:
    """Gather images of shape (N, planes, height, width)."""
    with device() as d:
        flag = d.put(np.zeros(1, np.int32))
        to = d.empty(len(index) * images[:1].size)
        bytes_ = ImageBytes(d.put(images), *images.shape)
        shift = Shift(max_shift, seed, step)
        arguments = scale, offset, shift, to, flag
        call("gather_images", bytes_, d.put(index), len(index), *arguments)
        assert d.get(flag, (1,), np.int32) == bad
        return d.get(to, (len(index), *images.shape[1:]))


def on_the_cpu(images: Array, index: Array, **kwargs: Any) -> Array:
    """Shift as the CPU does, and round byte * scale + offset once, as a fused operation does.

    The plain code of the CPU, without fused operations, rounds twice.
    """
    scale, offset = F32(1 / 0.3081 / 255), F32(-0.4242)
    moved = kernels.gather_images(images, index, scale=1.0, offset=0.0, **kwargs)
    return (moved.astype(np.longdouble) * scale + offset).astype(F32)


@pytest.mark.parametrize("size", [1, 7, 31, 32, 33, 255, 256, 257, 784, 1024, 1025])
def test_every_size(size: int, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (5, 1, 1, size)).astype(np.uint8)
    index = rng.integers(0, 5, 3 if size > 300 else 9)
    assert_same_bits(gather(images, index), on_the_cpu(images, index))
    exact = images[index] * F32(0.5) - 3
    np.testing.assert_array_equal(gather(images, index, scale=0.5, offset=-3.0), exact)


def test_every_byte() -> None:
    """The byte 255 becomes 255, not -1."""
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    batch = gather(images, np.array([0]), scale=1.0, offset=0.0)
    np.testing.assert_array_equal(batch, images)


@pytest.mark.parametrize(
    ("shape", "max_shift"),
    [
        ((7, 1, 5, 3), 2),
        ((3, 2, 9, 17), 1),
        ((4, 1, 1, 1), 1),
        ((9, 1, 4, 4), 9),
        ((3, 2, 28, 28), 2),
    ],
)
def test_shifts(shape: tuple[int, ...], max_shift: int, rng: np.random.Generator) -> None:
    images, index = rng.integers(0, 256, shape).astype(np.uint8), rng.integers(0, shape[0], 6)
    for key in ({}, {"seed": 2**64 - 1, "step": 3}, {"seed": 2**32}, {"step": 2**32 - 1}):
        kwargs = {"max_shift": max_shift, "seed": 0, "step": 0, **key}
        assert_same_bits(gather(images, index, **kwargs), on_the_cpu(images, index, **kwargs))


def test_the_largest_shift() -> None:
    """With the largest shift, 2^32 - 1 positions per direction, nothing of the image is left."""
    images = np.full((5, 1, 3, 3), 9, np.uint8)
    batch = gather(images, np.arange(5), offset=0.5, max_shift=2**31 - 1)
    assert (batch == 0.5).all()


def test_uncovered_pixels_are_the_offset() -> None:
    """They are the offset even if 0 * scale + offset is another number."""
    images, index = np.full((20, 1, 2, 2), 9, np.uint8), np.arange(20)
    for scale, offset in ((np.inf, -0.5), (1.0, -0.0)):
        kwargs = {"scale": scale, "offset": offset, "max_shift": 1}
        expected = kernels.gather_images(images, index, **kwargs)
        assert_same_bits(gather(images, index, **kwargs), expected)


@pytest.mark.parametrize("max_shift", [0, 2])
@pytest.mark.parametrize("wrong", [-1, 3, 2**31, 2**63 - 1, -(2**63)])
def test_index_out_of_range(wrong: int, max_shift: int, rng: np.random.Generator) -> None:
    """A bad index is reported. Its image becomes NaN, and the others are not affected."""
    images, index = rng.integers(0, 256, (3, 2, 5, 6)).astype(np.uint8), np.array([2, wrong, 1])
    batch = gather(images, index, bad=True, max_shift=max_shift)
    assert np.isnan(batch[1]).all()
    expected = on_the_cpu(images, index[::2], max_shift=max_shift)
    assert_same_bits(batch[::2], expected)


def test_a_bad_index_that_nobody_asks_about() -> None:
    images = np.zeros((0, 1, 2, 2), np.uint8)
    with device() as d:
        to = d.empty(4)
        arguments = 1, 1.0, 0.0, Shift(0, 0, 0), to, 0
        call("gather_images", ImageBytes(0, *images.shape), d.put(np.array([0])), *arguments)
        assert np.isnan(d.get(to, (4,))).all()


def test_nothing_to_gather() -> None:
    images = np.zeros((3, 1, 4, 4), np.uint8)
    assert gather(images, np.zeros(0, np.int64)).size == 0
    assert gather(np.zeros((3, 1, 0, 4), np.uint8), np.array([1])).size == 0


@pytest.mark.parametrize("max_shift", [-1, 2**31])
def test_wrong_shifts(max_shift: int) -> None:
    with pytest.raises(RuntimeError, match=f"max_shift must be from 0 to .*, got {max_shift}"):
        gather(np.zeros((3, 1, 4, 4), np.uint8), np.array([0]), max_shift=max_shift)


def test_a_bad_index_of_an_image_without_pixels() -> None:
    assert gather(np.zeros((3, 1, 0, 4), np.uint8), np.array([3]), bad=True).size == 0
