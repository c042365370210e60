"""From pictures to images: reading, preparation, class folders, example drawings."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import paper
import pictures as pictures_tool
import pytest
from byhand.data import DataError, Dataset, load_class_folders
from byhand.data.idx import describe_idx, idx_bytes
from byhand.models import lenet5, load, mlp, softmax_regression
from byhand.pictures import PictureError, image_for, plain, prepare, read_picture
from byhand.pictures.drawings import drawing, drawing_png
from byhand.pictures.folders import write_pictures
from byhand.pictures.sheet import Card, sheet_png
from cli_support import make_sets, only_line, run, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import KINDS, Scene, encoded, pictures
from PIL import Image
from test_paper import likeness
from typer.testing import CliRunner, Result


def a_digit() -> np.ndarray:
    """Return an image of a seven as MNIST has it."""
    return prepare(read_picture(drawing_png(7)))


def png(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def drawn(title: str) -> bytes:
    return sheet_png([Card(title, error="no picture")], ["0"])


def test_a_sheet_has_the_letters_of_other_languages() -> None:
    assert len({drawn(f"gr{letter}n.png") for letter in "\u00fc\u00e9\u0436\u03b1"}) == 4
    assert drawn("\udcff")  # a file name that is not Unicode


# --------------------------------------------------------------------------------------------------
# Reading


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_turns_the_picture(orientation: int) -> None:
    digit = a_digit()
    rng = np.random.default_rng(0)
    upright = read_picture(encoded(digit, Scene(), rng))
    turned = encoded(digit, Scene(orientation=orientation), rng)
    assert (np.asarray(Image.open(io.BytesIO(turned))) != upright[..., 0]).any()
    assert (read_picture(turned) == upright).all()


def test_deep_and_odd_modes() -> None:
    digit = a_digit()
    deep = digit.astype(np.uint16) * 257
    assert (read_picture(png(deep))[..., 0] == digit).all()
    for mode, form in (("F", "TIFF"), ("I", "TIFF"), ("1", "PNG"), ("CMYK", "TIFF")):
        file = io.BytesIO()
        Image.fromarray(np.where(digit > 127, 255, 0).astype(np.uint8)).convert(mode).save(
            file, form
        )
        pixels = read_picture(file.getvalue())
        assert ((pixels > 127)[..., 0] == (digit > 127)).all(), mode


@pytest.mark.slow
@pytest.mark.parametrize("bits", range(8, 17))
def test_sixteen_bits_of_which_a_scanner_fills_some(bits: int) -> None:
    page = np.where(a_digit() > 127, 0, 2**bits - 1).astype(np.uint16)
    assert (read_picture(png(page))[..., 0] == np.where(a_digit() > 127, 0, 255)).all()


def test_heic_and_avif_say_what_to_do() -> None:
    head = b"\0\0\0\x20ftyp%s\0\0\0\0mif1" + bytes(64)
    for brand in (b"heic", b"mif1", b"heix"):
        with pytest.raises(PictureError, match=r"HEIC.*save or export it as JPEG"):
            read_picture(head.replace(b"%s", brand))
    with pytest.raises(PictureError, match=r"AVIF|damaged"):
        read_picture(head.replace(b"%s", b"avif"))


def cut(digit: int, ink: int, rim: int | None, soft: bool) -> bytes:
    """Make a picture of opaque ink without paper, whose rim has another grey level."""
    strength = np.asarray(drawing(digit).convert("L").resize((200, 200)), float)
    paper = strength[0, 0]
    strength = np.clip(np.abs(strength - paper) / np.abs(strength - paper).max(), 0, 1)
    alpha = strength if soft else (strength > 0.3).astype(float)
    colour = np.full((200, 200, 3), ink if rim is None else rim, np.uint8)
    colour[strength > 0.8] = ink
    return png(np.dstack((colour, np.rint(255 * alpha).astype(np.uint8))))


@pytest.mark.slow
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("ink", "rim"), [(0, None), (255, None), (10, 250), (240, 10), (0, 128)])
def test_transparency_keeps_the_ink_filled(ink: int, rim: int | None, soft: bool) -> None:
    for digit in (0, 1, 7):
        plain_one = prepare(read_picture(cut(digit, 0, None, soft)))
        image = prepare(read_picture(cut(digit, ink, rim, soft)))
        assert likeness(plain_one, image) > 0.7, digit


def test_ink_cut_out_of_opaque_paper() -> None:
    page = np.asarray(Image.fromarray(a_digit()).resize((140, 140), Image.Resampling.BICUBIC))
    for shade in (255, 90):
        pixels = np.full((140, 140, 4), shade, np.uint8)
        pixels[..., 3] = np.where(page > 127, 0, 255)
        image = prepare(read_picture(png(pixels))).astype(int)
        assert np.abs(image - a_digit()).mean() < 25


def test_a_telephones_two_pictures_in_one_are_its_first() -> None:
    file = io.BytesIO()
    first = Image.fromarray(np.full((40, 40, 3), 200, np.uint8))
    first.save(file, "MPO", save_all=True, append_images=[first.resize((8, 8))])
    assert read_picture(file.getvalue()).shape == (40, 40, 1)


def test_a_large_picture_is_made_smaller() -> None:
    assert read_picture(png(np.zeros((10, 5000), np.uint8))).shape == (4, 2048, 1)


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(noise: bytes, place: int, value: int) -> None:
    damaged = bytearray(png(a_digit_once))
    damaged[place % len(damaged)] = value
    for content in (noise, bytes(damaged), bytes(damaged)[:place]):
        try:
            pixels = read_picture(content)
        except PictureError:
            continue
        assert pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3)


a_digit_once = a_digit()


# --------------------------------------------------------------------------------------------------
# Preparation


@pytest.mark.slow
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
        elements=st.one_of(st.just(0), st.integers(0, 255)),
    )
)
@settings(max_examples=150, deadline=None)
def test_what_is_prepared_is_as_mnist_is(pixels: np.ndarray) -> None:
    try:
        image = prepare(pixels)
    except PictureError:
        return
    assert image.shape == (28, 28) and image.dtype == np.uint8
    assert image.max() >= 250
    for mass in (image.sum(0, dtype=float), image.sum(1, dtype=float)):
        inked = np.flatnonzero(mass)
        assert inked[-1] - inked[0] < 20
        # The ink is only as far from the middle as the edge of the image forces it to be.
        middle = (mass * np.arange(28)).sum() / mass.sum()
        assert abs(middle - 14) <= 0.55 or inked[0] <= 1 or inked[-1] >= 26


@pytest.mark.slow
def test_what_is_prepared_stays() -> None:
    for digit in range(10):
        image = prepare(read_picture(drawing_png(digit)))
        assert (prepare(image[..., np.newaxis]) == image).all()


def test_a_dithered_picture_has_strokes_as_wide_as_the_grey_one() -> None:
    side = np.asarray(Image.fromarray(255 - a_digit()).resize((280, 280), Image.Resampling.BICUBIC))
    dots = np.asarray(Image.fromarray(side).convert("1"))
    grey, dithered = (
        prepare(pixels.astype(np.uint8)[..., np.newaxis]) for pixels in (side, 255 * dots)
    )
    assert abs((dithered > 127).mean() / (grey > 127).mean() - 1) < 0.1


def test_other_sizes_keep_mnists_proportions() -> None:
    image = prepare(read_picture(drawing_png(7)), 56, 70)
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert image.shape == (56, 70)
    assert 38 <= rows[-1] - rows[0] + 1 <= 40 and columns[-1] - columns[0] + 1 <= 50


def test_blank_paper_is_refused_however_it_looks() -> None:
    rng = np.random.default_rng(1)
    slope = np.linspace(90, 230, 200)[:, np.newaxis] + np.zeros(200)
    for page in (np.full((200, 200), 255), slope, slope + rng.normal(0, 8, (200, 200))):
        with pytest.raises(PictureError, match="blank"):
            prepare(np.rint(page).astype(np.uint8)[..., np.newaxis])


def test_paper_cut_out_of_a_transparent_picture() -> None:
    pixels = np.asarray(drawing(3).resize((300, 300)).convert("RGBA")).copy()
    whole = prepare(read_picture(png(pixels)))
    corner = np.hypot(*np.mgrid[:300, :300]) < 60
    pixels[corner | corner[::-1] | corner[:, ::-1] | corner[::-1, ::-1], 3] = 0
    assert np.abs(prepare(read_picture(png(pixels))).astype(int) - whole).max() <= 2


def test_specks_and_the_edge_of_the_paper_go() -> None:
    page = np.full((200, 200), 240, np.uint8)
    page[60:140, 95:105] = 30  # a one
    alone = prepare(page[..., np.newaxis])
    page[20:23, 20:23] = 30  # a speck
    page[:, :12] = 10  # the table
    assert (prepare(page[..., np.newaxis]) == alone).all()


def test_plain_is_a_resize() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert (plain(pixels, 3, 4, 4) == pixels.transpose(2, 0, 1)).all()
    assert plain(pixels, 1, 28, 28).shape == (28, 28)
    with pytest.raises(PictureError, match="2 channels"):
        plain(pixels, 2, 4, 4)


def test_the_model_decides_how() -> None:
    source = drawing_png(7)
    model = softmax_regression()
    assert (image_for(model, source)[0] == a_digit_once).all()
    raw, pixels = image_for(model, source, "plain")
    assert (raw == plain(pixels, 1, 28, 28)).all()
    model.pictures = "plain"
    assert (image_for(model, source)[0] == raw).all()
    colour = softmax_regression(input_shape=(3, 16, 16))
    assert (image_for(colour, source)[0] == plain(pixels, 3, 16, 16)).all()


# --------------------------------------------------------------------------------------------------
# Accuracy, on pictures that tools/pictures.py draws


@pytest.fixture(scope="module")
def trained(mnist: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of LeNet-5 after one epoch."""
    out = tmp_path_factory.mktemp("runs") / "lenet5"
    run("train", "lenet5", "--epochs", 1, "--out", out)
    return out


