"""A command's last table: what was measured. The goals beside it go into the file only."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from byhand.bench.harness import Entry, Result
from byhand.bench.peers import OURS
from byhand.bench.tables import aligned
from rich.markup import escape
from rich.text import Text


@dataclass(frozen=True)
class Line:
    """A figure of the summary. goal: the least that will do, or with `at_most` the most."""

    what: str
    value: float
    goal: float | None = None
    at_most: bool = False
    text: Callable[[float], str] = "{:.3f} x".format

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def as_json(self, threads: int) -> dict[str, Any]:
        line = {"what": self.what, "value": self.value, "goal": self.goal}
        return {"threads": threads} | line | {"met": self.met}


def ours(result: Result) -> Entry | None:
    """byhand's entry, None where it failed."""
    return next((e for e in result.entries if e.contender == OURS and e.times is not None), None)


def ratio(result: Result) -> float | None:
    """The fastest peer's time over byhand's, None where either is missing."""
    peers = [e.ratio for e in result.entries if e.contender != OURS and e.ratio is not None]
    return min(peers, default=None)


def mean(results: Sequence[Result]) -> float | None:
    """The geometric mean of the ratios, None where there are none."""
    ratios = [r for r in map(ratio, results) if r is not None]
    return statistics.geometric_mean(ratios) if ratios else None


def summary_table(title: str, lines: Sequence[Line]) -> Text:
    """The table of the measured values. Our goals are in the file only: users do not need them."""
    return aligned(title, ("", ""), [(escape(line.what), line.text(line.value)) for line in lines])
