"""`byhand record`: its networks, the same training in PyTorch and JAX, and short runs."""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.bench import byhand_peer, jax_peer
from byhand.bench.record import command, recipes
from byhand.bench.tasks import Attempt
from byhand.data import Dataset
from byhand.models import lenet5
from byhand.nn import BatchNorm2d
from cli_support import make_sets, run, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "digits", make_sets(600, 200))


SIZES = {
    "99": 29_070,
    "99.2": 40_122,
    "99.5": 119_386,
    "simplechains": 44_426,
    "size": 982,
    "lenet5": 129_388,
    "conv": 204_778,
}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_the_networks(name: str, size: int) -> None:
    model = recipes.ATTEMPTS[name].model(seed=1)
    assert sum(parameter.data.size for parameter in model.parameters()) == size
    other = recipes.ATTEMPTS[name].model(seed=2)
    assert not np.array_equal(model.parameters()[0].data, other.parameters()[0].data)


def test_the_table_has_every_network() -> None:
    assert SIZES.keys() == recipes.ATTEMPTS.keys()
    assert SIZES["size"] <= 1_000 and SIZES["conv"] <= 350_000


def test_every_recipe_for_speed_trains_with_its_betas() -> None:
    for name in (*recipes.SPEED, "simplechains"):
        recipe = recipes.ATTEMPTS[name]
        assert isinstance(recipe, recipes.AdamRecipe)
        assert recipe.optimizer(recipe.model(seed=0)).betas == recipe.betas


def test_targets() -> None:
    assert recipes.TARGETS.keys() == recipes.ATTEMPTS.keys() - {"simplechains"}
    assert all(90 < target < 100 for target in recipes.TARGETS.values())


def test_the_uses_of_a_block_share_its_parameters() -> None:
    once, more = recipes.RepeatedBlocks(repeats=(1, 1))(), recipes.RepeatedBlocks(repeats=(2, 3))()
    assert len(more.children) > len(once.children)
    sizes = [[parameter.data.shape for parameter in m.parameters()] for m in (once, more)]
    assert sizes[0] == sizes[1]
    statistics = [layer.running_mean for layer in more.children if isinstance(layer, BatchNorm2d)]
    assert len({id(statistic) for statistic in statistics}) == 6


def test_an_average_over_shifts() -> None:
    model, images = lenet5(seed=3), make_sets(1, 40)[1].images
    expected = np.zeros((40, 10))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            moved = np.zeros_like(images)
            for y in range(28):
                for x in range(28):
                    if 0 <= y - down < 28 and 0 <= x - right < 28:
                        moved[:, y, x] = images[:, y - down, x - right]
            expected += model.predict_proba(moved)
    averaged = Dataset(images, expected.argmax(axis=1).astype(np.uint8))
    assert byhand_peer.accuracy(model, averaged, 1) == 1
    single = Dataset(images, model.predict(images).astype(np.uint8))
    assert byhand_peer.accuracy(model, single) == 1
    assert byhand_peer.accuracy(model, single, 1) < 1


def apart(ours: list[Any], theirs: list[Any]) -> list[float]:
    """Return the distance of two lists of arrays, as fractions of the norms of the first."""
    return [
        float(np.linalg.norm(one - np.asarray(other)) / np.linalg.norm(one))
        for one, other in zip(ours, theirs, strict=True)
    ]


def learned_by_torch(attempt: Attempt) -> list[Any]:
    torch_peer = pytest.importorskip("byhand.bench.torch_peer", exc_type=ImportError)
    weights: list[Any] = torch_peer.Peer(1).learn(attempt, lambda _: None)
    return weights


def learned_by_jax(attempt: Attempt) -> list[Any]:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX does not belong to the packages of the tests")
    _, weights, _ = jax_peer.train(attempt, lambda: None)
    return [weights[name] for name in attempt.start().state_dict()]


@pytest.mark.slow
@pytest.mark.parametrize("learned", [learned_by_torch, learned_by_jax])
@pytest.mark.parametrize("name", ["99", "simplechains"])
def test_others_train_the_same(
    name: str, learned: Callable[[Attempt], list[Any]], folder: Path
) -> None:
    """All use Adam, the same initial weights, orders, learning rates and losses.

    If a gradient is nearly 0, rounding decides the direction in which Adam changes the weight. So
    the weights are compared in the Euclidean norm, and the worst array may differ more. The median
    is at most 0.001. It would be 0.007 with other betas, 0.0065 with a learning rate that is 2 %
    larger, and 0.004 with other label smoothing.
    """
    attempt = Attempt(name, str(folder), 3)
    ours = byhand_peer.Peer(1).learn(attempt, lambda _: None)
    theirs = apart(ours, learned(attempt))
    assert max(theirs) < 0.02 and statistics.median(theirs) < 2e-3


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


@pytest.mark.slow
def test_a_network_with_an_average_over_shifts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.TARGETS, "lenet5", 0.0)
    options = ["--networks", "lenet5", "--average-shifts", "1", "--seeds", "1", "--data", folder]
    result = run("record", "accuracy", *options, "--threads", "1")
    assert "lenet5 in" in result.stdout
    assert "129,388 parameters, averaged over shifts by up to 1 px" in " ".join(
        result.stdout.split()
    )


def test_the_mean_is_over_all_seeds_that_did_not_fail() -> None:
    assert command._mean([], "byhand") == 0.0


@pytest.mark.slow
def test_an_interruption_loses_no_seed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, one = tmp_path / "record.json", command._try

    def interrupted(contest: Any, contenders: Any, attempt: Attempt) -> Any:
        if attempt.seed == 2:
            raise KeyboardInterrupt
        return one(contest, contenders, attempt)

    monkeypatch.setattr(command, "_try", interrupted)
    options = ["--targets", "99", "--seeds", "5", "--threads", "1", "--data", folder]
    result = run("record", "speed", *options, "--json", path, code=130)
    assert re.search(r"byhand +2 ", result.stdout)
    assert [row["case"]["seed"] for row in json.loads(path.read_text())["results"]] == [0, 1]


@pytest.mark.slow
def test_byhand_trains_alone_if_images_are_shifted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setitem(recipes.TARGETS, "99.5", 0.0)
    options = ["--targets", "99.5", "--seeds", "1", "--threads", "1", "--data", folder]
    result = run("record", "speed", *options, "--peers", "torch")
    assert "byhand trains alone" in " ".join(result.stdout.split())
    assert "FAILED" not in result.stdout and "torch" not in result.stdout


def test_a_contender_that_cannot_train_by_a_recipe() -> None:
    message = run("record", "speed", "--peers", "numpy", code=2).stderr
    assert "numpy cannot train by a recipe" in " ".join(message.split())
