"""Digits on paper with other marks, on a table, or cut tightly: each digit is found by itself."""

from __future__ import annotations

import numpy as np
import paper
import pytest
from byhand.pictures import marks, prepare, read_picture
from byhand.pictures.drawings import drawing_png, strength_of
from byhand.pictures.prepare import image_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter


def page_with(digit: int = 3, side: int = 200, at: tuple[int, int] = (60, 60)) -> np.ndarray:
    """Make white paper, shape (400, 400), with a dark digit of `side` pixels."""
    ink = Image.fromarray(prepare(read_picture(drawing_png(digit)))).resize((side, side))
    page = np.full((400, 400), 240.0)
    part = page[at[0] : at[0] + side, at[1] : at[1] + side]
    part -= np.asarray(ink)[: part.shape[0], : part.shape[1]] * 0.8
    return page


def image_of_page(page: np.ndarray) -> np.ndarray:
    return prepare(np.rint(np.clip(page, 0, 255)).astype(np.uint8)[..., np.newaxis])


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return how similar two images are: 1 if equal, 0 without common ink.

    A shift by one pixel does not matter.
    """
    a, b = one.astype(float), other.astype(float)
    moved = [np.roll(b, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(float(np.minimum(a, m).sum() / np.maximum(a, m).sum()) for m in moved)


def boxed(page: np.ndarray) -> np.ndarray:
    for line in (30, 300):
        page[line : line + 3, 30:303] = page[30:303, line : line + 3] = 60
    return page


def squared(page: np.ndarray) -> np.ndarray:
    for line in range(20, 400, 50):
        page[line : line + 2] = np.minimum(page[line : line + 2], 140)
        page[:, line : line + 2] = np.minimum(page[:, line : line + 2], 140)
    return page


def shaded(page: np.ndarray) -> np.ndarray:
    return np.where(np.add.outer(np.arange(400), 2 * np.arange(400)) > 500, 0.5, 1.0) * page


def holed(page: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:400, :400]
    return np.where(np.hypot(x - 345, (y % 200) - 100) < 22, 20, page)


def circled(page: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:400, :400]
    return np.where(np.abs(np.hypot(x - 160, y - 160) - 115) < 4, 50, page)


def barred(page: np.ndarray) -> np.ndarray:
    """Add a narrow bar of shadow, as of a window frame, diagonally across the digit."""
    off = np.abs(np.subtract.outer(np.arange(400), np.arange(400)))
    return np.where(off < 25, 0.65, 1.0) * page


def striped(page: np.ndarray) -> np.ndarray:
    """Add the stripes of light that comes through a blind."""
    along = np.add.outer(np.arange(400), np.arange(400) // 2)
    return np.where(along // 30 % 2, 0.7, 1.0) * page


FURNITURE = {
    "box": boxed,
    "answer line": lambda page: np.where((np.arange(400) // 3 == 90)[:, np.newaxis], 50, page),
    "circle": circled,
    "grid": squared,
    "hard shadow": shaded,
    "bar of shadow": barred,
    "blind": striped,
    "holes": holed,
    "table at one side": lambda page: np.hstack((np.full((400, 90), 70.0), page)),
    "table all round": lambda page: np.pad(page, 60, constant_values=80),
    "large page": lambda page: np.pad(page, (1200, 1300), constant_values=240),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FURNITURE))
def test_what_is_on_the_paper_does_not_matter(name: str) -> None:
    for digit in range(10):
        alone = image_of_page(page_with(digit))
        found = image_of_page(FURNITURE[name](page_with(digit)))
        assert likeness(found, alone) > 0.65, (digit, likeness(found, alone))


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("shade", [0, 128, 255])
@pytest.mark.parametrize("width", [1, 3, 30])
def test_a_frame_at_the_edge_is_no_ink(width: int, shade: int, dark: bool) -> None:
    """A frame, as around a window or a cell of a form, is not ink, whatever its colour."""
    for digit in (0, 2, 5, 7):
        page = page_with(digit)[30:290, 30:290]
        alone = image_of_page(page)
        framed = np.pad(255 - page if dark else page, width, constant_values=shade)
        assert likeness(image_of_page(framed), alone) > 0.8, digit


@pytest.mark.parametrize("bars", ["0", "8"])
def test_a_digit_of_straight_bars_is_no_frame(bars: str) -> None:
    page = np.full((200, 140), 240.0)
    page[30:170, 30:110] = 30
    page[45:155, 45:95] = 240
    if bars == "8":
        page[93:107, 45:95] = 30
    for margin in (5, 30):
        cut = page[30 - margin : 170 + margin, 30 - margin : 110 + margin]
        rows = (image_of_page(cut) > 127).sum(1)
        assert (rows[[5, 22]] == 11).all()
        assert rows[14] == (11 if bars == "8" else 4)


def test_a_straight_1_is_no_frame() -> None:
    """A bar with a notch looks like a frame around the ink in the notch, but it is a 1."""
    page = np.full((200, 200), 240.0)
    page[50:150, 85:120] = 30
    page[90:98, 85:89] = 240
    (mark,) = marks(page.astype(np.uint8)[..., np.newaxis])
    assert mark.box[2] - mark.box[0] > 0.45


@pytest.mark.slow
@given(st.integers(0, 9), st.floats(0.55, 1.0), st.integers(0, 120), st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_light_size_margin_and_direction_do_not_matter(
    digit: int, light: float, margin: int, side: int
) -> None:
    page = page_with(digit)
    alone = image_of_page(page)
    assert likeness(image_of_page(255 - page), alone) > 0.93
    assert likeness(image_of_page(np.pad(page, margin, constant_values=240)), alone) > 0.7
    lamp = np.rot90(np.linspace(light, 1, 400)[:, np.newaxis] + np.zeros(400), side)
    assert likeness(image_of_page(page * lamp), alone) > 0.75
    small = Image.fromarray(page.astype(np.float32)).resize((200, 200), Image.Resampling.BOX)
    assert likeness(image_of_page(np.asarray(small)), alone) > 0.65


def around_ink(page: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of the page's ink, with `margin` pixels on each side."""
    rows, columns = np.flatnonzero((page < 140).any(1)), np.flatnonzero((page < 140).any(0))
    return (
        slice(rows[0] - margin, rows[-1] + 1 + margin),
        slice(columns[0] - margin, columns[-1] + 1 + margin),
    )


