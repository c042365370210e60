"""Draws test digits into pictures like those that people have, and reads them with a model.

    python tools/pictures.py runs/NAME --count 100

Nothing is timed. The result is the share of pictures that the code of `byhand predict` reads
correctly, for each kind of picture. The kinds of this file show one digit that differs from MNIST's
images in some way. The kinds of paper.py show a digit on paper with something else.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Annotated

import numpy as np
import paper
import typer
from byhand.bench.options import DataOption, JsonOption
from byhand.data import Dataset, load_folder, mnist
from byhand.files.atomic import write_atomic
from byhand.models import Model
from byhand.pictures import PictureError, symbols_for
from byhand.pictures.encode import png
from byhand.training.run_folder import load
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Colour = tuple[int, int, int]

WHITE, BLACK = (255, 255, 255), (0, 0, 0)

# For each EXIF orientation, the operation that turns the picture as people see it into the stored
# pixels.
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ORIENTATION = 0x0112


@dataclass
class Scene:
    """The place and the surroundings of a digit in its picture.

    size : (height, width) of the picture in pixels.
    digit : side of the digit's 28 x 28 image in the picture, in pixels.
    place : position of that image, from (0, 0) at the top left to (1, 1) at the bottom right.
    ink, paper : colours (red, green, blue).
    transparent : whether the picture has ink and transparency, but no paper.
    fading : how much darker the darkest part of the paper is, from 0 (not at all) to 1 (black).
    direction : angle of the direction towards that part, in radians.
    noise : standard deviation in grey levels.
    orientation : EXIF orientation, 1 to 8.
    jpeg : quality of the JPEG file; None gives a PNG file.
    """

    size: tuple[int, int] = (112, 112)
    digit: int = 112
    place: tuple[float, float] = (0.5, 0.5)
    ink: Colour = BLACK
    paper: Colour = WHITE
    transparent: bool = False
    fading: float = 0.0
    direction: float = 0.0
    noise: float = 0.0
    orientation: int = 1
    jpeg: int | None = None


def encoded(digit: Pixels, scene: Scene, rng: np.random.Generator) -> bytes:
    """Return a picture file of a digit, shape (28, 28), whose ink is light on a background of 0."""
    height, width = scene.size
    strength = np.zeros((height, width), np.float32)
    side = scene.digit
    ink = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    top, left = (round(p * (room - side)) for p, room in zip(scene.place, scene.size, strict=True))
    strength[top : top + side, left : left + side] = np.asarray(ink) / np.float32(255)
    if scene.transparent:
        alpha = np.rint(strength * 255).astype(np.uint8)
        colour = np.broadcast_to(np.array(scene.ink, np.uint8), (height, width, 3))
        image = Image.fromarray(np.dstack((colour, alpha)))
    else:
        image = Image.fromarray(_on_paper(strength, scene, rng))
    exif = Image.Exif()
    if scene.orientation != 1:
        exif[_ORIENTATION] = scene.orientation
        image = image.transpose(_STORED[scene.orientation])
    file = io.BytesIO()
    if scene.jpeg is None:
        image.save(file, "PNG", exif=exif, compress_level=1)
    else:
        image.save(file, "JPEG", exif=exif, quality=scene.jpeg)
    return file.getvalue()


def _on_paper(strength: Floats, scene: Scene, rng: np.random.Generator) -> Pixels:
    height, width = scene.size
    ink, paper = np.array(scene.ink, np.float32), np.array(scene.paper, np.float32)
    if (ink == ink[0]).all() and (paper == paper[0]).all() and not scene.noise:
        ink, paper = ink[:1], paper[:1]
    pixels = paper + (ink - paper) * strength[..., np.newaxis]
    if scene.fading:
        y, x = np.linspace(-1, 1, height)[:, np.newaxis], np.linspace(-1, 1, width)
        along = x * math.cos(scene.direction) + y * math.sin(scene.direction)
        # A lamp is at one side, and the corners are darker than the middle.
        dark = 0.75 * (along + math.sqrt(2)) / math.sqrt(8) + (x**2 + y**2) / 8
        pixels *= (1 - scene.fading * dark)[..., np.newaxis].astype(np.float32)
    if scene.noise:
        pixels += np.float32(scene.noise) * rng.standard_normal(pixels.shape, np.float32)
    rounded: Pixels = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
    return rounded[..., 0] if len(ink) == 1 else rounded


# --------------------------------------------------------------------------------------------------
# Kinds of pictures that differ from MNIST's images

Kind = Callable[[np.random.Generator], Scene]


def _dark_on_light(rng: np.random.Generator) -> Scene:
    return Scene()


def _colour(rng: np.random.Generator) -> Scene:
    """Two clearly different colours, which may have the same brightness."""
    while True:
        ink, paper = rng.integers(0, 256, (2, 3))
        if np.linalg.norm(ink - paper) >= 100:
            return Scene(ink=_rgb(ink), paper=_rgb(paper))


def _transparent(rng: np.random.Generator) -> Scene:
    return Scene(transparent=True, ink=_rgb(rng.integers(0, 256, 3)))


def _off_centre(rng: np.random.Generator) -> Scene:
    """A digit of 40 to 80 pixels anywhere in a picture of twice to five times its size."""
    side = int(rng.integers(40, 81))
    size = rng.integers(2 * side, 5 * side, 2)
    return Scene(size=(int(size[0]), int(size[1])), digit=side, place=(rng.random(), rng.random()))


def _turned(rng: np.random.Generator) -> Scene:
    """A picture that is stored turned or mirrored, with the EXIF orientation that says how."""
    return Scene(orientation=int(rng.integers(2, 9)), jpeg=90 if rng.random() < 0.5 else None)


def _fading(rng: np.random.Generator) -> Scene:
    """Paper in bad light: its dark side is darker than thin ink on its light side."""
    return Scene(
        ink=_grey(rng, 20, 70),
        paper=_grey(rng, 220, 255),
        fading=rng.uniform(0.3, 0.7),
        direction=rng.uniform(0, 2 * math.pi),
        size=(160, 160),
        digit=112,
    )


def _noise(rng: np.random.Generator) -> Scene:
    side = int(rng.integers(56, 225))
    return Scene((side, side), side, ink=_grey(rng, 0, 60), noise=rng.uniform(10, 40))


def _sizes(rng: np.random.Generator) -> Scene:
    """Sides of 20 to 2000 pixels, drawn uniformly on a logarithmic scale."""
    side = round(20 * 100 ** rng.random())
    return Scene((side, side), side)


def _jpeg(rng: np.random.Generator) -> Scene:
    side = int(rng.integers(40, 301))
    return Scene((side, side), side, jpeg=int(rng.integers(10, 91)))


def _photograph(rng: np.random.Generator) -> Scene:
    """Coloured ink on tinted paper in uneven light, off centre, with noise, as a JPEG."""
    side = int(rng.integers(60, 301))
    size = (side * rng.uniform(1.2, 3, 2)).astype(int)
    paper = rng.integers(190, 256, 3)
    return Scene(
        size=(int(size[0]), int(size[1])),
        digit=side,
        place=(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)),
        ink=_rgb(paper * rng.uniform(0.05, 0.55, 3)),
        paper=_rgb(paper),
        fading=rng.uniform(0.1, 0.5),
        direction=rng.uniform(0, 2 * math.pi),
        noise=rng.uniform(2, 10),
        orientation=int(rng.integers(1, 9)),
        jpeg=int(rng.integers(40, 96)),
    )


KINDS: dict[str, Kind] = {
    "dark on light": _dark_on_light,
    "two colours": _colour,
    "transparent": _transparent,
    "off centre": _off_centre,
    "turned by EXIF": _turned,
    "paper in bad light": _fading,
    "noise": _noise,
    "20 to 2000 px": _sizes,
    "JPEG": _jpeg,
    "photograph": _photograph,
}


def _rgb(values: NDArray[np.floating] | NDArray[np.integer]) -> Colour:
    red, green, blue = (int(v) for v in values)
    return red, green, blue


def _grey(rng: np.random.Generator, low: int, high: int) -> Colour:
    value = int(rng.integers(low, high + 1))
    return value, value, value


def pictures(images: Pixels, kind: str, seed: int) -> Iterator[bytes]:
    """Yield a picture file of each image, shape (28, 28). The same seed gives the same files."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    for image in images:
        yield encoded(image, KINDS[kind](rng), rng)


# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """The results for one kind.

    right : share of the pictures that were read correctly.
    several : share of the pictures in which several marks (separate symbols) were found.
    wrong : the files that were read wrongly, each with its true digits and those that were read.
    """

    right: float
    several: float
    wrong: list[tuple[bytes, str, str]]


def measured(
    model: Model, test: Dataset, count: int, seed: int, kinds: Sequence[str] | None = None
) -> Iterator[tuple[str, Found]]:
    """Read `count` pictures of each kind, and yield the kind and its results.

    `seed` chooses the digits and the paper. A file that is refused counts as read wrongly. A
    picture of several marks is read as `--split` reads it, and all its digits must be correct.
    Different kinds use different digits if the test set is large enough.
    """
    order = np.random.default_rng(seed).permutation(len(test))
    for number, kind in enumerate([*KINDS, *paper.KINDS, paper.SEVERAL]):
        if kinds is not None and kind not in kinds:
            continue
        rng = np.random.default_rng([seed, number])
        index = np.take(order, range(number * count, (number + 1) * count), mode="wrap")
        files: Iterator[tuple[bytes, str]]
        if kind in KINDS:
            labels = (str(label) for label in test.labels[index])
            files = zip(pictures(test.images[index], kind, seed), labels, strict=True)
        else:
            more = rng.integers(1, 5, count) if kind == paper.SEVERAL else np.zeros(count, int)
            lots = [
                np.r_[i, rng.integers(0, len(test), m)] for i, m in zip(index, more, strict=True)
            ]
            files = (paper.page(rng, kind, test.images[i], test.labels[i]) for i in lots)
        several, wrong = 0, []
        for content, truth in files:
            read = "refused"
            with contextlib.suppress(PictureError):
                found = symbols_for(model, content, "digits")
                several += len(found.images) > 1
                images = found.images if kind == paper.SEVERAL else [found.images[found.main]]
                read = "".join(str(digit) for digit in model.predict(np.stack(images)))
            if read != truth:
                wrong.append((content, truth, read))
        yield kind, Found(1 - len(wrong) / count, several / count, wrong)


def wrong_png(found: dict[str, Found]) -> bytes:
    """Draw ten of the pictures of each kind that were read wrongly, with the answers."""
    side, across = 150, 10
    rows = {kind: f.wrong[:across] for kind, f in found.items() if f.wrong}
    sheet = Image.new("RGB", (across * side, max(1, len(rows)) * (side + 30)), (70, 70, 70))
    draw = ImageDraw.Draw(sheet)
    for row, (kind, wrong) in enumerate(rows.items()):
        y = row * (side + 30)
        draw.text((4, y), kind, (255, 255, 255))
        for column, (content, truth, read) in enumerate(wrong):
            image = Image.open(io.BytesIO(content)).convert("RGB")
            image.thumbnail((side - 6, side - 6))
            draw.text((column * side + 4, y + 13), f"{truth} read as {read}", (255, 230, 90))
            sheet.paste(image, (column * side + 3, y + 28))
    return png(sheet)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run folder or a .safetensors file.")
    ],
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures of each kind.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of digits and paper.")] = 0,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only this kind; may be given several times."),
    ] = None,
    wrong: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw pictures that were read wrongly into this PNG file."
        ),
    ] = None,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Measure the share of pictures of handwriting that `byhand predict` reads correctly."""
    known = [*KINDS, *paper.KINDS, paper.SEVERAL]
    if unknown := set(kind or ()) - set(known):
        raise typer.BadParameter(
            f"{sorted(unknown)[0]!r} is not one of {', '.join(known)}", param_hint="--kind"
        )
    network = load(model)
    _, test = mnist() if data is None else load_folder(data)
    found: dict[str, Found] = {}
    typer.echo(f"{'':22} {'correct':>8}  {'several marks found':>26}")
    for name, one in measured(network, test, count, seed, kind or None):
        found[name] = one
        typer.echo(f"{name:22} {100 * one.right:6.1f} %  {100 * one.several:24.1f} %")
    mean = sum(one.right for one in found.values()) / len(found)
    total = count * len(found)
    typer.echo(f"{'all':22} {100 * mean:6.1f} %  of {total:,} pictures, seed {seed}")
    if wrong is not None:
        write_atomic(wrong, wrong_png(found))
    if json is not None:
        result = {
            "pictures": total,
            "seed": seed,
            "mean": mean,
            "accuracy": {name: one.right for name, one in found.items()},
            "several": {name: one.several for name, one in found.items()},
        }
        write_atomic(json, dumps(result, indent=2).encode())


if __name__ == "__main__":
    app()
