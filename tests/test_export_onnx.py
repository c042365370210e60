"""Models as ONNX graphs: every layer and whole networks give byhand's results in ONNX Runtime.

The largest difference must be at most 1e-5, or 1e-5 of the largest output if this is more than 1.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import export, models, nn
from byhand.export.onnx_model import layers_to_onnx
from byhand.export.windows import windows_along
from calls import Array
from cli_support import only_line, run
from fuzz_cases import Draw, draw_model, fill
from networks import digits

REASON = "compares with ONNX Runtime, which is not installed"
pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)

TOLERANCE = 1e-5


def session(translated: Any) -> Any:
    content = translated if isinstance(translated, bytes) else translated.SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def assert_close(result: Array, expected: Array) -> None:
    assert result.dtype == np.float32 and result.shape == expected.shape
    limit = TOLERANCE * max(1.0, np.abs(expected).max(initial=0))
    assert np.abs(result - expected).max(initial=0) <= limit


def drawn(network: nn.Module, rng: np.random.Generator) -> Any:
    """Draw weights and statistics that a trained network could have."""
    for name, parameter in network.named_state():
        fill(Draw(rng), name.rpartition(".")[2], parameter)
    return network


IMAGES = (4, 8, 7)
AVERAGES = [
    nn.AvgPool2d(*geometry, ceil_mode, count_include_pad)
    for ceil_mode in (False, True)
    for count_include_pad in (False, True)
    for geometry in [
        (2, None, 0),
        (3, 2, 1),
        ((3, 2), (2, 3), ((2, 0), (0, 4))),
        (2, 2, 3),  # the window in the corner sees no input
        (1, 1, ((0, 4), (4, 0))),
    ]
]
LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv2d(4, 6, 3), IMAGES),
    (nn.Conv2d(4, 6, (3, 2), (2, 1), ((0, 3), (2, 1)), (1, 2), 2, False), IMAGES),
    (nn.Conv2d(4, 8, 3, groups=4), IMAGES),
    (nn.Conv2d(4, 2, 3, padding=5), IMAGES),  # the window in the corner sees no input
    (nn.MaxPool2d(2), IMAGES),
    (nn.MaxPool2d(3, 2, 1), IMAGES),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGES),
    (nn.MaxPool2d((3, 2), (1, 3), ((2, 0), (0, 1)), (2, 1), ceil_mode=True), IMAGES),
    (nn.MaxPool2d(7, 1, 5), IMAGES),
    *((layer, IMAGES) for layer in AVERAGES),
    (nn.GlobalAvgPool2d(), IMAGES),
    (nn.BatchNorm2d(4, eps=0.1), IMAGES),
    (nn.BatchNorm1d(9), (9,)),
    (nn.ReLU(), IMAGES),
    (nn.Tanh(), IMAGES),
    (nn.Sigmoid(), (9,)),
    (nn.Flatten(), IMAGES),
    (nn.Flatten(), (9,)),
    (nn.Dropout(0.5), IMAGES),
    (nn.Linear(9, 5), (9,)),
    (nn.Linear(9, 5, bias=False), (9,)),
    (nn.Residual(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()), IMAGES),
    (nn.Residual(nn.Sequential(nn.Linear(9, 9)), nn.Residual(nn.Tanh())), (9,)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: str(value))
def test_each_layer_alone(layer: nn.Module, shape: Any, rng: np.random.Generator) -> None:
    network = drawn(nn.Sequential(layer), rng).eval()
    runs = session(layers_to_onnx(network, shape))
    for n in (3, 1, 0):
        x = rng.standard_normal((n, *shape), np.float32)
        assert_close(runs.run(None, {"x": x})[0], network(x))


def test_padding_gives_the_same_number_of_windows() -> None:
    """Other libraries round the number of windows down, and have no `ceil_mode` of this kind."""
    for size, kernel, stride, before, after, dilation, ceil_mode in itertools.product(
        *(range(1, 6), (1, 2, 3), (1, 2, 3), range(4), range(4), (1, 2), (False, True))
    ):
        sides = (before, after), (0, 0)
        layer = nn.MaxPool2d((kernel, 1), (stride, 1), sides, (dilation, 1), ceil_mode=ceil_mode)
        try:
            wanted = layer.output_shape((1, size, 1))[1]
        except ValueError:
            continue  # the window is larger than the image and its padding
        windows = windows_along(layer, (1, size, 1), 0)
        reach = dilation * (kernel - 1) + 1
        assert (windows.before + size + windows.after - reach) // stride + 1 == wanted, layer


def test_every_layer_is_tested() -> None:
    tested = {type(part) for layer, _ in LAYERS for part in layer.modules()}
    kinds = {kind for kind in vars(nn).values() if isinstance(kind, type)}
    layers = {kind for kind in kinds if issubclass(kind, nn.Module)} - {nn.Module, nn.Layer}
    assert layers <= tested


def check_model(model: models.Model, images: Array) -> Any:
    """Compare the outputs of the exported model for batches of several sizes."""
    runs = session(export.to_onnx(model))
    if model.input_shape[0] == 1:
        images = images.reshape(-1, *model.input_shape[1:])
    for n in (len(images), 1, 0):
        outputs = runs.run(None, {"images": images[:n]})
        assert_close(outputs[0], model.outputs(images[:n]))
        if model.classes > 1:
            assert_close(outputs[1], model.predict_proba(images[:n]))
    return runs


@pytest.mark.parametrize("kind", ["softmax_regression", "mlp", "lenet5"])
def test_the_classifiers(kind: str) -> None:
    model = getattr(models, kind)(seed=1)
    runs = check_model(model, digits(20)[0])
    (taken,) = runs.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("images", "tensor(uint8)", ["N", 28, 28])
    assert [(o.name, o.shape) for o in runs.get_outputs()] == [
        ("logits", ["N", 10]),
        ("probabilities", ["N", 10]),
    ]


def test_images_of_colours_and_names_of_classes(rng: np.random.Generator) -> None:
    model = models.Model(
        nn.Conv2d(3, 2, 3, rng=0),
        nn.Flatten(),
        nn.Linear(2 * 3 * 4, 2, rng=0),
        input_shape=(3, 5, 6),
        scale=1 / 255,
        offset=0.25,
        class_names=["été", 'a "b"'],
    )
    runs = check_model(model, rng.integers(0, 256, (4, 3, 5, 6), np.uint8))
    metadata = runs.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == ["été", 'a "b"']


def test_a_model_with_one_output(rng: np.random.Generator) -> None:
    model = models.Model(nn.Flatten(), nn.Linear(16, 1, rng=0), input_shape=(1, 4, 4))
    runs = check_model(model, rng.integers(0, 256, (4, 4, 4), np.uint8))
    assert [output.name for output in runs.get_outputs()] == ["number"]


def test_layers_that_share_a_weight(rng: np.random.Generator) -> None:
    first, second = nn.Linear(16, 16, rng=0), nn.Linear(16, 16, rng=1)
    second.weight = first.weight
    model = models.Model(nn.Flatten(), first, nn.Tanh(), second, input_shape=(1, 4, 4))
    check_model(model, rng.integers(0, 256, (4, 4, 4), np.uint8))
    names = [tensor.name for tensor in export.to_onnx(model).graph.initializer]
    assert "1.weight" in names and "3.weight" not in names


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_random_networks(part: int) -> None:
    for seed in range(25):
        draw = Draw(np.random.default_rng([81, part, seed]))
        model = draw_model(draw)
        check_model(model, draw.rng.integers(0, 256, (5, *model.input_shape), np.uint8))


# --------------------------------------------------------------------------------------------------
# What cannot be exported


class Double(nn.Module):
    def forward(self, x: Array) -> Array:
        return 2 * x


class Louder(nn.ReLU):
    def forward(self, x: Array) -> Array:
        return 2 * super().forward(x)


class MyModel(models.Model):
    def forward(self, x: Array) -> Array:
        return 2 * super().forward(x)


def small_model(*layers: nn.Module, kind: type[models.Model] = models.Model) -> models.Model:
    features = nn.Sequential(*layers, nn.Flatten()).output_shape((1, 6, 6))
    return kind(*layers, nn.Flatten(), nn.Linear(*features, 2, rng=0), input_shape=(1, 6, 6))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            small_model(Double()),
            r"^layer 0, Double\(\), cannot be exported: it is code of your own",
        ),
        (small_model(nn.ReLU(), nn.Residual(Louder())), r"^layer 1\.0, Louder\(\), cannot"),
        (small_model(kind=MyModel), r"^MyModel cannot be exported: it is code of your own"),
        (
            small_model(nn.MaxPool2d(3, 2, 3)),
            r"^layer 0, MaxPool2d\(3, stride=2, padding=3\), cannot be exported: one of its "
            r"windows lies outside the images of shape \(1, 6, 6\)\. There the maximum is -inf",
        ),
    ],
    ids=["own", "own inside", "own model", "empty window"],
)
def test_what_cannot_be_exported(model: models.Model, message: str) -> None:
    with pytest.raises(export.ExportError, match=message):
        export.to_onnx(model)


def test_other_objects_and_names(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^model must be a byhand.models.Model, not Sequential"):
        export.to_onnx(nn.Sequential(nn.ReLU()))  # type: ignore[arg-type, unused-ignore]
    with pytest.raises(ValueError, match=r"path must end in \.onnx or \.pt2, not 'm\.pb'"):
        export.save(models.softmax_regression(), tmp_path / "m.pb")


def test_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"an export to ONNX needs onnx, .*byhand\[export"
    ):
        export.to_onnx(models.softmax_regression())


# --------------------------------------------------------------------------------------------------
# The command


def test_the_command(tmp_path: Path) -> None:
    model, path = models.mlp((8,), seed=1), tmp_path / "m.safetensors"
    model.save(path)
    lines = run("export", path, tmp_path / "m.onnx").stdout.splitlines()
    assert lines == [
        "input   images, uint8, (N, 28, 28)",
        "output  logits and probabilities, float32, (N, 10)",
        f"file    {tmp_path / 'm.onnx'}",
    ]
    images = digits(4)[0]
    runs = session((tmp_path / "m.onnx").read_bytes())
    assert_close(runs.run(["logits"], {"images": images})[0], model.outputs(images))


def test_errors_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    models.mlp((8,)).save(path)
    said = only_line(run("export", path, tmp_path / "no/m.onnx", code=1))
    assert "no does not exist; create it first" in said
    assert "must end in .onnx or .pt2" in run("export", path, tmp_path / "m.txt", code=2).stderr
    small_model(nn.MaxPool2d(3, 2, 3)).save(path)
    result = run("export", path, tmp_path / "m.onnx", code=1)
    assert "layer 0, MaxPool2d(3, stride=2, padding=3), cannot be exported" in only_line(result)
    assert not (tmp_path / "m.onnx").exists()
