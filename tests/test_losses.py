"""Losses: their formulas, PyTorch's arguments, and calls in the wrong order."""

from __future__ import annotations

from typing import Any

import bounds
import numpy as np
import pytest
import reference
from byhand.nn import losses
from calls import Call
from tolerance import accumulation, assert_within

LABELS = np.array([3, 0, -100, 1, 3])
SETTINGS: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"label_smoothing": 0.1},
    {"ignore_index": 3, "label_smoothing": 0.2, "reduction": "sum"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_cross_entropy(settings: dict[str, Any], rng: np.random.Generator) -> None:
    logits = 3 * rng.standard_normal((5, 4), np.float32)
    labels = np.where(LABELS == -100, settings.get("ignore_index", -100), LABELS)
    loss = losses.CrossEntropyLoss(**settings)
    value = loss.forward(logits, labels)
    assert isinstance(value, np.float32)
    call = Call("softmax_cross_entropy", (logits, labels), settings)
    expected, probabilities = reference.softmax_cross_entropy(logits, labels, **settings)
    limit = bounds.cross_entropy(call)
    assert abs(value - expected) <= limit[0]

    grad = reference.softmax_cross_entropy_backward(probabilities, labels, **settings)
    backward = Call("softmax_cross_entropy_backward", (probabilities, labels), settings)
    # The bound of the gradient's own error, plus the error of the probabilities.
    assert_within(loss.backward(), grad, bounds.cross_entropy_backward(backward)[0] + limit[1])


def test_cross_entropy_of_probabilities(rng: np.random.Generator) -> None:
    logits = rng.standard_normal((3, 4), np.float32)
    hard = losses.CrossEntropyLoss()
    soft = losses.CrossEntropyLoss()
    rows = np.eye(4, dtype=np.float32)[[2, 0, 1]]
    assert hard.forward(logits, np.array([2, 0, 1])) == pytest.approx(
        soft.forward(logits, rows), rel=4 * 2.0**-23
    )
    assert np.allclose(hard.backward(), soft.backward(), rtol=0, atol=4 * 2.0**-23)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_squared_error(reduction: str, rng: np.random.Generator) -> None:
    prediction, target = rng.standard_normal((2, 5, 3), np.float32)
    loss = losses.MSELoss(reduction=reduction)
    value = loss.forward(prediction, target)
    assert isinstance(value, np.float32)
    expected = reference.squared_error(prediction, target, reduction=reduction)
    assert abs(value - expected) <= accumulation(expected, prediction.size)
    grad = reference.squared_error_backward(prediction, target, reduction=reduction)
    assert_within(loss.backward(), grad, accumulation(np.abs(grad), 1))


def test_losses_are_pytorchs(torch: Any, rng: np.random.Generator) -> None:
    logits = rng.standard_normal((5, 4), np.float32)
    for settings in SETTINGS:
        labels = np.where(LABELS == -100, settings.get("ignore_index", -100), LABELS)
        loss = losses.CrossEntropyLoss(**settings)
        ours = loss.forward(logits, labels)
        theirs = torch.from_numpy(logits.astype(float)).requires_grad_()
        value = torch.nn.CrossEntropyLoss(**settings)(theirs, torch.from_numpy(labels))
        value.backward()
        call = Call("softmax_cross_entropy", (logits, labels), settings)
        limit = bounds.cross_entropy(call)
        assert abs(ours - value.item()) <= limit[0]
        grad = theirs.grad.numpy()
        assert_within(loss.backward(), grad, limit[1] + accumulation(1.0, 4))


def test_the_mean_over_nothing_is_nan() -> None:
    loss = losses.CrossEntropyLoss()
    assert np.isnan(loss.forward(np.zeros((2, 3), np.float32), np.array([-100, -100])))
    assert not loss.backward().any()


@pytest.mark.parametrize("loss", [losses.CrossEntropyLoss(), losses.MSELoss()])
def test_backward_needs_a_forward(loss: losses.Loss) -> None:
    with pytest.raises(RuntimeError, match="was called before forward"):
        loss.backward()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum', not 'none'"):
        losses.MSELoss(reduction="none")
    with pytest.raises(ValueError, match="label_smoothing must be from 0 to 1, not 2"):
        losses.CrossEntropyLoss(label_smoothing=2)
    with pytest.raises(TypeError, match="label_smoothing must be a number, not 'a'"):
        losses.CrossEntropyLoss(label_smoothing="a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ignore_index must be an integer, not 'x'"):
        losses.CrossEntropyLoss(ignore_index="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ignore_index must be less than 2\*\*63"):
        losses.CrossEntropyLoss(ignore_index=2**63)
    for prediction, form in (
        ([[1.0, 2.0]], "list"),
        (np.float32(1), "float32"),
        (np.ones(()), r"of shape \(\)"),
    ):
        for loss in (losses.CrossEntropyLoss(), losses.MSELoss()):
            with pytest.raises(TypeError, match=f"prediction must be an array .*not {form}"):
                loss.forward(prediction, np.array([0]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="labels"):
        losses.CrossEntropyLoss().forward(np.zeros((2, 3), np.float32), np.array([0, 3]))


def test_repr_shows_the_settings() -> None:
    assert repr(losses.MSELoss()) == "MSELoss(reduction='mean')"
    assert "label_smoothing=0.1" in repr(losses.CrossEntropyLoss(label_smoothing=0.1))
