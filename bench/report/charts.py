"""The charts of the page of `byhand bench report`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from byhand.bench import tables
from byhand.bench.documents import Document, MemoryRate
from byhand.bench.peers import OURS
from byhand.bench.report.svg import DASHES, INK, MARKERS, SERIES, Chart, look, make_chart
from byhand.bench.report.tables import Table, all_results, size_text
from byhand.bench.results import Entry, Learned, Result, contender_names
from byhand.bench.run import describe_threads
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

# The points of one kind of kernel in the roofline: FLOP per byte, and FLOP/s.
Points = list[tuple[float, float]]


def charts(document: Document) -> Iterator[Chart]:
    """Yield the charts for which the document has figures, for each number of threads."""
    makers: dict[str, Callable[[list[Result], int], Chart | None]] = {
        "gemm": _gemm,
        "training": _training,
        "accuracy": _accuracy,
    }
    for threads in sorted({result.threads for _, result in all_results(document)}):
        own = [(part.command, r) for part, r in all_results(document) if r.threads == threads]
        memory = [rate for rate in document.memory if rate.threads == threads]
        made = [_roofline([r for _, r in own if r.bytes and r.flops], memory, threads)]
        made += [
            make([r for name, r in own if name == key], threads) for key, make in makers.items()
        ]
        yield from (chart for chart in made if chart is not None)


def _table(title: str, threads: int, headings: Sequence[str]) -> Table:
    return Table(f"{title}, {describe_threads(threads)}: the figures", headings)


def _roofline(
    results: Sequence[Result], memory: Sequence[MemoryRate], threads: int
) -> Chart | None:
    # The call of a product of 1 x 1 x 1 measures the time of the call, not the arithmetic.
    results = [r for r in results if r.case["group"] != "call" and r.ours and r.ours.times]
    if not results or not memory:
        return None
    peak = max(result.peak for result in results)
    main = max(memory, key=lambda rate: rate.bytes)
    headings = ("case", "FLOP/byte", "GFLOP/s", "roof of main memory, GFLOP/s", "of this roof")
    table = _table("Roofline", threads, headings)
    points: dict[str, Points] = {}
    for result in results:
        intensity, rate = result.flops / result.bytes, _rate(result, OURS) or 0.0
        family = str(result.case.get("op", "")).partition("_")[0]
        points.setdefault(family, []).append((intensity, rate))
        roof = min(peak, main.best * intensity)
        figures = (tables.giga(rate), tables.giga(roof), f"{rate / roof:.0%}")
        table.add((result.name, tables.digits(intensity), *figures))
    fastest = max(results, key=lambda r: r.of_peak or 0)
    description = (
        f"Roofline on {describe_threads(threads)}: a point for each of {len(results)} cases of "
        f"byhand. The flat roof is the multiply-add peak, {peak / 1e9:.0f} GFLOP/s. The slope of "
        f"main memory is {main.best / 1e9:.0f} GB/s. The case with the largest share of the peak "
        f"is {fastest.name}: {tables.percent(fastest.of_peak)}."
    )

    def draw(figure: Figure) -> None:
        _draw_roofline(figure, points, memory, peak)

    return make_chart("roofline", threads, table, description, 4.6, draw)


def _draw_roofline(
    figure: Figure, points: dict[str, Points], memory: Sequence[MemoryRate], peak: float
) -> None:
    axes: Any = figure.subplots()
    _draw_roofs(axes, [x for own in points.values() for x, _ in own], memory, peak)
    for i, (family, own) in enumerate(points.items()):
        x, y = np.array(own).T
        color, marker = SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]
        axes.plot(x, y / 1e9, marker, color=color, label=family, alpha=0.8)
    rates = [rate for own in points.values() for _, rate in own]
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte of the arrays", ylabel="GFLOP/s")
    axes.set_ylim(min(rates) / 2e9, 2 * max(peak, *rates) / 1e9)
    for axis, steps in ((axes.xaxis, (1.0,)), (axes.yaxis, (1.0, 2.0, 5.0))):
        axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    figure.legend(loc="outside lower center", ncols=3)


def _draw_roofs(
    axes: Any, intensities: Sequence[float], memory: Sequence[MemoryRate], peak: float
) -> None:
    """Draw the peak, and a slope for each rate of memory up to the peak."""
    start = peak / max(rate.best for rate in memory)  # where the steepest slope meets the peak
    left, right = min(start, *intensities) / 2, 2 * max(start, *intensities)
    for rate, dashes in zip(sorted(memory, key=lambda rate: rate.bytes), DASHES, strict=False):
        x = np.array([left, min(right, peak / rate.best)])
        label = f"{size_text(rate.bytes)}: {rate.best / 1e9:.0f} GB/s"
        axes.plot(x, x * rate.best / 1e9, color=INK, linestyle=dashes, linewidth=1, label=label)
    label = f"peak: {peak / 1e9:.0f} GFLOP/s"
    axes.plot([start, right], [peak / 1e9] * 2, color=INK, linewidth=2, label=label)


def _gemm(results: Sequence[Result], threads: int) -> Chart | None:
    cubes = [r for r in results if r.case["group"] == "cubes" and isinstance(r.case.get("m"), int)]
    cubes = [result for result in cubes if _timed(result)]
    if not cubes:
        return None
    # A contender that failed in all of them has no line.
    names = [name for name in _contenders(cubes) if any(_rate(r, name) for r in cubes)]
    headings = ("size", *(f"{name}, GFLOP/s" for name in names), "byhand, of peak")
    table = _table("Matrix products", threads, headings)
    for result in cubes:
        cells = (tables.giga(_rate(result, name)) for name in names)
        table.add((str(result.case["m"]), *cells, tables.percent(result.of_peak)))
    best = max(cubes, key=lambda r: r.of_peak or 0)
    description = (
        f"GFLOP/s of products of square matrices on {describe_threads(threads)}, for "
        f"{cubes[0].case['m']} to {cubes[-1].case['m']} rows, with a line for each of "
        f"{', '.join(names)}."
    )
    if best.of_peak is not None:
        share = tables.percent(best.of_peak)
        description += f" byhand's largest share of the peak is {share}, at {best.case['m']} rows."

    def draw(figure: Figure) -> None:
        _draw_gemm(figure, cubes, names)

    return make_chart("gemm", threads, table, description, 4.2, draw)


def _draw_gemm(figure: Figure, cubes: Sequence[Result], names: Sequence[str]) -> None:
    axes: Any = figure.subplots()
    peak = max(result.peak for result in cubes) / 1e9
    highest = peak
    for name in names:
        rates = [(r.case["m"], rate / 1e9) for r in cubes if (rate := _rate(r, name))]
        if rates:
            x, y = np.array(rates).T
            axes.plot(x, y, label=name, **look(name, names))
            highest = max(highest, y.max())
    axes.axhline(peak, color=INK, linestyle="--", linewidth=1, label="peak")
    sizes = sorted({result.case["m"] for result in cubes})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_ylim(0, 1.05 * highest)
    axes.set(xlabel="rows and columns of the three matrices", ylabel="GFLOP/s")
    share = axes.secondary_yaxis(
        "right", functions=(lambda y: 100 * y / peak, lambda p: p * peak / 100)
    )
    share.set_ylabel("percent of the peak")
    figure.legend(loc="outside lower center", ncols=3)


def _training(results: Sequence[Result], threads: int) -> Chart | None:
    results = [result for result in results if _timed(result)]
    if not results:
        return None
    headings = ("model", "contender", "seconds per epoch", "divided by byhand's", "note")
    table = _table("Time per epoch", threads, headings)
    for result in results:
        for entry in _timed(result):
            seconds = tables.digits(_median(entry))
            ratio = tables.ratio_text(entry.ratio)
            row = (result.name, entry.contender, seconds, ratio, entry.note)
            table.add(row, lost=entry.ratio is not None and entry.ratio < 1)
    told = "; ".join(
        f"{result.name}: "
        + ", ".join(f"{e.contender} {tables.seconds(_median(e))}" for e in _timed(result))
        for result in results
    )
    description = f"Time per epoch on {describe_threads(threads)}. {told}."
    rows = [1 + len(_timed(result)) for result in results]

    def draw(figure: Figure) -> None:
        _draw_training(figure, results, rows)

    height = 0.55 * len(results) + 0.27 * sum(rows)
    return make_chart("training", threads, table, description, height, draw)


def _draw_training(figure: Figure, results: Sequence[Result], rows: Sequence[int]) -> None:
    names = _contenders(results)
    every: Any = figure.subplots(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axes, result in zip(every, results, strict=True):
        entries = _timed(result)
        values = [_median(entry) for entry in entries]
        colors = [look(entry.contender, names)["color"] for entry in entries]
        bars = axes.barh([entry.contender for entry in entries], values, color=colors)
        axes.bar_label(bars, [tables.seconds(value) for value in values], padding=3)
        axes.set_title(result.name, loc="left", fontsize="medium")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.18 * max(values))
        axes.grid(False)
    every[-1].set_xlabel("seconds; each model has its own scale")


def _accuracy(results: Sequence[Result], threads: int) -> Chart | None:
    every = [(result, entry) for result in results for entry in result.entries]
    runs = [(result, e) for result, e in every if isinstance(e, Learned) and e.ends]
    if not runs:
        return None
    headings = ("seed", "contender", "seconds: accuracy in percent")
    table = _table("Accuracy over time", threads, headings)
    for result, entry in runs:
        pairs = zip(entry.ends, entry.accuracies, strict=True)
        curve = ", ".join(f"{end:.1f}: {100 * accuracy:.2f}" for end, accuracy in pairs)
        table.add((str(result.case.get("seed", "")), entry.contender, curve))
    told = ", ".join(
        f"{e.contender} {100 * e.accuracies[-1]:.2f} % after {e.ends[-1]:.1f} s" for _, e in runs
    )
    description = (
        f"Accuracy of LeNet-5 on the test images over the time of training, on "
        f"{describe_threads(threads)}, with a point for each epoch. The last points: {told}."
    )
    targets = {result.case.get("target") for result in results}

    def draw(figure: Figure) -> None:
        numbers = [target for target in targets if isinstance(target, int | float)]
        _draw_accuracy(figure, [entry for _, entry in runs], numbers)

    return make_chart("accuracy", threads, table, description, 4.0, draw)


def _draw_accuracy(figure: Figure, runs: Sequence[Learned], targets: Sequence[float]) -> None:
    axes: Any = figure.subplots()
    names = list(dict.fromkeys(entry.contender for entry in runs))
    shown: set[str] = set()
    for entry in runs:
        label = None if entry.contender in shown else entry.contender
        shown.add(entry.contender)
        percents = [100 * accuracy for accuracy in entry.accuracies]
        axes.plot(entry.ends, percents, label=label, **look(entry.contender, names))
    for target in targets:
        label = f"target: {target:g} %"
        axes.axhline(target, color=INK, linestyle="--", linewidth=1, label=label)
    axes.set_xlim(0, None)
    axes.set(xlabel="seconds since the start of the process", ylabel="accuracy, percent")
    figure.legend(loc="outside lower center", ncols=3)


def _contenders(results: Sequence[Result]) -> list[str]:
    """Return the names of all contenders, byhand first."""
    return sorted(contender_names(results), key=lambda name: name != OURS)


def _timed(result: Result) -> list[Entry]:
    return [entry for entry in result.entries if entry.times]


def _median(entry: Entry) -> float:
    assert entry.times is not None
    return entry.times.median


def _rate(result: Result, name: str) -> float | None:
    entry = next((entry for entry in result.entries if entry.contender == name), None)
    return None if entry is None else result.rate(entry)
