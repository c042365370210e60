"""Schedules: PyTorch's values, and the errors for steps that a schedule does not have."""

from __future__ import annotations

from typing import Any

import pytest
from byhand.optim.schedules import Constant, Cosine, OneCycle, StepDecay

# The values of torch.optim.lr_scheduler.OneCycleLR in PyTorch 2.13: max_lr 0.1, no cycle of
# momentum.
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
def test_one_cycle_today(pct_start: float, torch: Any) -> None:
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
    assert OneCycle(0.1, 2, pct_start=0.5)(0) == pytest.approx(0.1)  # step 0 is the peak


def test_step_by_step() -> None:
    schedule = StepDecay(0.5, 3, gamma=0.25)
    assert [schedule(step) for step in range(7)] == [0.5] * 3 + [0.125] * 3 + [0.03125]
    assert StepDecay(0.5, 1)(10**9) == 0.0


def test_cosine() -> None:
    schedule = Cosine(0.8, 8, min_lr=0.2)
    rates = [schedule(step) for step in range(8)]
    assert rates[0] == 0.8 and rates[4] == pytest.approx(0.5, abs=1e-15)
    assert rates[7] == pytest.approx(0.2 + 0.6 * 0.03806023374435663)  # (1 + cos(7/8 pi)) / 2
    assert rates == sorted(rates, reverse=True)
    assert Cosine(0.5, 1)(0) == 0.5


def test_warm_up_is_a_line_to_the_peak() -> None:
    schedule = Cosine(0.8, 11, warmup_steps=3)
    assert [schedule(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [schedule(step) for step in range(3, 11)] == [Cosine(0.8, 8)(step) for step in range(8)]


@pytest.mark.parametrize("name", ["step", "cosine", "cosine with warm-up"])
def test_schedules_are_pytorchs(name: str, torch: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.4)
    of = torch.optim.lr_scheduler
    if name == "step":
        ours, theirs = StepDecay(0.4, 5, 0.3), of.StepLR(optimizer, 5, 0.3)
    elif name == "cosine":
        ours, theirs = Cosine(0.4, 23, 0.01), of.CosineAnnealingLR(optimizer, 23, 0.01)
    else:
        ours = Cosine(0.4, 23, 0.01, warmup_steps=4)
        line = of.LinearLR(optimizer, start_factor=1 / 5, total_iters=4)
        wave = of.CosineAnnealingLR(optimizer, 19, 0.01)
        theirs = of.SequentialLR(optimizer, [line, wave], milestones=[4])
    for step in range(23):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9, abs=0)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("schedule", [OneCycle(0.1, 10), Cosine(0.1, 10, warmup_steps=2)])
@pytest.mark.parametrize("step", [-1, 10])
def test_steps_outside_the_schedule(schedule: Any, step: int) -> None:
    with pytest.raises(ValueError, match=f"step {step} is not one of the schedule's 10 steps"):
        schedule(step)


def test_constant() -> None:
    schedule = Constant(0.5)
    assert schedule(0) == schedule(10**9) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant("a"), "lr must be a number, not 'a'"),
        (lambda: StepDecay(0.1, 2.5), "step_size must be an integer, not 2.5"),
        (lambda: Cosine(0.1, 5, warmup_steps=True), "warmup_steps must be an integer, not True"),
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
        (lambda: StepDecay(0.1, 0), "step_size must be at least 1, not 0"),
        (lambda: StepDecay(0.1, 1, -0.5), "gamma must be finite and not negative"),
        (lambda: Cosine(0.1, 5, min_lr=0.2), "min_lr must be at most lr=0.1, not 0.2"),
        (lambda: Cosine(0.1, 5, warmup_steps=5), "warmup_steps must be less than total_steps=5"),
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
