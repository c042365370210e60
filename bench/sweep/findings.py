"""What a sweep found: cliffs, threads that do not pay, and points at which a peer is faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from byhand.bench.results import Result
from byhand.bench.run import describe_threads
from byhand.bench.sweep.grids import Grid

# A point is a cliff if it takes more than this multiple of what its neighbours predict.
MOST_EXCESS = 1.5
# Two threads lose if they take more than this multiple of the time of one.
MOST_THREAD_LOSS = 1.05
# From this number of FLOP on, and for kernels limited by memory, the time of the fastest peer
# divided by byhand's must be at least LEAST_RATIO.
LEAST_FLOPS, LEAST_RATIO = 10**6, 0.9


@dataclass
class Point:
    """A point of a grid with its results, by number of threads.

    row, column : the numbers of its sizes on the axes, from 0.
    excess : its time divided by the time that its neighbours predict, by number of threads.
    """

    grid: Grid
    row: int
    column: int
    results: dict[int, Result] = field(default_factory=dict)
    excess: dict[int, float] = field(default_factory=dict)

    @property
    def sizes(self) -> str:
        rows, columns = self.grid.rows, self.grid.columns
        return f"{rows.name} {rows.sizes[self.row]}, {columns.name} {columns.sizes[self.column]}"

    def seconds(self, threads: int) -> float | None:
        """Return byhand's shortest time of a call, or None if it failed or was not measured."""
        result = self.results.get(threads)
        ours = None if result is None else result.ours
        return ours.times.min if ours and ours.times else None

    @property
    def thread_loss(self) -> float | None:
        """The time on the most threads divided by the time on the fewest."""
        counts = sorted(self.results)
        few, many = self.seconds(counts[0]), self.seconds(counts[-1])
        return many / few if len(counts) > 1 and few and many else None

    def is_slow(self) -> bool:
        """Whether the point is a cliff, loses to fewer threads, or loses to a peer."""
        return (
            max(self.excess.values(), default=0) > MOST_EXCESS
            or (self.thread_loss or 0) > MOST_THREAD_LOSS
            or any(
                (result.ratio or math.inf) < LEAST_RATIO and _counts(result)
                for result in self.results.values()
            )
        )


def _counts(result: Result) -> bool:
    """Whether the ratio of a point must be at least LEAST_RATIO."""
    return not result.flops or result.flops >= LEAST_FLOPS


@dataclass(frozen=True)
class Ranking:
    """The points of a sweep by one rule, the worst first.

    rule : says what the rule finds.
    heading : names the values.
    values : the value of each point that the rule concerns.
    slow : the number of points that break the rule.
    """

    rule: str
    heading: str
    values: list[tuple[float, Point]]
    slow: int

    @property
    def title(self) -> str:
        return f"{self.slow} of {len(self.values)} {self.rule}"


def rankings(points: Sequence[Point], counts: Sequence[int]) -> Iterator[Ranking]:
    """Yield the ranking of each rule, for each number of threads."""

    def rank(
        rule: str, heading: str, value: Callable[[Point], float | None], limit: float
    ) -> Ranking:
        sign = 1 if heading == "ratio" else -1  # small ratios are bad, and large other values
        values = [(found, point) for point in points if (found := value(point)) is not None]
        values.sort(key=lambda pair: sign * pair[0])
        slow = sum(sign * found < sign * limit for found, _ in values)
        return Ranking(rule, heading, values, slow)

    def ratio_if(wanted: Callable[[Result], bool], count: int) -> Callable[[Point], float | None]:
        def ratio(point: Point) -> float | None:
            result = point.results.get(count)
            return result.ratio if result and wanted(result) else None

        return ratio

    for count in counts:
        where = describe_threads(count)
        excess = f"points have an excess above {MOST_EXCESS}, {where}"
        yield rank(excess, "excess", lambda p, n=count: p.excess.get(n), MOST_EXCESS)  # type: ignore[misc]
        large = ratio_if(lambda result: result.flops >= LEAST_FLOPS, count)
        rule = f"have a ratio below {LEAST_RATIO}, {where}"
        yield rank(f"points of at least 1 MFLOP {rule}", "ratio", large, LEAST_RATIO)
        memory = ratio_if(lambda result: not result.flops, count)
        yield rank(f"points limited by memory {rule}", "ratio", memory, LEAST_RATIO)
    if len(counts) > 1:
        few, many = describe_threads(min(counts)), describe_threads(max(counts))
        rule = f"points take more than {MOST_THREAD_LOSS} times as long on {many} as on {few}"
        yield rank(rule, "times as long", lambda p: p.thread_loss, MOST_THREAD_LOSS)


def find_excess(points: Sequence[Point], threads: int) -> None:
    """Set `excess` of each point of one grid.

    The neighbours of a point on an axis predict its time per work, the number of operations or
    bytes of the case: a straight line between the logarithms of sizes and of times per work. At the
    lower end of an axis, the next size alone predicts it. But a point may always take as long as
    the next larger one, if that has at least as much work. The excess is the larger one of both
    axes.
    """
    costs: dict[tuple[int, int], Cost] = {}
    for point in points:
        seconds = point.seconds(threads)
        if seconds is not None:
            costs[point.row, point.column] = seconds, point.results[threads].case["work"]
    for point in points:
        here = point.row, point.column
        if here not in costs:
            continue
        rows, columns = point.grid.rows.sizes, point.grid.columns.sizes
        lines = (
            (rows, point.row, [costs.get((row, point.column)) for row in range(len(rows))]),
            (columns, point.column, [costs.get((point.row, c)) for c in range(len(columns))]),
        )
        known = [seconds for line in lines if (seconds := _predicted(*line)) is not None]
        if known:
            point.excess[threads] = costs[here][0] / min(known)


# The seconds and the work of a point.
Cost = tuple[float, int]


def _predicted(sizes: Sequence[int], at: int, line: Sequence[Cost | None]) -> float | None:
    """Return the seconds of point `at` of a line as its neighbours predict them."""
    here = line[at]
    before = line[at - 1] if at > 0 else None
    after = line[at + 1] if at + 1 < len(line) else None
    if after is None or here is None:
        return None
    seconds, work = after
    rate = seconds / work
    if before is not None:
        low, middle, high = (math.log(sizes[i]) for i in (at - 1, at, at + 1))
        share = (middle - low) / (high - low)
        rate = (before[0] / before[1]) ** (1 - share) * rate**share
    return max(rate * here[1], seconds if work >= here[1] else 0.0)
