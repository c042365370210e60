"""If `fit` refuses its arguments or its run folder, it does not change the model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import models, nn, optim
from byhand.optim.schedules import OneCycle
from byhand.training import Trainer
from networks import digits

DATA = digits(17)


class OnlyForward(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


class Forgets(nn.ReLU):
    def __init__(self, size: int = 1) -> None:
        pass


def network(*more: nn.Module) -> models.Model:
    return models.Model(nn.Flatten(), nn.Linear(784, 10, rng=1), nn.BatchNorm1d(10), *more)


def trainer(model: models.Model, adam: bool = False, **options: Any) -> Trainer:
    method = optim.Adam if adam else optim.SGD
    return Trainer(model, method(model.parameters(), 0.01), **options)


def all_of(model: models.Model) -> dict[str, Any]:
    """Return all that a user can see of a model, except the plans for its predictions."""
    properties = {name: value for name, value in vars(model).items() if name != "children"}
    return {
        **properties,
        "trained": model.trained,
        "arrays": {n: (p.data.tobytes(), p.grad.tobytes()) for n, p in model.named_state()},
        "modes": [layer.training for layer in model.modules()],
    }


def trained(run: Path, epochs: int = 1, **options: Any) -> Path:
    trainer(network(), run=run, **options).fit(DATA, epochs=epochs, batch_size=17)
    return run


def of_another_optimizer(run: Path) -> Path:
    """Make a run whose state comes from a run with another optimizer."""
    other = trained(run.with_name("other"), adam=True)
    shutil.copy(other / "state.safetensors", trained(run))
    return run


def in_the_way(run: Path) -> Path:
    run.touch()
    return run


# Each refusal: the arguments of the trainer, the arguments of `fit`, and the kind of run folder.
Refusal = tuple[dict[str, Any], dict[str, Any], Callable[[Path], Path] | None]
REFUSALS: dict[str, Refusal] = {
    "labels": ({}, {"train": (DATA[0], DATA[1] + 10)}, None),
    "validation": ({}, {"validation": DATA[0]}, None),
    "epochs": ({}, {"epochs": 0}, None),
    "batch size": ({}, {"batch_size": 0}, None),
    "a last batch of one image": ({}, {"batch_size": 16}, None),
    "seed": ({}, {"seed": -1}, None),
    "resume": ({}, {"resume": True}, None),
    "choose_by_validation": ({}, {"choose_by_validation": "no"}, None),
    "shift": ({"max_shift": 28}, {}, None),
    "schedule": ({"schedule": OneCycle(0.1, 1)}, {}, None),
    "a schedule of no numbers": ({"schedule": lambda step: None}, {}, None),
    "a schedule of arrays": ({"schedule": lambda step: np.array(0.1)}, {}, None),
    "masked labels": ({}, {"train": (DATA[0], np.ma.masked_array(DATA[1]))}, None),
    "masked images": ({}, {"train": (np.ma.masked_array(DATA[0]), DATA[1])}, None),
    "a layer without a gradient": ({}, {}, None),
    "a layer that no file holds": ({}, {}, lambda run: run),
    "a trained run": ({}, {}, trained),
    "another run": ({}, {"resume": True, "seed": 5}, trained),
    "fewer epochs": ({}, {"resume": True, "epochs": 1}, lambda run: trained(run, 2)),
    "another state": ({}, {"resume": True}, of_another_optimizer),
    "a file": ({}, {}, in_the_way),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_the_model_is_as_before(name: str, tmp_path: Path) -> None:
    options, arguments, prepare = REFUSALS[name]
    if prepare is not None:
        options = {**options, "run": prepare(tmp_path / "run")}
    own: dict[str, list[nn.Module]] = {
        "a layer without a gradient": [OnlyForward()],
        "a layer that no file holds": [Forgets()],
    }
    model = network(*own.get(name, []))
    model.trained = {"epoch": 7}
    for parameter in model.parameters():
        parameter.grad.fill(3.0)
    training = trainer(model, **options)
    before = all_of(model)
    whole = {"train": DATA, "epochs": 3, "batch_size": 17, **arguments}
    with pytest.raises((TypeError, ValueError, OSError)):
        training.fit(whole.pop("train"), **whole)
    assert all_of(model) == before


def test_a_parameter_that_was_replaced_after_the_trainer_was_made() -> None:
    model = network()
    training = trainer(model)
    model[1].bias = nn.Parameter(np.zeros(10, np.float32))
    before = all_of(model)
    with pytest.raises(ValueError, match="optimizer has parameters that are not the model's"):
        training.fit(DATA, epochs=1, batch_size=17)
    assert all_of(model) == before


def test_without_a_refusal_it_is_not() -> None:
    model = network()
    before = all_of(model)
    trainer(model).fit(DATA, epochs=1, batch_size=17)
    assert [name for name, value in all_of(model).items() if value != before[name]] == [
        *("_pictures", "trained", "arrays"),
    ]
