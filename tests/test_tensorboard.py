"""The handler TensorBoard: the numbers that it writes, read back by TensorBoard itself."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from byhand.plots import TensorBoard
from networks import digits, trainer

Written = list[tuple[str, float, int]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """What the handler writes. Its writer is replaced, because TensorBoard's takes a while."""
    calls: Written = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert Path(folder).is_dir()

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            calls.append((tag, value, step))

        def flush(self) -> None:
            calls.append(("flushed", 0, 0))

        def close(self) -> None:
            calls.append(("closed", 0, 0))

    module: Any = ModuleType("tensorboard.summary")
    module.Writer = Writer
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "tensorboard.summary", module)
    return calls


def test_epochs(written: Written, tmp_path: Path) -> None:
    handler = TensorBoard(tmp_path / "new" / "logs")
    history = trainer(handlers=[handler]).fit(digits(64), epochs=2, validation=digits(32, seed=1))
    values = {(tag, step): value for tag, value, step in written}
    for end in history:
        assert values["loss/training", end.epoch] == end.loss
        assert values["error/training", end.epoch] == end.error
        assert values["loss/validation", end.epoch] == end.validation_loss
        assert values["accuracy/validation", end.epoch] == end.validation_accuracy
        assert values["lr", end.epoch] == end.lr
        assert values["images_per_second", end.epoch] == end.images_per_second
    tags = [tag for tag, _, _ in written]
    assert tags.count("flushed") == 2 and tags[-1] == "closed" and len(tags) == 2 * 7 + 1


def test_without_a_validation_set(written: Written, tmp_path: Path) -> None:
    trainer(handlers=[TensorBoard(tmp_path)]).fit(digits(64), epochs=1)
    assert not [tag for tag, _, _ in written if "validation" in tag]


def test_batches(written: Written, tmp_path: Path) -> None:
    trainer(handlers=[TensorBoard(tmp_path, every=2)]).fit(digits(80), epochs=2, batch_size=16)
    assert [step for tag, _, step in written if tag == "batch/loss"] == [2, 4, 7, 9]
    assert {tag for tag, *_ in written if tag[:5] == "batch"} == {
        *("batch/loss", "batch/error", "batch/lr")
    }


def test_wrong_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every must be at least 1, not 0"):
        TensorBoard(tmp_path, every=0)
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs tensorboard, .*byhand\[tensorboard\]"):
        TensorBoard(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


@pytest.mark.slow
def test_tensorboard_reads_the_files(tmp_path: Path) -> None:
    reason = "reads the files with TensorBoard, which is not installed"
    pytest.importorskip("tensorboard", reason=reason)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, run = tmp_path / "logs", tmp_path / "run"
    trainer(handlers=[TensorBoard(folder)], run=run).fit(digits(64), epochs=1)
    history = trainer(handlers=[TensorBoard(folder)], run=run).fit(
        digits(64), epochs=3, resume=True
    )
    events = EventAccumulator(str(folder)).Reload()
    losses = events.Tensors("loss/training")
    assert [event.step for event in losses] == [1, 2, 3]
    values = [event.tensor_proto.float_val[0] for event in losses]
    assert np.array_equal(values, np.float32([end.loss for end in history]))
