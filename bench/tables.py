"""Tables in plain text that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

# Cells, with rich's markup, or a line that goes across all columns.
Row = Sequence[str] | str


def aligned(
    title: str, headings: Sequence[str], rows: Sequence[Row], *, width: int | None = None
) -> Text:
    """Lay out a table: the first column to the left, the others to the right.

    A column whose heading begins with "<" is aligned to the left, too. With `width`, the last
    column is left out if the table is wider.
    """
    left = [i == 0 or heading.startswith("<") for i, heading in enumerate(headings)]
    cells = [[Text(heading.lstrip("<"), style="bold") for heading in headings]]
    cells += [[Text.from_markup(cell) for cell in row] for row in rows if not isinstance(row, str)]
    widths = [max(row[i].cell_len for row in cells) for i in range(len(headings))]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        widths.pop()
    lines = [Text(title, style="italic")]
    if any(headings):
        lines.append(_line(cells[0], widths, left))
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