def read_pictures(*arguments: object) -> Result:
    result = CliRunner().invoke(pictures_tool.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.slow
def test_1000_digits_on_other_backgrounds(trained: Path) -> None:
    kinds = [part for kind in KINDS for part in ("--kind", kind)]
    result = read_pictures(trained, *kinds, "--json", trained / "pictures.json")
    found = json.loads((trained / "pictures.json").read_text())
    assert found["pictures"] == 1000 and set(found["accuracy"]) == set(KINDS)
    assert found["mean"] >= 0.97, result.stdout
    assert min(found["accuracy"].values()) >= 0.93, result.stdout


@pytest.mark.slow
def test_paper_with_more_on_it_than_a_digit(trained: Path, tmp_path: Path) -> None:
    kinds = [part for kind in (*paper.KINDS, paper.SEVERAL) for part in ("--kind", kind)]
    options = ["--count", 12, "--json", tmp_path / "found.json", "--wrong", tmp_path / "wrong.png"]
    result = read_pictures(trained, *kinds, *options)
    found = json.loads((tmp_path / "found.json").read_text())
    several = found["several"].pop(paper.SEVERAL)
    found["accuracy"].pop(paper.SEVERAL)  # digits that touch each other are read as one
    assert several >= 0.75, result.stdout
    assert np.mean(list(found["several"].values())) <= 0.1, result.stdout
    assert np.mean(list(found["accuracy"].values())) >= 0.9, result.stdout
    assert min(found["accuracy"].values()) >= 0.75, result.stdout
    assert (tmp_path / "wrong.png").read_bytes().startswith(b"\x89PNG")


def test_ten_drawings(trained: Path, tmp_path: Path) -> None:
    run("data", "draw-examples", tmp_path / "drawings")
    lines = run("predict", trained, tmp_path / "drawings", "--json").stdout.splitlines()
    assert [json.loads(line)["digit"] for line in lines] == list(range(10))


def test_pictures_are_the_same_for_the_same_seed() -> None:
    images = np.stack([a_digit_once] * 3)
    for kind in KINDS:
        first, again, other = (list(pictures(images, kind, seed)) for seed in (1, 1, 2))
        assert first == again
        assert first != other or kind == "dark on light"


# --------------------------------------------------------------------------------------------------
# Class folders


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 9), st.sampled_from([1, 3]))
@settings(max_examples=10, deadline=None)
def test_pictures_and_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, height: int, width: int, channels: int
) -> None:
    rng = np.random.default_rng(seed)
    size = (height, width) if channels == 1 else (3, height, width)
    sets = []
    for count in (7, 3):
        images = rng.integers(0, 256, (count, *size), np.uint8)
        if channels == 3:
            images[0, :, 0, 0] = (1, 2, 3)  # certainly a colour
        sets.append(Dataset(images, rng.integers(0, 12, count).astype(np.uint8)))
    folder = tmp_path_factory.mktemp("round") / "pictures"
    write_pictures(folder, *sets)
    for data, back in zip(sets, load_class_folders(folder), strict=True):
        assert back.images.shape == data.images.shape
        assert (back.images == data.images).all() and (back.labels == data.labels).all()


