"""Class folders: which pictures are loaded, what warnings say, and how much memory it takes.

Users of torchvision and Keras should find what they expect.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import Trainer, data, models, optim
from byhand.data import DataError, Dataset, DataWarning
from byhand.pictures import convert, folders
from byhand.pictures.folders import write_pictures
from cli_support import make_sets, only_line, run, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

Sets = tuple[Dataset, Dataset]


def picture(path: Path, value: int = 0, size: tuple[int, int] = (6, 6), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).convert(mode).save(path, "PNG")
    return path


def tree(root: Path, *paths: str) -> Path:
    """Write a picture for each path. The grey level of picture i is i."""
    for value, path in enumerate(paths):
        picture(root / path, value)
    return root


def values(part: Dataset) -> list[tuple[str, int]]:
    """Return the class and the grey level of each picture."""
    assert part.class_names is not None
    return [
        (part.class_names[label], int(image.flat[0]))
        for image, label in zip(part.images, part.labels, strict=True)
    ]


def load(root: Path, *messages: str, **options: object) -> Sets:
    """Load the folder. There must be one warning that has all the messages, or no warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sets = data.load_class_folders(root, **options)  # type: ignore[arg-type]
    assert [w.category for w in caught] == [DataWarning] * bool(messages)
    for message in messages:
        assert message in str(caught[0].message)
    return sets


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN", "trainingSet", "train_data"])
@pytest.mark.parametrize("test", ["test", "Testing", "testSet", "test_data"])
def test_training_and_test_folders(train: str, test: str, tmp_path: Path) -> None:
    tree(tmp_path, f"{train}/cat/a.png", f"{train}/dog/b.png", f"{test}/dog/c.png")
    sets = load(tmp_path)
    assert values(sets[0]) == [("cat", 0), ("dog", 1)]
    assert values(sets[1]) == [("dog", 2)]
    assert sets[0].class_names == ("cat", "dog")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_validation_folders(name: str, tmp_path: Path) -> None:
    tree(tmp_path, "train/cat/a.png", "train/dog/b.png", f"{name}/dog/c.png")
    train, test = load(tmp_path, f"{tmp_path}: {name} is the test set")
    assert values(train) == [("cat", 0), ("dog", 1)]
    assert values(test) == [("dog", 2)]
    picture(tmp_path / "test" / "cat" / "d.png", 3)
    train, test = load(tmp_path, f"the pictures of {name} join the training set")
    assert values(train) == [("cat", 0), ("dog", 1), ("dog", 2)]
    assert values(test) == [("cat", 3)]


def test_sub_folders_of_a_class_belong_to_it(tmp_path: Path) -> None:
    tree(tmp_path, "train/cat/2019/may/a.png", "train/cat/b.png", "train/dog/x/c.png")
    tree(tmp_path, "test/cat/deep/er/a.png")
    (tmp_path / "train" / "dog" / "x" / "again").symlink_to(tmp_path / "train" / "dog")  # a cycle
    elsewhere = tree(tmp_path.parent / f"{tmp_path.name}-elsewhere", "z.png")
    (tmp_path / "train" / "dog" / "linked").symlink_to(elsewhere)
    train, test = load(tmp_path)
    assert values(train) == [("cat", 0), ("cat", 1), ("dog", 2), ("dog", 0)]
    assert values(test) == [("cat", 0)]


def test_a_wrapper_around_it_all_is_opened(tmp_path: Path) -> None:
    """An archive may have been unpacked as archive/train/train/CLASS/..."""
    tree(tmp_path / "archive", "train/train/cat/a.png", "train/train/dog/b.png", "test/cat/c.png")
    tree(tmp_path / "archive", *[f"test/dog/{i}.png" for i in range(2)])
    (tmp_path / "__MACOSX" / "archive").mkdir(parents=True)
    train, test = load(tmp_path)
    assert values(train) == [("cat", 0), ("dog", 1)]
    assert len(test) == 3


