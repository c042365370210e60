"""The web application of `byhand demo`: its answers, its refusals, and the explained numbers."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.demo.application import MOST_BYTES
from byhand.demo.reading import MOST_SYMBOLS
from byhand.demo.trace import trace
from byhand.models import Model, lenet5, mlp
from byhand.nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
)
from byhand.pictures import symbols_for, symbols_of_drawing
from byhand.pictures.drawings import drawing
from byhand.pictures.drawn import drawn_marks
from demo_client import HOST, Client, unpacked
from PIL import Image
from strokes import ink_of, placed
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser

PAGE = Path(str(files("byhand.demo"))) / "page"


SEVEN = placed(7, 100, 40, 110)
ROW = [*SEVEN, *placed(1, 200, 50, 100)]


def png(picture: Image.Image) -> bytes:
    picture.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(lenet5())


def test_a_drawing(client: Client) -> None:
    """The page shows what `symbols_of_drawing` finds and what the model says about it."""
    ink = ink_of(ROW)
    model = lenet5()
    expected = symbols_of_drawing(model, ink)
    answer = client.draw(ink)
    assert answer["main"] == expected.main == 0 and answer["is_stroke"]
    for symbol, image, box in zip(answer["symbols"], expected.images, expected.boxes, strict=True):
        assert np.array_equal(unpacked(symbol["image"]), image)
        assert symbol["box"] == list(box)
        probabilities = model.predict_proba(image[np.newaxis])[0]
        assert np.allclose(symbol["probabilities"], probabilities, atol=1e-6)
        assert symbol["answer"] == str(np.argmax(symbol["probabilities"]))
        top, left, bottom, right = box
        shown = unpacked(symbol["ink"])
        assert shown.shape == (round(200 * (bottom - top)), round(300 * (right - left)))
        assert shown.max() == 255


@pytest.mark.parametrize("corner", [(0, 0), (1, 1)])
def test_the_place_of_a_drawing_does_not_matter(corner: tuple[int, int]) -> None:
    """Ink at the edges of the canvas is read, too. In a photograph, it may be a shadow."""
    ink = ink_of(SEVEN)
    rows, columns = np.nonzero(ink)
    free = [(-rows.min(), 199 - rows.max()), (-columns.min(), 299 - columns.max())]
    moved = np.roll(ink, [each[side] for each, side in zip(free, corner, strict=True)], (0, 1))
    (image,), (moved_image,) = (symbols_of_drawing(lenet5(), each).images for each in (ink, moved))
    assert np.array_equal(image, moved_image)


@pytest.mark.parametrize("digit", [4, 5])
def test_a_drawing_is_prepared_as_its_picture(digit: int) -> None:
    """`byhand predict` gets the same image from a picture of the drawing, but for rounding."""
    ink = ink_of(placed(digit, 90, 30, 130))
    (image,) = symbols_of_drawing(lenet5(), ink).images
    (from_file,) = symbols_for(lenet5(), Image.fromarray(255 - ink)).images
    assert np.abs(image.astype(int) - from_file).max() <= 2


def test_a_picture(client: Client) -> None:
    content = png(drawing(5))
    answer = client.post("/api/picture", content).json()
    (symbol,) = answer["symbols"]
    assert np.array_equal(unpacked(symbol["image"]), symbols_for(lenet5(), content).images[0])
    shown = unpacked(answer["picture"])
    assert shown.shape[2] in (1, 3) and max(shown.shape) <= 320


def test_a_model_that_takes_pictures_as_they_are() -> None:
    client = Client(mlp(input_shape=(3, 8, 8)))
    assert client.get("/api/model").json()["preparation"] == "plain"
    ink = ink_of(SEVEN)
    for light, corner in ((0, 255), (1, 0)):
        (symbol,) = client.draw(ink, light)["symbols"]
        image = unpacked(symbol["image"])
        assert image.shape == (3, 8, 8) and image[0, 0, 0] == corner and symbol["ink"] is None


def test_a_model_of_one_output() -> None:
    client = Client(Model(Flatten(), Linear(784, 1, rng=0)))
    (symbol,) = client.draw(ink_of(SEVEN))["symbols"]
    assert symbol["answer"] == str(round(symbol["number"])) and "probabilities" not in symbol


def test_the_feature_maps_are_those_of_the_layers(client: Client) -> None:
    model = lenet5()
    image = symbols_of_drawing(model, ink_of(SEVEN)).images[0]
    stages = client.post("/api/maps", image.tobytes()).json()["stages"]
    x = image[np.newaxis, np.newaxis].astype(np.float32) * np.float32(1 / 127.5) - 1
    shapes = []
    for stage, start in zip(stages, (0, 3), strict=True):
        x = model[start](x)
        assert np.allclose(unpacked(stage["output"]), x[0], atol=1e-5)
        x = model[start + 2](model[start + 1](x))
        assert np.allclose(unpacked(stage["after"]), x[0], atol=1e-5)
        shapes.append((stage["output"]["shape"], stage["after"]["shape"]))
    assert shapes == [([20, 24, 24], [20, 12, 12]), ([50, 8, 8], [50, 4, 4])]


class Doubled(Linear):
    """A user's own layer."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return 2 * super().forward(x)


