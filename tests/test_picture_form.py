"""How pictures are prepared: the training set decides, the model stores it, commands use it."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import models
from byhand.data import Dataset
from byhand.files.tensors import read_tensors, write_tensors
from byhand.models.picture_form import is_in_form, suitable
from byhand.optim import SGD
from byhand.pictures import as_image, prepare, read_picture
from byhand.pictures.drawings import drawing, drawing_png
from byhand.pictures.folders import write_pictures
from cli_support import only_line, read_metrics, run, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

Array = npt.NDArray[Any]


@functools.cache
def digits() -> Array:
    """Return ten drawings, prepared: light on dark, 28 x 28."""
    return np.stack([prepare(read_picture(drawing_png(digit))) for digit in range(10)])


def clothes(count: int) -> Array:
    """Make filled shapes as wide as the image, as in Fashion-MNIST."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, 28, 28), np.uint8)
    for i, image in enumerate(images):
        width = rng.integers(6, 14)
        image[:, 14 - width : 14 + width] = rng.integers(60, 256, (28, 2 * width))
        if i % 2:
            images[i] = image.T.copy()
    return images


def as_jpeg(images: Array, quality: int) -> Array:
    def again(image: Array) -> Array:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return np.stack([again(image) for image in images])


@pytest.mark.slow
def test_the_way_that_suits_a_training_set() -> None:
    drawn, noise = digits(), np.random.default_rng(0)
    for name, images, way in (
        ("digits", drawn, "digits"),
        ("floats", (drawn / 255).astype(np.float32), "digits"),
        ("jpeg", as_jpeg(drawn, 75), "digits"),
        ("padded", np.pad(drawn, ((0, 0), (2, 2), (2, 2))), "digits"),
        ("inverted", 255 - drawn, "plain"),
        ("clothes", clothes(20), "plain"),
        ("off-centre", np.roll(drawn, 4, axis=2), "plain"),
        ("black", np.zeros((60, 28, 28), np.uint8), "plain"),
        ("noise", noise.integers(0, 256, (60, 28, 28), np.uint8), "plain"),
        ("none", np.zeros((0, 28, 28), np.uint8), "plain"),
    ):
        assert suitable(images[:, np.newaxis]) == way, name


def discs(smallest: int, largest: int) -> Array:
    """Make discs in the middle of 28 x 28 images, alternately with the two diameters."""
    distance = np.hypot(*(np.mgrid[:28, :28] - 13.5))
    diameters = np.array([smallest, largest] * 30)[:, np.newaxis, np.newaxis]
    return np.where(distance < diameters / 2, 255, 0).astype(np.uint8)


def test_ink_of_other_sizes_than_in_mnist_is_plain() -> None:
    """Prepared as digits, small and large discs would become equal, so they stay plain."""
    for sizes, way in (((4, 20), "plain"), ((16, 22), "plain"), ((8, 8), "plain")):
        assert suitable(discs(*sizes)[:, np.newaxis]) == way, sizes
    assert suitable(discs(18, 20)[:, np.newaxis]) == "digits"


def test_colour_is_never_prepared_as_digits() -> None:
    assert suitable(np.stack([digits()] * 3, axis=1)) == "plain"


def test_mnist_looks_like_digits_and_is_in_form(mnist: Any) -> None:
    train, test = mnist
    for data in (train, test):
        assert suitable(data.images[:, np.newaxis]) == "digits"
    assert all(is_in_form(image, (20, 20)) for image in test.images)
    assert all((prepare(image[..., np.newaxis]) == image).all() for image in test.images[::50])


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(1)),
        elements=st.one_of(st.just(0), st.integers(0, 255)),
    )
)
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_what_was_prepared_is_taken_as_it_is(pixels: Array) -> None:
    try:
        image = prepare(pixels)
    except byhand.pictures.PictureError:
        return
    assert (prepare(image[..., np.newaxis]) == image).all()


# --------------------------------------------------------------------------------------------------
# The model


def fitted(images: Array, **arguments: Any) -> models.Model:
    model = models.softmax_regression(input_shape=(1, *images.shape[1:]))
    model.pictures = arguments.get("pictures")
    labels = np.arange(len(images)) % 10
    byhand.Trainer(model, SGD(model.parameters(), lr=0.01)).fit((images, labels), epochs=1)
    return model


def test_the_first_training_set_decides_and_the_file_keeps_it(tmp_path: Path) -> None:
    assert models.softmax_regression().pictures is None
    for images, way in ((digits(), "digits"), (clothes(20), "plain")):
        model = fitted(images)
        assert model.pictures == way == model.preparation()
        model.save(tmp_path / "model.safetensors")
        assert byhand.load(tmp_path / "model.safetensors").pictures == way
    assert fitted(digits(), pictures="plain").pictures == "plain"
    assert fitted(clothes(20), pictures="digits").pictures == "digits"


