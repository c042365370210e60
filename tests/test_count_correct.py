"""count_correct: which rows count as correct."""

from __future__ import annotations

import byhand
import numpy as np
import pytest
import reference
from byhand import _core, kernels
from calls import Call, Fill
from devices import SCHEDULES
from ops import check_exact

F32 = np.float32


def test_every_label_of_every_length(device: str, rng: np.random.Generator) -> None:
    """Integer scores: most rows have several equal largest scores, and the first one counts."""
    on_cuda = device in SCHEDULES
    for classes in (*range(1, 7 if on_cuda else 20), 31, 32, 33, 65):
        labels = np.repeat(np.arange(classes), 3 if on_cuda else 16)
        scores = Fill(rng, integers=True)(len(labels), classes)
        right = scores.argmax(axis=1)
        for label in {0, classes // 2, classes - 1}:
            assert kernels.count_correct(scores, np.full_like(right, label)) == sum(right == label)
        for row, label in enumerate(labels[:5] if on_cuda else labels):
            expected = int(right[row] == label)
            assert kernels.count_correct(scores[row : row + 1], labels[row : row + 1]) == expected
        assert kernels.count_correct(scores, right) == len(scores)
        if classes > 1:
            assert kernels.count_correct(scores, (right + 1) % classes) == 0
        check_exact(
            Call("count_correct", (scores, labels), {}), (kernels.count_correct(scores, labels),)
        )


def test_every_row(device: str, rng: np.random.Generator) -> None:
    """On CUDA, a block counts 8 rows."""
    for rows in (1, 7, 8, 9, 100):
        call = Call("count_correct", (Fill(rng)(rows, 10), rng.integers(0, 10, rows)), {})
        check_exact(call, call.kernel())


@pytest.mark.parametrize("place", [0, 1, 15, 16, 31, 32, 36])
def test_nan_and_infinities(place: int, device: str) -> None:
    scores = np.zeros((3, 37), F32)
    scores[:, place] = np.nan, np.inf, -np.inf
    first_zero = 1 if place == 0 else 0
    for label in (0, 1, 2, place, 36) if device in SCHEDULES else range(37):
        labels = np.full(3, label)
        expected = (label == place) + (label == first_zero)
        assert kernels.count_correct(scores, labels) == expected
        assert reference.count_correct(scores, labels) == expected
    assert kernels.count_correct(np.full((1, 10), -np.inf, F32), np.array([0])) == 1


@pytest.mark.parametrize("label", [0, 1])
def test_neighbouring_scores_are_not_equal(label: int, device: str) -> None:
    """The next smaller number loses, on either side of the label, and the next larger one wins."""
    smaller, one, larger = np.nextafter(F32(1), F32(0)), F32(1), np.nextafter(F32(1), F32(2))
    for other, expected in ((smaller, 1), (one, 1 - label), (larger, 0)):
        scores = np.full((1, 2), other, F32)
        scores[0, label] = one
        assert kernels.count_correct(scores, np.array([label])) == expected


@pytest.mark.parametrize("row", [0, 7, 8, 16])
def test_a_bad_label_in_any_row_is_found_on_cuda(row: int, cuda: str) -> None:
    """A block of the kernel has 8 rows. The last block has one."""
    for label in (-1, 10):
        labels = np.zeros(17, int)
        labels[row] = label
        with pytest.raises(ValueError, match="label"):
            kernels.count_correct(np.zeros((17, 10), F32), labels)


def test_the_count_is_an_int() -> None:
    assert type(kernels.count_correct(np.zeros((3, 10), F32), np.zeros(3, int))) is int


def test_labels_fit_the_scores() -> None:
    for labels in (np.zeros(2, int), np.zeros(4, int)):
        with pytest.raises(ValueError, match=r"labels must have shape \(3,\) \(one class per row"):
            kernels.count_correct(np.zeros((3, 10), F32), labels)


@pytest.mark.parametrize("label", [-1, 10, 2**40, -(2**40)])
def test_labels_are_classes(label: int) -> None:
    labels = np.array([3, label, 4])
    with pytest.raises(
        ValueError, match=rf"labels\[1\] must be from 0 to 9, a class, got {label}$"
    ):
        kernels.count_correct(np.zeros((3, 10), F32), labels)
    with pytest.raises(ValueError, match=r"labels\[0\] must be from 0 to -1"):
        kernels.count_correct(np.zeros((3, 0), F32), labels)


@pytest.mark.parametrize("label", [-1, 10, 2**40, -(2**40)])
def test_a_bad_label_on_cuda(label: int, cuda: str) -> None:
    """The first copy to the CPU reports a bad label. Its row is not correct."""
    scores = byhand.asarray(np.zeros((3, 10), F32), "cuda")
    labels = byhand.asarray(np.array([0, label, 0]), "cuda")
    count = _core.count_correct(scores, labels)
    with pytest.raises(ValueError, match="count_correct got a label that is not a class"):
        count.item()
    assert count.item() == 2
    with pytest.raises(ValueError, match="count_correct got a label"):
        kernels.count_correct(np.zeros((3, 0), F32), np.zeros(3, int))
