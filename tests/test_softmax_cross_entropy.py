"""Softmax and cross entropy: masked classes, ignored rows, large logits, bad labels."""

from __future__ import annotations

from itertools import product
from typing import Any

import bounds
import numpy as np
import pytest
import reference
from byhand import kernels
from calls import Array, Call, Fill, every_exponent
from devices import SCHEDULES, late_error
from ops import check
from tolerance import assert_same_bits, ulp_distance

F32 = np.float32
INF = np.inf
CLASSES = [*range(1, 20), 31, 32, 33, 100, 1000]
# CUDA has half a warp per row of up to 16 classes, a warp per row of up to 4096, and a block of
# 1024 threads per longer row.
CLASSES_ON_CUDA = [1, 2, 10, 15, 16, 17, 31, 32, 33, 100, 1025, 4096, 4097]
KEYWORDS = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"label_smoothing": 0.1},
    {"label_smoothing": 1.0, "reduction": "none"},
    {"ignore_index": 2, "label_smoothing": 0.3},
    {"ignore_index": 2, "reduction": "none"},
]


def loss_calls(logits: Array, labels: Array, kwargs: dict[str, Any], fill: Fill) -> list[Call]:
    probabilities = reference.softmax(logits).astype(F32)
    weights = (fill(len(logits)),) if kwargs.get("reduction") == "none" else ()
    return [
        Call("softmax_cross_entropy", (logits, labels), kwargs),
        Call("softmax_cross_entropy_backward", (probabilities, labels, *weights), kwargs),
    ]


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_long_rows(smoothing: float, device: str) -> None:
    """In float32, a simple sum over all classes would have errors up to 10^-4."""
    classes = 100_003
    logits = (np.arange(classes) % 7).astype(F32)[np.newaxis]
    exact = reference.softmax(logits)[0]
    shares = np.full((1, classes), 1 / classes, F32)
    label = np.array([3])
    uniform = -np.log(exact).mean()
    for labels, expected in (
        (shares, uniform),
        (label, (1 - smoothing) * -np.log(exact[3]) + smoothing * uniform),
    ):
        loss, p = kernels.softmax_cross_entropy(logits, labels, label_smoothing=smoothing)
        assert abs(loss - expected) < 3e-6 * expected
        np.testing.assert_allclose(p[0], exact, rtol=2e-6)
    gradient = kernels.softmax_cross_entropy_backward(p, shares, label_smoothing=smoothing)
    np.testing.assert_allclose(gradient[0], p[0] - 1 / classes, atol=3e-6 * exact.max())


def check_classes(n: int, classes: int, fill: Fill) -> None:
    x = fill(n, classes) * 5
    soft_labels = reference.softmax(fill(n, classes)).astype(F32)
    for call in (
        Call("softmax", (x,), {}),
        Call("log_softmax", (x,), {}),
        *loss_calls(x, fill.rng.integers(0, classes, n), {}, fill),
        *loss_calls(x, soft_labels, {}, fill),
    ):
        check(call, call.kernel())


def test_every_number_of_classes(isa: str, rng: np.random.Generator) -> None:
    for classes, n in product(CLASSES, (1, 7, 9)):
        check_classes(n, classes, Fill(rng))


@pytest.mark.parametrize("classes", CLASSES_ON_CUDA)
def test_every_size_of_a_team_on_cuda(classes: int, cuda: str, rng: np.random.Generator) -> None:
    """The threads of a row are all used or not, and so are the rows of a block."""
    for n in (1, 17) if classes < 40 else (1, 9) if classes < 1000 else (2,):
        check_classes(n, classes, Fill(rng))


@pytest.mark.parametrize("kwargs", KEYWORDS, ids=repr)
def test_keywords(kwargs: dict[str, Any], device: str, rng: np.random.Generator) -> None:
    """All keywords work for labels, and all but ignore_index for probabilities."""
    fill = Fill(rng)
    for n, classes in ((1, 10), (8, 10), (21, 5), (3, 33), (1, 4100)):
        for labels in (rng.integers(0, classes, n), rng.random((n, classes), F32)):
            for call in loss_calls(fill(n, classes) * 3, labels, kwargs, fill):
                check(call, call.kernel())


