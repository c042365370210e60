"""The figures of five tutorials on handwritten digits, and how byhand trains their networks.

A figure is the result that a tutorial states for a network: an accuracy or a loss.

A  PaddlePaddle book, version 1 of its API: softmax regression, an MLP and LeNet-5. The figure is
   the accuracy after the pass (epoch) with the lowest test loss.
B  PaddlePaddle book, Fluid API: the same three networks, the last one with batch normalisation,
   trained with Adam.
C  Paddle 2 course: an MLP and a CNN learn the digit as a number, with squared error.
D  A personal blog about TensorFlow: the IDX format, and the reader's pictures. It has no figure.
E  An article on MNIST: normalisation, dropout, skip connections and a search. It has no figure.

Each network is first trained with the settings of its tutorial. If the result does not reach the
figure, the network is trained again with byhand's recipe, in another row of the table. BEST is not
a tutorial: its figures are the accuracies that byhand promises for its own recipes.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from byhand.data import Dataset
from byhand.models import Model, lenet5, mlp, softmax_regression
from byhand.nn import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
)
from byhand.nn.parameter import generator
from byhand.optim import OPTIMIZERS, SGD, Adam
from byhand.reproduce.networks import batch_norm_cnn, digit_cnn, digit_mlp
from byhand.training import EpochEnd, Trainer
from byhand.training.recipes import ADAM_LR, BEST, RECIPES, Recipe

TUTORIALS = ("A", "B", "C", "D", "E", "BEST")

Sets = tuple[Dataset, Dataset]


@dataclass(frozen=True)
class Way:
    """A model and the settings to train it with.

    Parameters
    ----------
    settings : str
        The settings, as text.
    model : callable
        ``model(seed=0)`` returns the model.
    trainer : callable
        ``trainer(model, image_count)`` returns the trainer for this number of training images.
    epochs : int
        The number of epochs.
    batch_size : int
        The number of images per step.
    published_epochs : int, optional
        The number of epochs that the tutorial trains for. None if it is equal to `epochs`.
    best_pass : bool
        Whether the result is that of the epoch with the lowest test loss, as in tutorial A.
        Otherwise it is that of the last epoch.
    """

    settings: str
    model: Callable[..., Model]
    trainer: Callable[[Model, int], Trainer]
    epochs: int
    batch_size: int
    published_epochs: int | None = None
    best_pass: bool = False

    def counted(self, history: Sequence[EpochEnd]) -> Sequence[EpochEnd]:
        """Return the epochs of a training up to the one whose result is compared.

        Parameters
        ----------
        history : sequence of EpochEnd
            All epochs.

        Returns
        -------
        sequence of EpochEnd
        """
        if not self.best_pass:
            return history
        losses = [end.validation_loss or 0.0 for end in history]
        return history[: losses.index(min(losses)) + 1]

    def train(self, sets: Sets, seed: int, epochs: int) -> list[EpochEnd]:
        """Train one model.

        Parameters
        ----------
        sets : pair of Dataset
            The training images, and the test images that are evaluated after each epoch.
        seed : int
            The seed of the initial weights and of the order of the images.
        epochs : int
            The number of epochs.

        Returns
        -------
        list of EpochEnd
            The results of each epoch.
        """
        train, test = sets
        trainer = self.trainer(self.model(seed=seed), len(train))
        trainer.progress = False
        return trainer.fit(
            train, epochs=epochs, batch_size=self.batch_size, validation=test, seed=seed
        )


@dataclass(frozen=True)
class Figure:
    """A published figure, and how to compute ours.

    Parameters
    ----------
    tutorial : str
        The letter of the tutorial, or "BEST".
    network : str
        The network, as text.
    theirs : float or None
        The figure of the tutorial, or the accuracy that byhand promises. None if there is no
        figure.
    ways : tuple of Way
        How the network is trained. A later way is used if the earlier ones do not reach `theirs`.
    of : callable
        ``of(history)`` computes our figure from the epochs of one training.
    lower : bool
        Whether a lower figure is better: true for a loss, false for an accuracy in percent.
    seeds : int
        The smallest number of seeds to train with.
    """

    tutorial: str
    network: str
    theirs: float | None
    ways: tuple[Way, ...]
    of: Callable[[Sequence[EpochEnd]], float]
    lower: bool = False
    seeds: int = 0

    def met(self, ours: float, slack: float = 0.0) -> bool:
        """Compare our figure with the published one.

        Parameters
        ----------
        ours : float
            Our figure.
        slack : float
            The number of percentage points by which our accuracy may be lower than the figure. It
            is ignored for a loss.

        Returns
        -------
        bool
            Whether our figure is at least as good. True if there is no published figure.
        """
        if self.theirs is None:
            return True
        return ours <= self.theirs if self.lower else ours >= self.theirs - slack

    def reached(self, ours: float, images: int) -> bool:
        """Decide whether the table says "reached".

        Our accuracy may be lower than the published one by one standard error. Our loss may not be
        higher than the published one.

        Parameters
        ----------
        ours : float
            Our figure, the mean over the seeds.
        images : int
            The number of test images.

        Returns
        -------
        bool
            Whether our figure reaches the published one.

        Notes
        -----
        The standard error of an accuracy p, measured with n images, is sqrt(p * (1 - p) / n). Here
        p is the published accuracy.
        """
        p = (self.theirs or 0.0) / 100
        return self.met(ours, 0.0 if self.lower else 100 * math.sqrt(p * (1 - p) / images))


@dataclass(frozen=True)
class Row:
    """A row of the table: a network that was trained in one way, once with each seed.

    Parameters
    ----------
    figure : Figure
        The published figure.
    way : Way
        How the network was trained.
    histories : tuple of tuple of EpochEnd
        The epochs of each training. There is one training per seed.
    seconds : float
        The mean time of one training, in seconds.
    reached : bool
        Whether the mean over the seeds reaches the figure.
    """

    figure: Figure
    way: Way
    histories: tuple[tuple[EpochEnd, ...], ...]
    seconds: float
    reached: bool

    @property
    def values(self) -> tuple[float, ...]:
        """Our figure for each seed."""
        return tuple(self.figure.of(self.way.counted(history)) for history in self.histories)

    @property
    def ours(self) -> float:
        """Our figure, the mean over the seeds."""
        return statistics.fmean(self.values)


# --------------------------------------------------------------------------------------------------
# How our figure is computed from the epochs of a training


def last_accuracy(history: Sequence[EpochEnd]) -> float:
    """Return the test accuracy after the last of these epochs, in percent.

    Parameters
    ----------
    history : sequence of EpochEnd
        The epochs of a training.
    """
    accuracy = history[-1].validation_accuracy
    assert accuracy is not None
    return 100 * accuracy


def last_loss(history: Sequence[EpochEnd]) -> float:
    """Return the mean loss of the training images in the last epoch.

    Parameters
    ----------
    history : sequence of EpochEnd
        The epochs of a training.
    """
    return history[-1].loss


# --------------------------------------------------------------------------------------------------
# The figures


def _recipe(recipe: Recipe, model: Callable[..., Model]) -> Way:
    """Return the way to train a network with a recipe of byhand."""
    decay = f", weight decay {recipe.weight_decay:g}" if recipe.weight_decay else ""
    shift = f", moved by up to {recipe.max_shift} px" if recipe.max_shift else ""
    settings = (
        f"ours: {OPTIMIZERS[recipe.method].__name__}, one cycle up to {recipe.lr:g}{decay}{shift}, "
        f"batch {recipe.batch_size}, {recipe.epochs} epochs"
    )
    return Way(settings, model, recipe.trainer, recipe.epochs, recipe.batch_size)


def _book(model: Callable[..., Model]) -> Way:
    """Return the way to train a network with the settings of tutorial A."""

    def trainer(model: Model, images: int) -> Trainer:
        return Trainer(model, SGD(model.parameters(), 0.1, 0.9, weight_decay=5e-4))

    settings = "its own: SGD 0.1, momentum 0.9, L2 5e-4, batch 128; the pass of lowest test loss"
    return Way(
        settings, model, trainer, epochs=20, batch_size=128, published_epochs=100, best_pass=True
    )


def _fluid(model: Callable[..., Model]) -> Way:
    """Return the way to train a network with the settings of tutorial B."""

    def trainer(model: Model, images: int) -> Trainer:
        return Trainer(model, Adam(model.parameters(), 1e-3))

    return Way("its own: Adam 0.001, batch 64, 5 epochs", model, trainer, epochs=5, batch_size=64)


def _paddle2(model: Callable[..., Model]) -> Way:
    """Return the way to train a network with the settings of tutorial C."""

    def trainer(model: Model, images: int) -> Trainer:
        return Trainer(model, SGD(model.parameters(), 0.01))

    settings = "its own: squared error, SGD 0.01, batch 100, 10 epochs"
    return Way(settings, model, trainer, epochs=10, batch_size=100)


def _shortcuts(seed: int) -> Model:
    """Make a network with the parts that tutorial E explains.

    They are batch normalisation, a skip connection and dropout.
    """
    rng = generator(seed)
    inner = (Conv2d(16, 16, 3, padding=1, rng=rng), BatchNorm2d(16))
    return Model(
        *(Conv2d(1, 16, 5, padding=2, rng=rng), ReLU(), MaxPool2d(2), BatchNorm2d(16)),
        *(Residual(*inner), ReLU(), MaxPool2d(2)),
        *(Conv2d(16, 48, 3, padding=1, rng=rng), BatchNorm2d(48), ReLU()),
        *(GlobalAvgPool2d(), Flatten(), Dropout(0.1), Linear(48, 10, rng=rng)),
    )


_TANH_MLP = partial(mlp, (200, 200), "tanh")
_TANH_LENET = partial(lenet5, "tanh")

# Like those of `recipes.RECIPES`, these settings were chosen by the accuracy on held-out training
# images. With them, this accuracy was 99.22 %. With SGD and a learning rate of up to 0.1, it was
# 99.10 %.
_NORMALISED = Recipe(batch_norm_cnn, epochs=5, lr=ADAM_LR, batch_size=64, method="adam")

FIGURES = (
    Figure("A", "softmax regression", 90.01, (_book(softmax_regression),), last_accuracy),
    Figure("A", "MLP 128-64, ReLU", 94.95, (_book(mlp),), last_accuracy),
    Figure(
        "A",
        "LeNet-5",
        99.20,
        (_book(_TANH_LENET), _recipe(RECIPES["lenet5"], lenet5)),
        last_accuracy,
    ),
    Figure(
        *("B", "softmax regression", 92.34),
        (_fluid(softmax_regression), _recipe(RECIPES["softmax"], softmax_regression)),
        last_accuracy,
    ),
    Figure(
        *("B", "MLP 200-200, tanh", 97.66),
        (_fluid(_TANH_MLP), _recipe(RECIPES["mlp"], _TANH_MLP)),
        last_accuracy,
    ),
    Figure(
        *("B", "CNN with batch normalisation", 99.20),
        (_fluid(batch_norm_cnn), _recipe(_NORMALISED, batch_norm_cnn)),
        last_accuracy,
    ),
    Figure("C", "MLP 10-10-1, loss", None, (_paddle2(digit_mlp),), last_loss, lower=True),
    Figure("C", "CNN 20-20-1, loss", 1.1, (_paddle2(digit_cnn),), last_loss, lower=True),
    Figure(
        *("E", "CNN with normalisation, a skip connection and dropout", None),
        (_recipe(_NORMALISED, _shortcuts),),
        last_accuracy,
    ),
    Figure("BEST", "MLP 128-64, ReLU", 98.6, (_recipe(BEST["mlp"], mlp),), last_accuracy),
    Figure("BEST", "LeNet-5", 99.5, (_recipe(BEST["lenet5"], lenet5),), last_accuracy, seeds=5),
)


def train_figures(
    tutorials: Sequence[str],
    sets: Sets,
    *,
    seeds: int = 3,
    epochs: int | None = None,
    full: bool = False,
    told: Callable[[str], object] = print,
) -> Iterator[Row]:
    """Train the networks of the tutorials.

    Parameters
    ----------
    tutorials : sequence of str
        Names of `TUTORIALS`.
    sets : pair of Dataset
        The training and the test images of MNIST. Tutorial C trains on the first five sixths of the
        training images, as the tutorial does.
    seeds : int
        The number of seeds to train each network with. LeNet-5 of BEST gets at least 5, unless
        `epochs` is given.
    epochs : int, optional
        Train for at most this many epochs, for a quick try.
    full : bool
        Whether to train the networks of tutorial A for 100 epochs, as the tutorial does. Otherwise
        they are trained for 20 epochs.
    told : callable
        ``told(line)`` is called after each training, with the result as a line of text.

    Yields
    ------
    Row
        A row of the table. A network has one row for each way in which it was trained.
    """
    for figure in FIGURES:
        if figure.tutorial not in tutorials:
            continue
        for way in figure.ways:
            count = max(seeds, figure.seeds) if epochs is None else seeds
            length = (full and way.published_epochs) or way.epochs
            length = length if epochs is None else min(epochs, length)
            row = _row(figure, way, _sets_of(figure, sets), count, length, told)
            yield row
            if figure.met(row.ours):
                break


def _row(
    figure: Figure,
    way: Way,
    sets: Sets,
    seeds: int,
    epochs: int,
    told: Callable[[str], object],
) -> Row:
    """Train a network in one way, once with each seed, and return the row of the table."""
    histories, seconds = [], []
    for seed in range(seeds):
        start = time.perf_counter()
        trained = way.train(sets, seed, epochs)
        seconds.append(time.perf_counter() - start)
        histories.append(tuple(trained))
        told(
            f"{figure.tutorial}: {figure.network} ({way.settings.partition(':')[0]}), "
            f"seed {seed}: {figure.of(way.counted(trained)):.2f} after {seconds[-1]:.0f} s"
        )
    ours = statistics.fmean(figure.of(way.counted(history)) for history in histories)
    reached = figure.reached(ours, len(sets[1]))
    return Row(figure, way, tuple(histories), statistics.fmean(seconds), reached)


def _sets_of(figure: Figure, sets: Sets) -> Sets:
    """Return the training and the test set for a figure."""
    train, test = sets
    if figure.tutorial != "C":
        return sets
    most = 5 * len(train) // 6
    return Dataset(train.images[:most], train.labels[:most]), test
