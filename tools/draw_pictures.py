"""Draws every picture of the README and of docs/ into docs/pictures.

    python tools/draw_pictures.py                 # trains the three networks and draws all pictures
    python tools/draw_pictures.py --runs runs     # uses runs/lenet5, runs/mlp and runs/softmax

Networks that are not in the folder of runs are trained into it, which takes about half a minute.
The same runs and the same version of matplotlib give the same files, byte for byte. The numbers in
the pictures are measured: a picture of a network shows what its kernels compute for a test image.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import byhand
import numpy as np
from byhand.data import Dataset
from byhand.files.atomic import write_atomic
from byhand.models import Model
from byhand.nn import Conv2d, Linear
from byhand.pictures import encode, prepare
from byhand.pictures.drawings import drawing
from byhand.pictures.sheet import Card, Tile, sheet_png, thumbnail, tiles_png
from byhand.plots.curves import draw_curves
from byhand.plots.figure import figure_bytes, new_figure
from byhand.training import EpochEnd, Warp
from byhand.training.run_folder import RunFolder
from kernel_pictures import draw_pooling, draw_softmax_passes
from numpy.typing import NDArray
from PIL import Image
from svg import HEAT, INK, SIGNED, Drawing

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
NETWORKS = ("softmax", "mlp", "lenet5")

# Number of the test image that goes through the networks. It is a 5 that could be a 3, so that two
# of the ten probabilities can be seen.
EXAMPLE = 412


def _levels(values: NDArray[np.generic], top: float, count: int) -> NDArray[np.intp]:
    """Turn values from 0 to `top` into levels from 0 to count - 1."""
    scaled = np.clip(np.asarray(values, np.float64) / top, 0, 1)
    return np.rint(scaled * (count - 1)).astype(np.intp)


def _signed_levels(values: NDArray[np.generic]) -> NDArray[np.intp]:
    """Turn values around 0 into levels of SIGNED, whose middle is 0."""
    top = float(np.percentile(np.abs(np.asarray(values, np.float64)), 99.5))
    return _levels(np.asarray(values, np.float64) + top, 2 * top, len(SIGNED))


def _bright_levels(values: NDArray[np.generic]) -> NDArray[np.intp]:
    """Turn values from 0 on into levels of HEAT. The largest 1 % of them share the last level."""
    return _levels(values, float(np.percentile(np.asarray(values, np.float64), 99)), len(HEAT))


def _activations(model: Model, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the network's input and the output of each layer, without the batch axis."""
    x = image[np.newaxis, np.newaxis].astype(np.float32) * model.scale + model.offset
    outputs = [x[0]]
    for layer in model.eval().children:
        x = layer.forward(x)
        outputs.append(x[0])
    return outputs


def _grid(
    drawing: Drawing,
    maps: NDArray[np.float32],
    x: float,
    y: float,
    side: float,
    gap: float,
    across: int,
) -> None:
    """Draw feature maps (C, H, W), `across` in a row, all of them on the same scale."""
    levels = _bright_levels(maps)
    for i, plane in enumerate(levels):
        column, row = i % across, i // across
        step_x, step_y = plane.shape[1] * side + gap, plane.shape[0] * side + gap
        drawing.pixels(plane, HEAT, x + column * step_x, y + row * step_y, side)


def _draw_input(drawing: Drawing, image: NDArray[np.uint8], middle: float) -> None:
    drawing.bar(23, middle - 57, 114, 114, "frame")
    drawing.pixels(_levels(image, 255, len(INK)), INK, 24, middle - 56, 4)


def _answer(drawing: Drawing, probabilities: NDArray[np.float32], x: float, middle: float) -> None:
    """Draw the ten probabilities as bars."""
    best = int(probabilities.argmax())
    for digit, p in enumerate(probabilities.tolist()):
        y = middle - 90 + 18 * digit
        drawing.text(x, y + 13, str(digit), "bold" if digit == best else "", "start")
        drawing.bar(x + 16, y + 2, max(1.0, 76 * p), 13, "best" if digit == best else "rest")
        if p >= 0.005:
            drawing.text(x + 20 + 76 * p, y + 13, f"{100 * p:.0f} %", "faint", "start")


def _step(drawing: Drawing, x: float, middle: float, kernels: Sequence[str]) -> None:
    """Draw an arrow from x to x + 76, with the names of the kernels above it."""
    for i, name in enumerate(reversed(kernels)):
        drawing.text(x + 39, middle - 10 - 16 * i, name, "mono")
    drawing.line([(x, middle), (x + 76, middle)])


