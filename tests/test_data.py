"""byhand.data: what a data set is, the forms it is read from, and which files must be MNIST's."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import data
from byhand.data import DataError, Dataset, official

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def make_arrays(train: int = 7, test: int = 3, height: int = 6, width: int = 6) -> Arrays:
    """x_train, y_train, x_test, y_test with every byte from 0 to 255 among the pixels."""
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
    """The last two training images become the validation set."""
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
    with pytest.raises(DataError, match=NAMES[0]):
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
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


# Which files must be MNIST's. `official_arrays` makes a small data set the official one.


@pytest.fixture
def official_arrays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Arrays:
    arrays = make_arrays()
    for name, array in zip(NAMES, arrays, strict=True):
        content = idx(array)
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(official.OFFICIAL, name, (len(content), digest))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    monkeypatch.delenv("BYHAND_DATA", raising=False)
    return arrays


def with_another_pixel(arrays: Arrays) -> Arrays:
    x_train = arrays[0].copy()
    x_train[-1, -1, -1] ^= 1
    return (x_train, *arrays[1:])


@pytest.mark.parametrize("dot", [False, True])
def test_a_named_folder_with_mnist_and_a_damaged_copy(
    dot: bool, official_arrays: Arrays, tmp_path: Path
) -> None:
    write_idx(tmp_path, official_arrays, dot=dot)
    assert_holds(data.mnist(tmp_path), official_arrays)

    other = with_another_pixel(official_arrays)
    write_idx(tmp_path, other, dot=dot)
    with pytest.raises(DataError, match=rf"{tmp_path}/train-images.*not MNIST's.*damaged"):
        data.mnist(tmp_path)
    assert_holds(data.load_folder(tmp_path), other)


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
def test_the_cache_folder_holds_mnist_only(
    form: str, official_arrays: Arrays, tmp_path: Path
) -> None:
    cache = data.cache_folder()
    assert cache.is_relative_to(tmp_path)
    cache.mkdir(parents=True)
    WRITERS[form](cache, make_arrays(train=8, test=4))
    with pytest.raises(DataError, match="not MNIST's"):
        data.mnist()
    write_idx(cache, official_arrays)
    assert_holds(data.mnist(), official_arrays)


def test_folders_in_order(
    official_arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, shared, cache = tmp_path / "root", tmp_path / "shared", data.cache_folder()
    of_root, of_shared = make_arrays(train=8, test=4), make_arrays(train=9, test=5)
    for folder in (root, shared, cache):
        folder.mkdir(parents=True)
    write_idx(cache, official_arrays)
    monkeypatch.setenv("BYHAND_DATA", str(shared))
    assert_holds(data.mnist(root), official_arrays)  # both named folders are empty
    write_npz(shared, of_shared)
    assert_holds(data.mnist(root), of_shared)
    assert_holds(data.mnist(), of_shared)
    write_idx(root, of_root)
    assert_holds(data.mnist(root), of_root)


def test_a_named_folder_must_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError, match=f"root must be a folder, not '{file}'"):
        data.mnist(file)
    monkeypatch.setenv("BYHAND_DATA", str(file))
    with pytest.raises(DataError, match=f"BYHAND_DATA must be a folder, not '{file}'"):
        data.mnist()


def test_the_folder_of_a_user_who_does_not_exist() -> None:
    with pytest.raises(DataError, match="root must be a folder, not '~nosuch/x'"):
        data.mnist("~nosuch/x")


def test_the_official_table() -> None:
    """The sizes follow from the format; 60,000 and 10,000 images of 28x28."""
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
        "print([m for m in ('urllib.request', 'tarfile', 'platformdirs', 'byhand.data.formats') "
        "if m in set(sys.modules) - before])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"
