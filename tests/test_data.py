"""byhand.data: data sets, the file formats that it reads, and which data are MNIST."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import Trainer, data, evaluate, models, optim
from byhand.cli.data import locate
from byhand.data import DataError, Dataset, DataWarning, official
from byhand.data.folder import data_folder

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def make_arrays(train: int = 7, test: int = 3, height: int = 6, width: int = 6) -> Arrays:
    """Make x_train, y_train, x_test, y_test. The pixels have every value from 0 to 255."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, ((train + test), height, width), np.uint8)
    pixels.flat[:256] = np.arange(256)[: pixels.size]
    labels = rng.integers(0, 10, train + test, np.uint8)
    return pixels[:train], labels[:train], pixels[train:], labels[train:]


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx(folder: Path, arrays: Arrays, *, dot: bool = False, packed: bool = False) -> None:
    for name, array in zip(NAMES, arrays, strict=True):
        name = name.replace("-idx", ".idx") if dot else name
        content = idx(array)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def write_npz(folder: Path, arrays: Arrays, save: Callable[..., None] = np.savez) -> None:
    keys = ("x_train", "y_train", "x_test", "y_test")
    save(folder / "mnist.npz", **dict(zip(keys, arrays, strict=True)))


def write_json(folder: Path, splits: Any) -> None:
    (folder / "mnist.json.gz").write_bytes(gzip.compress(json.dumps(splits).encode()))


