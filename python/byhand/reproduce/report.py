"""The table of a reproduction in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from byhand.reproduce.checks import Check
from byhand.reproduce.figures import Row


def markdown(rows: Sequence[Row], checks: Sequence[Check], header: Sequence[str]) -> str:
    """header: lines above the table: when, where, with what."""
    lines = [*header, "", *_table(rows), ""]
    lines += [
        f"- {check.tutorial}: {check.what}: {check.result}{_verdict(check.passed)}"
        for check in checks
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    titles = ("", "network", "settings", "figure", "ours", "seeds", "epochs", "seconds", "")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"] if rows else []
    for row in rows:
        figure, unit = row.figure, "" if row.figure.lower else " %"
        theirs = "" if figure.theirs is None else f"{figure.theirs:g}{unit}"
        cells = (
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
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _verdict(passed: bool | None) -> str:
    return "" if passed is None else " (yes)" if passed else " (NO)"
