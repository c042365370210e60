"""Write conv2d_winograd_matrices.h: the matrices of Winograd's convolution, from exact fractions.

    python conv2d_winograd_matrices.py > conv2d_winograd_matrices.h

A correlation of n = m + r - 1 inputs with r weights has m outputs. For fixed weights, it is a
linear map from n values to m values. The transpose of this map is the product of a polynomial with
m coefficients and the polynomial whose coefficients are the r weights. This product can be computed
in three steps: evaluate both polynomials at n points, multiply the values, interpolate (Toom and
Cook; Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, arXiv 1509.09308).

Our points are p_0 to p_6 and infinity, so n = 8. The value of a polynomial at infinity is its
highest coefficient. For the rows i = 0 to 6, the matrices are

    A[i][j] = p_i^j                                               m columns
    G[i][j] = p_i^j / prod over k != i (p_i - p_k)                r columns
    B[i][j] = coefficient of t^j in prod over k != i (t - p_k)    n columns

The last row belongs to infinity. In A and G it is 0 except for a 1 in the last column. In B it
holds the coefficients of prod (t - p_k) over all k. The outputs y of inputs x and weights w are

    y = A' ((G w) * (B x))

where A' is the transpose of A, and * multiplies value by value. B depends only on the points.
Therefore the same transform of the inputs serves every r, with m = 9 - r outputs.
"""

from fractions import Fraction

SIZE = 8
# A point and its negative are neighbours. Their two rows of a matrix are equal in even columns and
# differ in sign in odd columns, so the kernels multiply by both together (conv2d_winograd_sums.h).
POINTS = [Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2")]
KERNELS = (3, 5)  # the numbers r of weights


def product(roots: list[Fraction]) -> list[Fraction]:
    """Return the coefficients of the product of all (t - root), lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def powers(columns: int) -> list[list[Fraction]]:
    """Return the matrix A with this number of columns. Its last row belongs to infinity."""
    at_infinity = [Fraction(int(j == columns - 1)) for j in range(columns)]
    return [[p**j for j in range(columns)] for p in POINTS] + [at_infinity]


def points_except(i: int) -> list[Fraction]:
    return POINTS[:i] + POINTS[i + 1 :]


def weights(columns: int) -> list[list[Fraction]]:
    """Return the matrix G with this number of columns."""
    rows = powers(columns)
    for i, p in enumerate(POINTS):
        (f,) = [sum(c * p**j for j, c in enumerate(product(points_except(i))))]
        rows[i] = [value / f for value in rows[i]]
    return rows


def inputs() -> list[list[Fraction]]:
    """Return the matrix B."""
    finite = [[*product(points_except(i)), Fraction(0)] for i in range(len(POINTS))]
    return [*finite, product(POINTS)]


def declaration(name: str, rows: list[list[Fraction]], formula: str) -> str:
    columns = len(rows[0])

    def literal(value: Fraction) -> str:
        if value.denominator == 1:
            return str(value.numerator)
        return f"{value.numerator}.0f / {value.denominator}"

    body = ",\n".join("      {" + ", ".join(map(literal, row)) + "}" for row in rows)
    return (
        f"struct {name} {{  // {formula}\n"
        f"  static constexpr int kColumns = {columns};\n"
        f"  static constexpr float kValue[{SIZE}][{columns}] = {{\n{body}}};\n}};\n"
    )


def header() -> str:
    parts = [declaration("WinogradInput", inputs(), "B")]
    for r in KERNELS:
        m = SIZE + 1 - r
        parts.append(declaration(f"WinogradWeight{r}", weights(r), f"G of {r} weights"))
        parts.append(declaration(f"WinogradOutput{r}", powers(m), f"A of {m} outputs"))
    return (
        "// Written by conv2d_winograd_matrices.py, which explains the formulas.\n#pragma once\n\n"
        "// clang-format off\nnamespace byhand::cpu::BYHAND_ISA {\nnamespace {\n\n"
        + "\n".join(parts)
        + "\n}  // namespace\n}  // namespace byhand::cpu::BYHAND_ISA\n"
    )


if __name__ == "__main__":
    print(header(), end="")
