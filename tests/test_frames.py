"""From `Trainer.fit`, every kernel is reached through at most four functions of byhand.

So a reader can follow a batch easily.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import Trainer, kernels, models, nn, optim
from networks import digits

PACKAGE = str(Path(byhand.__file__).parent)
MOST_FRAMES = 4

# These functions are not in the loop over batches: checks before training, and validation and files
# after an epoch.
OUTSIDE = {"_prepare", "_begin", "_end_epoch"}


class Negative(nn.Module):
    """A user's own layer, which calls a kernel."""

    def forward(self, x: Any) -> Any:
        return kernels.add(-x, np.zeros_like(x))

    def backward(self, grad_output: Any) -> Any:
        return kernels.add(-grad_output, np.zeros_like(grad_output))


def dense(*layers: nn.Module) -> models.Model:
    return models.Model(nn.Flatten(), nn.Linear(784, 16, rng=0), *layers, nn.Linear(16, 10, rng=1))


def with_shortcut() -> models.Model:
    return models.Model(
        nn.Conv2d(1, 4, 3, padding=1, rng=0),
        nn.Residual(nn.Conv2d(4, 4, 3, padding=1, rng=1), nn.BatchNorm2d(4), nn.ReLU()),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(784, 10, rng=2),
    )


NETWORKS: dict[str, tuple[Callable[[], models.Model], set[str]]] = {
    "softmax": (models.softmax_regression, {"linear", "linear_act_backward"}),
    "mlp": (models.mlp, {"linear_act", "linear_act_backward"}),
    "lenet5": (models.lenet5, {"conv2d_pool_act", "conv2d_pool_act_backward"}),
    "normalized": (
        lambda: dense(nn.BatchNorm1d(16), nn.Sigmoid(), nn.Dropout(0.5)),
        {"batch_norm", "batch_norm_backward", "dropout", "dropout_backward"},
    ),
    "shortcut": (with_shortcut, {"conv2d", "conv2d_backward_input", "add", "accumulate"}),
    "own layer": (lambda: dense(Negative()), {"add"}),
}
OF_EVERY_STEP = {
    "gather_images",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "count_correct",
    "sgd_step",
}


def frames_from_fit(frame: FrameType | None) -> list[str] | None:
    """Return the functions of byhand from `fit` to a frame. None outside the loop over batches."""
    names = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            names.append(frame.f_code.co_name)
        if frame.f_code is Trainer.fit.__code__:
            return None if OUTSIDE & set(names) else names[::-1]
        frame = frame.f_back
    return None


@pytest.mark.parametrize("name", NETWORKS)
def test_fit_reaches_every_kernel_in_four_frames(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, expected = NETWORKS[name]
    seen: dict[str, list[str]] = {}

    def watched(kernel: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            frames = frames_from_fit(sys._getframe(1))
            if frames is not None and len(frames) > len(seen.get(kernel, ())):
                seen[kernel] = frames
            return function(*args, **kwargs)

        return call

    model = make()
    optimizer = optim.SGD(model.parameters(), 0.01, momentum=0.9)
    cycle = optim.schedules.OneCycle(0.01, 4)
    for kernel in kernels.__all__:
        monkeypatch.setattr(kernels, kernel, watched(kernel, getattr(kernels, kernel)))
    training = Trainer(model, optimizer, schedule=cycle, ema=0.9, handlers=[lambda event: None])
    training.fit(digits(20), epochs=2, batch_size=10)
    assert expected | OF_EVERY_STEP <= set(seen)
    deepest = max(seen, key=lambda kernel: len(seen[kernel]))
    assert len(seen[deepest]) <= MOST_FRAMES, f"{' -> '.join(seen[deepest])} -> {deepest}"