def json_splits(arrays: Arrays, scale: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return the three parts of mnist.json.gz. The last two training images are for validation."""
    x_train, y_train, x_test, y_test = arrays
    parts = ((x_train[:-2], y_train[:-2]), (x_train[-2:], y_train[-2:]), (x_test, y_test))
    return [[scale(x.reshape(len(x), -1)).tolist(), y.tolist()] for x, y in parts]


WRITERS: dict[str, Callable[[Path, Arrays], None]] = {
    "idx": write_idx,
    "idx.gz": lambda folder, a: write_idx(folder, a, packed=True),
    "dotted": lambda folder, a: write_idx(folder, a, dot=True),
    "dotted.gz": lambda folder, a: write_idx(folder, a, dot=True, packed=True),
    "npz": write_npz,
    "npz, deflated": lambda folder, a: write_npz(folder, a, np.savez_compressed),
    "json, k/255": lambda folder, a: write_json(folder, json_splits(a, lambda x: x / 255)),
    "json, k/256": lambda folder, a: write_json(folder, json_splits(a, lambda x: x / 256)),
    "json, float32": lambda folder, a: write_json(
        folder, json_splits(a, lambda x: x.astype(np.float32) / np.float32(255))
    ),
    "json, 7 digits": lambda folder, a: write_json(
        folder, json_splits(a, lambda x: np.round(x / 255, 7))
    ),
}


def assert_holds(sets: tuple[Dataset, Dataset], arrays: Arrays) -> None:
    train, test = sets
    actual = (train.images, train.labels, test.images, test.labels)
    for got, expected in zip(actual, arrays, strict=True):
        assert got.dtype == np.uint8
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_bytes(form: str, tmp_path: Path) -> None:
    arrays = make_arrays()
    WRITERS[form](tmp_path, arrays)
    assert_holds(data.load_folder(tmp_path), arrays)
    assert_holds(data.load_folder(str(tmp_path)), arrays)
    assert_holds(data.mnist(tmp_path), arrays)


@pytest.mark.parametrize("form", ["idx", "idx.gz", "npz"])
def test_images_of_any_size(form: str, tmp_path: Path) -> None:
    arrays = make_arrays(train=4, test=1, height=3, width=17)
    WRITERS[form](tmp_path, arrays)
    assert_holds(data.load_folder(tmp_path), arrays)


def test_a_set_may_be_empty(tmp_path: Path) -> None:
    arrays = make_arrays(train=2, test=0)
    write_idx(tmp_path, arrays)
    assert_holds(data.load_folder(tmp_path), arrays)


def test_unpacked_goes_before_gzipped_and_idx_before_npz(tmp_path: Path) -> None:
    arrays, others = make_arrays(), make_arrays(train=5)
    write_idx(tmp_path, others, packed=True)
    write_npz(tmp_path, others)
    write_idx(tmp_path, arrays)
    assert_holds(data.load_folder(tmp_path), arrays)


def test_raw_and_gzipped_files_may_be_mixed(tmp_path: Path) -> None:
    arrays = make_arrays()
    write_idx(tmp_path, arrays, packed=True)
    (tmp_path / f"{NAMES[0]}.gz").unlink()
    (tmp_path / NAMES[0].replace("-idx", ".idx")).write_bytes(idx(arrays[0]))
    assert_holds(data.load_folder(tmp_path), arrays)


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_idx(tmp_path, make_arrays())
    (tmp_path / NAMES[3]).unlink()
    with pytest.raises(DataError, match=rf"{tmp_path}.*{NAMES[3]} missing"):
        data.load_folder(tmp_path)
    with pytest.raises(DataError, match="nowhere does not exist; to fetch MNIST into it: byhand"):
        data.load_folder(tmp_path / "nowhere")


def test_npz_labels_of_any_integer_type(tmp_path: Path) -> None:
    x_train, y_train, x_test, y_test = arrays = make_arrays()
    write_npz(tmp_path, (x_train, y_train.astype(np.int64), x_test, y_test.astype(">u2")))
    assert_holds(data.load_folder(tmp_path), arrays)


def test_dataset() -> None:
    images, labels, *_ = make_arrays(train=7)
    whole = Dataset(images, labels)
    assert len(whole) == 7
    assert repr(whole) == "Dataset(7 images of 6x6)"
    first, rest = whole.split(5)
    np.testing.assert_array_equal(first.images, images[:5])
    np.testing.assert_array_equal(rest.labels, labels[5:])
    assert np.shares_memory(rest.images, images)
    for n in (-1, 8):
        with pytest.raises(ValueError, match=f"n must be from 0 to 7, not {n}"):
            whole.split(n)
    with pytest.raises(AttributeError):
        whole.images = images  # type: ignore[misc]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_hold_out_takes_part_of_each_class(fraction: float) -> None:
    """Every image is in exactly one part, in the original order. The seed decides in which."""
    counts = np.array([40, 1, 0, 7, 2])
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), counts)).astype(np.uint8)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1)  # its number
    whole = Dataset(images, labels, tuple("abcde"))
    train, held = whole.hold_out(fraction, seed=3)
    assert train.class_names == held.class_names == whole.class_names
    places = [part.images.ravel().tolist() for part in (train, held)]
    assert sorted(places[0] + places[1]) == list(range(len(whole)))
    assert all(place == sorted(place) for place in places)
    for part, place in zip((train, held), places, strict=True):
        np.testing.assert_array_equal(part.labels, labels[place])
    assert np.bincount(held.labels, minlength=5).tolist() == [
        *(round(40 * fraction), 0, 0, max(1, round(7 * fraction)), 1)
    ]
    again, other = (whole.hold_out(fraction, seed)[1].images.ravel().tolist() for seed in (3, 4))
    assert again == places[1] != other


def test_hold_out_refuses() -> None:
    images, labels, *_ = make_arrays()
    for fraction in (0, 1, -0.1, 5000, float("nan")):
        with pytest.raises(ValueError, match=f"fraction must be between 0 and 1, not {fraction}"):
            Dataset(images, labels).hold_out(fraction)
    with pytest.raises(ValueError, match="no class has two images"):
        Dataset(images, np.arange(7, dtype=np.uint8)).hold_out(0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[..., None], y), r"channels are last; use .*\(images\[..., 0\]\)"),
        (lambda x, y: (np.stack([x] * 3, axis=3), y), r"transpose\(0, 3, 1, 2\)"),
        (lambda x, y: (x, y, ("a",)), "1 class names .* too few"),
        (lambda x, y: (x, y, ["a"] * 10), "must be a tuple of strings"),
        (lambda x, y: (x, y, ("a",) * 10), "'a' occurs twice"),
        (lambda x, y: (x.astype(np.float32), y), "images must be a uint8 array.*float32"),
        (lambda x, y: (x[0], y), "images must be .* 3 or 4 dimensions"),
        (lambda x, y: (x[:, :, ::2], y), "images must be C-contiguous"),
        (lambda x, y: (x, y[:, None]), "labels must be .* 1 dimensions"),
        (lambda x, y: (x, y.tolist()), "labels must be a uint8 array.*list"),
        (lambda x, y: (x, y[:-1]), "7 images but 6 labels"),
        (lambda x, y: (x[:, :0], y), "no pixels"),
    ],
)
def test_dataset_refuses(change: Callable[..., Any], message: str) -> None:
    images, labels, *_ = make_arrays()
    with pytest.raises(DataError, match=message):
        Dataset(*change(images, labels))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, list])
def test_one_hot(dtype: Any) -> None:
    labels = [3, 0, 2] if dtype is list else np.array([3, 0, 2], dtype)
    rows = data.one_hot(labels, classes=4)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]])


def test_one_hot_of_nothing() -> None:
    assert data.one_hot([]).shape == (0, 10)


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([1.0], 10, TypeError, "labels must be integers, not float64"),
        ([True], 10, TypeError, "labels must be integers, not bool"),
        ([[1]], 10, ValueError, r"one dimension, not the shape \(1, 1\)"),
        ([3, 10], 10, ValueError, "labels must be from 0 to 9, not 10"),
        ([3, -1], 10, ValueError, "labels must be from 0 to 9, not -1"),
        ([0], 0, ValueError, "classes must be at least 1, not 0"),
    ],
)
def test_one_hot_refuses(labels: Any, classes: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.one_hot(labels, classes)


# Recognising MNIST. `official_arrays` makes a small data set count as MNIST.


@pytest.fixture
def official_arrays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Arrays:
    arrays = make_arrays()
    crcs = [f"{zlib.crc32(array.tobytes()):08x}" for array in arrays]
    monkeypatch.setattr(official, "CHECKSUM", "-".join(crcs))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    monkeypatch.delenv("BYHAND_DATA", raising=False)
    return arrays


def names_of(sets: tuple[Dataset, Dataset]) -> set[str]:
    assert all(part.source is not None for part in sets)
    return {part.source.name for part in sets if part.source is not None}


@pytest.mark.parametrize("form", WRITERS)
def test_mnist_is_known_in_every_form(form: str, official_arrays: Arrays, tmp_path: Path) -> None:
    WRITERS[form](tmp_path, official_arrays)
    sets = data.mnist(tmp_path)
    assert names_of(sets) == {"MNIST"}
    assert str(sets[0].source) == f"MNIST, {tmp_path}"
    assert sets[0].split(2)[1].source == sets[0].hold_out(0.5)[0].source == sets[1].source


@pytest.mark.parametrize("form", WRITERS)
def test_a_copy_with_one_change_is_a_data_set_of_its_own(
    form: str, official_arrays: Arrays, tmp_path: Path
) -> None:
    """One value of one array differs. All names and sizes are MNIST's."""
    for changed in range(4):
        folder = tmp_path / str(changed)
        folder.mkdir()
        arrays = [array.copy() for array in official_arrays]
        arrays[changed].flat[-1] ^= 1
        WRITERS[form](folder, tuple(arrays))
        for load in (data.mnist, data.load_folder):
            sets = load(folder)
            assert_holds(sets, tuple(arrays))
            assert names_of(sets) == {""}
            assert str(sets[0].source) == str(folder)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(tuple(array ^ 1 for array in make_arrays()), id="the same shape throughout"),
        pytest.param((*make_arrays(train=8)[:2], *make_arrays()[2:]), id="MNIST's test set"),
        pytest.param(make_arrays(train=8, test=4), id="another shape"),
    ],
)
def test_a_named_folder_with_another_data_set(
    other: Arrays, official_arrays: Arrays, tmp_path: Path
) -> None:
    write_idx(tmp_path, other)
    assert_holds(data.mnist(tmp_path), other)


