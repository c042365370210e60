"""gemm's contract: transposes, strides, alpha and beta, NaN, memory outside, and the error."""

from __future__ import annotations

from itertools import product
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import kernels
from calls import Array, Call, Fill, shapes
from devices import SCHEDULES
from guard import Fence
from numpy.lib.stride_tricks import as_strided
from ops import check, check_exact
from tolerance import assert_same_bits, assert_within

TRANSPOSES = [{"trans_a": a, "trans_b": b} for a, b in product((False, True), repeat=2)]
transposes = pytest.mark.parametrize(
    "transpose", TRANSPOSES, ids=lambda t: "".join("NT"[v] for v in t.values())
)
SHAPES = shapes("gemm")

# Shapes (m, n, k) for every path through csrc/cpu/gemm/. test_gemm_paths.py tests each in detail.
TILES = [*product((1, 5, 6, 7, 14, 15), (1, 7, 8, 9, 15, 16, 17, 31, 32, 33), (1, 9, 17))]
PACKED = [(57, 17, 9), (57, 131, 8), (60, 33, 17), (3, 1025, 512), (15, 1025, 512)]
STEPS = [(7, 18, 513), (15, 33, 1025), (57, 70, 600)]
DOTS = [(1, 1, 67), (2, 5, 64), (4, 7, 131), (9, 1, 70), (1, 9, 70), (7, 3, 300), (200, 3, 1000)]
CHUNKS = [(1, 1, 8192), (5, 3, 8200), (6, 17, 12_289)]
WAYS = [*PACKED, *STEPS, *DOTS, *CHUNKS]

# Shapes (m, n, k) at the edges of the tiles of csrc/cuda/tile_product.cuh: 64 rows, 128 columns and
# a depth of 8, in rounds of 16 steps. With the transposes, A and B have every pair of layouts.
CUDA_TILES = [
    (1, 1, 1),
    (5, 7, 3),
    (64, 128, 8),
    (65, 130, 17),
    (63, 4, 32),
    (100, 36, 44),
    (68, 132, 12),
    (3, 2, 128),
    (5, 7, 131),
    (8, 12, 132),
    (3, 130, 0),
]
CUDA_WAYS = [(65, 7, 17), (8, 12, 132)]


def ways(device: str) -> list[tuple[int, int, int]]:
    """Return shapes for every path of a device."""
    return CUDA_WAYS if device in SCHEDULES else WAYS


def stored(x: Array, transposed: bool) -> Array:
    """Return the matrix as the caller stores it if an argument says that it is transposed."""
    return np.ascontiguousarray(x.T) if transposed else x


def operands(
    fill: Fill, m: int, n: int, k: int, trans_a: bool = False, trans_b: bool = False
) -> tuple[Array, Array]:
    return stored(fill(m, k), trans_a), stored(fill(k, n), trans_b)


@transposes
def test_no_rows_no_columns_no_depth(
    transpose: dict[str, bool], device: str, rng: np.random.Generator
) -> None:
    fill = Fill(rng, integers=True)
    for m, n, k in product((0, 1, 9), repeat=3):
        pair = operands(fill, m, n, k, **transpose)
        for args in (pair, (*pair, fill(m, n))):
            call = Call("gemm", args, transpose)
            check_exact(call, call.kernel())


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str, isa: str, rng: np.random.Generator) -> None:
    m, n, k = SHAPES[name]["mnk"]
    for transpose, integers in product(TRANSPOSES, (True, False)):
        fill = Fill(rng, integers)
        call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), dict(transpose))
        (check_exact if integers else check)(call, call.kernel())


@transposes
@pytest.mark.parametrize("shape", CUDA_TILES, ids=str)
def test_tiles_of_cuda(
    shape: tuple[int, int, int],
    transpose: dict[str, bool],
    cuda: str,
    rng: np.random.Generator,
) -> None:
    fill = Fill(rng, integers=True)
    kwargs = {"alpha": 2.0, "beta": -1.0, **transpose}
    call = Call("gemm", (*operands(fill, *shape, **transpose), fill(*shape[:2])), kwargs)
    check_exact(call, call.kernel())


