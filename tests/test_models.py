"""Models: the three classifiers, predictions from bytes and floats, and complete model files."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import models, nn
from byhand.files.tensors import CheckpointError, read_tensors, write_tensors
from byhand.models import Model
from networks import Float64Network

Array = npt.NDArray[Any]


def bytes_of(rng: np.random.Generator, n: int, *shape: int) -> Array:
    return rng.integers(0, 256, (n, *(shape or (28, 28))), dtype=np.uint8)


def small(**kwargs: Any) -> Model:
    """Make a model with every kind of layer, one of them nested."""
    settings: dict[str, Any] = {
        "input_shape": (2, 9, 8),
        "scale": 0.01,
        "offset": -0.5,
        "class_names": ["cat", "dog", "été"],
    }
    return Model(
        nn.Conv2d(2, 4, (3, 2), padding=((1, 0), (0, 1)), groups=2, rng=0),
        nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()),
        nn.AvgPool2d((2, 1), (1, 2), count_include_pad=False),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(24, 5, bias=False, rng=1),
        nn.Tanh(),
        nn.Linear(5, 3, rng=2),
        **(settings | kwargs),
    )


# --------------------------------------------------------------------------------------------------
# The classifiers


@pytest.mark.parametrize(
    ("model", "parameters", "flops"),
    [
        (models.softmax_regression(), 7_850, 15_680),
        (models.mlp(), 109_386, 2 * (784 * 128 + 128 * 64 + 64 * 10)),
        (models.mlp(hidden=()), 7_850, 15_680),
        (models.lenet5(), 129_388, 2 * 1_991_680),
    ],
)
def test_sizes(model: Model, parameters: int, flops: int) -> None:
    assert sum(parameter.size for parameter in model.parameters()) == parameters
    assert model.flops((1, 28, 28)) == flops
    assert model.output_shape((1, 28, 28)) == (10,)
    assert model.class_names == tuple("0123456789") and model.classes == 10


def test_layers_of_the_classifiers() -> None:
    def names(model: Model) -> str:
        return " ".join(type(layer).__name__ for layer in model.layers())

    assert names(models.softmax_regression()) == "Flatten Linear"
    assert names(models.mlp((3,), "sigmoid")) == "Flatten Linear Sigmoid Linear"
    assert names(models.lenet5("tanh")) == (
        "Conv2d MaxPool2d Tanh Conv2d MaxPool2d Tanh Flatten Linear Tanh Linear"
    )
    with pytest.raises(ValueError, match="activation must be one of relu, tanh, sigmoid, not 'x'"):
        models.lenet5("x")
    with pytest.raises(ValueError, match=r"activation must be one of .*, not \['relu'\]"):
        models.mlp(activation=["relu"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="hidden must be a sequence of widths, not 5"):
        models.mlp(hidden=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [models.softmax_regression, models.mlp, models.lenet5])
def test_a_seed_decides_the_weights(make: Any) -> None:
    first, second, other = make(seed=3), make(seed=3), make(seed=4)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert np.array_equal(a.data, b.data) and not np.array_equal(a.data, c.data)


def assert_near(got: Array, exact: Array) -> None:
    """Assert that the Euclidean norm of the error is within the bound of Winograd's convolution."""
    assert np.linalg.norm(got - exact) < 2e-5 * np.linalg.norm(exact)


def test_lenet5_is_the_network_in_float64(rng: np.random.Generator) -> None:
    """The whole network agrees with float64, forward and backward."""
    model = models.lenet5(seed=0)
    x = rng.standard_normal((3, 1, 28, 28), np.float32)
    expected = Float64Network(model)
    logits = model.forward(x)
    assert_near(logits, expected.forward(x))
    grad = rng.standard_normal(logits.shape, np.float32)
    grad_x, gradients = expected.backward(grad)
    assert_near(model.backward(grad), grad_x)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert_near(parameter.grad, gradient)


