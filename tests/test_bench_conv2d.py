"""`byhand bench conv2d`: its shapes, a comparison of all contenders, and a short run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import byhand
import pytest
from byhand.bench import byhand_peer, cli, conv2d, harness, numpy_peer, run
from typer.testing import CliRunner


@pytest.mark.slow
@pytest.mark.parametrize("name", conv2d.CASES)
def test_numpys_page_equals_the_kernels(name: str) -> None:
    case = conv2d.CASES[name]
    ours, theirs = (
        peer.kernel(case, 1).results()
        for peer in (byhand_peer.Peer(byhand.get_num_threads()), numpy_peer.Peer(1))
    )
    assert len(ours) == len(theirs) == 1
    assert harness.difference(ours, theirs) < run.KERNEL_TOLERANCE


def test_flops_are_of_the_direct_algorithm() -> None:
    conv2 = conv2d.Convolution(128, 20, 12, 50, 5)
    assert conv2.name == "N128 20->50 5x5 on 12"
    assert conv2.flops == 2 * 128 * 1_600_000
    assert {case.work(99) for case in conv2.cases()} == {conv2.flops}
    padded = dataclasses.replace(conv2, padding=2)
    assert padded.flops * 64 == conv2.flops * 144


def test_random_shapes_are_seeded_and_large_enough() -> None:
    shapes = conv2d.GROUPS["random"]
    assert len(set(shapes)) == 20 and shapes == tuple(conv2d._random(20))
    assert all(1e6 <= shape.flops <= 1e8 for shape in shapes)


@pytest.mark.slow
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv2d, "GROUPS", {"baselines": conv2d.GROUPS["baselines"][6:]})
    path = tmp_path / "run.json"
    options = ["--threads", "1", "--peers", "numpy", "--rounds", "1", "--seconds", "0"]
    ran = CliRunner().invoke(cli.app, ["conv2d", *options, "--json", str(path)])
    assert ran.exit_code == 0, ran.output
    assert "byhand against the fastest contender, 1 thread" in ran.output
    saved = json.loads(path.read_text())
    assert [row["case"]["op"] for row in saved["results"]] == list(conv2d.DIRECTIONS)
    assert all(len(row["entries"]) == 2 for row in saved["results"])
    (line,) = saved["summary"]
    assert (line["group"], line["cases"], line["threads"]) == ("baselines", 3, 1)


def test_an_unknown_group() -> None:
    ran = CliRunner().invoke(cli.app, ["conv2d", "--groups", "cubes"])
    assert ran.exit_code == 2
    assert "cubes" in ran.output
