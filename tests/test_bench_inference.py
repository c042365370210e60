"""`byhand bench inference`: a comparison of all contenders, and a short run."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from bench_support import only_peer
from byhand.bench import harness, inference, numpy_peer, peers
from byhand.bench.inference import Inference
from byhand.cli.app import app
from typer.testing import CliRunner, Result

WRONG_PEER = """
from byhand.bench import numpy_peer, sampling

class Peer(numpy_peer.Peer):
    version = "wrong"

    def inference(self, inference):
        if inference.batch == 2:
            return None
        right = numpy_peer.NumpyInference(inference).results()[0]
        return sampling.Calls(lambda: right + 1e-3 * (inference.batch == 3))
"""


def run(*arguments: str) -> Result:
    options = ["--models", "lenet5", "--threads", "1", "--rounds", "2", "--seconds", "0"]
    return CliRunner().invoke(app, ["bench", "inference", *options, *arguments])


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("model", ["softmax", "mlp", "lenet5"])
def test_who_is_installed_computes_the_same(model: str, batch: int) -> None:
    """Every installed contender agrees with NumPy in float64 and with the layers' own forward."""
    case = Inference(model, "tanh", batch)
    images, network = case.images(), case.start()
    reference = numpy_peer.NumpyInference(case, np.float64).results()
    assert reference[0].dtype == np.float64 and reference[0].shape == (batch, 10)
    assert harness.difference([network.forward(images)], reference) < inference.TOLERANCE
    for contender in peers.choose([]):
        peer = importlib.import_module(contender.module).Peer(1, **contender.options)
        job = peer.inference(case)
        if job is not None:
            assert harness.difference(job.results(), reference) < inference.TOLERANCE


def test_images_are_the_models() -> None:
    """The images have pixels in [-1, 1] and are the same in every process.

    The FLOPs of a call are proportional to its images.
    """
    case = Inference("lenet5", "tanh", 3)
    images = case.images()
    assert images.shape == (3, 1, 28, 28) and images.dtype == np.float32
    assert -1 <= images.min() < -0.99 and 0.99 < images.max() <= 1
    np.testing.assert_array_equal(images, case.images())
    assert case.flops() == 3 * 2 * 1_991_680


@pytest.mark.slow
def test_lines_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a contender is wrong, the command fails.

    A contender that does not support the network has no line in the table.
    """
    only_peer("wrong", WRONG_PEER, tmp_path, monkeypatch)
    path = tmp_path / "run.json"
    result = run("--batch", "2,3,4", "--json", str(path))
    assert result.exit_code == 1, result.output
    for said in (
        "per image",
        "byhand against the fastest contender, 1 thread",
        "WRONG: differs from the reference",
    ):
        assert said in result.output
    first, second, third = json.loads(path.read_text())["results"]
    assert [row["case"]["batch"] for row in (first, second, third)] == [2, 3, 4]
    (ours,) = first["entries"]
    assert ours["flops_per_second"] == 2 * 2 * 1_991_680 / ours["times"]["median"]
    assert ours["difference"] < inference.TOLERANCE
    assert second["entries"][1]["times"] is None
    assert third["entries"][1]["ratio"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--batch", "0"], "--batch"),
        (["--models", "lenet6"], "'lenet6'"),
        (["--peers", "onnxruntim"], "'onnxruntim'"),
    ],
)
def test_unknown_names(options: list[str], said: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert said in result.output


def test_a_peer_that_is_not_installed_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = peers.Contender("absent", "byhand.bench.onnx_peer", ("numpy", "no_such_package"))
    monkeypatch.setattr(peers, "CONTENDERS", [*peers.CONTENDERS[:1], absent])
    assert [contender.name for contender in peers.choose([])] == ["byhand"]
    result = run("--peers", "absent")
    assert result.exit_code == 2
    assert "absent needs packages that are missing: pip install no_such_package" in result.output