@transposes
def test_alpha_and_beta(transpose: dict[str, bool], device: str, rng: np.random.Generator) -> None:
    fill = Fill(rng, integers=True)
    shapes = [(7, 17, 5), (13, 2, 0)]
    if device not in SCHEDULES:
        shapes += [(1, 33, 6), (40, 40, 40), (5, 3, 70), (3, 9, 513)]
    factors = (0, 1, -1, 0.5)
    for (m, n, k), alpha, beta in product(shapes, factors, factors):
        kwargs = {"alpha": alpha, "beta": beta, **transpose}
        call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), kwargs)
        check_exact(call, call.kernel())
        c = call.args[2].copy()
        assert kernels.gemm(*call.args[:2], c, **kwargs, out=c) is c
        check_exact(call, (c,))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@transposes
def test_beta_0_never_reads_c(
    bad: float, transpose: dict[str, bool], device: str, threads: int, rng: np.random.Generator
) -> None:
    """The kernel does not read the old content of `out`, either."""
    fill = Fill(rng)
    tiles = [(1, 7, 9), (65, 4, 12)] if device in SCHEDULES else [*TILES, *WAYS]
    for m, n, k in [*tiles, (7, 17, 0)]:
        c, out = np.full((m, n), bad, np.float32), np.full((m, n), bad, np.float32)
        a, b = operands(fill, m, n, k, **transpose)
        expected = kernels.gemm(a, b, **transpose)
        assert np.isfinite(expected).all()
        assert_same_bits(kernels.gemm(a, b, c, beta=0.0, **transpose), expected)
        assert_same_bits(kernels.gemm(a, b, c, beta=0.0, **transpose, out=c), expected)
        assert_same_bits(kernels.gemm(a, b, beta=5.0, **transpose, out=out), expected)


def test_alpha_0_never_reads_a_and_b(device: str) -> None:
    a, c = np.full((7, 7), np.nan, np.float32), np.ones((7, 7), np.float32)
    assert_same_bits(kernels.gemm(a, a, c, alpha=0.0, beta=0.5), c / 2)
    assert_same_bits(kernels.gemm(a, a, alpha=0.0), np.zeros_like(a))


@pytest.mark.parametrize(("alpha", "beta", "expected"), [(0.0, 2.0, 2.0), (1.0, 0.0, 4.0)])
def test_memory_that_cuda_does_not_read(
    alpha: float, beta: float, expected: float, cuda: str
) -> None:
    """Nobody has written `unread`, so the emulator would end the process if a kernel read it."""
    ones, unread = np.ones((4, 4), np.float32), kernels.empty((4, 4), "cuda")
    factor, c = (unread, ones) if alpha == 0 else (ones, unread)
    got = kernels.gemm(factor, factor, c, alpha=alpha, beta=beta)
    np.testing.assert_array_equal(got, np.full((4, 4), expected))


def test_alpha_means_nothing_without_depth(device: str) -> None:
    a, b, c = (np.ones(shape, np.float32) for shape in ((3, 0), (0, 9), (3, 9)))
    assert_same_bits(kernels.gemm(a, b, c, alpha=np.nan, beta=0.5), c / 2)
    assert_same_bits(kernels.gemm(a, b, alpha=np.inf), np.zeros_like(c))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_zero_times_nan_is_nan(bad: float, device: str) -> None:
    """Every product is added, even if a factor is 0."""
    shapes = [(6, 16, 4), (7, 17, 5), (1, 1, 1), (1, 40, 33), (40, 1, 33)]
    for m, n, k in [*shapes, *ways(device)]:
        a, b = np.zeros((m, k), np.float32), np.ones((k, n), np.float32)
        a[m - 1, k - 1] = bad
        b[k - 1, n - 1] = 0
        y = kernels.gemm(a, b)
        assert np.isnan(y[m - 1, n - 1])
        np.testing.assert_array_equal(y[m - 1, :-1], np.full(n - 1, bad, np.float32))
        np.testing.assert_array_equal(y[:-1], 0)
        np.testing.assert_array_equal(np.isnan(kernels.gemm(b.T.copy(), a.T.copy())), np.isnan(y.T))


