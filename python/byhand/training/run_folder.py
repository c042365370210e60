"""The files of a training run: their names, when they are written, and which epoch counts.

`checkpoints` makes and reads their content.
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

# This key is in config.json until the first epoch is complete. A folder that holds files of a run
# but no state.safetensors may be used again only if the key is there: without it, the state of a
# trained run has been deleted.
_NO_EPOCH_YET = "no_epoch_yet"


class ResumeError(ValueError):
    """A run cannot continue as it was asked to, because data, model or settings differ."""


class ChosenEpoch(NamedTuple):
    """One epoch of a run.

    Attributes
    ----------
    path : Path
        The file with its model.
    epoch : int
        Its number.
    description : str
        Which epoch it is: "epoch 3 of 5, the one with the lowest loss on the validation images".
    """

    path: Path
    epoch: int
    description: str


class RunFolder:
    """The files of one training run. `Trainer.fit` says when they are written.

    Parameters
    ----------
    path : path
        The folder. It need not exist.

    Attributes
    ----------
    config_path : Path
        config.json: the settings of the run.
    metrics_path : Path
        metrics.jsonl: a line per epoch.
    model_path : Path
        model.safetensors: the model of the last epoch.
    best_path : Path
        best.safetensors: the model of the epoch with the lowest validation loss.
    state_path : Path
        state.safetensors: everything that a resumed run needs.
    curves_path : Path
        curves.png: a picture of the history.
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
        """Return the path of the model of an epoch, for runs that keep every epoch.

        Parameters
        ----------
        epoch : int
        """
        return self.epochs_path / f"{epoch:05}.safetensors"

    @contextlib.contextmanager
    def begin(
        self, config: Mapping[str, Any], *, resume: bool = False
    ) -> Iterator[Checkpoint | None]:
        """Create the folder, write config.json, and lock the folder against other runs.

        Parameters
        ----------
        config : mapping of JSON values
            The content of config.json. It must have the key "byhand". By this key, the folder of a
            run that ended before its first epoch is recognized, and may be used again.
        resume : bool
            Whether to continue a run that is in the folder.

        Yields
        ------
        Checkpoint or None
            The last complete epoch of the run that continues. Later lines of metrics.jsonl are
            removed. None if a new run begins.

        Raises
        ------
        FileExistsError
            If the folder holds a trained run (without `resume`), files of these names that no run
            wrote, or a run that another process is training.
        ResumeError
            If a run that is to continue was begun with other settings.
        CheckpointError
            If its files are damaged.
        OSError
            If the folder is not writable.
        """
        text = config_text(config)
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path} is not a folder, so it cannot be that of a run")
        self.path.mkdir(parents=True, exist_ok=True)
        with opened(self.path) as folder:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileExistsError(
                    f"{self.path} is the folder of a run that is going on: choose another"
                ) from None
            except OSError:
                pass  # a file system without locks
            self._refuse_what_it_would_overwrite(resume)
            checkpoint = None
            if resume and self.config_path.exists():
                old, new = self.config(), json.loads(text)
                old.pop(_NO_EPOCH_YET, None)
                self._refuse_another_run(old, new)
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

    def _refuse_what_it_would_overwrite(self, resume: bool) -> None:
        found = [path for path in self._files() if os.path.lexists(path)]
        if self.state_path in found:
            if not resume:
                raise FileExistsError(
                    f"{self.path} already holds a trained run: choose another folder or remove it"
                )
            if self.config_path not in found:
                raise FileExistsError(
                    f"{self.path} holds a trained run without its {self.config_path.name}, so it "
                    "cannot go on and training would overwrite it: put that file back, or choose "
                    "another folder"
                )
        elif found and not self._may_be_taken_again(found):
            names = ", ".join(str(path.relative_to(self.path)) for path in found)
            advice = f", but no {self.state_path.name} to go on from" if resume else ""
            raise FileExistsError(
                f"{self.path} holds {names}, which training would overwrite{advice}: "
                "choose another folder"
            )

    def _may_be_taken_again(self, found: list[Path]) -> bool:
        """Return whether a run was begun here and completed no epoch."""
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
        """Return `path`, which every run with an epoch has, or raise an error that says why not."""
        if os.path.lexists(path):
            return path
        found = [path.name for path in self._files() if os.path.lexists(path)]
        if set(found) - {self.config_path.name}:
            reason = f"it is missing from the run, which has {', '.join(found)}"
        else:
            reason = "no epoch of it was finished" if found else "it is not a run folder"
        raise FileNotFoundError(f"{self.path} holds no {path.name}: {reason}")

    def choose(self, epoch: int | str | None = None) -> ChosenEpoch:
        """Choose an epoch of the run, by the rule of every command and of `byhand.load`.

        Parameters
        ----------
        epoch : {"best", "last"} or int, optional
            "best" has the lowest validation loss. A number, counted from 1, needs a run that kept
            every epoch, unless it is the best or the last one. By default it is the best epoch if
            the run chose by validation (`Trainer.fit(choose_by_validation=True)`), and otherwise
            the last one.

        Returns
        -------
        ChosenEpoch

        Raises
        ------
        ValueError
            If `epoch` is none of these. CheckpointError, a ValueError, if the run does not keep it.
        FileNotFoundError
            If no epoch of the run was finished, or this is no run folder.
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
                raise CheckpointError(f"{self.path} has no best epoch: it had no validation images")
            wanted = best
        number = last if wanted == "last" else int(wanted)
        path = {best: self.best_path, last: self.model_path}.get(number, self.epoch_path(number))
        if number in (best, last):
            self._existing(path)
        elif not path.exists():
            kept = f"{last} (last)" if best is None else f"{best} (best) and {last} (last)"
            raise CheckpointError(
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
        """Return config and epochs of a run that has an epoch. The errors are those of `choose`."""
        if not self.metrics_path.exists():
            self._existing(self.model_path)
        history = self.history()
        return (self.config() if self.config_path.exists() else {}), history

    def _refuse_another_run(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        if lines := differences(old, new):
            raise ResumeError(
                f"{self.path} cannot go on with other data or settings than it was begun with:"
                + "".join(f"\n  {line}" for line in lines)
                + "\nLeave these as they were, or train into another folder."
            )

    def _last_epoch(self, epochs: int) -> Checkpoint | None:
        """Return the last complete epoch, or None. Raise ResumeError if it is beyond `epochs`."""
        if not self.state_path.exists():
            return None
        tensors, description = read_state(self.state_path)
        epoch, history = description["epoch"], self.history()
        if len(history) < epoch:
            raise CheckpointError(f"{self.metrics_path} has not all of the run's {epoch} epochs")
        if epochs < epoch:
            raise ResumeError(f"epochs must be at least {epoch}, which {self.path} has already")
        return Checkpoint(self.state_path, tensors, description, history[:epoch])

    # ----------------------------------------------------------------------------------------------
    # Writing

    def write_epoch(
        self, history: Sequence[EpochEnd], model: bytes, state: bytes, *, keep: bool = False
    ) -> None:
        """Write the files of an epoch. If the disk has no room for one of them, none changes.

        Parameters
        ----------
        history : sequence of EpochEnd
            All epochs so far, the lines of metrics.jsonl. The last one says whether the model is
            the best.
        model : bytes
            The content of the model's file.
        state : bytes
            The content of state.safetensors. It is written last: with it, the epoch is part of the
            run.
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
        Which epoch of a run folder. By default it is the one that `RunFolder.choose` chooses: the
        best one if a validation set chose, otherwise the last one.
    layers : iterable of classes
        The classes of the user's own layers that the model has. Nothing is executed from a file.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be read, or no epoch of the run was finished.
    CheckpointError
        If the file is damaged or not a model, or the run does not keep this epoch.
    ValueError
        If `epoch` is given for a file, or is not an epoch.
    """
    if as_path("path", path).is_dir():
        return load_file(RunFolder(path).choose(epoch).path, layers=layers)
    if epoch is not None:
        raise ValueError(f"epoch must be left out for {path}: it is not a run folder")
    return load_file(path, layers=layers)