@pytest.mark.slow
@pytest.mark.parametrize("margin", [-2, 0, 1, 3, 8])
def test_tightly_cut_pictures(margin: int) -> None:
    """The edge of the picture touches or cuts the ink, as if software cut a digit out of a form."""
    for digit in (0, 2, 3, 4, 5, 6, 7, 8, 9):  # without 1, which would fill the picture
        page = page_with(digit)
        found = image_of_page(page[around_ink(page, margin)])
        assert likeness(found, image_of_page(page)) > 0.55, digit


@pytest.mark.slow
@pytest.mark.parametrize("seed", [8, 33, 34, 45, 46, 58])
def test_a_sheet_on_a_table(seed: int) -> None:
    """These sheets were once taken for light ink: narrow, turned, or on wood with strong grain."""
    rng, digit = np.random.default_rng(seed), seed % 10
    ink = strength_of(digit, rng, 10)
    found = prepare(read_picture(paper.KINDS["table all round"](rng, [(digit, ink)])))
    alone = image_of_page(240 - 200 * np.kron(np.pad(ink, 6), np.ones((6, 6))))
    assert likeness(found, alone) > 0.5


@pytest.mark.parametrize("width", range(1, 12, 2))
def test_a_light_strip_is_a_mark_of_its_own(width: int) -> None:
    """A light strip is a mark, although it is hardly wider than what is cut off a sheet's edge."""
    page = np.full((128, 40), 30.0)
    page[10:120, 15 : 15 + width] = 230
    assert image_of_page(page).any()


@pytest.mark.slow
def test_bold_light_digits_are_no_sheets_of_paper() -> None:
    for digit in range(10):
        page = page_with(digit, at=(100, 100))
        bold = np.asarray(Image.fromarray(page.astype(np.uint8)).filter(ImageFilter.MinFilter(9)))
        assert likeness(image_of_page(255 - bold), image_of_page(bold)) > 0.8, digit


