"""tools/ladder.py: every step has an explanation, the gains are right, and short runs work."""

from __future__ import annotations

import json
from pathlib import Path

import ladder
import pytest
from bench_support import only_peer
from byhand._core import testing
from byhand.bench.results import Entry, Result, Times
from typer.testing import CliRunner
from typer.testing import Result as Ran

WRONG_PEER = """
from byhand.bench import numpy_peer, sampling

class Peer(numpy_peer.Peer):
    version = "wrong"

    def kernel(self, case, batch):
        return sampling.KernelJob(lambda a, b: a @ b * 1.001, case, batch)
"""


def run(*arguments: str) -> Ran:
    return CliRunner().invoke(ladder.app, list(arguments))


@pytest.fixture
def wrong_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a contender "wrong", whose matrix product is wrong."""
    only_peer("wrong", WRONG_PEER, tmp_path, monkeypatch)


def test_every_step_of_the_ladder_is_explained() -> None:
    assert list(ladder.DESCRIPTIONS) == testing.gemm_ladder_steps()


def test_rungs() -> None:
    """The steps come first. Each gain is over the step before, if that step did not fail."""
    seconds = {"three loops": 8.0, "rows of B inside": 2.0, "packing": 1.0, "numpy": 4.0}
    one = Result({}, 1, 8, [], peak=16.0)
    for name, s in seconds.items():
        one.entries.append(Entry(name, times=Times((s,))))
    one.entries[2] = Entry("packing", problem="WRONG: differs")
    times = Times((0.5,))
    two = Result({}, 2, 8, [Entry("threads", times=times)], peak=32.0)
    rungs = ladder.rungs([one, two])
    assert [(r.name, r.threads, r.rate, r.gain) for r in rungs] == [
        ("three loops", 1, 1.0, None),
        ("rows of B inside", 1, 4.0, 4.0),
        ("packing", 1, None, None),
        ("threads", 2, 16.0, None),
        ("numpy", 1, 2.0, None),
    ]
    assert [r.figures[1] for r in rungs] == ["6.2%", "25.0%", "", "50.0%", "12.5%"]
    assert rungs[2].figures[0] == "WRONG"


LADDER = ["--size", "33", "--rounds", "2", "--seconds", "0"]


@pytest.mark.slow
def test_the_ladder(tmp_path: Path) -> None:
    """The last step runs on two threads, and the others on one. NumPy runs with both."""
    path, plot = tmp_path / "run.json", tmp_path / "new" / "ladder.png"
    options = ["--threads", "1,2", "--json", str(path), "--plot", str(plot)]
    result = run(*LADDER, *options)
    assert result.exit_code == 0, result.output
    assert "33 x 33 x 33" in result.output
    words = " ".join(result.output.split())  # long descriptions take several lines
    assert all(text in words for pair in ladder.DESCRIPTIONS.items() for text in pair)
    *alone, last = ladder.DESCRIPTIONS
    rows = json.loads(path.read_text())["results"]
    measured = [[entry["contender"] for entry in row["entries"]] for row in rows]
    assert measured == [[*alone, "numpy"], [last, "numpy"]]
    assert [row["threads"] for row in rows] == [1, 2]
    for row in rows:
        assert row["flops"] == 2 * 33**3
        for entry in row["entries"]:
            assert len(entry["times"]["rounds"]) == 2
            assert 0 < entry["difference"] < 33 + 3
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("wrong_peer")
def test_a_ladder_with_a_wrong_contender_and_without_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One round is enough here. The chart has a bar for the wrong contender, too."""
    monkeypatch.setattr(ladder, "ENOUGH", 1e-9)
    path, plot = tmp_path / "run.json", tmp_path / "ladder.png"
    options = ["--threads", "2", "--peers", "wrong", "--json", str(path), "--plot", str(plot)]
    result = run(*LADDER, *options)
    assert result.exit_code == 1
    assert "WRONG: differs from the reference" in result.output
    (row,) = json.loads(path.read_text())["results"]
    ours, wrong = row["entries"]
    assert len(ours["times"]["rounds"]) == 1 and wrong["times"] is None
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--size", "0"], "--size"), (["--plot", "ladder.gif"], "must end in .png")],
)
def test_options_that_cannot_be(options: list[str], said: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert said in result.output