@pytest.mark.parametrize("form", ["idx", "idx.gz", "npz", "json, k/255"])
def test_another_data_set_in_the_cache_folder_is_said(
    form: str, official_arrays: Arrays, tmp_path: Path
) -> None:
    cache, other = data.cache_folder(), make_arrays(train=8, test=4)
    assert cache.is_relative_to(tmp_path)
    cache.mkdir(parents=True)
    WRITERS[form](cache, other)
    with pytest.warns(DataWarning, match=f"{cache} holds a data set that is not MNIST"):
        sets = data.mnist()
    assert_holds(sets, other)
    assert names_of(sets) == {""}
    write_idx(cache, official_arrays)
    assert_holds(data.mnist(), official_arrays)


def test_a_named_folder_is_never_passed_over(
    official_arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: object, **__: object) -> Path:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(data, "fetch", fetch)
    root, shared, cache = tmp_path / "root", tmp_path / "shared", data.cache_folder()
    of_root, of_shared = make_arrays(train=8, test=4), make_arrays(train=9, test=5)
    for folder in (root, shared, cache):
        folder.mkdir(parents=True)
    write_idx(cache, official_arrays)
    assert_holds(data.mnist(), official_arrays)

    monkeypatch.setenv("BYHAND_DATA", str(shared))
    (shared / "notes.txt").touch()
    with pytest.raises(DataError, match=f"{shared}: no data set"):
        data.mnist()
    write_npz(shared, of_shared)
    assert_holds(data.mnist(), of_shared)

    with pytest.raises(DataError, match=f"{root} is empty; to fetch MNIST into it"):
        data.mnist(root)
    with pytest.raises(DataError, match="fashoin does not exist; to fetch MNIST into it"):
        data.mnist(tmp_path / "fashoin")
    (root / "my.csv").touch()
    with pytest.raises(DataError, match=f"{root}: no data set") as caught:
        data.mnist(root)
    assert "fetch" not in str(caught.value)  # no advice to download into a folder of the user
    write_idx(root, of_root)
    assert_holds(data.mnist(root), of_root)


