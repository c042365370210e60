"""A pool of inference plans for one network.

A plan computes in its own arena, so two threads must never use the same plan at the same time. Each
prediction therefore takes an idle plan out of the pool, or makes a new one if none is idle. It
computes, copies the results out of the arena, and puts the plan back. Several threads can predict
at the same time, because kernels release the GIL and nothing holds a lock during the computation.
"""

from __future__ import annotations

from collections.abc import Callable

from byhand.engine.plan import Plan

# The number of images that go through an inference plan at a time. It is large enough to occupy
# every thread, and small enough that the activations of a network stay in the cache.
CHUNK = 128

# The largest number of idle plans that a network keeps. If more predictions than this run at the
# same time, the plans in excess are freed afterwards.
MOST_IDLE = 8


class InferencePlans:
    """A pool of inference plans.

    Parameters
    ----------
    make : callable
        The function that makes a plan. Its argument is the number of images in the largest batch.
    device : str
        The device of the plans.
    """

    def __init__(self, make: Callable[[int], Plan], device: str) -> None:
        self._make = make
        self.device = device
        # `append` and `pop` of a list are atomic, so this class needs no lock. A lock would do
        # harm: if another thread held it during a fork, nobody would release it in the child
        # process.
        self._idle: list[Plan] = []

    def take(self, n: int) -> Plan:
        """Return a plan that nobody else uses until `give_back`.

        If the idle plan is too small for `n` images, it is dropped, and a larger plan is made. So
        the plans in the pool soon fit the usual number of images.

        Parameters
        ----------
        n : int
            The number of images in the largest batch, from 1 to CHUNK.
        """
        try:
            plan = self._idle.pop()
        except IndexError:
            plan = None
        if plan is None or plan.batch_size < n:
            plan = self._make(min(CHUNK, 1 << (n - 1).bit_length()))
        return plan

    def give_back(self, plan: Plan) -> None:
        """Put a plan back into the pool.

        Parameters
        ----------
        plan : Plan
            A plan from `take`. The next user of the plan overwrites its results.
        """
        if len(self._idle) < MOST_IDLE:
            self._idle.append(plan)
