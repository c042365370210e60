"""Compare LeNet-5 with and without distorted training images on digits that MNIST hardly has.

python tools/european_digits.py

The script draws digits in four styles: the 1 with a long upstroke, the 7 with a bar, the 6 with a
flat top, and all digits with a thin pen. Each drawing differs in slant, angle, proportions and
width of the pen. byhand prepares the drawings as it prepares a user's pictures. docs/records.md has
the table that is printed.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import numpy as np
from byhand.data import mnist
from byhand.models import Model
from byhand.pictures import prepare
from byhand.training import Warp
from byhand.training.recipes import BEST
from PIL import Image, ImageDraw

Points = list[tuple[float, float]]

# The strokes of each digit, in a box that is 60 wide and 100 high.
# fmt: off
UPSTROKE_ONES: list[list[Points]] = [
    [[(4, 46), (20, 24), (40, 2), (40, 50), (40, 98)]],
    [[(10, 34), (40, 3), (38, 98)]],
    [[(2, 56), (38, 4), (37, 97)], [(20, 98), (56, 97)]],
]
BARRED_SEVENS: list[list[Points]] = [
    [[(4, 4), (30, 5), (57, 3), (44, 34), (33, 62), (25, 98)], [(18, 50), (52, 47)]],
    [[(3, 14), (5, 4), (56, 4), (40, 50), (30, 98)], [(14, 52), (54, 52)]],
]
FLAT_SIXES: list[list[Points]] = [
    [[(54, 4), (32, 4), (14, 20), (6, 50), (8, 80), (22, 96), (40, 96), (52, 82), (50, 64),
      (36, 54), (18, 60), (8, 76)]],
    [[(52, 3), (14, 4), (6, 48), (6, 76), (16, 94), (36, 97), (52, 84), (52, 62), (36, 52),
      (16, 56), (6, 68)]],
]
DIGITS: dict[int, list[Points]] = {
    0: [[(30, 2), (10, 18), (3, 50), (10, 84), (30, 98), (50, 82), (57, 50), (50, 16), (30, 2)]],
    1: [[(28, 4), (31, 2), (30, 98)]],
    2: [[(5, 24), (14, 6), (34, 2), (52, 14), (50, 38), (30, 66), (4, 96), (58, 96)]],
    3: [[(6, 10), (28, 2), (50, 14), (44, 38), (26, 47), (50, 60), (54, 80), (32, 98), (4, 88)]],
    4: [[(36, 2), (16, 40), (3, 64), (58, 62)], [(44, 38), (41, 98)]],
    5: [[(52, 3), (16, 4), (11, 44), (34, 40), (54, 58), (50, 86), (26, 98), (4, 88)]],
    6: [[(44, 2), (20, 26), (6, 58), (10, 86), (32, 98), (52, 82), (50, 62), (30, 54), (9, 70)]],
    7: [[(4, 5), (56, 4), (38, 48), (25, 98)]],
    8: [[(48, 14), (30, 2), (12, 16), (22, 38), (46, 56), (54, 80), (30, 98), (6, 80), (16, 56),
         (40, 40), (50, 20)]],
    9: [[(50, 20), (30, 3), (9, 18), (10, 40), (30, 49), (48, 36), (51, 16), (48, 98)]],
}
# fmt: on
# The name of a style, the digits of its drawings, their strokes, and the widths of the pen.
STYLES: list[tuple[str, list[tuple[int, list[Points]]], tuple[float, float]]] = [
    ("1 with a long upstroke", [(1, strokes) for strokes in UPSTROKE_ONES], (6, 14)),
    ("7 with a bar", [(7, strokes) for strokes in BARRED_SEVENS], (6, 14)),
    ("6 with a flat top", [(6, strokes) for strokes in FLAT_SIXES], (6, 14)),
    ("all digits, thin pen", list(DIGITS.items()), (1.5, 2.5)),
    ("all digits, usual pen", list(DIGITS.items()), (6, 14)),
]


def drawing(
    strokes: list[Points], pen: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Draw the strokes with a random slant, angle, width and pen.

    Returns
    -------
    ndarray, shape (200, 200, 1), uint8
        Black ink on white paper.
    """
    angle, shear = math.radians(rng.uniform(-12, 12)), rng.uniform(-0.1, 0.3)
    wide, high = rng.uniform(0.8, 1.3), rng.uniform(0.9, 1.1)
    width = rng.uniform(*pen)
    picture = Image.new("L", (800, 800), 255)  # drawn four times as large, for smooth edges
    draw = ImageDraw.Draw(picture)
    for points in strokes:
        placed = []
        for x, y in np.array(points) + rng.normal(0, 1.5, (len(points), 2)):
            x, y = (x - 30) * wide + (50 - y) * shear, (y - 50) * high
            placed.append(
                (
                    400 + 5 * (x * math.cos(angle) - y * math.sin(angle)),
                    400 + 5 * (x * math.sin(angle) + y * math.cos(angle)),
                )
            )
        draw.line(placed, 0, round(5 * width), joint="curve")
        for x, y in placed:
            r = 2.5 * width
            draw.ellipse((x - r, y - r, x + r, y + r), 0)
    return np.asarray(picture.resize((200, 200), Image.Resampling.BOX))[..., None]


def train(warp: Warp | None, seed: int) -> Model:
    """Train LeNet-5 by the best recipe, with distorted images if `warp` is given."""
    recipe = replace(BEST["lenet5"], augment=warp)
    part = mnist()[0]
    model = recipe.model(seed=seed)
    trainer = recipe.trainer(model, len(part), progress=False)
    trainer.fit(part, epochs=recipe.epochs, batch_size=recipe.batch_size, seed=seed)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--drawings", type=int, default=500, help="drawings of each style")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    sets: list[tuple[str, np.ndarray, np.ndarray]] = []
    for name, digits, pen in STYLES:
        chosen = [digits[i % len(digits)] for i in range(options.drawings)]
        images = [prepare(drawing(strokes, pen, rng)) for _, strokes in chosen]
        sets.append((name, np.stack(images), np.array([digit for digit, _ in chosen])))
    test = mnist()[1]
    sets.append(("MNIST's test images", test.images, test.labels))

    def shares(warp: Warp | None) -> list[float]:
        models = [train(warp, seed) for seed in range(options.seeds)]

        def right(images: np.ndarray, labels: np.ndarray) -> float:
            return 100 * float(np.mean([model.predict(images) == labels for model in models]))

        return [right(images, labels) for _, images, labels in sets]

    before, after = shares(None), shares(Warp())
    print("| drawings | shifted training images | distorted training images |")
    print("|---|---|---|")
    for (name, _, _), plain, warped in zip(sets, before, after, strict=True):
        print(f"| {name} | {plain:.1f} % | {warped:.1f} % |")


if __name__ == "__main__":
    main()
