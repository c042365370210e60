"""`byhand bench gemm`'s results: a line a shape, and the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from byhand.bench.gemm import GROUPS
from byhand.bench.goals import Line, mean, ours, ratio
from byhand.bench.harness import Entry, Result
from byhand.bench.report import rate, seconds
from rich.table import Table

LEGEND = (
    "Columns of contenders: GFLOP/s by the median; the median itself below 0.1 MFLOP.\n"
    "NT and the like: T where the operand is a transposed view of what lies in memory.\n"
    "ratio: the fastest peer's time over byhand's, round by round, the median; below 1, in red, "
    "byhand is slower.\n"
    "of peak: byhand's GFLOP/s of the multiply-adds that these threads can do, measured before and "
    "after the group; the larger counts.\n"
    "error: the largest |C - exact C| / (|A| |B|) of an element, in units of 2^-24."
)
# FLOP of a product: below, a rate says little; from here on, no shape may be much slower.
SMALL, LARGE = 1e5, 1e6

# The goals, by threads where they differ.
MEAN = {1: 1.15, 2: 1.25}
WORST = 0.95
OF_PEAK = {1: {512: 0.88, 1024: 0.92, 2048: 0.92}, 2: {512: 0.82, 1024: 0.88, 2048: 0.88}}
TRAINING = {2: 1.5}
TRAINING_BATCH = 128
CALL = 1e-6


def of_peak(result: Result) -> float | None:
    """byhand's FLOP/s over the peak, None where it failed."""
    entry = ours(result)
    flops = None if entry is None else rate(result, entry)
    return None if flops is None else flops / result.peak


def products(
    title: str, results: Sequence[Result], contenders: Sequence[str], heading: str = "m x n x k"
) -> Table:
    """A line a shape."""
    view = Table(title=title, title_justify="left")
    view.add_column(heading)
    for column in (*contenders, "of peak", "ratio"):
        view.add_column(column, justify="right")
    view.add_column("")
    for result in results:
        case, share = result.case, of_peak(result)
        entries = {entry.contender: entry for entry in result.entries}
        cells = [_speed(result, entries.get(name)) for name in contenders]
        cells += ["" if share is None else f"{share:.0%}", _ratio(result)]
        batch = f", batch {case['batch']}" if case["batch"] else ""
        view.add_row(case["shape"], *cells, f"{case['of']}{batch}")
    return view


def _speed(result: Result, entry: Entry | None) -> str:
    if entry is None:
        return ""
    if entry.times is None:
        return f"[bold red]{(entry.problem or '').partition(':')[0]}[/]"
    if result.flops < SMALL:
        return seconds(entry.times.median)
    return f"{result.flops / entry.times.median / 1e9:.1f}"


def _ratio(result: Result) -> str:
    value = ratio(result)
    if value is None:
        return ""
    return f"{value:.2f}" if value >= 1 else f"[red]{value:.2f}[/]"


def calls(title: str, result: Result) -> Table:
    """What a call costs that computes nothing to speak of."""
    view = Table(title=title, title_justify="left")
    view.add_column("1x1x1, out=")
    for heading in ("median", "min", "max"):
        view.add_column(heading, justify="right")
    for entry in result.entries:
        if entry.times is None:
            view.add_row(entry.contender, _speed(result, entry))
        else:
            times = entry.times
            cells = (f"{value * 1e9:.0f} ns" for value in (times.median, times.min, times.max))
            view.add_row(entry.contender, *cells)
    return view


def errors(title: str, results: Sequence[Result], contenders: Sequence[str]) -> Table:
    """In units of 2^-24, beside the bound."""
    view = Table(title=title, title_justify="left")
    for heading in ("m x n x k", *contenders, "bound"):
        view.add_column(heading, justify="left" if heading == "m x n x k" else "right")
    for result in results:
        entries = {entry.contender: entry for entry in result.entries}
        cells = [_error(entries.get(name)) for name in contenders]
        view.add_row(result.case["shape"], *cells, f"{result.case['bound']}")
    return view


def _error(entry: Entry | None) -> str:
    if entry is None or entry.difference is None:
        return "" if entry is None else "[bold red]FAILED[/]"
    text = f"{entry.difference:.2f}"
    return text if entry.problem is None else f"[bold red]{text}[/]"


def summary(results: Sequence[Result], threads: int) -> Iterator[Line]:
    """What was measured on so many threads, beside the goals."""
    timed = [r for r in results if r.case["group"] in GROUPS]
    yield from _mean(f"geometric mean of {len(timed)} shapes", timed, MEAN.get(threads))
    large = [(value, r) for r in timed if r.flops >= LARGE and (value := ratio(r)) is not None]
    if large:
        value, worst = min(large, key=lambda pair: pair[0])
        what = f"worst of {len(large)} shapes of 1 MFLOP or more: {worst.case['shape']}"
        yield Line(what, value, WORST)
    training = [r for r in timed if r.case["batch"] == TRAINING_BATCH]
    what = f"mean of the networks' products, batch {TRAINING_BATCH}"
    yield from _mean(what, training, TRAINING.get(threads))
    for group in dict.fromkeys(r.case["group"] for r in timed):
        yield from _mean(f"mean of {group}", [r for r in timed if r.case["group"] == group])
    yield from _rates(timed, OF_PEAK.get(threads, {}))
    yield from _call(results)


def _mean(what: str, results: Sequence[Result], goal: float | None = None) -> Iterator[Line]:
    value = mean(results)
    if value is not None:
        yield Line(what, value, goal)


def _rates(results: Sequence[Result], goals: Mapping[int, float]) -> Iterator[Line]:
    for result in results:
        size, value = result.case["m"], of_peak(result)
        if result.case["group"] == "cubes" and size in OF_PEAK[1] and value is not None:
            yield Line(f"of peak at {size} cubed", value, goals.get(size), text="{:.1%}".format)


def _call(results: Sequence[Result]) -> Iterator[Line]:
    for result in results:
        entry = ours(result)
        if result.case["group"] != "call" or entry is None or entry.times is None:
            continue
        others = (
            f"{e.contender} {seconds(e.times.median)}"
            for e in result.entries
            if e is not entry and e.times is not None
        )
        what = ", ".join(["a call of 1x1x1", *others])
        yield Line(what, entry.times.median, CALL, at_most=True, text=seconds)
