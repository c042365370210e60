"""count_correct on an emulated GPU: which rows count as correct."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from calls import Array, Fill
from cuda_support import call, device

F32 = np.float32


def count(scores: Array, labels: Array, bad: bool = False) -> int:
    with device() as d:
        found, flag = d.empty(1, 8), d.put(np.zeros(1, np.int32))
        call("count_correct", d.put(scores), d.put(labels), *scores.shape, found, flag)
        assert d.get(flag, (1,), np.int32) == bad
        return int(d.get(found, (1,), np.int64)[0])


@pytest.mark.parametrize("classes", [*range(1, 7), 10, 31, 32, 33, 65])
def test_every_label_of_every_length(classes: int, rng: np.random.Generator) -> None:
    """Integer scores: most rows have several equal largest scores, and the first one counts."""
    labels = np.repeat(np.arange(classes), 3)
    scores = Fill(rng, integers=True)(len(labels), classes)
    right = scores.argmax(axis=1)
    for label in {0, classes // 2, classes - 1}:
        assert count(scores, np.full(len(labels), label)) == (right == label).sum()
    assert count(scores, right) == len(scores)
    if classes > 1:
        assert count(scores, (right + 1) % classes) == 0
    assert count(scores, labels) == reference.count_correct(scores, labels)


def test_every_row_in_several_blocks(rng: np.random.Generator) -> None:
    for rows in (1, 7, 8, 9, 100):
        scores, labels = Fill(rng)(rows, 10), rng.integers(0, 10, rows)
        assert count(scores, labels) == reference.count_correct(scores, labels)


@pytest.mark.parametrize("place", [0, 1, 31, 32, 36])
def test_nan_and_infinities(place: int) -> None:
    scores = np.zeros((3, 37), F32)
    scores[:, place] = np.nan, np.inf, -np.inf
    first_zero = 1 if place == 0 else 0
    for label in {place, first_zero, 2, 36}:
        expected = (label == place) + (label == first_zero)
        assert count(scores, np.full(3, label)) == expected
    assert count(np.full((1, 10), -np.inf, F32), np.array([0])) == 1


def test_no_rows() -> None:
    assert count(np.zeros((0, 10), F32), np.zeros(0, np.int64)) == 0


@pytest.mark.parametrize("label", [-1, 10, 2**40, -(2**40)])
def test_labels_are_classes(label: int) -> None:
    """A bad label is reported, and its row is not correct."""
    scores = np.zeros((3, 10), F32)
    assert count(scores, np.array([0, label, 0]), bad=True) == 2
    assert count(np.zeros((3, 0), F32), np.array([0, 0, 0]), bad=True) == 0
    with device() as d:
        found = d.empty(1, 8)
        call("count_correct", d.put(scores), d.put(np.array([0, label, 1])), 3, 10, found, 0)
        assert d.get(found, (1,), np.int64) == 1