def test_exp_at_every_exponent(isa: str, rng: np.random.Generator) -> None:
    """The softmax of (0, -x) is exp(-x) / (1 + exp(-x)), which tests exp, a sum and a quotient."""
    x = -np.abs(np.concatenate([every_exponent(rng), rng.uniform(0, 104, 2**19).astype(F32)]))
    rows = np.stack([np.zeros_like(x), x], axis=1)
    distance = ulp_distance(kernels.softmax(rows), reference.softmax(rows))
    worst = np.unravel_index(np.argmax(distance), distance.shape)
    assert distance[worst] <= bounds.EXP_ULP + 1, f"softmax{rows[worst[0]]}: {distance[worst]} ulp"


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 3e38])
def test_a_shift_of_the_logits(shift: float, device: str, rng: np.random.Generator) -> None:
    """Adding a constant to all logits never overflows."""
    x = (Fill(rng, integers=True)(5, 10) * F32(64) + F32(shift)).astype(F32)
    for call in (Call("softmax", (x,), {}), Call("log_softmax", (x,), {})):
        check(call, call.kernel())


@pytest.mark.parametrize("classes", [1, 2, 8, 10, 17, 40])
def test_special_rows(classes: int, device: str) -> None:
    """A row with NaN, +inf or only -inf gives NaN, in this row alone. A single -inf gives 0."""
    for place in {0, classes // 2, classes - 1} if device in SCHEDULES else range(classes):
        x = np.zeros((5, classes), F32)
        x[0, place], x[1, place], x[2], x[3, place] = np.nan, INF, -INF, -INF
        p, log_p = kernels.softmax(x), kernels.log_softmax(x)
        assert np.isnan(p[:3]).all()
        assert np.isnan(log_p[:3]).all()
        check(Call("softmax", (x,), {}), (p,))
        check(Call("log_softmax", (x,), {}), (log_p,))
        if classes > 1:
            assert p[3, place] == 0
            assert log_p[3, place] == -INF


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [True, False])
def test_special_rows_have_no_part_in_others(
    soft: bool, smoothing: float, device: str, rng: np.random.Generator
) -> None:
    """The kernel computes the losses of several rows at a time. NaN must stay in its row."""
    kwargs: dict[str, Any] = {"reduction": "none", "label_smoothing": smoothing}
    x, labels = Fill(rng)(21, 10), rng.integers(0, 10, 21)
    labels[9] = -100
    targets = reference.softmax(Fill(rng)(21, 10)).astype(F32) if soft else labels
    clean, _ = kernels.softmax_cross_entropy(x, targets, **kwargs)
    special = [3, 7, 9, 20]
    x[special] = F32([[np.nan], [INF], [np.nan], [-INF]])
    losses, _ = kernels.softmax_cross_entropy(x, targets, **kwargs)
    assert_same_bits(np.delete(losses, special), np.delete(clean, special))
    assert np.isnan(losses[[3, 7, 20]]).all()
    assert np.isnan(losses[9]) if soft else losses[9] == 0


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_masked_classes(reduction: str, device: str, rng: np.random.Generator) -> None:
    """Logits of -inf give no NaN. The loss is infinite only if such a class is the label."""
    fill = Fill(rng)
    x = fill(6, 10)
    x[:, [2, 7]] = -INF
    for label in (1, 2):
        for labels in (np.full(6, label), np.eye(10, dtype=F32)[np.full(6, label)]):
            for smoothing in (0.0, 0.1, 1.0):
                kwargs = {"reduction": reduction, "label_smoothing": smoothing}
                for call in loss_calls(x, labels, kwargs, fill):
                    check(call, call.kernel())
            loss = kernels.softmax_cross_entropy(x, labels, reduction=reduction)[0]
            assert np.all(np.isinf(loss) if label == 2 else np.isfinite(loss))


def test_targets_below_zero(device: str, rng: np.random.Generator) -> None:
    """The formula takes any numbers as probabilities."""
    logits, targets = Fill(rng)(5, 7), np.full((5, 7), -0.25, F32)
    targets[:, 2] = 2.5
    loss, _ = kernels.softmax_cross_entropy(logits, targets)
    expected = -(targets * np.log(reference.softmax(logits))).sum(axis=1).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("ignored", [-100, -1, 3, 10, 2**40, -(2**63)])
def test_ignored_rows(ignored: int, device: str, rng: np.random.Generator) -> None:
    """ignore_index may be any integer. Ignored rows have no loss, no gradient and no weight."""
    fill = Fill(rng)
    x, labels = fill(9, 5), rng.integers(0, 3, 9)
    labels[[1, 4, 8]] = ignored
    for smoothing in (0.0, 0.2):
        for reduction in ("none", "mean", "sum"):
            kwargs = {
                "ignore_index": ignored,
                "label_smoothing": smoothing,
                "reduction": reduction,
            }
            for call in loss_calls(x, labels, kwargs, fill):
                check(call, call.kernel())
            gradient = call.kernel()[0]
            assert not gradient[[1, 4, 8]].any()
            assert gradient[[0, 2, 3]].any(axis=1).all()
    p = kernels.softmax(x)
    p[4] = np.nan
    gradient = kernels.softmax_cross_entropy_backward(p, labels, ignore_index=ignored)
    assert not gradient[[1, 4, 8]].any()


