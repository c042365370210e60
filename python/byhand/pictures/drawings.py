"""Draw the ten digits stroke by stroke, as an unsteady hand would.

The drawings are examples for `byhand predict`. A check of `byhand reproduce` reads them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .encode import png

Points = tuple[tuple[float, float], ...]

# The strokes of each digit. A stroke is a list of points (x, y) in a box of 100 x 140. A smooth
# curve joins the points if the stroke is curved. Straight lines join them if it is straight.
# fmt: off
_CURVED, _STRAIGHT = True, False
_STROKES: dict[int, tuple[tuple[bool, Points], ...]] = {
    0: ((_CURVED, ((55, 6), (22, 28), (10, 75), (28, 125), (62, 132), (88, 95), (86, 40),
                   (48, 8))),),
    1: ((_STRAIGHT, ((30, 40), (56, 8), (52, 134))),),
    2: ((_CURVED, ((12, 36), (32, 8), (70, 10), (82, 42), (52, 88), (12, 130))),
        (_STRAIGHT, ((12, 130), (94, 128)))),
    3: ((_CURVED, ((16, 20), (48, 6), (80, 26), (70, 54), (42, 66))),
        (_CURVED, ((42, 66), (80, 78), (84, 112), (50, 134), (12, 120)))),
    4: ((_STRAIGHT, ((46, 8), (12, 86), (92, 82))), (_STRAIGHT, ((70, 44), (66, 136)))),
    5: ((_STRAIGHT, ((82, 10), (28, 12), (22, 62))),
        (_CURVED, ((22, 62), (58, 54), (86, 82), (74, 122), (38, 134), (12, 118)))),
    6: ((_CURVED, ((72, 6), (36, 36), (16, 88), (28, 128), (62, 132), (80, 104), (62, 78),
                   (24, 94))),),
    7: ((_STRAIGHT, ((12, 14), (88, 10), (46, 134))), (_STRAIGHT, ((38, 72), (84, 68)))),
    8: ((_CURVED, ((80, 22), (48, 6), (24, 28), (46, 60), (76, 90), (68, 128), (32, 130), (20, 98),
                   (52, 62), (78, 36), (76, 20))),),
    9: ((_CURVED, ((80, 34), (52, 8), (20, 28), (26, 62), (62, 62), (80, 30))),
        (_CURVED, ((80, 30), (78, 84), (62, 134)))),
}
# fmt: on

# For each digit: the colours of the ink and of the paper, the width of the pen and the side of the
# picture in pixels. They imitate a crayon, a felt pen, chalk, a drawing program with a pen of one
# pixel, and so on.
_LOOKS = (
    ((20, 20, 20), (255, 255, 255), 9, 200),
    ((30, 60, 200), (250, 246, 230), 14, 320),
    ((255, 255, 255), (20, 70, 45), 10, 240),
    ((200, 30, 40), (255, 255, 255), 1, 180),
    ((90, 40, 130), (255, 230, 120), 18, 300),
    ((0, 0, 0), (190, 190, 190), 3, 150),
    ((240, 140, 20), (255, 255, 255), 22, 400),
    ((40, 40, 60), (235, 235, 240), 5, 260),
    ((0, 130, 60), (255, 240, 245), 12, 220),
    ((255, 230, 60), (40, 40, 110), 8, 640),
)


# A digit is drawn larger by this factor, and the drawing is then scaled down by averaging. This
# makes its edges smooth.
_FINE = 4


def drawing(digit: int, seed: int = 0) -> Image.Image:
    """Draw a digit with an unsteady hand.

    Parameters
    ----------
    digit : int
        The digit, 0 to 9. It also chooses the colours, the pen and the size of the picture.
    seed : int
        The seed of the random shape, size and position.

    Returns
    -------
    PIL.Image.Image
        A square picture in the mode RGB.
    """
    ink, paper, pen, side = _LOOKS[digit]
    rng = np.random.default_rng([seed, digit])
    image = Image.new("RGB", (side * _FINE, side * _FINE), paper)
    scale = rng.uniform(0.45, 0.6) * side * _FINE / 140
    corner = rng.uniform(0.1, 0.35, 2) * side * _FINE
    _draw(image, digit, rng, scale, corner, max(pen * _FINE, 1), ink)
    return image.resize((side, side), Image.Resampling.BOX)


def strength_of(digit: int, rng: np.random.Generator, pen: float) -> NDArray[np.float32]:
    """Draw a digit and return how much ink it has at each pixel.

    Parameters
    ----------
    digit : int
        The digit, 0 to 9.
    rng : numpy.random.Generator
        The source of the random tilt and shape.
    pen : float
        The width of the pen in pixels. The digit is about 130 pixels tall.

    Returns
    -------
    ndarray, shape (160, 160), float32
        The amount of ink, from 0 (none) to 1 (full).
    """
    side = 160
    image = Image.new("L", (side * _FINE, side * _FINE))
    corner = np.array((30.0, 10.0)) * _FINE
    _draw(image, digit, rng, _FINE, corner, round(pen * _FINE), 255)
    shrunk = image.resize((side, side), Image.Resampling.BOX)
    return np.asarray(np.asarray(shrunk) / 255, np.float32)


def _draw(
    image: Image.Image,
    digit: int,
    rng: np.random.Generator,
    scale: float,
    corner: NDArray[np.float64],
    width: int,
    ink: tuple[int, int, int] | int,
) -> None:
    """Draw the digit's strokes with round ends, tilted and shaken at random by `rng`."""
    draw = ImageDraw.Draw(image)
    tilt = rng.uniform(-0.12, 0.12)
    for curved, points in _STROKES[digit]:
        line = np.array(points) + rng.normal(0, 1.2, (len(points), 2))
        line = _curve(line) if curved else line
        line = np.stack((line[:, 0] - tilt * (line[:, 1] - 70), line[:, 1]), axis=1)
        path = [(float(x), float(y)) for x, y in line * scale + corner]
        draw.line(path, fill=ink, width=width, joint="curve")
        for x, y in (path[0], path[-1]):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=ink)


def drawing_png(digit: int, seed: int = 0) -> bytes:
    """Draw a digit as a PNG file.

    Parameters
    ----------
    digit : int
        The digit, 0 to 9.
    seed : int
        The seed of the random shape, size and position.

    Returns
    -------
    bytes
        The content of the file that holds `drawing(digit, seed)`.
    """
    return png(drawing(digit, seed))


def _curve(points: NDArray[np.float64], steps: int = 16) -> NDArray[np.float64]:
    """Return points on the Catmull-Rom spline through `points`, `steps` per given point."""
    p = np.concatenate((points[:1], points, points[-1:]))
    t = np.linspace(0, 1, steps, endpoint=False)[:, np.newaxis]
    parts = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate((*parts, points[-1:]))
