"""The paths through gemm: both sides of every decision in csrc/cpu/gemm/.

No function tells which path a product took, but these shapes reach every path on every instruction
set. Tiles have at most 14 rows and 8 vectors of 16 columns. Small integers make sums exact in any
order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import byhand
import numpy as np
import pytest
from byhand import kernels
from calls import Array, Call, Fill
from guard import Fence
from ops import check_exact
from tolerance import assert_same_bits

HIGHEST, WIDEST = 14, 8 * 16
HEIGHTS = range(1, 2 * HIGHEST + 2)  # one, two and three tiles of any height
WIDTHS = range(1, WIDEST + 2)  # the last vector is full, partial, or at most half full
PACKED_B = 4 * HIGHEST + 1  # with this number of rows, B is packed if its columns are not adjacent
LARGE_B = 24 * HIGHEST + 1  # with this number of rows, B is packed if it has at least 32,768 values
PACKED_A = 7 * WIDEST + 5  # with this many columns, A is packed if its rows or columns alias


def spread(x: Array) -> Array:
    """Return x with gaps of NaN between rows and columns. The rows are stored backwards."""
    memory = np.full((2 * x.shape[0], 3 * x.shape[1]), np.nan, np.float32)
    memory[::-2, ::3] = x
    return memory[::-2, ::3]


def aliased_rows(x: Array) -> Array:
    """Return x with rows 512 floats (2 KiB) apart, so that many rows share a cache set."""
    memory = np.full((x.shape[0], 512), np.nan, np.float32)
    memory[:, : x.shape[1]] = x
    return memory[:, : x.shape[1]]


def aliased_columns(x: Array) -> Array:
    return aliased_rows(x.T).T


def aliased_and_spread(x: Array) -> Array:
    """Return x with rows 1024 floats apart and columns 2 floats apart."""
    memory = np.full((x.shape[0], 1024), np.nan, np.float32)
    memory[:, : 2 * x.shape[1] : 2] = x
    return memory[:, : 2 * x.shape[1] : 2]


Layout = Callable[[Array], Array]
LAYOUTS: tuple[Layout, ...] = (np.ascontiguousarray, np.asfortranarray, spread)
layouts_of_a = pytest.mark.parametrize("layout_a", LAYOUTS)
layouts_of_b = pytest.mark.parametrize("layout_b", LAYOUTS)


def check_parts(a: Array, b: Array, rows: Iterable[int], columns: Iterable[int]) -> None:
    """Check the products of the first m rows of a and the first n columns of b."""
    expected = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.float32)
    for m, n in product(rows, columns):
        assert_same_bits(kernels.gemm(a[:m], b[:, :n]), expected[:m, :n], f"{m} x {n}")


@layouts_of_a
@layouts_of_b
def test_every_tile(layout_a: Layout, layout_b: Layout, isa: str, rng: np.random.Generator) -> None:
    """Tiles of every height, width and edge. A is read in place, and B in place or packed.

    Products of up to 4 terms whose B has contiguous rows have a kernel of their own.
    """
    fill = Fill(rng, integers=True)
    for k in (1, 2, 3, 4, 5):
        a, b = layout_a(fill(HEIGHTS[-1], k)), layout_b(fill(k, WIDTHS[-1]))
        check_parts(a, b, HEIGHTS, WIDTHS)


@layouts_of_b
def test_every_panel_of_b(layout_b: Layout, isa: str, rng: np.random.Generator) -> None:
    """Panels of every width. Their depth is one vector of any instruction set, or a little more."""
    fill = Fill(rng, integers=True)
    for k in (1, 16, 21):
        a, b = fill(PACKED_B, k), layout_b(fill(k, WIDTHS[-1]))
        check_parts(a, b, [PACKED_B - 1, PACKED_B], WIDTHS)


@pytest.mark.parametrize(
    ("rows", "layout"),
    [(LARGE_B, np.ascontiguousarray), (2 * HIGHEST + 1, aliased_rows)],
    ids=["many rows", "aliased"],
)
def test_panels_of_a_large_b(
    rows: int, layout: Layout, isa: str, threads: int, rng: np.random.Generator
) -> None:
    """B is copied although its columns are adjacent: panels of many widths, in several steps.

    The aliased B is read in place if it stays in a large L2.
    """
    fill = Fill(rng, integers=True)
    for k in (300, 1030):
        a, b = fill(rows, k), layout(fill(k, WIDTHS[-1]))
        check_parts(
            a, b, [rows], WIDTHS[-20:]
        )  # 32,768 values are reached at k = 300 with 110 columns


@pytest.mark.parametrize("layout", [aliased_rows, aliased_columns, aliased_and_spread])
def test_every_panel_of_a(layout: Layout, isa: str, rng: np.random.Generator) -> None:
    fill = Fill(rng, integers=True)
    for k in (5, 16, 21):
        a, b = layout(fill(HEIGHTS[-1], k)), fill(k, PACKED_A)
        check_parts(a, b, HEIGHTS, [WIDEST, PACKED_A])


@layouts_of_a
@layouts_of_b
def test_every_dot(layout_a: Layout, layout_b: Layout, isa: str, rng: np.random.Generator) -> None:
    """Dots of every height and width: few rows, a long sum, and a full or partial last vector."""
    fill = Fill(rng, integers=True)
    for k in (64, 67, 256, 263):
        a, b = layout_a(fill(9, k)), layout_b(fill(k, 17))
        check_parts(a, b, range(1, 10), range(1, 18))


@layouts_of_a
@layouts_of_b
def test_narrow_products(
    layout_a: Layout, layout_b: Layout, isa: str, threads: int, rng: np.random.Generator
) -> None:
    """Products with fewer columns than lanes use dots, even if B must be transposed for them.

    If the columns of A are contiguous and there are enough rows, they use the transposed product.
    """
    fill = Fill(rng, integers=True)
    sizes = [(200, 3, 1001), (301, 2, 401), (60, 5, 701), (61, 2, 303), (301, 1, 97)]
    sizes += [(64, 3, 32), (67, 10, 33), (65, 12, 40)]
    for m, n, k in sizes:
        a, b = layout_a(fill(m, k)), layout_b(fill(k, n))
        for c in (fill(m, n), fill(m, 2 * n)[:, ::2]):  # contiguous and strided C
            call = Call("gemm", (a, b, c), {"alpha": -1.0, "beta": 2.0})
            check_exact(call, call.kernel())
        result = fill(m, n)
        call = Call("gemm", (a, b, result.copy()), {"beta": 3.0})
        check_exact(call, (kernels.gemm(a, b, result, beta=3.0, out=result),))


@layouts_of_b
@pytest.mark.parametrize("m,n", [(1, 300), (15, 33), (PACKED_B, 130)])
def test_steps_of_the_depth(
    m: int, n: int, layout_b: Layout, isa: str, rng: np.random.Generator
) -> None:
    """C is scaled and added once, in the first step of the depth, for any stride of C."""
    fill = Fill(rng, integers=True)
    for k in (511, 512, 513, 1024, 1025):
        a, b = fill(m, k), layout_b(fill(k, n))
        for c in (fill(m, n), fill(m, 3 * n)[:, :n], np.broadcast_to(fill(n), (m, n))):
            call = Call("gemm", (a, b, c), {"alpha": -1.0, "beta": 2.0})
            check_exact(call, call.kernel())


@layouts_of_b
def test_blocks_of_columns(
    layout_b: Layout, isa: str, threads: int, rng: np.random.Generator
) -> None:
    fill = Fill(rng, integers=True)
    for m, n, k in (
        *(
            (PACKED_B, *sizes)
            for sizes in ((1025, 4), (2048, 5), (2049, 5), (4200, 3), (2055, 513))
        ),
        (5, 8301, 513),  # several blocks of a B that is read in place, the last one with a cut edge
    ):
        call = Call("gemm", (fill(m, k), layout_b(fill(k, n)), fill(m, n)), {})
        check_exact(call, call.kernel())


@pytest.mark.parametrize("terms", [1, 2, 3, 4])
def test_few_terms_have_the_bits_of_tiles(terms: int, isa: str, rng: np.random.Generator) -> None:
    """A B whose columns are not adjacent is multiplied by tiles, if C is wide enough."""
    fill = Fill(rng)
    for m, n, beta in product((3, 4, 5, 29), (17, 40, 1100), (0.0, 0.375)):
        a, b, c = fill(m, terms), fill(terms, n), fill(m, n)
        few = kernels.gemm(a, b, c, alpha=-1.625, beta=beta)
        assert_same_bits(few, kernels.gemm(a, spread(b), c, alpha=-1.625, beta=beta), f"{m} x {n}")


@pytest.mark.parametrize("terms", [1, 2, 3, 4])
def test_few_terms_at_every_alignment(terms: int, isa: str, rng: np.random.Generator) -> None:
    """Long rows begin with a shorter vector. No value beside C is read or written."""
    fill = Fill(rng)
    for m, n, beta in product((1, 5), (129, 170, 1100), (0.0, 0.375)):
        a, b, c = fill(m, terms), fill(terms, n), fill(m, n)
        expected = kernels.gemm(a, b, c, alpha=-1.625, beta=beta)
        for shift in range(16):
            fence = Fence("start", shift)
            out, old = fence(np.full_like(c, np.nan)), fence(c)
            kernels.gemm(a, b, old, alpha=-1.625, beta=beta, out=out)
            assert_same_bits(out, expected, f"{m} x {n}, {shift} values after a page")
            kernels.gemm(a, b, old, alpha=-1.625, beta=beta, out=old)
            assert_same_bits(old, expected, f"{m} x {n} in place, {shift} values after a page")
            assert fence.untouched()


@pytest.mark.parametrize("m,n", [(1, 1), (1, 9), (9, 1), (7, 17)])
def test_long_sums(m: int, n: int, isa: str, threads: int, rng: np.random.Generator) -> None:
    """From 8192 terms on, a sum is computed in chunks. C is added once, for any stride of C."""
    fill = Fill(rng, integers=True)
    for k in (8191, 8192, 8193, 12_289):
        a, b = np.asfortranarray(fill(m, k)), fill(k, n)
        for c in (fill(m, n), fill(m, 2 * n)[:, ::2], np.broadcast_to(fill(n), (m, n))):
            call = Call("gemm", (a, b, c), {"alpha": -1.0, "beta": 2.0})
            check_exact(call, call.kernel())


@pytest.mark.parametrize("m,n", [(64, 64), (17, 241)])
def test_long_sums_into_the_largest_c_of_chunks(
    m: int, n: int, isa: str, rng: np.random.Generator
) -> None:
    """A result of 4096 values is computed in chunks, and one of 4097 values is not."""
    fill = Fill(rng, integers=True)
    call = Call("gemm", (fill(m, 8192), fill(8192, n), fill(m, n)), {})
    check_exact(call, call.kernel())


SHARED = {
    "rows": (500, 30, 50),
    "columns": (10, 1500, 60),
    "rows and columns": (160, 160, 40),
    "one column": (2000, 1, 300),
    "few columns": (2000, 5, 300),
    "one row": (1, 2000, 300),
    "dots": (24, 9, 2500),
    "dots of the parts but not of the whole, 4 lanes": (104, 100, 300),
    "dots of the parts but not of the whole, 8 lanes": (30, 9, 2000),
    "dots of the parts but not of the whole, 16 lanes": (40, 100, 600),
    "steps, A packed": (130, 300, 512),
    "blocks": (PACKED_B, 2300, 30),
    "large B": (2 * LARGE_B, 130, 600),
    "large B with aliased rows": (60, 1024, 40),
    "B with aliased rows that leaves L2": (60, 2048, 200),
    "chunks": (20, 30, 9000),
    "chunks of one column": (100, 1, 20_000),
}


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize("name", SHARED)
def test_same_bits_for_any_number_of_threads(
    name: str, transposed: tuple[bool, bool], isa: str, rng: np.random.Generator
) -> None:
    """Every part of C is written to the right position, too."""
    m, n, k = SHARED[name]
    kwargs = {"trans_a": transposed[0], "trans_b": transposed[1], "alpha": 0.5, "beta": -1.0}

    def call(fill: Fill) -> Call:
        a = fill(k, m) if transposed[0] else fill(m, k)
        b = fill(n, k) if transposed[1] else fill(k, n)
        return Call("gemm", (a, b, np.broadcast_to(fill(n), (m, n))), kwargs)

    floats = call(Fill(rng))
    integers = call(Fill(rng, integers=True))
    with byhand.num_threads(1):
        (expected,) = floats.kernel()
        (exact,) = integers.kernel()
    check_exact(integers, (exact,))
    for count in (2, 3, 4):
        with byhand.num_threads(count):
            assert_same_bits(floats.kernel()[0], expected, f"{count} threads")
            assert_same_bits(integers.kernel()[0], exact, f"{count} threads")
