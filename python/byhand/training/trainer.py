"""`Trainer`: the loop over epochs and batches."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Sequence

from byhand.optim.averages import WeightAverage
from byhand.training.batches import BatchScore, epoch_means
from byhand.training.checked_data import DatasetLike
from byhand.training.checkpoints import Checkpoint, state_bytes
from byhand.training.evaluation import Evaluation, measure
from byhand.training.events import (
    BatchEnd,
    CheckpointSaved,
    EpochEnd,
    Evaluated,
    Event,
    StopTraining,
    TrainingEnded,
    TrainingStarted,
)
from byhand.training.history import History
from byhand.training.progress import open_progress
from byhand.training.session import Session, TrainerSettings


class Trainer(TrainerSettings):
    """Trains a model with an optimizer over its parameters.

    Parameters
    ----------
    model : Model
        If `eval` was called on a batch normalization or dropout layer, it keeps computing as in
        inference, because each layer trains in its own mode. `fit` warns if the whole model is in
        inference mode.
    optimizer : Optimizer
        It has parameters of the model, all of them or some.
    loss : Loss, optional
        CrossEntropyLoss() if it is not given, or MSELoss() if the model has one output. Its
        reduction must be "mean".
    schedule : callable, optional
        A function from the number of a training step to the learning rate. Steps are counted from 0
        over all calls of `fit`. If it is not given, `optimizer.lr` stays as it is.
    device : {"cpu"}
        Where the model computes.
    handlers : iterable of callables
        Each is called with every event, such as `BatchEnd`. An exception that one raises ends the
        training. `StopTraining` ends it as if the epochs were over. If a handler changes the
        optimizer no later than at the event `Evaluated`, the change is saved with that epoch, so a
        resumed run has it.
    run : path, optional
        The run folder: see `RunFolder` for its files. If it is not given, nothing is written.
    notes : mapping, optional
        JSON values that are kept in the run's config.json.
    ema : float, optional
        The decay of an exponential moving average of the weights, from 0 up and below 1: see
        `averages.WeightAverage`. The average is validated and saved. Between epochs and after
        `fit`, the weights of the model are the average. Training continues with the model's own
        weights. Each call of `fit` begins a new average.
    keep_epochs : bool
        Whether the run folder keeps the model of every epoch: epochs/00001.safetensors and so on.
    max_shift : int
        In every step, each image is moved at random by up to this number of pixels in each
        direction: see `kernels.gather_images`.
    progress : bool, optional
        Whether `fit` shows a line per epoch, and below them a line about the current epoch. True:
        always; if there is no terminal or notebook, the lines per epoch go to stderr. False: never.
        If it is not given, only in a terminal or a notebook.

    Attributes
    ----------
    step : int
        The number of training steps that are done. One step is one update of the weights.
    average : WeightAverage or None
        The moving average of the weights. None without `ema`.
    stopping : bool
        Whether a handler has raised `StopTraining`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the optimizer has parameters that are not the model's, the loss is not a mean or does not
        fit the model, `ema` is not from 0 up and below 1, JSON cannot hold the notes, or the device
        is not "cpu".
    """

    def fit(
        self,
        train: DatasetLike,
        *,
        epochs: int,
        batch_size: int = 128,
        validation: DatasetLike | None = None,
        choose_by_validation: bool = True,
        seed: int = 0,
        resume: bool = False,
    ) -> History:
        """Train the model.

        Parameters
        ----------
        train : data set or pair (images, labels)
            Images (N, H, W) or (N, C, H, W), uint8, or float32 in [0, 1] (pixel / 255), which takes
            four times the memory. Labels: integers (N,) from 0 to classes - 1; or float rows
            (N, classes), probabilities for CrossEntropyLoss and any numbers for MSELoss; or any
            numbers (N,) for a model with one output. CrossEntropyLoss(ignore_index=k) leaves the
            images of class k out of the loss. A label that is no class, such as -100, is refused.
        epochs : int
            The number of passes over `train`, counted from the beginning of the run.
        batch_size : int
            The number of images in a batch. The last batch of an epoch may be smaller.
        validation : data set or pair (images, labels), optional
            Held-out data of the same form, evaluated after every epoch.
        choose_by_validation : bool
            Which epoch `RunFolder.choose`, `byhand.load` and the commands use as the result of the
            run: the one with the lowest validation loss, or the last one if this is False. Give
            False if `validation` is the test set, so that it is watched but chooses nothing.
        seed : int
            Decides the order of the images, which differs from epoch to epoch, their shifts and the
            draws of dropout. The order of an epoch depends on the seed and its number alone.
        resume : bool
            Continue after the last complete epoch of the run in the folder, or begin a run if there
            is none. The model gets that epoch's weights, and every later bit is the same as without
            the interruption, on the same instruction set. All settings must be what they were,
            except that `epochs` may be another number. A schedule over a number of steps
            (`total_steps`) may then have another number too: the rate continues with the new
            schedule at the step number that was reached.

        Returns
        -------
        History
            The epochs of the whole run, a list of EpochEnd whose repr is a table.

        Raises
        ------
        TypeError, ValueError
            Before any work, if an argument does not fit. Then the model is as it was. ResumeError,
            a ValueError, if data or settings are not those that the run was begun with.
        FileExistsError, OSError
            Before any work, if the folder holds a trained run (without `resume`) or files of
            others, or is not writable. OSError also later, if a file cannot be written.
        FloatingPointError
            If the loss or the learning rate is not finite.

        Notes
        -----
        After every epoch the run folder gets model.safetensors, best.safetensors if the validation
        loss is the lowest so far, metrics.jsonl and, last, state.safetensors. No other run may use
        the folder at the same time. When `fit` returns, the model has the weights of the last
        epoch. If `model.pictures` was None, it is now the way in which pictures of class folders
        were prepared, or the one that suits the training images (`picture_form.suitable`).

        After an error, also one in a handler, or an interrupt, the run folder has the files of the
        last complete epoch. The same holds if the process is killed, except while an epoch's files
        are being renamed. Then some files are of the next epoch, each of them whole, and resuming
        replaces them.
        """
        session = self._prepare(
            train, validation, epochs, batch_size, choose_by_validation, seed, resume
        )
        batches, count = session.batches, session.started.batches
        with self._begin(session, resume) as history:
            while len(history) < session.started.epochs and not self.stopping:
                epoch, begin = len(history) + 1, time.perf_counter()
                scores = []
                for number, index in enumerate(batches.shuffled(epoch), 1):
                    batch = batches.gather(index, self.step)
                    value = batch.plan.train(batch.target)  # forward, loss and backward
                    loss, counted, wrong = batch.score(value)
                    if self.schedule is not None:
                        self.optimizer.lr = self._scheduled_rate(self.step)
                    if not (math.isfinite(loss) and math.isfinite(self.optimizer.lr)):
                        raise _divergence(loss, self.optimizer.lr, number, epoch)
                    self.optimizer.step()
                    self.step += 1
                    if self.average is not None:
                        self.average.update()
                    scores.append((loss, counted, wrong))
                    if self.handlers or self._progress is not None:
                        images, error, rate = batch.images, wrong / batch.images, self.optimizer.lr
                        self.tell(
                            BatchEnd(epoch, number, count, images, counted, loss, error, rate)
                        )
                        if self.stopping:
                            break
                # An epoch does not count if a handler stopped the training after one of its
                # batches, even the last one.
                if not self.stopping:
                    self._end_epoch(session, history, scores, time.perf_counter() - begin)
        return history

    def tell(self, event: Event) -> None:
        """Send an event to every handler, even if one of them stops the training.

        Parameters
        ----------
        event : Event
        """
        shown = () if self._progress is None else (self._progress,)
        for handler in (*self.handlers, *shown):
            try:
                handler(event)
            except StopTraining:
                self.stopping = True

    # ----------------------------------------------------------------------------------------------
    # Around all epochs

    @contextlib.contextmanager
    def _begin(self, session: Session, resume: bool) -> Iterator[History]:
        """Lock the run folder, restore its last epoch, and send the first and the last event.

        Yields the epochs that are done, to which `_end_epoch` appends.
        """
        folder: contextlib.AbstractContextManager[Checkpoint | None] = contextlib.nullcontext()
        if self.run is not None:
            folder = self.run.begin(session.config, resume=resume)
        with folder as checkpoint:
            self.average = None
            if self.ema is not None:
                self.average = WeightAverage(self.model.parameters(), self.ema)
            if checkpoint is not None:
                self.step = checkpoint.restore(self.model, self.optimizer, self.average)
                past = tuple(checkpoint.history)
                session.started = dataclasses.replace(session.started, history=past)
                self._note_training(past[-1], session.started)
            self.model.pictures = session.pictures
            history = History(session.started.history)
            self.stopping = False
            self._progress = open_progress(self.progress)
            begin = time.perf_counter()
            try:
                self.tell(session.started)
                yield history
            finally:
                if self._progress is not None:
                    self._progress.close()
            if self.average is not None:
                self.average.replace_weights()
            self.tell(TrainingEnded(tuple(history), time.perf_counter() - begin, self.stopping))

    # ----------------------------------------------------------------------------------------------
    # After each epoch

    def _end_epoch(
        self, session: Session, history: History, scores: Sequence[BatchScore], seconds: float
    ) -> None:
        """Validate, write the files and send the events of an epoch.

        The epoch is appended to the history after its files are written. `scores` has an entry per
        batch, and `seconds` is the time that training took.
        """
        started, epoch = session.started, len(history) + 1
        loss, error = epoch_means(scores, started.images)
        own = None if self.run is None else self.model.state_dict()
        with self._averaged():
            checked = None if session.validation is None else self._validate(session, epoch)
            earlier = [e.validation_loss for e in history if e.validation_loss is not None]
            end = EpochEnd(
                epoch=epoch,
                epochs=started.epochs,
                loss=loss,
                error=error,
                validation_loss=None if checked is None else checked.loss,
                validation_accuracy=None if checked is None else checked.accuracy,
                lr=float(self.optimizer.lr),
                seconds=seconds,
                images_per_second=started.images / seconds,
                best=checked is not None and checked.loss < min(earlier, default=math.inf),
            )
            self._note_training(end, started)
            if self.run is not None and own is not None:
                state = state_bytes(
                    *(own, self.model, self.optimizer, self.average),
                    epoch=epoch,
                    step=self.step,
                    seed=session.seed,
                    batch_size=started.batch_size,
                )
                self.run.write_epoch(
                    [*history, end], self.model.to_bytes(), state, keep=self.keep_epochs
                )
            history.append(end)
            if self.run is not None:
                self.tell(CheckpointSaved(epoch, self.run.path, end.best))
            self.tell(end)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """Use the average, if there is one, as the model's weights until the context ends."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place_of_weights()

    def _validate(self, session: Session, epoch: int) -> Evaluation:
        assert session.validation is not None
        begin = time.perf_counter()
        checked = measure(self.model, session.validation, self.loss)
        if not math.isfinite(checked.loss):
            raise FloatingPointError(f"the validation loss is {checked.loss} after epoch {epoch}")
        seconds = time.perf_counter() - begin
        images = session.started.validation_images
        self.tell(Evaluated(epoch, images, checked.loss, checked.accuracy, seconds))
        return checked

    def _note_training(self, end: EpochEnd, started: TrainingStarted) -> None:
        self.model.trained = {
            "epoch": end.epoch,
            "images": started.images,
            "validation_images": started.validation_images,
            "validation_accuracy": end.validation_accuracy,
        }


def _divergence(loss: float, rate: float, batch: int, epoch: int) -> FloatingPointError:
    """Return the error for a loss or a learning rate that is not finite."""
    where = f"in batch {batch} of epoch {epoch}"
    if not math.isfinite(rate):
        return FloatingPointError(f"the learning rate is {rate} {where}")
    return FloatingPointError(
        f"the loss is {loss} {where}, at the learning rate {rate:g}: the training has diverged. "
        f"Try a smaller rate, such as {rate / 10:.2g}; batches of fewer images need a smaller one"
    )
