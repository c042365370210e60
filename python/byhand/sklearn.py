"""The classifiers as a scikit-learn estimator: for pipelines, cross-validation and grid search."""

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

# The batch size for which the default learning rates were chosen.
_USUAL_BATCH = 32


class DigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of images: softmax regression, a multilayer perceptron or LeNet-5.

    Parameters
    ----------
    model : {"softmax", "mlp", "lenet5"} or callable
        The network. You may also pass a function of your own. It is called as
        model(input_shape=..., classes=..., seed=...), and must return a byhand Model.
    hidden_layer_sizes : int or iterable of int
        The number of units in each hidden layer of "mlp".
    activation : {"relu", "tanh", "sigmoid"}
        The activation of "mlp" and "lenet5".
    init : str
        The method that draws the initial weights, a key of `nn.initializers.INITIALIZERS`.
    optimizer : {"sgd", "adam", "adamw"}
        The optimizer. "sgd" uses Nesterov's momentum with the factor 0.9.
    learning_rate : float, optional
        The largest learning rate: the schedule is `optim.schedules.OneCycle`. For batches of 32,
        the default is 0.05 for "sgd" and 0.003 for "adam" and "adamw". For another batch size,
        `Recipe.lr_for` adapts the default.
    weight_decay : float
        The factor of the L2 regularisation or, for "adamw", of the decoupled weight decay.
    epochs : int
        The number of passes over the images.
    batch_size : int
        The number of images per step.
    max_shift : int
        The largest number of pixels by which each step shifts its images at random. With a value
        above 0, the images must be uint8.
    random_state : int, numpy.random.RandomState or None
        The source of the initial weights, of the order of the images and of their shifts. With
        None, each call of `fit` draws a new seed.

    Attributes
    ----------
    model_ : Model
        The trained network. Its class names are the labels, as strings. `model_.save` writes a file
        that `byhand.load` reads.
    classes_ : ndarray, shape (classes,)
        The labels, sorted.
    value_range_ : (float, float)
        The smallest and the largest value of the training images, or (0, 255) if they are uint8.
    loss_curve_ : list of float
        The mean loss of each epoch.
    n_features_in_ : int
        The length of the second axis of the training images.

    Notes
    -----
    Images have the shape (n, features), (n, height, width) or (n, channels, height, width). They
    are uint8, or numbers of any range. The network gets standardised images: (x - mean) /
    deviation, with the mean and the standard deviation of all values of the training images. If the
    images have the shape (n, features) and the number of features is a square number, such as 784,
    each row becomes a square image.
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
        """Train a new model.

        Parameters
        ----------
        X : array_like, shape (n, ...)
            The images.
        y : array_like, shape (n,)
            The labels, for example integers or strings.

        Returns
        -------
        DigitClassifier
            This classifier.

        Raises
        ------
        TypeError
            If an argument of the classifier has the wrong type, or `max_shift` is above 0 and the
            images are not uint8.
        ValueError
            If the images or the labels have an unsuitable shape or value, or an argument of the
            classifier has an impossible value.
        FloatingPointError
            If the loss becomes infinite or NaN. In most cases, the learning rate is too large.
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
        """Predict the probability of each class.

        Parameters
        ----------
        X : array_like, shape (n, ...)
            The images. Each must have the same shape as a training image.

        Returns
        -------
        ndarray, shape (n, classes), float64
            The probabilities, in the order of `classes_`. Each row sums to 1.

        Raises
        ------
        ValueError
            If the shape of an image differs from that of the training images.
        """
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
        """Predict the label of each image.

        Parameters
        ----------
        X : array_like, shape (n, ...)
            The images. Each must have the same shape as a training image.

        Returns
        -------
        ndarray, shape (n,)
            The most probable label.

        Raises
        ------
        ValueError
            If the shape of an image differs from that of the training images.
        """
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])

    def _images(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return images in a form that the model accepts.

        Images of uint8 stay unchanged if `value_range_` is (0, 255), as it is after a training with
        uint8. Otherwise all values are mapped from `value_range_` to [0, 1], as float32.
        """
        shape = (len(X), *self.model_.input_shape)
        low, high = self.value_range_
        if X.dtype == np.uint8 and (low, high) == (0, 255):
            return np.ascontiguousarray(X).reshape(shape)
        images = np.empty(X.shape, np.float32)
        for part, values in _in_float64(X):
            images[part] = (values - low) / ((high - low) or 1.0)
        return images.reshape(shape)

    def _preprocessing(self, X: NDArray[Any]) -> tuple[float, float]:
        """Return the scale and the offset with which the network gets standardised images.

        The model computes byte * scale + offset for an image of uint8. An image of float32 in
        [0, 1] counts as 255 times its values. So the byte b stands for the value
        low + b * (high - low) / 255 of an image that the user gave.
        """
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
        """Return the sizes of the hidden layers. As in scikit-learn, an integer means one layer."""
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
        """Return the shape of an image as (channels, height, width)."""
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
            raise ValueError(
                f"X must be images, or rows of a square number of features, not of {shape[0]}"
            )
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
    """Yield 1,024 images at a time as float64, because squares may be too large for float32."""
    for start in range(0, len(X), 1024):
        part = slice(start, start + 1024)
        yield part, X[part].astype(np.float64)
