"""The ten digits as a person draws them: polylines, with several strokes where a pen is lifted."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

Points = list[tuple[float, float]]

# The points (x, y) of each stroke, in a box that is 60 wide and 100 high.
# fmt: off
DIGITS: dict[int, list[Points]] = {
    0: [[(34, 2), (18, 6), (6, 24), (2, 50), (7, 78), (20, 96), (36, 98), (51, 84), (58, 56),
         (55, 26), (46, 8), (34, 2), (28, 4)]],
    1: [[(16, 22), (26, 12), (34, 1), (33, 30), (31, 64), (30, 99)]],
    2: [[(5, 22), (12, 7), (28, 1), (45, 5), (53, 20), (49, 38), (36, 58), (19, 78), (4, 96),
         (22, 94), (42, 95), (59, 97)]],
    3: [[(6, 10), (22, 1), (41, 3), (51, 16), (46, 34), (32, 45), (22, 47), (38, 49), (53, 60),
         (56, 77), (46, 93), (27, 99), (10, 95), (2, 86)]],
    4: [[(36, 2), (26, 22), (14, 42), (3, 62), (20, 63), (40, 61), (58, 60)],
        [(43, 36), (41, 60), (40, 98)]],
    5: [[(17, 5), (14, 24), (10, 45), (24, 39), (42, 42), (54, 55), (56, 73), (46, 90), (28, 98),
         (11, 95), (3, 86)], [(17, 5), (34, 4), (54, 2)]],
    6: [[(44, 1), (28, 14), (14, 34), (6, 58), (8, 80), (20, 95), (36, 98), (51, 88), (54, 72),
         (44, 58), (28, 56), (14, 64), (8, 76)]],
    7: [[(3, 5), (20, 6), (38, 4), (57, 3), (50, 22), (40, 46), (31, 70), (25, 98)]],
    8: [[(48, 12), (34, 2), (18, 5), (10, 18), (17, 33), (34, 45), (50, 60), (54, 78), (43, 94),
         (26, 98), (10, 90), (6, 74), (16, 58), (34, 44), (48, 30), (51, 16), (46, 9)]],
    9: [[(50, 18), (38, 4), (22, 3), (9, 14), (6, 32), (14, 46), (30, 49), (44, 40), (51, 22),
         (50, 12), (52, 40), (49, 70), (44, 98)]],
}
# fmt: on


def placed(digit: int, left: float, top: float, height: float) -> list[Points]:
    """Return the strokes of a digit at a place, in a height."""
    scale = height / 100
    return [[(left + scale * x, top + scale * y) for x, y in points] for points in DIGITS[digit]]


def ink_of(strokes: list[Points], pen: int = 12, height: int = 200, width: int = 300) -> np.ndarray:
    """Paint strokes on paper: 255 for full ink and 0 for paper."""
    picture = Image.new("L", (4 * width, 4 * height), 0)
    draw = ImageDraw.Draw(picture)
    for points in strokes:
        fine = [(4 * x, 4 * y) for x, y in points]
        draw.line(fine, 255, 4 * pen, joint="curve")
        for x, y in (fine[0], fine[-1]):
            draw.ellipse((x - 2 * pen, y - 2 * pen, x + 2 * pen, y + 2 * pen), 255)
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX))
