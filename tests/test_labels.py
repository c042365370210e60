"""Labels that are numbers or probabilities: regression with one output, soft and one-hot labels."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import reference
from byhand import kernels, models, nn, optim
from byhand.data import one_hot
from byhand.nn import losses
from byhand.nn.parameter import stream
from byhand.training import BatchEnd, Trainer, evaluate
from byhand.training.handlers import LogFile
from networks import Float64Network, digits, trainer

Array = npt.NDArray[Any]


def regression(seed: int = 0) -> models.Model:
    """Make a model with one output: 784 - 6 - 1."""
    rng = np.random.default_rng(seed)
    hidden = nn.Linear(784, 6, rng=rng), nn.Sigmoid(), nn.Linear(6, 1, rng=rng)
    return models.Model(nn.Flatten(), *hidden)


@pytest.mark.parametrize("batch_size", [7, 20])
def test_one_output_learns_the_label_as_a_number(batch_size: int) -> None:
    """The first losses agree with float64. An answer is correct if it rounds to the label."""
    images, labels = digits(20)
    seen: list[Any] = []
    model = regression()
    model[3].weight.data *= 10  # spreads the answers
    network, loss = Float64Network(model), losses.MSELoss()
    x = reference.gather_images(
        images[:, None], np.arange(20), scale=model.scale, offset=model.offset
    )
    output = network.forward(x)[:, 0]
    values = labels + np.where(np.arange(20) % 2, 0.0, output - labels).round()  # half are right
    checked = evaluate(model, (images, values))
    assert checked.loss == pytest.approx(np.mean((output - values) ** 2), rel=1e-5)
    assert checked.accuracy == np.mean(np.rint(output) == values) >= 0.5
    assert model.predict(images).tolist() == np.rint(output).tolist()

    training = Trainer(model, optim.SGD(model.parameters(), 0.01), handlers=[seen.append])
    training.fit((images, values), epochs=1, batch_size=batch_size, seed=4)
    index = stream(4, 1).permutation(20)[:batch_size]
    assert seen[1].loss == pytest.approx(np.mean((output - values)[index] ** 2), rel=1e-5)
    assert seen[1].error == np.mean(np.rint(output)[index] != values[index])
    assert repr(training.loss) == repr(loss)


def test_one_output_takes_any_numbers() -> None:
    images, labels = digits(60)
    scaled = {name: (images, labels.astype(name)) for name in ("uint8", "int64", "float32", "f8")}
    model = regression()
    results = {
        name: Trainer(m := regression(), optim.SGD(m.parameters(), 0.01)).fit(data, epochs=3)
        for name, data in scaled.items()
    }
    assert len({history[-1].loss for history in results.values()}) == 1
    history = results["uint8"]
    assert history[-1].loss < history[0].loss
    negative = images, labels - np.float32(100.5)
    assert evaluate(model, negative).accuracy == 0
    bad = labels.astype(float)
    bad[3] = np.nan
    with pytest.raises(ValueError, match="labels of data must be finite"):
        evaluate(model, (images, bad))
    assert np.array_equal(model.predict(images), np.rint(model.outputs(images)[:, 0]))
    with pytest.raises(ValueError, match="one output has no probabilities"):
        model.predict_proba(images)
    with pytest.raises(ValueError, match=r"one output must be MSELoss\(\), not CrossEntropyLoss"):
        evaluate(model, negative, loss=losses.CrossEntropyLoss())
    with pytest.raises(TypeError, match="integers, not complex128; floats are possible too"):
        evaluate(model, (images, labels.astype(complex)))


def soft(labels: Array, sure: float) -> Array:
    """Make rows with the probability `sure` for the label, and the rest for the next class."""
    rows = np.zeros((len(labels), 10))
    rows[np.arange(len(labels)), labels] = sure
    rows[np.arange(len(labels)), (labels + 1) % 10] += 1 - sure
    return rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_as_labels(dtype: type) -> None:
    images, labels = digits(60)
    rows = soft(labels, 0.75).astype(dtype)
    model = models.softmax_regression()
    x = reference.gather_images(
        images[:, None], np.arange(60), scale=model.scale, offset=model.offset
    )
    logits = Float64Network(model).forward(x)
    checked = evaluate(model, (images, rows))
    expected, _ = reference.softmax_cross_entropy(logits, rows)
    assert checked.loss == pytest.approx(expected, rel=1e-5)
    assert checked.accuracy == np.mean(logits.argmax(axis=1) == labels)

    seen: list[Any] = []
    history = trainer(model, handlers=[seen.append]).fit((images, rows), epochs=20, batch_size=25)
    index = stream(0, 1).permutation(60)[:25]
    expected, _ = reference.softmax_cross_entropy(logits[index], rows[index])
    assert seen[1].loss == pytest.approx(expected, rel=1e-5)
    assert seen[1].error == np.mean(logits[index].argmax(axis=1) != labels[index])
    assert history[-1].error == 0
    assert np.all(np.sort(model.predict_proba(images), axis=1)[:, -2] > 0.1)  # the target is 1/4


def test_rows_of_one_are_labels() -> None:
    """With either loss, one-hot rows train to the same weights as labels."""
    images, labels = digits(30)
    for loss in (losses.CrossEntropyLoss(), losses.MSELoss()):
        weights = []
        for given in (labels, soft(labels, 1.0)):
            training = trainer(loss=loss)
            training.fit((images, given), epochs=2, batch_size=8)
            weights.append(training.model.state_dict()["1.weight"])
        np.testing.assert_allclose(weights[0], weights[1], rtol=1e-4, atol=1e-6)


def test_squared_error_takes_any_rows() -> None:
    images, labels = digits(30)
    rows = soft(labels, 1.0) * 5 - 2
    history = trainer(loss=losses.MSELoss()).fit((images, rows), epochs=9, batch_size=8)
    assert history[-1].error < 0.1 and history[-1].loss < history[0].loss / 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows * 0.9, r"rows of the labels of train must be probabilities.*row 0 is"),
        (lambda rows: rows - [[0.5] + [-0.5] + [0] * 8], "probabilities, not negative.*but row"),
        (lambda rows: rows * np.inf, "labels of train must be finite"),
        (lambda rows: rows[:, :9], r"train has 8 images but labels of shape \(8, 9\)"),
    ],
)
def test_rows_that_are_no_probabilities(change: Any, message: str) -> None:
    images, labels = digits(8)
    with np.errstate(invalid="ignore"):
        rows = change(soft(labels, 1.0))
    with pytest.raises(ValueError, match=message):
        trainer().fit((images, rows), epochs=1)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ignored_labels_do_not_weigh(reduction: str) -> None:
    """Ignored labels do not count in the mean of an evaluation, however it is split into chunks."""
    images, _ = digits(400)
    images = np.tile(images, (25, 1, 1))  # more than one chunk of an evaluation
    labels = np.random.default_rng(0).integers(0, 10, len(images))
    labels[:9000] = 3  # longer than a chunk, so that whole chunks are ignored
    labels[5] = 4
    model = small_mlp()
    loss = losses.CrossEntropyLoss(ignore_index=3, reduction=reduction)
    probabilities = model.predict_proba(images).astype(np.float64)
    costs = -np.log(probabilities[np.arange(len(labels)), labels])[labels != 3]
    found = evaluate(model, (images, labels), loss=loss)
    assert found.loss == pytest.approx(costs.mean(), rel=1e-5)


def small_mlp() -> models.Model:
    return models.mlp((7,), seed=0)


def test_training_with_ignored_labels(tmp_path: Path) -> None:
    """The loss of an epoch is the mean over labels that count. A batch may have none of them."""
    images, labels = digits(60)
    labels[: 60 - 7] = 3
    seen: list[Any] = []
    model = small_mlp()
    trainer = Trainer(
        model,
        optim.SGD(model.parameters(), 0.0),
        loss=losses.CrossEntropyLoss(ignore_index=3),
        handlers=[seen.append, LogFile(tmp_path / "log.jsonl", every=1)],
    )
    history = trainer.fit((images, labels), epochs=1, batch_size=4, seed=1)
    expected = evaluate(model, (images, labels), loss=trainer.loss).loss
    assert history[0].loss == pytest.approx(expected, rel=1e-5)
    batches = [event for event in seen if isinstance(event, BatchEnd)]
    assert sum(event.counted for event in batches) == np.count_nonzero(labels != 3)
    assert min(event.counted for event in batches) == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-2]["average_loss"] == pytest.approx(expected, rel=1e-5)
    assert np.isfinite([line["average_loss"] for line in lines]).all()


def test_labels_that_are_all_ignored_are_refused_before_any_work() -> None:
    images, labels = digits(20)
    labels[:] = 3
    model = small_mlp()
    loss = losses.CrossEntropyLoss(ignore_index=3)
    with pytest.raises(ValueError, match="ignores every label of data"):
        evaluate(model, (images, labels), loss=loss)
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), loss=loss)
    with pytest.raises(ValueError, match="ignores every label of validation"):
        trainer.fit(digits(20), epochs=1, validation=(images, labels))


CLASSES = np.array([0, 2, 1])
WRONG_LABELS = [
    (CLASSES.astype(np.float64), r"not float64: use labels\.astype\(np\.int64\)$"),
    (CLASSES.astype(np.float32), r"not float32: use labels\.astype\(np\.int64\)$"),
    (CLASSES > 0, r"not bool: use labels\.astype\(np\.int64\)$"),
    (CLASSES.tolist(), r"not list: use np\.array\(labels\)$"),
    (CLASSES + 0.5, "not float64; float rows of 10 probabilities are possible too$"),
    (CLASSES.astype(str), "not <U21; float rows of 10 probabilities are possible too$"),
]


@pytest.mark.parametrize(("labels", "message"), WRONG_LABELS)
def test_labels_that_are_no_integers_get_advice(labels: Any, message: str) -> None:
    model, images = models.softmax_regression(), np.zeros((3, 28, 28), np.uint8)
    with pytest.raises(TypeError, match=message):
        evaluate(model, (images, labels))
    with pytest.raises(TypeError, match=message):
        trainer(model).fit((images, labels), epochs=1)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_labels_in_a_column_get_advice(dtype: type) -> None:
    model, images = models.softmax_regression(), np.zeros((3, 28, 28), np.uint8)
    with pytest.raises(ValueError, match=r"labels of shape \(3, 1\): use labels\[:, 0\]"):
        evaluate(model, (images, CLASSES.astype(dtype)[:, np.newaxis]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_a_kernel_takes_floats_in_one_dimension_for_classes(dtype: type) -> None:
    """The error advises .astype(np.int64), not .astype(np.float32) as for probabilities."""
    logits, labels = np.zeros((3, 4), np.float32), CLASSES.astype(dtype)
    for kernel in (kernels.softmax_cross_entropy, kernels.softmax_cross_entropy_backward):
        with pytest.raises(TypeError, match=r"convert it with \.astype\(np\.int64\)"):
            kernel(logits, labels)
    with pytest.raises(TypeError, match=r"classes, use labels\.astype\(np\.int64\)"):
        one_hot(labels)


def test_an_evaluation_has_the_confusion_matrix() -> None:
    model = models.mlp((5,), classes=4)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (9000, 28, 28), np.uint8), rng.integers(0, 3, 9000)
    evaluation = evaluate(model, (images, labels))
    loss, accuracy = evaluation  # an evaluation can be unpacked as a pair
    expected = np.zeros((4, 4), int)
    for label, answer in zip(labels, model.predict(images), strict=True):
        expected[label, answer] += 1
    assert np.array_equal(evaluation.confusion, expected)
    assert accuracy == expected.trace() / 9000 and loss == evaluation.loss
    shares = [expected[c, c] / expected[c].sum() for c in range(3)]
    assert np.allclose(evaluation.class_accuracy[:3], shares, rtol=0, atol=1e-12)
    assert np.isnan(evaluation.class_accuracy[3])
    rows = np.eye(4, dtype=np.float32)[labels]
    assert np.array_equal(evaluate(model, (images, rows)).confusion, expected)
    again = pickle.loads(pickle.dumps(evaluation))
    assert again == evaluation and np.array_equal(again.confusion, expected)
    same = model.evaluate((images, labels), loss=losses.CrossEntropyLoss())
    assert same == evaluation and np.array_equal(same.confusion, expected)


def test_a_number_has_no_confusion_matrix() -> None:
    evaluation = evaluate(regression(), (np.zeros((2, 28, 28), np.uint8), np.array([1, 2])))
    assert evaluation.confusion is None
    with pytest.raises(ValueError, match="a model with one output"):
        _ = evaluation.class_accuracy


def test_labels_are_copied_before_they_are_checked() -> None:
    """The labels are copied first, because another thread may change them after the check."""
    labels = np.zeros(4, np.int64)

    class Racing(losses.CrossEntropyLoss):
        def counted(self, target: Any) -> int:
            labels[0] = 99
            return super().counted(target)

    model = models.softmax_regression(input_shape=(1, 2, 2))
    images = np.zeros((4, 2, 2), np.uint8)
    evaluation = evaluate(model, (images, labels), loss=Racing())
    assert labels[0] == 99 and evaluation.confusion is not None
    assert evaluation.confusion[0].sum() == 4
