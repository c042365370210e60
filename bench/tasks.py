"""The tasks of `byhand bench training` and `accuracy`, the same for all contenders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from byhand.bench.record.recipes import ATTEMPTS
from byhand.bench.sampling import Clock, Sample
from byhand.data import DataError, load_folder, mnist
from byhand.models import Model, lenet5, mlp, softmax_regression
from byhand.training.recipes import RECIPES, Recipe
from numpy.typing import DTypeLike, NDArray

Index = NDArray[np.int64]

IMAGE = (1, 28, 28)
EPOCH = 60_000
# Number of first steps that are checked: the loss of each step and the weights after the last step
# must agree with the reference.
VERIFIED = 3
# The networks, and the activation of each unless the user asks for another one.
MODELS = {"softmax": "", "mlp": "relu", "lenet5": "tanh"}


def start(model: str, activation: str, seed: int) -> Model:
    """Return one of MODELS with its initial weights."""
    makers: dict[str, Callable[[], Model]] = {
        "softmax": lambda: softmax_regression(seed=seed),
        "mlp": lambda: mlp(activation=activation, seed=seed),
        "lenet5": lambda: lenet5(activation=activation, seed=seed),
    }
    return makers[model]()


@dataclass(frozen=True)
class Task:
    """A model, its data and the settings of its training.

    images, labels : paths of raw files of `count` images (uint8) and labels (int64).
    """

    model: str
    activation: str
    images: str
    labels: str
    count: int
    batch: int = 128
    lr: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def start(self) -> Model:
        """Return the model with the weights that every contender starts from."""
        return start(self.model, self.activation, self.seed)

    @property
    def sgd(self) -> dict[str, Any]:
        """The settings of the optimizer."""
        return {"lr": self.lr, "momentum": self.momentum, "weight_decay": self.weight_decay}

    def flops(self) -> int:
        """Return the FLOPs per image of a training step, which needs no gradient of the images."""
        model = self.start()
        flops = (layer.flops(shape) for layer, shape in model.layer_inputs(model.input_shape))
        products = [product for product in flops if product]
        return 3 * sum(products) - products[0]

    def load_labels(self) -> Index:
        return np.fromfile(self.labels, np.int64, self.count)

    def load_bytes(self) -> NDArray[np.uint8]:
        return np.fromfile(self.images, np.uint8).reshape(-1, *IMAGE)

    def load_floats(self, count: int | None = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the first `count` images, or all, as floats in [-1, 1]."""
        model = self.start()
        floats = np.empty((self.count if count is None else count, *IMAGE), dtype)
        with open(self.images, "rb") as file:  # read in parts, to save memory
            for start in range(0, len(floats), 1000):
                part = floats[start : start + 1000]
                pixels = np.fromfile(file, np.uint8, part.size).reshape(part.shape)
                np.multiply(pixels, model.scale, out=part, dtype=dtype)
                part += model.offset
        return floats


def load_training_data(root: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Load the training images and labels from a folder, or from MNIST if `root` is None.

    MNIST is downloaded if it is missing.

    Raises
    ------
    DataError
        If there are too few images for a benchmark, or if they are not of 28 x 28.
    """
    # If the user names a folder, no other one is read.
    train, _ = mnist() if root is None else load_folder(root)
    needed = VERIFIED * Task.batch
    if len(train) < needed or train.images.shape[-2:] != IMAGE[1:]:
        raise DataError(
            f"the training data must have at least {needed} images of 28x28, got the shape "
            f"{train.images.shape}"
        )
    return train.images, train.labels.astype(np.int64)


def write_data(folder: Path, root: Path | None, synthetic: bool) -> tuple[str, str, int]:
    """Write images and labels as the raw files of a `Task`, and return paths and count.

    Parameters
    ----------
    root : folder with the images, or None for MNIST
    synthetic : write random images instead
    """
    if synthetic:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (EPOCH, *IMAGE), np.uint8)
        labels = rng.integers(0, 10, EPOCH)
    else:
        images, labels = load_training_data(root)
    task = Task("softmax", "", str(folder / "images"), str(folder / "labels"), len(labels))
    images.tofile(task.images)
    labels.tofile(task.labels)
    return task.images, task.labels, task.count


@dataclass(frozen=True)
class Course:
    """The default recipe of a model on the data set in a folder, as `byhand train` follows it."""

    model: str
    folder: str
    seed: int

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.model]

    def start(self) -> Model:
        """Return the model with the weights that every contender starts from."""
        return self.recipe.model(seed=self.seed)

    def settings(self) -> dict[str, Any]:
        """Return the settings for the file of --json."""
        recipe = {k: v for k, v in asdict(self.recipe).items() if k != "model"}
        return {"model": self.model, "seed": self.seed, "recipe": recipe}


@dataclass(frozen=True)
class Attempt(Course):
    """A training for a record, on the data set in a folder. `model` is the name of its recipe.

    average_shifts : byhand evaluates each test image with all shifts by up to this number of
        pixels, and averages the probabilities. The peers evaluate each image once.
    """

    average_shifts: int = 0

    @property
    def recipe(self) -> Recipe:
        return ATTEMPTS[self.model]


# A function without arguments, which a contender calls when training begins and when it has ended.
Mark = Callable[[], None]
# A function that is called with the accuracy on the test set after every epoch.
Tell = Callable[[float], None]


class Training(ABC):
    """The training of one contender; it is the `Job` of its process."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._epochs = 0

    def results(self) -> list[NDArray[Any]]:
        """Return the losses of the first steps, and all weights after them."""
        batch = self.task.batch
        losses = [self.first(np.arange(i * batch, (i + 1) * batch)) for i in range(VERIFIED)]
        return [np.array(losses), *(np.asarray(weight) for weight in self.weights())]

    def sample(self, amount: int | None) -> Sample:
        self._epochs += 1
        return self.epoch(self._epochs, amount)

    def shuffled(self, number: int) -> list[Index]:
        """Return the batches of an epoch; the last one may be smaller."""
        order = np.random.default_rng((self.task.seed, number)).permutation(self.task.count)
        size = self.task.batch
        return [order[start : start + size] for start in range(0, len(order), size)]

    @abstractmethod
    def first(self, index: Index) -> float:
        """Do one step on these images, and return the loss before the update."""

    @abstractmethod
    def weights(self) -> Sequence[Any]:
        """Return all parameters, in the order of the model in byhand."""

    @abstractmethod
    def epoch(self, number: int, steps: int | None) -> Sample:
        """Time `steps` steps of a shuffled epoch, or all of its steps if `steps` is None.

        The first step is not counted, unless all steps run in one call.
        """


class Stepwise(Training):
    """Training that is a Python loop over steps."""

    whole_batches = False
    """Whether to leave out the smaller batch at the end.

    A compiler would compile the network once more for it.
    """

    @abstractmethod
    def step(self, index: Index) -> Any:
        """Gather these images, train on them and return the loss."""

    def first(self, index: Index) -> float:
        return float(self.step(index))

    def epoch(self, number: int, steps: int | None) -> Sample:
        batches = self.shuffled(number)
        if self.whole_batches:
            batches = [index for index in batches if len(index) == self.task.batch]
        first, *others = batches if steps is None else batches[: steps + 1]
        self.step(first)
        clock = Clock()
        clock.start()
        for index in others:
            self.step(index)
        return clock.stop(sum(map(len, others)), len(others))
