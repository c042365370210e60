"""gemm: every tile edge, transpose and stride; alpha, beta and what is not read."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from byhand import kernels
from calls import Array, Call, Fill, shapes
from guard import Fence
from ops import check, check_exact
from tolerance import assert_same_bits

SIZES = (0, 1, 2, 5, 6, 7, 15, 16, 17, 33, 97)  # tiles are 6 rows or fewer and 16 columns or fewer
TRANSPOSES = [{"trans_a": a, "trans_b": b} for a, b in product((False, True), repeat=2)]
transposes = pytest.mark.parametrize(
    "transpose", TRANSPOSES, ids=lambda t: "".join("NT"[v] for v in t.values())
)
SHAPES = shapes("gemm")


def stored(x: Array, transposed: bool) -> Array:
    """The matrix as it is given where the argument says that it is transposed."""
    return np.ascontiguousarray(x.T) if transposed else x


def operands(
    fill: Fill, m: int, n: int, k: int, trans_a: bool = False, trans_b: bool = False
) -> tuple[Array, Array]:
    return stored(fill(m, k), trans_a), stored(fill(k, n), trans_b)


@transposes
def test_every_size(
    transpose: dict[str, bool], isa: str, threads: int, rng: np.random.Generator
) -> None:
    fill = Fill(rng, integers=True)
    a, b = fill(97, 97), fill(97, 97)
    for m, n, k in product(SIZES, repeat=3):
        pair = stored(a[:m, :k], transpose["trans_a"]), stored(b[:k, :n], transpose["trans_b"])
        call = Call("gemm", pair, transpose)
        check_exact(call, call.kernel())


@pytest.mark.parametrize("name", SHAPES)
@transposes
def test_shapes(name: str, transpose: dict[str, bool], isa: str, rng: np.random.Generator) -> None:
    m, n, k = SHAPES[name]["mnk"]
    for integers in (True, False):
        fill = Fill(rng, integers)
        call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), dict(transpose))
        (check_exact if integers else check)(call, call.kernel())


@transposes
@pytest.mark.parametrize("alpha", [0, 1, -1, 0.5])
@pytest.mark.parametrize("beta", [0, 1, -1, 0.5])
def test_alpha_and_beta(
    alpha: float, beta: float, transpose: dict[str, bool], isa: str, rng: np.random.Generator
) -> None:
    fill = Fill(rng, integers=True)
    for m, n, k in ((7, 17, 5), (1, 33, 6), (13, 2, 0), (40, 40, 40)):
        kwargs = {"alpha": alpha, "beta": beta, **transpose}
        call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), kwargs)
        check_exact(call, call.kernel())
        c = call.args[2].copy()
        assert kernels.gemm(*call.args[:2], c, **kwargs, out=c) is c
        check_exact(call, (c,))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_beta_0_never_reads_c(bad: float, isa: str, rng: np.random.Generator) -> None:
    """In full tiles and in edge tiles; nor is the old content of `out` read."""
    fill = Fill(rng)
    for m, n, k in product((1, 5, 6, 7, 13), (1, 15, 16, 17, 33), (0, 1, 7)):
        c, out = np.full((m, n), bad, np.float32), np.full((m, n), bad, np.float32)
        a, b = operands(fill, m, n, k)
        expected = kernels.gemm(a, b)
        assert np.isfinite(expected).all()
        assert_same_bits(kernels.gemm(a, b, c, beta=0.0, out=c), expected)
        assert_same_bits(kernels.gemm(a, b, beta=5.0, out=out), expected)


def test_alpha_0_never_reads_a_and_b(isa: str) -> None:
    a, c = np.full((7, 7), np.nan, np.float32), np.ones((7, 7), np.float32)
    assert_same_bits(kernels.gemm(a, a, c, alpha=0.0, beta=0.5), c / 2)
    assert_same_bits(kernels.gemm(a, a, alpha=0.0), np.zeros_like(a))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_zero_times_nan_is_nan(bad: float, isa: str) -> None:
    """No product is left out because a factor is 0: not in full tiles, not in edges."""
    for m, n, k in ((6, 16, 4), (7, 17, 5), (1, 1, 1), (1, 40, 33), (40, 1, 33)):
        a, b = np.zeros((m, k), np.float32), np.ones((k, n), np.float32)
        a[m - 1, k - 1] = bad
        b[k - 1, n - 1] = 0
        y = kernels.gemm(a, b)
        assert np.isnan(y[m - 1, n - 1])
        np.testing.assert_array_equal(y[m - 1, :-1], np.full(n - 1, bad, np.float32))
        np.testing.assert_array_equal(y[:-1], 0)
        np.testing.assert_array_equal(np.isnan(kernels.gemm(b.T.copy(), a.T.copy())), np.isnan(y.T))


def views(x: Array) -> dict[str, Array]:
    """The matrix x through strides of every kind."""
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
@pytest.mark.parametrize("layout_b", views(np.ones((1, 1), np.float32)))
def test_strides(layout_a: str, layout_b: str, isa: str, rng: np.random.Generator) -> None:
    fill = Fill(rng, integers=True)
    for m, n, k in ((7, 18, 5), (1, 33, 9), (12, 1, 17), (35, 34, 40)):
        a, b = operands(fill, m, n, k)
        c = views(fill(m, n))[layout_a]
        call = Call("gemm", (views(a)[layout_a], views(b)[layout_b], c), {"beta": -1.0})
        check_exact(call, call.kernel())


def test_strides_of_0(isa: str, rng: np.random.Generator) -> None:
    """Broadcast rows, columns and single values are read as they are."""
    fill = Fill(rng, integers=True)
    for m, n, k in ((7, 18, 5), (20, 33, 16)):
        rows = np.broadcast_to(fill(1, k), (m, k)), np.broadcast_to(fill(k, 1), (k, n))
        columns = np.broadcast_to(fill(m, 1), (m, k)), np.broadcast_to(fill(1, n), (k, n))
        value = np.broadcast_to(fill(1, 1), (m, n))
        for a, b in product((rows[0], columns[0]), (rows[1], columns[1])):
            call = Call("gemm", (a, b, value), {})
            check_exact(call, call.kernel())


@pytest.mark.parametrize("side", ["start", "end"])
def test_not_one_byte_outside_at_every_edge(side: str, isa: str, rng: np.random.Generator) -> None:
    """Unreadable pages beside A, B, C and the result: no load passes a last row or column."""
    fill = Fill(rng)
    packed = [(50, 17, 9), (8, 130, 11), (50, 131, 8)]  # enough tiles to share a packed panel
    for transpose in TRANSPOSES:
        for m, n, k in [*product((1, 6, 7), (1, 7, 8, 15, 16, 17, 31), (1, 8, 9)), *packed]:
            call = Call("gemm", (*operands(fill, m, n, k, **transpose), fill(m, n)), transpose)
            fence = Fence(side)
            assert_same_bits(call.run(fence, give_out=True)[0], call.kernel()[0], repr(call))
            assert fence.untouched(), call


def test_a_large_product_as_its_action_on_a_vector(isa: str, rng: np.random.Generator) -> None:
    """Freivalds: C t against A (B t), in integers so that both are exact."""
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


def test_out_may_be_c_but_not_a_part_of_it(rng: np.random.Generator) -> None:
    memory = Fill(rng)(9, 8)
    a = Fill(rng)(8, 8)
    with pytest.raises(ValueError, match="out must not overlap"):
        kernels.gemm(a, a, memory[1:], out=memory[:-1])
    with pytest.raises(ValueError, match="out must not overlap"):
        kernels.gemm(memory[1:], a, memory[1:], out=memory[1:])
    with pytest.raises(ValueError, match="out must not overlap"):
        kernels.gemm(a, a, memory[:8, ::-1], out=memory[:8])
