"""Measurements: the times of a contender, its entry in a case, and the result of a case."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from byhand.bench.peers import OURS


@dataclass(frozen=True)
class Times:
    """Seconds of one call, or of one epoch, in each round."""

    rounds: tuple[float, ...]

    @property
    def min(self) -> float:
        return min(self.rounds)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def max(self) -> float:
        return max(self.rounds)

    @property
    def spread(self) -> float:
        """(max - min) / median."""
        return (self.max - self.min) / self.median

    def over(self, other: Times) -> float:
        """Return the median over the rounds of this contender's time divided by the other's.

        Other work on the machine slows both contenders of a round alike, so it cancels out.
        """
        quotients = (a / b for a, b in zip(self.rounds, other.rounds, strict=False))
        return statistics.median(quotients)


@dataclass
class Entry:
    """The result of one contender.

    problem : the reason why there are no times, or None.
    difference : distance between the contender's results and the reference.
    ratio : the contender's time divided by byhand's.
    faults : minor page faults per call or training step.
    rss : largest memory of the contender's process, in bytes.
    workspace : memory that a call needs beside its arguments and results, in bytes.
    """

    contender: str
    problem: str | None = None
    difference: float | None = None
    times: Times | None = None
    ratio: float | None = None
    faults: float | None = None
    rss: int | None = None
    workspace: int | None = None
    note: str = ""

    @property
    def failure(self) -> str:
        """The first word of the problem, such as FAILED or WRONG, or nothing."""
        return (self.problem or "").partition(":")[0]


@dataclass
class Learned(Entry):
    """The training of one contender. `times` is the end of the first epoch that reached the target.

    ends : seconds from the start of the process to the end of each epoch, with its evaluation.
    accuracies : the accuracy after each epoch.
    epoch : number of the first epoch that reached the target, or None.
    """

    ends: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    epoch: float | None = None


@dataclass
class Result:
    """One case on a number of threads.

    flops : floating-point operations of one call or one epoch; 0 if memory limits the speed.
    bytes : size of the arrays that a call of a kernel reads and writes, each counted once; 0 if it
        is not counted.
    peak : FLOP/s of multiply-adds on these threads, measured in the same run.
    """

    case: dict[str, Any]
    threads: int
    flops: int
    entries: list[Entry] = field(default_factory=list)
    peak: float = 0.0
    bytes: int = 0

    @property
    def failed(self) -> bool:
        return any(entry.problem is not None for entry in self.entries)

    @property
    def ratio(self) -> float | None:
        """The fastest peer's time divided by byhand's; None if byhand or every peer has no time."""
        peers = [e.ratio for e in self.entries if e.contender != OURS and e.ratio is not None]
        return min(peers, default=None)

    @property
    def name(self) -> str:
        """The label of the case, and the batch size if the label does not have it."""
        label, batch = self.case["label"], self.case.get("batch")
        return label if batch is None or "batch" in label else f"{label}, batch {batch}"

    @property
    def ours(self) -> Entry | None:
        """byhand's entry."""
        return next((entry for entry in self.entries if entry.contender == OURS), None)

    @property
    def of_peak(self) -> float | None:
        """byhand's share of the peak; None if byhand failed or memory limits the speed."""
        rate = None if self.ours is None else self.rate(self.ours)
        return None if rate is None else rate / self.peak

    def rate(self, entry: Entry) -> float | None:
        """Return the FLOP/s of an entry at its median time, or None without FLOPs or times."""
        return self.flops / entry.times.median if self.flops and entry.times else None

    def as_json(self) -> dict[str, Any]:
        own = {"case": self.case, "threads": self.threads, "flops": self.flops}
        own |= {"bytes": self.bytes, "fma_peak": self.peak, "failed": self.failed}
        return own | {"entries": [self._entry_as_json(entry) for entry in self.entries]}

    def _entry_as_json(self, entry: Entry) -> dict[str, Any]:
        row, rate = dataclasses.asdict(entry), self.rate(entry)
        if entry.times is not None:
            for name in ("min", "median", "max", "spread"):
                row["times"][name] = getattr(entry.times, name)
        if entry.difference is not None and not math.isfinite(entry.difference):
            row["difference"] = None  # JSON has no infinity; `problem` has the reason
        of_peak = None if rate is None else rate / self.peak
        return row | {"flops_per_second": rate, "of_peak": of_peak}


def contender_names(results: Sequence[Result]) -> list[str]:
    """Return the name of each contender once, in the order of the entries."""
    return list(dict.fromkeys(entry.contender for r in results for entry in r.entries))


def summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the geometric mean and the smallest of the ratios of each group, and of all groups.

    The ratio of a case is that of its fastest peer. Cases without a ratio are not counted.
    """
    known = [(ratio, r.case) for r in results if (ratio := r.ratio) is not None]
    groups = list(dict.fromkeys(case["group"] for _, case in known))
    lines = []
    for group in [*groups, *(["all"] if len(groups) > 1 else [])]:
        own = [(ratio, case["label"]) for ratio, case in known if group in ("all", case["group"])]
        worst, label = min(own)
        mean = statistics.geometric_mean(ratio for ratio, _ in own)
        line = {"group": group, "cases": len(own), "mean": mean, "worst": worst}
        lines.append(line | {"worst_case": label})
    return lines
