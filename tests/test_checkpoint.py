"""A file is written whole or not at all. If a file is damaged, the error names it."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import struct
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import nn
from byhand.files.atomic import remove_temporaries, write_atomic, write_together
from byhand.files.tensors import CheckpointError, read_tensors, tensors_file, write_tensors
from byhand.models import Model
from byhand.training import EpochEnd
from byhand.training.run_folder import RunFolder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"", b"second" * 1000):
        write_atomic(str(path), data)
        assert path.read_bytes() == data and names(tmp_path) == ["file"]
    before = os.umask(0o027)
    try:
        write_atomic(path, b"as any other file")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_write_that_fails_changes_nothing(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)) as caught:
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]
    if isinstance(caught.value, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert str(path) in str(caught.value) and "No space left" in str(caught.value)


@pytest.mark.parametrize("name", ["EINVAL", "ENOTSUP", "ENOSYS", "EBADF", "EACCES"])
def test_a_file_system_that_cannot_sync(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may be unable to sync, such as a network folder. This is not an error."""

    def fail(_: int) -> None:
        raise OSError(getattr(errno, name), "cannot sync")

    monkeypatch.setattr(os, "fsync", fail)
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new" and names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_read_but_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def no_folders(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", no_folders)
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_disk_that_fails_as_the_folder_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_atomic(tmp_path / "file", b"new")


def test_links_are_followed(tmp_path: Path) -> None:
    """Also links to links, links to a missing file, and links to files outside the folder."""
    (tmp_path / "elsewhere").mkdir()
    target, link, second = (tmp_path / name for name in ("elsewhere/file", "link", "second"))
    link.symlink_to(Path("elsewhere") / "file")
    second.symlink_to(link)
    for path, data in ((link, b"first"), (second, b"second"), (link, b"third")):
        write_atomic(path, data)
        assert target.read_bytes() == data
        assert link.is_symlink() and second.is_symlink()
    assert names(tmp_path) == ["elsewhere", "link", "second"]
    assert names(tmp_path / "elsewhere") == ["file"]
    (tmp_path / "elsewhere" / ".file.0123abcd.tmp").write_bytes(b"half")
    remove_temporaries(link)
    assert names(tmp_path / "elsewhere") == ["file"]


def test_only_files_are_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for path in (pipe, tmp_path / "link"):
        with pytest.raises(OSError, match="a device, a pipe or a socket, not a file") as caught:
            write_atomic(path, b"data")
        assert str(path) in str(caught.value)
    with pytest.raises(OSError, match="circle"):
        write_atomic(tmp_path / "circle", b"data")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert names(tmp_path) == ["circle", "link", "pipe"]


