"""Find the data that a run was trained on, and check whether other data are the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byhand.cli.data import load_for, locate
from byhand.cli.options import Pictures
from byhand.cli.output import fail, warn
from byhand.data import DataError, Dataset
from byhand.models import Model
from byhand.nn.losses import CrossEntropyLoss, Loss, MSELoss
from byhand.training.checked_data import check_data
from byhand.training.run_folder import RunFolder

_ALL = ("training", "test")


def load_of_run(
    model: Model, path: Path, root: Path | None, pictures: Pictures | None = None
) -> tuple[Dataset, Dataset]:
    """Load the data in `root` or, if it is None, the data of the run that the model is from.

    The function prints a warning if the data differs from that of the run. If `root` is None and
    no config.json is found (see `config_of`), the function reads the data that commands use without
    --data, and prints a warning.

    The training set of class folders is left empty, which saves time, with one exception: if
    config.json has no checksum of the data set, the images themselves are compared with those of
    the run.

    Parameters
    ----------
    model : Model
        The model.
    path : Path
        Where the model was loaded from: a run folder or a file.
    root : Path or None
        The folder of --data.
    pictures : Pictures, optional
        The option --pictures.

    Returns
    -------
    tuple of Dataset
        The training set and the test set.

    Raises
    ------
    DataError
        If `root` is None and the data of the run is not found, or if the model cannot take the
        data.
    """
    config = config_of(path)
    if config is None:
        sets = load_for(model, root, pictures, only_test=True)
        if root is None:
            warn(f"nothing says which data {path} was trained on: {sets[0].source} is used")
        return sets
    recorded = _recorded(config)
    folder = root or recorded
    if root is None and recorded is not None and not _holds_data(recorded):
        folder = None  # the data may have been moved to the default folder
    known = isinstance(config.get("data"), dict)  # the data set is recognised by its checksum
    sets = load_for(model, folder, pictures, only_test=known)
    differing = _differing(config, model, sets)
    here = sets[0].source
    if differing == _ALL and root is None and folder is None:
        was = "arrays in Python" if recorded is None else f"{recorded}, which holds no data now"
        raise DataError(
            f"{path} was trained on data from {was}, and the data in {here} are different: "
            "name the right folder with --data"
        )
    if differing:
        what = "data" if differing == _ALL else f"{differing[0]} images"
        warn(f"the {what} in {here} are not those of {path}: their checksum differs")
    return sets


def config_of(path: Path) -> Mapping[str, Any] | None:
    """Return the config.json of the run that a model belongs to.

    The result is None if there is no such file, or if it cannot be read.

    Parameters
    ----------
    path : Path
        A run folder, or a model file in one.
    """
    for folder in (path, path.parent, path.parent.parent):
        run = RunFolder(folder)
        files = (run.path, run.model_path, run.best_path)
        if path in files or path.parent == run.epochs_path:
            try:
                return run.config()
            except (OSError, ValueError):
                continue
    return None


def data_of(path: Path) -> Path | None:
    """Return the folder of a run's data, or None if it is unknown or no longer holds data.

    Parameters
    ----------
    path : Path
        A run folder, or a model file in one.
    """
    config = config_of(path)
    folder = None if config is None else _recorded(config)
    return folder if folder is not None and _holds_data(folder) else None


def data_to_resume(run: RunFolder) -> Path | None:
    """Return the folder of the data of a run that is resumed, or None if it is unknown.

    Parameters
    ----------
    run : RunFolder
        The run.

    Raises
    ------
    typer.Exit
        If the folder no longer holds data. A resumed run needs its own data.
    """
    folder = _recorded(run.config())
    if folder is not None and not _holds_data(folder):
        fail(
            f"{run.path} was trained on the data in {folder}, which holds no data now: name the "
            "folder of the same data with --data"
        )
    return folder


def _recorded(config: Mapping[str, Any]) -> Path | None:
    """Return the folder of the data set in config.json.

    If config.json describes no data set, return the folder that --data named. The result is None if
    config.json has neither of them.
    """
    try:
        data = config.get("data")
        folder = data["folder"] if data else config["notes"]["job"]["data"]
    except (LookupError, TypeError):
        return None
    return Path(folder) if isinstance(folder, str) else None


def _holds_data(folder: Path) -> bool:
    try:
        return locate(folder) is not None
    except DataError:
        return False


def _differing(
    config: Mapping[str, Any], model: Model, sets: tuple[Dataset, Dataset]
) -> tuple[str, ...]:
    """Return which images of the run are not in `sets`: "training", "test" or both.

    The checksum of the data set decides. If the run was trained on arrays, the config has no
    checksum of a data set, and the checksums of the arrays decide.
    """
    recorded, source = config.get("data"), sets[0].source
    if isinstance(recorded, dict) and source is not None:
        return () if recorded.get("checksum") == source.checksum else _ALL
    known = {name: crc for name, crc in dict(config.get("crc32") or {}).items() if crc is not None}
    losses: list[Loss] = [MSELoss()] if model.classes == 1 else [CrossEntropyLoss(), MSELoss()]
    found = {check_data("data", part, model, loss).checksum() for part in sets for loss in losses}
    missing = [name for name, crc in known.items() if crc not in found]
    if len(missing) == len(known):
        return _ALL
    return tuple({"train": "training", "validation": "test"}[name] for name in missing)
