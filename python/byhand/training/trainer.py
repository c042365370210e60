"""`Trainer`: the loop over epochs and batches."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Sequence

from byhand.optim.averages import WeightAverage
from byhand.training.checked_data import DatasetLike
from byhand.training.checkpoints import Checkpoint, state_bytes
from byhand.training.evaluation import Evaluation, count_right_answers, measure
from byhand.training.events import (
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
from byhand.training.scores import BatchScore, EpochScores, epoch_means
from byhand.training.session import Session, TrainerSettings


class Trainer(TrainerSettings):
    """Trains a model with an optimizer.

    Parameters
    ----------
    model : Model
        The model to train. `fit` does not change the mode of a layer. If `eval` was called on a
        batch normalization or dropout layer, this layer computes as in inference. `fit` warns if
        the whole model is in inference mode.
    optimizer : Optimizer
        An optimizer of all or some of the model's parameters. The other parameters are not trained.
    loss : Loss, optional
        If it is not given, it is MSELoss() for a model with one output, and CrossEntropyLoss() for
        any other model. Its reduction must be "mean".
    schedule : callable, optional
        A function from the number of a training step to the learning rate. Steps are counted from 0
        over all calls of `fit`. If it is not given, `optimizer.lr` stays as it is.
    device : {"cpu", "cuda"}, optional
        The device to train on. The model and the state of the optimizer move there, and stay there
        after `fit`. If it is not given, it is the device of the model. On "cuda", the images of
        uint8 lie in the memory of the GPU. The losses of 16 batches are copied to the CPU together,
        so the events `BatchEnd` of these batches come one after the other, when the last of them
        has run.
    handlers : iterable of callables
        Each handler is called with every event, such as `BatchEnd`. If a handler raises
        `StopTraining`, the training ends and `fit` returns as after the last epoch. Any other
        exception of a handler ends the training, and `fit` raises it. A handler may change the
        settings of the optimizer. If it does so at `Evaluated` or at an earlier event of the epoch,
        the new settings are saved with that epoch, so a resumed run has them. On "cuda", up to 15
        further steps have run before a handler gets a `BatchEnd`, so what it does at this event has
        no effect on those steps. If a handler moves the model to another device before the end of
        the training and does not move it back, `fit` raises a RuntimeError.
    run : path, optional
        The run folder: see `RunFolder` for its files. If it is not given, nothing is written.
    notes : mapping, optional
        JSON values to keep in the run's config.json.
    ema : float, optional
        The decay of an exponential moving average of the weights, at least 0 and less than 1: see
        `averages.WeightAverage`. During validation, in the events after it, in the saved models and
        after `fit`, the weights of the model are the average. The next epoch continues with the
        weights that the optimizer updates. Each call of `fit` begins a new average.
    keep_epochs : bool
        Whether the run folder keeps the model of every epoch: epochs/00001.safetensors and so on.
    max_shift : int
        In every step, each image is shifted at random by up to this number of pixels, vertically
        and horizontally: see `kernels.gather_images`.
    augment : Warp, optional
        In every epoch, each image is distorted at random with these strengths: see
        `kernels.warp_images`. The distortion of an image depends only on the seed, the epoch and
        the number of the image. If it is not given, the images are not distorted.
    progress : bool, optional
        Whether `fit` prints a line after each epoch and, below these lines, a status line about the
        current epoch. If it is not given, `fit` prints them only in a terminal or a notebook. If it
        is True but there is no terminal or notebook, `fit` prints the lines of the epochs to
        stderr, without the status line. If it is False, `fit` prints nothing.
    ranks : Ranks
        The processes that train the model together, such as `mpi.world()`. Each process computes
        its share of every batch. Process 0 alone writes the run folder, prints and calls the
        handlers. At the start, all other processes take the weights and the state of process 0. If
        a handler raises `StopTraining` at `BatchEnd`, the processes compute the next batch, but do
        not update the weights. This computation still updates the running statistics of batch
        normalization. A handler may change only the settings of the optimizer, and only at
        `TrainingStarted` or `EpochEnd`. At `TrainingEnded`, it may also change the model. By
        default, this process trains alone.

    Attributes
    ----------
    step : int
        The number of training steps so far. One step is one update of the weights.
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
        fit the model, `ema` is not at least 0 and less than 1, JSON cannot hold the notes, or the
        device is unknown.
    byhand.cuda.DeviceError
        If the device cannot be used. The message says why.
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
            The training set. Images have the shape (N, H, W) or (N, C, H, W). They are uint8, or
            float32 in [0, 1] (pixel / 255), which takes four times the memory. Labels are integers
            (N,) from 0 to classes - 1, or float rows (N, classes): probabilities for
            CrossEntropyLoss, any numbers for MSELoss. For a model with one output, labels are any
            numbers (N,). CrossEntropyLoss(ignore_index=k) leaves the images of class k out of the
            loss. A label that is no class, such as -100, raises a ValueError.
        epochs : int
            The number of passes over `train`. For a resumed run, this is the total number,
            including the epochs before the interruption.
        batch_size : int
            The number of images in a batch. The last batch of an epoch may be smaller.
        validation : data set or pair (images, labels), optional
            Held-out data of the same form, evaluated after every epoch.
        choose_by_validation : bool
            Whether `RunFolder.choose`, `byhand.load` and the commands take the epoch with the
            lowest validation loss as the result of the run. Otherwise, and without `validation`,
            they take the last epoch. Pass False if `validation` is the test set, which should
            measure the model but not choose it.
        seed : int
            Decides the order of the images, their shifts and distortions, and the draws of dropout.
            The order in an epoch depends only on the seed and the number of the epoch, so each
            epoch has another order.
        resume : bool
            Continue the run in the folder after its last complete epoch, or begin a run if there is
            none. The model gets the weights of that epoch. From there on, every bit is the same as
            if the run had not been interrupted, on the same device and instruction set and with the
            same number of processes. All settings that affect the results must be the same, with
            three exceptions. The device may be another one. The number of processes may be another
            one, which also changes the draws of dropout and the statistics of batch normalization.
            And `epochs` may be another number. Then the `total_steps` of the
            schedule may differ too. From the next step on, the learning rates come from the new
            schedule. The number of the step is not set back.

        Returns
        -------
        History
            The epochs of the whole run, a list of EpochEnd whose repr is a table.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit. The error is raised before any work, and the model does not
            change. It is a ResumeError, a subclass of ValueError, if `resume` is true and the data
            or the settings differ from those that the run was begun with.
        FileExistsError, OSError
            Before any work, if the folder holds a trained run and `resume` is false, if the folder
            holds files of another program under the names of a run's files, or if it is not
            writable. OSError is also raised later if a file cannot be written.
        FloatingPointError
            If the loss or the learning rate is not finite. On a GPU, up to 15 further steps may
            have run by then, so the weights may not be finite, either.

        Notes
        -----
        After every epoch the run folder gets model.safetensors, best.safetensors if the validation
        loss is the lowest so far, metrics.jsonl and, last, state.safetensors. No other run may use
        the folder at the same time. When `fit` returns, the model has the weights after the last
        training step or, with `ema`, their average.

        `model.pictures` says how the model prepares a picture for prediction. If it is None, `fit`
        sets it: to the preparation of the training pictures if these came from class folders,
        otherwise to the preparation that suits the training images (`picture_form.suitable`).

        After an error or an interrupt, the run folder has the files of the last complete epoch. The
        same holds if the process is killed, except while the files of an epoch are being renamed.
        Then some files may be those of the next epoch. Each of them is whole, and a resumed run
        replaces them.
        """
        session = self._prepare(
            train, validation, epochs, batch_size, choose_by_validation, seed, resume
        )
        batches, count = session.batches, session.started.batches
        with self._begin(session, resume) as history:
            while len(history) < session.started.epochs and not self.stopping:
                epoch, begin = len(history) + 1, time.perf_counter()
                scores = EpochScores(self.device)
                for number, part in enumerate(batches.shuffled(epoch), 1):
                    batch = batches.gather(part, self.step)
                    loss = batch.train(part.target)  # forward, loss and backward
                    right = count_right_answers(batch.output, part.answers)
                    loss, right, self.stopping = self.ranks.combine(
                        self.optimizer, part.weight, loss, right, self.stopping
                    )
                    if self.stopping:
                        break
                    if self.schedule is not None:
                        self.optimizer.lr = self._scheduled_rate(self.step)
                    # `known` are the scores that are known now: on the CPU, that of this batch.
                    lr, last = self.optimizer.lr, number == count
                    known = scores.add(number, part, loss, right, lr, last=last)
                    self._check_finite(known, lr, number, count, epoch)
                    self.optimizer.step()
                    self.step += 1
                    if self.average is not None:
                        self.average.update()
                    if self.handlers or self._progress is not None:
                        self._tell_batches(known, epoch, count)
                        # Other processes only hear of it from the next batch.
                        if self.stopping and self.ranks.size == 1:
                            break
                self.stopping = any(self.ranks.gather(self.stopping))
                # An epoch does not count if a handler stopped the training after one of its
                # batches, even the last one.
                if not self.stopping:
                    self._end_epoch(session, history, scores.known, time.perf_counter() - begin)
        return history

    def _check_finite(
        self, known: Sequence[BatchScore], lr: float, batch: int, batches: int, epoch: int
    ) -> None:
        """Raise if the learning rate of a batch or one of the losses is not finite.

        The events of the batches before it are sent first.
        """
        for i, score in enumerate(known):
            if not math.isfinite(score.loss):
                self._tell_batches(known[:i], epoch, batches)
                raise _divergence(score.loss, score.lr, score.batch, epoch)
        if not math.isfinite(lr):
            raise _divergence(0.0, lr, batch, epoch)

    def _tell_batches(self, known: Sequence[BatchScore], epoch: int, batches: int) -> None:
        """Send the events of batches, up to the first one at which a handler stops the training."""
        for score in known:
            self.tell(score.event(epoch, batches))
            if self.stopping:
                break

    def tell(self, event: Event) -> None:
        """Send an event to every handler, even if one of them stops the training.

        Parameters
        ----------
        event : Event

        Raises
        ------
        RuntimeError
            If a handler has moved the model to another device before the end of the training.
        """
        shown = () if self._progress is None else (self._progress,)
        for handler in (*self.handlers, *shown):
            try:
                handler(event)
            except StopTraining:
                self.stopping = True
        if self.model.device != self.device and not isinstance(event, TrainingEnded):
            raise RuntimeError(
                f"a handler moved the model from {self.device} to {self.model.device} at "
                f"{type(event).__name__}; move it back before the handler returns"
            )

    # ----------------------------------------------------------------------------------------------
    # Around all epochs

    @contextlib.contextmanager
    def _begin(self, session: Session, resume: bool) -> Iterator[History]:
        """Lock the run folder, restore its last epoch, and send the first and the last event.

        Yields the history with the epochs so far. `_end_epoch` appends to it.
        """
        folder: contextlib.AbstractContextManager[Checkpoint | None] = contextlib.nullcontext()
        if self.run is not None:
            folder = self.run.begin(session.config, resume=resume)
        with folder as checkpoint:
            self.ranks.check_settings(session.config)
            self.average = None
            if self.ema is not None:
                self.average = WeightAverage(self.model.parameters(), self.ema)
            if checkpoint is not None:
                self.step = checkpoint.restore(self.model, self.optimizer, self.average)
                past = tuple(checkpoint.history)
                session.started = dataclasses.replace(session.started, history=past)
            self.step, past = self.ranks.share_state(
                *(self.model, self.optimizer, self.average, self.step, session.started.history)
            )
            session.started = dataclasses.replace(session.started, history=past)
            if past:
                self._note_training(past[-1], session.started)
            self.model.pictures = session.pictures
            history = History(session.started.history)
            self.stopping = False
            # Several processes show no status line. A process may have a terminal although the
            # output of mpirun goes to a file, which would get the control characters of the line.
            self._progress = open_progress(self.progress, moving=self.ranks.size == 1)
            begin = time.perf_counter()
            try:
                self.tell(session.started)
                self.stopping = self.ranks.share_decisions(self.stopping, self.optimizer)
                yield history
            finally:
                if self._progress is not None:
                    self._progress.close()
            # A handler may have stopped the training in the middle of an epoch.
            self.ranks.average_statistics(self.model)
            if self.average is not None:
                self.average.replace_weights()
            self.tell(TrainingEnded(tuple(history), time.perf_counter() - begin, self.stopping))
            self.ranks.share_model(self.model)  # a handler such as EarlyStop may have changed it

    # ----------------------------------------------------------------------------------------------
    # After each epoch

    def _end_epoch(
        self, session: Session, history: History, scores: Sequence[BatchScore], seconds: float
    ) -> None:
        """Validate, write the files and send the events of an epoch.

        The epoch is appended to the history after its files are written. `scores` has an entry per
        batch. `seconds` is the time of all training steps of the epoch.
        """
        started, epoch = session.started, len(history) + 1
        self.ranks.check_weights(self.model, epoch)
        self.ranks.average_statistics(self.model)
        loss, error = epoch_means(scores, started.images)
        # Training continues with these weights. Below, the model may have the average instead.
        weights = None if self.run is None else self.model.state_dict()
        with self._averaged():
            result = None if session.validation is None else self._validate(session, epoch)
            earlier = [e.validation_loss for e in history if e.validation_loss is not None]
            end = EpochEnd(
                epoch=epoch,
                epochs=started.epochs,
                loss=loss,
                error=error,
                validation_loss=None if result is None else result.loss,
                validation_accuracy=None if result is None else result.accuracy,
                lr=float(self.optimizer.lr),
                seconds=seconds,
                images_per_second=started.images / seconds,
                best=result is not None and result.loss < min(earlier, default=math.inf),
            )
            self._note_training(end, started)
            if self.run is not None and weights is not None:
                state = state_bytes(
                    *(weights, self.model, self.optimizer, self.average),
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
        self.stopping = self.ranks.share_decisions(self.stopping, self.optimizer)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """Use the average, if there is one, as the model's weights until the context ends."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place_of_weights()

    def _validate(self, session: Session, epoch: int) -> Evaluation:
        assert session.validation is not None
        begin = time.perf_counter()
        result = measure(self.model, session.validation, self.loss, ranks=self.ranks)
        if not math.isfinite(result.loss):
            raise FloatingPointError(f"the validation loss is {result.loss} after epoch {epoch}")
        seconds = time.perf_counter() - begin
        images = session.started.validation_images
        self.tell(Evaluated(epoch, images, result.loss, result.accuracy, seconds))
        return result

    def _note_training(self, end: EpochEnd, started: TrainingStarted) -> None:
        """Record in the model how it was trained. The file of the model has this record."""
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
        f"Try a smaller rate, such as {rate / 10:.2g}. Smaller batches need a smaller rate"
    )