@pytest.mark.parametrize("packed", [False, True])
def test_gzip_is_known_by_its_content(packed: bool, tmp_path: Path) -> None:
    """A browser may unpack a file that it saves, and a person may rename a file."""
    arrays = make_arrays()
    for name, array in zip(NAMES, arrays, strict=True):
        path = tmp_path / (name if packed else f"{name}.gz")
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    assert_holds(data.load_folder(tmp_path), arrays)


def test_json_without_gzip(tmp_path: Path) -> None:
    arrays = make_arrays()
    splits = json_splits(arrays, lambda x: x / 255)
    (tmp_path / "mnist.json.gz").write_bytes(json.dumps(splits).encode())
    assert_holds(data.load_folder(tmp_path), arrays)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_npz_with_channels_last(channels: int, save: Callable[..., None], tmp_path: Path) -> None:
    """Keras stores the channels in the last axis."""
    x_train, y_train, x_test, y_test = make_arrays()
    last = [np.repeat(x[..., np.newaxis], channels, axis=3) for x in (x_train, x_test)]
    for x in last:
        x[..., -1] //= 2  # makes the channels differ
    write_npz(tmp_path, (last[0], y_train, last[1], y_test), save)
    first = [x[..., 0] if channels == 1 else x.transpose(0, 3, 1, 2) for x in last]
    assert_holds(data.load_folder(tmp_path), (first[0], y_train, first[1], y_test))


@pytest.mark.parametrize("file", ["classes.txt", "class_names.txt", "labels.txt"])
def test_class_names_beside_the_files(file: str, tmp_path: Path) -> None:
    write_idx(tmp_path, make_arrays())
    names = tuple(f"name {i}" for i in range(10))
    (tmp_path / file).write_text("\ufeff" + "\r\n".join(names) + "\r\n\r\n", "utf-8")
    for part in data.load_folder(tmp_path):
        assert part.class_names == names
    other = [name.upper() for name in names]
    assert data.load_folder(tmp_path, class_names=other)[0].class_names == tuple(other)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one\ntwo\n", "2 class names .one, two, .* are too few: labels go up to 9"),
        ("same\n" * 20, "class names must differ, but 'same' occurs twice"),
    ],
)
def test_a_file_that_cannot_be_class_names_is_said(text: str, reason: str, tmp_path: Path) -> None:
    arrays = make_arrays()
    arrays[1][0] = 9
    write_idx(tmp_path, arrays)
    (tmp_path / "labels.txt").write_text(text)
    with pytest.warns(DataWarning, match=f"{tmp_path}/labels.txt is not used: {reason}"):
        assert data.load_folder(tmp_path)[0].class_names is None
    with pytest.raises(DataError, match=f"{tmp_path}: {reason}"):
        data.load_folder(tmp_path, class_names=text.split())


