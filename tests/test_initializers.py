"""Initialisers: the moments and bounds of the published formulas, biases, seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from byhand import models, nn
from byhand.nn.initializers import INITIALIZERS, initialize

# The variance of each initialiser by PyTorch's rules. calculate_gain("relu") is sqrt(2).
VARIANCE = {
    "uniform": lambda fan_in, fan_out: 1 / (3 * fan_in),
    "xavier_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "xavier_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "kaiming_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "kaiming_normal": lambda fan_in, fan_out: 2 / fan_in,
    "normal": lambda fan_in, fan_out: 1e-4,
    "zeros": lambda fan_in, fan_out: 0.0,
}
LAYERS = {
    "linear": (lambda: nn.Linear(300, 200), 300, 200),
    "conv2d": (lambda: nn.Conv2d(40, 60, (5, 3)), 40 * 15, 60 * 15),
    "groups": (lambda: nn.Conv2d(80, 160, 3, groups=4), 20 * 9, 160 * 9),
}


def test_every_name_is_tested() -> None:
    assert set(VARIANCE) == set(INITIALIZERS)


@pytest.mark.parametrize("name", VARIANCE)
def test_moments(name: str) -> None:
    """With 28,800 draws or more, mean and variance are within 4 standard errors of the formula."""
    for make, fan_in, fan_out in LAYERS.values():
        layer = initialize(make(), name, 3)
        weights, variance = layer.weight.data.astype(float).ravel(), VARIANCE[name](fan_in, fan_out)
        count, deviation = weights.size, math.sqrt(variance)
        assert abs(weights.mean()) <= 4 * deviation / math.sqrt(count)
        assert abs(weights.var() - variance) <= 4 * variance * math.sqrt(2 / count)
        if "uniform" in name:
            bound = math.sqrt(3) * deviation
            assert 0.999 * bound <= np.abs(weights).max() <= bound * (1 + 1e-6)
            assert len(np.unique(weights.round(6))) > 1000
        elif "normal" in name:  # 0.27 % of a normal distribution is beyond 3 deviations
            assert 0.001 <= np.mean(np.abs(weights) > 3 * deviation) <= 0.0045


@pytest.mark.parametrize("name", [name for name in VARIANCE if name != "uniform"])
def test_biases_are_zeros(name: str) -> None:
    for layer in (nn.Linear(30, 20), nn.Conv2d(2, 3, 2)):
        initialize(layer, name, 0)
        assert not layer.bias.data.any()
    initialize(nn.Linear(3, 2, bias=False), name, 0)


@pytest.mark.parametrize("make", [models.softmax_regression, models.mlp, models.lenet5])
def test_uniform_is_what_a_model_begins_with(make: object) -> None:
    assert callable(make)
    expected = make(seed=5).state_dict()
    again = initialize(make(seed=6), "uniform", 5).state_dict()
    assert all(np.array_equal(again[name], array) for name, array in expected.items())


@pytest.mark.parametrize("make", [models.softmax_regression, models.mlp, models.lenet5])
def test_models_by_name(make: object) -> None:
    """The seed decides every weight. Weights are set in place, in one flat buffer."""
    assert callable(make)
    first, again, other = (make(seed=s, init="kaiming_normal") for s in (1, 1, 2))
    assert type(first) is models.Model
    weights = [p for p in first.parameters() if len(p.shape) > 1]
    assert len({id(p.storage) for p in first.parameters()}) == 1
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert np.array_equal(a.data, b.data)
        assert len(a.shape) == 1 or not np.array_equal(a.data, c.data)
    deviation = [p.data.std() * math.sqrt(math.prod(p.shape[1:]) / 2) for p in weights]
    assert deviation == pytest.approx([1.0] * len(weights), rel=0.15)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"init must be one of uniform, xavier_uniform.*not 'he'"):
        initialize(nn.Linear(2, 2), "he", 0)
    with pytest.raises(ValueError, match="init must be one of"):
        models.mlp(init="he")
