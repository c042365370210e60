"""The tables of the benchmarks: plain text that fits 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from byhand.bench.peers import OURS
from byhand.bench.results import Entry, Result, contender_names
from rich.markup import escape
from rich.text import Text

LEGEND = (
    "median: the median time of a call, or of an epoch. spread: (max - min) / median.\n"
    "ratio: the contender's time divided by byhand's, the median over the rounds. Below 1, in "
    "red, byhand is slower. A table with one row for each case, and the summary, have the ratio "
    "of the fastest contender. mean: the geometric mean of the ratios.\n"
    "of peak: the GFLOP/s of the contender, or of byhand in a table with one row for each case, "
    "divided by the peak. The peak is the GFLOP/s of the same number of threads that only "
    "multiply and add. It is measured before and after each group, and the larger value counts. "
    "A share exceeds 100% if an algorithm needs fewer operations than the direct one, or if "
    "other work disturbed the measurement of the peak."
)
LADDER_LEGEND = (
    "GFLOP/s: the speed in the fastest round.\n"
    "gain: the speed of the step divided by the speed of the step before it. For byhand, the step "
    "before is the last one with the same number of threads.\n"
    "of peak: GFLOP/s divided by the peak. The peak is the GFLOP/s of the same number of threads "
    "that only multiply and add. It is measured before and after the steps, and the larger value "
    "counts."
)
# The units of time, in seconds. A value is shown in the largest unit in which it is at least 1.
UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))

# A row of a table: its cells in rich's markup, or one text that spans all columns.
Row = Sequence[str] | str
# A function that formats a cell of a table with one row for each contender. The last argument is
# the unit of time, in seconds.
Cell = Callable[[Result, Entry, float], str]


def unit_of(value: float) -> tuple[str, float]:
    """Return the name and the length of the unit for a time in seconds."""
    return next((unit for unit in UNITS if value >= unit[1]), UNITS[-1])


def digits(value: float | None) -> str:
    """Format two or three significant digits, or nothing for None."""
    if value is None:
        return ""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def seconds(value: float) -> str:
    """Format a time with its unit."""
    unit, size = unit_of(value)
    return f"{digits(value / size)} {unit}"


def percent(share: float | None) -> str:
    """Format a share of the peak, or nothing for None."""
    if share is None:
        return ""
    return f"{share:.0%}" if share <= 1 else "> 100%"


def ratio_text(ratio: float | None) -> str:
    """Format a ratio, or nothing for None. A ratio just below 1 does not become 1.00."""
    if ratio is None:
        return ""
    return f"{min(ratio, 0.999):.3f}" if 0.99 < ratio < 1 else f"{ratio:.2f}"


def red_below_one(ratio: float | None) -> str:
    """Format a ratio, in red if it is below 1, or nothing for None."""
    text = ratio_text(ratio)
    return f"[red]{text}[/]" if ratio is not None and ratio < 1 else text


def giga(rate: float | None) -> str:
    """Format a number of FLOP/s as GFLOP/s, or nothing for None."""
    return digits(None if rate is None else rate / 1e9)


def _ratio_cell(result: Result, entry: Entry, unit: float) -> str:
    return "" if entry.contender == OURS else red_below_one(entry.ratio)


def _of_peak_cell(result: Result, entry: Entry, unit: float) -> str:
    rate = result.rate(entry)
    return percent(None if rate is None else rate / result.peak)


def _per_image_cell(result: Result, entry: Entry, unit: float) -> str:
    return digits(entry.times.median / result.case["batch"] / unit) if entry.times else ""


# Columns of `by_contender`.
TIMES: dict[str, Cell] = {
    "median": lambda _, entry, unit: digits(entry.times.median / unit) if entry.times else "",
    "spread": lambda _, entry, unit: f"{entry.times.spread:.0%}" if entry.times else "",
    "ratio": _ratio_cell,
    "GFLOP/s": lambda result, entry, unit: giga(result.rate(entry)),
    "of peak": _of_peak_cell,
}
MEMORY: dict[str, Cell] = {
    "MB": lambda _, entry, unit: f"{(entry.rss or 0) / 1e6:.0f}",
    "faults/step": lambda _, entry, unit: f"{entry.faults or 0:.1f}",
}
PER_IMAGE: dict[str, Cell] = {"per image": _per_image_cell}


def by_contender(
    title: str, results: Sequence[Result], columns: Mapping[str, Cell] = TIMES
) -> Text:
    """Lay out one section for each case, with one row for each contender."""
    rows: list[Row] = []
    for result in results:
        times = [entry.times.median for entry in result.entries if entry.times]
        unit, size = unit_of(max(times, default=1.0))
        rows.append(f"[bold]{escape(result.case['label'])}[/], in {unit}")
        for entry in result.entries:
            if entry.problem is not None:
                rows.append(f"{entry.contender}: [bold red]{escape(entry.problem)}[/]")
                continue
            cells = (cell(result, entry, size) for cell in columns.values())
            rows.append((entry.contender, *cells))
            if entry.note:
                rows.append(f"  {entry.contender}: {escape(entry.note)}")
        rows.append("")
    return aligned(title, ("contender", *columns), rows)


def by_case(
    title: str,
    results: Sequence[Result],
    cell: Callable[[Result, Entry], str],
    columns: Mapping[str, Callable[[Result], str]],
    width: int | None = None,
) -> Text:
    """Lay out one row for each case, with a cell for each contender and then the other columns.

    The cell of a contender that failed has the first word of its problem. If the table is wider
    than `width`, the last column is left out.
    """
    names = contender_names(results)
    rows: list[Row] = []
    for result in results:
        cells = dict.fromkeys(names, "")
        for entry in result.entries:
            failure = f"[bold red]{entry.failure}[/]" if entry.failure else ""
            cells[entry.contender] = failure or cell(result, entry)
        others = (column(result) for column in columns.values())
        rows.append((escape(result.case["shape"]), *cells.values(), *others))
    return aligned(title, ("shape", *names, *columns), rows, width=width)


def products(title: str, results: Sequence[Result], width: int | None = None) -> Text:
    """Lay out the speed of each contender in each case, and the layer that has the shape."""

    def origin(result: Result) -> str:
        batch = f", batch {result.case['batch']}" if result.case["batch"] else ""
        return escape(f"{result.case['of']}{batch}")

    columns: dict[str, Callable[[Result], str]] = {
        "of peak": lambda result: percent(result.of_peak),
        "ratio": lambda result: red_below_one(result.ratio),
        "<from": origin,
    }
    speed = lambda result, entry: giga(result.rate(entry))  # noqa: E731
    return by_case(f"{title}, GFLOP/s", results, speed, columns, width)


def errors(title: str, results: Sequence[Result]) -> Text:
    """Lay out the largest error of each contender in each case, and its bound."""
    columns = {"bound": lambda result: str(result.case["bound"])}
    return by_case(title, results, lambda _, entry: f"{entry.difference:.2f}", columns)


def summary_table(title: str, lines: Sequence[Mapping[str, Any]]) -> Text:
    """Lay out the lines of `results.summary`."""
    rows = [
        (
            escape(line["group"]),
            str(line["cases"]),
            *map(red_below_one, (line["mean"], line["worst"])),
            escape(line["worst_case"]),
        )
        for line in lines
    ]
    return aligned(title, ("group", "cases", "mean", "worst", "<worst case"), rows)


def aligned(
    title: str, headings: Sequence[str], rows: Sequence[Row], *, width: int | None = None
) -> Text:
    """Lay out a table. The first column is aligned to the left, the others to the right.

    A column whose heading begins with "<" is aligned to the left, too. If the table is wider than
    `width`, the last column is left out.
    """
    left = [i == 0 or heading.startswith("<") for i, heading in enumerate(headings)]
    cells = [[Text(heading.lstrip("<"), style="bold") for heading in headings]]
    cells += [[Text.from_markup(cell) for cell in row] for row in rows if not isinstance(row, str)]
    widths = [max(row[i].cell_len for row in cells) for i in range(len(headings))]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        widths.pop()
    lines = [Text(title, style="italic"), _line(cells[0], widths, left)]
    tabular = iter(cells[1:])
    for row in rows:
        if isinstance(row, str):
            lines.append(Text.from_markup(row))
        else:
            lines.append(_line(next(tabular), widths, left))
    return Text("\n", no_wrap=False).join([*lines, Text()])


def _line(cells: Sequence[Text], widths: Sequence[int], left: Sequence[bool]) -> Text:
    padded = []
    for cell, width, to_left in zip(cells, widths, left, strict=False):
        space = Text(" " * (width - cell.cell_len))
        padded.append(cell + space if to_left else space + cell)
    line = Text("  ").join(padded)
    line.rstrip()
    return line
