"""linear and its gradients beyond what every kernel is tried on: shapes of the models, adjoints."""

from __future__ import annotations

import numpy as np
import pytest
from byhand import kernels
from calls import Call, Fill
from ops import check_exact
from tolerance import assert_same_bits

MODELS = [
    (128, 784, 10),
    (128, 784, 128),
    (96, 128, 64),
    (96, 64, 10),
    (1, 800, 128),
    (17, 128, 10),
]


@pytest.mark.parametrize(("n", "inputs", "outputs"), MODELS)
def test_models_and_adjoints(
    n: int, inputs: int, outputs: int, isa: str, threads: int, rng: np.random.Generator
) -> None:
    """Exact in integers, and sum(linear(x, w) * dy) == sum(x * dX) == sum(w * dW)."""
    fill = Fill(rng, integers=True)
    x, w, dy = fill(n, inputs), fill(outputs, inputs), fill(n, outputs)
    results = []
    for call in (
        Call("linear", (x, w), {}),
        Call("linear_backward_input", (dy, w), {}),
        Call("linear_backward_weight", (dy, x), {}),
        Call("linear_backward_bias", (dy,), {}),
    ):
        results.append(call.kernel()[0].astype(np.int64))
        check_exact(call, call.kernel())
    y, dx, dw, db = results
    whole = np.sum(y * dy.astype(np.int64))
    assert whole == np.sum(x.astype(np.int64) * dx) == np.sum(w.astype(np.int64) * dw)
    assert np.sum(dy.astype(np.int64)) == np.sum(db)


def test_without_features() -> None:
    """No input features: the bias. No output features: an empty result and a gradient of zeros."""
    f32 = np.float32
    bias = np.arange(4, dtype=f32)
    y = kernels.linear(np.ones((3, 0), f32), np.ones((4, 0), f32), bias)
    np.testing.assert_array_equal(y, np.tile(bias, (3, 1)))
    assert kernels.linear(np.ones((3, 5), f32), np.ones((0, 5), f32)).shape == (3, 0)
    dx = kernels.linear_backward_input(np.ones((3, 0), f32), np.ones((0, 5), f32))
    np.testing.assert_array_equal(dx, np.zeros((3, 5)))


def test_nan_reaches_its_row_only() -> None:
    x, w = np.ones((9, 20), np.float32), np.ones((7, 20), np.float32)
    x[4, 3] = np.nan
    np.testing.assert_array_equal(np.isnan(kernels.linear(x, w)).any(axis=1), np.arange(9) == 4)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_a_fused_activation_changes_no_bit(
    activation: str, bias: bool, isa: str, threads: int, rng: np.random.Generator
) -> None:
    """On every way through the product: (n, in, out) and what it is there for."""
    for n, i, o in [
        (5, 9000, 3),  # chunks of a long sum
        (64, 8192, 64),
        (57, 30, 2100),  # blocks of columns
        (10, 60, 1500),  # parts of columns
        (30, 2000, 9),  # dots
        (15, 1025, 33),  # steps of the depth
        (7, 5, 1),
        (3, 0, 2),
        (0, 4, 3),
    ]:
        x, w = rng.standard_normal((n, i), np.float32), rng.standard_normal((o, i), np.float32)
        b = rng.standard_normal(o, np.float32) if bias else None
        expected = getattr(kernels, activation)(kernels.linear(x, w, b))
        assert_same_bits(kernels.linear_act(x, w, b, activation), expected, f"{n, i, o}")
