"""Inference plans of one network, leased to one call at a time.

A plan computes in an arena of its own, so two calls must never share one. A call takes an idle plan
or makes a new one, and gives it back when its results are copied out. Calls from several threads
then need no lock around the computation, and kernels, which release the GIL, run side by side.
"""

from __future__ import annotations

from collections.abc import Callable

from byhand.engine.plan import Plan

# Images that go through an inference plan at a time: enough for every thread, few enough that a
# network's activations stay in the cache.
CHUNK = 128

# Idle plans that a network keeps. More calls than this at the same time are correct as well, but
# the plans of the others are made anew and freed when they are given back.
MOST_IDLE = 8


class InferencePlans:
    """A pool of plans. make: from a batch size to a plan for batches of up to that many images."""

    def __init__(self, make: Callable[[int], Plan]) -> None:
        self._make = make
        # Appending to a list and popping from it are atomic, so threads need no lock. A lock that
        # another thread holds at the moment of a fork would never be released in the child.
        self._idle: list[Plan] = []

    def take(self, n: int) -> Plan:
        """A plan for batches of n images, 1 to CHUNK. Nobody else has it until it is given back.

        Idle plans that are too small are dropped, so that in the end every plan fits every request.
        """
        try:
            plan = self._idle.pop()
        except IndexError:
            plan = None
        if plan is None or plan.batch_size < n:
            plan = self._make(min(CHUNK, 1 << (n - 1).bit_length()))
        return plan

    def give_back(self, plan: Plan) -> None:
        if len(self._idle) < MOST_IDLE:
            self._idle.append(plan)