def test_before_any_training_grey_is_prepared_as_digits() -> None:
    assert models.softmax_regression().preparation() == "digits"
    assert models.softmax_regression(input_shape=(3, 8, 8)).preparation() == "plain"
    assert models.softmax_regression().preparation("plain") == "plain"


def test_wrong_ways() -> None:
    colour = models.softmax_regression(input_shape=(3, 8, 8))
    with pytest.raises(ValueError, match=r"must be 'plain' for images of 3 channels: only grey"):
        colour.pictures = "digits"
    with pytest.raises(ValueError, match=r"must be 'plain' for images of 3 channels"):
        colour.preparation("digits")
    with pytest.raises(ValueError, match=r"must be 'digits' or 'plain', not 'mnist'"):
        models.softmax_regression().pictures = "mnist"


def test_files_of_older_versions(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for shape, way in (((1, 28, 28), "digits"), ((3, 8, 8), "plain")):
        models.softmax_regression(input_shape=shape).save(path)
        tensors, description = read_tensors(path)
        for old in ({"pictures": "mnist"}, {}):
            settings = {"scale": 1.0, "offset": 0.0, **old}
            write_tensors(path, tensors, {**description, "preprocessing": settings})
            assert byhand.load(path).pictures == way


# --------------------------------------------------------------------------------------------------
# The command line


def photographs(folder: Path, count: int = 20) -> Path:
    """Write ten class folders of drawings, dark or coloured, on paper of many colours."""
    for i in range(count):
        path = folder / str(i % 10) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing(i % 10, seed=1000 + i // 10).save(path)
    return folder


def accuracy(text: str) -> float:
    return float(text.split(", accuracy ")[1].split(" %")[0])


@pytest.fixture(scope="module")
def trained(mnist: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on class folders of PNG files, which hold a part of MNIST."""
    folder = tmp_path_factory.mktemp("digits")
    write_pictures(
        folder / "png", *(data.split(n)[0] for data, n in zip(mnist, (3000, 100), strict=True))
    )
    arguments = ("--data", folder / "png", "--out", folder / "run", "--batch-size", 32)
    run("train", "mlp", *arguments, "--epochs", 5)
    return folder


def test_png_files_of_digits_make_a_model_that_reads_photographs(
    trained: Path, tmp_path: Path
) -> None:
    """The PNG files are 28 x 28 and prepared already, so they are not prepared again."""
    out, data = trained / "run", photographs(tmp_path / "photographs")
    assert byhand.load(out / "model.safetensors").pictures == "digits"
    own = run("evaluate", out).stdout
    assert own == run("evaluate", out, "--pictures", "plain").stdout.replace(
        "pictures taken as they are, resized; --pictures digits finds, fits and centres the ink",
        "pictures prepared as digits; --pictures plain takes them as they are, resized",
    )
    printed = run("evaluate", out, "--data", data).stdout
    assert "pictures prepared as digits; --pictures plain takes them as they are" in printed
    lines = run("predict", out, data, "--json").stdout.splitlines()
    right = [Path(a["path"]).parent.name == str(a["digit"]) for a in map(json.loads, lines)]
    assert len(right) == 20
    plain = run("evaluate", out, "--data", data, "--pictures", "plain").stdout
    assert "pictures taken as they are, resized; --pictures digits finds" in plain
    assert accuracy(printed) > 80 > 50 > accuracy(plain)


@pytest.mark.slow
@pytest.mark.parametrize("frame", [0, 2])
def test_evaluate_repeats_the_accuracy_of_the_run(frame: int, tmp_path: Path) -> None:
    """`evaluate` gives the run's accuracy, also if pictures do not have the form of "digits".

    One of them is too small, and one is blank.
    """
    images = discs(20, 20)[:30]
    images[4], images[7] = discs(6, 6)[0], 0
    images = np.pad(images, ((0, 0), (frame, frame), (frame, frame)))
    whole = Dataset(images, np.arange(30, dtype=np.uint8) % 2, ("a", "b"))
    write_pictures(tmp_path / "png", whole, whole)
    for name, options in (("own", ()), ("plain", ("--pictures", "plain"))):
        arguments = ("--data", tmp_path / "png", "--out", tmp_path / name, "--epochs", 2)
        run("train", "softmax", *arguments, "--batch-size", 8, *options)
        model = byhand.load(tmp_path / name)
        assert model.pictures == ("plain" if options else "digits")
        assert model.input_shape[1:] == images.shape[1:]
        (*_, last) = read_metrics(tmp_path / name)
        result = run("evaluate", tmp_path / name)
        assert f"test loss {last['validation_loss']:.4f}, " in result.stdout
        assert accuracy(result.stdout) == round(100 * last["validation_accuracy"], 2)
        other = run("evaluate", tmp_path / name, "--pictures", "digits" if options else "plain")
        for said in (result.stderr, other.stderr):
            assert "checksum" not in said
    run("train", "--resume", tmp_path / "own", "--epochs", 3)


@pytest.mark.slow
def test_photographs_are_prepared_as_for_the_model_that_training_starts_from(
    trained: Path, tmp_path: Path
) -> None:
    """The pictures are prepared as for the model that training starts from.

    Grey ones were once only resized, and coloured ones were refused as another network.
    """
    data, options = photographs(tmp_path / "data"), ("--from", trained / "run", "--epochs", 1)
    for name in ("colour", "grey"):
        out = tmp_path / name
        run("train", "mlp", "--data", data, "--out", out, *options, "--lr", 0.001)
        model = byhand.load(out)
        assert model.pictures == "digits" and model.input_shape == (1, 28, 28)
        result = run("evaluate", out)
        assert result.stderr == "" and accuracy(result.stdout) > 80
        run("train", "--resume", out, "--epochs", 2)
        for path in data.rglob("*.png"):
            Image.open(path).convert("L").save(path)
    out = tmp_path / "plain"
    run("train", "mlp", "--data", data, "--out", out, *options, "--pictures", "plain")
    assert byhand.load(out).pictures == "plain"


def test_class_folders_say_how_they_were_prepared(tmp_path: Path) -> None:
    for name, images, way in (("digits", digits(), "digits"), ("clothes", clothes(20), "plain")):
        whole = Dataset(images, np.zeros(len(images), np.uint8))
        write_pictures(tmp_path / name, whole, whole)
        for wanted in (None, "plain"):
            train, test = byhand.data.load_class_folders(tmp_path / name, pictures=wanted)
            assert train.source is not None and train.source == test.source
            assert train.source.pictures == (wanted or way)
            assert np.array_equal(train.images, images)


def test_evaluate_prepares_pictures_as_predict_does(trained: Path, tmp_path: Path) -> None:
    out, data = trained / "run", photographs(tmp_path / "photographs")
    for options in ((), ("--pictures", "plain")):
        lines = run("predict", out, data, "--json", *options).stdout.splitlines()
        answers = [json.loads(line) for line in lines]
        table = run("evaluate", out, "--data", data, *options).stdout.split("Rows:")[1]
        # evaluate uses one of the two pictures of each class, the other is for training
        assert len(answers) == 20 and len(table.splitlines()) == 12
    model = byhand.load(out / "model.safetensors")
    for path in sorted(data.rglob("*.png"))[:5]:
        image = as_image(read_picture(path), model.input_shape, "digits")
        shown = json.loads(run("predict", out, path, "--json").stdout)
        assert shown["probabilities"] == model.predict_proba(image[np.newaxis])[0].tolist()


@pytest.mark.slow
def test_the_container_does_not_decide(tmp_path: Path) -> None:
    sets = Dataset(clothes(60), np.arange(60, dtype=np.uint8) % 10)
    idx = write_folder(tmp_path / "idx", (sets, sets))
    write_pictures(tmp_path / "png", sets, sets)
    for data in (idx, tmp_path / "png"):
        out = tmp_path / f"run-{data.name}"
        printed = run("train", "softmax", "--data", data, "--out", out, "--epochs", 1).stdout
        assert "pictures plain" in printed
        assert byhand.load(out / "model.safetensors").pictures == "plain"
    out = tmp_path / "asked"
    options = ("--epochs", 1, "--pictures", "digits")
    run("train", "softmax", "--data", idx, "--out", out, *options)
    assert byhand.load(out / "model.safetensors").pictures == "digits"
    run("train", "--resume", out, "--epochs", 1)
    assert byhand.load(out / "model.safetensors").pictures == "digits"


@pytest.mark.slow
def test_photographs_can_be_prepared_for_training(tmp_path: Path) -> None:
    data, out = photographs(tmp_path / "data", 20), tmp_path / "run"
    options = ("--data", data, "--out", out, "--epochs", 1, "--pictures")
    run("train", "softmax", *options, "digits")
    model = byhand.load(out / "model.safetensors")
    assert model.pictures == "digits" and model.input_shape == (1, 28, 28)
    run("data", "from-png", data, tmp_path / "idx", "--pictures", "digits")
    train, _ = byhand.data.load_folder(tmp_path / "idx")
    assert suitable(train.images[:, np.newaxis]) == "digits"
    run("data", "show", "--data", data, "--out", tmp_path / "a.png", "--pictures", "digits")


def test_colour_and_digits_do_not_go_together(tmp_path: Path) -> None:
    colour = models.softmax_regression(input_shape=(3, 8, 8))
    colour.save(tmp_path / "model.safetensors")
    (tmp_path / "a.png").write_bytes(drawing_png(3))
    arguments = ("predict", tmp_path / "model.safetensors", tmp_path / "a.png")
    assert "only grey images" in run(*arguments, "--pictures", "digits", code=2).stderr
    assert run(*arguments).stderr == "byhand: pictures taken as they are, resized\n"
    assert "No such file" in only_line(run(*arguments[:2], tmp_path / "none.png", code=1))
