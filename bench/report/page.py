"""The HTML page of `byhand bench report`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Any

from byhand.bench.documents import Document, isa_of
from byhand.bench.machine import load_warning
from byhand.bench.report import tables
from byhand.bench.report.charts import charts
from byhand.bench.report.svg import Chart
from byhand.bench.report.tables import Table, all_results, is_lost

# A number, perhaps with a unit, a spread, or the word for a lost case.
_NUMBER = re.compile(r"(> )?[\d.]+(e[-+]\d+)?%?( [a-z]+)?( \(\d+%\))?(, slower)?")
_NUMERIC = {True: " class=number", False: ""}  # columns of numbers are aligned to the right
TEMPLATE = Path(__file__).with_name("page.html")


def page(document: Document) -> str:
    """Return the page. All of its texts are escaped, and it needs no other file."""
    drawn = list(charts(document))
    parts = [(f"part-{i}", part) for i, part in enumerate(document.parts)]
    links = [(chart.key, chart.title) for chart in drawn]
    links += [(key, f"All figures of {part.command}") for key, part in parts]
    sections = []
    for key, part in parts:
        own = "".join(map(_table, tables.part_tables(part)))
        command = f"<p><code>{html.escape(part.command_line)}</code></p>"
        title = html.escape(f"All figures of {part.command}")
        sections.append(f'<section id="{key}">\n<h2>{title}</h2>\n{command}\n{own}</section>')
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(f"Benchmarks of byhand, {_text(document.machine.get('date'))[:10]}"),
        command=html.escape(document.command_line),
        warning=_warning(document),
        summary=_summary(document),
        machine=_machine(document),
        contents="\n".join(
            f'<li><a href="#{key}">{html.escape(title)}</a></li>' for key, title in links
        ),
        charts="\n".join(map(_chart, drawn)),
        parts="\n".join(sections),
    )


def _summary(document: Document) -> str:
    compared = [r for _, r in all_results(document) if r.ratio is not None]
    lost = sum(map(is_lost, compared))
    wrong = tables.problems(document)
    text = (
        f"byhand is slower than the fastest peer in <strong>{lost} of {len(compared)}</strong> "
        "cases. Results of contenders that failed or were wrong: "
        f"<strong>{len(wrong.rows)}</strong>."
    )
    own = [tables.means(document), tables.lost_cases(document), wrong]
    return f"<p>{text}</p>\n" + "".join(_table(table) for table in own if table.rows)


def _warning(document: Document) -> str:
    """Return a warning if the machine did other work when the measurements began."""
    load, processors = document.machine.get("load"), document.machine.get("usable_processors")
    first = load[0] if isinstance(load, list) and load else None
    if not isinstance(first, int | float) or not isinstance(processors, int):
        return ""
    text = load_warning(first, processors)
    return f'<p class="warning">{html.escape(text)}</p>' if text else ""


def _machine(document: Document) -> str:
    rows = "\n".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(_text(value))}</dd></div>"
        for name, value in _properties(document)
    )
    memory = tables.memory_rates(document)
    return f"<dl>\n{rows}\n</dl>\n" + (_table(memory) if memory.rows else "")


def _properties(document: Document) -> Iterator[tuple[str, Any]]:
    machine = document.machine
    own = machine.get("byhand")
    config: dict[str, Any] = own if isinstance(own, dict) else {}
    yield "date", machine.get("date")
    yield "CPU", machine.get("cpu")
    yield "processors", f"{_text(machine.get('usable_processors'))} usable"
    yield "caches of a processor", machine.get("caches")
    yield "instruction set", isa_of(machine)
    peaks: dict[int, float] = {}
    for _, result in all_results(document):
        peaks[result.threads] = max(peaks.get(result.threads, 0.0), result.peak)
    for threads, peak in sorted(peaks.items()):
        yield f"multiply-add peak, threads: {threads}", f"{peak / 1e9:.0f} GFLOP/s"
    yield "load average before", machine.get("load")
    yield "frequency governor", machine.get("governor")
    yield "system", machine.get("system")
    yield "compiler", config.get("compiler")
    yield "commit", machine.get("commit")
    yield "Python", machine.get("python")
    yield from document.versions.items()


def _text(value: Any) -> str:
    if value is None or value == []:
        return "not known"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _chart(chart: Chart) -> str:
    title, description = html.escape(chart.title), html.escape(chart.description)
    return (
        f'<section id="{chart.key}">\n<h2>{title}</h2>\n'
        f"<figure>\n{chart.svg}\n<figcaption>{description}</figcaption>\n</figure>\n"
        f"{_table(chart.table)}</section>"
    )


def _table(table: Table) -> str:
    """Return a table that can be scrolled. Rows that byhand loses are of the class `lost`."""
    numeric = [
        i > 0 and any(_NUMBER.fullmatch(cell) for cell in column)
        for i, column in enumerate(zip(table.headings, *table.rows, strict=True))
    ]
    heads = "".join(
        f'<th scope="col"{_NUMERIC[number]}>{html.escape(text)}</th>'
        for text, number in zip(table.headings, numeric, strict=True)
    )
    rows = "\n".join(
        f"<tr{' class=lost' if i in table.lost else ''}>{_cells(row, numeric)}</tr>"
        for i, row in enumerate(table.rows)
    )
    label = html.escape(table.caption)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">\n'
        f"<table>\n<caption>{label}</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n"
        + (f"<ul class=notes>{notes}</ul>\n" if notes else "")
    )


def _cells(row: Sequence[str], numeric: Sequence[bool]) -> str:
    """Return the cells of a row. The first is the heading of the row."""
    cells = [
        f"<td{_NUMERIC[number]}>{html.escape(text)}</td>"
        for text, number in zip(row[1:], numeric[1:], strict=True)
    ]
    return f'<th scope="row">{html.escape(row[0])}</th>' + "".join(cells)
