"""A pool of inference plans for one network, each lent to one call at a time.

A plan computes in its own arena, so two calls must never use the same plan at the same time. A call
takes an idle plan or makes a new one, copies the results out, and gives the plan back. Therefore
calls from several threads need no lock around the computation. Kernels release the GIL, so they run
side by side.
"""

from __future__ import annotations

from collections.abc import Callable

from byhand.engine.plan import Plan

# The number of images that go through an inference plan at a time. It is large enough to occupy
# every thread, and small enough that the activations of a network stay in the cache.
CHUNK = 128

# The number of idle plans that a network keeps. More calls than this may run at the same time, but
# their plans are made for one call and freed afterwards.
MOST_IDLE = 8


class InferencePlans:
    """A pool of inference plans.

    Parameters
    ----------
    make : callable
        Makes a plan from the number of images in its largest batch.
    """

    def __init__(self, make: Callable[[int], Plan]) -> None:
        self._make = make
        # Appending to a list and popping from it are atomic, so threads need no lock. A lock would
        # do harm: if another thread held it during a fork, it would never be released in the child.
        self._idle: list[Plan] = []

    def take(self, n: int) -> Plan:
        """Return a plan that no other call uses until it is given back.

        An idle plan that is too small is dropped. In the end every plan fits every request.

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
            A plan from `take` whose results nobody needs any more.
        """
        if len(self._idle) < MOST_IDLE:
            self._idle.append(plan)
