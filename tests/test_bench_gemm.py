"""`byhand bench gemm`: its shapes, its errors, and short runs of the command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_support import only_peer
from byhand.bench import cli, gemm, numpy_page
from byhand.bench.gemm import GROUPS, SECTIONS, Product
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
    """The products have all FLOPs that the layers count for a step, and a third is forward."""
    task = Task(model, "tanh", "", "", 0)
    products = [p for p in GROUPS[model] if p.batch == batch]
    assert sum(p.case.flops for p in products) == batch * task.flops()
    network = task.start()
    forward = sum(p.case.flops for p in products if p.of.endswith("forward"))
    assert forward == batch * network.flops(network.input_shape)


def test_lenets_second_convolution() -> None:
    """The shapes of the products of LeNet-5's second convolution, computed by hand.

    It has 50 filters of 20 x 5 x 5, and its output is 8 x 8.
    """
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


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "cubes", GROUPS["cubes"][:2])
    monkeypatch.setitem(SECTIONS, "mlp", tuple(p for p in GROUPS["mlp"] if p.batch == 32))


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_lines_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    groups = "cubes,mlp,call,error"
    result = run(*QUICK, "--groups", groups, "--peers", "numpy", "--json", str(path))
    assert result.exit_code == 0, result.output
    for said in (
        "16x16x16 NN",
        "32x128x784 NT",
        "byhand against the fastest contender, 1 thread",
    ):
        assert said in result.output
    document = json.loads(path.read_text())
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS}
    for row in document["results"]:
        rows[row["case"]["group"]].append(row)
    counts = {name: len(found) for name, found in rows.items() if found}
    assert counts == {"cubes": 2, "mlp": 8, "call": 1, "error": len(gemm.ERRORS)}
    peaks = document["fma_peak"]["1"]
    assert len(peaks) == 5  # the peak is measured at the start and after each group
    for name, before in (("cubes", 0), ("mlp", 1)):
        for row in rows[name]:
            assert row["fma_peak"] == max(peaks[before : before + 2])
            assert [len(entry["times"]["rounds"]) for entry in row["entries"]] == [2, 2]
    for row in rows["error"]:
        for entry in row["entries"]:
            assert 0 < entry["difference"] < row["case"]["bound"] == row["case"]["k"] + 3
            assert entry["times"] is None
    ratios = [row["entries"][1]["ratio"] for row in rows["mlp"]]
    line = document["summary"][1]
    assert (line["threads"], line["group"], line["cases"]) == (1, "mlp", 8)
    assert line["mean"] == pytest.approx(np.exp(np.log(ratios).mean()))
    assert [one["group"] for one in document["summary"]] == ["cubes", "mlp", "call", "all"]


@pytest.fixture
def wrong_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a contender "wrong", whose matrix product is wrong."""
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
