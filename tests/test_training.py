"""Training: a run checked in float64, reproducible bits, events, files, and wrong data."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
import reference
from byhand import models, nn, optim
from byhand.nn import losses
from byhand.nn.parameter import stream
from byhand.optim.schedules import Constant, OneCycle
from byhand.training import (
    BatchEnd,
    EpochEnd,
    Evaluated,
    Event,
    Trainer,
    TrainingEnded,
    TrainingStarted,
    Warp,
    evaluate,
)
from byhand.training.recipes import RECIPES
from networks import Float64Network, digits, trainer
from tolerance import EPS

Array = npt.NDArray[Any]


# --------------------------------------------------------------------------------------------------
# The numbers


DECAY = 0.1
GOLDEN: dict[str, tuple[Callable[[], models.Model], losses.Loss]] = {
    "softmax": (models.softmax_regression, losses.CrossEntropyLoss()),
    "mlp": (lambda: models.mlp((12, 8)), losses.CrossEntropyLoss(label_smoothing=0.1)),
    "mlp squared error": (lambda: models.mlp((12,), "sigmoid"), losses.MSELoss()),
    "lenet5": (lambda: models.lenet5("tanh"), losses.CrossEntropyLoss()),
}


def reference_losses(
    model: models.Model,
    loss: losses.Loss,
    data: tuple[Array, Array],
    epochs: int,
    batch_size: int,
    lr: Any,
) -> list[float]:
    """Return the losses of the same run in float64, from the definitions in reference.py."""
    images, labels = data
    network = Float64Network(model)
    weights = [array for layer in network.weights for array in layer]
    velocities = [np.zeros_like(array) for array in weights]
    losses_of_steps = []
    for epoch in range(1, epochs + 1):
        order = stream(5, epoch).permutation(len(labels))
        for start in range(0, len(order), batch_size):
            index = order[start : start + batch_size]
            x = reference.gather_images(
                images[:, None], index, scale=model.scale, offset=model.offset
            )
            logits = network.forward(x)
            if loss.one_hot:
                target = np.eye(10)[labels[index]]
                value = reference.squared_error(logits, target)
                grad = reference.squared_error_backward(logits, target)
            else:
                smooth = {"label_smoothing": vars(loss)["label_smoothing"]}
                target = labels[index].astype(int)
                value, p = reference.softmax_cross_entropy(logits, target, **smooth)
                grad = reference.softmax_cross_entropy_backward(p, target, **smooth)
            _, gradients = network.backward(grad)
            rate = lr(len(losses_of_steps))
            for w, g, v in zip(weights, gradients, velocities, strict=True):
                w[...], v[...] = reference.sgd_step(
                    w, g, v, lr=rate, momentum=0.9, nesterov=True, weight_decay=DECAY
                )
            losses_of_steps.append(float(value))
    return losses_of_steps


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_run(name: str) -> None:
    """The losses of some steps agree with float64.

    Rounding errors stay in the weights, so the bound grows with the number of steps. Each loss is a
    mean over images and classes, in which rounding errors average out: a step adds at most 0.3 eps
    of the loss (measured). The test allows 4 eps. A step without nesterov or without weight decay
    would be off by more than a hundred times that.
    """
    make, loss = GOLDEN[name]
    data, schedule = digits(40), OneCycle(0.02, 8)
    model = make()
    expected = reference_losses(model, loss, data, 2, 12, schedule)
    seen: list[float] = []

    def handler(event: Event) -> None:
        if isinstance(event, BatchEnd):
            seen.append(event.loss)

    optimizer = optim.SGD(model.parameters(), 1.0, 0.9, nesterov=True, weight_decay=DECAY)
    training = Trainer(model, optimizer, loss=loss, schedule=schedule, handlers=[handler])
    training.fit(data, epochs=2, batch_size=12, seed=5)
    assert len(seen) == len(expected) == 8
    for step, (got, wanted) in enumerate(zip(seen, expected, strict=True), 1):
        assert abs(got - wanted) <= 4 * EPS * step * max(wanted, 1), f"step {step}"
    assert max(abs(a - b) for a, b in pairwise(expected)) > 1e-3  # the network has learned


def test_each_step_moves_its_images_anew() -> None:
    """At learning rate 0, the loss of a step depends only on how seed and step shift its images."""
    images, labels = digits(30)
    model, seen = models.softmax_regression(seed=1), []
    training = Trainer(
        model,
        optim.SGD(model.parameters(), 0.0),
        handlers=[lambda event: seen.append(event.loss) if isinstance(event, BatchEnd) else None],
        max_shift=3,
    )
    training.fit((images, labels), epochs=2, batch_size=12, seed=5)
    network, expected = Float64Network(model), []
    for epoch in (1, 2):
        order = stream(5, epoch).permutation(30)
        for start in range(0, 30, 12):
            index = order[start : start + 12]
            shift = {"max_shift": 3, "seed": 5, "step": len(expected)}
            x = reference.gather_images(
                images[:, None], index, scale=model.scale, offset=model.offset, **shift
            )
            target = labels[index].astype(int)
            expected.append(float(reference.softmax_cross_entropy(network.forward(x), target)[0]))
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="max_shift must be at least 0, not -1"):
        Trainer(model, training.optimizer, max_shift=-1)
    with pytest.raises(ValueError, match="less than the images' 28 pixels, not 28"):
        Trainer(model, training.optimizer, max_shift=28).fit((IMAGES, LABELS), epochs=1)
    with pytest.raises(ValueError, match="keep_epochs needs a run folder"):
        Trainer(model, training.optimizer, keep_epochs=True)


@pytest.mark.parametrize("batch_size", [12, 30])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_each_epoch_warps_its_images_anew(batch_size: int, dtype: type) -> None:
    """The distortion of an image depends on the seed, the epoch and its number only.

    At learning rate 0, it decides the loss of a step.
    """
    images, labels = digits(30)
    model, seen = models.softmax_regression(seed=1), []
    training = Trainer(
        model,
        optim.SGD(model.parameters(), 0.0),
        handlers=[lambda event: seen.append(event.loss) if isinstance(event, BatchEnd) else None],
        augment=Warp(rotation=20, elastic=1.5),
    )
    given = images if dtype == np.uint8 else images / np.float32(255)
    training.fit((given, labels), epochs=2, batch_size=batch_size, seed=5)
    network, expected = Float64Network(model), []
    strengths = {"rotation": 20, "scale": 0.1, "shear": 5, "shift": 1, "elastic": 1.5}
    for epoch in (1, 2):
        order = stream(5, epoch).permutation(30)
        for start in range(0, 30, batch_size):
            index = order[start : start + batch_size]
            x = reference.gather_images(
                images[:, None], index, scale=model.scale, offset=model.offset
            )
            x = reference.warp_images(
                x, index, seed=5, step=epoch, fill=model.offset, smoothness=4, **strengths
            )
            target = labels[index].astype(int)
            expected.append(float(reference.softmax_cross_entropy(network.forward(x), target)[0]))
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def test_strengths_of_a_warp() -> None:
    warp = Warp(rotation=np.float32(3), elastic=0)
    assert warp == Warp(3.0, elastic=0.0) and type(warp.rotation) is float
    for wrong, error, message in (
        ({"rotation": 200}, ValueError, "rotation must be from 0 to 180 degrees, got 200"),
        ({"smoothness": 0.5}, ValueError, "smoothness must be from 1 to 32768 pixels, got 0.5"),
        ({"scale": "big"}, TypeError, "scale must be a number, not 'big'"),
    ):
        with pytest.raises(error, match=message):
            Warp(**wrong)  # type: ignore[arg-type]
    model = models.softmax_regression()
    with pytest.raises(TypeError, match=r"augment must be a .*Warp, not bool"):
        Trainer(model, optim.SGD(model.parameters(), 0.1), augment=True)  # type: ignore[arg-type]


def test_images_of_float32_are_bytes_divided_by_255() -> None:
    images, labels = digits(40)
    seen: list[list[EpochEnd]] = []
    for form in (images, images / np.float32(255)):
        model = models.mlp((9,), seed=1)
        seen.append(trainer(model).fit((form, labels), epochs=2, validation=(form, labels)))
    for ours, theirs in zip(*seen, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-5)
    moving = Trainer(model, optim.SGD(model.parameters(), 0.1), max_shift=1)
    with pytest.raises(TypeError, match="images of train must be uint8 to be shifted, not float32"):
        moving.fit((form, labels), epochs=1)


def run(threads: int, seed: int = 0, **kwargs: Any) -> tuple[list[EpochEnd], dict[str, Array]]:
    model = models.lenet5(seed=1)
    with byhand.num_threads(threads):
        history = trainer(model).fit(digits(70), epochs=2, batch_size=32, seed=seed, **kwargs)
    return history, model.state_dict()


def test_same_seed_same_bits_for_any_number_of_threads() -> None:
    (first, weights), (again, same), (_, other) = run(1), run(2), run(1, seed=1)
    assert [(e.loss, e.error) for e in first] == [(e.loss, e.error) for e in again]
    for name, array in weights.items():
        assert array.tobytes() == same[name].tobytes()
        assert not np.array_equal(array, other[name])


def test_validation_and_handlers_do_not_change_training() -> None:
    assert run(1)[1]["0.weight"].tobytes() == (
        run(1, validation=digits(20, seed=1))[1]["0.weight"].tobytes()
    )


def test_training_learns() -> None:
    model = models.softmax_regression()
    before = evaluate(model, digits(100, seed=1))
    history = trainer(model).fit(digits(500), epochs=3, batch_size=32)
    after = evaluate(model, digits(100, seed=1))
    assert before.accuracy < 0.5 and after.accuracy > 0.95 and after.loss < before.loss / 4
    assert history[-1].error < 0.05 and history[-1].loss < history[0].loss


def test_every_image_is_seen_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Array] = []
    kernel = byhand.kernels.gather_images

    def spy(images: Array, index: Array, **kwargs: Any) -> Array:
        seen.append(index.copy())
        return kernel(images, index, **kwargs)

    monkeypatch.setattr(byhand.kernels, "gather_images", spy)
    trainer().fit(digits(50), epochs=3, batch_size=16)
    assert [len(index) for index in seen] == [16, 16, 16, 2] * 3
    epochs = [np.concatenate(seen[i : i + 4]) for i in (0, 4, 8)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[1], epochs[2])


def test_evaluate_is_loss_and_accuracy() -> None:
    model, (images, labels) = models.mlp((6,)), digits(300)
    x = (images * np.float32(model.scale) + np.float32(model.offset)).reshape(-1, 1, 28, 28)
    logits = model.forward(x)
    loss, accuracy = evaluate(model, (images, labels))
    assert loss == pytest.approx(float(losses.CrossEntropyLoss().forward(logits, labels)), rel=1e-5)
    assert accuracy == np.mean(logits.argmax(axis=1) == labels)
    rows = np.eye(10, dtype=np.float32)[labels]
    for loss_ in (losses.MSELoss(), losses.MSELoss(reduction="sum")):
        value = float(loss_.forward(logits, rows))
        expected = value if loss_.reduction == "mean" else value / 300
        assert evaluate(model, (images, labels), loss=loss_).loss == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("loss", [None, losses.MSELoss()], ids=str)
def test_a_step_allocates_no_array(loss: losses.Loss | None) -> None:
    """From the second step on, no array is allocated.

    The arrays of a step are thousands of times as large as the peak.
    """
    peaks: list[int] = []

    def handler(event: Event) -> None:
        if isinstance(event, BatchEnd) and event.batch > 1:
            now, peak = tracemalloc.get_traced_memory()
            peaks.append(peak - last[0])
            last[0] = now
        elif isinstance(event, BatchEnd):
            last[0] = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()

    last = [0]
    training = trainer(models.mlp((64,)), loss=loss, handlers=[handler])
    tracemalloc.start()
    try:
        training.fit(digits(256 * 4), epochs=1, batch_size=256)
    finally:
        tracemalloc.stop()
    assert len(peaks) == 3 and max(peaks) < 256 * 10 * 4  # the smallest array of a step


# --------------------------------------------------------------------------------------------------
# Events


def test_events_tell_the_whole_story() -> None:
    events: list[Event] = []
    model = models.softmax_regression()
    schedule = OneCycle(0.02, 8)
    training = trainer(model, schedule=schedule, handlers=[events.append])
    history = training.fit(digits(50), epochs=2, batch_size=16, validation=digits(30, seed=1))

    kinds = [type(event) for event in events]
    epoch = [BatchEnd] * 4 + [Evaluated, EpochEnd]
    assert kinds == [TrainingStarted, *epoch, *epoch, TrainingEnded]
    assert events[0] == TrainingStarted(model, 2, 4, 16, 50, 30, None)
    steps = [event for event in events if isinstance(event, BatchEnd)]
    assert [(e.epoch, e.batch, e.batches, e.images) for e in steps] == [
        (epoch, batch, 4, 16 if batch < 4 else 2) for epoch in (1, 2) for batch in (1, 2, 3, 4)
    ]
    assert [e.lr for e in steps] == [schedule(step) for step in range(8)]
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert ends == history and [(e.epoch, e.epochs) for e in ends] == [(1, 2), (2, 2)]
    for end, own in zip(ends, (steps[:4], steps[4:]), strict=True):
        assert end.loss == pytest.approx(sum(e.loss * e.images for e in own) / 50, rel=1e-12)
        assert end.error == pytest.approx(sum(e.error * e.images for e in own) / 50, rel=1e-12)
        assert end.lr == own[-1].lr
        assert end.seconds > 0 and end.images_per_second == 50 / end.seconds
    checked = evaluate(model, digits(30, seed=1))
    assert (ends[1].validation_loss, ends[1].validation_accuracy) == checked
    ended = events[-1]
    assert isinstance(ended, TrainingEnded) and ended.history == tuple(history)
    assert ended.seconds >= sum(e.seconds for e in history)


def test_a_batchs_error_is_that_before_its_update() -> None:
    events: list[Any] = []
    model = models.softmax_regression()
    before = evaluate(model, digits(20))
    trainer(model, handlers=[events.append]).fit(digits(20), epochs=1)
    assert events[1].loss == pytest.approx(before.loss, rel=1e-6)
    assert events[1].error == pytest.approx(1 - before.accuracy)


def test_without_validation_and_schedule() -> None:
    (end,) = trainer(lr=0.03).fit(digits(20), epochs=1)
    assert end.validation_loss is None and end.validation_accuracy is None
    assert end.best is False and end.lr == 0.03


def test_steps_of_the_schedule_go_on_over_fits() -> None:
    rates: list[float] = []
    training = trainer(schedule=lambda step: rates.append(step) or 0.01)
    training.fit(digits(20), epochs=1, batch_size=10)
    training.fit(digits(20), epochs=1, batch_size=10)
    assert [rate for rate in rates if rates.count(rate)][-2:] == [2, 3] and training.step == 4


# --------------------------------------------------------------------------------------------------
# Wrong use is refused before any work

IMAGES, LABELS = digits(8)
WRONG_DATA: list[tuple[Any, type[Exception], str]] = [
    ((IMAGES[:7], LABELS), ValueError, r"train has 7 images but labels of shape \(8,\)"),
    ((IMAGES, LABELS[:, None]), ValueError, r"train has 8 images but labels of shape \(8, 1\)"),
    ((IMAGES[:0], LABELS[:0]), ValueError, "train has no images"),
    ((IMAGES, LABELS + 10), ValueError, "labels of train must be from 0 to 9, not 1"),
    ((IMAGES, np.full(8, -1)), ValueError, "labels of train must be from 0 to 9, not -1"),
    ((IMAGES, LABELS.astype(float)), TypeError, "labels of train must be .* integers, not float64"),
    ((IMAGES, list(LABELS)), TypeError, "labels of train must be .* integers, not list"),
    ((IMAGES.astype(np.float32), LABELS), ValueError, r"train: .*float32 must lie in \[0, 1\]"),
    ((IMAGES / 255, LABELS), TypeError, "images of train .* uint8, or of float32.*not float64"),
    ((list(IMAGES), LABELS), TypeError, r"images of train .*not list: use np\.stack\(images\)"),
    ((IMAGES.astype(int), LABELS), TypeError, "images of train .* uint8, or .*not int64"),
    ((IMAGES[:, 1:], LABELS), ValueError, r"train: images must have the shape .*\(8, 27, 28\)"),
    ((IMAGES[0], LABELS), ValueError, "train: .*add the axis"),
    ((IMAGES, LABELS, LABELS), ValueError, r"train must be \(images, labels\), not 3 things"),
    (IMAGES, TypeError, r"train must be a data set or \(images, labels\), not ndarray"),
    ([IMAGES, LABELS], TypeError, "not list"),
]


@pytest.mark.parametrize(("data", "error", "message"), WRONG_DATA)
def test_wrong_data(data: Any, error: type[Exception], message: str, tmp_path: Path) -> None:
    events: list[Event] = []
    training = trainer(handlers=[events.append], run=tmp_path / "run")
    with pytest.raises(error, match=message):
        training.fit(data, epochs=1)
    with pytest.raises(error, match=message.replace("train", "validation")):
        training.fit((IMAGES, LABELS), epochs=1, validation=data)
    with pytest.raises(error, match=message.replace("train", "data")):
        evaluate(training.model, data)
    assert events == [] and not (tmp_path / "run").exists()


def test_forms_of_data() -> None:
    class Both:
        images, labels = IMAGES, LABELS

    results = [
        trainer().fit(data, epochs=1)[0].loss
        for data in (
            (IMAGES, LABELS),
            (IMAGES[:, None], LABELS.astype(np.int64)),
            (np.asfortranarray(IMAGES), LABELS.astype(np.uint16)),
            Both(),
            byhand.data.Dataset(IMAGES, LABELS),
        )
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1, not 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer, not 1.5"),
        ({"epochs": True}, TypeError, "epochs must be an integer, not True"),
        ({"epochs": 1, "batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"epochs": 1, "seed": -1}, ValueError, "seed must be from 0 to"),
        ({"epochs": 1, "seed": "a"}, TypeError, "seed must be an integer, not str"),
        ({"epochs": 1, "seed": None}, TypeError, "seed must be an integer, not NoneType"),
        ({"epochs": 1, "resume": "no"}, TypeError, "resume must be True or False, not 'no'"),
        (
            {"epochs": 1, "choose_by_validation": None},
            TypeError,
            "choose_by_validation must be True or False, not None",
        ),
        ({"epochs": 3}, ValueError, "step 2 is not one of the schedule's 2 steps"),
    ],
)
def test_wrong_arguments_of_fit(arguments: Any, error: type[Exception], message: str) -> None:
    training = trainer(schedule=OneCycle(0.1, 2))
    with pytest.raises(error, match=message):
        training.fit((IMAGES, LABELS), **arguments)
    assert training.step == 0


def test_wrong_arguments_of_a_trainer() -> None:
    model = models.softmax_regression()
    optimizer = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="optimizer has parameters that are not the model's"):
        Trainer(models.softmax_regression(), optimizer)
    with pytest.raises(ValueError, match='device must be "cpu" or "cuda", got "gpu"'):
        Trainer(model, optimizer, device="gpu")
    with pytest.raises(ValueError, match="loss must have the reduction 'mean', not 'sum'"):
        Trainer(model, optimizer, loss=losses.MSELoss(reduction="sum"))
    with pytest.raises(TypeError, match=r"model must be a byhand\.models\.Model, not Sequential"):
        Trainer(nn.Sequential(nn.Linear(1, 1)), optimizer)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"optimizer must be a byhand\.optim\.Optimizer, not str"):
        Trainer(model, "sgd")  # type: ignore[arg-type]
    with pytest.raises(
        TypeError,
        match=r"loss must be one of byhand\.nn\.losses",
    ):
        Trainer(model, optimizer, loss="mse")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"schedule must be a function of the step, not 0\.1"):
        Trainer(model, optimizer, schedule=0.1)  # type: ignore[arg-type]
    for handlers in (print, [print, 3]):
        with pytest.raises(TypeError, match="handlers must be"):
            Trainer(model, optimizer, handlers=handlers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"progress": "no"}, TypeError, "progress must be True or False, not 'no'"),
        ({"progress": 1}, TypeError, "progress must be True or False, not 1"),
        ({"keep_epochs": "no"}, TypeError, "keep_epochs must be True or False, not 'no'"),
        ({"run": 5}, TypeError, r"run must be a str or a pathlib\.Path, not 5"),
        ({"run": b"a"}, TypeError, r"run must be a str or a pathlib\.Path, not b'a'"),
        ({"notes": "abc"}, TypeError, "notes must be a dict, not 'abc'"),
        ({"notes": {"a": object}}, TypeError, "notes must be values that JSON can hold: .* type"),
        ({"notes": {"a": float("nan")}}, ValueError, "notes must be values that JSON can hold"),
    ],
)
def test_arguments_of_a_trainer_are_checked_at_once(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trainer(**arguments)


def test_wrong_arguments_of_evaluate() -> None:
    with pytest.raises(TypeError, match=r"model must be a byhand\.models\.Model, not str"):
        evaluate("x", (IMAGES, LABELS))  # type: ignore[arg-type]
    with pytest.raises(
        TypeError,
        match=r"loss must be one of byhand\.nn\.losses",
    ):
        evaluate(models.softmax_regression(), (IMAGES, LABELS), loss="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), np.float32("nan")])
def test_a_learning_rate_that_is_not_finite_moves_nothing(rate: Any) -> None:
    weights: list[dict[str, Array]] = []
    training = trainer(
        schedule=lambda step: 0.01 if step != 1 else rate,
        handlers=[lambda event: weights.append(training.model.state_dict())],
    )
    with pytest.raises(FloatingPointError, match=r"learning rate is (nan|inf) in batch 2"):
        training.fit((IMAGES, LABELS), epochs=1, batch_size=2)
    after = training.model.state_dict()
    assert all(np.array_equal(weights[-1][name], array) for name, array in after.items())


def test_a_schedule_gives_numbers() -> None:
    with pytest.raises(TypeError, match="the learning rate of the schedule must be a number"):
        trainer(schedule=lambda _: None).fit((IMAGES, LABELS), epochs=1)


def test_layers_may_join_another_network_while_they_are_trained() -> None:
    def fit(*handlers: Callable[[Event], object]) -> dict[str, Array]:
        training = trainer(model := models.mlp((6,)), handlers=handlers)
        training.fit((IMAGES, LABELS), epochs=2, batch_size=2)
        return model.state_dict()

    def wrap(event: Event) -> None:
        if isinstance(event, TrainingStarted):
            started.append(event.model)
        elif isinstance(event, BatchEnd) and event.batch == 2:
            nn.Sequential(*started[0].layers())

    started: list[models.Model] = []
    expected, wrapped = fit(), fit(wrap)
    assert all(np.array_equal(wrapped[name], array) for name, array in expected.items())


def test_some_layers_may_stay_as_they_are() -> None:
    model = models.mlp((6,))
    before = model.state_dict()
    last = model[3].parameters()
    Trainer(model, optim.SGD(last, 0.1), schedule=Constant(0.2)).fit((IMAGES, LABELS), epochs=1)
    after = model.state_dict()
    same = {name: np.array_equal(before[name], after[name]) for name in before}
    assert same == {"1.weight": True, "1.bias": True, "3.weight": False, "3.bias": False}


# --------------------------------------------------------------------------------------------------
# Recipes


@pytest.mark.parametrize("name", ["softmax", "mlp", "lenet5"])
def test_a_recipe_is_a_whole_training(name: str) -> None:
    recipe = replace(RECIPES[name], epochs=2, batch_size=16)
    model = recipe.model(seed=2)
    optimizer, schedule = recipe.optimizer(model), recipe.schedule(50)
    assert optimizer.settings() == {
        "lr": recipe.lr,
        "momentum": 0.9,
        "dampening": 0.0,
        "weight_decay": recipe.weight_decay,
        "nesterov": True,
    }
    assert schedule == OneCycle(recipe.lr, 2 * 4)
    history = Trainer(model, optimizer, schedule=schedule).fit(
        digits(50), epochs=recipe.epochs, batch_size=recipe.batch_size
    )
    assert history[-1].loss < history[0].loss and history[-1].lr < recipe.lr / 1e4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "epochs", "goal"), [("softmax", 10, 0.924), ("mlp", 10, 0.98), ("lenet5", 1, 0.98)]
)
def test_recipes_on_mnist(name: str, epochs: int, goal: float, mnist: Any) -> None:
    """The mean accuracy of three seeds with the whole recipe. For LeNet-5, one epoch only."""
    train, test = mnist
    recipe = replace(RECIPES[name], epochs=epochs)
    accuracies = []
    for seed in range(3 if epochs == RECIPES[name].epochs else 1):
        model = recipe.model(seed=seed)
        training = Trainer(model, recipe.optimizer(model), schedule=recipe.schedule(len(train)))
        training.fit(train, epochs=recipe.epochs, batch_size=recipe.batch_size, seed=seed)
        accuracies.append(evaluate(model, test).accuracy)
    assert np.mean(accuracies) >= goal, accuracies
