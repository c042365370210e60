"""`byhand bench gemm`'s results: a line a shape, and the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from byhand.bench.gemm import GROUPS
from byhand.bench.goals import Line, mean, ours, ratio
from byhand.bench.harness import Entry, Result
from byhand.bench.report import digits, rate, red_below_one, seconds, share_of_peak
from byhand.bench.tables import aligned
from rich.markup import escape
from rich.text import Text

LEGEND = (
    "NT and the like: T means that the operand is a transposed view of an array.\n"
    "ratio: the fastest peer's time divided by byhand's, the median over the rounds. Below 1, in "
    "red, byhand is slower.\n"
    "of peak: byhand's GFLOP/s as a share of what these threads can do, which is measured before "
    "and after each group; the larger counts. > 100%: the machine was disturbed then.\n"
    "error: the largest |C - exact C| / (|A| |B|) of an element, in units of 2^-24."
)
# No product of at least this many FLOP may be much slower than a peer's.
LARGE = 1e6

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
    title: str,
    results: Sequence[Result],
    contenders: Sequence[str],
    heading: str = "m x n x k",
    width: int | None = None,
) -> Text:
    """A line per shape, with the origin of the shape if the terminal is wide enough."""
    rows = []
    for result in results:
        case, share = result.case, of_peak(result)
        entries = {entry.contender: entry for entry in result.entries}
        cells = [_speed(result, entries.get(name)) for name in contenders]
        cells += ["" if share is None else share_of_peak(share, 1), red_below_one(ratio(result))]
        batch = f", batch {case['batch']}" if case["batch"] else ""
        rows.append((escape(case["shape"]), *cells, escape(f"{case['of']}{batch}")))
    headings = (heading, *contenders, "of peak", "ratio", "<from")
    return aligned(f"{title}, GFLOP/s", headings, rows, width=width)


def _speed(result: Result, entry: Entry | None) -> str:
    if entry is None:
        return ""
    if entry.times is None:
        return f"[bold red]{(entry.problem or '').partition(':')[0]}[/]"
    return digits(result.flops / entry.times.median / 1e9)


def calls(title: str, result: Result) -> Text:
    """The time of a call that computes next to nothing: its overhead."""
    rows: list[Sequence[str]] = []
    for entry in result.entries:
        if entry.times is None:
            rows.append((entry.contender, _speed(result, entry), "", ""))
        else:
            times = (entry.times.median, entry.times.min, entry.times.max)
            rows.append((entry.contender, *(f"{value * 1e9:.0f}" for value in times)))
    return aligned(f"{title}, ns", ("1x1x1, out=", "median", "min", "max"), rows)


def errors(title: str, results: Sequence[Result], contenders: Sequence[str]) -> Text:
    """In units of 2^-24, beside the bound."""
    rows = []
    for result in results:
        entries = {entry.contender: entry for entry in result.entries}
        cells = [_error(entries.get(name)) for name in contenders]
        rows.append((result.case["shape"], *cells, f"{result.case['bound']}"))
    return aligned(title, ("m x n x k", *contenders, "bound"), rows)


def _error(entry: Entry | None) -> str:
    if entry is None or entry.difference is None:
        return "" if entry is None else "[bold red]FAILED[/]"
    text = f"{entry.difference:.2f}"
    return text if entry.problem is None else f"[bold red]{text}[/]"


def summary(results: Sequence[Result], threads: int) -> Iterator[Line]:
    """Compare the results for one number of threads with the goals."""
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
