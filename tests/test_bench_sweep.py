"""`byhand bench sweep`: its grids, what counts as slow, a short run, and `--isa`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from byhand import kernels
from byhand._core import testing
from byhand.bench import cli, isa, numpy_page, numpy_peer
from byhand.bench.byhand_peer import Peer
from byhand.bench.harness import difference
from byhand.bench.results import Entry, Result, Times
from byhand.bench.run import KERNEL_TOLERANCE
from byhand.bench.sweep import command, findings
from byhand.bench.sweep.grids import FAMILIES, Axis, Grid, cases, grids
from typer.testing import CliRunner

GEOMETRIES = [
    {"stride": 2},
    {"padding": 2, "stride": 3},
    {"dilation": 2, "padding": 1},
    {"groups": 2},
    {"groups": 4, "stride": 2, "dilation": 2, "padding": 2},
]


def test_every_point_is_a_case_of_byhand_and_of_numpys_page() -> None:
    points = [point for grid in grids().values() for point in grid.points()]
    assert len(points) > 3000
    assert {grid.family for grid in grids().values()} == set(FAMILIES)
    for _, _, case in points:
        assert hasattr(kernels, case.op) and hasattr(numpy_page, case.op)
        same = cases()[case.name]  # points with the same name are the same case
        assert (same.op, same.keywords, same.flops, same.taps) == (
            case.op,
            case.keywords,
            case.flops,
            case.taps,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in grids() if not name.startswith("gemm")])
def test_the_smallest_points_have_the_same_results_in_numpy(name: str) -> None:
    for _, _, case in list(grids()[name].points())[:12:3]:
        ours, theirs = (p.kernel(case, 1).results() for p in (Peer(1), numpy_peer.Peer(1)))
        assert difference(ours[: len(theirs)], theirs) < KERNEL_TOLERANCE, case.name


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in grids() if not name.startswith("gemm")])
def test_the_smallest_points_have_the_same_results_in_pytorch(name: str) -> None:
    torch_peer = pytest.importorskip("byhand.bench.torch_peer", exc_type=ImportError)
    with torch_peer.torch.set_grad_enabled(True):  # the contender changes this setting
        for _, _, case in list(grids()[name].points())[:12:3]:
            ours = Peer(1).kernel(case, 1).results()
            theirs = torch_peer.Peer(1).kernel(case, 1)
            if theirs is not None:
                results = theirs.results()
                assert difference(results, ours[: len(results)]) < KERNEL_TOLERANCE, case.name


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_numpys_convolution_takes_every_geometry(geometry: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (3, 4, 9, 11)).astype(float)
    weight = rng.integers(-4, 5, (8, 4 // geometry.get("groups", 1), 3, 3)).astype(float)
    bias = rng.integers(-4, 5, 8).astype(float)
    y = reference.conv2d(x, weight, bias, **geometry)
    dy = rng.integers(-4, 5, y.shape).astype(float)
    page: Any = numpy_page
    np.testing.assert_array_equal(page.conv2d(x, weight, bias, **geometry), y)
    np.testing.assert_array_equal(
        page.conv2d_backward_input(dy, weight, x.shape, **geometry),
        reference.conv2d_backward_input(dy, weight, x.shape, **geometry),
    )
    np.testing.assert_array_equal(
        page.conv2d_backward_weight(dy, x, weight.shape, **geometry),
        reference.conv2d_backward_weight(dy, x, weight.shape, **geometry),
    )


def _points(times: list[list[float]], flops: int = 0) -> list[findings.Point]:
    """Return the points of a grid whose sizes are powers of 2, with these seconds."""
    rows, columns = len(times), len(times[0])
    sizes = tuple(2**i for i in range(max(rows, columns)))
    grid = Grid(
        "grid", "gemm", Axis("m", sizes[:rows]), Axis("n", sizes[:columns]), lambda *_: None
    )
    points = []
    for i, line in enumerate(times):
        for j, seconds in enumerate(line):
            entry = Entry("byhand", times=Times((seconds,)))
            work = grid.rows.sizes[i] * grid.columns.sizes[j]
            result = Result({"label": "", "work": work}, 1, flops, [entry])
            points.append(findings.Point(grid, i, j, {1: result}))
    return points


def test_a_cliff_takes_longer_than_its_neighbours_predict() -> None:
    points = _points([[1, 2, 4, 8], [2, 4, 24, 16], [4, 8, 16, 32]])
    findings.find_excess(points, 1)
    excess = {(point.row, point.column): point.excess.get(1) for point in points}
    assert excess[1, 2] == pytest.approx(24 / 16)  # as long as a larger size is no cliff
    points = _points([[1, 2, 4, 8], [2, 4, 36, 16], [4, 8, 16, 32]])
    findings.find_excess(points, 1)
    assert [(p.row, p.column) for p in points if p.is_slow()] == [(1, 2)]
    assert points[-1].excess == {}  # no larger size predicts the last point


def test_less_work_at_a_larger_size_takes_less_time() -> None:
    points = _points([[8, 4, 2]])
    for point, work in zip(points, (8, 4, 2), strict=True):
        point.results[1].case["work"] = work
    findings.find_excess(points, 1)
    assert [point.excess.get(1) for point in points] == pytest.approx([1, 1, None])


def test_a_small_size_must_not_take_longer_than_a_larger_one() -> None:
    points = _points([[9, 2, 4]])
    findings.find_excess(points, 1)
    assert points[0].excess[1] == pytest.approx(4.5)
    assert points[0].is_slow()


@pytest.mark.parametrize(("flops", "slow"), [(10**6, True), (10**6 - 1, False)])
def test_a_peer_may_be_faster_if_the_work_is_small(flops: int, slow: bool) -> None:
    (point,) = _points([[1.0]], flops)
    peer = Entry("numpy", times=Times((0.8,)), ratio=0.8)
    point.results[1].entries.append(peer)
    assert point.is_slow() == slow
    peer.ratio = 0.95
    assert not point.is_slow()


def test_more_threads_must_not_lose() -> None:
    (point,) = _points([[1.0]])
    point.results[2] = Result(
        {"label": "", "work": 1}, 2, 0, [Entry("byhand", times=Times((1.04,)))]
    )
    assert point.thread_loss == pytest.approx(1.04)
    assert not point.is_slow()
    point.results[2].entries[0].times = Times((1.1,))
    assert point.is_slow()


@pytest.mark.slow
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, classes = Axis("images", (1, 4)), Axis("classes", (2, 10))
    small = Grid("softmax", "softmax", images, classes, grids()["softmax"].make)
    monkeypatch.setattr(command, "grids", lambda: {"softmax": small})
    monkeypatch.setattr(findings, "MOST_EXCESS", 1e9)
    path = tmp_path / "sweep.json"
    options = ["--families", "softmax", "--threads", "1,2", "--peers", "numpy", "--rounds", "1"]
    options += ["--seconds", "0", "--json", str(path), "--maps", str(tmp_path / "maps")]
    ran = CliRunner().invoke(cli.app, ["sweep", *options])
    assert ran.exit_code == 0, ran.output
    assert "softmax, 2 threads: 4 points" in ran.output
    assert "points limited by memory have a ratio below 0.9, 1 thread" in ran.output
    assert "of 4 points take more than 1.05 times as long on 2 threads as on 1 thread" in ran.output
    saved = json.loads(path.read_text())
    places = [(r["threads"], r["case"]["row"], r["case"]["column"]) for r in saved["results"]]
    assert places == [(t, i, j) for t in (1, 2) for i in (0, 1) for j in (0, 1)]
    assert "fastest peer" in (tmp_path / "maps/softmax.svg").read_text()


def test_an_unknown_grid() -> None:
    ran = CliRunner().invoke(cli.app, ["sweep", "--grid", "of nothing"])
    assert ran.exit_code == 2
    assert "of nothing" in ran.output


@pytest.mark.skipif("avx2" not in testing.isas(), reason="this CPU or build has no AVX2")
@pytest.mark.slow
def test_isa_holds_byhand_and_the_other_libraries(tmp_path: Path) -> None:
    path = tmp_path / "gemm.json"
    options = ["--isa", "avx2", "--groups", "call", "--peers", "numpy", "--threads", "1"]
    options += ["--rounds", "1", "--seconds", "0", "--json", str(path)]
    command = [sys.executable, "-m", "byhand", "bench", "gemm", *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    saved = json.loads(path.read_text())
    assert saved["arguments"]["isa"] == "avx2"


HELD = """
import os
import numpy as np
from byhand._core import testing
from byhand.bench import isa
from byhand.bench.harness import Contest
from byhand.bench.peers import choose
isa.hold("avx2")
with Contest(choose(["numpy"]), 1) as contest:
    for contender in contest.contenders:
        (held, core, above), _ = contest.alone(contender, "held", None)
        print(held, core, above)
"""


@pytest.mark.skipif("avx2" not in testing.isas(), reason="this CPU or build has no AVX2")
@pytest.mark.slow
def test_isa_reaches_the_processes_of_the_contenders() -> None:
    ran = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["avx2 Haswell False"] * 2


def test_the_variables_of_isa(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in isa._AVX2:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "")
    monkeypatch.setattr(isa, "_held", [])
    before = testing.isa()
    try:
        if "avx2" in testing.isas():
            isa.hold("avx2")
            assert (testing.isa(), isa.held()) == ("avx2", "avx2")
            assert {name: os.environ[name] for name in isa._AVX2} == isa._AVX2
    finally:
        testing.set_isa(before)
    with pytest.raises(ValueError, match="'avx3'"):
        isa.hold("avx3")
