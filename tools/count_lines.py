"""Count lines of code: lines that hold more than blanks, comments and docstrings.

    python tools/count_lines.py             # one total for each part of the code base
    python tools/count_lines.py --files     # also the number for each file

The parts are the core (`byhand.training` and all that it needs), the rest of the Python package,
`bench`, `tools`, and `csrc` with CUDA and its emulator apart. Stub files (`.pyi`) and tests are not
counted.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "byhand"
# Files and folders of the package that make up the core.
CORE = (
    *("checks.py", "files", "kernels.py", "runtime.py", "engine"),
    *("nn", "optim", "models", "training", "data"),
)
CPP_SUFFIXES = {".cc", ".cu", ".h", ".cuh"}
_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
# Matches comments and docstrings of bindings, which are raw strings. It also matches other
# literals, because // inside a literal begins no comment. An apostrophe after a digit separates
# digits and does not begin a literal.
_CPP_TOKEN = re.compile(
    r"""(?P<prose>//(?:\\\n|[^\n])*|/\*.*?\*/
      | R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)")
    | "(?:\\.|[^"\\\n])*"
    | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'""",
    re.DOTALL | re.VERBOSE,
)


def python_lines(source: str) -> int:
    """Return the number of lines of code in a Python source.

    Every string that is a statement of its own counts as a docstring.
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines - docstrings)


def cpp_lines(source: str) -> int:
    """Return the number of lines of code in a C++ or CUDA source.

    Raw strings count as docstrings.
    """

    def without_prose(match: re.Match[str]) -> str:
        text = match.group()
        return "\n" * text.count("\n") if match["prose"] else text

    code = _CPP_TOKEN.sub(without_prose, source)
    return sum(bool(line.strip()) for line in code.splitlines())


def count(path: Path) -> int:
    """Return the number of lines of code in a file. Its suffix tells the language."""
    source = path.read_text(encoding="utf-8")
    return python_lines(source) if path.suffix == ".py" else cpp_lines(source)


def parts() -> Iterator[tuple[str, list[Path]]]:
    """Yield the name and the files of each part of the code base."""
    # A checkout may have a link from the package to bench.
    package = sorted({*PACKAGE.rglob("*.py")} - {*(PACKAGE / "bench").rglob("*.py")})
    core = [path for path in package if path.relative_to(PACKAGE).parts[0] in CORE]
    yield "core", core
    yield "rest of the package", [path for path in package if path not in core]
    yield "bench", sorted((ROOT / "bench").rglob("*.py"))
    yield "tools", sorted((ROOT / "tools").rglob("*.py"))
    sources = sorted(p for p in (ROOT / "csrc").rglob("*") if p.suffix in CPP_SUFFIXES)
    apart = ("cuda", "simt")
    yield "csrc", [p for p in sources if p.relative_to(ROOT / "csrc").parts[0] not in apart]
    for name in apart:
        yield f"csrc/{name}", [p for p in sources if p.relative_to(ROOT / "csrc").parts[0] == name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", action="store_true", help="also print the number for each file")
    options = parser.parse_args()
    for name, paths in parts():
        counts = {path.relative_to(ROOT).as_posix(): count(path) for path in paths}
        print(f"{sum(counts.values()):6} {name}, {len(counts)} files")
        if options.files:
            for file, lines in counts.items():
                print(f"{lines:13} {file}")


if __name__ == "__main__":
    main()