@pytest.mark.parametrize(
    "folder", ["{}", "seg_{0}/seg_{0}", "{}_images", "x-{}ing", "My {} Set.v2"]
)
def test_parts_with_more_words_in_their_names(folder: str, tmp_path: Path) -> None:
    train, test = folder.format("train"), folder.format("test")
    tree(tmp_path, f"{train}/cat/a.png", f"{train}/dog/b.png", f"{test}/dog/c.png")
    sets = load(tmp_path)
    assert values(sets[0]) == [("cat", 0), ("dog", 1)]
    assert values(sets[1]) == [("dog", 2)]
    tree(tmp_path, "seg_pred/1.png")
    load(tmp_path, "1 skipped: seg_pred (beside the train folder)")


def test_a_wrapper_beside_other_folders_is_opened(tmp_path: Path) -> None:
    tree(tmp_path / "pictures" / "all", "train/cat/a.png", "train/dog/b.png", "test/cat/c.png")
    tree(tmp_path, "docs/sheet.png")
    train, test = load(tmp_path, "docs (beside pictures, which holds the train folder)")
    assert values(train) == [("cat", 0), ("dog", 1)]
    assert values(test) == [("cat", 2)]


def test_classes_with_folders_of_the_same_names_are_said(tmp_path: Path) -> None:
    names = [f"{who}/{digit}/{i}.png" for who in ("ann", "bob") for digit in "01" for i in "ab"]
    tree(tmp_path, *names)
    train, _ = load(
        tmp_path, "ann, bob are taken for classes", "of the same names, 0, 1. The layout should be"
    )
    assert train.class_names == ("ann", "bob")
    tree(tmp_path, "ann/own.png", "carl/1.png", "carl/2.png")
    load(tmp_path)
    tree(tmp_path / "images", *[f"{c}/images/{i}.png" for c in "ab" for i in "12"])
    load(tmp_path / "images")


def test_the_only_class_is_said_beside_folders_without_pictures(tmp_path: Path) -> None:
    """Data sets for detection have such folders: train/images and train/labels."""
    tree(tmp_path, *[f"train/images/{i}.png" for i in range(6)], "val/images/1.png")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "1.txt").touch()
    load(tmp_path, "images is the only class", "train/labels (a folder without pictures)")


def test_a_single_folder_that_is_taken_for_a_wrapper_is_said(tmp_path: Path) -> None:
    """The single folder may have been meant as a class. A folder named train may not."""
    names = [f"{breed}/{i}.png" for breed in ("siamese", "persian") for i in range(6)]
    for folder in ("cats", "archive/cats"):
        tree(tmp_path / "of" / folder, *names)
        train, _ = load(
            tmp_path / "of", f"{folder} is the only folder, so the classes are the folders in it"
        )
        assert train.class_names == ("persian", "siamese")
        shutil.rmtree(tmp_path / "of")
    tree(tmp_path / "Train", *names)
    assert load(tmp_path)[0].class_names == ("persian", "siamese")