def views(x: Array) -> dict[str, Array]:
    """Yield views of the matrix x with strides of every kind."""
    m, n = x.shape
    spread = np.full((3 * m, 5 * n), np.nan, np.float32)
    spread[::3, ::5] = x
    return {
        "row-major": x,
        "column-major": np.asfortranarray(x),
        "spread": spread[::3, ::5],
        "rows-backwards": x[::-1].copy()[::-1],
        "columns-backwards": x[:, ::-1].copy()[:, ::-1],
        "both-backwards": np.asfortranarray(x[::-1, ::-1])[::-1, ::-1],
        "wide": np.concatenate([x, np.full_like(x, np.nan)], axis=1)[:, :n],
    }


@pytest.mark.parametrize("layout_a", views(np.ones((1, 1), np.float32)))
def test_strides(layout_a: str, isa: str, rng: np.random.Generator) -> None:
    fill = Fill(rng, integers=True)
    shapes = ((7, 18, 5), (1, 33, 9), (12, 1, 17), (57, 34, 20), (5, 3, 70), (7, 18, 513))
    for layout_b, (m, n, k) in product(views(np.ones((1, 1), np.float32)), shapes):
        a, b = operands(fill, m, n, k)
        for c in (views(fill(m, n))[layout_a], views(fill(m, n))[layout_b]):
            call = Call("gemm", (views(a)[layout_a], views(b)[layout_b], c), {"beta": -1.0})
            check_exact(call, call.kernel())


def test_strides_of_0(isa: str, rng: np.random.Generator) -> None:
    """Broadcast rows, columns and single values need no copy."""

    def fill(*shape: int) -> Array:
        return np.abs(Fill(rng, integers=True)(*shape))  # all sums are equal, and must not be 0

    for m, n, k in ((7, 18, 5), (20, 33, 16), (1, 1, 3), (5, 3, 70), (7, 18, 513), (4, 5, 8192)):
        rows = np.broadcast_to(fill(1, k), (m, k)), np.broadcast_to(fill(k, 1), (k, n))
        columns = np.broadcast_to(fill(m, 1), (m, k)), np.broadcast_to(fill(1, n), (k, n))
        for a, b in product((rows[0], columns[0]), (rows[1], columns[1])):
            for c in (fill(1, n), fill(m, 1), fill(1, 1)):
                call = Call("gemm", (a, b, np.broadcast_to(c, (m, n))), {"beta": 2.0})
                check_exact(call, call.kernel())


@pytest.mark.parametrize("stride", [0, -4, 7, 2**40])
def test_the_stride_of_one_element_says_nothing(
    stride: int, isa: str, rng: np.random.Generator
) -> None:
    """NumPy sets the stride of an axis with one element arbitrarily, so it must not matter."""

    def odd(x: Array) -> Array:
        pairs = zip(x.shape, x.strides, strict=True)
        return as_strided(x, strides=[stride if size == 1 else usual for size, usual in pairs])

    fill = Fill(rng)
    for m, n, k in ((1, 1, 1), (1, 33, 70), (33, 1, 70), (9, 17, 1), (1, 1, 300), (1, 40, 5)):
        for transpose in TRANSPOSES:
            call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), transpose)
            assert_same_bits(call.map(odd).kernel()[0], call.kernel()[0], repr(call))


@pytest.mark.slow
@pytest.mark.parametrize("side", ["start", "end"])
def test_not_one_byte_outside_at_every_edge(side: str, isa: str, rng: np.random.Generator) -> None:
    """A, B, C and the result lie beside unreadable pages. No load passes their ends."""
    fill = Fill(rng)
    for transpose in TRANSPOSES:
        for m, n, k in [*TILES, *WAYS]:
            call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), transpose)
            fence = Fence(side)
            assert_same_bits(call.run(fence, give_out=True)[0], call.kernel()[0], repr(call))
            assert fence.untouched(), call


