"""sgd_step, adam_step and accumulate: in-place updates of flat buffers."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from byhand import kernels
from calls import Call, Fill
from devices import SCHEDULES
from ops import check, check_exact

F32 = np.float32


def lengths(device: str) -> tuple[int, ...]:
    if device in SCHEDULES:
        return (1, 33, 256, 257, 1025)
    return (*range(1, 20), 31, 32, 33, 129_388)


def test_every_length(device: str, threads: int, rng: np.random.Generator) -> None:
    """Factors with powers of 2 make integers exact."""
    fill = Fill(rng, integers=True)
    settings = product(lengths(device), (0.0, 0.5), (0.0, 0.75), (0.0, 0.25), (False, True))
    for length, momentum, dampening, weight_decay, nesterov in settings:
        kwargs = {
            "lr": 0.5,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        call = Call("sgd_step", (fill(length), fill(length), fill(length)), kwargs)
        check_exact(call, call.run())
    for length in lengths(device):
        call = Call("accumulate", (fill(length), fill(length)), {})
        check_exact(call, call.run())


@pytest.mark.parametrize("how", [{"nesterov": True}, {"dampening": 0.9}], ids=str)
def test_many_steps_stay_near_the_reference(
    how: Any, device: str, rng: np.random.Generator
) -> None:
    fill = Fill(rng)
    p, v = fill(100), np.zeros(100, F32)
    for _ in range(20):
        kwargs = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, **how}
        call = Call("sgd_step", (p, fill(100), v), kwargs)
        p, v = call.run()
        check(call, (p, v))


def test_without_momentum_velocity_is_not_read(device: str) -> None:
    p, g, v = np.ones(19, F32), np.ones(19, F32), np.full(19, np.nan, F32)
    kernels.sgd_step(p, g, v, lr=0.25)
    np.testing.assert_array_equal(p, 0.75)
    np.testing.assert_array_equal(v, 1)


def test_cuda_does_not_read_the_velocity_without_momentum(cuda: str) -> None:
    """Nobody has written it, so the emulator would end the process if a kernel read it."""
    p, g, v = np.ones(19, F32), np.ones(19, F32), kernels.empty(19, "cuda")
    kernels.sgd_step(p, g, v, lr=0.25)
    np.testing.assert_array_equal(p, 0.75)
    np.testing.assert_array_equal(v.to("cpu"), 1)


def test_dampening_near_one_keeps_its_digits(device: str) -> None:
    """In float32, 1 - dampening would be 0."""
    p, g, v = np.ones(3, F32), np.ones(3, F32), np.zeros(3, F32)
    kernels.sgd_step(p, g, v, lr=0.1, momentum=0.5, dampening=1 - 1e-9)
    np.testing.assert_allclose(v, 1e-9, rtol=1e-6)


def test_without_weight_decay_the_velocity_does_not_depend_on_the_parameters(device: str) -> None:
    p, g, v = F32([np.nan, np.inf, 1] * 7), np.ones(21, F32), np.zeros(21, F32)
    kernels.sgd_step(p, g, v, lr=0.25, momentum=0.5)
    np.testing.assert_array_equal(v, 1)


def test_nan_gradients_reach_their_parameter_only(device: str) -> None:
    for place in range(19):
        p, g, v = np.ones(19, F32), np.ones(19, F32), np.zeros(19, F32)
        g[place] = np.nan
        kernels.sgd_step(p, g, v, lr=0.25, momentum=0.5)
        np.testing.assert_array_equal(np.isnan(p), np.arange(19) == place)
    g = np.ones(300, F32)
    g[[0, 31, 32, 255, 299]] = np.nan
    call = Call(
        "adam_step", (np.ones(300, F32), g, np.zeros(300, F32), np.zeros(300, F32)), ADAM[0]
    )
    for result in call.run():
        np.testing.assert_array_equal(np.isnan(result), np.isnan(g))


ADAM = [
    {"step": 1},
    {"step": 10**7, "lr": 0.1, "weight_decay": 0.25},
    {"step": 3, "beta1": 0.0, "beta2": 0.5, "weight_decay": 0.25, "decoupled": True},
]


def test_adam_of_every_length(device: str, rng: np.random.Generator) -> None:
    fill = Fill(rng)
    for length, kwargs in product(lengths(device), ADAM):
        args = fill(length), fill(length), fill(length), np.abs(fill(length))
        call = Call("adam_step", args, kwargs)
        check(call, call.run())


def test_many_steps_of_adam_stay_near_the_reference(device: str, rng: np.random.Generator) -> None:
    fill = Fill(rng)
    p, m, v = fill(100), np.zeros(100, F32), np.zeros(100, F32)
    for step in range(1, 21):
        call = Call("adam_step", (p, fill(100), m, v), {"step": step, "weight_decay": 5e-4})
        p, m, v = call.run()
        check(call, (p, m, v))


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
def test_first_step_of_adam_is_the_learning_rate(scale: float, device: str) -> None:
    """In the first step, m / sqrt(v) is +-1 for any gradient, so 1 - beta2 must keep its digits."""
    g = F32([-3, 5, 0.1, -0.7]) * F32(scale)
    p, m, v = np.zeros(4, F32), np.zeros(4, F32), np.zeros(4, F32)
    kernels.adam_step(p, g, m, v, step=1, lr=0.5, eps=0.0)
    np.testing.assert_allclose(p, -0.5 * np.sign(g), rtol=5e-7)


def test_adam_without_weight_decay_reads_no_parameter_into_a_gradient(device: str) -> None:
    p, g, m, v = np.full(19, np.inf, F32), np.ones(19, F32), np.zeros(19, F32), np.zeros(19, F32)
    kernels.adam_step(p, g, m, v, step=1)
    assert np.isfinite(m).all() and np.isfinite(v).all() and np.isposinf(p).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"step": 0}, "step must be at least 1, got 0"),
        ({"step": 1, "beta1": 1.0}, "beta1 must be from 0 to below 1, got 1"),
        ({"step": 1, "beta2": -0.5}, "beta2 must be from 0 to below 1, got -0.5"),
        ({"step": 1, "beta2": float("nan")}, "beta2 must be from 0 to below 1"),
    ],
)
def test_wrong_settings_of_adam(wrong: dict[str, Any], message: str, device: str) -> None:
    arrays = [np.ones(3, F32) for _ in range(4)]
    with pytest.raises(ValueError, match=message):
        kernels.adam_step(*arrays, **wrong)
    assert all((array == 1).all() for array in arrays)


@pytest.mark.parametrize(
    ("kwargs", "argument"),
    [
        ({"lr": "fast"}, "lr"),
        ({"lr": None}, "lr"),
        ({"lr": 0.1, "momentum": "a"}, "momentum"),
        ({"lr": 0.1, "dampening": "a"}, "dampening"),
        ({"lr": 0.1, "weight_decay": [1]}, "weight_decay"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], argument: str) -> None:
    p, g, v = np.ones(3, F32), np.ones(3, F32), np.zeros(3, F32)
    with pytest.raises((TypeError, ValueError), match=argument):
        kernels.sgd_step(p, g, v, **kwargs)
    np.testing.assert_array_equal(p, 1)
