"""byhand.data: if a file is cut, changed or wrong, a DataError names it.

The memory stays bounded.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import data
from byhand.data import DataError
from byhand.data.formats import read_json, read_npz
from byhand.data.idx import parse_idx
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data import idx, json_splits, make_arrays, write_idx, write_npz

MIB = 1 << 20
ARRAYS = make_arrays()
IMAGES = ARRAYS[0]
RAW = idx(IMAGES)
PACKED = gzip.compress(RAW)
JSON = json.dumps(json_splits(ARRAYS, lambda x: x / 255)).encode()

# A busy machine may stop a test for longer than hypothesis allows by default.
any_time = settings(deadline=None)


def npz(save: Callable[..., None] = np.savez_compressed, **change: Any) -> bytes:
    keys = ("x_train", "y_train", "x_test", "y_test")
    file = io.BytesIO()
    save(file, **(dict(zip(keys, ARRAYS, strict=True)) | change))
    return file.getvalue()


NPZ = npz()


def parse(content: bytes, name: str = "images", ndim: int = 3) -> np.ndarray:
    return parse_idx(np.frombuffer(content, np.uint8), ndim, Path(name))


def parse_npz(content: bytes) -> Any:
    return read_npz(np.frombuffer(content, np.uint8), Path("mnist.npz"))


def parse_json(text: bytes) -> Any:
    return read_json(np.frombuffer(gzip.compress(text), np.uint8), Path("mnist.json.gz"))


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def bits_of(content: bytes) -> st.SearchStrategy[int]:
    return st.integers(0, 8 * len(content) - 1)


def peak_memory(action: Callable[[], Any]) -> int:
    """Return the most bytes that a refused read allocates. NumPy reports arrays to tracemalloc."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# IDX


def test_idx_cut() -> None:
    for size in (*range(17), len(RAW) - 1):
        with pytest.raises(DataError, match="images: "):
            parse(RAW[:size])


def test_gzipped_idx_cut() -> None:
    for size in range(len(PACKED)):
        with pytest.raises(DataError, match=r"images\.gz: "):
            parse(PACKED[:size], "images.gz")


@any_time
@given(bits_of(RAW[:16]))
def test_idx_header_flipped(bit: int) -> None:
    with pytest.raises(DataError, match="images: "):
        parse(flipped(RAW, bit))


@any_time
@given(bits_of(RAW[16:]))
def test_idx_pixel_flipped_is_another_image(bit: int) -> None:
    """IDX has no checksum: the array has the right shape, and one pixel differs."""
    images = parse(flipped(RAW, bit + 8 * 16))
    assert images.shape == IMAGES.shape
    assert np.count_nonzero(images != IMAGES) == 1


@any_time
@given(bits_of(PACKED))
def test_gzipped_idx_flipped(bit: int) -> None:
    """A flipped bit is refused, or lies where no checksum covers it, as in the time stamp."""
    try:
        images = parse(flipped(PACKED, bit), "images.gz")
    except DataError as error:
        assert "images.gz: " in str(error)
    else:
        np.testing.assert_array_equal(images, IMAGES)


@any_time
@given(st.binary(max_size=64), st.sampled_from(["images", "images.gz"]), st.sampled_from([1, 3]))
def test_idx_of_any_bytes(content: bytes, name: str, ndim: int) -> None:
    try:
        assert parse(content, name, ndim).ndim == ndim
    except DataError as error:
        assert str(error).startswith(f"{name}: ")


@pytest.mark.parametrize("shape", [(0, 6, 6), (6, 6, 6), (8, 6, 6), (2**32 - 1,) * 3, (7, 6, 0)])
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_idx_that_lies_about_its_shape(shape: tuple[int, ...], name: str) -> None:
    content = RAW[:4] + struct.pack(">3I", *shape) + RAW[16:]
    with pytest.raises(DataError, match="images"):
        parse(gzip.compress(content) if name.endswith(".gz") else content, name)