def test_all_rows_ignored(device: str) -> None:
    """The mean over no row is NaN, as in PyTorch, and the gradient is zero."""
    x, labels = np.ones((3, 4), F32), np.full(3, -100)
    assert np.isnan(kernels.softmax_cross_entropy(x, labels)[0])
    assert kernels.softmax_cross_entropy(x, labels, reduction="sum")[0] == 0
    assert not kernels.softmax_cross_entropy_backward(x, labels).any()


@pytest.mark.parametrize("classes", [10, 0])
@pytest.mark.parametrize("soft", [True, False])
def test_no_rows(soft: bool, classes: int, device: str) -> None:
    x = np.zeros((0, classes), F32)
    labels = x if soft else np.zeros(0, np.int64)
    assert np.isnan(kernels.softmax_cross_entropy(x, labels)[0])
    assert kernels.softmax_cross_entropy(x, labels, reduction="sum")[0] == 0
    assert kernels.softmax_cross_entropy(x, labels, reduction="none")[0].shape == (0,)
    assert kernels.softmax_cross_entropy_backward(x, labels).shape == x.shape
    assert kernels.softmax(x).shape == kernels.log_softmax(x).shape == x.shape


def test_no_classes(device: str) -> None:
    x = np.zeros((3, 0), F32)
    assert kernels.softmax_cross_entropy(x, np.full(3, -100), reduction="sum")[0] == 0
    assert kernels.softmax_cross_entropy(x, x, label_smoothing=0.5)[0] == 0
    assert kernels.softmax_cross_entropy_backward(x, x).shape == (3, 0)


def test_the_weight_of_the_loss_is_a_factor_of_the_gradient(
    device: str, rng: np.random.Generator
) -> None:
    p, labels = reference.softmax(Fill(rng)(128, 10)).astype(F32), rng.integers(0, 10, 128)
    half = kernels.softmax_cross_entropy_backward(p, labels, 0.5)
    assert_same_bits(half, kernels.softmax_cross_entropy_backward(p, labels) / 2)


def test_losses_of_cuda_are_summed_in_double_precision(cuda: str, rng: np.random.Generator) -> None:
    """The sum over 1500 rows is rounded once. Each of the 1024 threads adds one or two losses."""
    x, labels = Fill(rng)(1500, 2), rng.integers(0, 2, 1500)
    losses, _ = kernels.softmax_cross_entropy(x, labels, reduction="none")
    total, _ = kernels.softmax_cross_entropy(x, labels, reduction="sum")
    assert total == F32(losses.astype(np.float64).sum())
    for call in loss_calls(x, labels, {}, Fill(rng)):
        check(call, call.kernel())


def test_many_rows_backward(device: str, rng: np.random.Generator) -> None:
    """With more rows than 256 blocks of CUDA have teams, the teams take several rows."""
    rows = 256 * 16 + 100
    p, labels = np.full((rows, 1), 1, F32), rng.integers(-1, 1, rows)
    kwargs = {"ignore_index": -1, "reduction": "sum", "label_smoothing": 0.25}
    call = Call("softmax_cross_entropy_backward", (p, labels), kwargs)
    check(call, call.kernel())


def test_scalar_losses_are_float32(rng: np.random.Generator) -> None:
    x, labels = Fill(rng)(4, 10), np.arange(4)
    for reduction in ("mean", "sum"):
        loss, _ = kernels.softmax_cross_entropy(x, labels, reduction=reduction)
        assert type(loss) is np.float32
        assert type(kernels.squared_error(x, x, reduction=reduction)) is np.float32


@pytest.mark.parametrize("dtype", "bhilqBHILQ")
def test_labels_of_any_integer_dtype(dtype: str, rng: np.random.Generator) -> None:
    x, labels = Fill(rng)(6, 10), rng.integers(0, 10, 6)
    loss, p = kernels.softmax_cross_entropy(x, labels)
    other, _ = kernels.softmax_cross_entropy(x, labels.astype(dtype))
    assert_same_bits(other, loss)
    assert_same_bits(
        kernels.softmax_cross_entropy_backward(p, labels.astype(dtype)),
        kernels.softmax_cross_entropy_backward(p, labels),
    )


