"""tools/sweep_page.py: the tables and the heat maps of docs/sweep.md."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import sweep_page
from byhand.bench.results import Entry, Result, Times
from byhand.bench.sweep.findings import Point
from byhand.bench.sweep.grids import Grid, grids

PRODUCTS = grids()["gemm NN, k = 256"]
POOLS = next(grid for grid in grids().values() if grid.family == "pool2d")


def point(grid: Grid, column: int, flops: int, ratios: dict[int, float]) -> Point:
    """Return a point of row 0 with these ratios, by number of threads. A call takes 1 ms."""
    found = Point(grid, 0, column)
    for threads, ratio in ratios.items():
        entries = [
            Entry("byhand", times=Times((1e-3 * threads,)), ratio=1.0),
            Entry("torch", times=Times((1e-3 * threads * ratio,)), ratio=ratio),
        ]
        found.results[threads] = Result({"work": 1}, threads, flops, entries)
    return found


def sweep(points: Sequence[Point]) -> sweep_page.Sweep:
    return sweep_page.Sweep("avx2", "a CPU", list(points), [1, 2])


def test_the_summary_compares_large_points_and_those_limited_by_memory() -> None:
    points = [
        point(PRODUCTS, 0, 10**6, {1: 0.5, 2: 2.0}),
        point(PRODUCTS, 1, 10**7, {1: 2.0}),
        point(PRODUCTS, 2, 10**5, {1: 0.1}),
        point(POOLS, 0, 0, {1: 0.2}),
    ]
    points[1].excess[1] = 1.6
    rows = sweep_page.summary(sweep(points)).splitlines()[2:]
    assert rows == [
        "| `gemm` | 1 | 3 | 1 | 2 | 1.00 | 1 |",
        "| `gemm` | 2 | 1 | 0 | 1 | 2.00 | 0 |",
        "| `pool2d` | 1 | 1 | 0 | 1 | 0.20 | 1 |",
    ]


def test_the_worst_points_come_first() -> None:
    points = [point(PRODUCTS, i, 10**6, {1: ratio}) for i, ratio in enumerate((0.8, 0.3, 1.2))]
    first, *_ = sweep_page.worst(sweep(points))
    rows = first.splitlines()
    assert rows[0] == "`gemm`: 2 of 3 points of at least 1 MFLOP have a ratio below 0.9, 1 thread:"
    assert [row.rpartition("| ")[2] for row in rows[4:]] == ["0.30 |", "0.80 |"]
    assert f"n {PRODUCTS.columns.sizes[1]}" in rows[4]


def test_a_point_that_is_slower_on_more_threads() -> None:
    *_, last = sweep_page.worst(sweep([point(PRODUCTS, 0, 10**6, {1: 1.0, 2: 1.0})]))
    assert "1 of 1 points take more than 1.05 times as long on 2 threads as on 1 thread" in last
    assert last.splitlines()[-1].endswith("| 2.00 |")


def test_only_the_text_between_the_comments_changes() -> None:
    page = f"before\n{sweep_page.START}old\n{sweep_page.END}\nafter\n"
    sweeps = [sweep([point(PRODUCTS, 0, 10**6, {1: 0.5})])]
    new = sweep_page.written(page, sweeps, lambda sweep, family: f"{family}_{sweep.isa}.png")
    assert new.startswith(f"before\n{sweep_page.START}\n## With avx2, on a CPU\n")
    assert "](gemm_avx2.png)" in new and "pool2d" not in new
    assert new.endswith(f"{sweep_page.END}\nafter\n")
    with pytest.raises(SystemExit, match="the page must have the lines"):
        sweep_page.written("nothing", sweeps, lambda sweep, family: "")


def test_a_map_is_a_picture() -> None:
    assert sweep_page.draw(sweep([point(PRODUCTS, 0, 10**6, {1: 0.5})]), "gemm")[1:4] == b"PNG"