def test_idx_of_another_type_or_rank() -> None:
    with pytest.raises(DataError, match="starts with 00000803, this one with 00000d03"):
        parse(RAW[:2] + b"\x0d" + RAW[3:])
    with pytest.raises(DataError, match="in 1 dimensions starts with 00000801"):
        parse(RAW, ndim=1)


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_idx_trailing_byte(name: str) -> None:
    content = RAW + b"\0"
    with pytest.raises(DataError, match="there are more"):
        parse(gzip.compress(content) if name.endswith(".gz") else content, name)


@pytest.mark.slow
def test_gzip_bomb() -> None:
    """A small file unpacks to 64 MiB of zeros.

    Its header promises 16 KiB, or an impossible size.
    """
    bomb = gzip.compress(RAW[:4] + struct.pack(">3I", 16, 32, 32) + bytes(64 * MIB))
    assert len(bomb) < MIB
    assert peak_memory(lambda: parse(bomb, "images.gz")) < MIB
    bomb = gzip.compress(RAW[:4] + struct.pack(">3I", *(2**32 - 1,) * 3) + bytes(64 * MIB))
    assert peak_memory(lambda: parse(bomb, "images.gz")) < MIB


def test_a_promise_allocates_nothing() -> None:
    """A promised size allocates nothing.

    The header promises 50 MB. 50 kB of gzip can hold that much, but these hold only 50 kB.
    """
    pixels = np.random.default_rng(0).integers(0, 256, 50_000, np.uint8).tobytes()
    content = gzip.compress(RAW[:4] + struct.pack(">3I", 50, 1000, 1000) + pixels)
    assert peak_memory(lambda: parse(content, "images.gz")) < MIB


def test_numbers_of_images_and_labels_must_agree(tmp_path: Path) -> None:
    x_train, y_train, x_test, y_test = ARRAYS
    write_idx(tmp_path, (x_train, y_train[:-1], x_test, y_test))
    with pytest.raises(DataError, match=f"{tmp_path}: 7 images but 6 labels"):
        data.load_folder(tmp_path)


def test_training_and_test_images_must_have_one_size(tmp_path: Path) -> None:
    x_train, y_train, x_test, y_test = ARRAYS
    write_idx(tmp_path, (x_train, y_train, x_test[:, :5], y_test))
    with pytest.raises(DataError, match=rf"{tmp_path}: .*differ in size.* 6x6.* 5x6"):
        data.load_folder(tmp_path)


def test_images_without_pixels(tmp_path: Path) -> None:
    x_train, y_train, x_test, y_test = ARRAYS
    write_idx(tmp_path, (x_train[:, :0], y_train, x_test[:, :0], y_test))
    with pytest.raises(DataError, match=f"{tmp_path}: .* no pixels"):
        data.load_folder(tmp_path)