@pytest.mark.slow
@pytest.mark.parametrize("digit", [1, 2, 6, 8])
def test_a_box_hardly_larger_than_its_digit(digit: int) -> None:
    """The horizontal sides of the box are shorter than the digit is high."""
    page = page_with(digit, side=300, at=(50, 50))
    alone = image_of_page(page)
    rows, columns = around_ink(page, 14)
    inside = page[rows, columns].copy()
    page[rows.start - 4 : rows.stop + 4, columns.start - 4 : columns.stop + 4] = 60
    page[rows, columns] = inside
    assert likeness(image_of_page(page), alone) > 0.75


def test_pencil_is_ink_and_noise_is_not() -> None:
    rng = np.random.default_rng(3)
    page = page_with(3)
    faint = 240 + (page - 240) * 0.1 + rng.normal(0, 2.5, page.shape)
    assert likeness(image_of_page(faint), image_of_page(page)) > 0.7


@pytest.mark.slow
def test_marks_are_separate_and_in_reading_order() -> None:
    page = np.full((500, 640), 240.0)
    for row, line in enumerate(((2, 0, 2, 6), (5, 7))):
        for column, digit in enumerate(line):
            top, left = 30 + 230 * row, 10 + 150 * column
            page[top : top + 150, left : left + 150] = page_with(digit, 150, (0, 0))[:150, :150]
    found = marks(page.astype(np.uint8)[..., np.newaxis])
    centres = [(m.box[0] + m.box[2], m.box[1] + m.box[3]) for m in found]
    assert len(found) == 6
    assert [round(y * 250 / 230 - 0.46) for y, _ in centres] == [0] * 4 + [1] * 2
    assert centres[:4] == sorted(centres[:4], key=lambda c: c[1])
    for mark, digit in zip(found, (2, 0, 2, 6, 5, 7), strict=True):
        assert likeness(image_of(mark), prepare(read_picture(drawing_png(digit)))) > 0.6


def test_a_zero_with_a_dot_in_it_is_one_mark() -> None:
    page = page_with(0)
    page[153:167, 153:167] = 50
    (mark,) = marks(page.astype(np.uint8)[..., np.newaxis])
    assert mark.box[2] - mark.box[0] > 0.3


@pytest.mark.slow
def test_digits_in_a_column_are_separate() -> None:
    """The gaps between the digits are narrower than the strokes of the pen."""
    for digit in range(10):
        page = np.full((420, 200), 240.0)
        inked = page_with(digit, 120, (0, 0))[:120, :120]
        inked = np.asarray(Image.fromarray(inked.astype(np.uint8)).filter(ImageFilter.MinFilter(5)))
        rows = np.flatnonzero((inked < 140).any(1))
        for k in range(3):
            top = 30 + k * (np.ptp(rows) + 17)
            part = page[top : top + 120, 40:160]
            part[:] = np.minimum(part, inked)
        assert len(marks(page.astype(np.uint8)[..., np.newaxis])) == 3, digit


@pytest.mark.slow
@pytest.mark.parametrize(("light", "dark"), [(200, 0.7), (200, 0.55), (230, 0.55)])
def test_a_strip_of_paper_on_a_table_in_uneven_light(light: int, dark: float) -> None:
    """One side of the table is lighter than the other, but much darker than the paper."""
    scene = np.full((290, 550), 70.0)
    scene[65:225, 60:490] = light
    for k, digit in enumerate((2, 3, 4)):
        part = scene[85:205, 90 + 130 * k : 210 + 130 * k]
        part[:] = np.minimum(part, page_with(digit, 120, (0, 0))[:120, :120])
    scene *= np.linspace(dark, 1, 290)[:, np.newaxis]
    assert len(marks(scene.astype(np.uint8)[..., np.newaxis])) == 3


@pytest.mark.slow
def test_a_broken_digit_is_one_mark() -> None:
    for digit in range(10):
        page = page_with(digit)
        page[150:153] = 240  # a scratch
        assert len(marks(page.astype(np.uint8)[..., np.newaxis])) == 1, digit