def test_lenet5_in_pytorch(torch: Any, rng: np.random.Generator) -> None:
    t = torch.nn
    theirs = t.Sequential(
        t.Conv2d(1, 20, 5),
        t.MaxPool2d(2),
        t.ReLU(),
        t.Conv2d(20, 50, 5),
        t.MaxPool2d(2),
        t.ReLU(),
        t.Flatten(),
        t.Linear(800, 128),
        t.ReLU(),
        t.Linear(128, 10),
    )
    model = models.lenet5()
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    x = rng.standard_normal((2, 1, 28, 28), np.float32)
    assert_near(model.forward(x), theirs(torch.from_numpy(x)).detach().numpy())
    again = models.lenet5(seed=1)
    again.load_state_dict(theirs.state_dict())
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert np.array_equal(a.data, b.data)


def test_repr_is_a_table() -> None:
    lines = repr(models.lenet5()).splitlines()
    assert lines[0] == "Model: images (1, 28, 28), FLOPs of one forward pass"
    assert [line.split() for line in (lines[2], lines[-1])] == [
        ["0", "Conv2d(1,", "20,", "5)", "(20,", "24,", "24)", "520", "576,000"],
        ["total", "129,388", "3,983,360"],
    ]
    assert len(lines) == 13 and len({len(line) for line in lines[1:]}) == 1


def test_repr_has_a_row_for_each_layer_of_a_residual() -> None:
    inner = [nn.Conv2d(8, 8, 3, padding=1, rng=0), nn.BatchNorm2d(8), nn.ReLU()]
    block = nn.Residual(*inner, nn.Residual(nn.Tanh()))
    first, last = nn.Conv2d(1, 8, 3, padding=1, rng=0), nn.Linear(8 * 28 * 28, 10, rng=0)
    lines = repr(Model(first, block, nn.Flatten(), last)).splitlines()
    assert max(map(len, lines)) <= 80 and len({len(line) for line in lines[1:]}) == 1
    assert [line.split()[0] for line in lines[2:-1]] == [
        *("0", "1", "1.0", "1.1", "1.2", "1.3", "1.3.0", "2", "3"),
    ]
    assert lines[3].split() == ["1", "Residual", "of", "(8,", "28,", "28)", "600", "903,168"]
    assert lines[4].split()[:3] == ["1.0", "Conv2d(8,", "8,"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"input_shape": (9, 8)}, ValueError, r"input_shape must be \(channels, height, width\)"),
        ({"input_shape": (2, 0, 8)}, ValueError, "input_shape must be"),
        ({"input_shape": (3, 9, 8)}, ValueError, r"Conv2d.* takes \(N, 2, H, W\)"),
        ({"scale": float("nan")}, ValueError, "scale must be a finite number, not nan"),
        ({"offset": "0"}, ValueError, "offset must be a finite number, not '0'"),
        ({"class_names": ["a"]}, ValueError, "3 classes but 1 class_names"),
        ({"class_names": [1, 2, 3]}, TypeError, "class_names must be a list of strings"),
        ({"class_names": "abc"}, TypeError, "class_names must be a list of strings"),
    ],
)
def test_wrong_settings(settings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(**settings)


def test_arguments_of_a_models_methods() -> None:
    model = models.softmax_regression()
    with pytest.raises(TypeError, match="mode must be True or False, not 'no'"):
        model.train("no")  # type: ignore[arg-type]
    assert model.training
    with pytest.raises(TypeError, match=r"source must be a byhand\.models\.Model, not str"):
        model.start_from("model.safetensors")  # type: ignore[arg-type]
    for wrong in (5, b"model.safetensors"):
        with pytest.raises(TypeError, match=r"path must be a str or a pathlib\.Path, not "):
            model.save(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"path must be a str or a pathlib\.Path, not "):
            byhand.load(wrong)  # type: ignore[arg-type]


def test_a_model_ends_in_classes() -> None:
    with pytest.raises(ValueError, match=r"output must be \(N, classes\), not \(N, 1, 28, 28\)"):
        Model(nn.ReLU())


# --------------------------------------------------------------------------------------------------
# Predictions


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 300])
def test_predictions_in_chunks_are_the_networks(n: int, rng: np.random.Generator) -> None:
    model = models.mlp(hidden=(5,))
    images = bytes_of(rng, n)
    x = (images * np.float32(model.scale) + np.float32(model.offset)).reshape(n, 1, 28, 28)
    logits = model.forward(x).astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probabilities = model.predict_proba(images)
    assert probabilities.dtype == np.float32 and probabilities.shape == (n, 10)
    assert np.abs(probabilities - expected).max(initial=0) < 1e-5
    classes = model.predict(images)
    assert classes.dtype == np.int64
    assert np.array_equal(classes, probabilities.argmax(axis=1))


