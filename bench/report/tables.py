"""The tables of the page of `byhand bench report`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from byhand.bench import tables
from byhand.bench.documents import Document, Part
from byhand.bench.peers import OURS
from byhand.bench.results import Entry, Result, contender_names, summary
from byhand.bench.run import describe_threads


@dataclass
class Table:
    """Headings and rows of plain text. `lost` has the numbers of the rows that byhand loses."""

    caption: str
    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def add(self, row: Sequence[str], *, lost: bool = False) -> None:
        if lost:
            self.lost.add(len(self.rows))
        self.rows.append(row)


def is_lost(result: Result) -> bool:
    """Whether a peer is faster than byhand."""
    return result.ratio is not None and result.ratio < 1


def fastest_peer(result: Result) -> str:
    """Return the name of the peer whose ratio the result has; it must have one."""
    peers = [e for e in result.entries if e.contender != OURS and e.ratio is not None]
    return min(peers, key=lambda entry: entry.ratio or 0).contender


def all_results(document: Document) -> Iterator[tuple[Part, Result]]:
    for part in document.parts:
        for result in part.results:
            yield part, result


def lost_cases(document: Document) -> Table:
    """Return a row for each case in which a peer is faster."""
    headings = ("benchmark", "case", "threads", "fastest", "byhand", "its time / byhand's")
    table = Table("Cases in which byhand is slower than the fastest peer", headings)
    lost = [(part, result) for part, result in all_results(document) if is_lost(result)]
    for part, result in sorted(lost, key=lambda pair: pair[1].ratio or 0):
        ours = result.ours.times if result.ours else None
        median = tables.seconds(ours.median) if ours else ""
        name, ratio = fastest_peer(result), tables.ratio_text(result.ratio)
        row = (part.command, result.name, str(result.threads), name, median, ratio)
        table.add(row, lost=True)
    return table


def problems(document: Document) -> Table:
    """Return a row for each contender that failed or was wrong in a case."""
    table = Table("Contenders that failed or were wrong", ("benchmark", "case", "contender", "why"))
    for part, result in all_results(document):
        for entry in result.entries:
            if entry.problem is not None:
                row = (part.command, result.name, entry.contender, entry.problem)
                table.add(row, lost=True)
    return table


def means(document: Document) -> Table:
    """Return the geometric mean and the smallest of the ratios of each group."""
    headings = ("benchmark", "group", "threads", "cases", "slower", "mean", "worst", "worst case")
    table = Table("The fastest peer's time divided by byhand's", headings)
    for part in document.parts:
        for threads in sorted({result.threads for result in part.results}):
            own = [result for result in part.results if result.threads == threads]
            for line in summary(own):
                group = line["group"]
                lost = sum(is_lost(r) for r in own if group in ("all", r.case["group"]))
                counts = (part.command, group, str(threads), str(line["cases"]), str(lost))
                ratios = map(tables.ratio_text, (line["mean"], line["worst"]))
                table.add((*counts, *ratios, line["worst_case"]), lost=line["mean"] < 1)
    return table


def memory_rates(document: Document) -> Table:
    table = Table(
        "Memory rates: all threads together add arrays of this number of bytes",
        ("bytes", "threads", "GB/s", "all measurements, GB/s"),
    )
    for rate in document.memory:
        every = ", ".join(tables.digits(value / 1e9) for value in rate.rates)
        best = tables.digits(rate.best / 1e9)
        table.add((size_text(rate.bytes), str(rate.threads), best, every))
    return table


def size_text(count: int) -> str:
    """Format a number of bytes in KiB or MiB."""
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def part_tables(part: Part) -> Iterator[Table]:
    """Yield the tables of a benchmark: for each group and number of threads, and of memory."""
    sections: dict[tuple[str, int], list[Result]] = {}
    for result in part.results:
        sections.setdefault((result.case["group"], result.threads), []).append(result)
    for (group, threads), results in sections.items():
        # The steps of the ladder are in no group, and a group may have the name of its command.
        names = dict.fromkeys((part.command, group, describe_threads(threads)))
        title = ", ".join(filter(None, names))
        if "bound" in results[0].case:
            yield _errors(f"{title}: largest error of an element", results)
        else:
            yield _times(title, results)
        if part.command in ("training", "inference"):
            yield _memory(f"{title}: largest memory of the process, MB", results)


Column = Callable[[Result], str]


def _times(title: str, results: Sequence[Result]) -> Table:
    others: dict[str, Column] = {}
    if any(result.flops for result in results):
        others["GFLOP/s"] = lambda r: tables.giga(r.rate(r.ours)) if r.ours else ""
        others["of peak"] = lambda r: tables.percent(r.of_peak)
    if any(result.bytes for result in results):
        others["GB/s"] = _bandwidth
    others["fastest peer / byhand"] = _ratio
    return _by_contender(f"{title}: median (spread)", results, _time, others)


def _time(_: Result, entry: Entry) -> str:
    if entry.times is None:
        return ""
    spread = f" ({entry.times.spread:.0%})" if len(entry.times.rounds) > 1 else ""
    return tables.seconds(entry.times.median) + spread


def _bandwidth(result: Result) -> str:
    times = result.ours.times if result.ours else None
    return tables.giga(result.bytes / times.median) if times and result.bytes else ""


def _ratio(result: Result) -> str:
    return tables.ratio_text(result.ratio) + (", slower" if is_lost(result) else "")


def _memory(title: str, results: Sequence[Result]) -> Table:
    def megabytes(_: Result, entry: Entry) -> str:
        return "" if entry.rss is None else f"{entry.rss / 1e6:.0f}"

    table = _by_contender(title, results, megabytes, {})
    # The table of the times has the notes, and is red where byhand loses.
    return Table(title, table.headings, table.rows)


def _errors(title: str, results: Sequence[Result]) -> Table:
    def difference(_: Result, entry: Entry) -> str:
        return "" if entry.difference is None else f"{entry.difference:.2g}"

    bound: dict[str, Column] = {"bound": lambda result: str(result.case.get("bound", ""))}
    return _by_contender(title, results, difference, bound)


def _by_contender(
    caption: str,
    results: Sequence[Result],
    cell: Callable[[Result, Entry], str],
    others: dict[str, Column],
) -> Table:
    """Return a table of one row for each case, with a cell for each contender.

    The cell of a contender that failed has the first word of its problem.
    """
    names = contender_names(results)
    table = Table(caption, ("case", *names, *others))
    notes: dict[str, Any] = {}
    for result in results:
        cells = dict.fromkeys(names, "")
        for entry in result.entries:
            cells[entry.contender] = entry.failure or cell(result, entry)
            text = entry.problem or entry.note
            if text:
                notes[f"{result.name}: {entry.contender}: {text}"] = None
        failed = result.ours is not None and result.ours.problem is not None
        row = (result.name, *cells.values(), *(column(result) for column in others.values()))
        table.add(row, lost=is_lost(result) or failed)
    table.notes += notes
    return table
