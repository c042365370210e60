"""sgd_step and adam_step on an emulated GPU: in-place updates of arrays."""

from __future__ import annotations

import ctypes
from itertools import product
from typing import Any

import numpy as np
import pytest
from calls import Array, Call, Fill
from cuda_support import call, device
from ops import check, check_exact
from tolerance import assert_same_bits

F32 = np.float32
LENGTHS = (0, 1, 31, 32, 33, 255, 256, 257, 1000)


class Sgd(ctypes.Structure):
    """ops::Sgd."""

    _fields_ = (
        ("lr", ctypes.c_float),
        ("momentum", ctypes.c_float),
        ("dampening", ctypes.c_double),
        ("weight_decay", ctypes.c_float),
        ("nesterov", ctypes.c_bool),
    )


class Adam(ctypes.Structure):
    """ops::Adam."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("lr", "beta1", "beta2", "eps", "weight_decay")),
        ("decoupled", ctypes.c_bool),
    )


def sgd_step(p: Array, g: Array, v: Array, **settings: Any) -> tuple[Array, Array]:
    """Return the parameters and the velocity after one step."""
    with device() as d:
        places = [d.put(array) for array in (p, g, v)]
        call("sgd_step", Sgd(**settings), p.size, *places)
        assert_same_bits(d.get(places[1], g.shape), g)
        return d.get(places[0], p.shape), d.get(places[2], v.shape)


def adam_step(
    p: Array, g: Array, m: Array, v: Array, *, step: int, **settings: Any
) -> tuple[Array, Array, Array]:
    """Return the parameters and both moments after one step."""
    adam = Adam(**{"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, **settings})
    with device() as d:
        places = [d.put(array) for array in (p, g, m, v)]
        call("adam_step", adam, step, p.size, *places)
        assert_same_bits(d.get(places[1], g.shape), g)
        return d.get(places[0], p.shape), d.get(places[2], m.shape), d.get(places[3], v.shape)


def test_sgd_of_every_length(rng: np.random.Generator) -> None:
    """Factors with powers of 2 make integers exact."""
    fill = Fill(rng, integers=True)
    settings = product(LENGTHS, (0.0, 0.5), (0.0, 0.75), (0.0, 0.25), (False, True))
    for length, momentum, dampening, weight_decay, nesterov in settings:
        kwargs = {
            "lr": 0.5,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        one = Call("sgd_step", (fill(length), fill(length), fill(length)), kwargs)
        check_exact(one, sgd_step(*one.args, **kwargs))


@pytest.mark.parametrize("how", [{"nesterov": True}, {"dampening": 0.9}], ids=str)
def test_many_steps_stay_near_the_reference(how: Any, rng: np.random.Generator) -> None:
    fill = Fill(rng)
    p, v = fill(100), np.zeros(100, F32)
    kwargs = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, **how}
    for _ in range(20):
        one = Call("sgd_step", (p, fill(100), v), kwargs)
        p, v = sgd_step(*one.args, **kwargs)
        check(one, (p, v))


def test_dampening_near_one_keeps_its_digits() -> None:
    """In float32, 1 - dampening would be 0."""
    one, zero = np.ones(3, F32), np.zeros(3, F32)
    _, v = sgd_step(one, one, zero, lr=0.1, momentum=0.5, dampening=1 - 1e-9)
    np.testing.assert_allclose(v, 1e-9, rtol=1e-6)


def test_without_momentum_velocity_is_not_read() -> None:
    """Nobody has written the velocity, so the emulator would end the process."""
    with device() as d:
        p, g, v = d.put(np.ones(19, F32)), d.put(np.ones(19, F32)), d.empty(19)
        call("sgd_step", Sgd(lr=0.25), 19, p, g, v)
        np.testing.assert_array_equal(d.get(p, (19,)), 0.75)
        np.testing.assert_array_equal(d.get(v, (19,)), 1)


def test_without_weight_decay_the_gradient_does_not_depend_on_the_parameters() -> None:
    p, g, zero = F32([np.nan, np.inf, 1]), np.ones(3, F32), np.zeros(3, F32)
    _, v = sgd_step(p, g, zero, lr=0.25, momentum=0.5)
    np.testing.assert_array_equal(v, 1)
    p, m, v = adam_step(p, g, zero, zero, step=1)
    assert np.isfinite(m).all() and np.isfinite(v).all()
    assert np.isnan(p[0]) and np.isposinf(p[1])


def test_nan_gradients_reach_their_parameter_only() -> None:
    one, zero, g = np.ones(300, F32), np.zeros(300, F32), np.ones(300, F32)
    g[[0, 31, 32, 255, 299]] = np.nan
    p, _ = sgd_step(one, g, zero, lr=0.25, momentum=0.5)
    np.testing.assert_array_equal(np.isnan(p), np.isnan(g))
    for result in adam_step(one, g, zero, zero, step=1):
        np.testing.assert_array_equal(np.isnan(result), np.isnan(g))


ADAM = [
    {"step": 1},
    {"step": 10**7, "lr": 0.1, "weight_decay": 0.25},
    {"step": 3, "beta1": 0.0, "beta2": 0.5, "weight_decay": 0.25, "decoupled": True},
]


def test_adam_of_every_length(rng: np.random.Generator) -> None:
    fill = Fill(rng)
    for length, kwargs in product(LENGTHS, ADAM):
        args = fill(length), fill(length), fill(length), np.abs(fill(length))
        check(Call("adam_step", args, kwargs), adam_step(*args, **kwargs))


def test_many_steps_of_adam_stay_near_the_reference(rng: np.random.Generator) -> None:
    fill = Fill(rng)
    p, m, v = fill(100), np.zeros(100, F32), np.zeros(100, F32)
    for step in range(1, 21):
        one = Call("adam_step", (p, fill(100), m, v), {"step": step, "weight_decay": 5e-4})
        p, m, v = adam_step(*one.args, **one.kwargs)
        check(one, (p, m, v))


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
def test_first_step_of_adam_is_the_learning_rate(scale: float) -> None:
    """In the first step, m / sqrt(v) is +-1 for any gradient, so 1 - beta2 must keep its digits."""
    g, zero = F32([-3, 5, 0.1, -0.7]) * F32(scale), np.zeros(4, F32)
    p, _, _ = adam_step(zero, g, zero, zero, step=1, lr=0.5, eps=0.0)
    np.testing.assert_allclose(p, -0.5 * np.sign(g), rtol=5e-7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"step": 0}, "step must be at least 1, got 0"),
        ({"step": 1, "beta1": 1.0}, "beta1 must be from 0 to below 1, got 1"),
        ({"step": 1, "beta2": -0.5}, "beta2 must be from 0 to below 1, got -0.5"),
        ({"step": 1, "beta2": float("nan")}, "beta2 must be from 0 to below 1"),
    ],
)
def test_wrong_settings_of_adam(wrong: dict[str, Any], message: str) -> None:
    """Nothing is written."""
    without_step = {name: value for name, value in wrong.items() if name != "step"}
    adam = Adam(**{"lr": 1, "beta1": 0.9, "beta2": 0.9, **without_step})
    with device() as d:
        places = [d.put(np.ones(3, F32)) for _ in range(4)]
        with pytest.raises(RuntimeError, match=message):
            call("adam_step", adam, wrong["step"], 3, *places)
        for place in places:
            np.testing.assert_array_equal(d.get(place, (3,)), 1)