def test_each_images_prediction_is_its_own(rng: np.random.Generator) -> None:
    """A prediction does not depend on the other images of its batch, or on earlier batches."""
    model, images = models.lenet5(), bytes_of(rng, 140)
    whole = model.predict_proba(images)
    for size in (1, 3, 130):
        assert np.allclose(model.predict_proba(images[-size:]), whole[-size:], rtol=0, atol=1e-6)
    assert np.array_equal(whole, model.predict_proba(images))


def test_forms_of_images(rng: np.random.Generator) -> None:
    model, images = models.softmax_regression(), bytes_of(rng, 9)
    expected = model.predict_proba(images)
    assert np.array_equal(model.predict_proba(images[:, None]), expected)
    assert np.array_equal(
        model.predict_proba(images.transpose(0, 2, 1).transpose(0, 2, 1)), expected
    )
    assert np.array_equal(model.predict_proba(images[::2]), expected[::2])
    floats = (images / 255).astype(np.float32)
    assert np.abs(model.predict_proba(floats) - expected).max() < 1e-5
    colour = small()
    assert colour.predict_proba(bytes_of(rng, 4, 2, 9, 8)).shape == (4, 3)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_a_model_that_has_predicted(duplicate: Any, rng: np.random.Generator) -> None:
    model, images = models.lenet5(), bytes_of(rng, 140)
    expected = model.predict_proba(images)
    twin = duplicate(model)
    assert np.array_equal(twin.predict_proba(images), expected)
    storage = twin.parameters()[0].storage
    assert all(parameter.storage is storage for parameter in twin.parameters())
    storage.data.fill(0)  # changes the copy's predictions, but not the original's
    assert np.allclose(twin.predict_proba(images), 0.1)
    assert np.array_equal(model.predict_proba(images), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_weights_that_are_no_use(value: float) -> None:
    model = models.softmax_regression()
    model.parameters()[0].data.fill(value)
    images = np.full((130, 28, 28), 255, np.uint8)
    for predict in (model.predict_proba, model.predict):
        with pytest.raises(FloatingPointError, match="the network's output is not finite"):
            predict(images)
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf)"):
        byhand.evaluate(model, (images, np.zeros(130, int)))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (
            np.zeros((28, 28), np.uint8),
            ValueError,
            r"not \(28, 28\).*add the axis, images\[np.newa",
        ),
        (
            np.zeros((2, 28, 27), np.uint8),
            ValueError,
            r"\(N, 1, 28, 28\) or \(N, 28, 28\), not \(2,",
        ),
        (np.zeros((2, 3, 28, 28), np.uint8), ValueError, r"not \(2, 3, 28, 28\)"),
        (np.zeros((2, 784), np.uint8), ValueError, r"not \(2, 784\)"),
        (np.zeros((2, 28, 28)), TypeError, "uint8, or of float32 .*, not float64"),
        (np.zeros((2, 28, 28), np.int64), TypeError, "not int64"),
        ([[0]], TypeError, "not list; predict also takes paths"),
        ([np.zeros((28, 28), np.uint8)] * 2, TypeError, r"not list: use np\.stack\(images\)$"),
        ((np.zeros((28, 28), np.uint8),), TypeError, r"not tuple: use np\.stack\(images\)$"),
        (np.full((2, 28, 28), 255, np.float32), ValueError, r"\[0, 1\], but there is 255.0"),
        (np.full((1, 28, 28), -0.5, np.float32), ValueError, "but there is -0.5"),
        (np.full((1, 28, 28), np.nan, np.float32), ValueError, "but there is nan"),
        (np.full((1, 28, 28), np.inf, np.float32), ValueError, "but there is inf"),
    ],
)
def test_wrong_images(images: Any, error: type[Exception], message: str) -> None:
    model = models.softmax_regression()
    for predict in (model.predict_proba, model.predict):
        with pytest.raises(error, match=message):
            predict(images)


