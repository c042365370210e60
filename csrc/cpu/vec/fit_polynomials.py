"""Fit the polynomials of math.h, and print their coefficients and largest errors.

    python csrc/cpu/vec/fit_polynomials.py

Each polynomial minimizes the largest relative error. Lawson's algorithm finds its coefficients: it
repeats a weighted least-squares fit, and after each fit increases the weights of the points with
large errors (Lawson, "Contributions to the theory of linear least maximum approximation", 1961).

The coefficients are rounded to float32 one by one, lowest power first. After each rounding, the
remaining coefficients are fitted again, so that they compensate for the rounding error. The printed
error of a polynomial is the one that it has with the rounded coefficients in exact arithmetic.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

POINTS = 4000  # the number of points at which a polynomial is fitted
ROUNDS = 300  # the number of least-squares fits of Lawson's algorithm


def chebyshev(low: float, high: float) -> Float64:
    """Return the Chebyshev points of the interval [low, high], which are denser near its ends."""
    angles = (np.arange(POINTS) + 0.5) * np.pi / POINTS
    return (low + high) / 2 + (high - low) / 2 * np.cos(angles)


def lawson(basis: Float64, target: Float64, scale: Float64) -> Float64:
    """Return the coefficients c that minimize the maximum of |basis @ c - target| * scale."""
    best, least = np.zeros(basis.shape[1]), np.inf
    weights = np.ones(len(target))
    for _ in range(ROUNDS):
        factor = np.sqrt(weights) * scale
        c = np.linalg.lstsq(basis * factor[:, None], target * factor, rcond=None)[0]
        error = np.abs(basis @ c - target) * scale
        if error.max() < least:
            best, least = c, error.max()
        weights *= error / error.max() + 1e-3
        weights /= weights.sum()
    return best


def fit(x: Float64, target: Float64, scale: Float64, degree: int) -> tuple[list[float], float]:
    """Fit a polynomial of this degree to `target` at the points `x`.

    `scale` converts an error of the polynomial to a relative error of the whole function. Returns
    the coefficients, rounded to float32, lowest power first, and the largest relative error.
    """
    powers = x[:, None] ** np.arange(degree + 1)
    rounded: list[float] = []
    for i in range(degree + 1):
        rest = target - powers[:, :i] @ np.array(rounded)
        rounded.append(float(np.float32(lawson(powers[:, i:], rest, scale)[0])))
    return rounded, float(np.max(np.abs(powers @ np.array(rounded) - target) * scale))


def show(name: str, formula: str, coefficients: list[float], error: float) -> None:
    print(f"{name}: {formula}, relative error 2^{np.log2(error):.1f}")
    # hex() prints 13 digits of the mantissa. The last 7 are zero, because float32 has only 6.
    print("   ", ", ".join(f"{c.hex().replace('0000000p', 'p')}f" for c in coefficients))


def main() -> None:
    # exp(x) = 2^n exp(r). If n were the integer nearest to x / ln(2), |r| would be at most
    # ln(2) / 2 = 0.3466. The quotient is rounded, so |r| may be a little larger.
    r = chebyshev(-0.3475, 0.3475)
    expm1 = np.expm1(r)
    coefficients, error = fit(r, (expm1 - r) / r**2, r**2 / np.abs(expm1), 4)
    show("kExp", "expm1(r) = r + r^2 P(r)", coefficients, error)

    # log(x) = k log(2) + log(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
    f = chebyshev(np.sqrt(0.5) - 1, np.sqrt(2) - 1)
    log1p = np.log1p(f)
    coefficients, error = fit(f, (log1p - f + f**2 / 2) / f**3, np.abs(f**3 / log1p), 7)
    show("kLog", "log(1 + f) = f - f^2 / 2 + f^3 P(f)", coefficients, error)


if __name__ == "__main__":
    main()
