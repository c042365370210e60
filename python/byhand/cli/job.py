"""The job of `byhand train`: its settings, from the options or from the run to resume."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from byhand.cli.options import Pictures
from byhand.cli.output import describe, fail
from byhand.cli.run_data import data_to_resume
from byhand.cli.stored_job import stored_settings
from byhand.cli.stored_model import advised, load_model
from byhand.data import DataError, Dataset
from byhand.data.folder import read_class_names
from byhand.files.tensors import CheckpointError
from byhand.models import Model
from byhand.training.augmentation import Warp
from byhand.training.recipes import ADAM_LR, BEST, RECIPES, Recipe
from byhand.training.run_folder import RunFolder

# The advice if a run cannot be resumed, because one of its files is damaged.
RESTORE = "put a copy of the file back, or train a new run with --from and a model file of this one"


class ModelName(str, Enum):
    """The networks."""

    softmax = "softmax"
    mlp = "mlp"
    lenet5 = "lenet5"


class RecipeName(str, Enum):
    """The sets of settings to start from."""

    default = "default"
    best = "best"


class Method(str, Enum):
    """The optimizers."""

    sgd = "sgd"
    adam = "adam"
    adamw = "adamw"


class Init(str, Enum):
    """The distributions of the initial weights."""

    uniform = "uniform"
    xavier_uniform = "xavier_uniform"
    xavier_normal = "xavier_normal"
    kaiming_uniform = "kaiming_uniform"
    kaiming_normal = "kaiming_normal"
    normal = "normal"
    zeros = "zeros"


class Activation(str, Enum):
    """The activations."""

    relu = "relu"
    tanh = "tanh"
    sigmoid = "sigmoid"


class Schedule(str, Enum):
    """The schedules of the learning rate."""

    onecycle = "onecycle"
    constant = "constant"


@dataclass(frozen=True)
class Job:
    """All settings that decide the results of a run, to the last bit.

    Parameters
    ----------
    model : ModelName
        The network.
    activation : Activation or None
        The activation of the hidden layers. It is None if the network has no hidden layers.
    hidden : tuple of int or None
        The widths of the hidden layers of an MLP. None stands for the default widths.
    recipe : Recipe
        The settings of the training.
    seed : int
        The seed of the initial weights and of the order of the images.
    data : Path or None
        The folder of --data.
    pictures : Pictures or None
        How the pictures of class folders are prepared. If it is None, a sample of the pictures
        decides: see `byhand.data.load_class_folders`.
    validation : float or None
        The share of the training images that is held out to measure every epoch. If it is None,
        the test images measure every epoch.
    class_names : tuple of str or None
        The names of the labels. If it is None, they come from the data set.
    start : Path or None
        The model of --from. The training starts with its weights.
    shape : tuple of int or None
        The shape of the images into which class folders are converted. It is given only if a run
        is resumed.
    note : str
        A note for the user about a learning rate that byhand has chosen.
    """

    model: ModelName
    activation: Activation | None
    hidden: tuple[int, ...] | None
    recipe: Recipe
    seed: int
    data: Path | None
    pictures: Pictures | None = None
    validation: float | None = None
    class_names: tuple[str, ...] | None = None
    start: Path | None = None
    shape: tuple[int, ...] | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """The network in a few words, such as "mlp 200-200, tanh"."""
        widths = "" if self.hidden is None else f" {'-'.join(map(str, self.hidden))}"
        activation = "" if self.activation is None else f", {self.activation.value}"
        return f"{self.model.value}{widths}{activation}"

    def new_model(self, train: Dataset) -> Model:
        """Make the model for the images and the classes of the training set.

        Parameters
        ----------
        train : Dataset
            The training set.

        Returns
        -------
        Model
            The model with initial weights.

        Raises
        ------
        DataError
            If there is only one class, or if the network cannot take the images.
        typer.BadParameter
            If the images cannot be prepared as --pictures says.
        """
        chosen: dict[str, Any] = {"init": self.recipe.init}
        if self.activation:
            chosen["activation"] = self.activation.value
        if self.hidden is not None:
            chosen["hidden"] = self.hidden
        size, names = train.images.shape[1:], train.class_names
        shape = size if len(size) == 3 else (1, *size)
        classes = max(10, int(train.labels.max(initial=0)) + 1) if names is None else len(names)
        if names is not None and classes == 1:
            where = "" if train.source is None else f"{train.source.folder}: "
            raise DataError(
                f"{where}only one class, {names[0]}: add another, or name the folder that holds "
                "the folders of all classes"
            )
        chosen |= {"input_shape": shape, "classes": classes}
        try:
            model = self.recipe.model(seed=self.seed, **chosen)
        except ValueError as error:
            raise DataError(f"{self.model.value} cannot take {train}: {error}") from None
        if names is not None:
            model.class_names = names
        try:
            model.pictures = self.pictures and self.pictures.value
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--pictures") from None
        return model

    def parts(self, sets: tuple[Dataset, Dataset]) -> tuple[Dataset, Dataset]:
        """Return the images to train with, and the images that measure every epoch.

        Parameters
        ----------
        sets : pair of Dataset
            The training set and the test set.

        Raises
        ------
        typer.BadParameter
            If --validation holds out too many or too few images.
        """
        if self.validation is None:
            return sets
        try:
            return sets[0].hold_out(self.validation)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--validation") from None

    def source(self) -> tuple[Model, str] | None:
        """Load the model of --from.

        Returns
        -------
        (model, which) or None
            The model, and the epoch of the run that it is from, in words. The result is None if the
            option was not given.

        Raises
        ------
        typer.Exit
            If there is no model at the path.
        """
        if self.start is None:
            return None
        try:
            return load_model(self.start, None)
        except (OSError, CheckpointError) as error:
            fail(f"--from: {describe(error)}")

    def start_from(self, source: Model, which: str, model: Model) -> str:
        """Copy the weights of the model of --from into a new model.

        Parameters
        ----------
        source : Model
            The model of --from.
        which : str
            The epoch of the run that `source` is from, in words. Empty if it is from a file.
        model : Model
            The model to change.

        Returns
        -------
        str
            Which weights were copied, and from where, in words.

        Raises
        ------
        typer.Exit
            If the two networks differ in more than the number of classes.
        """
        try:
            same = not model.start_from(source)
        except ValueError as error:
            fail(
                f"--from: {self.start} is another network than {self.title} for images "
                f"{model.input_shape}: {error}; byhand info {shlex.quote(str(self.start))} shows "
                "which network to train"
            )
        kept = "all weights" if same else "all weights but the last layer's: the classes differ"
        return f"{kept}; {self.start}" + (f", {which}" if which else "")

    def settings(self) -> dict[str, Any]:
        """Return the settings for a run's config.json, as JSON values that `job_of` takes."""
        own = {
            "model": self.model.value,
            "activation": None if self.activation is None else self.activation.value,
            "hidden": None if self.hidden is None else list(self.hidden),
            "seed": self.seed,
            "data": None if self.data is None else str(self.data.resolve()),
            "pictures": None if self.pictures is None else self.pictures.value,
            "validation": self.validation,
            "class_names": None if self.class_names is None else list(self.class_names),
            "start": None if self.start is None else str(self.start.resolve()),
        }
        settings = own | {name: getattr(self.recipe, name) for name in recipe_settings()}
        warp = self.recipe.augment
        return settings | {"augment": None if warp is None else warp.strengths()}


