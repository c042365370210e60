"""`byhand bench gemm`: its shapes, its errors, its arithmetic, and short runs of the command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_support import only_peer
from byhand._core import testing
from byhand.bench import cli, gemm, gemm_report, goals, harness, ladder, numpy_page
from byhand.bench.gemm import GROUPS, Product
from byhand.bench.tasks import Task
from typer.testing import CliRunner, Result

QUICK = ["gemm", "--rounds", "2", "--seconds", "0", "--threads", "1"]
WRONG_PEER = """
from byhand.bench import numpy_peer, sampling

class Peer(numpy_peer.Peer):
    version = "wrong"

    def kernel(self, case, batch):
        return sampling.KernelJob(lambda a, b: a @ b * 1.001, case, batch)
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def test_no_shape_counts_twice() -> None:
    names = [product.case.name for product in itertools.chain(*GROUPS.values())]
    assert len(names) == len(set(names))
    assert set(gemm.CASES) == {*names, *(p.case.name for p in (gemm.CALL, *gemm.ERRORS))}
    assert len(GROUPS["random"]) == 100
    assert {p.transposes for p in GROUPS["random"]} == set(gemm.TRANSPOSES)
    sizes = [size for p in GROUPS["random"] for size in (p.m, p.n, p.k)]
    assert 1 <= min(sizes) < 30 and 570 < max(sizes) <= 600


@pytest.mark.parametrize("batch", gemm.BATCHES)
@pytest.mark.parametrize("model", ["mlp", "lenet5"])
def test_a_networks_products_are_all_its_arithmetic(model: str, batch: int) -> None:
    """As much as a step of training by the layers' own count, and a third of it forward."""
    task = Task(model, "tanh", "", "", 0)
    products = [p for p in GROUPS[model] if p.batch == batch]
    assert sum(p.case.flops for p in products) == batch * task.flops()
    network = task.start()
    forward = sum(p.case.flops for p in products if p.of.endswith("forward"))
    assert forward == batch * network.flops(network.input_shape)


def test_lenets_second_convolution() -> None:
    """By hand: 50 filters of 20x5x5, an output of 8x8."""
    shapes = [p.case.shape for p in GROUPS["lenet5"] if p.batch == 128 and "500-50" in p.of]
    assert shapes == ["8192x50x500 NT", "50x500x8192 TN", "8192x500x50 NN"]


@pytest.mark.parametrize("transposes", gemm.TRANSPOSES)
def test_a_transposed_operand_is_a_view(transposes: str) -> None:
    case = Product(3, 5, 7, transposes).case
    assert case.work(1) == case.work(128) == 2 * 3 * 5 * 7
    for operand, shape, transpose in zip(
        case.arguments(1), ((3, 7), (7, 5)), transposes, strict=True
    ):
        assert operand.shape == shape and operand.dtype == np.float32
        assert operand.flags.c_contiguous == (transpose == "N")
        assert operand.flags.f_contiguous == (transpose == "T")


def test_errors_are_in_units_of_rounding() -> None:
    product = gemm.ERRORS[4]
    reference = gemm.exact(product)
    c, magnitude = reference
    a, b = product.case.arguments(1)
    np.testing.assert_allclose(c, a @ b, rtol=0, atol=1e-5)
    assert (magnitude >= abs(c)).all()
    assert gemm.error([c], reference) == 0
    other = c.copy()
    other[1, 2] -= 5 * 2**-24 * magnitude[1, 2]
    assert gemm.error([other], reference) == pytest.approx(5)
    other[0, 0] = np.nan
    assert not gemm.error([other], reference) <= product.k + 3
    assert gemm.error([c[:1]], reference) == np.inf


def made_up(
    shape: str, group: str, seconds: dict[str, float], batch: int | None = None
) -> harness.Result:
    """A result with a peak of 1 GFLOP/s; a contender without seconds has failed."""
    m, n, k = map(int, shape.split("x"))
    ours = seconds["byhand"]
    case = {"shape": shape, "group": group, "m": m, "of": "", "batch": batch, "bound": k + 3}
    entries = [
        harness.Entry(name, times=harness.Times((s,)), ratio=s / ours)
        if s
        else harness.Entry(name, problem="FAILED: out of memory")
        for name, s in seconds.items()
    ]
    return harness.Result(case, 1, 2 * m * n * k, entries, peak=1e9)


def test_summary() -> None:
    results = [
        made_up("512x512x512", "cubes", {"byhand": 0.3, "numpy": 0.6, "torch": 0.9}),
        made_up("8x8x8", "cubes", {"byhand": 8e-6, "numpy": 4e-6, "torch": 0}),
        made_up("128x128x784", "mlp", {"byhand": 1, "numpy": 2, "torch": 0.9}, batch=128),
        made_up("1x1x1", "call", {"byhand": 1e-6, "numpy": 5e-7}),
        harness.Result({"group": "error"}, 1, 0, []),
    ]
    assert list(map(goals.ratio, results)) == [2, 0.5, 0.9, 0.5, None]
    lines = list(gemm_report.summary(results, 1))
    assert [(line.what, line.goal, line.met) for line in lines] == [
        ("geometric mean of 3 shapes", 1.15, False),
        ("worst of 2 shapes of 1 MFLOP or more: 128x128x784", 0.95, False),
        ("mean of the networks' products, batch 128", None, None),
        ("mean of cubes", None, None),
        ("mean of mlp", None, None),
        ("of peak at 512 cubed", 0.88, True),
        ("a call of 1x1x1, numpy 500 ns", 1e-6, True),
    ]
    values = [(2 * 0.5 * 0.9) ** (1 / 3), 0.9, 0.9, 1, 0.9, 2 * 512**3 / 0.3 / 1e9, 1e-6]
    assert [line.value for line in lines] == pytest.approx(values)


