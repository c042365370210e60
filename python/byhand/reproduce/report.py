"""Format the table of `byhand reproduce`, in Markdown or as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from byhand.reproduce.checks import Check
from byhand.reproduce.figures import Row


def markdown(rows: Sequence[Row], checks: Sequence[Check], header: Sequence[str]) -> str:
    """Format the table in Markdown.

    Parameters
    ----------
    rows : sequence of Row
        The rows of the figures.
    checks : sequence of Check
        The outcomes of the checks, which follow the rows.
    header : sequence of str
        The lines above the table.

    Returns
    -------
    str
        The text, which ends with a newline.
    """
    lines = [*header, "", *_table(rows), ""]
    lines += [
        f"- {check.tutorial}: {check.what}: {check.result}{_verdict(check.passed)}"
        for check in checks
    ]
    return "\n".join(lines).rstrip() + "\n"


def plain(
    rows: Sequence[Row], checks: Sequence[Check], header: Sequence[str], columns: int = 80
) -> str:
    """Format the table for a terminal.

    Parameters
    ----------
    rows : sequence of Row
        The rows of the figures.
    checks : sequence of Check
        The outcomes of the checks, which follow the rows.
    header : sequence of str
        The lines above the table.
    columns : int
        The largest number of characters per line. Values below 40 are raised to 40.

    Returns
    -------
    str
        The text, which ends with a newline.
    """
    lines = [*_wrapped(" ".join(header), "", columns)]
    for row in rows:
        _, network, settings, theirs, ours, seeds, epochs, seconds, verdict = _cells(row)
        lines += ["", *_wrapped(f"{row.figure.tutorial}  {network}", "", columns)]
        lines += _wrapped(settings, "   ", columns)
        passes = "epoch" if epochs == "1" else "epochs"
        published = f"published {theirs}, " if theirs else ""
        result = f"{published}ours {ours} ({seeds} by seed), {epochs} {passes}, {seconds} s"
        lines += _wrapped(f"{result}: {verdict}" if verdict else result, "   ", columns)
    lines.append("")
    for check in checks:
        text = f"{check.tutorial}  {check.what}: {check.result}{_verdict(check.passed)}"
        lines += _wrapped(text, "", columns)
    return "\n".join(lines).strip() + "\n"


def _wrapped(text: str, indent: str, columns: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(40, columns),
        initial_indent=indent,
        subsequent_indent=f"{indent}   ",
        break_on_hyphens=False,
    )


def _table(rows: Sequence[Row]) -> list[str]:
    titles = ("", "network", "settings", "figure", "ours", "seeds", "epochs", "seconds", "")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"] if rows else []
    return lines + [f"| {' | '.join(_cells(row))} |" for row in rows]


def _cells(row: Row) -> tuple[str, ...]:
    figure, unit = row.figure, "" if row.figure.lower else " %"
    theirs = "" if figure.theirs is None else f"{figure.theirs:g}{unit}"
    return (
        figure.tutorial,
        figure.network,
        row.way.settings,
        f"at most {theirs}" if figure.lower and theirs else theirs,
        f"{row.ours:.2f}{unit}",
        ", ".join(f"{value:.2f}" for value in row.values),
        str(len(row.histories[0])),
        f"{row.seconds:.0f}",
        "" if figure.theirs is None else "reached" if row.reached else "not reached",
    )


def _verdict(passed: bool | None) -> str:
    return "" if passed is None else " (yes)" if passed else " (NO)"
