"""gather_images makes a batch of floats from images of bytes."""

from __future__ import annotations

from typing import Any

import byhand
import numpy as np
import pytest
import reference
from byhand import _core, kernels
from calls import Array, Call
from devices import SCHEDULES
from ops import check, check_exact
from tolerance import assert_same_bits

F32 = np.float32


def test_every_size(device: str, threads: int, rng: np.random.Generator) -> None:
    on_cuda = device in SCHEDULES
    sizes = (1, 7, 255, 256, 257, 1024, 1025) if on_cuda else (*range(1, 20), 784)
    for size in (*sizes, 31, 32, 33):
        index = rng.integers(0, 20, 3 if on_cuda else 33)
        args = rng.integers(0, 256, (20, size)).astype(np.uint8), index
        exact = Call("gather_images", args, {"scale": 0.5, "offset": -3.0})
        check_exact(exact, exact.kernel())
        call = Call("gather_images", args, {"scale": 1 / 0.3081 / 255, "offset": -0.4242})
        check(call, call.kernel())


def test_every_byte(device: str) -> None:
    """The byte 255 becomes 255, not -1."""
    images = np.arange(256, dtype=np.uint8).reshape(1, 256)
    batch = kernels.gather_images(images, np.array([0]), scale=1.0, offset=0.0)
    np.testing.assert_array_equal(batch, np.arange(256, dtype=F32)[None])


def rounded_once(images: Array, index: Array, **kwargs: Any) -> Array:
    """Gather on the CPU, and round byte * scale + offset once, as a fused multiply-add does."""
    scale, offset = F32(kwargs.pop("scale")), F32(kwargs.pop("offset"))
    moved = _core.gather_images(images, index, scale=1.0, offset=0.0, **kwargs)
    return (moved.astype(np.longdouble) * scale + offset).astype(F32)


@pytest.mark.parametrize(
    ("shape", "max_shift"),
    [
        ((5, 257), 0),
        ((7, 5, 3), 2),
        ((3, 2, 9, 17), 1),
        ((4, 1, 1), 1),
        ((9, 4, 4), 9),
        ((3, 2, 28, 28), 2),
    ],
)
def test_cuda_moves_as_the_cpu_and_rounds_once(
    shape: tuple[int, ...], max_shift: int, cuda: str, rng: np.random.Generator
) -> None:
    images, index = rng.integers(0, 256, shape).astype(np.uint8), rng.integers(0, shape[0], 6)
    for key in ({}, {"seed": 2**64 - 1, "step": 3}, {"seed": 2**32}, {"step": 2**32 - 1}):
        kwargs = {"scale": 1 / 0.3081 / 255, "offset": -0.4242, "max_shift": max_shift, **key}
        got = kernels.gather_images(images, index, **kwargs)
        assert_same_bits(got, rounded_once(images, index, **kwargs))


@pytest.mark.parametrize("max_shift", [0, 2])
@pytest.mark.parametrize("wrong", [-1, 3, 2**31, 2**63 - 1, -(2**63)])
def test_a_bad_index_on_cuda(
    wrong: int, max_shift: int, cuda: str, rng: np.random.Generator
) -> None:
    """The first copy to the CPU reports a bad index. Only its image becomes NaN."""
    images, index = rng.integers(0, 256, (3, 2, 5, 6)).astype(np.uint8), np.array([2, wrong, 1])
    kwargs = {"scale": 0.1, "offset": -0.5, "max_shift": max_shift}
    arrays = (byhand.asarray(array, "cuda") for array in (images, index))
    batch = _core.gather_images(*arrays, **kwargs)
    with pytest.raises(ValueError, match="gather_images got an index that is not the number"):
        batch.to("cpu")
    got = batch.to("cpu")
    assert np.isnan(got[1]).all()
    assert_same_bits(got[::2], rounded_once(images, index[::2], **kwargs))


def test_images_without_pixels(device: str) -> None:
    images = np.zeros((3, 1, 0, 4), np.uint8)
    assert kernels.gather_images(images, np.array([1]), scale=1.0, offset=0.0).size == 0
    with pytest.raises(ValueError, match="index"):
        kernels.gather_images(images, np.array([3]), scale=1.0, offset=0.0)


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


def test_no_image_to_gather_from(device: str) -> None:
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
def test_uncovered_pixels_are_the_offset(offset: float, device: str) -> None:
    """Uncovered pixels have the same bits as a byte 0, for any scale."""
    images = np.full((40, 6, 7), 9, np.uint8)
    settings = {"scale": 1 / 127.5, "offset": offset}
    zero = kernels.gather_images(np.zeros((1, 1), np.uint8), np.array([0]), **settings)[0, 0]
    nine = kernels.gather_images(images[:1, :1, 0], np.array([0]), **settings)[0, 0]
    batch = kernels.gather_images(images, np.arange(40), max_shift=2, **settings)
    assert set(batch.ravel()) == {zero, nine} and zero == np.float32(offset)


def test_uncovered_pixels_of_an_infinite_scale(device: str) -> None:
    """Uncovered pixels are the offset even if 0 * scale + offset is another number."""
    images, index = np.full((20, 2, 2), 9, np.uint8), np.arange(20)
    shifts = [reference.shift_of(i, 1, 0, 0) for i in range(20)]
    for scale, offset in ((np.inf, -0.5), (1.0, -0.0)):
        kwargs = {"scale": scale, "offset": offset}
        for image, (dy, dx) in zip(
            kernels.gather_images(images, index, max_shift=1, **kwargs), shifts, strict=True
        ):
            expected = np.full((4, 4), offset, F32)
            expected[1 + dy : 3 + dy, 1 + dx : 3 + dx] = 9 * scale + offset
            assert_same_bits(image, expected[1:3, 1:3])


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
def test_wrong_shifts(
    wrong: dict[str, Any], error: type[Exception], message: str, device: str
) -> None:
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


def test_the_largest_shift(device: str) -> None:
    """With the largest shift, 2^32 - 1 positions per direction, nothing of the image is left."""
    images = np.full((50, 3, 3), 9, np.uint8)
    batch = kernels.gather_images(images, np.arange(50), scale=1.0, offset=0.5, max_shift=2**31 - 1)
    assert (batch == 0.5).all()
