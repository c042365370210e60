"""warp_images: which points pixels come from, how they are interpolated, and what is random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from byhand import kernels
from byhand._core import testing
from calls import Array, Call
from devices import SCHEDULES
from ops import GENTLE, STRONG, check
from tolerance import EPS, assert_same_bits, assert_within

F32 = np.float32
KEY = {"seed": 3, "step": 4}


def ramps(count: int, height: int, width: int) -> Array:
    """Return images of two planes, whose pixels are their row and their column.

    Inside the image, the distortion of these planes is the point that a pixel comes from.
    """
    planes = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))
    return np.repeat(planes[None].astype(F32), count, axis=0)


def points_of_middle(count: int, **kwargs: Any) -> Array:
    """Return the point (y, x) of the middle pixel of `count` images, relative to the middle."""
    whole = kernels.warp_images(ramps(count, 41, 41), np.arange(count), **{**KEY, **kwargs})
    return whole[:, :, 20, 20] - 20.0


@pytest.mark.parametrize("strengths", [GENTLE, STRONG], ids=["gentle", "strong"])
def test_every_width(strengths: dict[str, Any], device: str, rng: np.random.Generator) -> None:
    widths = (1, 3, 4, 17) if device in SCHEDULES else range(1, 36)
    for width in widths:
        images = rng.standard_normal((2, 1, 1 + width % 5, width), F32)
        call = Call("warp_images", (images, np.array([5, 6])), {**KEY, **strengths, "fill": 0.5})
        check(call, call.run())


def test_the_sampling_is_that_of_scipy(device: str, rng: np.random.Generator) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    images = rng.random((3, 2, 12, 19), F32)
    got = kernels.warp_images(images, np.arange(3), fill=0.25, **KEY, **GENTLE)
    for i in range(3):
        points = reference.warp_points(i, (12, 19), **KEY, **GENTLE)
        for plane in range(2):
            expected = ndimage.map_coordinates(
                images[i, plane].astype(np.float64),
                points,
                order=1,
                mode="grid-constant",
                cval=0.25,
            )
            # The positions are below 32, so they are wrong by a few ULP of 32.
            assert_within(got[i, plane], expected, 20 * 32 * EPS)


def test_without_strengths_every_bit_stays(device: str) -> None:
    images = F32([np.nan, np.inf, -np.inf, -0.0, 2.0**-149, 1]).reshape(1, 2, 3, 1)
    result = kernels.warp_images(images, np.array([0]), smoothness=2.0, **KEY)
    assert_same_bits(result, images)


def test_a_constant_image_stays_constant_inside(device: str) -> None:
    images = np.full((4, 1, 9, 9), 0.3, F32)
    result = kernels.warp_images(images, np.arange(4), **KEY, **GENTLE, fill=0.3)
    assert_same_bits(result, images)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_special_pixel_spreads_to_its_neighbours_only(value: float, device: str) -> None:
    """Outputs whose four pixels do not contain the special one are as if it were 0."""
    images = np.ones((6, 1, 12, 12), F32)
    images[:, :, 5, 6] = value
    plain = np.where(np.isfinite(images), images, F32(0))
    settings = {**KEY, **GENTLE}
    result = kernels.warp_images(images, np.arange(6), **settings)
    points = np.stack([reference.warp_points(i, (12, 12), **settings) for i in range(6)])
    corner = np.floor(points)
    touched = ((corner[:, 0] == 5) | (corner[:, 0] == 4)) & (
        (corner[:, 1] == 6) | (corner[:, 1] == 5)
    )
    assert 6 <= touched.sum() <= 60
    np.testing.assert_array_equal(~np.isfinite(result[:, 0]), touched)
    expected = kernels.warp_images(plain, np.arange(6), **settings)
    assert_same_bits(result[:, 0][~touched], expected[:, 0][~touched])


@pytest.mark.parametrize("shape", [(0, 1, 40_000, 5), (5, 0, 5, 40_000), (3, 2, 0, 9)])
def test_empty_images_may_have_any_size(shape: tuple[int, ...], device: str) -> None:
    images = np.empty(shape, F32)
    assert kernels.warp_images(images, np.arange(len(images)), **KEY, **GENTLE).shape == shape


# --------------------------------------------------------------------------------------------------
# What the distortion depends on


def test_an_image_warps_alike_wherever_it_stands(
    isa: str, threads: int, rng: np.random.Generator
) -> None:
    """A batch may be divided in any way, and all planes of an image have the same distortion."""
    images = rng.standard_normal((40, 2, 28, 28), F32)
    images[:, 1] = images[:, 0]
    index = rng.permutation(1000)[:40]
    settings = {**KEY, **GENTLE}
    whole = kernels.warp_images(images, index, **settings)
    assert_same_bits(whole[:, 0], whole[:, 1])
    for part in (slice(0, 1), slice(7, 19), slice(19, 40)):
        assert_same_bits(kernels.warp_images(images[part], index[part], **settings), whole[part])
    order = rng.permutation(40)
    assert_same_bits(kernels.warp_images(images[order], index[order], **settings), whole[order])


def test_seed_step_and_index_select_the_distortion(device: str, rng: np.random.Generator) -> None:
    image = rng.standard_normal((1, 1, 8, 8), F32)
    seen = set()
    cases: list[tuple[int, int, int]] = [
        *((0, 0, number) for number in (0, 1, 2**32, -1, 2**63 - 1)),
        *((seed, 0, 0) for seed in (1, 2**32, 2**64 - 1)),
        *((0, step, 0) for step in (1, 2**32 - 1)),
    ]
    for seed, step, number in cases:
        call = Call(
            "warp_images", (image, np.array([number])), {"seed": seed, "step": step, **GENTLE}
        )
        (result,) = call.run()
        check(call, (result,))
        seen.add(result.tobytes())
    assert len(seen) == len(cases)


@pytest.mark.parametrize("dtype", "bhilqBHILQ")
def test_index_of_any_integer_dtype(dtype: str, rng: np.random.Generator) -> None:
    images = rng.standard_normal((2, 1, 5, 5), F32)
    result = kernels.warp_images(images, np.array([7, 3], dtype), **KEY, **GENTLE)
    assert_same_bits(result, kernels.warp_images(images, np.array([7, 3]), **KEY, **GENTLE))


def test_instruction_sets_differ_by_rounding_only(rng: np.random.Generator) -> None:
    call = Call("warp_images", (rng.random((9, 1, 28, 28), F32), np.arange(9)), {**KEY, **GENTLE})
    before = testing.isa()
    try:
        for isa in testing.isas():
            testing.set_isa(isa)
            check(call, call.run())
    finally:
        testing.set_isa(before)


# --------------------------------------------------------------------------------------------------
# The distributions


def test_shifts_are_uniform() -> None:
    """The middle pixel moves by a uniform distance.

    The Kolmogorov-Smirnov statistic of 4,000 draws exceeds 1.95 / sqrt(4000) with a probability of
    0.001.
    """
    points = points_of_middle(4000, shift=3.0)
    for values in points.T:
        assert np.abs(values).max() <= 3
        share = (np.sort(values) + 3) / 6
        assert np.abs(share - (np.arange(4000) + 0.5) / 4000).max() < 1.95 / np.sqrt(4000)
    assert abs(np.corrcoef(points.T)[0, 1]) < 4 / np.sqrt(4000)


@pytest.mark.parametrize(("name", "largest"), [("rotation", 20.0), ("scale", 0.2), ("shear", 15.0)])
def test_angles_and_factors_are_uniform(name: str, largest: float) -> None:
    """The map is measured at the pixel five to the right of the middle or five below it."""
    count = 1000
    result = kernels.warp_images(
        ramps(count, 41, 41), np.arange(count), **KEY, **{name: largest}
    ).astype(np.float64)
    right, below = result[:, :, 20, 25] - 20, result[:, :, 25, 20] - 20
    value = {
        "rotation": -np.degrees(np.arctan2(right[:, 0], right[:, 1])),
        "scale": 5 / right[:, 1] - 1,
        "shear": -np.degrees(np.arctan2(below[:, 1], below[:, 0])),
    }[name]
    share = (np.sort(value) / largest + 1) / 2
    assert share.min() >= -1e-5 and share.max() <= 1 + 1e-5
    assert np.abs(share - (np.arange(count) + 0.5) / count).max() < 1.95 / np.sqrt(count)
    # A rotation keeps distances, and all three keep the middle.
    assert np.abs(result[:, :, 20, 20] - 20).max() < 1e-5
    if name == "rotation":
        assert np.abs(np.hypot(*right.T) - 5).max() < 1e-5


@pytest.mark.parametrize("smoothness", [1.0, 2.5, 4.0, 9.0])
def test_the_elastic_displacement_has_the_standard_deviation(smoothness: float) -> None:
    """The mean square of the displacement is elastic^2 at every pixel, however smooth it is.

    One pixel of each image is measured, so the displacements are independent. The squares of
    4,000 nearly normal numbers have a mean with the relative standard deviation sqrt(2 / 4000).
    """
    count, elastic = 4000, 1.5
    images = ramps(count, 24, 24)
    result = kernels.warp_images(
        images, np.arange(count), elastic=elastic, smoothness=smoothness, **KEY
    )
    moved = (result - images)[:, :, 6:-6, 6:-6].astype(np.float64)
    assert np.abs(moved).max() < 3.62 * elastic
    for y, x in ((0, 0), (0, 1), (3, 8), (11, 11)):
        pixel = moved[:, :, y, x]
        assert np.abs((pixel**2).mean(axis=0) / elastic**2 - 1).max() < 4 * np.sqrt(2 / count)
        assert np.abs(pixel.mean(axis=0)).max() < 4 * elastic / np.sqrt(count)
        assert abs((pixel[:, 0] * pixel[:, 1]).mean()) < 4 * elastic**2 / np.sqrt(count)


def test_the_smoothness_is_that_of_a_gaussian() -> None:
    """Neighbouring displacements are correlated as if a Gaussian had smoothed them.

    White noise smoothed by a Gaussian of standard deviation s has the correlation
    exp(-d^2 / (4 s^2)) at the distance d. The B-spline differs from it by less than 0.03.
    """
    count, smoothness = 3000, 3.0
    images = ramps(count, 30, 30)
    result = kernels.warp_images(
        images, np.arange(count), elastic=1.0, smoothness=smoothness, **KEY
    )
    moved = (result - images).astype(np.float64)[:, :, 8:22, 8:22]
    for distance in range(1, 10):
        products = moved[:, :, :, distance:] * moved[:, :, :, : 14 - distance]
        expected = np.exp(-(distance**2) / (4 * smoothness**2))
        assert abs(products.mean() - expected) < 0.03 + 4 / np.sqrt(2 * count)


# --------------------------------------------------------------------------------------------------
# Arguments


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"rotation": -1}, ValueError, "rotation must be from 0 to 180 degrees, got -1"),
        ({"rotation": 181}, ValueError, "rotation must be from 0 to 180 degrees, got 181"),
        ({"rotation": np.nan}, ValueError, "rotation must be from 0 to 180 degrees, got nan"),
        ({"scale": 1}, ValueError, "scale must be from 0 to 0.9, got 1"),
        ({"scale": "big"}, TypeError, "scale"),
        ({"shear": 90}, ValueError, "shear must be from 0 to 80 degrees, got 90"),
        ({"shift": np.inf}, ValueError, "shift must be from 0 to 32768 pixels, got inf"),
        ({"shift": (1, 2)}, TypeError, "shift"),
        ({"elastic": -0.5}, ValueError, "elastic must be from 0 to 32768 pixels, got -0.5"),
        ({"smoothness": 0}, ValueError, "smoothness must be from 1 to 32768 pixels, got 0"),
        ({"smoothness": None}, TypeError, "smoothness"),
        ({"fill": "white"}, TypeError, "fill"),
        ({"seed": -1}, ValueError, "seed must be from 0 to 18446744073709551615, got -1"),
        ({"step": 2**32}, ValueError, "step must be from 0 to 4294967295, got 4294967296"),
        ({"step": 0.5}, TypeError, "step must be an integer"),
        ({"index": np.arange(2)}, ValueError, r"index must have the shape \(3,\).*got \(2,\)"),
        ({"index": np.zeros(3)}, TypeError, "index"),
        ({"index": [0, 1, 2]}, TypeError, "index"),
        ({"images": np.zeros((3, 4, 4), F32)}, ValueError, "images must have 4 dimensions"),
        ({"images": np.zeros((3, 1, 4, 4))}, TypeError, r"images.*astype\(np.float32\)"),
        (
            {"images": np.zeros((3, 1, 1, 32769), F32)},
            ValueError,
            r"images must have at most 32768 rows and columns, got the shape \(3, 1, 1, 32769\)",
        ),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"images": np.zeros((3, 1, 4, 4), F32), "index": np.arange(3)}
    arguments |= {**KEY, "out": np.full((3, 1, 4, 4), -7, F32), **wrong}
    with pytest.raises(error, match=message):
        kernels.warp_images(**arguments)
    assert np.all(arguments["out"] == -7)


def test_the_largest_strengths_and_fill(device: str) -> None:
    """The result is finite with the largest strengths. A far image shows only `fill`."""
    most: dict[str, float] = {"rotation": 180, "scale": 0.9, "shear": 80}
    for others in ({}, {"shift": 32768}, {"shift": 32768, "elastic": 32768, "smoothness": 32768}):
        images = np.ones((5, 1, 6, 6), F32)
        result = kernels.warp_images(images, np.arange(5), fill=-2.0, **KEY, **most, **others)
        assert np.isfinite(result).all() and result.min() >= -2 and result.max() <= 1
    far = kernels.warp_images(images, np.arange(5), fill=np.nan, shift=32768, **KEY)
    assert np.isnan(far).all()


def test_long_images(isa: str, rng: np.random.Generator) -> None:
    """The largest sides, with one row or one column."""
    settings = {**KEY, "shift": 0.7, "elastic": 0.5, "smoothness": 500}
    for shape in ((1, 1, 1, 32768), (1, 1, 32768, 1)):
        call = Call("warp_images", (rng.standard_normal(shape, F32), np.array([9])), settings)
        check(call, call.run())
