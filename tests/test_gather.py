"""gather_images makes a batch of floats from images of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from byhand import kernels
from calls import Call
from ops import check, check_exact

F32 = np.float32


def test_every_size(isa: str, threads: int, rng: np.random.Generator) -> None:
    for size in (*range(1, 20), 31, 32, 33, 784):
        args = rng.integers(0, 256, (20, size)).astype(np.uint8), rng.integers(0, 20, 33)
        exact = Call("gather_images", args, {"scale": 0.5, "offset": -3.0})
        check_exact(exact, exact.kernel())
        call = Call("gather_images", args, {"scale": 1 / 0.3081 / 255, "offset": -0.4242})
        check(call, call.kernel())


def test_every_byte(isa: str) -> None:
    """The byte 255 becomes 255, not -1."""
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
    """Negative indices do not count from the end. If an index is refused, nothing is written."""
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


# --------------------------------------------------------------------------------------------------
# Shifts


def positions(count: int, max_shift: int, **kwargs: int) -> list[tuple[int, int]]:
    """Return the shifts of `count` images, each of which has one bright pixel in the middle."""
    side = 2 * max_shift + 1
    images = np.zeros((count, side, side), np.uint8)
    images[:, max_shift, max_shift] = 200
    batch = kernels.gather_images(
        images, np.arange(count), scale=1.0, offset=0.0, max_shift=max_shift, **kwargs
    )
    assert ((batch == 200).sum(axis=(1, 2)) == 1).all()
    return [tuple(np.argwhere(image)[0] - max_shift) for image in batch]


@pytest.mark.slow
def test_every_shift_is_as_likely() -> None:
    """All shifts are equally likely.

    In 6,250 draws of 25 shifts, chi-squared with 24 degrees of freedom exceeds 51 with a
    probability of 0.001.
    """
    found = positions(6250, 2)
    counts = np.zeros((5, 5))
    for dy, dx in found:
        counts[dy + 2, dx + 2] += 1
    assert ((counts - 250) ** 2 / 250).sum() < 51
    assert found == [reference.shift_of(i, 2, 0, 0) for i in range(6250)]


def test_seed_and_step_change_the_shifts() -> None:
    first = positions(50, 3)
    for other in ({"seed": 1}, {"seed": 2**32}, {"step": 1}, {"step": 2**32 - 1}):
        assert positions(50, 3, **other) != first
        assert positions(50, 3, **other) == positions(50, 3, **other)


def test_an_image_moves_alike_wherever_it_stands_in_a_batch(rng: np.random.Generator) -> None:
    """The shift of an image does not depend on its position in the batch.

    So a batch may be gathered in parts. All planes of an image have the same shift.
    """
    images = rng.integers(1, 256, (30, 2, 9, 9)).astype(np.uint8)
    images[:, 1] = images[:, 0]
    settings = {"scale": 1.0, "offset": 0.0, "max_shift": 3, "seed": 4, "step": 5}
    index = rng.permutation(30)
    whole = kernels.gather_images(images, index, **settings)
    np.testing.assert_array_equal(
        whole[7:19], kernels.gather_images(images, index[7:19], **settings)
    )
    np.testing.assert_array_equal(whole[:, 0], whole[:, 1])


@pytest.mark.parametrize("offset", [-1.0000001, -0.5])
def test_uncovered_pixels_are_the_offset(offset: float, isa: str) -> None:
    """Uncovered pixels have the same bits as a byte 0, for any scale."""
    images = np.full((40, 6, 7), 9, np.uint8)
    settings = {"scale": 1 / 127.5, "offset": offset}
    zero = kernels.gather_images(np.zeros((1, 1), np.uint8), np.array([0]), **settings)[0, 0]
    nine = kernels.gather_images(images[:1, :1, 0], np.array([0]), **settings)[0, 0]
    batch = kernels.gather_images(images, np.arange(40), max_shift=2, **settings)
    assert set(batch.ravel()) == {zero, nine} and zero == np.float32(offset)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"max_shift": -1}, ValueError, "max_shift must be from 0 to 2147483647, got -1"),
        ({"max_shift": 2**31}, ValueError, "max_shift must be from 0 to 2147483647"),
        ({"max_shift": 1.5}, TypeError, "max_shift must be an integer, got 1.5"),
        ({"seed": -1}, ValueError, "seed must be from 0 to 18446744073709551615, got -1"),
        ({"seed": 2**64}, ValueError, "seed must be from 0 to"),
        ({"step": 2**32}, ValueError, "step must be from 0 to 4294967295, got 4294967296"),
        ({"step": "a"}, TypeError, "step must be an integer, got 'a'"),
    ],
)
def test_wrong_shifts(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    out = np.full((1, 4, 4), -7, F32)
    settings = {"scale": 1.0, "offset": 0.0, **wrong, "out": out}
    with pytest.raises(error, match=message):
        kernels.gather_images(np.zeros((3, 4, 4), np.uint8), np.array([0]), **settings)
    assert (out == -7).all()


def test_rows_have_no_height_to_be_shifted() -> None:
    rows, index = np.zeros((3, 4), np.uint8), np.array([0])
    for shift, says in (
        (1, r"images must have the shape .* because max_shift is 1, got \(3, 4\)"),
        (-1, "max_shift must be from 0 to 2147483647, got -1"),
    ):
        with pytest.raises(ValueError, match=says):
            kernels.gather_images(rows, index, scale=1.0, offset=0.0, max_shift=shift)


def test_the_largest_shift(isa: str) -> None:
    """With the largest shift, 2^32 - 1 positions per direction, nothing of the image is left."""
    images = np.full((50, 3, 3), 9, np.uint8)
    batch = kernels.gather_images(images, np.arange(50), scale=1.0, offset=0.5, max_shift=2**31 - 1)
    assert (batch == 0.5).all()
