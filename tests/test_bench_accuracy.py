"""`byhand bench accuracy`: it trains as `byhand train` does, contenders agree, what is timed."""

from __future__ import annotations

import json
from pathlib import Path

import cli_support
import numpy as np
import pytest
from bench_support import only_peer
from byhand.bench import byhand_peer, cli, harness, peers
from byhand.bench.tasks import Course
from byhand.data import DataError
from typer.testing import CliRunner, Result

STAGED_PEER = """
import time

time.sleep(0.3)

class Peer:
    version = "staged"

    def __init__(self, threads):
        pass

    def learn(self, course, tell):
        assert course.seed < 2, "no room"
        for accuracy in (0.9919, 0.992, 0.99, 1.0) if course.seed == 0 else (0.9919,) * 4:
            time.sleep(0.1)
            tell(accuracy)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return cli_support.write_folder(tmp_path / "data", cli_support.make_sets(300, 200))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["accuracy", "--threads", "1", *map(str, arguments)])


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("options", [{}, {"channels_last": True}])
def test_pytorch_learns_the_same(folder: Path, options: dict[str, bool]) -> None:
    """With the same initial weights, order and learning rates, weights agree after 15 steps."""
    from byhand.bench import torch_peer

    course = Course("lenet5", str(folder), seed=3)
    ours: list[float] = []
    theirs: list[float] = []
    weights = byhand_peer.Peer(1).learn(course, ours.append)
    others = torch_peer.Peer(1, **options).learn(course, theirs.append)
    assert harness.difference([np.asarray(w) for w in others], weights) < 1e-4
    assert len(ours) == len(theirs) == 5
    assert np.abs(np.subtract(ours, theirs)).max() <= 1 / 200


@pytest.mark.slow
def test_time_and_epoch_of_the_target(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock starts before the contender's imports. An accuracy of exactly 99.2 % counts."""
    only_peer("staged", STAGED_PEER, tmp_path, monkeypatch)
    path = tmp_path / "run.json"
    result = run("--seeds", 3, "--data", folder, "--json", path)
    assert result.exit_code == 1, result.output
    for said in ("seed 1", "not reached", "reached by 1 of 3", "FAILED: AssertionError: no room"):
        assert said in result.output
    document = json.loads(path.read_text())
    assert document["versions"].keys() == {"byhand", "staged"}
    (ours, staged), (_, never), (_, failed) = (r["entries"] for r in document["results"])
    assert staged["accuracies"] == [0.9919, 0.992, 0.99, 1.0]
    assert staged["epoch"] == 2 and staged["times"]["rounds"] == [staged["ends"][1]]
    assert np.all(np.diff([0.3, *staged["ends"]]) >= 0.1)
    assert never["epoch"] is None and never["times"] is None and never["problem"] is None
    assert failed["accuracies"] == []

    cli_support.run("train", "lenet5", "--data", folder, "--out", tmp_path / "run", "--threads", 1)
    trained = cli_support.read_metrics(tmp_path / "run")
    assert ours["accuracies"] == [epoch["validation_accuracy"] for epoch in trained]


@pytest.mark.slow
def test_a_contender_without_recipes_has_no_row(folder: Path) -> None:
    assert "numpy" in [contender.name for contender in peers.choose(["numpy"])]
    result = run("--peers", "numpy", "--target", 0, "--data", folder)
    assert result.exit_code == 0, result.output
    assert "byhand" in result.output and "numpy" not in result.output


@pytest.mark.parametrize("named", [True, False])
def test_without_data_it_says_so_and_fetches_nothing(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("BYHAND_DATA", raising=False)
    result = run(*(["--data", tmp_path] if named else []))
    assert isinstance(result.exception, DataError)
    assert str(tmp_path) in str(result.exception) and "data fetch" in str(result.exception)
    assert not list(tmp_path.rglob("*-ubyte*"))