# NPZ


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.array([None, {}], object)}, "x_train must hold integers, not object"),
        ({"y_test": np.array(["7"])}, "y_test must hold integers, not <U1"),
        ({"x_train": IMAGES / 255}, "x_train must hold integers, not float64"),
        ({"x_train": IMAGES.view([("a", "u1")])}, "x_train must hold integers"),
        ({"y_train": ARRAYS[1].astype(np.int64) + 256}, "from 0 to 255, not int64 from 2.. to 2.."),
        ({"y_train": ARRAYS[1].astype(np.int64) - 10}, "must be integers from 0 to 255"),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_arrays_that_are_not_bytes(
    save: Callable[..., None], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=rf"mnist\.npz: .*{message}"):
        parse_npz(npz(save, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": IMAGES.reshape(7, 36)}, "images must be .* 3 or 4 dimensions"),
        ({"y_train": ARRAYS[1][:, None]}, "labels must be .* 1 dimensions"),
        ({"y_train": ARRAYS[1][1:]}, "7 images but 6 labels"),
    ],
)
def test_npz_shapes(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").write_bytes(npz(**change))
    with pytest.raises(DataError, match=f"{tmp_path}: {message}"):
        data.load_folder(tmp_path)


def test_npz_fortran_order_is_read_as_it_is_meant(tmp_path: Path) -> None:
    write_npz(tmp_path, (np.asfortranarray(IMAGES), *ARRAYS[1:]))
    train, _ = data.load_folder(tmp_path)
    np.testing.assert_array_equal(train.images, IMAGES)


def test_npz_without_an_array() -> None:
    file = io.BytesIO()
    np.savez(file, x_train=IMAGES)
    with pytest.raises(DataError, match=r"mnist\.npz: .*y_train"):
        parse_npz(file.getvalue())


def test_npz_cut() -> None:
    for size in range(len(NPZ)):
        with pytest.raises(DataError, match=r"mnist\.npz: "):
            parse_npz(NPZ[:size])


@pytest.mark.slow
@any_time
@given(bits_of(NPZ))
def test_npz_flipped(bit: int) -> None:
    try:
        arrays = parse_npz(flipped(NPZ, bit))
    except DataError as error:
        assert "mnist.npz: " in str(error)
    else:
        for got, expected in zip(arrays, ARRAYS, strict=True):
            np.testing.assert_array_equal(got, expected)


def zip_of(header_shape: tuple[int, ...], body: bytes, method: int) -> bytes:
    """Make an archive in which x_train has the header `header_shape` and the content `body`."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "|u1", "fortran_order": False, "shape": header_shape}
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("x_train.npy", member.getvalue() + body)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(2**31, 2**31, 2), (1000, 1000, 1000), (-1, -64, 1), (3, 4, 5)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_npz_that_lies_about_a_shape(shape: tuple[int, ...], method: int) -> None:
    content = zip_of(shape, bytes(64), method)
    with pytest.raises(DataError, match="x_train of shape"):
        parse_npz(content)
    assert peak_memory(lambda: parse_npz(content)) < MIB


def test_npz_that_lies_about_a_size() -> None:
    """Both entries for the unpacked size of x_train claim 1 GiB, as its shape does."""
    content = zip_of((1024, 1024, 1024), bytes(64), zipfile.ZIP_DEFLATED)
    size = struct.pack("<I", zipfile.ZipFile(io.BytesIO(content)).infolist()[0].file_size)
    claim = struct.pack("<I", struct.unpack("<I", size)[0] - 64 + 1024**3)
    assert content.count(size) == 2
    content = content.replace(size, claim)
    with pytest.raises(DataError, match="more than the file can hold"):
        parse_npz(content)
    assert peak_memory(lambda: parse_npz(content)) < MIB


@pytest.mark.slow
def test_npz_bomb() -> None:
    content = zip_of((1, 8, 8), bytes(64 * MIB), zipfile.ZIP_DEFLATED)
    assert len(content) < MIB
    assert peak_memory(lambda: parse_npz(content)) < MIB


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_npz_of_another_compression(method: int) -> None:
    """bzip2 compresses 64 MiB of zeros to 50 bytes, so the file's size gives no bound."""
    with pytest.raises(DataError, match="neither stored nor deflated"):
        parse_npz(zip_of((1, 8, 8), bytes(64), method))


# JSON


def test_json_cut() -> None:
    for size in (*range(0, len(JSON), 97), len(JSON) - 1):
        with pytest.raises(DataError, match=r"mnist\.json\.gz: "):
            parse_json(JSON[:size])


@any_time
@given(bits_of(JSON))
def test_json_flipped(bit: int) -> None:
    """A changed text is refused, or read as images of the same size. JSON has no checksum."""
    try:
        x_train, y_train, x_test, y_test = parse_json(flipped(JSON, bit))
    except DataError as error:
        assert "mnist.json.gz: " in str(error)
    else:
        assert x_train.shape[1:] == x_test.shape[1:] == IMAGES.shape[1:]
        assert y_train.dtype == y_test.dtype == np.uint8


IMAGE, LABEL = "[[0, 0.2, 0.6, 1]]", "[7]"
SET = f"[{IMAGE}, {LABEL}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "3 sets of square images, not 0"),
        ("{}", "ends early or goes on"),
        ("[]", r"numbers at \(0,\)"),
        ("[[[1, 2]]]", r"numbers at \(0, 0, 0\)"),
        (f"[{SET}, {SET}]", "3 sets of square images, not 2"),
        (f"[{SET}, {SET}, {SET}, {SET}]", r"numbers at \(0, 3, 0, 0\)"),
        (f"[{SET}, {SET}, {SET}] [{SET}]", r"numbers at \(1, 0, 0, 0\)"),
        (f"[{SET}, {SET}, {SET}", "ends early"),
        (f"[{SET}, {SET}, {SET}] 1", "goes on after its end"),
        (f"[{SET}, {SET}, {SET}]]", "nested in another way"),
        (f'[{SET}, "train", {SET}, {SET}]', "where a list is expected"),
        (f"[{SET}, {SET}, [[{IMAGE}], {LABEL}]]", "nested in another way"),
        (f"[{SET}, {SET}, [{IMAGE}]]", "3 sets of square images, not 2"),
        (f"[{SET}, {SET}, [{IMAGE}, {LABEL}, {LABEL}]]", r"numbers at \(0, 2, 2\)"),
        (f'[{SET}, {SET}, [[["0", "0"]], {LABEL}]]', "not of numbers"),
        (f"[{SET}, {SET}, [[[{{}}]], {LABEL}]]", "not of numbers"),
        (f"[{SET}, {SET}, [[[true]], {LABEL}]]", "not of numbers"),
        (f"[{SET}, {SET}, [[1, [0]], {LABEL}]]", "where a list is expected"),
        (f"[{SET}, {SET}, [[[0], 1], {LABEL}]]", "not 4 and then 1 pixels"),
        (
            f"[{SET}, {SET}, [[[0, 1]], {LABEL}]]",
            "not 4 and then 2 pixels",
        ),
        (f"[{SET}, {SET}, [{IMAGE}, [7.0]]]", "must be integers from 0 to 255"),
        (f"[{SET}, {SET}, [{IMAGE}, [256]]]", "must be integers from 0 to 255"),
        (f"[{SET}, {SET}, [{IMAGE}, [7,, 8]]]", "Expecting value"),
        *(
            (f"[{SET.replace('0.6', x)}, {SET}, {SET}]", "not whole steps")
            for x in ("0.61", "NaN", "Infinity", "-1", "1.1", "1e999")
        ),
        (f"[{SET.replace('0.2, 0.6', '0.5, 0.5')}, {SET}, {SET}]", "not whole steps"),  # 128/256
        (f"[{SET.replace('0.6', '1' * 30)}, {SET}, {SET}]", "not of numbers"),
        (
            "[[[[0, 0, 0]], [1]], [[[0, 0, 0]], [1]], [[[0, 0, 0]], [1]]]",
            "3 sets of square images, not 3 sets of images with 3 pixels",
        ),
        ("é", "ascii"),
    ],
)
def test_json_that_is_not_mnist(text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"mnist\.json\.gz: .*{message}"):
        parse_json(text.encode())


