"""`byhand record speed`: its network, the same training in PyTorch, and a short run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from byhand.bench import byhand_peer
from byhand.bench.record import command, recipes
from byhand.bench.tasks import Attempt
from cli_support import make_sets, run, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "digits", make_sets(600, 200))


def test_the_network() -> None:
    model = recipes.two_convolutions(seed=1)
    assert sum(parameter.data.size for parameter in model.parameters()) == 215_194
    other = recipes.two_convolutions(seed=2)
    assert not np.array_equal(model.parameters()[0].data, other.parameters()[0].data)


def test_every_recipe_trains_with_its_betas() -> None:
    for target, recipe in recipes.SPEED.items():
        assert 90 < float(target) < 100
        optimizer = recipe.optimizer(recipe.model(seed=0))
        assert optimizer.betas == recipe.betas


@pytest.mark.slow
def test_pytorch_trains_the_same(folder: Path) -> None:
    """Both use Adam, the same initial weights, orders and learning rates: three steps.

    If a gradient is nearly 0, rounding decides the direction in which Adam changes the weight. So
    the weights are compared in the Euclidean norm. The second convolution and the first linear
    layer have many such gradients. With other betas, the other layers differ by 0.0026 and more.
    """
    torch_peer = pytest.importorskip("byhand.bench.torch_peer", exc_type=ImportError)
    attempt = Attempt("99", str(folder), 3)
    ours = byhand_peer.Peer(1).learn(attempt, lambda _: None)
    theirs = torch_peer.Peer(1).learn(attempt, lambda _: None)
    apart = [
        np.linalg.norm(one - np.asarray(other)) / np.linalg.norm(one)
        for one, other in zip(ours, theirs, strict=True)
    ]
    assert max(apart) < 0.03
    assert max(apart[i] for i in (0, 1, 3, 6, 7)) < 1e-3


@pytest.mark.slow
def test_a_missed_target(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    options = ["--targets", "99", "--seeds", "2", "--threads", "1", "--data", folder]
    result = run("record", "speed", *options, "--json", path, code=1)
    assert "byhand missed a target" in result.stderr
    assert "99 % in 1 epoch, 1 thread" in result.stdout
    saved = json.loads(path.read_text())
    assert [row["case"]["seed"] for row in saved["results"]] == [0, 1]
    for row in saved["results"]:
        (entry,) = row["entries"]
        assert 0 < entry["times"]["rounds"][0] < entry["ends"][0]
        assert 0 <= entry["accuracies"][0] < 0.99


def test_the_mean_is_over_all_seeds_that_did_not_fail() -> None:
    assert command._mean([], "byhand") == 0.0


def test_a_contender_that_cannot_train_by_a_recipe() -> None:
    message = run("record", "speed", "--peers", "numpy", code=2).stderr
    assert "numpy cannot train by a recipe" in " ".join(message.split())