def test_a_named_folder_must_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError, match=f"root must be a folder, not '{file}'"):
        data.mnist(file)
    monkeypatch.setenv("BYHAND_DATA", str(file))
    with pytest.raises(DataError, match=f"BYHAND_DATA must be a folder, not '{file}'"):
        data.mnist()


def test_a_folder_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="root must be a folder, not ''"):
        data.mnist("")
    monkeypatch.setenv("BYHAND_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == data.cache_folder()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_with_channels_last_get_advice_that_works(channels: int) -> None:
    """The error gives the advice in every function that takes images."""
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, channels), np.uint8)
    labels = np.array([0, 1, 0, 1], np.uint8)
    model = models.softmax_regression(input_shape=(channels, 28, 28))
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.1))
    for call in (
        lambda x: Dataset(x, labels),
        lambda x: trainer.fit((x, labels), epochs=1),
        lambda x: evaluate(model, (x, labels)),
        model.predict,
        model.predict_proba,
        model.outputs,
    ):
        with pytest.raises(ValueError, match="channels are last") as caught:
            call(images)
        advice = str(caught.value).partition("; use ")[2]
        call(eval(advice, {"np": np, "images": images}))


def test_the_folder_of_a_user_who_does_not_exist() -> None:
    with pytest.raises(DataError, match="root must be a folder, not '~nosuch/x'"):
        data.mnist("~nosuch/x")


def test_the_official_table() -> None:
    """The sizes of the files follow from the format: 60,000 and 10,000 images of 28 x 28."""
    for name, count in ((NAMES[0], 60_000), (NAMES[2], 10_000)):
        assert official.OFFICIAL[name][0] == 16 + count * 28 * 28
    for name, count in ((NAMES[1], 60_000), (NAMES[3], 10_000)):
        assert official.OFFICIAL[name][0] == 8 + count
    assert all(len(bytes.fromhex(digest)) == 32 for _, digest in official.OFFICIAL.values())


@pytest.mark.slow
def test_real_mnist(mnist: tuple[Dataset, Dataset]) -> None:
    train, test = mnist
    assert repr(train) == "Dataset(60,000 images of 28x28)"
    assert len(test) == 10_000
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    actual = (train.images, train.labels, test.images, test.labels)
    for name, array in zip(NAMES, actual, strict=True):
        assert hashlib.sha256(idx(array)).hexdigest() == official.OFFICIAL[name][1]
    # The published mean and standard deviation of the training pixels.
    assert round(train.images.mean() / 255, 4) == 0.1307
    assert round(train.images.std() / 255, 4) == 0.3081


def test_importing_byhand_data_loads_no_network_code() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import byhand.data; "
        "slow = {'http.client', 'urllib.request', 'tarfile', 'platformdirs', "
        "'byhand.data.formats'}; "
        "print(sorted(slow & (set(sys.modules) - before)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"


def test_the_folder_in_which_torchvision_keeps_mnist_is_named(tmp_path: Path) -> None:
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    write_idx(tmp_path / "MNIST" / "raw", make_arrays())
    for root, inner in ((tmp_path, "MNIST/raw"), (tmp_path / "MNIST", "raw")):
        said = f"{root}: no data set, but {root / inner} holds one: give that folder instead"
        with pytest.raises(DataError, match=re.escape(said)):
            data.load_folder(root)
        with pytest.raises(DataError, match=re.escape(said)):
            locate(root)
    assert locate(tmp_path / "MNIST" / "raw") is not None