def draw_lenet5(model: Model, image: NDArray[np.uint8]) -> bytes:
    """Draw a test image on its way through LeNet-5, with the output of each group of layers."""
    a = _activations(model, image)
    middle, d = 132, Drawing(1000, 342, "A digit on its way through LeNet-5")
    _draw_input(d, image, middle)
    d.text(80, 252, "1 x 28 x 28")
    d.text(80, 269, "the image", "faint")
    _step(d, 144, middle, ("conv2d", "max_pool2d", "relu"))
    _grid(d, a[3], 230, middle - 97.5, 3, 3.5, 4)
    d.text(308, 252, "20 x 12 x 12")
    d.text(308, 269, "feature maps", "faint")
    _step(d, 396, middle, ("conv2d", "max_pool2d", "relu"))
    _grid(d, a[6], 482, middle - 98.5, 4, 4, 5)
    d.text(530, 252, "50 x 4 x 4")
    d.text(530, 269, "feature maps", "faint")
    _step(d, 588, middle, ("linear", "relu"))
    d.pixels(_bright_levels(a[9].reshape(16, 8)), HEAT, 674, middle - 96, 12)
    d.text(722, 252, "128")
    d.text(722, 269, "features", "faint")
    _step(d, 780, middle, ("linear", "softmax"))
    _answer(d, model.predict_proba(image[np.newaxis])[0], 868, middle)
    d.text(914, 252, "10")
    d.text(914, 269, "probabilities", "faint")
    d.line([(914, 284), (914, 306), (80, 306), (80, 284)])
    words = (
        "backward: the gradient of the loss goes back through every kernel and changes every weight"
    )
    d.text(497, 325, words, "faint")
    return d.svg()


def draw_mlp(model: Model, image: NDArray[np.uint8]) -> bytes:
    """Draw a test image on its way through the MLP, with the outputs of both hidden layers."""
    a = _activations(model, image)
    middle, d = 122, Drawing(740, 276, "A digit on its way through the MLP")
    _draw_input(d, image, middle)
    d.text(80, 236, "784")
    d.text(80, 253, "the pixels", "faint")
    for x, vector, shape in ((238, a[3], (16, 8)), (438, a[5], (16, 4))):
        _step(d, x - 90, middle, ("linear", "relu"))
        d.pixels(_bright_levels(vector.reshape(shape)), HEAT, x, middle - 96, 12)
        d.text(x + 6 * shape[1], 236, str(vector.size))
        d.text(x + 6 * shape[1], 253, "features", "faint")
    _step(d, 500, middle, ("linear", "softmax"))
    _answer(d, model.predict_proba(image[np.newaxis])[0], 600, middle)
    d.text(648, 236, "10")
    d.text(648, 253, "probabilities", "faint")
    return d.svg()