def test_system_files_are_no_classes_and_no_pictures(tmp_path: Path) -> None:
    names = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(6)]
    tree(tmp_path, *names)
    clean = load(tmp_path)
    hidden = ("__MACOSX/cat/._1.png", ".ipynb_checkpoints/1.png", "$RECYCLE.BIN/x.png")
    tree(tmp_path, *hidden, "cat/@eaDir/1.png", "cat/.thumbs/1.png", "dog/._1.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "dog/Thumbs.db", "dog/.DS_Store"):
        (tmp_path / name).write_bytes(b"\0")
    sets = load(tmp_path, "11 hidden or system files left out: ", ".DS_Store", "and 6 more")
    for part, again in zip(clean, sets, strict=True):
        assert values(part) == values(again)
        assert again.class_names == ("cat", "dog")


def test_a_bad_file_is_skipped_and_said(tmp_path: Path) -> None:
    """Each bad file is named once with its reason, whether its header or its pixels are bad."""
    tree(
        tmp_path, *[f"{part}/{c}/{i}.png" for part in ("train", "test") for c in "ab" for i in "12"]
    )
    whole = picture(tmp_path / "x.png", 9, (60, 60)).read_bytes()
    (tmp_path / "x.png").unlink()
    (tmp_path / "train" / "a" / "cut.png").write_bytes(whole[:-30])
    (tmp_path / "train" / "b" / "notes.txt").write_text("no picture")
    (tmp_path / "test" / "b" / "empty.jpg").touch()
    (tmp_path / "test" / "b" / "nowhere.png").symlink_to(tmp_path / "nothing")
    frames = [Image.new("L", (6, 6), v) for v in (1, 200)]
    frames[0].save(tmp_path / "train" / "a" / "moves.gif", save_all=True, append_images=frames[1:])
    sets = load(
        tmp_path,
        f"{tmp_path}: 5 skipped: ",
        "train/a/cut.png (damaged picture)",
        "train/b/notes.txt (not a picture)",
        "test/b/empty.jpg (not a picture)",
        "test/b/nowhere.png (No such file or directory)",
        "train/a/moves.gif (has 2 frames or pages)",
    )
    assert [len(part) for part in sets] == [4, 4]
    assert sets[0].class_names == ("a", "b")
    for i in range(20):
        (tmp_path / "train" / "a" / f"{i}.txt").touch()
    sets = load(tmp_path, "25 skipped", "and 20 more")
    assert [len(part) for part in sets] == [4, 4]


def test_a_pipe_in_a_class_folder_is_skipped_and_said(tmp_path: Path) -> None:
    """Reading a pipe would never end."""
    tree(tmp_path, *[f"{c}/{i}.png" for c in "ab" for i in "12"])
    os.mkfifo(tmp_path / "a" / "pipe.png")
    train, _ = load(tmp_path, "a/pipe.png (it is a device, a pipe or a socket, not a file)")
    assert len(train) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_must_not_be_read_is_skipped_and_said(tmp_path: Path) -> None:
    tree(tmp_path, *[f"train/{c}/{i}.png" for c in "ab" for i in "12"], "test/a/1.png")
    (tmp_path / "train" / "a" / "1.png").chmod(0)
    train, _ = load(tmp_path, "train/a/1.png (Permission denied)")
    assert len(train) == 3


@pytest.mark.slow
def test_class_folders_need_no_matplotlib(tmp_path: Path) -> None:
    """The extra byhand[pictures] does not install matplotlib."""
    tree(tmp_path, *[f"{c}/{i}.png" for c in "ab" for i in "12"])
    code = "import sys; sys.modules['matplotlib'] = None; import byhand.data; "
    code += "print(*map(len, byhand.data.load_class_folders(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.stdout == "2 2\n", done.stderr


def test_a_class_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    try:
        tree(tmp_path, *[f"{c}/{i}.png" for c in ("a", name) for i in "12"])
    except OSError:
        pytest.skip("this file system takes no such names")
    train, _ = load(tmp_path)
    assert train.class_names == ("a", name)


def test_what_is_no_class_is_said(tmp_path: Path) -> None:
    tree(
        tmp_path, *[f"train/{c}/{i}.png" for c in "ab" for i in "12"], "test/a/1.png", "misc/1.png"
    )
    (tmp_path / "train" / "scripts").mkdir()
    (tmp_path / "train" / "scripts" / "make.py").touch()
    (tmp_path / "train" / "empty").mkdir()
    picture(tmp_path / "train" / "loose.png")
    train, _ = load(
        tmp_path,
        "misc (beside the train folder)",
        "train/scripts/make.py (not a picture)",
        "train/scripts (a folder without pictures)",
        "train/empty (a folder without pictures)",
        "train/loose.png (not in a class folder)",
    )
    assert train.class_names == ("a", "b") and len(train) == 4


def test_a_class_without_training_pictures_is_said(tmp_path: Path) -> None:
    """The usual cause is one name in two spellings."""
    tree(tmp_path, "train/Cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png")
    train, test = load(tmp_path, f"{tmp_path}: no training pictures of cat")
    assert train.class_names == ("Cat", "cat", "dog")
    assert values(test) == [("cat", 2), ("dog", 3)]


def test_both_spellings_of_an_accented_letter_are_one_class(tmp_path: Path) -> None:
    """macOS stores "é" as two characters, and other systems store it as one."""
    one, two = "caf\u00e9", "cafe\u0301"
    tree(tmp_path, f"train/{one}/1.png", "train/tea/2.png", f"test/{two}/3.png", "test/tea/4.png")
    for names in (None, (one, "tea"), (two, "tea")):
        train, test = load(tmp_path, class_names=names)
        assert train.class_names == (names or (one, "tea"))
        assert train.labels.tolist() == test.labels.tolist() == [0, 1]


def test_pictures_of_a_test_set_without_labels_are_said(tmp_path: Path) -> None:
    """Data of competitions have such test sets. A part of the training set becomes the test set."""
    tree(tmp_path, *[f"train/{c}/{i}.png" for c in "ab" for i in range(6)], "test/1.png")
    train, test = load(tmp_path, "test/1.png (not in a class folder)")
    assert (len(train), len(test)) == (10, 2)
    assert train.source is not None and "a sixth of each class" in str(train.source)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    tree(tmp_path, *[f"{toy}/{i}.png" for toy in ("train", "bus", "test") for i in range(6)])
    train, test = load(tmp_path)
    assert train.class_names == ("bus", "test", "train")
    assert np.bincount(train.labels).tolist() == [5, 5, 5]
    assert np.bincount(test.labels).tolist() == [1, 1, 1]


def test_classes_with_numbers_keep_their_value(tmp_path: Path) -> None:
    tree(tmp_path, *[f"{k}/{i}.png" for k in (0, 3, 10, 2) for i in range(2)])
    assert load(tmp_path)[0].class_names == tuple(map(str, range(11)))
    tree(tmp_path, *[f"1999/{i}.png" for i in range(2)])
    assert load(tmp_path)[0].class_names == ("0", "2", "3", "10", "1999")


def test_labels_in_an_order_of_ones_own(tmp_path: Path) -> None:
    tree(tmp_path, *[f"{c}/{i}.png" for c in "ab" for i in range(2)])
    train, _ = load(tmp_path, class_names=["c", "b", "a"])
    assert train.class_names == ("c", "b", "a")
    assert sorted(train.labels.tolist()) == [1, 2]
    with pytest.raises(DataError, match="the folder b is not one of the classes a, c"):
        data.load_class_folders(tmp_path, class_names=["a", "c"])


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ([], "no class folders with pictures. Each class needs a folder"),
        (["a.png", "b.png"], "no class folders with pictures"),
        (["a/1.png", "b/1.png"], "no class has two images"),
        (["test/a/1.png", "test/b/1.png"], "no class has two images"),
        (["test/a/1.png", "val/b/1.png"], "has the folder test but no train folder"),
        ([f"{i:03}x/1.png" for i in range(257)], "257 classes, but byhand takes at most 256"),
    ],
)
def test_folders_that_are_refused(paths: list[str], reason: str, tmp_path: Path) -> None:
    tree(tmp_path, *paths)
    with warnings.catch_warnings(), pytest.raises(DataError, match=f"{tmp_path}.*{reason}"):
        warnings.simplefilter("ignore")
        data.load_class_folders(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="typo does not exist"):
        data.load_class_folders(tmp_path / "typo")


