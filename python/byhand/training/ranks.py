"""Several processes that train one model together, on one machine or on several.

Each process computes the gradient of its share of every batch. One message per step adds up the
gradients, so all processes do the same update. The module `byhand.mpi` connects the processes.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from byhand.models import Model
from byhand.nn.parameter import Statistic
from byhand.optim import Optimizer
from byhand.optim.averages import WeightAverage
from byhand.runtime import config
from byhand.training.events import EpochEnd
from byhand.training.run_settings import FREE, differences

T = TypeVar("T")

# The settings of a run that may differ between its processes. The number of epochs may differ in a
# resumed run, but processes with different numbers would wait for each other forever.
_FREE = frozenset(FREE) - {"epochs", "byhand"}


class SettingsDiffer(ValueError):
    """The processes have different settings, data, versions of byhand, or instruction sets."""


class _Communicator(Protocol):
    """The methods of a communicator of mpi4py that `Ranks` calls."""

    def Get_rank(self) -> int: ...
    def Get_size(self) -> int: ...
    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None: ...
    def allgather(self, sendobj: Any) -> list[Any]: ...
    def bcast(self, obj: Any) -> Any: ...
    def barrier(self) -> None: ...


class Ranks:
    """The processes that train one model together. Each of them has its own `Ranks`.

    MPI numbers the processes from 0, and calls the number of a process its rank. `byhand.mpi.world`
    returns the ranks of the processes that `mpirun` has started. `Ranks()` stands for one process
    that trains alone. Then no method sends anything.

    Every process must call the same methods in the same order, except `share`. Call
    `byhand.mpi.world` first, also to use another communicator, so that an error in one process ends
    all processes.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        The communicator that connects the processes, such as a part of `MPI.COMM_WORLD`.

    Attributes
    ----------
    rank : int
        The number of this process, from 0 to `size` - 1.
    size : int
        The number of processes.
    """

    def __init__(self, communicator: _Communicator | None = None) -> None:
        self._communicator = communicator
        self.rank = 0 if communicator is None else communicator.Get_rank()
        self.size = 1 if communicator is None else communicator.Get_size()
        self._sent = self._sum = np.empty(0, np.float32)

    def __repr__(self) -> str:
        return f"Ranks(rank={self.rank}, size={self.size})"

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, which alone writes files, prints and calls handlers."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return the share of this process in `count` things. Two shares differ by at most one.

        Parameters
        ----------
        count : int
            The number of things, such as the images of a batch.

        Returns
        -------
        slice
            The numbers of the things in the share. They are counted from 0.
        """
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    # ----------------------------------------------------------------------------------------------
    # Messages

    def combine(
        self, optimizer: Optimizer, weight: float, loss: np.float32, right: int, stop: bool
    ) -> tuple[np.float32, int, bool]:
        """Combine the results that the processes computed for their shares of a batch.

        All results travel in one message, so there is one call of Allreduce per step.

        Parameters
        ----------
        optimizer : Optimizer
            The gradients of its parameters are those of the mean loss over the share of this
            process. They are overwritten with those of the mean loss over the whole batch.
        weight : float
            The share of this process: the number of its images divided by that of the batch, where
            only images count that the loss does not ignore.
        loss : float32
            The mean loss over the share.
        right : int
            The number of right answers in the share.
        stop : bool
            Whether this process wants to end the training.

        Returns
        -------
        loss : float32
            The mean loss over the batch.
        right : int
            The number of right answers in the batch.
        stop : bool
            Whether any process wants to end the training.
        """
        if self._communicator is None:
            return loss, right, stop
        gradients = optimizer.flat_gradients()
        ends = np.cumsum([gradient.size for gradient in gradients])
        if len(self._sent) != ends[-1] + 3:
            self._sent, self._sum = np.empty((2, ends[-1] + 3), np.float32)
        for gradient, end in zip(gradients, ends, strict=True):
            np.multiply(gradient, np.float32(weight), out=self._sent[end - gradient.size : end])
        self._sent[-3:] = loss * np.float32(weight), right, stop
        if weight == 0:  # the mean over no images is NaN
            self._sent[:-2] = 0.0
        self._communicator.Allreduce(self._sent, self._sum)
        for gradient, end in zip(gradients, ends, strict=True):
            gradient[:] = self._sum[end - gradient.size : end]
        return self._sum[-3], int(self._sum[-2]), bool(self._sum[-1])

    def sum(self, values: ArrayLike) -> NDArray[np.float64]:
        """Add up the values of all processes, element by element.

        Parameters
        ----------
        values : array_like, shape (n,)
            The values of this process.

        Returns
        -------
        ndarray, shape (n,), float64
            The sums.
        """
        own = np.array(values, np.float64)
        if self._communicator is None:
            return own
        total = np.empty_like(own)
        self._communicator.Allreduce(own, total)
        return total

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, in the order of their ranks.

        Parameters
        ----------
        value : object
            The value of this process. It must be possible to pickle it.

        Returns
        -------
        list of objects
            One value per process.
        """
        return [value] if self._communicator is None else self._communicator.allgather(value)

    def broadcast(self, value: T) -> T:
        """Return the value of process 0.

        Parameters
        ----------
        value : object
            The value of this process. Only that of process 0 matters.

        Returns
        -------
        object
            The value of process 0. In the other processes, it is a copy.
        """
        if self._communicator is None:
            return value
        received: T = self._communicator.bcast(value)
        return received

    @contextlib.contextmanager
    def first_then_others(self) -> Iterator[None]:
        """Run the with statement in process 0, and after its end in all other processes at once.

        Use this for work that leaves files, such as a download, which the other processes then
        find.
        """
        if not self.is_first:
            self._barrier()
        yield
        if self.is_first:
            self._barrier()

    def _barrier(self) -> None:
        if self._communicator is not None:
            self._communicator.barrier()

    # ----------------------------------------------------------------------------------------------
    # The same state in every process

    def share_state(
        self,
        model: Model,
        optimizer: Optimizer,
        average: WeightAverage | None,
        step: int,
        history: tuple[EpochEnd, ...],
    ) -> tuple[int, tuple[EpochEnd, ...]]:
        """Give every process the state of process 0, which may have read it from a run folder.

        Parameters
        ----------
        model : Model
        optimizer : Optimizer
        average : WeightAverage or None
            The weights, the state of the optimizer and the averages are overwritten.
        step : int
            The number of training steps so far.
        history : tuple of EpochEnd
            The epochs so far.

        Returns
        -------
        step : int
        history : tuple of EpochEnd
            Those of process 0.
        """
        if self._communicator is None:
            return step, history
        own = model.state_dict(), optimizer.state_dict(), optimizer.settings(), step, history
        weights, state, settings, step, history = self.broadcast(own)
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
        optimizer.restore_settings(settings)
        if average is not None:
            averages, updates = self.broadcast((average.state_dict(), average.updates))
            average.load_state_dict(averages, updates)
        return step, history

    def share_decisions(self, stopping: bool, optimizer: Optimizer) -> bool:
        """Give every process what the handlers of process 0 have decided.

        Parameters
        ----------
        stopping : bool
            Whether a handler has ended the training.
        optimizer : Optimizer
            Its settings are overwritten.

        Returns
        -------
        bool
            Whether a handler of process 0 has ended the training.
        """
        if self._communicator is None:
            return stopping
        stopping, settings = self.broadcast((stopping, optimizer.settings()))
        optimizer.restore_settings(settings)
        return stopping

    def share_model(self, model: Model) -> None:
        """Give every process the weights, the statistics and `trained` of the model of process 0.

        Parameters
        ----------
        model : Model
        """
        if self._communicator is None:
            return
        weights, model.trained = self.broadcast((model.state_dict(), model.trained))
        model.load_state_dict(weights)

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Check that all processes train with the same settings, data, version and instruction set.

        Parameters
        ----------
        settings : mapping of JSON values
            The content of config.json.

        Raises
        ------
        SettingsDiffer
            If a process differs from process 0. All processes raise the same error.
        """
        if self._communicator is None:
            return
        sets = (isa["name"] for isa in config()["instruction_sets"] if isa["active"])
        (isa, first), *others = self.gather((next(sets), dict(settings)))
        for rank, (other_isa, other) in enumerate(others, 1):
            form = f"{{name}} is {{old}} in process 0 and {{new}} in process {rank}"
            lines = differences(first, other, form, _FREE)
            if other_isa != isa:
                lines.append(
                    f"the instruction set is {isa} in process 0 and {other_isa} in process {rank}: "
                    "set BYHAND_ISA to one that all machines have"
                )
            if lines:
                raise SettingsDiffer(
                    "all processes must train with the same data and settings:"
                    + "".join(f"\n  {line}" for line in lines)
                )

    def check_weights(self, model: Model, epoch: int) -> None:
        """Check that all processes have the same weights.

        Parameters
        ----------
        model : Model
        epoch : int
            The number of the epoch that has ended, for the message.

        Raises
        ------
        RuntimeError
            If the weights of the processes differ. All processes raise the same error.
        """
        if self._communicator is None:
            return
        value = 0
        for parameter in model.parameters():
            value = zlib.crc32(parameter.data.data, value)
        if len(set(self.gather(value))) > 1:
            raise RuntimeError(
                f"after epoch {epoch}, the processes have different weights, probably because a "
                "handler of process 0 changed the weights, or changed the optimizer at BatchEnd: a "
                "handler may change only the settings of the optimizer, and only at "
                "TrainingStarted or EpochEnd. A schedule may change the learning rate in every step"
            )

    def average_statistics(self, model: Model) -> None:
        """Replace the running statistics of batch normalization by their means over the processes.

        Parameters
        ----------
        model : Model
        """
        if self._communicator is None:
            return
        # A set would have another order in each process.
        for statistic in dict.fromkeys(s for _, s in model.named_state()):
            if isinstance(statistic, Statistic):
                mean = self.sum(statistic.data.ravel()) / self.size
                statistic.data[...] = mean.reshape(statistic.shape)


ALONE = Ranks()
"""The ranks of a process that trains alone."""