def test_colour_images_need_their_channels() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 2, 9, 8\), not \(4, 9, 8\)"):
        small().predict(np.zeros((4, 9, 8), np.uint8))


# --------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize(
    "model", [small(), models.mlp(activation="tanh", seed=5)], ids=["small", "mlp"]
)
def test_a_file_is_the_model(model: Model, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = byhand.load(str(path))
    assert repr(loaded) == repr(model)
    assert loaded.description() == model.description()
    for a, b in zip(model.parameters(), loaded.parameters(), strict=True):
        assert np.array_equal(a.data, b.data)
    images = bytes_of(rng, 3, *model.input_shape)
    assert np.array_equal(loaded.predict_proba(images), model.predict_proba(images))
    assert len({id(parameter.storage) for parameter in loaded.parameters()}) == 1


def test_a_file_is_what_other_programs_read(tmp_path: Path) -> None:
    from safetensors import safe_open

    model = models.softmax_regression()
    model.save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert np.array_equal(file.get_tensor("1.weight"), model.state_dict()["1.weight"])
        description = json.loads(file.metadata()["byhand"])
    assert description == {
        "format": 1,
        "layers": [
            {"type": "Flatten", "arguments": {}},
            {
                "type": "Linear",
                "arguments": {"in_features": 784, "out_features": 10, "bias": True},
            },
        ],
        "input_shape": [1, 28, 28],
        "preprocessing": {"scale": 1 / 127.5, "offset": -1.0, "pictures": None},
        "class_names": list("0123456789"),
    }


def changed(description: dict[str, Any], *path: Any, to: Any) -> None:
    *inner, last = path
    for key in inner:
        description = description[key]
    description[last] = to


DROP = object()
LIES = {
    "unknown layer": (("layers", 1, "type"), "Dense", "unknown layer 'Dense'"),
    "layer of no type": (("layers", 1), {}, "unknown layer None"),
    "layer that is a list": (("layers", 1, "type"), [], "unhashable|unknown layer"),
    "base class": (("layers", 1, "type"), "Layer", "unknown layer 'Layer'"),
    "unknown argument": (("layers", 1, "arguments", "gain"), 2, "unexpected keyword .*gain"),
    "hidden argument": (("layers", 1, "arguments", "rng"), 0, "rng"),
    "missing argument": (("layers", 1, "arguments"), {"in_features": 784}, "out_features"),
    "arguments in a list": (("layers", 1, "arguments"), [784, 10], "arguments of Linear"),
    "text for a number": (("layers", 1, "arguments", "in_features"), "784", "must be an integer"),
    "text for a flag": (("layers", 1, "arguments", "bias"), "yes", "bias must be True or False"),
    "huge layer": (("layers", 1, "arguments", "in_features"), 10**9, "1.weight is float32"),
    "huger layer": (("layers", 1, "arguments", "out_features"), 10**40, "1.weight is float32"),
    "negative layer": (("layers", 1, "arguments", "in_features"), -784, "at least 1"),
    "another shape": (("layers", 1, "arguments", "in_features"), 783, "1.weight is float32"),
    "no bias": (("layers", 1, "arguments", "bias"), False, "unexpected 1.bias"),
    "no layers": (("layers",), [], "unexpected 1.weight"),
    "layers in words": (("layers",), "Linear", "layers must be a list"),
    "another version": (
        ("format",),
        2,
        "has the format 2, but this version of byhand reads format 1",
    ),
    "no version": (("format",), None, "has the format None"),
    "unknown key": (("author",), "x", "must have format, layers"),
    "key gone": (("class_names",), DROP, "must have format, layers"),
    "other images": (("input_shape",), [1, 28, 27], r"takes \(N, 784\)"),
    "images in words": (("input_shape",), "28x28", "input_shape must be"),
    "huge images": (("input_shape",), [1, 10**9, 10**9], r"takes \(N, 784\)"),
    "flat images": (("input_shape",), [1, 28.0, 28], "input_shape must be"),
    "scale gone": (("preprocessing",), {"offset": 0.0}, "preprocessing must have scale"),
    "pictures unknown": (
        ("preprocessing", "pictures"),
        "any",
        "pictures must be 'digits' or 'plain', not 'any'",
    ),
    "scale in words": (("preprocessing", "scale"), "1", "scale must be a finite number"),
    "a name missing": (("class_names",), list("012345678"), "10 classes but 9 class_names"),
    "names of numbers": (("class_names",), list(range(10)), "class_names must be a list of str"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies(name: str, tmp_path: Path) -> None:
    path = tmp_path / "lie.safetensors"
    model = models.softmax_regression()
    description = model.description()
    place, value, message = LIES[name]
    if value is DROP:
        del description[place[0]]
    else:
        changed(description, *place, to=value)
    write_tensors(path, model.state_dict(), description)
    with pytest.raises(CheckpointError, match=message) as caught:
        byhand.load(path)
    assert str(path) in str(caught.value)


def test_networks_in_networks_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "deep.safetensors"
    description = models.softmax_regression().description()
    inner: dict[str, Any] = {"type": "ReLU", "arguments": {}}
    for _ in range(400):
        inner = {"type": "Sequential", "layers": [inner]}
    description["layers"].insert(0, inner)
    state = {f"2.{name}": array for name, array in nn.Linear(784, 10).state_dict().items()}
    write_tensors(path, state, description)
    try:
        loaded = byhand.load(path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert [type(layer).__name__ for layer in loaded.layers()] == ["ReLU", "Flatten", "Linear"]


def test_layers_of_others_cannot_be_saved(tmp_path: Path) -> None:
    class Swish(nn.Layer):
        def __init__(self, beta: float = 1.0) -> None:
            pass  # beta is not stored

    with pytest.raises(TypeError, match="Swish cannot be saved"):
        Model(Swish(), nn.Flatten(), nn.Linear(784, 10)).save(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_weights_from_elsewhere(tmp_path: Path, rng: np.random.Generator) -> None:
    """A file may hold our description and another program's weights, without our checksum."""
    from safetensors.numpy import save_file

    model = models.softmax_regression()
    path = tmp_path / "model.safetensors"
    weights = {n: rng.standard_normal(a.shape, np.float32) for n, a in model.state_dict().items()}
    save_file(weights, path, metadata={"byhand": json.dumps(model.description()), "author": "x"})
    loaded = byhand.load(path).state_dict()
    assert all(np.array_equal(loaded[name], weights[name]) for name in weights)
    doubles = {name: array.astype(float) for name, array in weights.items()}
    save_file(doubles, path, metadata={"byhand": json.dumps(model.description())})
    with pytest.raises(CheckpointError, match=r"1\.bias is float64"):
        byhand.load(path)


def test_a_checkpoint_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {}, {"format": 1, "epoch": 3})
    assert read_tensors(path) == ({}, {"format": 1, "epoch": 3})
    with pytest.raises(CheckpointError, match="does not describe a model"):
        byhand.load(path)


@pytest.mark.parametrize("make", [models.softmax_regression, models.mlp, models.lenet5])
def test_images_of_another_size_and_other_classes(
    make: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = make(input_shape=(3, 17, 20), classes=4)
    images = rng.integers(0, 256, (5, 3, 17, 20)).astype(np.uint8)
    probabilities = model.predict_proba(images)
    assert probabilities.shape == (5, 4) and model.class_names == ("0", "1", "2", "3")
    model.save(tmp_path / "model.safetensors")
    again = byhand.load(tmp_path / "model.safetensors").predict_proba(images)
    assert np.array_equal(again, probabilities)


def test_lenet5_needs_some_pixels() -> None:
    with pytest.raises(ValueError, match="16 x 16 pixels or more, not \\(1, 15, 28\\)"):
        models.lenet5(input_shape=(1, 15, 28))
    with pytest.raises(ValueError, match="input_shape must be"):
        models.mlp(input_shape=(28, 28))