def test_colour_is_found_in_any_picture(tmp_path: Path) -> None:
    """A picture may be grey in any mode. One pixel with a colour makes all images colour images."""
    for mode in ("L", "RGB", "P", "RGBA", "LA", "1"):
        for i in range(2):
            picture(tmp_path / "a" / f"{mode}{i}.png", 255, mode=mode)
    assert load(tmp_path)[0].images.shape == (10, 6, 6)
    image = Image.new("RGB", (6, 6))
    image.putpixel((5, 5), (0, 0, 9))
    image.save(tmp_path / "a" / "z.png")
    train, test = load(tmp_path)
    assert train.images.shape[1:] == test.images.shape[1:] == (3, 6, 6)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ([(9, 5)], (5, 9)),
        ([(64, 64)], (64, 64)),
        ([(65, 64)], (28, 28)),
        ([(9, 5), (5, 9)], (28, 28)),
        ([(300, 300)], (28, 28)),
    ],
)
def test_one_small_size_is_kept(
    sizes: list[tuple[int, int]], shape: tuple[int, int], tmp_path: Path
) -> None:
    for i in range(4):
        picture(tmp_path / "a" / f"{i}.png", size=sizes[i % len(sizes)])
    assert load(tmp_path)[0].images.shape[1:] == shape
    assert load(tmp_path, shape=(3, 10, 12))[0].images.shape[1:] == (3, 10, 12)


