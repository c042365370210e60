"""Writes conv2d_winograd_matrices.h: the matrices of Winograd's convolution, from exact fractions.

    python conv2d_winograd_matrices.py > conv2d_winograd_matrices.h

A correlation of n = m + r - 1 inputs with r weights has m outputs. Read backwards, it is the
product of a polynomial of m coefficients and one of r: evaluate both at n points, multiply,
interpolate (Toom and Cook; Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray,
arXiv 1509.09308). With points p_0 ... p_6 and infinity,

    A[i][j] = p_i^j                                               m columns
    G[i][j] = p_i^j / prod over k != i (p_i - p_k)                r columns
    B[i][j] = coefficient of x^j in prod over k != i (x - p_k)    n columns

and for infinity the last column of A and G is 1, and B has prod (x - p_k) over all k. Then

    y = A' ((G w) * (B x))    with * value by value.

B depends on the points alone, so one transform of the input serves every r with m = 9 - r.
"""

from fractions import Fraction

SIZE = 8
# Plus and minus side by side: rows of the same values, those of odd columns with other signs.
POINTS = [Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2")]
KERNELS = (3, 5)


def product(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients of prod (x - root), lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def powers(columns: int) -> list[list[Fraction]]:
    """A: a row a point, infinity last."""
    at_infinity = [Fraction(int(j == columns - 1)) for j in range(columns)]
    return [[p**j for j in range(columns)] for p in POINTS] + [at_infinity]


def others(i: int) -> list[Fraction]:
    return POINTS[:i] + POINTS[i + 1 :]


def weights(columns: int) -> list[list[Fraction]]:
    """G."""
    rows = powers(columns)
    for i, p in enumerate(POINTS):
        (f,) = [sum(c * p**j for j, c in enumerate(product(others(i))))]
        rows[i] = [value / f for value in rows[i]]
    return rows


def inputs() -> list[list[Fraction]]:
    """B."""
    finite = [[*product(others(i)), Fraction(0)] for i in range(len(POINTS))]
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
        "// Made by conv2d_winograd_matrices.py, which has the formulas.\n#pragma once\n\n"
        "// clang-format off\nnamespace byhand::cpu::BYHAND_ISA {\nnamespace {\n\n"
        + "\n".join(parts)
        + "\n}  // namespace\n}  // namespace byhand::cpu::BYHAND_ISA\n"
    )


if __name__ == "__main__":
    print(header(), end="")
