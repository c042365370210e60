"""Write the table of all kernels into docs/figures.md.

byhand bench kernels --threads 2 --peers numpy,torch,torch-channels-last --json kernels.json
python tools/kernel_table.py kernels.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from byhand.bench import documents
from byhand.bench.results import Entry, Result
from byhand.bench.tables import digits, ratio_text
from byhand.files.atomic import write_atomic

PAGE = Path(__file__).parents[1] / "docs" / "figures.md"
NAMES = ("byhand", "NumPy", "PyTorch")
START, END = "<!-- kernels -->\n", "<!-- end of kernels -->"


def _fastest(result: Result, names: Sequence[str]) -> Entry | None:
    own = [e for e in result.entries if e.contender in names and e.times is not None]
    return min(own, key=lambda entry: entry.times.median if entry.times else 0, default=None)


def _cells(result: Result) -> Iterator[str]:
    for names in (["byhand"], ["numpy"], ["torch", "torch-channels-last"]):
        entry = _fastest(result, names)
        yield digits(entry.times.median * 1e6) if entry and entry.times else ""
    for names in (["numpy"], ["torch", "torch-channels-last"]):
        entry = _fastest(result, names)
        yield ratio_text(entry.ratio) if entry else ""


def table(results: Sequence[Result]) -> str:
    """Return the table in Markdown: a row for each kernel and shape."""
    rows: list[tuple[str, ...]] = [
        (
            "kernel",
            "shape",
            *(f"{name}, us" for name in NAMES),
            *(f"{n} / byhand" for n in NAMES[1:]),
        ),
        ("---", "---", *["---:"] * 5),
    ]
    for result in results:
        rows.append((f"`{result.case['op']}`", result.case["shape"], *_cells(result)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written(text: str, results: Sequence[Result]) -> str:
    """Return the text of the page with a new table between its two comments."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"the page must have the lines {START.strip()} and {END}")
    return f"{before}{start}\n{table(results)}\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a file of `byhand bench kernels --json`")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to change")
    arguments = parser.parse_args()
    document = documents.read(arguments.file)
    results = [r for part in document.parts if part.command == "kernels" for r in part.results]
    if not results:
        raise SystemExit(f"{arguments.file} has no results of `byhand bench kernels`")
    write_atomic(arguments.page, written(arguments.page.read_text(), results).encode())


if __name__ == "__main__":
    main()
