"""The classifiers as a scikit-learn estimator: pipelines, cross-validation and grid search."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byhand import kernels
from byhand.checks import channels_last, integer, needs_extra
from byhand.models import Model, lenet5, mlp, softmax_regression
from byhand.optim import OPTIMIZERS
from byhand.training.recipes import ADAM_LR, Recipe

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise needs_extra(error, "byhand.sklearn", "sklearn") from None

__all__ = ["DigitClassifier"]

# The batch size that the default learning rates are for.
_USUAL_BATCH = 32


class DigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Softmax regression, a multilayer perceptron or LeNet-5, for images of any size and labels of
    any kind.

    Parameters
    ----------
    model : "softmax", "mlp" or "lenet5"; or a function of your own that makes the network, called
        as model(input_shape=..., classes=..., seed=...), which returns a byhand Model
    hidden_layer_sizes : widths of the layers between input and output; of "mlp" alone
    activation : "relu", "tanh" or "sigmoid"; not of "softmax"
    init : first weights, a name of byhand.nn.initializers
    optimizer : "sgd" (with Nesterov's momentum 0.9), "adam" or "adamw"
    learning_rate : the peak of one cycle (schedules.OneCycle). If it is None, it is 0.05 with SGD,
        otherwise 0.003, for batches of 32, and follows batch_size (`Recipe.lr_for`)
    weight_decay : L2 regularisation, decoupled with "adamw"
    epochs, batch_size : passes over the data, and images a step
    max_shift : pixels by which images of uint8 are moved at random, anew in each step
    random_state : decides the first weights, the order of the images and their shifts: an integer,
        a numpy.random.RandomState, or None for another one each time

    Attributes
    ----------
    model_ : the byhand Model, of which `save` makes a file that `byhand.load` reads; its class
        names are the labels
    classes_ : the labels, sorted
    value_range_ : the smallest and the largest value of X; (0, 255) where X is uint8
    loss_curve_ : mean loss of each epoch
    n_features_in_ : of X (n, features); of images the first of their axes

    X is (n, features), (n, height, width) or (n, channels, height, width): numbers of any range, or
    bytes. The network sees them less the mean of all, in units of their standard deviation.
    "lenet5" and max_shift take rows of a square number of features as square images.
    """

    def __init__(
        self,
        model: str | Callable[..., Model] = "mlp",
        *,
        hidden_layer_sizes: int | Iterable[int] = (128, 64),
        activation: str = "relu",
        init: str = "uniform",
        optimizer: str = "sgd",
        learning_rate: float | None = None,
        weight_decay: float = 0.0,
        epochs: int = 10,
        batch_size: int = _USUAL_BATCH,
        max_shift: int = 0,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.init = init
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.max_shift = max_shift
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> DigitClassifier:
        """Train a new model on images X and their labels y (n,); ValueError where they don't fit.

        Raises FloatingPointError where the loss is not finite: the learning rate is too large.
        """
        X, y = validate_data(self, X, y, dtype=[np.float32, np.uint8], allow_nd=True)
        check_classification_targets(y)
        self.classes_, answers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have two classes or more, not {len(self.classes_)} class")
        self._image_shape = X.shape[1:]
        self.value_range_ = (
            (0.0, 255.0) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.model_ = self._new_model(seed)
        self.model_.class_names = tuple(map(str, self.classes_))
        self.model_.scale, self.model_.offset = self._preprocessing(X)
        trainer = self._recipe().trainer(self.model_, len(X), progress=False)
        data = self._images(X), answers.astype(np.int64)
        history = trainer.fit(data, epochs=self.epochs, batch_size=self.batch_size, seed=seed)
        self.loss_curve_ = [epoch.loss for epoch in history]
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each of `classes_`: (n, classes), rows that sum to 1."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.uint8], allow_nd=True, reset=False)
        if X.shape[1:] != self._image_shape:
            wanted = ", ".join(map(str, self._image_shape))
            raise ValueError(f"X must have the shape (n, {wanted}), not {X.shape}")
        logits = self.model_.logits(self._images(X))
        probabilities = kernels.softmax(logits).astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest of `classes_` for each image: (n,)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])

    def _images(self, X: NDArray[Any]) -> NDArray[Any]:
        """Images as the model takes them: bytes as they are; floats so that the range is [0, 1]."""
        shape = (len(X), *self.model_.input_shape)
        low, high = self.value_range_
        if X.dtype == np.uint8 and (low, high) == (0, 255):
            return np.ascontiguousarray(X).reshape(shape)
        images = np.empty(X.shape, np.float32)
        for part, values in _in_float64(X):
            images[part] = (values - low) / ((high - low) or 1.0)
        return images.reshape(shape)

    def _preprocessing(self, X: NDArray[Any]) -> tuple[float, float]:
        """Scale and offset that make of 0 and 255 the ends of the range, standardised."""
        low, high = self.value_range_
        mean = math.fsum(values.sum() for _, values in _in_float64(X)) / X.size
        squares = math.fsum(((values - mean) ** 2).sum() for _, values in _in_float64(X))
        deviation = math.sqrt(squares / X.size) or 1.0
        return (high - low) / 255 / deviation, (low - mean) / deviation

    def _new_model(self, seed: int) -> Model:
        if callable(self.model):
            return self._own_model(self.model, seed)
        arguments: dict[str, Any] = {
            "seed": seed,
            "init": self.init,
            "input_shape": self._input_shape(),
            "classes": len(self.classes_),
        }
        if self.model == "softmax":
            return softmax_regression(**arguments)
        if self.model == "mlp":
            return mlp(self._hidden(), self.activation, **arguments)
        if self.model == "lenet5":
            return lenet5(self.activation, **arguments)
        raise ValueError(f"model must be softmax, mlp or lenet5, not {self.model!r}")

    def _hidden(self) -> tuple[int, ...]:
        """The widths of the hidden layers. As in scikit-learn, one integer is one layer."""
        sizes = self.hidden_layer_sizes
        if not isinstance(sizes, Iterable) or isinstance(sizes, str):
            sizes = (sizes,)
        return tuple(integer("hidden_layer_sizes", size, 1) for size in sizes)

    def _own_model(self, make: Callable[..., Model], seed: int) -> Model:
        shape, classes = self._input_shape(), len(self.classes_)
        model = make(input_shape=shape, classes=classes, seed=seed)
        if not isinstance(model, Model):
            raise TypeError(f"model must return a byhand Model, not {type(model).__name__}")
        if (model.input_shape, model.classes) != (shape, classes):
            raise ValueError(
                f"model must return a network for images {shape} and {classes} classes, not one "
                f"for {model.input_shape} and {model.classes}: use input_shape and classes"
            )
        return model

    def _input_shape(self) -> tuple[int, ...]:
        """(channels, height, width)"""
        shape: tuple[int, ...] = self._image_shape
        if advice := channels_last((1, *shape)):
            raise ValueError(f"X must have the shape (n, channels, height, width): {advice}")
        if len(shape) > 3:
            raise ValueError(f"X must have 2 to 4 axes, not {len(shape) + 1}")
        if len(shape) > 1:
            return (1, *shape)[-3:]
        side = math.isqrt(shape[0])
        if side * side == shape[0]:
            return (1, side, side)
        if self.model == "lenet5" or self.max_shift:
            raise ValueError(f"X must be images, or rows of a square number, not of {shape[0]}")
        return (1, 1, shape[0])

    def _recipe(self) -> Recipe:
        if self.optimizer not in OPTIMIZERS:
            names = ", ".join(OPTIMIZERS)
            raise ValueError(f"optimizer must be one of {names}, not {self.optimizer!r}")
        default = 0.05 if self.optimizer == "sgd" else ADAM_LR
        recipe = Recipe(
            self._new_model,
            epochs=integer("epochs", self.epochs, 1),
            lr=default if self.learning_rate is None else self.learning_rate,
            batch_size=_USUAL_BATCH,
            weight_decay=self.weight_decay,
            method=self.optimizer,
            max_shift=self.max_shift,
        )
        size = integer("batch_size", self.batch_size, 1)
        rate = recipe.lr_for(size) if self.learning_rate is None else recipe.lr
        return dataclasses.replace(recipe, batch_size=size, lr=rate)


def _in_float64(X: NDArray[Any]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Some rows at a time: a difference or a square of float32 numbers may be too large for one."""
    for start in range(0, len(X), 1024):
        part = slice(start, start + 1024)
        yield part, X[part].astype(np.float64)
