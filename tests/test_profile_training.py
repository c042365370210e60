"""tools/profile_training.py: the work of a training step, counted by hand, and short runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import byhand
import costs
import profile_training as profile
import pytest
from bench_support import random_task
from byhand import _core, kernels, nn
from byhand._core import testing
from byhand.bench.tasks import Task
from costs import Call, Cost
from typer.testing import CliRunner, Result

MATRICES = Path(__file__).parents[1] / "csrc" / "cpu" / "kernels" / "conv2d_winograd_matrices.py"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(profile.app, ["--synthetic", "--threads", "1", *arguments])


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A training of three whole batches of 128 and a smaller last one."""
    return random_task("lenet5", 400, tmp_path)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake machine: 2 FLOP/s, and 1 byte per second, or 4 for arrays of 4 MB or more."""
    monkeypatch.setattr(profile, "fma_peak", lambda threads: 2.0)
    rate = lambda threads, size: 1.0 if size < 1 << 22 else 4.0  # noqa: E731
    monkeypatch.setattr(profile, "memory_rate", rate)


Matrix = Sequence[Sequence[Fraction]]


def operations(rows: Matrix) -> costs.Transform:
    """Count the operations of a transform.

    For a point and its negative, P x is a sum over the even columns plus or minus a sum over the
    odd ones. P' y uses the sum and the difference of their two rows.
    """
    pairs, size = rows[1:-1:2], len(rows[0])
    times = sum(_terms(row) for row in (rows[0], rows[-1]))
    times += sum(_terms(row[::2]) + _terms(row[1::2]) + 2 for row in pairs)
    columns = zip(rows[0], *pairs, rows[-1], strict=True)
    return costs.Transform(size, times, 2 * len(pairs) + sum(map(_terms, columns)))


def _terms(row: Sequence[Fraction]) -> int:
    """Count the operations of a sum. A first term with the factor 1 or -1 costs nothing."""
    factors = [abs(factor) for factor in row if factor]
    return len(factors) - (1 in factors)


def test_operations_of_winograds_transforms() -> None:
    spec = importlib.util.spec_from_file_location("conv2d_winograd_matrices", MATRICES)
    assert spec is not None and spec.loader is not None
    matrices = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(matrices)
    assert operations(matrices.inputs()) == costs.INPUTS
    for r in (3, 5):
        assert operations(matrices.powers(9 - r)) == costs.OUTPUTS[r]
        assert operations(matrices.weights(r)) == costs.FILTERS[r]
    assert costs.INPUTS.both_axes() == (8, 416, 416)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("model", ["softmax", "mlp", "lenet5"])
def test_all_the_arithmetic_of_a_step_is_known(task: Task, model: str) -> None:
    """The FLOPs of a step are those that the layers count, so costs.py knows every kernel."""
    task = dataclasses.replace(task, model=model)
    found = profile.profile(task, 1, 2, 1.0)
    calls = [row.what for row in found.rows if row.what is not None]
    assert (
        sum(call.cost.flops for call in calls)
        == task.batch * dataclasses.replace(task, model=model).flops()
    )
    assert {"gather_images", "softmax_cross_entropy", "sgd_step"} <= {c.kernel for c in calls}
    assert found.peak == 2.0
    times = [row.seconds for row in found.rows]
    assert times == sorted(times, reverse=True) and times[-1] > 0


@pytest.mark.usefixtures("unmeasured")
def test_lenets_costs_by_hand(task: Task) -> None:
    """The costs of LeNet-5's step, by hand.

    conv2 has 4 patches per image, each with 64 products for 20 x 50 pairs of channels. A transform
    of both axes is one transform per column and one per row.
    """
    found = profile.profile(task, 1, 1, 1.0)
    found_rows = {row.name: row for row in found.rows}
    what = {name: row.what.cost for name, row in found_rows.items() if row.what is not None}
    n, conv1, conv2 = 128, 128 * 288_000, 128 * 1_600_000
    x, y1, y2 = n * 784 * 4, n * 20 * 144 * 4, n * 50 * 16 * 4
    forward = what["conv2d_pool_act 20->50 5x5 on 12"]
    patch = 64 * 1000 + 12 * (16 * 50) + 16 * (26 * 20)
    assert forward.algorithm == "winograd" and forward.flops == 2 * conv2
    assert forward.needed == 2 * (n * 4 * patch + 13 * 21 * 1000)
    assert forward.bytes == y1 + 2 * y2 + (25_000 + 50) * 4  # an index has 4 bytes, as a value has
    backward = what["conv2d_pool_act_backward 20->50 5x5 on 12"]
    twice = 2 * 64 * 1000 + 16 * (26 + 26) * 20 + 12 * (14 * 50)
    assert backward.algorithm == "winograd" and backward.flops == 4 * conv2
    # The forward pass has transformed the weights already.
    assert backward.needed == 2 * (n * 4 * twice + 13 * 21 * 1000)
    assert backward.bytes == 2 * y1 + 3 * y2 + (2 * 25_000 + 50) * 4
    rows = what["conv2d_pool_act 1->20 5x5 on 28"]  # a row has 6 tiles of 4 outputs
    assert rows.algorithm == "winograd_rows" and rows.flops == 2 * conv1
    assert rows.needed == 2 * (n * 6 * (24 * 20 * (8 * 5 + 16) + 28 * 26) + 20 * 5 * 21)
    first = what["conv2d_pool_act_backward 1->20 5x5 on 28"]
    assert first.algorithm == "direct" and first.flops == 2 * conv1
    assert first.needed == 2 * n * 20 * 144 * 25
    assert first.bytes == x + 3 * y1 + (500 + 20) * 4  # no weights, only their gradient
    gather = what["gather_images 128x1x28x28"]
    assert (gather.far, gather.span) == (n * 784, 400 * 784)
    assert gather.bytes == n * (784 + 784 * 4 + 8)
    linear = what["linear_act_backward 128x800, 128x800"]
    assert linear.flops == linear.needed == 2 * 2 * 128 * 128 * 800
    assert linear.bytes == 4 * (2 * 128 * 128 + 4 * 128 * 800 + 128)
    last = what["linear_act_backward 128x128, 10x128"]  # without activation, the output is not read
    assert last.bytes == 4 * (128 * 10 + 2 * 128 * 128 + 2 * 10 * 128 + 10)
    row = found_rows["conv2d_pool_act 20->50 5x5 on 12"]
    assert (row.bound, row.floor, row.direct) == ("arithmetic", forward.needed / 2, conv2)
    row = found_rows["sgd_step 129434"]  # parameters and gaps between them; 2.6 of 4 MB
    assert (row.bound, row.floor) == ("memory", 5 * 4 * 129_434 / 4)


def test_every_second_step_is_left_alone(task: Task) -> None:
    watch = profile._Watch(task.batch, 5)
    profile._train(task, watch)
    assert len(watch.profiled) == len(watch.times) >= 5 and len(watch.plain) >= 5
    assert {len(times) for times in watch.times} == {len(watch.calls)}
    assert all(sum(t) < s for t, s in zip(watch.times, watch.profiled, strict=True))


def test_afterwards_all_kernels_are_themselves(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """After profiling, all kernels are restored, even if training stops in a profiled step."""
    watch = profile._Watch(task.batch, 10)
    calls = 0

    def failing(*_: Any, **__: Any) -> None:
        nonlocal calls
        calls += 1
        raise MemoryError

    monkeypatch.setattr(profile, "call", failing)
    with pytest.raises(MemoryError):
        profile._train(task, watch)
    assert calls == 1
    assert all(getattr(kernels, name) is getattr(_core, name) for name in kernels.__all__)
    assert nn.Tanh._gradient is _core.tanh_backward


def test_what_is_marked() -> None:
    what = Call("gemm", "", Cost(1, 1, 1))
    rows = [
        profile.Row(what, 2.1, 0.06, floor=1.0),
        profile.Row(what, 1.9, 0.9, floor=1.0),
        profile.Row(what, 2.1, 0.04, floor=1.0),
        profile.Row(None, 0.1, 0.06),
    ]
    assert [row.marked for row in rows] == [True, False, False, True]


@pytest.mark.slow
def test_a_table_a_chart_and_a_file(tmp_path: Path) -> None:
    threads = byhand.get_num_threads()
    path, plot = tmp_path / "run.json", tmp_path / "new" / "profile.png"
    files = ["--json", str(path), "--plot", str(plot)]
    result = run("--models", "softmax,mlp", "--steps", "3", "--repeats", "1", *files)
    assert result.exit_code == 0, result.output
    for said in ("A step of softmax, 1 thread", "A step of mlp", "linear_act", "rest", "GB/s"):
        assert said in result.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    first, second = json.loads(path.read_text())["summary"]
    assert (first["model"], second["model"]) == ("softmax", "mlp")
    assert first["floor"] == pytest.approx(sum(row.get("floor", 0) for row in first["rows"]))
    for row in second["rows"]:
        assert row["what"] == "rest" or 0 < row["floor"] <= row["direct_floor"]
    assert byhand.get_num_threads() == threads


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--models", "lenet6"], "'lenet6'"), (["--plot", "profile.gif"], "must end in .png")],
)
def test_options_that_cannot_be(options: list[str], said: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert said in result.output


def test_memory_rate() -> None:
    assert testing.memory_rate(1 << 16, 0.001) > 0
    with pytest.raises(ValueError, match="bytes must be at least 8, got 7"):
        testing.memory_rate(7, 0.001)
