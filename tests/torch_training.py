"""Losses, schedules and steps of optimizers, compared with PyTorch's in float64.

As in torch_twin.py, each comparison begins from the numbers that byhand had, so that its bound is
that of a single kernel call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import reference
import torch
from byhand.nn import losses
from byhand.optim import schedules
from calls import Array, Call
from ops import OPS
from tolerance import EPS, assert_within
from torch.nn import functional
from torch_twin import double


def loss_settings(loss: losses.Loss, target: Array) -> dict[str, Any]:
    """The keyword arguments of the kernel and of PyTorch's function for this loss."""
    settings = {k: v for k, v in vars(loss).items() if not k.startswith("_")}
    if target.dtype.kind not in "iu":  # PyTorch: not applicable to probabilities
        settings.pop("ignore_index", None)
    return settings


def torch_loss(loss: losses.Loss, prediction: Any, target: Array) -> Any:
    """PyTorch's loss of a prediction, which is a tensor."""
    settings = loss_settings(loss, target)
    if isinstance(loss, losses.MSELoss):
        return functional.mse_loss(prediction, double(target), **settings)
    whole = target.dtype.kind in "iu"
    wanted = torch.from_numpy(target.astype(np.int64)) if whole else double(target)
    return functional.cross_entropy(prediction, wanted, **settings)


def check_loss(
    loss: losses.Loss, prediction: Array, target: Array, value: Any, grad: Array | None = None
) -> None:
    """Compare a loss with PyTorch's and, unless it is None, the gradient of the prediction."""
    settings = loss_settings(loss, target)
    outputs = double(prediction).requires_grad_()
    theirs = torch_loss(loss, outputs, target)
    name = "squared_error" if isinstance(loss, losses.MSELoss) else "softmax_cross_entropy"
    limit, *on_probabilities = OPS[name].bound(Call(name, (prediction, target), settings))
    assert_within(np.float32(value), theirs.detach().numpy(), limit, f"{loss!r}")
    if grad is None:
        return
    theirs.backward()
    size = 1.0
    first = prediction
    if on_probabilities:
        first = reference.softmax(prediction)
        kept = len(target) if target.ndim == 2 else np.sum(target != loss.ignore_index)
        size = 1.0 if loss.reduction == "sum" else 1 / max(kept, 1)
    with np.errstate(invalid="ignore"):  # the mean over no rows is 0 / 0
        call = Call(f"{name}_backward", (first, target), settings)
        limit = OPS[call.op].bound(call)[0]
    limit = limit + sum(size * p for p in on_probabilities)
    assert_within(grad, outputs.grad.numpy(), limit, f"gradient of {loss!r}")


def check_optimizer(
    optimizer: Any, before: Array, moving: dict[str, Array], after: Array, grads: Array
) -> None:
    """Compare a step of an optimizer with PyTorch's.

    The weights `before` and `after` it and the gradients are flat, because an optimizer treats all
    weights alike. moving: the optimizer's state_dict before the step.
    """
    kind, settings = type(optimizer).__name__, optimizer.settings()
    theirs = double(before).requires_grad_()
    theirs.grad = double(grads)
    peer = getattr(torch.optim, kind)([theirs], **settings)
    if kind == "SGD":
        name, kwargs, keys = "sgd_step", {**settings}, {"velocity": "momentum_buffer"}
        if moving["steps"][0] == 0:  # the first gradient is undamped
            kwargs["dampening"] = 0.0
    else:
        name, kwargs = "adam_step", {k: settings[k] for k in ("lr", "eps", "weight_decay")}
        kwargs["beta1"], kwargs["beta2"] = settings["betas"]
        kwargs["step"], kwargs["decoupled"] = int(moving["steps"][0]) + 1, kind == "AdamW"
        keys = {"first_moment": "exp_avg", "second_moment": "exp_avg_sq"}
        peer.state[theirs]["step"] = torch.tensor(float(moving["steps"][0]))
    old, new = (
        {key: flattened(a for n, a in state.items() if n.startswith(key)) for key in keys}
        for state in (moving, optimizer.state_dict())
    )
    if settings.get("momentum") != 0 and not (kind == "SGD" and moving["steps"][0] == 0):
        peer.state[theirs].update({keys[key]: double(array) for key, array in old.items()})
    peer.step()
    with np.errstate(all="ignore"):
        limit, *on_moments = OPS[name].bound(Call(name, (before, grads, *old.values()), kwargs))
    if kind != "SGD":  # with gradients of 0 the bound is 0 / 0
        limit = np.where(new["second_moment"] == 0, EPS * np.abs(before), limit)
    what = f"a step of {kind}({settings})"
    assert_within(after, theirs.detach().numpy(), limit, f"weights after {what}")
    if settings.get("momentum") != 0:
        for (key, array), limit in zip(new.items(), on_moments, strict=True):
            assert_within(array, peer.state[theirs][keys[key]].numpy(), limit, f"{key} of {what}")


def flattened(arrays: Iterable[Array]) -> Array:
    return np.concatenate([array.ravel() for array in arrays])


def check_schedule(schedule: Any, steps: int) -> None:
    """Compare the learning rate of every step. PyTorch's warm-up is a chain of schedules."""
    scheduled = torch.optim.lr_scheduler
    settings = {**vars(schedule)}
    peer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], next(iter(settings.values())), 0.5)
    if isinstance(schedule, schedules.StepDecay):
        theirs: Any = scheduled.StepLR(peer, schedule.step_size, schedule.gamma)
    elif isinstance(schedule, schedules.Cosine):
        warmup = schedule.warmup_steps
        rise = [scheduled.ConstantLR(peer, (i + 1) / (warmup + 1), 1) for i in range(warmup)]
        fall = scheduled.CosineAnnealingLR(peer, steps - warmup, schedule.min_lr)
        theirs = scheduled.SequentialLR(peer, [*rise, fall], list(range(1, warmup + 1)))
    elif isinstance(schedule, schedules.OneCycle) and schedule.pct_start * steps > 1:
        theirs = scheduled.OneCycleLR(peer, **settings)
    else:  # constant, or a cycle of so few steps that PyTorch divides by zero
        return
    for step in range(steps):
        rate = peer.param_groups[0]["lr"]
        assert np.isclose(schedule(step), rate, rtol=1e-9, atol=0), (schedule, step, rate)
        peer.step()
        if step + 1 < steps:
            theirs.step()