def job_of(settings: Mapping[str, Any]) -> Job:
    """Make a job.

    Parameters
    ----------
    settings : mapping
        Fields of Job and of Recipe, by name. A setting that is None counts as not given.

    Returns
    -------
    Job
        The job. Settings that are not given come from the network's recipe.

    Raises
    ------
    typer.BadParameter
        If no network is named, or if a setting is given that the network does not have.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if "model" not in given:
        raise typer.BadParameter(
            "name a network (softmax, mlp or lenet5), or a run with --resume RUN",
            param_hint="MODEL",
        )
    model = ModelName(given["model"])
    if "augment" in given:
        given["augment"] = Warp(**given["augment"])
    recipe, note = _recipe(
        (BEST if given.get("recipe") == RecipeName.best else RECIPES)[model.value],
        RECIPES[model.value],
        {name: given[name] for name in recipe_settings() if name in given},
    )
    return Job(
        model,
        _activation(model, given.get("activation")),
        _hidden(model, given.get("hidden")),
        recipe,
        given.get("seed", 0),
        Path(given["data"]) if "data" in given else None,
        Pictures(given["pictures"]) if "pictures" in given else None,
        given.get("validation"),
        tuple(given["class_names"]) if "class_names" in given else None,
        Path(given["start"]) if "start" in given else None,
        tuple(given["shape"]) if "shape" in given else None,
        note,
    )


def resumed_job(folder: Path, settings: Mapping[str, Any]) -> Job:
    """Make the job that resumes a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    settings : mapping
        Settings that replace those of the run, by name. A setting that is None counts as not given.
        If one of them must not change during a run, the trainer refuses it later.

    Returns
    -------
    Job
        The job.

    Raises
    ------
    typer.Exit
        If the folder does not have the settings of a `byhand train`, or if another network is
        named.
    """
    run = RunFolder(folder)
    with advised(folder, RESTORE, only_runs=True):
        config = run.config()
    try:
        stored = {**stored_settings(config), "shape": config["model"]["input_shape"]}
        job = job_of(stored)
    except (typer.BadParameter, KeyError, TypeError, ValueError) as error:
        reason = getattr(error, "message", error)
        fail(
            f"{run.config_path} does not have the settings of a `byhand train`: {reason}; to train "
            f"on with its weights: byhand train MODEL --from {shlex.quote(str(folder))}"
        )
    if settings["data"] is None:
        stored = {**stored, "data": data_to_resume(run)}
    given = {name: value for name, value in settings.items() if value is not None}
    if given.get("model", job.model) != job.model:
        other = ModelName(given["model"]).value
        fail(f"{folder} is a run of {job.model.value}, not of {other}: leave {other} out")
    return job_of({**stored, **given})


def class_names_of(text: str) -> list[str]:
    """Read the names of classes.

    Parameters
    ----------
    text : str
        The path of a text file with one name per line, or the names with commas between them.

    Returns
    -------
    list of str
        The names.

    Raises
    ------
    typer.BadParameter
        If there are no names.
    """
    try:
        is_file = Path(text).is_file()
    except OSError:  # a list of names may be too long for a path
        is_file = False
    if not is_file and "," not in text and Path(text).suffix:
        raise typer.BadParameter(
            f"{text} does not exist: name a text file with one name per line, or write the names "
            "with commas between them",
            param_hint="--class-names",
        )
    names = read_class_names(Path(text)) if is_file else text.split(",")
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise typer.BadParameter(f"{text!r} has no names", param_hint="--class-names")
    return names


def recipe_settings() -> list[str]:
    """Return the names of the settings that a recipe has."""
    return [field.name for field in dataclasses.fields(Recipe) if field.name != "model"]


def hidden_of(text: str) -> list[int]:
    """Read the widths of hidden layers.

    Parameters
    ----------
    text : str
        Whole numbers with commas between them, such as "200,200".

    Returns
    -------
    list of int
        The widths.

    Raises
    ------
    typer.BadParameter
        If the text is not such a list.
    """
    try:
        widths = [int(width) for width in text.split(",")]
    except ValueError:
        widths = []
    if not widths or min(widths) < 1:
        raise typer.BadParameter(
            f"{text!r} is not a list of widths: write whole numbers of at least 1 with commas "
            "between them, such as 200,200",
            param_hint="--hidden",
        )
    return widths


def _hidden(model: ModelName, wanted: Sequence[int] | None) -> tuple[int, ...] | None:
    if wanted is not None and model is not ModelName.mlp:
        raise typer.BadParameter(
            f"{model.value} has no hidden layers to choose; only mlp has them",
            param_hint="--hidden",
        )
    return None if wanted is None else tuple(wanted)


def _activation(model: ModelName, wanted: str | None) -> Activation | None:
    if model is not ModelName.softmax:
        return Activation(wanted or "relu")
    if wanted is not None:
        raise typer.BadParameter("softmax has no activation", param_hint="--activation")
    return None


def _recipe(recipe: Recipe, default: Recipe, changes: dict[str, Any]) -> tuple[Recipe, str]:
    """Return `recipe` with `changes`, and a note about the learning rate.

    If `changes` give another batch size than the recipe's, but no learning rate, the note says
    whether the learning rate was adapted to this batch size. In all other cases, it is empty.

    If `changes` name another optimizer than the recipe's, the learning rate changes too, unless
    `changes` give one. SGD gets the rate of `default`, the network's default recipe, which always
    uses SGD. Adam and AdamW get `ADAM_LR`. The weight decay of an AdamW recipe suits only AdamW,
    because AdamW decouples it from the gradient. Another optimizer gets the weight decay of
    `default` instead, unless `changes` give one.
    """
    changes = dict(changes)
    if changes.get("momentum") == 0:
        changes.setdefault("nesterov", False)
    method = changes.get("method", recipe.method)
    if method != recipe.method:
        rate = default.lr if method == default.method else ADAM_LR
        decay = default.weight_decay if recipe.method == "adamw" else recipe.weight_decay
        recipe = dataclasses.replace(recipe, method=method, lr=rate, weight_decay=decay)
    usual, note = recipe.batch_size, ""
    if "lr" not in changes and (size := changes.get("batch_size", usual)) != usual:
        changes["lr"] = recipe.lr_for(size)
        if changes["lr"] != recipe.lr:
            note = f"the rate is {recipe.lr:g} for batches of {usual}, so {changes['lr']:.3g} here"
        else:
            note = f"the rate is that of batches of {usual}: with a higher one, training may fail"
    return dataclasses.replace(recipe, **changes), note