NETWORKS = {
    "nested": lambda: Sequential(Sequential(Conv2d(1, 3, 3, rng=0), Tanh()), Dropout(0.5)),
    "residual": lambda: Residual(Conv2d(1, 1, 3, padding=1, rng=0), ReLU()),
    "norm": lambda: Sequential(Conv2d(1, 3, 3, bias=False, rng=0), BatchNorm2d(3), Sigmoid()),
    "global": lambda: Sequential(Conv2d(1, 3, 5, groups=1, rng=0), GlobalAvgPool2d()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layer_by_layer_is_the_same_as_predict(name: str, rng: np.random.Generator) -> None:
    """Every kind of network is entered, and its last output is that of the model."""
    network = NETWORKS[name]()
    features = int(np.prod(network.output_shape((1, 12, 12))))
    model = Model(network, Flatten(), Doubled(features, 10, rng=1), input_shape=(1, 12, 12))
    image = rng.integers(0, 256, (12, 12), np.uint8)
    steps = trace(model.eval(), image)
    assert np.array_equal(steps[-1].y, model.outputs(image[np.newaxis])[0])
    assert any(type(step.layer) is Conv2d for step in steps)


def test_a_model_without_convolutions(rng: np.random.Generator) -> None:
    client = Client(mlp((4,)))
    assert client.get("/api/model").json()["stages"] == []
    image = bytes(784)
    assert client.post("/api/maps", image).json() == {"stages": []}
    refused = client.post("/api/explain?stage=0&channel=0&row=0&column=0", image)
    assert refused.status == 400 and "0 convolutions" in refused.json()["error"]


# --------------------------------------------------------------------------------------------------
# The explained numbers


def random_network(rng: np.random.Generator) -> Model:
    """Two convolutions of random geometry, with random layers after the first one."""

    def pair(most: int) -> tuple[int, int]:
        return int(rng.integers(1, most + 1)), int(rng.integers(1, most + 1))

    def padding() -> Any:
        return tuple(tuple(int(p) for p in rng.integers(0, 3, 2)) for _ in range(2))

    groups = int(rng.integers(1, 3))
    first = Conv2d(2, 4, pair(4), pair(2), padding(), pair(2), groups, bool(rng.integers(2)))

    def pool() -> tuple[Any, ...]:  # every window sees a part of its input
        size = pair(3)
        return size, pair(3), tuple(int(rng.integers(0, side // 2 + 1)) for side in size)

    pools = [
        lambda: MaxPool2d(*pool(), ceil_mode=bool(rng.integers(2))),
        lambda: AvgPool2d(*pool()),
    ]
    after = [ReLU, Tanh, Sigmoid, lambda: BatchNorm2d(4), *pools]
    layers = [after[i]() for i in rng.permutation(len(after))[:3]]
    second = Conv2d(4, 3, pair(3), pair(2), padding(), 1, 1, True)
    network = Sequential(first, *layers, second)
    features = int(np.prod(network.output_shape((2, 14, 13))))
    return Model(network, Flatten(), Linear(features, 3), input_shape=(2, 14, 13))


def geometric(network_seed: int) -> tuple[Model, np.ndarray] | None:
    rng = np.random.default_rng(network_seed)
    try:
        model = random_network(rng)
    except ValueError:  # a window is larger than its input
        return None
    return model, rng.integers(0, 256, (2, 14, 13), np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_the_products_sum_to_the_value(seed: int, rng: np.random.Generator) -> None:
    """At random positions of random networks, each explained step leads to the next number."""
    found = geometric(seed)
    if found is None:
        return
    model, image = found
    client = Client(model)
    stages = client.post("/api/maps", image.tobytes()).json()["stages"]
    for number, stage in enumerate(stages):
        output = unpacked(stage["output"])
        for position in zip(*(rng.integers(0, size, 6) for size in output.shape), strict=True):
            channel, row, column = position
            address = f"stage={number}&channel={channel}&row={row}&column={column}"
            explained = client.post(f"/api/explain?{address}", image.tobytes()).json()
            assert explained["value"] == output[position]
            check(explained)


def check(explained: dict[str, Any]) -> None:
    patch, weight = np.array(explained["patch"]), np.array(explained["filter"])
    products = np.array(explained["products"])
    assert np.allclose(patch * weight, products, rtol=1e-6, atol=1e-9)
    assert np.allclose(products.sum(axis=(1, 2)), explained["channel_sums"])
    assert np.isclose(products.sum() + explained["bias"], explained["total"])
    # 32 products of float32, in any order
    assert (
        abs(explained["total"] - explained["value"]) <= 64 * 2**-24 * np.abs(products).sum() + 1e-6
    )
    _check_patch(explained)
    value = explained["value"]
    for step in explained["after"]:
        if step["kind"] == "unused":
            assert step is explained["after"][-1]
            return
        assert step["input"] == value
        value = step["value"]
        assert np.isclose(value, FORMULAS[step["kind"]](step), atol=1e-5), step


def _check_patch(explained: dict[str, Any]) -> None:
    """The patch is what lies at its place in the input, and zero in the padding."""
    planes, patch = unpacked(explained["input"]), np.array(explained["patch"])
    for (channel, i, j), value in np.ndenumerate(patch):
        y = explained["top"] + i * explained["spacing"][0]
        x = explained["left"] + j * explained["spacing"][1]
        inside = 0 <= y < planes.shape[1] and 0 <= x < planes.shape[2]
        assert value == (planes[channel, y, x] if inside else 0)


def _pooled(step: dict[str, Any]) -> tuple[list[float], float]:
    values = [v for line in step["window"] for v in line if v is not None]
    i, j = step["chosen"]
    assert step["window"][i][j] == step["input"]
    return values, max(values)


def _largest(step: dict[str, Any]) -> float:
    _, largest = _pooled(step)
    assert not step["is_largest"] or step["input"] == largest
    return largest


def _mean(step: dict[str, Any]) -> float:
    """The padding may count as zeros, up to the end of the window in the padded input."""
    values, _ = _pooled(step)
    counts = range(len(values), sum(map(len, step["window"])) + 1)
    return min((sum(values) / n for n in counts), key=lambda mean: abs(mean - step["value"]))


def _normalized(step: dict[str, Any]) -> float:
    spread = (step["running_var"] + step["eps"]) ** 0.5
    return (step["input"] - step["running_mean"]) / spread * step["weight"] + step["bias"]


FORMULAS = {
    "relu": lambda step: max(0.0, step["input"]),
    "tanh": lambda step: np.tanh(step["input"]),
    "sigmoid": lambda step: 1 / (1 + np.exp(-step["input"])),
    "max": _largest,
    "mean": _mean,
    "norm": _normalized,
}


def test_a_number_that_is_not_finite() -> None:
    """JSON has no such numbers."""
    model = Model(Conv2d(1, 1, 1), Flatten(), Linear(4, 2), input_shape=(1, 2, 2))
    model[0].weight.data[...] = np.inf
    address = "/api/explain?stage=0&channel=0&row=1&column=0"
    explained = Client(model).post(address, bytes([0, 0, 255, 0])).json()
    assert explained["value"] is None and np.allclose(explained["patch"], 1)


def test_the_random_networks_are_different() -> None:
    """Most seeds make a network, and every kind of layer follows a convolution somewhere."""
    found = [each[0] for each in map(geometric, range(12)) if each is not None]
    assert len(found) >= 9
    kinds = {type(layer) for model in found for layer in model.modules()}
    assert {MaxPool2d, AvgPool2d, BatchNorm2d, ReLU, Tanh, Sigmoid} <= kinds


# --------------------------------------------------------------------------------------------------
# Refusals

IMAGE = bytes(784)
BAD = [
    ("/api/drawing?height=2&width=2", b"123", "must have height * width = 4 bytes"),
    ("/api/drawing?height=2", b"1234", "width must be a whole number from 1 to 400, not ''"),
    ("/api/drawing?height=-2&width=2", b"", "height must be a whole number"),
    ("/api/drawing?height=2_0&width=2", b"", "not '2_0'"),
    ("/api/drawing?height=\u0662&width=2", b"", "height must be a whole number"),
    ("/api/drawing?height=401&width=2", b"", "from 1 to 400"),
    (f"/api/drawing?height={'9' * 5000}&width=2", b"", f"not '{'9' * 20}'"),
    ("/api/drawing?height=9&width=9", bytes(81), "blank: the picture has no ink"),
    ("/api/picture", b"", "not a picture"),
    ("/api/picture", b"<html>", "not a picture"),
    ("/api/picture", png(drawing(3))[:200], "damaged picture"),
    ("/api/maps", b"", "must have 784 bytes"),
    ("/api/maps", bytes(785), "must have 784 bytes"),
    ("/api/explain?stage=2&channel=0&row=0&column=0", IMAGE, "the model has 2 convolutions"),
    ("/api/explain?stage=0&channel=20&row=0&column=0", IMAGE, "channel=20 must be from 0 to 19"),
    ("/api/explain?stage=0&channel=0&row=24&column=0", IMAGE, "row=24 must be from 0 to 23"),
    ("/api/explain?stage=0&channel=0&row=0", IMAGE, "column must be a whole number"),
    ("/api/explain?stage=0&channel=0&row=0&column=nan", IMAGE, "column must be a whole number"),
]


@pytest.mark.parametrize(("address", "body", "words"), BAD, ids=range(len(BAD)))
def test_a_bad_request(client: Client, address: str, body: bytes, words: str) -> None:
    answer = client.post(address, body)
    assert answer.status == 400 and words in answer.json()["error"], answer.json()


def test_a_large_body_is_not_read_to_its_end(client: Client) -> None:
    answer = client.post("/api/picture", bytes(2 * MOST_BYTES))
    assert answer.status == 413 and "at most 32 MB" in answer.json()["error"]
    assert len(client.unread) > 400


def test_noise_is_not_read_symbol_by_symbol(client: Client) -> None:
    ink = np.zeros((400, 400), np.uint8)
    for y in range(20, 380, 60):
        for x in range(20, 380, 60):
            ink[y : y + 25, x : x + 6] = 255
    address = "/api/drawing?height=400&width=400"
    answer = client.post(address, ink.tobytes())
    assert answer.status == 400 and f"at most {MOST_SYMBOLS} are read" in answer.json()["error"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "192.168.0.7"]
)
def test_another_host_is_refused(client: Client, host: str) -> None:
    """A page whose name points to 127.0.0.1 is another host (DNS rebinding)."""
    for answer in (client.get("/", host=host), client.post("/api/maps", IMAGE, host=host)):
        assert answer.status == 403 and "Host must be" in answer.json()["error"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:9000"]
)
def test_another_origin_is_refused(client: Client, origin: str) -> None:
    answer = client.post("/api/maps", IMAGE, origin=origin)
    assert answer.status == 403 and origin in answer.json()["error"]


@pytest.mark.slow
def test_dots_take_no_more_memory_than_a_digit() -> None:
    """Pairs of pieces are compared. For all 12,500 dots, they would take gigabytes."""
    ink = np.zeros((1010, 1010), np.uint8)
    for y, x in itertools.product(range(5), range(5)):
        ink[y + 2 : 1008 : 9, x + 2 : 1008 : 9] = 255
    tracemalloc.start()
    assert drawn_marks(ink)
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()


@pytest.mark.parametrize("host", [HOST, "localhost:8000", "localhost"])
def test_the_page_itself_is_not_refused(client: Client, host: str) -> None:
    for headers in ({"host": host}, {"host": host, "origin": f"http://{host}"}):
        assert client.post("/api/maps", IMAGE, **headers).status == 200


def test_addresses_and_methods_that_do_not_exist(client: Client) -> None:
    assert client.get("/../pyproject.toml").status == 404
    assert client.get("/api/maps").status == 405
    assert client.post("/").status == 405


def test_a_model_whose_weights_are_not_finite() -> None:
    model = mlp((4,))
    model[1].weight.data[...] = np.nan
    ink = ink_of(SEVEN)
    answer = Client(model).post("/api/drawing?height=200&width=300", ink.tobytes())
    assert answer.status == 500 and "not finite" in answer.json()["error"]


# --------------------------------------------------------------------------------------------------
# The page


def test_every_file_of_the_page_is_served(client: Client) -> None:
    names = sorted(path.name for path in PAGE.iterdir())
    assert {"index.html", "main.js", "style.css"} <= set(names)
    for name in names:
        answer = client.get("/" if name == "index.html" else f"/{name}")
        assert answer.status == 200 and answer.body == (PAGE / name).read_bytes()
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_the_page_is_small_and_needs_no_other_host() -> None:
    text = {path.name: path.read_text() for path in PAGE.iterdir()}
    assert sum(len(content.encode()) for content in text.values()) <= 200_000
    for name, content in text.items():
        urls = content.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in urls.replace("// ", "").replace("//\n", ""), name


def test_the_python_of_the_page_on_the_demo() -> None:
    page = Path(__file__).parents[1] / "docs" / "demo.md"
    blocks = list(Document.parse(str(page), PythonCodeBlockParser()).examples())
    assert len(blocks) == page.read_text().count("```python") == 1
    blocks[0].evaluate()
