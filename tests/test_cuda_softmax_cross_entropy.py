"""Softmax and cross entropy on an emulated GPU: classes, keywords, special rows, bad labels."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import reference
from calls import Array, Call, Fill
from cuda_support import Device, call, device
from ops import check
from test_softmax_cross_entropy import KEYWORDS
from tolerance import assert_same_bits

F32 = np.float32
INF = np.inf
REDUCTIONS = ["none", "sum", "mean"]  # in the order of the enumeration Reduction


class Labels(ctypes.Structure):
    """ops::Labels."""

    _fields_ = (
        ("integer", ctypes.c_void_p),
        ("probabilities", ctypes.c_void_p),
        ("ignore_index", ctypes.c_int64),
        ("smoothing", ctypes.c_float),
    )


class GradLoss(ctypes.Structure):
    """GradLoss of core/reduction.h."""

    _fields_ = (("each", ctypes.c_void_p), ("value", ctypes.c_float))


def put_labels(
    d: Device, labels: Array, ignore_index: int = -100, label_smoothing: float = 0.0, **_: Any
) -> Labels:
    address = d.put(labels) or d.empty(1)  # an empty allocation is null
    soft = labels.ndim == 2
    return Labels(0 if soft else address, address if soft else 0, ignore_index, label_smoothing)


class Bad:
    """The word that a kernel sets if a label is bad."""

    def __init__(self, d: Device, expected: bool) -> None:
        self.device, self.expected = d, expected
        self.address = d.put(np.zeros(1, np.int32))

    def check(self) -> None:
        assert self.device.get(self.address, (1,), np.int32) == self.expected


def softmax(x: Array, name: str = "softmax") -> Array:
    with device() as d:
        y = d.empty(x.size)
        call(name, d.put(x), *x.shape, y)
        return d.get(y, x.shape)


def loss(x: Array, labels: Array, bad: bool = False, **kwargs: Any) -> tuple[Array, Array]:
    """Return the losses or the loss, and the probabilities."""
    reduction = kwargs.get("reduction", "mean")
    with device() as d:
        flag = Bad(d, bad)
        p, losses, scalar = d.empty(x.size), d.empty(len(x)), d.empty(1)
        targets = put_labels(d, labels, **kwargs)
        if reduction == "none":
            arguments = losses, p, flag.address
            call("softmax_cross_entropies", d.put(x), targets, *x.shape, *arguments)
        else:
            arguments = REDUCTIONS.index(reduction), p, losses, scalar, flag.address
            call("softmax_cross_entropy", d.put(x), targets, *x.shape, *arguments)
        flag.check()
        result = d.get(losses, (len(x),)) if reduction == "none" else d.get(scalar, (1,))[0]
        return result, d.get(p, x.shape)


def backward(
    p: Array, labels: Array, each: Array | None = None, bad: bool = False, **kwargs: Any
) -> Array:
    with device() as d:
        flag = Bad(d, bad)
        dx = d.empty(p.size)
        gradient = GradLoss(0 if each is None else d.put(each), kwargs.get("grad_loss", 1.0))
        reduction = REDUCTIONS.index(kwargs.get("reduction", "mean"))
        targets = put_labels(d, labels, **kwargs)
        arguments = *p.shape, reduction, gradient, dx, flag.address
        call("softmax_cross_entropy_backward", d.put(p), targets, *arguments)
        flag.check()
        return d.get(dx, p.shape)


def check_softmax(x: Array) -> None:
    check(Call("softmax", (x,), {}), (softmax(x),))
    check(Call("log_softmax", (x,), {}), (softmax(x, "log_softmax"),))


def check_loss(x: Array, labels: Array, fill: Fill, **kwargs: Any) -> None:
    """Check the loss, and the gradient that belongs to exact probabilities."""
    check(Call("softmax_cross_entropy", (x, labels), kwargs), loss(x, labels, **kwargs))
    p = reference.softmax(x).astype(F32)
    each = (fill(len(x)),) if kwargs.get("reduction") == "none" else ()
    expected = Call("softmax_cross_entropy_backward", (p, labels, *each), kwargs)
    check(expected, (backward(p, labels, *each, **kwargs),))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 2, 10, 15, 16, 17, 31, 32, 33, 100, 1025, 4096, 4097])
def test_every_size_of_a_team(classes: int, rng: np.random.Generator) -> None:
    """Half a warp, a warp or a block per row, all of them full and not full."""
    fill = Fill(rng)
    for rows in (1, 17) if classes < 40 else (1, 9) if classes < 1000 else (2,):
        x = fill(rows, classes) * 5
        check_softmax(x)
        check_loss(x, rng.integers(0, classes, rows), fill)
        check_loss(x, reference.softmax(fill(rows, classes)).astype(F32), fill)


@pytest.mark.parametrize("kwargs", KEYWORDS, ids=repr)
def test_keywords(kwargs: dict[str, Any], rng: np.random.Generator) -> None:
    """All keywords work for labels, and all but ignore_index for probabilities."""
    fill = Fill(rng)
    for n, classes in ((1, 10), (21, 5), (3, 33), (1, 4100)):
        for labels in (rng.integers(0, classes, n), rng.random((n, classes), F32)):
            check_loss(fill(n, classes) * 3, labels, fill, **kwargs)


def test_a_batch_of_ten_classes(rng: np.random.Generator) -> None:
    fill = Fill(rng)
    x, labels = fill(128, 10), rng.integers(0, 10, 128)
    check_loss(x, labels, fill)
    half = backward(reference.softmax(x).astype(F32), labels, grad_loss=0.5)
    whole = backward(reference.softmax(x).astype(F32), labels)
    assert_same_bits(half, whole / 2)


@pytest.mark.slow
def test_long_rows() -> None:
    """In float32, a simple sum over all classes would have errors up to 10^-4."""
    classes = 100_003
    x = (np.arange(classes) % 7).astype(F32)[np.newaxis]
    exact = reference.softmax(x)[0]
    shares = np.full((1, classes), 1 / classes, F32)
    uniform = -np.log(exact).mean()
    value, p = loss(x, shares, label_smoothing=0.5)
    assert abs(value - uniform) < 3e-6 * uniform
    np.testing.assert_allclose(p[0], exact, rtol=2e-6)
    value, p = loss(x, np.array([3]), label_smoothing=0.5)
    expected = (uniform - np.log(exact[3])) / 2
    assert abs(value - expected) < 3e-6 * expected
    gradient = backward(p, shares, label_smoothing=0.5)
    np.testing.assert_allclose(gradient[0], p[0] - 1 / classes, atol=3e-6 * exact.max())


def test_losses_are_summed_in_double_precision(rng: np.random.Generator) -> None:
    """The sum over 1500 rows is rounded once. Each of the 1024 threads adds one or two losses."""
    x, labels = Fill(rng)(1500, 2), rng.integers(0, 2, 1500)
    with device() as d:
        p, losses, scalar = d.empty(x.size), d.empty(len(x)), d.empty(1)
        targets = put_labels(d, labels)
        call("softmax_cross_entropy", d.put(x), targets, *x.shape, 1, p, losses, scalar, 0)
        total = d.get(losses, (len(x),)).astype(np.float64).sum()
        assert d.get(scalar, (1,))[0] == F32(total)
    check_loss(x, labels, Fill(rng))


def test_many_rows_backward(rng: np.random.Generator) -> None:
    """With more rows than the blocks of a grid have teams, the teams take several rows."""
    rows = 256 * 16 + 100
    p, labels = np.full((rows, 1), 1, F32), rng.integers(-1, 1, rows)
    kwargs = {"ignore_index": -1, "reduction": "sum", "label_smoothing": 0.25}
    check(
        Call("softmax_cross_entropy_backward", (p, labels), kwargs),
        (backward(p, labels, **kwargs),),
    )


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 3e38])
def test_a_shift_of_the_logits(shift: float, rng: np.random.Generator) -> None:
    """Adding a constant to all logits never overflows."""
    check_softmax((Fill(rng, integers=True)(5, 10) * F32(64) + F32(shift)).astype(F32))


@pytest.mark.parametrize("classes", [1, 10, 17, 40])
def test_special_rows(classes: int) -> None:
    """A row with NaN, +inf or only -inf gives NaN, in this row alone. A single -inf gives 0."""
    for place in {0, classes // 2, classes - 1}:
        x = np.zeros((5, classes), F32)
        x[0, place], x[1, place], x[2], x[3, place] = np.nan, INF, -INF, -INF
        check_softmax(x)
        p, log_p = softmax(x), softmax(x, "log_softmax")
        assert np.isnan(p[:3]).all() and np.isnan(log_p[:3]).all()
        if classes > 1:
            assert p[3, place] == 0 and log_p[3, place] == -INF


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [True, False])
def test_special_rows_have_no_part_in_others(
    soft: bool, smoothing: float, rng: np.random.Generator
) -> None:
    """Two rows share a warp. NaN must stay in its row. The loss of an ignored row is 0."""
    kwargs = {"reduction": "none", "label_smoothing": smoothing}
    x, labels = Fill(rng)(21, 10), rng.integers(0, 10, 21)
    labels[9] = -100
    targets = reference.softmax(Fill(rng)(21, 10)).astype(F32) if soft else labels
    clean, _ = loss(x, targets, **kwargs)
    special = [3, 7, 9, 20]
    x[special] = F32([[np.nan], [INF], [np.nan], [-INF]])
    losses, _ = loss(x, targets, **kwargs)
    assert_same_bits(np.delete(losses, special), np.delete(clean, special))
    assert np.isnan(losses[[3, 7, 20]]).all()
    assert np.isnan(losses[9]) if soft else losses[9] == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_masked_classes(reduction: str, rng: np.random.Generator) -> None:
    """Logits of -inf give no NaN. The loss is infinite only if such a class is the label."""
    fill = Fill(rng)
    x = fill(6, 10)
    x[:, [2, 7]] = -INF
    for label in (1, 2):
        for labels in (np.full(6, label), np.eye(10, dtype=F32)[np.full(6, label)]):
            for smoothing in (0.0, 0.1, 1.0):
                kwargs = {"reduction": reduction, "label_smoothing": smoothing}
                check_loss(x, labels, fill, **kwargs)
            losses, _ = loss(x, labels, reduction=reduction)
            assert np.all(np.isinf(losses) if label == 2 else np.isfinite(losses))


@pytest.mark.parametrize("ignored", [-100, -1, 3, 10, 2**40, -(2**63)])
def test_ignored_rows(ignored: int, rng: np.random.Generator) -> None:
    """ignore_index may be any integer. Ignored rows have no loss, no gradient and no weight."""
    fill = Fill(rng)
    x, labels = fill(9, 5), rng.integers(0, 3, 9)
    labels[[1, 4, 8]] = ignored
    for smoothing in (0.0, 0.2):
        for reduction in REDUCTIONS:
            kwargs = {
                "ignore_index": ignored,
                "label_smoothing": smoothing,
                "reduction": reduction,
            }
            check_loss(x, labels, fill, **kwargs)
    p = softmax(x)
    p[4] = np.nan
    gradient = backward(p, labels, ignore_index=ignored)
    assert not gradient[[1, 4, 8]].any()
    assert gradient[[0, 2, 3]].any(axis=1).all()


def test_all_rows_ignored() -> None:
    """The mean over no row is NaN, as in PyTorch, and the gradient is zero."""
    x, labels = np.ones((3, 4), F32), np.full(3, -100)
    assert np.isnan(loss(x, labels)[0])
    assert loss(x, labels, reduction="sum")[0] == 0
    assert not backward(x, labels).any()


def test_no_rows() -> None:
    x = np.zeros((0, 10), F32)
    for labels in (np.zeros(0, np.int64), np.zeros((0, 10), F32)):
        assert np.isnan(loss(x, labels)[0])
        assert loss(x, labels, reduction="sum")[0] == 0
        assert loss(x, labels, reduction="none")[0].size == 0
        backward(x, labels)
    check_softmax(x)


def test_no_classes() -> None:
    x = np.zeros((3, 0), F32)
    assert loss(x, np.full(3, -100), reduction="sum")[0] == 0
    assert loss(x, x, label_smoothing=0.5)[0] == 0
    backward(x, x)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("wrong", [-1, 10, -101, 2**31, 2**63 - 1, -(2**63)])
def test_labels_out_of_range(wrong: int, smoothing: float, rng: np.random.Generator) -> None:
    """A bad label is reported. Its row becomes NaN, and the other rows are not affected."""
    x, labels = Fill(rng)(5, 10), np.zeros(5, np.int64)
    for reduction in REDUCTIONS:
        kwargs = {"label_smoothing": smoothing, "reduction": reduction}
        labels[3] = 0
        clean, p = loss(x, labels, **kwargs)
        gradient = backward(p, labels, **kwargs)
        labels[3] = wrong
        losses, same = loss(x, labels, bad=True, **kwargs)
        assert_same_bits(same, p)
        dx = backward(p, labels, bad=True, **kwargs)
        assert np.isnan(dx[3]).all()
        assert_same_bits(np.delete(dx, 3, 0), np.delete(gradient, 3, 0))
        if reduction == "none":
            assert np.isnan(losses[3])
            assert_same_bits(np.delete(losses, 3), np.delete(clean, 3))
        else:
            assert np.isnan(losses)


def test_a_bad_label_that_nobody_asks_about() -> None:
    x, labels = np.zeros((2, 10), F32), np.array([10, 1])
    with device() as d:
        p, losses, scalar = d.empty(20), d.empty(2), d.empty(1)
        targets = put_labels(d, labels)
        call("softmax_cross_entropy", d.put(x), targets, 2, 10, 2, p, losses, scalar, 0)
        assert np.isnan(d.get(scalar, (1,)))
        call("softmax_cross_entropy_backward", p, targets, 2, 10, 2, GradLoss(0, 1.0), d.put(x), 0)
