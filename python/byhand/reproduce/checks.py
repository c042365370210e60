"""Steps of the tutorials that have no figure: each check does one and reports the outcome."""

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

# Images for the search, and for the way to PNG and back.
_SEARCHED, _CONVERTED = 5000, 500


class Check(NamedTuple):
    """passed: None where there is nothing to pass, or it could not be done."""

    tutorial: str
    what: str
    result: str
    passed: bool | None


def run_checks(
    tutorials: Sequence[str], rows: Sequence[Row], sets: Sets, *, epochs: int | None = None
) -> Iterator[Check]:
    """The checks of these tutorials; rows: what was trained before. epochs: at most so many."""
    if "C" in tutorials:
        yield cnn_below_mlp(rows)
    if "D" in tutorials:
        yield there_and_back(sets[1])
        yield drawings_read(_lenet(sets, epochs))
    if "E" in tutorials:
        yield search(sets, epochs)


def cnn_below_mlp(rows: Sequence[Row]) -> Check:
    """Tutorial C's finding, in every epoch, each network's mean over the seeds."""
    mlp, cnn = (
        np.mean([[end.loss for end in history] for history in row.histories], axis=0)
        for row in rows
        if row.figure.tutorial == "C"
    )
    costs = ", ".join(f"{b:.2f} / {a:.2f}" for a, b in zip(mlp, cnn, strict=True))
    what = "the CNN's cost is below the MLP's from the first epoch on"
    return Check("C", what, f"CNN / MLP: {costs}", bool((cnn < mlp).all()))


def there_and_back(test: Dataset) -> Check:
    """Images become PNG files in folders of their labels, and images again."""
    some = Dataset(test.images[:_CONVERTED], test.labels[:_CONVERTED])
    with tempfile.TemporaryDirectory(prefix="byhand-") as folder:
        write_pictures(Path(folder) / "png", some, some)
        again, _ = load_class_folders(Path(folder) / "png", pictures="plain")
    same = np.array_equal(again.images, some.images)
    same = same and np.array_equal(again.labels, some.labels)
    result = f"{len(some)} images, {'every byte as it was' if same else 'changed'}"
    return Check("D", "IDX to PNG and back", result, bool(same))


def drawings_read(model: Model) -> Check:
    """Ten drawings in ten colours and sizes, as `byhand predict` reads them."""
    images = np.stack([image_for(model, drawing_png(digit))[0] for digit in range(10)])
    right = int(np.count_nonzero(model.predict(images) == np.arange(10)))
    return Check("D", "ten drawings of one's own, read by LeNet-5", f"{right} right", right == 10)


def _lenet(sets: Sets, epochs: int | None) -> Model:
    recipe, (train, _) = RECIPES["lenet5"], sets
    model = recipe.model(seed=0)
    count = recipe.epochs if epochs is None else min(epochs, recipe.epochs)
    recipe.trainer(model, len(train), progress=False).fit(
        train, epochs=count, batch_size=recipe.batch_size
    )
    return model


def search(sets: Sets, epochs: int | None) -> Check:
    """Layers and units, activation, first weights and optimizer, each combination on 3 folds."""
    what = "search over layers, activation, first weights, optimizer"
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