def test_an_interrupt_between_renames_waits_for_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt comes before the second rename, or directly after it."""
    for after in (False, True):
        files = {tmp_path / f"{after}{i}": str(i).encode() for i in range(3)}
        real, calls = os.replace, iter([False, True, False, False])

        def replace(*paths: Any, real: Any = real, calls: Any = calls, after: bool = after) -> None:
            interrupted = next(calls)
            if interrupted and not after:
                raise KeyboardInterrupt
            real(*paths)
            if interrupted:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            write_together(files)
        monkeypatch.setattr(os, "replace", real)
        assert {path: path.read_bytes() for path in tmp_path.glob(f"{after}*")} == files
    assert len(names(tmp_path)) == 6


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """The system limits files to 1000 bytes."""
    path = tmp_path / "model.safetensors"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="could not write") as caught:
            byhand.models.softmax_regression().save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(caught.value) and names(tmp_path) == []


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    model = byhand.models.softmax_regression()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match="nowhere/model"):
        model.save(tmp_path / "nowhere" / "model")
    with pytest.raises(NotADirectoryError, match="file/model"):
        model.save(tmp_path / "file" / "model")
    for folder in (tmp_path / "folder", "/", "."):
        with pytest.raises(IsADirectoryError, match="could not write"):
            model.save(folder)
    assert names(tmp_path) == ["file", "folder"] and names(tmp_path / "folder") == []


# --------------------------------------------------------------------------------------------------
# Damaged files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    tiny_model().save(path)
    return path


def tiny_model() -> Model:
    layers = nn.Conv2d(1, 2, 3, rng=0), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2, rng=1)
    return Model(*layers, input_shape=(1, 6, 6))


def assert_refused(path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        byhand.load(path)
    assert str(path) in str(caught.value)


def test_truncated_anywhere(file: Path) -> None:
    whole = file.read_bytes()
    for size in range(0, len(whole), 7):
        file.write_bytes(whole[:size])
        assert_refused(file)
    file.write_bytes(whole + b"\0")
    assert_refused(file)


@pytest.mark.slow
def test_every_flipped_bit_is_noticed_or_harmless(file: Path) -> None:
    """A flipped bit is harmless in the checksum's name and in blanks at the header's end only."""
    whole = file.read_bytes()
    expected = tiny_model()
    unnoticed = []
    for i in range(len(whole)):
        damaged = bytearray(whole)
        damaged[i] ^= 1 << i % 8
        file.write_bytes(damaged)
        try:
            loaded = byhand.load(file)
        except CheckpointError as error:
            assert str(file) in str(error)
            continue
        unnoticed.append(i)
        assert loaded.description() == expected.description()
        for a, b in zip(loaded.parameters(), expected.parameters(), strict=True):
            assert np.array_equal(a.data, b.data)
    assert len(unnoticed) <= len("byhand.crc32") + 8


def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"\0" * 8, b"{}", b"PK\3\4" + b"\0" * 100, b"\xff" * 1000):
        path.write_bytes(data)
        assert_refused(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        byhand.load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="it is not a run folder"):
        byhand.load(tmp_path)


def test_a_safetensors_file_without_a_description(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(CheckpointError, match="was not written by byhand"):
        byhand.load(path)
    for text, message in (
        ("{", "is not JSON"),
        ("[" * 10**6, "is not JSON"),
        ("[1]", "format None"),
    ):
        save_file({}, path, metadata={"byhand": text})
        with pytest.raises(CheckpointError, match=message):
            byhand.load(path)


def with_header(tensors: dict[str, Any], data: bytes, description: dict[str, Any]) -> bytes:
    header = {"__metadata__": {"byhand": json.dumps(description)}, **tensors}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("features", [4096, 10**9])
def test_memory_is_bounded_by_the_files_size(
    features: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lie.safetensors"
    layers = nn.Flatten(), nn.Linear(16, 3), nn.Linear(3, 2)
    huge = Model(*layers, input_shape=(1, 4, 4)).description()
    huge["layers"][1]["arguments"]["out_features"] = features
    huge["layers"][2]["arguments"]["in_features"] = features

    def refuse(*_: Any) -> None:
        raise AssertionError("memory was asked for on the word of the file")

    monkeypatch.setattr(byhand.kernels, "empty", refuse)
    weight = {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}
    bias = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    wraps = {"dtype": "F32", "shape": [2**33, 2**31 + 1], "data_offsets": [0, 8]}
    claims = [
        ({"1.weight": weight}, b""),
        ({"1.weight": wraps}, b"\0" * 8),
        ({"1.weight": bias | {"shape": [10**9, 10**9]}}, b"\0" * 8),
        ({"1.weight": bias, "1.bias": bias}, b"\0" * 8),
        ({"1.bias": bias}, b"\0" * 8),
        ({}, b""),
    ]
    for tensors, data in claims:
        path.write_bytes(with_header(tensors, data, huge))
        tracemalloc.start()
        try:
            assert_refused(path)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    assert_refused(path)


def test_values_are_kept_to_the_bit(tmp_path: Path) -> None:
    values = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 3.4e38], np.float32)
    tensors = {"a": values, "empty": np.zeros((0, 3), np.float32), "strided": values[::2]}
    write_tensors(tmp_path / "file", tensors, {"format": 1})
    loaded, _ = read_tensors(tmp_path / "file")
    assert loaded.keys() == tensors.keys()
    for name, array in tensors.items():
        assert loaded[name].tobytes() == array.tobytes() and loaded[name].shape == array.shape


def test_the_same_bytes_for_the_same_content() -> None:
    """byhand orders the metadata, because safetensors writes its two entries in any order."""
    tensors = {"b": np.arange(3, dtype=np.float32), "a": np.ones((2, 2), np.float32)}
    assert len({tensors_file(tensors, {"format": 1, "name": "\u00e4"}) for _ in range(20)}) == 1


# --------------------------------------------------------------------------------------------------
# Run folders


def begin(folder: RunFolder, **config: Any) -> None:
    with folder.begin({"byhand": "1.0", **config}):
        pass


def config_of(folder: RunFolder) -> Any:
    return json.loads(folder.config_path.read_text())


def test_a_run_folder_takes_one_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "a")
    begin(folder, epochs=1)
    folder.model_path.write_bytes(b"")  # the process ended between two files of the first epoch
    begin(folder, epochs=2)
    assert config_of(folder)["epochs"] == 2
    write_tensors(folder.state_path, {}, {"format": 1})
    with pytest.raises(FileExistsError, match=r"runs/a already holds a trained run"):
        begin(folder, epochs=3)
    assert config_of(folder)["epochs"] == 2


@pytest.mark.parametrize(
    "name",
    ["config.json", "metrics.jsonl", "model.safetensors", "best.safetensors", "curves.png"],
)
@pytest.mark.parametrize("content", [b"[1]", b'{"epochs": 3}', b"\xff"])
def test_files_of_others_are_not_overwritten(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileExistsError, match=f"holds {name}, which training would overwrite"):
        begin(RunFolder(tmp_path))
    assert (tmp_path / name).read_bytes() == content and names(tmp_path) == [name]


def test_other_files_may_lie_in_a_run_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"mine")
    begin(RunFolder(tmp_path))
    assert names(tmp_path) == ["config.json", "notes.txt"]


def test_a_run_folder_is_one_runs_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path).begin({"byhand": "1.0", "run": 1}):
        with pytest.raises(FileExistsError, match="the folder of a run that is going on"):
            begin(RunFolder(tmp_path), run=2)
        assert config_of(RunFolder(tmp_path))["run"] == 1
    begin(RunFolder(tmp_path), run=3)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    begin(RunFolder(tmp_path))
    assert names(tmp_path) == ["config.json"]


def test_files_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    """The last file cannot be written, because its folder does not exist. So none is written."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old")
    with pytest.raises(FileNotFoundError, match="nowhere/file"):
        write_together({old: b"changed", new: b"", tmp_path / "nowhere" / "file": b""})
    assert old.read_bytes() == b"old" and names(tmp_path) == ["old"]
    write_together({old: b"changed", new: b"1"})
    assert (old.read_bytes(), new.read_bytes()) == (b"changed", b"1")
    assert names(tmp_path) == ["new", "old"]


def test_metrics_are_lines(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = EpochEnd(1, 2, 1 / 3, 0.5, None, None, 0.1, 2.0, 30.0, best=False)
    history = [first, replace(first, epoch=2, validation_loss=0.1, validation_accuracy=1.0)]
    folder.write_epoch(history, b"model", b"state")
    assert names(tmp_path) == ["metrics.jsonl", "model.safetensors", "state.safetensors"]
    lines = folder.metrics_path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [asdict(end) for end in history]
    assert folder.history() == history


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        begin(RunFolder(tmp_path / "file" / "run"))
    with pytest.raises(OSError, match="file"):
        begin(RunFolder(tmp_path / "file"))
    with pytest.raises(TypeError, match="JSON"):
        begin(RunFolder(tmp_path / "new"), notes=object())
    assert names(tmp_path) == ["file"]
