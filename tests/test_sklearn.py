"""byhand.sklearn: scikit-learn's own checks, images and labels of any kind, searches."""

from __future__ import annotations

import os
import pickle
import threading
from functools import partial
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from byhand import models, nn
from byhand.sklearn import DigitClassifier
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

DIGITS = load_digits()  # 1,797 images of 8 x 8, values from 0 to 16
X, Y = DIGITS.data[:600], DIGITS.target[:600]
LATER, ANSWERS = DIGITS.data[600:900], DIGITS.target[600:900]


@parametrize_with_checks([DigitClassifier()])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"model": "softmax"}, 0.85),
        ({"hidden_layer_sizes": (30,), "activation": "tanh", "init": "xavier_normal"}, 0.88),
        ({"optimizer": "adam", "init": "kaiming_uniform", "learning_rate": 0.01}, 0.88),
        ({"optimizer": "adamw", "weight_decay": 0.1}, 0.85),
    ],
    ids=str,
)
def test_it_learns(settings: dict[str, Any], least: float) -> None:
    assert DigitClassifier(**settings, random_state=0).fit(X, Y).score(LATER, ANSWERS) >= least


def test_settings_reach_the_model_and_its_training() -> None:
    fitted = DigitClassifier(
        hidden_layer_sizes=(7, 5), activation="sigmoid", epochs=3, random_state=0
    ).fit(X, Y)
    shapes = [p.shape for p in fitted.model_.parameters() if len(p.shape) > 1]
    assert shapes == [(7, 64), (5, 7), (10, 5)] and "Sigmoid" in repr(fitted.model_)
    assert len(fitted.loss_curve_) == 3 and fitted.loss_curve_[2] < fitted.loss_curve_[0]
    assert fitted.value_range_ == (0.0, 16.0) and fitted.n_features_in_ == 64
    changes = [
        {"init": "kaiming_normal"},
        {"optimizer": "adam"},
        {"learning_rate": 0.001},
        {"weight_decay": 0.5},
        {"batch_size": 100},
        {"random_state": 1},
    ]
    expected = fitted.predict_proba(LATER)
    for change in changes:
        other = clone(fitted).set_params(**change).fit(X, Y)
        assert not np.allclose(other.predict_proba(LATER), expected), change


def test_labels_of_any_kind() -> None:
    """Labels are sorted as numpy.unique does, as scikit-learn expects."""
    names = np.array(["null", "eins", "zwei"], object)
    some = Y < 3
    fitted = DigitClassifier(random_state=0).fit(X[some], names[Y[some]])
    assert list(fitted.classes_) == ["eins", "null", "zwei"]
    wanted = names[ANSWERS[ANSWERS < 3]]
    found = fitted.predict(LATER[ANSWERS < 3])
    assert np.mean(found == wanted) > 0.95
    probabilities = fitted.predict_proba(LATER)
    assert probabilities.shape == (300, 3)
    assert list(fitted.classes_[probabilities.argmax(axis=1)]) == list(fitted.predict(LATER))
    signs = DigitClassifier(random_state=0).fit(X[Y < 2], Y[Y < 2] * -7)
    assert set(signs.predict(LATER)) <= {0, -7}


def test_rows_and_images_are_the_same() -> None:
    expected = DigitClassifier(epochs=2, random_state=0).fit(X, Y).predict_proba(LATER)
    for shape in ((-1, 8, 8), (-1, 1, 8, 8)):
        fitted = DigitClassifier(epochs=2, random_state=0).fit(X.reshape(shape), Y)
        assert np.array_equal(fitted.predict_proba(LATER.reshape(shape)), expected)


@pytest.mark.parametrize(
    ("factor", "shift"), [(1.0, 0.0), (1e-3, 5.0), (-1e30, 0.0), (2e37, -3e38)]
)
def test_numbers_of_any_range(factor: float, shift: float) -> None:
    """Only the position between the smallest and the largest value counts.

    A value outside this range is not an error.
    """
    fitted = DigitClassifier(random_state=0).fit(X * factor + shift, Y)
    assert fitted.score(LATER * factor + shift, ANSWERS) > 0.85
    fitted.predict(LATER * factor * 1.05 + shift)


