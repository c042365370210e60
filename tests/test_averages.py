"""The moving average of the weights: its values, and what training does with it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import models, nn, optim
from byhand.files.tensors import read_tensors
from byhand.nn import Parameter
from byhand.optim.averages import WeightAverage
from byhand.training import BatchEnd, EpochEnd, Event, Trainer, TrainingStarted, evaluate
from networks import digits, trainer
from tolerance import EPS

Array = npt.NDArray[Any]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_against_float64(decay: float, isa: str, threads: int, rng: np.random.Generator) -> None:
    """Each update rounds three times. Each rounding error is below eps times the largest weight."""
    model = models.mlp((33, 5))
    average = WeightAverage(model.parameters(), decay)
    expected = [p.data.astype(np.float64) for p in model.parameters()]
    for t in range(30):
        for parameter in model.parameters():
            parameter.data += rng.standard_normal(parameter.shape).astype(np.float32) / 10
        average.update()
        keep = min(decay, (1 + t) / (10 + t))
        for own, parameter in zip(expected, model.parameters(), strict=True):
            own *= keep
            own += (1 - keep) * parameter.data
    for own, array in zip(expected, average.state_dict().values(), strict=True):
        np.testing.assert_allclose(array, own, rtol=0, atol=3 * 30 * EPS * np.abs(own).max())
    assert average.updates == 30


def pieces(average: WeightAverage) -> int:
    average.update()
    return len(average._pieces)


def test_one_call_for_a_network_also_after_its_layers_have_moved() -> None:
    model = models.mlp((4,))
    average = WeightAverage(model.parameters(), 0.0)
    assert pieces(average) == 1
    other = nn.Sequential(model[1], nn.Linear(2, 2), model[3])
    assert pieces(average) == 2
    for parameter in other.parameters():
        parameter.data[...] = 7.0
    average.update()
    assert all((array == 7.0).all() for array in average.state_dict().values())


def test_a_copy_averages_the_copied_network() -> None:
    model = models.mlp((4,))
    average = WeightAverage(model.parameters(), 0.0)
    average.update()
    twin, own = copy.deepcopy((model, average))
    for parameter in twin.parameters():
        parameter.data[...] = 7.0
    own.update()
    assert all((array == 7.0).all() for array in own.state_dict().values())


def weights(parameters: list[Parameter]) -> list[bytes]:
    return [parameter.data.tobytes() for parameter in parameters]


def test_in_place_of_weights() -> None:
    model = models.mlp((4,))
    parameters = model.parameters()
    first = weights(parameters)
    average = WeightAverage(parameters, 0.9)
    for parameter in parameters:
        parameter.data += 1
    own = weights(parameters)
    with pytest.raises(KeyboardInterrupt), average.in_place_of_weights():
        assert weights(parameters) == first
        raise KeyboardInterrupt
    assert weights(parameters) == own


@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_training_validates_saves_and_leaves_the_average(decay: float, tmp_path: Path) -> None:
    """Training validates and saves the average of the weights, and leaves it in the model.

    The test averages the weights after every batch in float64. With decay 0 the average is the
    weights themselves.
    """
    model = models.mlp((5,))
    expected: list[Array] = []
    ends: list[tuple[list[bytes], list[Array]]] = []
    held_out = digits(30, seed=1)

    def handler(event: Event) -> None:
        parameters = model.parameters()
        if isinstance(event, TrainingStarted):
            expected.extend(p.data.astype(np.float64) for p in parameters)
        elif isinstance(event, BatchEnd):
            steps = 5 * (event.epoch - 1) + event.batch - 1
            keep = min(decay, (1 + steps) / (10 + steps))
            for i, parameter in enumerate(parameters):
                expected[i] = keep * expected[i] + (1 - keep) * parameter.data
        elif isinstance(event, EpochEnd):
            for wanted, parameter in zip(expected, parameters, strict=True):
                np.testing.assert_allclose(parameter.data, wanted, rtol=0, atol=1e-5)
            assert event.validation_loss == evaluate(model, held_out).loss
            last = byhand.load(tmp_path / "model.safetensors").parameters()
            assert weights(last) == weights(parameters)
            ends.append((weights(parameters), [a.copy() for a in expected]))

    training = trainer(model, run=tmp_path, handlers=[handler], ema=decay)
    training.fit(digits(50), epochs=3, batch_size=10, validation=held_out)
    assert len(ends) == 3
    assert weights(model.parameters()) == ends[-1][0]
    tensors, state = read_tensors(tmp_path / "state.safetensors")
    assert state["averaged"] == 15
    for i, (name, array) in enumerate(model.state_dict().items()):
        assert np.array_equal(tensors[f"ema.{i}"], array)
        close = np.allclose(tensors[f"model.{name}"], array, rtol=0, atol=1e-6)
        assert close == (decay == 0)


def test_the_weights_behind_it_are_those_of_training_without_it() -> None:
    def fit(**kwargs: Any) -> list[float]:
        seen: list[float] = []
        handler = lambda e: seen.append(e.loss) if isinstance(e, BatchEnd) else None  # noqa: E731
        training = trainer(models.mlp((5,)), handlers=[handler], **kwargs)
        training.fit(digits(50), epochs=3, batch_size=10, validation=digits(20, seed=1))
        return seen

    assert fit() == fit(ema=0.9)


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_decays_that_cannot_be(decay: float) -> None:
    model = models.softmax_regression()
    with pytest.raises(ValueError, match="ema must be at least 0 and less than 1, not"):
        Trainer(model, optim.SGD(model.parameters(), 0.1), ema=decay)
    with pytest.raises(TypeError, match="ema must be a number, not 'x'"):
        Trainer(model, optim.SGD(model.parameters(), 0.1), ema="x")  # type: ignore[arg-type]