def test_idx_to_png_and_back_on_the_command_line(tmp_path: Path) -> None:
    sets = make_sets(train=40, test=12)
    data = write_folder(tmp_path / "data", sets)
    run("data", "to-png", tmp_path / "pictures", "--data", data)
    digit = tmp_path / "pictures" / "test" / str(sets[1].labels[5]) / "00005.png"
    assert (np.asarray(Image.open(digit)) == sets[1].images[5]).all()
    run("data", "from-png", tmp_path / "pictures", tmp_path / "back")
    for file in data.iterdir():
        assert (tmp_path / "back" / file.name).read_bytes() == file.read_bytes()
    assert "not an empty folder" in only_line(
        run("data", "to-png", tmp_path / "pictures", "--data", data, code=1)
    )


def colours(folder: Path, count: int = 30) -> Path:
    """Write three classes of pictures of several sizes and modes."""
    rng = np.random.default_rng(0)
    for name, colour in (("blue", (30, 40, 200)), ("green", (20, 190, 40)), ("red", (210, 30, 20))):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            height, width = rng.integers(20, 60, 2)
            pixels = np.clip(rng.normal(colour, 25, (height, width, 3)), 0, 255).astype(np.uint8)
            mode = ("RGB", "RGBA", "P")[i % 3]
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{i}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["softmax", "lenet5"])
def test_train_and_predict_with_classes_of_ones_own(name: str, tmp_path: Path) -> None:
    data, out = colours(tmp_path / "data"), tmp_path / "run"
    run(
        "train", name, "--data", data, "--out", out, "--epochs", 8, "--lr", 0.02, "--batch-size", 16
    )
    model = load(out / "model.safetensors")
    assert model.input_shape == (3, 32, 32) and model.class_names == ("blue", "green", "red")
    assert "(15 of 15 images)" in run("evaluate", out, "--data", data).stdout
    lines = run("predict", out, data, "--json").stdout.splitlines()
    answers = [json.loads(line) for line in lines]
    assert len(answers) == 90
    run("data", "show", "--data", data, "--out", tmp_path / "ten.png")
    right = [Path(a["path"]).parent.name == a["class"] for a in answers]
    assert np.mean(right) > 0.95
    other = colours(tmp_path / "other", 2)
    (other / "red").rename(other / "rot")
    assert "rot" in only_line(run("evaluate", out, "--data", other, code=1))