def test_lenet5_on_colour_images_that_move() -> None:
    """LeNet-5 learns uint8 images with three channels, shifted at random, and flat rows of pixels.

    Their size is not that of MNIST.
    """
    big = np.kron(X[:200].reshape(-1, 8, 8), np.ones((2, 2))) * 15
    images = np.stack([big, 255 - big, big], axis=1).astype(np.uint8)
    fitted = DigitClassifier("lenet5", epochs=10, max_shift=1, random_state=0).fit(images, Y[:200])
    assert fitted.model_.input_shape == (3, 16, 16) and fitted.value_range_ == (0, 255)
    assert fitted.score(images, Y[:200]) > 0.9
    still = clone(fitted).set_params(max_shift=0).fit(images, Y[:200])
    assert still.loss_curve_ != fitted.loss_curve_
    flat = DigitClassifier("lenet5", epochs=1).fit(big.reshape(200, 256), Y[:200])
    assert flat.model_.input_shape == (1, 16, 16)


def test_saved_and_pickled(tmp_path: Path) -> None:
    fitted = DigitClassifier(epochs=2, random_state=0).fit(X, Y + 100)
    expected = fitted.predict_proba(LATER)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(LATER), expected)
    fitted.model_.save(tmp_path / "model.safetensors")
    images = (LATER / 16).astype(np.float32).reshape(-1, 8, 8)
    again = byhand.load(tmp_path / "model.safetensors")
    np.testing.assert_allclose(again.predict_proba(images), expected, atol=1e-6)
    assert again.class_names == tuple(map(str, fitted.classes_))


def test_random_state() -> None:
    def bits(random_state: Any) -> bytes:
        fitted = DigitClassifier(epochs=1, random_state=random_state).fit(X, Y)
        return fitted.predict_proba(LATER).tobytes()

    assert bits(3) == bits(3) == bits(np.random.RandomState(3)) != bits(4)
    assert bits(None) != bits(None)
    assert DigitClassifier().random_state is None  # as in scikit-learn


def test_one_hidden_layer_may_be_an_integer() -> None:
    """One hidden layer may be given as an integer, as in scikit-learn's MLPClassifier."""
    settings = {"epochs": 1, "random_state": 0}
    one = DigitClassifier(hidden_layer_sizes=20, **settings).fit(X, Y).predict_proba(LATER)
    same = DigitClassifier(hidden_layer_sizes=[20], **settings).fit(X, Y).predict_proba(LATER)
    assert np.array_equal(one, same)
    with pytest.raises(TypeError, match="hidden_layer_sizes must be an integer, not '20'"):
        DigitClassifier(hidden_layer_sizes="20").fit(X, Y)


GRID = {
    "digitclassifier__hidden_layer_sizes": [(), (40,), (30, 20)],
    "digitclassifier__activation": ["relu", "sigmoid"],
    "digitclassifier__optimizer": ["sgd", "adam"],
}