@pytest.mark.parametrize("wrong", [-1, 10, -101, 2**31, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_labels_out_of_range(wrong: int, reduction: str) -> None:
    x, labels = np.zeros((5, 10), F32), np.zeros(5, np.int64)
    labels[3] = wrong
    with pytest.raises(ValueError, match=rf"labels.*{wrong}"):
        kernels.softmax_cross_entropy(x, labels, reduction=reduction)
    with pytest.raises(ValueError, match=rf"labels.*{wrong}"):
        kernels.softmax_cross_entropy_backward(x, labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("wrong", [-1, 10, -101, 2**31, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_labels_out_of_range_on_cuda(
    reduction: str, wrong: int, smoothing: float, cuda: str, rng: np.random.Generator
) -> None:
    """A bad label is reported late. Its row becomes NaN, and the other rows are not affected."""
    x, labels = Fill(rng)(5, 10), np.zeros(5, np.int64)
    kwargs: dict[str, Any] = {"label_smoothing": smoothing, "reduction": reduction}
    clean, p = kernels.softmax_cross_entropy(x, labels, **kwargs)
    gradient = kernels.softmax_cross_entropy_backward(p, labels, **kwargs)
    labels[3] = wrong
    message, (loss, same) = late_error("softmax_cross_entropy", x, labels, **kwargs)
    assert "got a label that is neither a class nor ignore_index" in message
    assert_same_bits(same, p)
    if reduction == "none":
        assert np.isnan(loss[3])
        assert_same_bits(np.delete(loss, 3), np.delete(clean, 3))
    else:
        assert np.isnan(loss)
    message, dx = late_error("softmax_cross_entropy_backward", p, labels, **kwargs)
    assert "got a label that is neither a class nor ignore_index" in message
    assert np.isnan(dx[3]).all()
    assert_same_bits(np.delete(dx, 3, 0), np.delete(gradient, 3, 0))


@pytest.mark.parametrize("wrong", [2**63, 2**64 - 1, 2**64 - 100])
def test_unsigned_labels_never_wrap(wrong: int) -> None:
    """The unsigned label 2^64 - 100 is not -100, so it is not an ignored row."""
    labels = np.array([0, wrong], np.uint64)
    with pytest.raises(ValueError, match=rf"labels.*{wrong}"):
        kernels.softmax_cross_entropy(np.zeros((2, 10), F32), labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_, np.complex64])
def test_labels_of_other_dtypes(dtype: type) -> None:
    """Labels with one dimension must be integers. Floats are probabilities, one per class."""
    with pytest.raises((TypeError, ValueError), match="labels"):
        kernels.softmax_cross_entropy(np.zeros((2, 10), F32), np.zeros(2, dtype))


def test_probabilities_are_float32() -> None:
    for wrong in (np.zeros((2, 10)), np.zeros((2, 10), np.int64)):
        with pytest.raises((TypeError, ValueError), match="labels"):
            kernels.softmax_cross_entropy(np.zeros((2, 10), F32), wrong)


@pytest.mark.parametrize(
    ("kwargs", "shown"),
    [
        ({"reduction": "average"}, "average"),
        ({"label_smoothing": -0.1}, "-0.1"),
        ({"label_smoothing": 1.5}, "1.5"),
        ({"label_smoothing": np.nan}, "nan"),
    ],
)
def test_bad_keywords(kwargs: dict[str, Any], shown: str) -> None:
    x, labels = np.zeros((2, 10), F32), np.zeros(2, np.int64)
    for name in ("softmax_cross_entropy", "softmax_cross_entropy_backward"):
        with pytest.raises(ValueError, match=rf"{next(iter(kwargs))}.*{shown}"):
            getattr(kernels, name)(x, labels, **kwargs)


def test_labels_fit_the_logits() -> None:
    x = np.zeros((3, 10), F32)
    for labels in (np.zeros(4, np.int64), np.zeros((3, 9), F32), np.zeros((4, 10), F32)):
        with pytest.raises(ValueError, match=r"labels"):
            kernels.softmax_cross_entropy(x, labels)


def test_grad_loss_fits_the_reduction() -> None:
    p, labels = np.full((3, 10), 0.1, F32), np.zeros(3, np.int64)
    with pytest.raises((ValueError, TypeError), match="grad_loss"):
        kernels.softmax_cross_entropy_backward(p, labels, np.ones(4, F32), reduction="none")
    with pytest.raises((ValueError, TypeError), match="grad_loss"):
        kernels.softmax_cross_entropy_backward(p, labels, np.ones(3, F32), reduction="mean")