def draw_softmax(model: Model, image: NDArray[np.uint8]) -> bytes:
    """Draw softmax regression: the weights of each digit as a picture, and the probabilities."""
    layer = model.children[1]
    assert isinstance(layer, Linear)
    middle, d = 122, Drawing(850, 276, "Softmax regression: ten pictures of weights")
    _draw_input(d, image, middle)
    d.text(80, 236, "784")
    d.text(80, 253, "the pixels", "faint")
    _step(d, 148, middle, ("linear",))
    levels = _signed_levels(layer.weight.data).reshape(10, 28, 28)
    for digit, plane in enumerate(levels):
        x, y = 242 + 72 * (digit % 5), middle - 94 + 96 * (digit // 5)
        d.text(x + 31, y + 12, str(digit), "faint")
        d.pixels(plane, SIGNED, x, y + 18, 2.25)
    d.text(417, 236, "10 x 784")
    d.text(417, 253, "weights: red speaks for the digit, blue against it", "faint")
    _step(d, 612, middle, ("softmax",))
    _answer(d, model.predict_proba(image[np.newaxis])[0], 708, middle)
    d.text(756, 236, "10")
    d.text(756, 253, "probabilities", "faint")
    return d.svg()


def draw_filters(model: Model, image: NDArray[np.uint8]) -> bytes:
    """Draw the 20 filters of LeNet-5's first convolution, each beside its feature map."""
    layer = model.children[0]
    assert isinstance(layer, Conv2d)
    filters, maps = layer.weight.data[:, 0], np.maximum(_activations(model, image)[1], 0)
    signed, bright = [_signed_levels(weights) for weights in filters], _bright_levels(maps)
    d = Drawing(800, 452, "The 20 filters of LeNet-5's first convolution and their feature maps")
    for i, (weights, plane) in enumerate(zip(signed, bright, strict=True)):
        x, y = 24 + 154 * (i % 5), 24 + 92 * (i // 5)
        d.pixels(weights, SIGNED, x, y + 16, 8)
        d.pixels(plane, HEAT, x + 50, y, 3)
    d.text(
        24, 410, "left: a filter of 5 x 5 weights, red positive, blue negative", "faint", "start"
    )
    d.text(24, 430, "right: its convolution with the digit, 24 x 24, after relu", "faint", "start")
    return d.svg()


def draw_digits(model: Model, test: Dataset) -> bytes:
    """Draw the first ten test images, each above the predicted digit and its probability."""
    probabilities = model.predict_proba(test.images[:10])
    best = probabilities.argmax(axis=1)
    return tiles_png(
        [
            Tile(image, (f"{k}", f"{100 * p[k]:.2f} %"))
            for image, p, k in zip(test.images, probabilities, best, strict=False)
        ]
    )


def draw_sheet(model: Model) -> bytes:
    """Draw what `byhand predict --show` draws: pictures, prepared images and probabilities."""
    cards = []
    for digit in (1, 2, 3, 6, 8, 9):
        picture = drawing(digit)
        pixels = np.asarray(picture)
        image = prepare(pixels)
        probabilities = model.predict_proba(image[np.newaxis])[0]
        cards.append(Card(f"{digit}.png", thumbnail(pixels), image, probabilities))
    rows = [
        Image.open(io.BytesIO(sheet_png(cards[i : i + 2], model.class_names))) for i in (0, 2, 4)
    ]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    for i, row in enumerate(rows):
        sheet.paste(row, (0, i * row.height))
    return encode.png(sheet)


def draw_warped(test: Dataset) -> bytes:
    """Draw three test images. Each row is an image and seven distortions of it by `Warp()`."""
    side, rows, columns, gap = 28, 3, 8, 2
    sheet = np.full((rows * (side + gap) + gap, columns * (side + gap) + gap), 255, np.uint8)
    for row in range(rows):
        plain = np.repeat(test.images[row].reshape(1, 1, side, side), columns, axis=0)
        images, warped = plain.astype(np.float32), np.empty(plain.shape, np.float32)
        Warp().apply(images, np.arange(columns), warped, fill=0.0, seed=row, epoch=1)
        warped[0] = images[0]
        for column, image in enumerate(np.rint(warped[:, 0]).astype(np.uint8)):
            y, x = gap + row * (side + gap), gap + column * (side + gap)
            sheet[y : y + side, x : x + side] = image
    return encode.png(Image.fromarray(sheet).resize((sheet.shape[1] * 3, sheet.shape[0] * 3), 0))


def draw_learning(histories: Mapping[str, Sequence[EpochEnd]]) -> bytes:
    """Draw the cost and the error of the three networks, as `byhand plot` does."""
    figure = new_figure(9, 5)
    draw_curves(figure, histories)
    return figure_bytes(figure)


def _smaller(content: bytes, width: int, colours: int) -> bytes:
    """Return a PNG file of at most this width, with a palette, in a third of the bytes."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    if image.width > width:
        size = (width, round(image.height * width / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.quantize(colours, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return file.getvalue()


def _trained(runs: Path, name: str) -> RunFolder:
    folder = runs / name
    if not folder.exists():
        subprocess.run(
            [sys.executable, "-m", "byhand", "train", name, "--out", str(folder)], check=True
        )
    return RunFolder(folder)


def all_pictures(
    networks: Mapping[str, Model], histories: Mapping[str, Sequence[EpochEnd]], test: Dataset
) -> dict[str, bytes]:
    """Return the content of every file, by the name of the file."""
    image, lenet5 = test.images[EXAMPLE], networks["lenet5"]
    return {
        "lenet5.svg": draw_lenet5(lenet5, image),
        "mlp.svg": draw_mlp(networks["mlp"], image),
        "softmax.svg": draw_softmax(networks["softmax"], image),
        "filters.svg": draw_filters(lenet5, image),
        "pooling.svg": draw_pooling(),
        "softmax_passes.svg": draw_softmax_passes(),
        "digits.png": _smaller(draw_digits(lenet5, test), 980, 32),
        "warped.png": _smaller(draw_warped(test), 980, 32),
        "sheet.png": _smaller(draw_sheet(lenet5), 1200, 256),
        "curves.png": _smaller(draw_learning(histories), 1800, 32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs", type=Path, help="the folder of the runs; by default a temporary one"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder of the pictures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        runs = {name: _trained(arguments.runs or Path(temporary), name) for name in NETWORKS}
        networks = {name: byhand.load(run.path) for name, run in runs.items()}
        histories = {name: run.history() for name, run in runs.items()}
    pictures = all_pictures(networks, histories, byhand.data.mnist()[1])
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        write_atomic(arguments.out / name, content)
        print(f"{arguments.out / name}: {len(content) / 1000:.1f} kB")


if __name__ == "__main__":
    main()
