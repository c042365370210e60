"""Batches of a data set for a loop by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from byhand import Trainer, data, models, nn, optim
from byhand.data import Dataset, batches
from networks import digits


def numbered(n: int) -> Dataset:
    """Make images that differ in one pixel, whose value is the number of the image."""
    images = np.zeros((n, 4, 5), np.uint8)
    images[:, 0, 0] = np.arange(n)
    return Dataset(images, (np.arange(n) % 7).astype(np.uint8))


def numbers_of(made: list[tuple[Any, Any]]) -> list[int]:
    return [round(float(image[0, 0, 0]) * 255) for images, _ in made for image in images]


def test_batches_without_a_shuffle() -> None:
    dataset = numbered(23)
    made = list(batches(dataset, 8, shuffle=False))
    assert [images.shape for images, _ in made] == [(8, 1, 4, 5), (8, 1, 4, 5), (7, 1, 4, 5)]
    for images, labels in made:
        assert images.dtype == np.float32 and labels.dtype == np.int64
        assert len(labels) == len(images)
    assert numbers_of(made) == list(range(23))
    assert np.array_equal(np.concatenate([labels for _, labels in made]), dataset.labels)


def test_a_shuffle_depends_on_the_seed_and_keeps_pairs_together() -> None:
    dataset = numbered(50)
    made = list(batches(dataset, 8, seed=3))
    order = numbers_of(made)
    assert sorted(order) == list(range(50)) and order != list(range(50))
    assert np.array_equal(np.concatenate([labels for _, labels in made]), dataset.labels[order])
    assert numbers_of(list(batches(dataset, 8, seed=3))) == order
    assert numbers_of(list(batches(dataset, 20, seed=3))) == order
    assert numbers_of(list(batches(dataset, 8, seed=4))) != order


def test_every_pixel_is_its_value_over_255() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    [(images, _)] = batches((pixels, np.zeros(1, int)), 1)
    assert images.min() == 0.0 and images.max() == 1.0
    np.testing.assert_array_max_ulp(images[0, 0], pixels[0] / np.float32(255), maxulp=1)


def test_floats_and_channels_and_rows_of_labels() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((10, 3, 4, 4), np.float32)
    rows = rng.random((10, 2), np.float32)
    made = list(batches((images, rows), 4, shuffle=False))
    assert np.array_equal(np.concatenate([x for x, _ in made]), images)
    assert np.array_equal(np.concatenate([y for _, y in made]), rows)
    made[0][0][...] = -1  # the arrays of a batch belong to the caller
    assert images.min() >= 0


def test_no_images_make_no_batch() -> None:
    assert list(batches((np.zeros((0, 4, 4), np.uint8), np.zeros(0, int)), 4)) == []


def test_a_loop_by_hand_computes_what_the_first_epoch_of_fit_does() -> None:
    """Both take the same images in the same order, so the losses are equal."""
    images, labels = digits(50)
    losses: list[float] = []
    model = models.Model(nn.Flatten(), nn.Linear(784, 10, rng=0), scale=1 / 255, offset=0)
    training = Trainer(
        model,
        optim.SGD(model.parameters(), 0.02),
        handlers=[lambda event: losses.append(event.loss) if hasattr(event, "batch") else None],
    )
    training.fit((images, labels), epochs=1, batch_size=16, seed=5)

    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, rng=0))
    optimizer = optim.SGD(network.parameters(), 0.02)
    loss = nn.losses.CrossEntropyLoss()
    by_hand = []
    for x, y in data.batches((images, labels), 16, seed=5):
        by_hand.append(float(loss(network(x), y)))
        network.zero_grad()
        network.backward(loss.backward())
        optimizer.step()
    assert by_hand == losses and len(losses) == 4


U8 = np.zeros((3, 4, 4), np.uint8)
LABELS = np.zeros(3, int)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([U8], 2), TypeError, "dataset must be a Dataset or a pair (images, labels), not list"),
        (((U8, LABELS, 1), 2), TypeError, "dataset must be a Dataset or a pair"),
        (((U8.tolist(), LABELS), 2), TypeError, "images must be a NumPy array, not list"),
        (((U8, [0, 0, 0]), 2), TypeError, "labels must be a NumPy array, not list"),
        (((U8 / 255, LABELS), 2), TypeError, "images must be uint8, or float32 in [0, 1]"),
        (((U8[0], LABELS), 2), ValueError, "images must have the shape (N, H, W)"),
        (((np.zeros((3, 8, 8, 1), np.uint8), LABELS), 2), ValueError, "their channels are last"),
        (((U8.astype(np.float32) + 2, LABELS), 2), ValueError, "must lie in [0, 1]"),
        (((U8 + np.float32("nan"), LABELS), 2), ValueError, "must lie in [0, 1]"),
        (
            ((U8, LABELS[:2]), 2),
            ValueError,
            "labels must have 3 rows, one per image, not the shape (2,)",
        ),
        (((U8, np.uint64([0, 1, 2**63])), 2), ValueError, "labels must be less than 2**63"),
        (((U8, LABELS), 0), ValueError, "batch_size must be at least 1, not 0"),
        (((U8, LABELS), 2.5), TypeError, "batch_size must be an integer, not 2.5"),
    ],
)
def test_what_cannot_be_batched_is_refused_at_the_call(
    arguments: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        batches(*arguments)
    assert message in str(caught.value)


def test_settings_are_checked_at_the_call() -> None:
    with pytest.raises(ValueError, match="seed must be from 0"):
        batches((U8, LABELS), 2, seed=-1)
    with pytest.raises(TypeError, match="shuffle must be True or False, not 1"):
        batches((U8, LABELS), 2, shuffle=1)  # type: ignore[arg-type]