def test_goals_depend_on_the_threads() -> None:
    seconds = {"byhand": 1.0, "numpy": 1.2}
    results = [made_up("1024x1024x1024", "cubes", seconds, batch=128)]
    for result in results:
        result.peak = 2 * 1024**3 / 0.9
    one, two, three = (list(gemm_report.summary(results, threads)) for threads in (1, 2, 3))
    assert [line.met for line in one] == [True, True, None, None, False]
    assert [line.met for line in two] == [False, True, False, None, True]
    assert [line.met for line in three] == [None, True, None, None, None]
    assert two[0].as_json(2) == {
        "threads": 2,
        "what": "geometric mean of 1 shapes",
        "value": pytest.approx(1.2),
        "goal": 1.25,
        "met": False,
    }


def test_without_a_peer_there_is_nothing_to_compare_with() -> None:
    results = [made_up("8x8x8", "cubes", {"byhand": 1, "numpy": 0})]
    assert goals.mean(results) is None
    assert list(gemm_report.summary(results, 1)) == []
    results[0].entries.pop(0)
    assert gemm_report.of_peak(results[0]) is None


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GROUPS, "cubes", GROUPS["cubes"][:2])
    monkeypatch.setitem(GROUPS, "mlp", tuple(p for p in GROUPS["mlp"] if p.batch == 32))


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_lines_goals_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    groups = "cubes,mlp,call,error"
    result = run(*QUICK, "--groups", groups, "--peers", "numpy", "--json", str(path))
    assert result.exit_code == 0, result.output
    for said in (
        "16x16x16 NN",
        "32x128x784 NT",
        "Summary, 1 thread, against numpy",
    ):
        assert said in result.output
    document = json.loads(path.read_text())
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in gemm.SECTIONS}
    for row in document["results"]:
        rows[row["case"]["group"]].append(row)
    counts = {name: len(found) for name, found in rows.items() if found}
    assert counts == {"cubes": 2, "mlp": 8, "call": 1, "error": len(gemm.ERRORS)}
    peaks = document["fma_peak"]["1"]
    assert len(peaks) == 5  # at the start, after each timed group, at the end
    for name, before in (("cubes", 0), ("mlp", 1)):
        for row in rows[name]:
            assert row["fma_peak"] == max(peaks[before : before + 2])
            assert [len(entry["times"]["rounds"]) for entry in row["entries"]] == [2, 2]
    for row in rows["error"]:
        for entry in row["entries"]:
            assert 0 < entry["difference"] < row["case"]["bound"] == row["case"]["k"] + 3
            assert entry["times"] is None
    ratios = [row["entries"][1]["ratio"] for name in ("cubes", "mlp") for row in rows[name]]
    first = document["summary"][0]
    assert first["what"] == "geometric mean of 10 shapes"
    assert first["value"] == pytest.approx(np.exp(np.log(ratios).mean()))


@pytest.fixture
def wrong_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contender "wrong", whose product is."""
    only_peer("wrong", WRONG_PEER, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("few", "wrong_peer")
@pytest.mark.parametrize("group", ["cubes", "error"])
def test_a_wrong_contender_fails_the_command(group: str) -> None:
    result = run(*QUICK, "--groups", group, "--peers", "wrong")
    assert result.exit_code == 1
    assert "WRONG: differs from the reference" in result.output


def test_unknown_groups_are_refused() -> None:
    result = run("gemm", "--groups", "cubes,cube")
    assert result.exit_code == 2
    assert "'cube'" in result.output


def test_numpys_product_is_numpys_own() -> None:
    assert numpy_page.gemm is np.matmul


def test_every_step_of_the_ladder_is_explained() -> None:
    assert list(ladder.WORDS) == testing.gemm_ladder_steps()


def test_rungs() -> None:
    """Steps first, a gain over the step before, none after one that failed."""
    seconds = {"three loops": 8.0, "rows of B inside": 2.0, "packing": 1.0, "numpy": 4.0}
    one = harness.Result({}, 1, 8, [], peak=16.0)
    for name, s in seconds.items():
        one.entries.append(harness.Entry(name, times=harness.Times((s,))))
    one.entries[2] = harness.Entry("packing", problem="WRONG: differs")
    times = harness.Times((0.5,))
    two = harness.Result({}, 2, 8, [harness.Entry("threads", times=times)], peak=32.0)
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


LADDER = ["gemm", "--ladder", "--size", "33", "--rounds", "2", "--seconds", "0"]


@pytest.mark.slow
def test_the_ladder(tmp_path: Path) -> None:
    """All steps but the last on one thread, the last on two; NumPy beside both."""
    path, plot = tmp_path / "run.json", tmp_path / "new" / "ladder.png"
    options = ["--threads", "1,2", "--json", str(path), "--plot", str(plot)]
    result = run(*LADDER, *options)
    assert result.exit_code == 0, result.output
    assert "33 x 33 x 33" in result.output
    assert all(words in result.output for pair in ladder.WORDS.items() for words in pair)
    *alone, last = ladder.WORDS
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
    """The first turn was enough; the chart has a bar for who is wrong, too."""
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
    ("options", "named"),
    [
        (["--size", "64"], "--size"),
        (["--plot", "ladder.png"], "--plot"),
        (["--ladder", "--groups", "cubes"], "--groups"),
        (["--ladder", "--size", "0"], "--size"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], named: str) -> None:
    result = run("gemm", *options)
    assert result.exit_code == 2
    assert named in result.output