def test_load_class_folders_splits_each_class(tmp_path: Path) -> None:
    train, test = load_class_folders(colours(tmp_path / "data", 13))
    assert train.class_names == test.class_names == ("blue", "green", "red")
    assert np.bincount(train.labels).tolist() == [11] * 3
    assert np.bincount(test.labels).tolist() == [2] * 3
    again = load_class_folders(tmp_path / "data")
    assert (again[0].images == train.images).all()


def test_load_class_folders_refuses(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class folders"):
        load_class_folders(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="no class folders with pictures"):
        load_class_folders(tmp_path)
    for name in ("x.png", "y.png"):
        (tmp_path / "a" / name).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no class folders with.*x\.png \(not a picture\)"):
        load_class_folders(tmp_path)


def test_models_of_other_shapes() -> None:
    for model in (
        softmax_regression(input_shape=(3, 20, 24), classes=5),
        mlp(input_shape=(3, 20, 24), classes=5),
        lenet5(input_shape=(3, 20, 24), classes=5),
    ):
        images = np.zeros((2, 3, 20, 24), np.uint8)
        assert model.predict_proba(images).shape == (2, 5)
    with pytest.raises(ValueError):
        lenet5(input_shape=(1, 8, 8))


# --------------------------------------------------------------------------------------------------
# byhand data describe


@pytest.mark.parametrize("packed", [False, True])
def test_describe(packed: bool, tmp_path: Path) -> None:
    content = idx_bytes(np.arange(7 * 3 * 5, dtype=np.uint8).reshape(7, 3, 5))
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if packed else content)
    lines = run("data", "describe", path).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("bytes", "0-1", "2", "3", "4-7", "8-11", "12-15", "16-120"),
    ]
    for line, part in zip(lines[1:], (b"\0\0", b"\x08", b"\x03", b"\0\0\0\7"), strict=False):
        assert f"  {part.hex(' ')} " in line
    assert "unsigned byte" in lines[2] and lines[4].endswith("the number of items: 7")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "nothing"),
        (b"\x89PNG....", "89 50 4e 47"),
        (b"\0\0\x08\x03\0\0\0\1", "within the IDX header"),
        (idx_bytes(np.zeros((2, 2), np.uint8))[:-1], "promises 4 bytes"),
        (idx_bytes(np.zeros((2, 2), np.uint8)) + b"x", "there are 5"),
        (gzip.compress(idx_bytes(np.zeros(9, np.uint8)), mtime=0)[:-3], "gzip"),
    ],
)
def test_describe_refuses(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        describe_idx(path)
    assert str(path) in only_line(run("data", "describe", path, code=1))


def test_drawings_are_of_their_seed() -> None:
    assert drawing(3, 1).tobytes() == drawing(3, 1).tobytes() != drawing(3, 2).tobytes()
