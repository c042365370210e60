"""Schedules: PyTorch's one cycle, and steps that are not there."""

from __future__ import annotations

from typing import Any

import pytest
from byhand.schedules import Constant, OneCycle

# torch.optim.lr_scheduler.OneCycleLR, PyTorch 2.13: max_lr 0.1, cycle_momentum off.
PYTORCH = {
    (10, 0.3): [
        0.0040000000000000036,
        0.052000000000000005,
        0.1,
        0.09504846320134738,
        0.0811745653949763,
        0.06112620219362893,
        0.03887419780637107,
        0.0188258346050237,
        0.004951936798652629,
        4e-07,
    ],
    (3, 0.3): [0.09944154354509119, 0.046263710266697504, 4e-07],
    (7, 0.5): [
        0.0040000000000000036,
        0.037167184270002526,
        0.09083281572999748,
        0.09504846320134738,
        0.06112620219362893,
        0.0188258346050237,
        4e-07,
    ],
}


@pytest.mark.parametrize(("total_steps", "pct_start"), PYTORCH)
def test_one_cycle_is_pytorchs(total_steps: int, pct_start: float) -> None:
    schedule = OneCycle(0.1, total_steps, pct_start)
    rates = [schedule(step) for step in range(total_steps)]
    assert rates == pytest.approx(PYTORCH[total_steps, pct_start], rel=1e-12, abs=0)


@pytest.mark.parametrize("pct_start", [0.0, 0.01, 0.3, 1.0])
def test_one_cycle_today(pct_start: float) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    settings = {"pct_start": pct_start, "div_factor": 10.0, "final_div_factor": 100.0}
    schedule = OneCycle(0.4, 23, **settings)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.4, total_steps=23, cycle_momentum=False, **settings
    )
    for step in range(23):
        assert schedule(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=0)
        optimizer.step()
        if step < 22:
            theirs.step()


def test_short_cycles() -> None:
    assert OneCycle(0.1, 1)(0) == pytest.approx(4e-7)
    assert OneCycle(0.1, 2, pct_start=0.5)(0) == pytest.approx(0.1)  # the peak is step 0


@pytest.mark.parametrize("step", [-1, 10])
def test_steps_outside_the_cycle(step: int) -> None:
    with pytest.raises(ValueError, match=f"step {step} is not one of the schedule's 10 steps"):
        OneCycle(0.1, 10)(step)


def test_constant() -> None:
    schedule = Constant(0.5)
    assert schedule(0) == schedule(10**9) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant("a"), "lr must be a number, not 'a'"),
        (lambda: OneCycle("a", 5), "max_lr must be a number, not 'a'"),
        (lambda: OneCycle(0.1, 2.5), "total_steps must be an integer, not 2.5"),
        (lambda: OneCycle(0.1, 3, "a"), "pct_start must be a number, not 'a'"),
        (lambda: OneCycle(0.1, 3, div_factor=None), "div_factor must be a number, not None"),
    ],
)
def test_settings_are_numbers(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-1.0), "lr must be finite and not negative"),
        (lambda: OneCycle(float("nan"), 3), "max_lr must be finite"),
        (lambda: OneCycle(0.1, 0), "total_steps must be at least 1, not 0"),
        (lambda: OneCycle(0.1, 3, pct_start=1.5), "pct_start must be from 0 to 1"),
        (lambda: OneCycle(0.1, 3, div_factor=0), "div_factor must be positive"),
        (lambda: OneCycle(0.1, 3, final_div_factor=0), "final_div_factor must be positive"),
    ],
)
def test_wrong_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
