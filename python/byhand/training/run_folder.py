"""The files of a training run: their names, when they are written, and which epoch is its result.

The module `checkpoints` makes and reads the content of these files.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from byhand.checks import as_path
from byhand.files.atomic import opened, remove_temporaries, write_atomic, write_together
from byhand.files.tensors import CheckpointError
from byhand.models import Model
from byhand.models import load as load_file
from byhand.nn import Module
from byhand.training.checkpoints import (
    Checkpoint,
    config_text,
    history_bytes,
    read_config,
    read_history,
    read_state,
)
from byhand.training.events import EpochEnd
from byhand.training.run_settings import FREE, differences

# This key is in config.json until the first epoch is complete. If a folder has config.json and
# other files of a run, but no state.safetensors, the key tells two cases apart. With the key, the
# run completed no epoch, and a new run may use the folder. Without it, the run was trained and its
# state was deleted, so a new run must not overwrite the rest.
_NO_EPOCH_YET = "no_epoch_yet"


class ResumeError(ValueError):
    """A run cannot be resumed, because the data, the model or the settings differ from before."""


class NoSuchEpoch(CheckpointError):
    """A run does not keep the model of the epoch that was asked for. The message has advice."""


class ChosenEpoch(NamedTuple):
    """One epoch of a run.

    Attributes
    ----------
    path : Path
        The file with the model of this epoch.
    epoch : int
        The number of the epoch, counted from 1.
    description : str
        A description, such as "epoch 3 of 5, the one with the lowest loss on the validation
        images".
    """

    path: Path
    epoch: int
    description: str


class RunFolder:
    """The files of one training run. The notes of `Trainer.fit` say when they are written.

    Parameters
    ----------
    path : path
        The folder. It need not exist.

    Attributes
    ----------
    config_path : Path
        config.json: the settings of the run.
    metrics_path : Path
        metrics.jsonl: the history of the run, one line per epoch.
    model_path : Path
        model.safetensors: the model of the last epoch.
    best_path : Path
        best.safetensors: the model of the epoch with the lowest validation loss.
    state_path : Path
        state.safetensors: everything that a resumed run needs.
    curves_path : Path
        curves.png: the curves of loss and error.
    epochs_path : Path
        epochs/: the models of all epochs, if they are kept.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path("path", path)
        self.config_path = self.path / "config.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.model_path = self.path / "model.safetensors"
        self.best_path = self.path / "best.safetensors"
        self.state_path = self.path / "state.safetensors"
        self.curves_path = self.path / "curves.png"
        self.epochs_path = self.path / "epochs"

    def epoch_path(self, epoch: int) -> Path:
        """Return the path of the model of an epoch in a run that keeps every epoch.

        Parameters
        ----------
        epoch : int
        """
        return self.epochs_path / f"{epoch:05}.safetensors"

    @contextlib.contextmanager
    def begin(
        self, config: Mapping[str, Any], *, resume: bool = False
    ) -> Iterator[Checkpoint | None]:
        """Create the folder, write config.json, and lock the folder until the context ends.

        Parameters
        ----------
        config : mapping of JSON values
            The content of config.json. It must have the key "byhand", because the method
            `config` refuses a file without it.
        resume : bool
            Whether to continue the run that is in the folder.

        Yields
        ------
        Checkpoint or None
            The state of the resumed run after its last complete epoch, or None if a new run begins.
            In a resumed run, the lines of later epochs are removed from metrics.jsonl.

        Raises
        ------
        FileExistsError
            If the folder holds a trained run and `resume` is false, if it holds other files with
            the names of a run's files, or if another process is training a run in it.
        ResumeError
            If the resumed run was begun with other settings.
        CheckpointError
            If the files of the resumed run are damaged.
        OSError
            If the folder is not writable.
        """
        text = config_text(config)
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(
                f"{self.path} is not a folder, so it cannot be a run folder: choose another path"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        with opened(self.path) as folder:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileExistsError(
                    f"{self.path} is the folder of a run that is going on: choose another folder"
                ) from None
            except OSError:
                pass  # a file system without locks
            self._check_nothing_is_lost(resume)
            checkpoint = None
            if resume and self.config_path.exists():
                old, new = self.config(), json.loads(text)
                old.pop(_NO_EPOCH_YET, None)
                self._check_same_settings(old, new)
                checkpoint = self._last_epoch(new["epochs"])
                text = config_text({**old, **{name: new[name] for name in (*FREE, "schedule")}})
            for path in (*self._files(), self.epochs_path / "*.safetensors"):
                remove_temporaries(path)
            if checkpoint is None:
                text = config_text({**json.loads(text), _NO_EPOCH_YET: True})
            write_atomic(self.config_path, text.encode())
            if checkpoint is not None:
                write_atomic(self.metrics_path, history_bytes(checkpoint.history))
            yield checkpoint

    def _files(self) -> list[Path]:
        """Return the paths of all files that a run may have here, kept epochs included."""
        return [
            *(self.config_path, self.metrics_path, self.model_path, self.best_path),
            *(self.state_path, self.curves_path, *sorted(self.epochs_path.glob("*.safetensors"))),
        ]

    def _check_nothing_is_lost(self, resume: bool) -> None:
        """Raise FileExistsError if the training would overwrite files of another run or program."""
        found = [path for path in self._files() if os.path.lexists(path)]
        if self.state_path in found:
            if not resume:
                raise FileExistsError(
                    f"{self.path} already holds a trained run: choose another folder or remove it"
                )
            if self.config_path not in found:
                raise FileExistsError(
                    f"{self.path} holds a trained run without its {self.config_path.name}, so the "
                    "run cannot go on, and training would overwrite it: put that file back, or "
                    "choose another folder"
                )
        elif found and not self._is_without_epochs(found):
            names = ", ".join(str(path.relative_to(self.path)) for path in found)
            advice = f", but no {self.state_path.name} to go on from" if resume else ""
            raise FileExistsError(
                f"{self.path} holds {names}, which training would overwrite{advice}: "
                "choose another folder"
            )

    def _is_without_epochs(self, found: list[Path]) -> bool:
        """Return whether the files `found` are those of a run that completed no epoch."""
        try:
            config = self.config()
        except (OSError, CheckpointError):
            return False
        return _NO_EPOCH_YET in config or found == [self.config_path]

    # ----------------------------------------------------------------------------------------------
    # Reading

    def config(self) -> dict[str, Any]:
        """Return the content of config.json.

        Raises
        ------
        OSError, CheckpointError
            If the file cannot be read, or is not the file of a run.
        """
        return read_config(self._existing(self.config_path))

    def history(self) -> list[EpochEnd]:
        """Return the epochs that metrics.jsonl lists, at least one.

        Raises
        ------
        OSError, CheckpointError
            If the file cannot be read, or does not list epochs.
        """
        return read_history(self._existing(self.metrics_path))

    def _existing(self, path: Path) -> Path:
        """Return `path` if the file exists, otherwise raise an error that says why it does not.

        `path` must be one of the files that every run has after its first epoch.
        """
        if os.path.lexists(path):
            return path
        found = [path.name for path in self._files() if os.path.lexists(path)]
        if set(found) - {self.config_path.name}:
            reason = f"it is missing from the run, which has {', '.join(found)}"
        else:
            reason = "no epoch of the run was finished" if found else "it is not a run folder"
        raise FileNotFoundError(f"{self.path} holds no {path.name}: {reason}")

    def choose(self, epoch: int | str | None = None) -> ChosenEpoch:
        """Choose an epoch of the run. All commands and `byhand.load` choose by this method.

        Parameters
        ----------
        epoch : {"best", "last"} or int, optional
            "best" is the epoch with the lowest validation loss. Numbers are counted from 1. The
            models of epochs that are neither the best nor the last one exist only if the run kept
            every epoch. By default, the method chooses the best epoch if the run was validated
            with `Trainer.fit(choose_by_validation=True)`, otherwise the last one.

        Returns
        -------
        ChosenEpoch

        Raises
        ------
        ValueError
            If `epoch` is none of these. The error is a CheckpointError, a subclass of ValueError,
            if the run does not keep the model of this epoch.
        FileNotFoundError
            If no epoch of the run was finished, or the folder is not a run folder.
        """
        wanted = int(epoch) if isinstance(epoch, np.integer) else epoch
        if isinstance(wanted, str) and wanted.isdecimal():
            wanted = int(wanted)
        if wanted not in (None, "best", "last") and (type(wanted) is not int or wanted < 1):
            raise ValueError(f"epoch must be 'best', 'last' or a number from 1, not {epoch!r}")
        config, history = self._finished()
        last = history[-1].epoch
        best = next((end.epoch for end in reversed(history) if end.best), None)
        if wanted is None:
            wanted = config.get("counts", "last" if best is None else "best")
        if wanted == "best":
            if best is None:
                raise NoSuchEpoch(
                    f"{self.path} has no best epoch, because the run had no validation images: "
                    "choose the last one"
                )
            wanted = best
        number = last if wanted == "last" else int(wanted)
        path = {best: self.best_path, last: self.model_path}.get(number, self.epoch_path(number))
        if number in (best, last):
            self._existing(path)
        elif not path.exists():
            kept = f"{last} (last)" if best is None else f"{best} (best) and {last} (last)"
            raise NoSuchEpoch(
                f"{self.path} keeps no model of epoch {number}, only of {kept}: "
                "train with --keep-epochs to keep each one"
            )
        notes = config.get("notes")
        validation = notes.get("validation") if isinstance(notes, dict) else None
        lowest = f"the one with the lowest loss on {validation or 'the validation images'}"
        reasons = ["the last one"] * (number == last) + [lowest] * (number == best)
        reason = f", {' and '.join(reasons)}" if reasons else ""
        return ChosenEpoch(path, number, f"epoch {number} of {last}{reason}")

    def _finished(self) -> tuple[dict[str, Any], list[EpochEnd]]:
        """Return config and history of a run. Raise FileNotFoundError if no epoch was finished."""
        if not self.metrics_path.exists():
            self._existing(self.model_path)
        history = self.history()
        return (self.config() if self.config_path.exists() else {}), history

    def _check_same_settings(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Raise ResumeError if a setting differs that must be the same in a resumed run."""
        if lines := differences(old, new):
            raise ResumeError(
                f"{self.path} cannot go on with other data or settings than it was begun with:"
                + "".join(f"\n  {line}" for line in lines)
                + "\nLeave these as they were, or train into another folder."
            )

    def _last_epoch(self, epochs: int) -> Checkpoint | None:
        """Return the state of the run after its last complete epoch, or None if it has no epoch.

        Raise ResumeError if the run already has more than `epochs` epochs.
        """
        if not self.state_path.exists():
            return None
        tensors, description = read_state(self.state_path)
        epoch, history = description["epoch"], self.history()
        if len(history) < epoch:
            raise CheckpointError(
                f"{self.metrics_path} does not have all {epoch} epochs of the run"
            )
        if epochs < epoch:
            raise ResumeError(
                f"epochs must be at least {epoch}, because {self.path} already has {epoch} epochs"
            )
        return Checkpoint(self.state_path, tensors, description, history[:epoch])

    # ----------------------------------------------------------------------------------------------
    # Writing

    def write_epoch(
        self, history: Sequence[EpochEnd], model: bytes, state: bytes, *, keep: bool = False
    ) -> None:
        """Write the files of an epoch. If one of them cannot be written, none of them changes.

        Parameters
        ----------
        history : sequence of EpochEnd
            All epochs so far. If `best` of the last epoch is true, best.safetensors is written too.
        model : bytes
            The content of model.safetensors.
        state : bytes
            The content of state.safetensors. This file is renamed to its final name after the model
            files and metrics.jsonl. So if state.safetensors is new, they are new too. A resumed run
            continues after the epoch that state.safetensors names.
        keep : bool
            Whether the model is also written to `epoch_path`.
        """
        last = history[-1]
        kept = {self.epoch_path(last.epoch): model} if keep else {}
        if keep:
            self.epochs_path.mkdir(exist_ok=True)
        best = {self.best_path: model} if last.best else {}
        files = {**kept, self.model_path: model, **best, self.metrics_path: history_bytes(history)}
        files[self.state_path] = state
        with contextlib.suppress(FileNotFoundError):
            config = self.config()
            if config.pop(_NO_EPOCH_YET, None):
                files[self.config_path] = config_text(config).encode()
        write_together(files)


def load(
    path: str | os.PathLike[str],
    epoch: int | str | None = None,
    *,
    layers: Iterable[type[Module]] = (),
) -> Model:
    """Load a model from a file that `Model.save` wrote, or from the run folder of a training.

    Parameters
    ----------
    path : path
        A .safetensors file or a run folder.
    epoch : {"best", "last"} or int, optional
        The epoch of a run folder. By default, `RunFolder.choose` chooses the epoch with the lowest
        validation loss if the run was trained with `Trainer.fit(choose_by_validation=True)` and
        validation images, otherwise the last one.
    layers : iterable of classes
        The classes of the user's own layers in the model. A file names its layers but has no code,
        so loading a file never executes code from it.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be read, or no epoch of the run was finished.
    CheckpointError
        If the file is damaged or not a model, or the run does not keep the model of this epoch.
    ValueError
        If `path` is a file and `epoch` is given, or if `epoch` is not an epoch.
    """
    if as_path("path", path).is_dir():
        return load_file(RunFolder(path).choose(epoch).path, layers=layers)
    if epoch is not None:
        raise ValueError(f"epoch must be left out for {path}: it is not a run folder")
    return load_file(path, layers=layers)
