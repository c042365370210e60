"""The benchmarks: the NumPy peer, the statistics, and whole runs too short for real times."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from bench_support import only_peer, random_task
from byhand import kernels
from byhand.bench import byhand_peer, cli, harness, numpy_page, numpy_peer, tables
from byhand.bench import run as bench_run
from byhand.bench.cases import CASES, IN_PLACE, OPS
from byhand.bench.results import Entry, Times, summary
from byhand.bench.results import Result as CaseResult
from byhand.bench.tasks import Task
from byhand.data import DataError
from typer.testing import CliRunner, Result

QUICK = ["kernels", "--batch", "2", "--rounds", "2", "--seconds", "0", "--threads", "1"]
WRONG_PEER = """
from byhand.bench import numpy_peer, sampling

class Peer(numpy_peer.Peer):
    version = "wrong"

    def kernel(self, case, batch):
        if batch == 3:
            raise MemoryError("no room")
        return sampling.KernelJob(lambda x: x + 1e-3, case, batch)
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the first result in the file, by the name of the contender."""
    result = json.loads(path.read_text())["results"][0]
    return {entry["contender"]: entry for entry in result["entries"]}


@pytest.mark.parametrize("name", CASES)
def test_numpys_page_equals_the_kernels(name: str) -> None:
    case = CASES[name]
    ours, theirs = (
        page.kernel(case, 17).results()  # one image more than a whole group, for convolution
        for page in (byhand_peer.Peer(byhand.get_num_threads()), numpy_peer.Peer(1))
    )
    assert len(ours) == len(theirs) > 0
    assert harness.difference(ours, theirs) < 1e-5


def test_every_kernel_is_measured() -> None:
    """Those with random numbers are not, because each library draws others."""
    random = {"dropout", "dropout_backward", "warp_images"}
    not_arithmetic = {"empty", "accumulate", "conv2d_weight_cache"}
    assert set(kernels.__all__) - not_arithmetic - random == set(OPS)
    assert all(hasattr(numpy_page, op) for op in OPS)
    assert set(OPS) >= IN_PLACE


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return random_task("softmax", 70, tmp_path, batch=16)


@pytest.mark.parametrize("model", ["softmax", "mlp", "lenet5"])
def test_numpys_training_equals_ours(task: Task, model: str) -> None:
    task = dataclasses.replace(task, model=model)
    ours, theirs = byhand_peer.ByhandTraining(task), numpy_peer.NumpyTraining(task)
    assert harness.difference(ours.results(), theirs.results()) < 1e-5


def test_a_wrong_update_is_a_difference(task: Task) -> None:
    """A wrong setting of the optimizer is found, because the weights are compared, too.

    The losses alone would hardly show it: without L2 they change by less than the rounding error of
    float32.
    """
    reference = numpy_peer.NumpyTraining(task, dtype=np.float64).results()
    for change in ({"weight_decay": 0.0}, {"momentum": 0.89}, {"lr": 0.0201}):
        other = numpy_peer.NumpyTraining(dataclasses.replace(task, **change))
        assert harness.difference(other.results(), reference) > cli.TRAINING_TOLERANCE


@pytest.mark.parametrize(("steps", "images", "batches"), [(None, 54, 4), (2, 32, 2), (9, 54, 4)])
def test_the_first_step_is_not_counted(
    task: Task, steps: int | None, images: int, batches: int
) -> None:
    """There are 70 images in batches of 16: four whole batches and one of 6 images."""
    ours, theirs = byhand_peer.ByhandTraining(task), numpy_peer.NumpyTraining(task)
    theirs.whole_batches = False
    calls = 0
    step = theirs.step

    def counted(index: Any) -> Any:
        nonlocal calls
        calls += 1
        return step(index)

    theirs.step = counted  # type: ignore[method-assign]
    assert ours.sample(steps).units == theirs.sample(steps).units == images
    assert calls == batches + 1
    theirs.whole_batches = True
    assert theirs.sample(None).units == 48


def test_work_of_a_step() -> None:
    """The FLOPs of LeNet-5, counted by hand.

    Per image, the forward pass has 1,991,680 multiply-adds, the gradients of the weights have as
    many, and those of the inputs have 1,703,680.
    """
    assert Task("lenet5", "tanh", "", "", 0).flops() == 2 * (2 * 1_991_680 + 1_703_680)
    assert CASES["conv2d LeNet conv2"].work(128) == 128 * 2 * 1_600_000
    assert CASES["gemm 256x256x256"].work(128) == 2 * 256**3


def test_times() -> None:
    times = Times((4.0, 1.0, 2.0, 9.0))
    assert (times.min, times.median, times.max, times.spread) == (1.0, 3.0, 9.0, 8 / 3)


def test_difference() -> None:
    x = np.array([3.0, 4.0])
    assert harness.difference([x], [x]) == 0
    assert harness.difference([x, x + np.array([0, 0.05])], [x, x]) == pytest.approx(0.01)
    assert harness.difference([x], [x, x + 1]) == 0
    assert harness.difference([np.array([3.0, np.nan])], [x]) == np.inf
    assert harness.difference([x[:1]], [x]) == np.inf
    assert harness.difference([], [x]) == np.inf


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.34, "12.3 s"), (1, "1.00 s"), (0.5, "500 ms"), (4.2e-5, "42.0 us"), (3e-9, "3.00 ns")],
)
def test_seconds(value: float, text: str) -> None:
    assert tables.seconds(value) == text


def made_up(group: str, label: str, **ratios: float) -> CaseResult:
    entries = [Entry(name, times=Times((r,)), ratio=r) for name, r in ratios.items()]
    return CaseResult({"group": group, "label": label}, 1, 8, [Entry("byhand"), *entries])


def test_the_summary_is_against_the_fastest_peer_of_each_case() -> None:
    results = [
        made_up("cubes", "a", numpy=4.0, torch=5.0),
        made_up("cubes", "b", numpy=2.0, torch=1.0),
        made_up("mlp", "c", numpy=0.25),
        made_up("error", "d"),
    ]
    results[2].entries.append(Entry("torch", problem="FAILED: out of memory"))
    assert [result.ratio for result in results] == [4, 1, 0.25, None]
    lines = [tuple(line.values()) for line in summary(results)]
    assert lines == [
        ("cubes", 2, pytest.approx(2), 1.0, "b"),
        ("mlp", 1, pytest.approx(0.25), 0.25, "c"),
        ("all", 3, pytest.approx(1), 0.25, "c"),
    ]
    assert [line["group"] for line in summary(results[:2])] == ["cubes"]
    assert summary(results[3:]) == []


def test_the_share_of_the_peak_is_byhands() -> None:
    result = made_up("cubes", "a", numpy=4.0)
    assert result.of_peak is None
    result.entries[0].times, result.peak = Times((2.0,)), 16.0
    assert result.of_peak == 0.25 and result.rate(result.entries[1]) == 2
    result.flops = 0
    assert result.of_peak is None


@pytest.mark.slow
def test_kernels_in_a_table_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    result = run(*QUICK, "--op", "relu", "--op", "linear", "--peers", "numpy", "--json", str(path))
    assert result.exit_code == 0, result.output
    assert "relu MLP 128" in result.output
    assert "numpy" in result.output
    document = json.loads(path.read_text())
    assert document["machine"]["byhand"]["version"] == byhand.__version__
    assert document["versions"]["numpy"] == f"NumPy {np.__version__}"
    peaks = document["fma_peak"]["1"]
    assert len(peaks) == 3  # the peak is measured at the start and after each group
    assert [r["case"]["op"] for r in document["results"]] == ["linear"] * 3 + ["relu"] * 2
    for entry in document["results"][0]["entries"]:  # MLP 784-128
        times = entry["times"]
        assert len(times["rounds"]) == 2
        assert 0 < times["min"] <= times["median"] <= times["max"]
        assert entry["flops_per_second"] == 2 * 2 * 784 * 128 / times["median"]
        assert entry["of_peak"] == entry["flops_per_second"] / max(peaks[:2])
        assert entry["difference"] < bench_run.KERNEL_TOLERANCE
    ours, theirs = entries(path)["byhand"], entries(path)["numpy"]
    rounds = zip(theirs["times"]["rounds"], ours["times"]["rounds"], strict=True)
    assert theirs["ratio"] == statistics.median(a / b for a, b in rounds)


@pytest.mark.slow
def test_training_in_a_table_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    options = ["--models", "softmax", "--steps", "3", "--repeats", "1", "--peers", "numpy"]
    result = run("training", *options, "--synthetic", "--threads", "1", "--json", str(path))
    assert result.exit_code == 0, result.output
    for entry in entries(path).values():
        assert entry["problem"] is None
        assert entry["times"]["median"] > 0
        assert entry["note"] == "3 steps, scaled"
        assert 30e6 < entry["rss"] < 1e9
    # byhand keeps the images as bytes (47 MB), NumPy as floats (188 MB).
    assert entries(path)["byhand"]["rss"] < entries(path)["numpy"]["rss"]


@pytest.fixture
def wrong_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a contender "wrong". Its relu is wrong, and it raises MemoryError for three images."""
    only_peer("wrong", WRONG_PEER, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("wrong_peer")
@pytest.mark.parametrize(("batch", "said"), [("2", "WRONG"), ("3", "MemoryError: no room")])
def test_a_wrong_contender_is_reported_and_not_timed(tmp_path: Path, batch: str, said: str) -> None:
    path = tmp_path / "run.json"
    result = run(*QUICK, "--op", "relu", "--batch", batch, "--json", str(path))
    assert result.exit_code == 1
    assert said in result.output
    assert said in entries(path)["wrong"]["problem"]
    assert entries(path)["wrong"]["times"] is None
    assert entries(path)["byhand"]["times"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kernels", "--op", "relo"], "'relo'"),
        (["kernels", "--threads", "0"], "'0'"),
        (["kernels", "--threads", "1,257"], "'1,257'"),
        (["kernels", "--peers", "numpi"], "'numpi'"),
        (["training", "--models", "lenet6"], "'lenet6'"),
        (["training", "--activation", "relo"], "'relo'"),
    ],
)
def test_unknown_names(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_file_that_cannot_be_written_is_refused_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_run, "fma_peak", lambda threads: pytest.fail("measured"))
    result = run(*QUICK, "--json", str(tmp_path))
    assert result.exit_code == 2 and "--json" in result.output
    assert isinstance(run(*QUICK, "--json", "/proc/run.json").exception, OSError)


def test_a_named_folder_without_data_is_not_passed_over(tmp_path: Path) -> None:
    result = run("training", "--data", str(tmp_path), "--steps", "1", "--models", "softmax")
    assert isinstance(result.exception, DataError)
    assert str(tmp_path) in str(result.exception) and result.stdout == ""
