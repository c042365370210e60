"""The matrix product on an emulated GPU: exact integers, layouts, edges, and what is not read."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import Matrix, call, device

SHAPES = [(1, 1, 1), (5, 7, 3), (64, 64, 16), (65, 66, 17), (63, 4, 32), (100, 36, 44), (3, 130, 0)]


def integers(rng: np.random.Generator, shape: tuple[int, int], transposed: bool) -> np.ndarray:
    values = rng.integers(-3, 4, shape[::-1] if transposed else shape).astype(np.float32)
    return values.T if transposed else values


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
def test_gemm(shape: tuple[int, int, int], trans_a: bool, trans_b: bool) -> None:
    m, n, k = shape
    rng = np.random.default_rng(0)
    a, b = integers(rng, (m, k), trans_a), integers(rng, (k, n), trans_b)
    c = integers(rng, (m, n), False)
    with device() as d:
        out = d.empty(m * n)
        call("gemm", 2.0, d.matrix(a), d.matrix(b), -1.0, d.matrix(c), out)
        np.testing.assert_array_equal(d.get(out, (m, n)), 2 * a @ b - c)


def test_strided_operands() -> None:
    """Neither dimension is contiguous, and rows overlap."""
    rng = np.random.default_rng(1)
    a = integers(rng, (20, 90), False)[::2, ::3]
    values = integers(rng, (1, 70), False)[0]
    b = np.lib.stride_tricks.as_strided(values, (30, 12), (8, 4))
    with device() as d:
        out = d.empty(10 * 12)
        right = Matrix(d.put(values), 30, 12, 2, 1)
        call("gemm", 1.0, d.matrix(a), right, 0.0, Matrix(0, 10, 12, 12, 1), out)
        np.testing.assert_array_equal(d.get(out, (10, 12)), a @ b)


def test_an_infinite_factor_of_an_empty_sum_has_no_effect() -> None:
    with device() as d:
        nothing, c = Matrix(0, 2, 0, 1, 1), d.matrix(np.ones((2, 3), np.float32))
        out = d.empty(6)
        call("gemm", np.inf, nothing, Matrix(0, 0, 3, 3, 1), 2.0, c, out)
        np.testing.assert_array_equal(d.get(out, (2, 3)), np.full((2, 3), 2.0))


def test_out_may_be_c() -> None:
    rng = np.random.default_rng(2)
    a, b, c = (integers(rng, shape, False) for shape in ((70, 9), (9, 70), (70, 70)))
    with device() as d:
        matrix = d.matrix(c)
        call("gemm", 1.0, d.matrix(a), d.matrix(b), 1.0, matrix, int(matrix.data))
        np.testing.assert_array_equal(d.get(int(matrix.data), (70, 70)), a @ b + c)


@pytest.mark.parametrize(("alpha", "beta", "expected"), [(0.0, 2.0, 2.0), (1.0, 0.0, 4.0)])
def test_what_a_factor_of_zero_does_not_read(alpha: float, beta: float, expected: float) -> None:
    """Memory that nobody has written is never read, or the emulator ends the process."""
    with device() as d:
        ones = np.ones((4, 4), np.float32)
        unread = Matrix(d.empty(16), 4, 4, 4, 1)
        left = unread if alpha == 0 else d.matrix(ones)
        right = unread if alpha == 0 else d.matrix(ones)
        c = unread if beta == 0 else d.matrix(ones)
        out = d.empty(16)
        call("gemm", alpha, left, right, beta, c, out)
        np.testing.assert_array_equal(d.get(out, (4, 4)), np.full((4, 4), expected))


def test_nan_and_infinity_follow_ieee_arithmetic() -> None:
    a = np.float32([[np.inf, 0], [np.nan, 1]])
    b = np.float32([[0, 1], [1, 1]])
    with device() as d:
        out = d.empty(4)
        call("gemm", 1.0, d.matrix(a), d.matrix(b), 0.0, Matrix(0, 2, 2, 2, 1), out)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(d.get(out, (2, 2)), a @ b)
