"""Check those steps of the tutorials that have no published figure, with one check per step.

A figure is a result that a tutorial states: an accuracy or a loss (`figures.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from byhand.data import Dataset, load_class_folders
from byhand.models import Model
from byhand.pictures import image_for
from byhand.pictures.drawings import drawing_png
from byhand.pictures.folders import write_pictures
from byhand.reproduce.figures import Row, Sets
from byhand.training.recipes import RECIPES

# The number of images for the search over settings, and the number of images that are converted to
# PNG files and back.
_SEARCHED, _CONVERTED = 5000, 500


class Check(NamedTuple):
    """The outcome of a check.

    Attributes
    ----------
    tutorial : str
        The letter of the tutorial.
    what : str
        What is checked, as text.
    result : str
        The result, as text.
    passed : bool or None
        Whether the check has passed. None if there is no criterion, or if a package is missing.
    """

    tutorial: str
    what: str
    result: str
    passed: bool | None


def run_checks(
    tutorials: Sequence[str], rows: Sequence[Row], sets: Sets, *, epochs: int | None = None
) -> Iterator[Check]:
    """Run the checks of the tutorials.

    Parameters
    ----------
    tutorials : sequence of str
        Names of `TUTORIALS`.
    rows : sequence of Row
        The rows of the table of figures. The check of tutorial C compares two of them.
    sets : pair of Dataset
        The training and the test images of MNIST.
    epochs : int, optional
        Train for at most this many epochs, for a quick try.

    Yields
    ------
    Check
        The outcome of each check.
    """
    if "C" in tutorials:
        yield cnn_below_mlp(rows)
    if "D" in tutorials:
        yield there_and_back(sets[1])
        yield drawings_read(_lenet(sets, epochs))
    if "E" in tutorials:
        yield search(sets, epochs)


def cnn_below_mlp(rows: Sequence[Row]) -> Check:
    """Check that the CNN's mean loss over the seeds is below the MLP's in every epoch.

    Parameters
    ----------
    rows : sequence of Row
        The rows of the table. Two of them belong to tutorial C: first the MLP, then the CNN.

    Returns
    -------
    Check
        The outcome.
    """
    mlp, cnn = (
        np.mean([[end.loss for end in history] for history in row.histories], axis=0)
        for row in rows
        if row.figure.tutorial == "C"
    )
    losses = ", ".join(f"{b:.2f} / {a:.2f}" for a, b in zip(mlp, cnn, strict=True))
    what = "the CNN's loss is below the MLP's from the first epoch on"
    return Check("C", what, f"CNN / MLP: {losses}", bool((cnn < mlp).all()))


def there_and_back(test: Dataset) -> Check:
    """Check that images written as PNG files in class folders are read back unchanged.

    Parameters
    ----------
    test : Dataset
        The test images of MNIST. At most 500 of them are used.

    Returns
    -------
    Check
        The outcome.
    """
    some = Dataset(test.images[:_CONVERTED], test.labels[:_CONVERTED])
    with tempfile.TemporaryDirectory(prefix="byhand-") as folder:
        write_pictures(Path(folder) / "png", some, some)
        again, _ = load_class_folders(Path(folder) / "png", pictures="plain")
    same = np.array_equal(again.images, some.images)
    same = same and np.array_equal(again.labels, some.labels)
    result = f"{len(some)} images, {'every byte as it was' if same else 'changed'}"
    return Check("D", "IDX to PNG and back", result, bool(same))


def drawings_read(model: Model) -> Check:
    """Check that the model recognizes ten drawings in different colours and sizes.

    Parameters
    ----------
    model : Model
        A trained model.

    Returns
    -------
    Check
        The outcome.
    """
    images = np.stack([image_for(model, drawing_png(digit))[0] for digit in range(10)])
    right = int(np.count_nonzero(model.predict(images) == np.arange(10)))
    return Check("D", "ten drawings, read by LeNet-5", f"{right} right", right == 10)


def _lenet(sets: Sets, epochs: int | None) -> Model:
    recipe, (train, _) = RECIPES["lenet5"], sets
    model = recipe.model(seed=0)
    count = recipe.epochs if epochs is None else min(epochs, recipe.epochs)
    recipe.trainer(model, len(train), progress=False).fit(
        train, epochs=count, batch_size=recipe.batch_size
    )
    return model


def search(sets: Sets, epochs: int | None) -> Check:
    """Search for the best layers, activation, initial weights and optimizer.

    The search compares the settings by 3-fold cross-validation.

    Parameters
    ----------
    sets : pair of Dataset
        The training and the test images of MNIST.
    epochs : int or None
        Train for at most this many epochs. If it is None, each network is trained for 5 epochs.

    Returns
    -------
    Check
        The best settings and their accuracy. The check has no criterion.
    """
    what = "search over layers, activation, initial weights, optimizer"
    try:
        from sklearn.model_selection import GridSearchCV

        from byhand.sklearn import DigitClassifier
    except ModuleNotFoundError as error:
        return Check("E", what, f"left out: {error.name} is not installed", None)
    train, test = sets
    grid = {
        "hidden_layer_sizes": [(64,), (128, 64)],
        "activation": ["relu", "tanh"],
        "init": ["uniform", "kaiming_normal"],
        "optimizer": ["sgd", "adam"],
    }
    classifier = DigitClassifier(epochs=5 if epochs is None else min(epochs, 5), random_state=0)
    found = GridSearchCV(classifier, grid, cv=3)
    found.fit(train.images[:_SEARCHED], train.labels[:_SEARCHED])
    accuracy = found.score(test.images, test.labels)
    best = ", ".join(f"{name} {value}" for name, value in sorted(found.best_params_.items()))
    count = len(found.cv_results_["params"])
    images = min(_SEARCHED, len(train))
    result = f"best of {count}, trained on {images:,} images: {best}; {100 * accuracy:.2f} %"
    return Check("E", what, result, None)
