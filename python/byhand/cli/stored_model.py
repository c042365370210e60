"""Load the model that a command names. If that fails, say what to do next."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import typer

from byhand import models
from byhand.cli.output import describe
from byhand.files.tensors import CheckpointError
from byhand.training.run_folder import NoSuchEpoch, RunFolder

_DAMAGED = "put a copy of the file back, or name another model file of the run"


def load_model(path: Path, epoch: str | None) -> tuple[models.Model, str]:
    """Load the model in a run folder or a file.

    Parameters
    ----------
    path : Path
        A run folder or a .safetensors file.
    epoch : str or None
        The option --epoch, for a run folder.

    Returns
    -------
    model : Model
        The model.
    which : str
        The epoch of the run that the model is from, in words. Empty if `path` is a file.

    Raises
    ------
    typer.BadParameter
        If the run has no such epoch, or if `epoch` is given and `path` is a file.
    CheckpointError
        If there is no model at the path. The error says what to do next.
    """
    with advised(path):
        if not path.is_dir():
            if epoch is not None and path.exists():
                raise typer.BadParameter(
                    f"{path} is a file: name its run folder, or leave --epoch out",
                    param_hint="--epoch",
                )
            return models.load(path), ""
        try:
            chosen = RunFolder(path).choose(epoch)
        except CheckpointError:
            raise
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--epoch") from None
        return models.load(chosen.path), chosen.description


@contextlib.contextmanager
def advised(path: Path, damaged: str = _DAMAGED, *, only_runs: bool = False) -> Iterator[None]:
    """Add advice to an error about a run folder or a model file, inside a with statement.

    Parameters
    ----------
    path : Path
        The path that the user has named.
    damaged : str
        The advice if the path is a run with a damaged file.
    only_runs : bool
        Whether the command takes run folders only, and no model files.

    Raises
    ------
    CheckpointError
        If the block raises FileNotFoundError or CheckpointError. The new error has the advice.
    """
    try:
        yield
    except NoSuchEpoch:
        raise  # its message has advice
    except (FileNotFoundError, CheckpointError) as error:
        if isinstance(error, OSError) and error.errno is not None and path.exists():
            raise  # the system's error for another file, such as one that cannot be written
        run, reason = RunFolder(path), describe(error)
        has_epoch = run.model_path.exists() or run.state_path.exists()
        if not path.exists():
            reason, advice = f"{path} does not exist", _what_to_name(only_runs)
        elif not has_epoch and not run.config_path.exists():
            advice = _what_to_name(only_runs)
        elif not has_epoch and isinstance(error, FileNotFoundError):
            advice = f"to continue it: {shlex.join(['byhand', 'train', '--resume', str(path)])}"
        else:
            advice = damaged
        raise CheckpointError(f"{reason}; {advice}") from None


def newest_run() -> Path | None:
    """Return the run in the folder runs whose model was written last, or None."""
    runs = (path for path in Path("runs").glob("*") if RunFolder(path).model_path.is_file())
    return max(runs, key=lambda path: RunFolder(path).model_path.stat().st_mtime, default=None)


def _what_to_name(only_runs: bool) -> str:
    newest = newest_run()
    if newest is None:
        other = "" if only_runs else " or a model file"
        return f"name a run folder{other}; byhand train lenet5 makes a run folder"
    other = "" if only_runs else ", or a model file"
    return f"name a run folder, such as {newest}{other}"
