"""`byhand bench training --profile`: what a step has to do, by hand, and short runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import _core, kernels, nn
from byhand._core import testing
from byhand.bench import cli, costs, profile
from byhand.bench.costs import Call, Cost
from byhand.bench.tasks import Task
from typer.testing import CliRunner, Result

MATRICES = Path(__file__).parents[1] / "csrc" / "cpu" / "kernels" / "winograd_matrices.py"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["training", "--synthetic", "--threads", "1", *arguments])


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Three whole batches of 128 and a ragged one."""
    rng = np.random.default_rng(0)
    images, labels = tmp_path / "images", tmp_path / "labels"
    rng.integers(0, 256, (400, 28, 28), np.uint8).tofile(images)
    rng.integers(0, 10, 400).tofile(labels)
    return Task("lenet5", "tanh", str(images), str(labels), count=400)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 2 FLOP/s and 1 byte a second, four from 4 MB on."""
    monkeypatch.setattr(profile, "fma_peak", lambda threads: 2.0)
    rate = lambda threads, size: 1.0 if size < 1 << 22 else 4.0  # noqa: E731
    monkeypatch.setattr(profile, "memory_rate", rate)


def operations(rows: Sequence[Sequence[Fraction]]) -> int:
    """Of a two-dimensional transform: columns, then rows of 8, by `rows`, a point and its negative
    from one sum over the even columns and one over the odd."""

    def terms(row: Sequence[Fraction]) -> int:
        """Multiply-adds and the like of a sum; a first term of factor 1 or -1 is nothing."""
        factors = [abs(factor) for factor in row if factor]
        return len(factors) - (1 in factors)

    total = terms(rows[0]) + terms(rows[-1])
    for row in rows[1:-1:2]:
        total += terms(row[::2]) + terms(row[1::2]) + 2
    return total * (len(rows[0]) + 8)


def test_operations_of_winograds_transforms() -> None:
    spec = importlib.util.spec_from_file_location("winograd_matrices", MATRICES)
    assert spec is not None and spec.loader is not None
    matrices = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(matrices)
    assert operations(matrices.inputs()) == costs.OF_INPUTS
    for r in (3, 5):
        assert operations(matrices.powers(9 - r)) == costs.OF_OUTPUTS[r]
        assert operations(matrices.weights(r)) == costs.OF_KERNELS[r]


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("model", ["softmax", "mlp", "lenet5"])
def test_all_the_arithmetic_of_a_step_is_known(task: Task, model: str) -> None:
    """As much as by the layers' own count: a kernel that costs.py does not know is missed."""
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
    """conv2 has 4 patches an image, each of 64 products for 20 x 50 pairs of channels."""
    found = profile.profile(task, 1, 1, 1.0)
    rows = {row.name: row for row in found.rows}
    what = {name: row.what.cost for name, row in rows.items() if row.what is not None}
    n, conv2 = 128, 128 * 1_600_000
    y2, y1 = n * 50 * 16 * 4, n * 20 * 144 * 4
    forward = what["conv2d_pool_act 20->50 5x5 on 12"]
    patch = 64 * 1000 + 416 * 20 + 168 * 50
    assert forward.algorithm == "winograd" and forward.flops == 2 * conv2
    assert forward.needed == 2 * (n * 4 * patch + 273 * 1000)
    assert forward.bytes == y1 + 2 * y2 + (25_000 + 50) * 4  # an index is as wide as a value
    backward = what["conv2d_pool_act_backward 20->50 5x5 on 12"]
    twice = 2 * (64 * 1000 + 416 * 20) + 168 * 50
    assert backward.algorithm == "winograd" and backward.flops == 4 * conv2
    assert backward.needed == 2 * (n * 4 * twice + 2 * 273 * 1000)
    first = what["conv2d_pool_act_backward 1->20 5x5 on 28"]
    assert first.algorithm == "direct" and first.flops == 2 * n * 288_000
    assert first.needed == 2 * n * 20 * 144 * 25
    gather = what["gather_images 128x1x28x28"]
    assert (gather.far, gather.span) == (n * 784, 400 * 784)
    assert gather.bytes == n * (784 + 784 * 4 + 8)
    linear = what["linear_backward_weight 128x128, 128x800"]
    assert linear.flops == linear.needed == 2 * 128 * 128 * 800
    row = rows["conv2d_pool_act 20->50 5x5 on 12"]
    assert (row.bound, row.floor, row.direct) == ("arithmetic", forward.needed / 2, conv2)
    row = rows["sgd_step 129434"]  # with the gaps that align the parameters; 2.6 MB of 4
    assert (row.bound, row.floor) == ("memory", 5 * 4 * 129_434 / 4)


def test_every_second_step_is_left_alone(task: Task) -> None:
    watch = profile._Watch(task.batch, 5)
    profile._train(task, watch)
    assert len(watch.profiled) == len(watch.times) >= 5 and len(watch.plain) >= 5
    assert {len(times) for times in watch.times} == {len(watch.calls)}
    assert all(sum(t) < s for t, s in zip(watch.times, watch.profiled, strict=True))


def test_afterwards_all_kernels_are_themselves(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where training ends in the middle of a profiled step."""
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
    assert nn.Tanh.gradient is _core.tanh_backward


def test_what_is_marked() -> None:
    what = Call("gemm", "", Cost(1, 1, 1))
    rows = [
        profile.Row(what, 2.1, 0.06, floor=1.0),
        profile.Row(what, 1.9, 0.9, floor=1.0),
        profile.Row(what, 2.1, 0.04, floor=1.0),
        profile.Row(None, 0.1, 0.06),
    ]
    assert [row.marked for row in rows] == [True, False, False, True]


def test_a_table_a_chart_and_a_file(tmp_path: Path) -> None:
    threads = byhand.get_num_threads()
    path, plot = tmp_path / "run.json", tmp_path / "new" / "profile.png"
    files = ["--json", str(path), "--plot", str(plot)]
    result = run("--profile", "--models", "softmax,mlp", "--steps", "3", "--repeats", "1", *files)
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
    ("options", "named"),
    [
        (["--plot", "profile.png"], "--plot"),
        (["--profile", "--peers", "numpy"], "--peers"),
        (["--profile", "--compile"], "--compile"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], named: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert named in result.output


def test_memory_rate() -> None:
    assert testing.memory_rate(1 << 16, 0.001) > 0
    with pytest.raises(ValueError, match="bytes must be at least 8, got 7"):
        testing.memory_rate(7, 0.001)