def test_the_checksum_is_that_of_the_files(tmp_path: Path) -> None:
    """The checksum does not depend on the images, whose shape depends on the model."""
    tree(tmp_path, *[f"{c}/{i}.png" for c in "ab" for i in range(4)])

    def checksum(**options: object) -> str:
        source = load(tmp_path, **options)[0].source
        assert source is not None and source.folder == str(tmp_path)
        return source.checksum

    first = checksum()
    assert first == checksum(shape=(3, 20, 20)) != checksum(seed=1)
    picture(tmp_path / "a" / "0.png", 77)
    assert first != checksum()


@pytest.mark.slow
@given(
    st.dictionaries(
        st.text("abcXYZ 0159_-é", min_size=1, max_size=8).filter(lambda name: name == name.strip()),
        st.integers(2, 4),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=15, deadline=None)
def test_any_names_and_back(
    tmp_path_factory: pytest.TempPathFactory, classes: dict[str, int]
) -> None:
    """Names and images survive a round trip through class folders and IDX files."""
    root = tmp_path_factory.mktemp("names")
    names = tuple(sorted(classes))
    labels = np.repeat(np.arange(len(names)), [classes[name] for name in names]).astype(np.uint8)
    images = np.arange(labels.size, dtype=np.uint8)[:, None, None] * np.ones((1, 3, 4), np.uint8)
    whole = Dataset(images, labels, names)
    write_pictures(root / "png", whole, whole)
    for part in load(root / "png"):
        assert values(part) == values(whole)
    run("data", "from-png", root / "png", root / "idx")
    for part in data.load_folder(root / "idx"):
        numbers = part.class_names is None
        again = (
            values(Dataset(part.images, part.labels, tuple(map(str, range(256)))))
            if numbers
            else values(part)
        )
        assert again == values(whole)


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "__MACOSX", "", "a\0b"])
def test_names_that_are_no_folders(name: str, tmp_path: Path) -> None:
    part = Dataset(np.zeros((1, 2, 2), np.uint8), np.zeros(1, np.uint8), (name,))
    with pytest.raises(DataError, match=r"class name .* cannot be the name of a folder"):
        write_pictures(tmp_path / "out", part, part)
    assert list(tmp_path.rglob("*")) == []


def test_from_png_replaces_nothing(tmp_path: Path) -> None:
    sets = make_sets(train=30, test=10)
    write_pictures(tmp_path / "png", *sets)
    there = write_folder(tmp_path / "there", sets)
    line = only_line(run("data", "from-png", tmp_path / "png", there, code=1))
    assert "holds a data set already" in line


@pytest.mark.slow
def test_the_command_line_says_what_was_skipped(tmp_path: Path) -> None:
    tree(tmp_path / "d", *[f"{c}/{i}.png" for c in ("cat", "dog") for i in range(6)])
    (tmp_path / "d" / "cat" / "notes.txt").touch()
    (tmp_path / "d" / "readme.txt").touch()
    out = tmp_path / "run"
    result = run("train", "softmax", "--data", tmp_path / "d", "--epochs", 1, "--out", out)
    line = only_line(result)
    assert f"{tmp_path}/d: 2 skipped: cat/notes.txt (not a picture), readme.txt (not in" in line
    assert "10 training and 2 test images" in result.stdout
    assert "a sixth of each class is the test set" in result.stdout

    holds = run("data", "show", "--data", tmp_path / "d" / "cat", code=1)
    assert "fetch" not in only_line(holds)  # no advice to download into a folder of the user


def test_a_single_class_cannot_be_trained_on(tmp_path: Path) -> None:
    tree(tmp_path / "d", *[f"cat/{i}.png" for i in range(6)])
    line = only_line(run("train", "softmax", "--data", tmp_path / "d", code=1))
    assert line.startswith(f"byhand: {tmp_path}/d: only one class, cat: add another, or name")


