"""tools/kernel_table.py: the table of all kernels in docs/figures.md."""

from __future__ import annotations

import kernel_table
import pytest
from byhand.bench.results import Entry, Result, Times


def result(**seconds: float) -> Result:
    ours = Times((seconds["byhand"],))
    entries = [
        Entry(name.replace("_", "-"), times=Times((value,)), ratio=Times((value,)).over(ours))
        for name, value in seconds.items()
    ]
    return Result({"label": "relu MLP", "op": "relu", "shape": "MLP", "batch": 128}, 2, 0, entries)


def test_a_row_has_the_faster_layout_of_pytorch() -> None:
    rows = kernel_table.table(
        [result(byhand=2e-6, numpy=6e-6, torch=5e-6, torch_channels_last=1e-6)]
    )
    assert rows.splitlines()[2] == "| `relu` | MLP | 2.00 | 6.00 | 1.00 | 3.00 | 0.50 |"


def test_a_contender_that_failed_has_an_empty_cell() -> None:
    slow = result(byhand=2e-6, numpy=6e-6)
    slow.entries[1] = Entry("numpy", problem="FAILED: no memory")
    assert kernel_table.table([slow]).splitlines()[2] == "| `relu` | MLP | 2.00 |  |  |  |  |"


def test_only_the_text_between_the_comments_changes() -> None:
    page = f"before\n{kernel_table.START}old\n{kernel_table.END}\nafter\n"
    new = kernel_table.written(page, [result(byhand=1e-6, numpy=2e-6)])
    assert new.startswith(f"before\n{kernel_table.START}\n| kernel |")
    assert new.endswith(f"|  |\n\n{kernel_table.END}\nafter\n")
    assert kernel_table.written(new, [result(byhand=1e-6, numpy=2e-6)]) == new


def test_a_page_without_the_comments() -> None:
    with pytest.raises(SystemExit, match="must have the lines"):
        kernel_table.written("no comments", [])