@pytest.mark.slow
def test_grid_search() -> None:
    """A search gives the same scores in this thread, in other threads and in other processes."""
    # Scorers that record where a fit was scored. They are local functions, so that loky sends their
    # code.
    scoring = {
        "score": "accuracy",
        "process": lambda *_: os.getpid(),
        "thread": lambda *_: threading.get_native_id(),
    }
    scores, processes, threads = {}, {}, {}
    for backend in ("sequential", "threading", "loky"):
        with parallel_config(backend=backend):
            pipeline = make_pipeline(StandardScaler(), DigitClassifier(epochs=3, random_state=0))
            search = GridSearchCV(pipeline, GRID, cv=2, n_jobs=2, scoring=scoring, refit="score")
            search.fit(X, Y)
        assert search.score(LATER, ANSWERS) > 0.85
        results = search.cv_results_
        scores[backend] = results["mean_test_score"]
        processes[backend] = {*results["split0_test_process"], *results["split1_test_process"]}
        threads[backend] = {*results["split0_test_thread"], *results["split1_test_thread"]}
    here, main = {os.getpid()}, {threading.get_native_id()}
    assert (
        processes["sequential"] == processes["threading"] == here and threads["sequential"] == main
    )
    assert not threads["threading"] & main and not processes["loky"] & here
    # The settings matter.
    assert len(scores["sequential"]) == 12 and np.ptp(scores["sequential"]) > 0.05
    assert np.array_equal(scores["threading"], scores["sequential"])
    assert np.array_equal(scores["loky"], scores["sequential"])


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        ({"model": "cnn"}, X, "model must be softmax, mlp or lenet5, not 'cnn'"),
        ({"optimizer": "lion"}, X, "optimizer must be one of sgd, adam, adamw, not 'lion'"),
        ({"init": "he"}, X, "init must be one of uniform.*not 'he'"),
        ({"activation": "gelu"}, X, "activation must be one of relu, tanh, sigmoid, not 'gelu'"),
        ({"hidden_layer_sizes": (9, 0)}, X, "hidden_layer_sizes must be at least 1, not 0"),
        ({"epochs": 0}, X, "epochs must be at least 1, not 0"),
        ({"batch_size": 0}, X, "batch_size must be at least 1, not 0"),
        ({"learning_rate": -1.0}, X, "lr must be finite and not negative, not -1.0"),
        ({"model": "lenet5"}, X, "lenet5 takes images of 16 x 16 pixels or more"),
        ({"model": "lenet5"}, X[:, :60], "rows of a square number of features, not of 60"),
        ({}, X.reshape(-1, 1, 2, 4, 8), "X must have 2 to 4 axes, not 5"),
        ({}, X.reshape(-1, 8, 8, 1), r"their channels are last; use .*images\[..., 0\]"),
    ],
)
def test_wrong_arguments(settings: dict[str, Any], data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DigitClassifier(**settings).fit(data, Y)


def own_network(input_shape: Any, classes: int, seed: int, width: int = 20) -> Any:
    return models.Model(
        nn.Flatten(),
        nn.Linear(int(np.prod(input_shape)), width, rng=seed),
        nn.Tanh(),
        nn.Linear(width, classes, rng=seed + 1),
        input_shape=input_shape,
    )


@pytest.mark.slow
def test_a_search_over_ones_own_network() -> None:
    grid = {"model": [partial(own_network, width=w) for w in (2, 30)] + ["softmax"]}
    # This runs in one process. Other processes could not import the function from a test file.
    search = GridSearchCV(DigitClassifier(epochs=3, random_state=0), grid, cv=2).fit(X, Y)
    assert search.best_estimator_.score(LATER, ANSWERS) > 0.8
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] > scores[0] + 0.1
    fitted = DigitClassifier(own_network, epochs=2, random_state=1).fit(X, Y + 5)
    again = clone(fitted).fit(X, Y + 5)
    assert np.array_equal(fitted.predict_proba(LATER), again.predict_proba(LATER))
    assert fitted.model_.parameters()[0].shape == (20, 64)
    assert fitted.model_.class_names == tuple(str(k) for k in range(5, 15))


def test_ones_own_network_must_fit() -> None:
    with pytest.raises(TypeError, match="model must return a byhand Model, not int"):
        DigitClassifier(lambda **arguments: 3).fit(X, Y)
    with pytest.raises(ValueError, match=r"for images \(1, 8, 8\) and 10 classes, not one for"):
        DigitClassifier(lambda **arguments: models.mlp()).fit(X, Y)


def test_floats_do_not_move() -> None:
    with pytest.raises(TypeError, match="must be uint8 to be shifted, not float32"):
        DigitClassifier(max_shift=1).fit(X, Y)


def test_another_shape_of_images() -> None:
    fitted = DigitClassifier(epochs=1).fit(X.reshape(-1, 8, 8), Y)
    with pytest.raises(ValueError, match=r"X must have the shape \(n, 8, 8\), not \(600, 8, 4\)"):
        fitted.predict(X.reshape(-1, 8, 8)[:, :, :4])


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({}, 0.05),
        ({"batch_size": 8}, 0.0125),
        ({"batch_size": 128}, 0.05),
        ({"batch_size": 8, "optimizer": "adam"}, 0.0015),
        ({"batch_size": 8, "learning_rate": 0.1}, 0.1),
    ],
)
def test_the_default_rate_follows_the_batch_size(options: dict[str, Any], rate: float) -> None:
    recipe = DigitClassifier(**options)._recipe()
    assert recipe.lr == pytest.approx(rate)
    assert recipe.batch_size == options.get("batch_size", 32)