@pytest.mark.parametrize("stride", [0, 1, 3, 7, 20, 40, -1, -5, -20, -40])
def test_not_one_byte_outside_of_overlapping_rows(
    stride: int, isa: str, rng: np.random.Generator
) -> None:
    """Rows of B overlap, repeat, lie apart or run backwards. No load passes their ends."""
    fill, strides = Fill(rng, integers=True), (4 * stride, 4)
    for side, k, n in product(("start", "end"), (1, 5, 30), (3, 8, 17, 20, 33)):
        values = fill((k - 1) * abs(stride) + n)
        b = Fence(side)(values)[max(0, -stride) * (k - 1) :]
        b = as_strided(b, (k, n), strides)
        for m in (1, 13, 29):
            a = fill(m, k)
            expected = (a.astype(np.int64) @ b.astype(np.int64)).astype(np.float32)
            assert_same_bits(kernels.gemm(a, b), expected, f"{m} x {n} x {k}, {side}")


@transposes
def test_the_error_that_the_docstring_promises(
    transpose: dict[str, bool], device: str, rng: np.random.Generator
) -> None:
    """The error is at most (k + 3) 2^-24 (|alpha| |A| |B| + |beta C|) in any order of the sums."""
    fill = Fill(rng)
    kwargs = {"alpha": -1.625, "beta": 0.375, **transpose}  # exact in float32
    for m, n, k in [(40, 70, 0), (40, 70, 1), (40, 70, 2), (29, 33, 5), *ways(device)]:
        call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), kwargs)
        bound = (k + 3) * 2.0**-24 * call.sizes()[0]
        assert_within(call.kernel()[0], call.expected()[0], bound, repr(call))


def test_a_large_product_as_its_action_on_a_vector(isa: str, rng: np.random.Generator) -> None:
    """A large product, checked by Freivalds' method: C t must equal A (B t).

    Integers make both sides exact.
    """
    m, n, k = 301, 517, 403
    a, b, t = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((m, k), (k, n), (n,)))
    c = kernels.gemm(a, b).astype(np.float64)
    np.testing.assert_array_equal(c @ t, a.astype(np.float64) @ (b.astype(np.float64) @ t))
    assert np.count_nonzero(c @ t) > m // 2


@pytest.mark.parametrize(
    ("change", "argument"),
    [({"b": (6, 4)}, "b"), ({"c": (3, 5)}, "c"), ({"c": (4,)}, "c"), ({"a": (3, 5, 1)}, "a")],
)
def test_shapes_that_do_not_fit(change: dict[str, Any], argument: str) -> None:
    sizes: dict[str, tuple[int, ...]] = {"a": (3, 5), "b": (5, 4), "c": (3, 4), **change}
    arrays = [np.ones(size, np.float32) for size in sizes.values()]
    with pytest.raises(ValueError, match=rf"^{argument} must have .*{change[argument][0]}"):
        kernels.gemm(*arrays)


def test_out_may_be_c_on_cuda(cuda: str, rng: np.random.Generator) -> None:
    fill = Fill(rng, integers=True)
    call = Call("gemm", (fill(70, 9), fill(9, 70), fill(70, 70)), {})
    a, b, c = (byhand.asarray(array, "cuda") for array in call.args)
    check_exact(call, (kernels.gemm(a, b, c, out=c).to("cpu"),))


def test_out_may_be_c_but_not_a_part_of_it(rng: np.random.Generator) -> None:
    memory = Fill(rng)(9, 8)
    a = Fill(rng)(8, 8)
    with pytest.raises(ValueError, match="out must not overlap"):
        kernels.gemm(a, a, memory[1:], out=memory[:-1])
    with pytest.raises(ValueError, match="out must not overlap"):
        kernels.gemm(memory[1:], a, memory[1:], out=memory[1:])
    with pytest.raises(ValueError, match="out must not overlap"):
        kernels.gemm(a, a, memory[:8, ::-1], out=memory[:8])


def test_the_stride_of_a_column_of_c_changes_no_bit(isa: str, rng: np.random.Generator) -> None:
    """The stride of C must not change the bits.

    With one column, the kernel may compute the product as a row. C's memory layout must not decide
    it.
    """
    fill = Fill(rng)
    for m, k in ((8, 12), (20, 10), (33, 12), (9, 100), (1, 5)):
        a, b, wide = fill(m, k), fill(k, 1), fill(m, 3)
        apart, contiguous = wide[:, :1], wide[:, :1].copy()
        assert_same_bits(kernels.gemm(a, b, apart), kernels.gemm(a, b, contiguous), f"{m, k}")
