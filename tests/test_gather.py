"""gather_images: a batch of floats out of bytes."""

from __future__ import annotations

import numpy as np
import pytest
from byhand import kernels
from calls import Call
from ops import check, check_exact

F32 = np.float32


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 784])
def test_every_size(size: int, isa: str, threads: int, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (20, size)).astype(np.uint8)
    index = rng.integers(0, 20, 33)
    exact = Call("gather_images", (images, index), {"scale": 0.5, "offset": -3.0})
    check_exact(exact, exact.kernel())
    call = Call("gather_images", (images, index), {"scale": 1 / 0.3081 / 255, "offset": -0.4242})
    check(call, call.kernel())


def test_every_byte(isa: str) -> None:
    """255 is 255, not -1."""
    images = np.arange(256, dtype=np.uint8).reshape(1, 256)
    batch = kernels.gather_images(images, np.array([0]), scale=1.0, offset=0.0)
    np.testing.assert_array_equal(batch, np.arange(256, dtype=F32)[None])


@pytest.mark.parametrize("dtype", "bhilqBHILQ")
def test_index_of_any_integer_dtype(dtype: str) -> None:
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    batch = kernels.gather_images(images, np.array([2, 0], dtype), scale=1.0, offset=0.0)
    np.testing.assert_array_equal(batch, images[[2, 0]])


@pytest.mark.parametrize("wrong", [-1, 3, 2**31, 2**63 - 1, -(2**63), 2**63, 2**64 - 1])
def test_index_out_of_range(wrong: int) -> None:
    """Negative numbers do not count from the end; and nothing is written."""
    images, out = np.zeros((3, 4), np.uint8), np.full((2, 4), -7, F32)
    index = np.array([0, wrong], np.uint64 if wrong >= 2**63 else np.int64)
    with pytest.raises((ValueError, IndexError), match=rf"index.*{wrong}"):
        kernels.gather_images(images, index, scale=1.0, offset=0.0, out=out)
    assert np.all(out == -7)


def test_no_image_to_gather_from() -> None:
    with pytest.raises((ValueError, IndexError), match="index"):
        kernels.gather_images(np.zeros((0, 4), np.uint8), np.array([0]), scale=1.0, offset=0.0)


@pytest.mark.parametrize("dtype", ["i1", "f4", "u2", "?"])
def test_images_are_bytes(dtype: str) -> None:
    with pytest.raises(TypeError, match=r"images.*uint8"):
        kernels.gather_images(np.zeros((3, 4), dtype), np.array([0]), scale=1.0, offset=0.0)


def test_index_is_a_row_of_integers() -> None:
    images = np.zeros((3, 4), np.uint8)
    for wrong in (np.zeros(2), np.zeros(2, bool), [0, 1]):
        with pytest.raises(TypeError, match="index"):
            kernels.gather_images(images, wrong, scale=1.0, offset=0.0)
    with pytest.raises(ValueError, match="index"):
        kernels.gather_images(images, np.zeros((2, 2), int), scale=1.0, offset=0.0)