@pytest.mark.slow
def test_commands_prepare_only_the_test_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "d", *[f"{c}/{i}.png" for c in ("cat", "dog") for i in range(6)])
    (tmp_path / "d" / "cat" / "cut.png").write_bytes(
        picture(tmp_path / "x.png", 9, (60, 60)).read_bytes()[:-30]
    )
    out = tmp_path / "run"
    run("train", "softmax", "--data", tmp_path / "d", "--epochs", 1, "--out", out)
    prepared = []

    def counted(*arguments: Any) -> Any:
        prepared.append(arguments)
        return convert.image_and_marks(*arguments)

    monkeypatch.setattr(folders, "image_and_marks", counted)
    for command in (("evaluate", out), ("predict", out, "--test-image", 1)):
        prepared.clear()
        assert "checksum" not in run(*command).stderr
        assert len(prepared) == 2


def test_predict_leaves_out_the_files_of_systems(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    tree(folder, "a.png", "sub/b.png", "__MACOSX/._a.png", "sub/.hidden.png")
    for name in ("Thumbs.db", "sub/desktop.ini", ".DS_Store"):
        (folder / name).write_bytes(b"x")
    models.softmax_regression().save(tmp_path / "m.safetensors")
    lines = run(
        "predict", tmp_path / "m.safetensors", folder, "--pictures", "plain", "--json"
    ).stdout.splitlines()
    assert [json.loads(line)["path"] for line in lines] == [
        *(str(folder / name) for name in ("a.png", "sub/b.png"))
    ]


MEASURE = """
import re, sys
from byhand.data import load_class_folders

def peak():
    status = open("/proc/self/status").read()
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])

warm, root = sys.argv[1:]
load_class_folders(warm)
before = peak()
train, test = load_class_folders(root)
images = train.images.nbytes + test.images.nbytes
print(len(train) + len(test), images, peak() - before)
"""

PICTURES = int(os.environ.get("BYHAND_PICTURES", "2000"))


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path, rng: np.random.Generator) -> None:
    """Loading 60,000 pictures of 256 x 256 takes less than 500 MB beside the images.

    The bound here is smaller in proportion to the number of pictures, and at most a fifth of the
    size of all decoded pictures. BYHAND_PICTURES=60000 tests the full number.
    """
    tree(tmp_path / "warm", *[f"a/{i}.png" for i in range(4)])
    pixels = rng.integers(0, 256, (256, 256, 3), np.uint8)
    picture(tmp_path / "big" / "a" / "0.png")
    Image.fromarray(pixels).save(tmp_path / "big" / "a" / "0.png", compress_level=1)
    for i in range(1, PICTURES):
        path = tmp_path / "big" / f"{'abcdefghij'[i % 10]}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.hardlink_to(tmp_path / "big" / "a" / "0.png")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "warm", tmp_path / "big"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    count, images, extra = map(int, done.stdout.split())
    print(f"{count:,} pictures: {images / 1e6:.0f} MB of images, {extra / 1e6:.0f} MB of memory")
    assert count == PICTURES
    bound = 20e6 + 480e6 * PICTURES / 60_000
    assert PICTURES * pixels.nbytes > 5 * bound
    assert extra < images + bound


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pictures": "nope"}, "pictures must be 'digits' or 'plain', not 'nope'"),
        ({"pictures": "digits", "shape": (3, 6, 6)}, "must be 'plain' for images of 3 channels"),
        ({"shape": (6, 6)}, r"shape must be \(channels, height, width\), not \(6, 6\)"),
        ({"shape": (1, 6, 0)}, r"shape must be \(channels, height, width\), not \(1, 6, 0\)"),
    ],
)
def test_ways_and_shapes_that_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tree(tmp_path, "cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png")
    with pytest.raises(ValueError, match=message):
        data.load_class_folders(tmp_path, **options)


def test_a_model_takes_the_way_in_which_its_pictures_were_prepared(tmp_path: Path) -> None:
    """The user may choose "plain" for pictures that have the form of MNIST's."""
    write_pictures(tmp_path, *make_sets(40, 20))
    train, _ = data.load_class_folders(tmp_path, (1, 28, 28), pictures="plain")
    model = models.softmax_regression()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    Trainer(model, optimizer).fit(train, epochs=1)
    assert model.pictures == "plain"