def test_json_numbers_of_images_and_labels(tmp_path: Path) -> None:
    text = f"[{SET}, [{IMAGE}, [7, 8]], {SET}]"
    (tmp_path / "mnist.json.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match=f"{tmp_path}: 2 images but 3 labels"):
        data.load_folder(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("repeated", [b"0,", b"[", b" ", b"]"])
def test_json_bomb(repeated: bytes) -> None:
    """Endless lists, brackets or blanks: 64 MiB of text in a file of 64 kB."""
    text = b"[[[[" + repeated * (64 * MIB // len(repeated))
    content = np.frombuffer(gzip.compress(text), np.uint8)
    assert peak_memory(lambda: read_json(content, Path("mnist.json.gz"))) < 24 * MIB


@pytest.mark.slow
def test_json_text_is_never_held_whole() -> None:
    """The text is never in memory as a whole: 6 MB of text for 0.3 MB of pixels."""
    row = "[" + ", ".join(["0.00392156862745098"] * 36) + "]"
    images = "[" + ", ".join([row] * 8_000) + "]"
    text = f"[[{images}, [1]], [[], []]".encode()  # cut, so refused at the end
    content = np.frombuffer(gzip.compress(text), np.uint8)
    assert len(text) > 5 * MIB
    assert peak_memory(lambda: read_json(content, Path("mnist.json.gz"))) < 3 * MIB
