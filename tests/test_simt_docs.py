"""docs/simt.md: its programs print what the page shows, and its corrections are clean.

`python tests/test_simt_docs.py` writes what the programs print into the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "simt.md"
FOLDER = ROOT / "docs" / "simt"
EXERCISES = sorted(p.name for p in FOLDER.glob("[0-9]*.cu"))
MAX_LINES = 60
# The address of memory of the device differs from run to run. Masks have at most 8 digits.
AN_ADDRESS = re.compile(r"0x[0-9a-f]{9,16}")

every_exercise = pytest.mark.parametrize("name", EXERCISES)


def section(name: str) -> str:
    """Return the part of the page about a program, from its heading to the next one."""
    parts = re.split(r"^(?=##)", PAGE.read_text(), flags=re.MULTILINE)
    (part,) = (p for p in parts if f"byhand simt docs/simt/{name}\n" in p)
    return part


def blocks(text: str, language: str) -> list[str]:
    """Return the contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def patched(source: str, diff: str) -> str:
    """Replace the lines of a diff that begin with " " or "-" by those with " " or "+"."""
    lines = diff.splitlines(keepends=True)
    assert all(line[0] in " +-" for line in lines)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert source.count(before) == 1, f"not once in the program:\n{before}"
    return source.replace(before, after)


def call(name: str, folder: Path) -> tuple[int, str, str]:
    """Run a program of docs/simt/ in a folder. Return the exit code and what was printed.

    Paths in what it printed are made relative to the folder.
    """
    done = subprocess.run(
        [sys.executable, "-m", "byhand", "simt", f"docs/simt/{name}"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    return done.returncode, done.stdout, done.stderr.replace(f"{folder}/", "")


def with_one_address(text: str) -> str:
    return AN_ADDRESS.sub("0xADDRESS", text)


def call_patched(name: str, diff: str, folder: Path) -> tuple[int, str, str]:
    """Run a program of docs/simt/ after a change."""
    copy = folder / "docs" / "simt" / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(patched((FOLDER / name).read_text(), diff))
    return call(name, folder)


def test_there_are_twelve_exercises_in_order() -> None:
    assert len(EXERCISES) == 12
    shown = re.findall(r"^byhand simt docs/simt/(\d+_\w+\.cu)$", PAGE.read_text(), re.MULTILINE)
    assert shown == EXERCISES
    numbers = re.findall(r"^### (\d+)\. ", PAGE.read_text(), re.MULTILINE)
    assert [int(n) for n in numbers] == [int(name[:2]) for name in EXERCISES] == [*range(1, 13)]
    for name in EXERCISES:
        assert len((FOLDER / name).read_text().splitlines()) <= MAX_LINES
        assert f"[{name}](simt/{name})" in section(name)


@every_exercise
def test_parts_of_an_exercise(name: str) -> None:
    part = section(name)
    assert "**Question:**" in part
    before, folded = part.split("<details>\n<summary>Explanation</summary>\n")
    assert folded.rstrip().endswith("</details>")
    assert len(blocks(before, "text")) == len(blocks(folded, "text")) == 1
    assert len(blocks(folded, "diff")) == 1


@pytest.mark.slow
@every_exercise
def test_finding_of_an_exercise(name: str) -> None:
    code, printed, finding = call(name, ROOT)
    assert code == 1
    assert not printed
    assert with_one_address(finding) == with_one_address(blocks(section(name), "text")[0])


@pytest.mark.slow
@every_exercise
def test_corrected_exercise_is_clean(name: str, tmp_path: Path) -> None:
    part = section(name)
    result = call_patched(name, blocks(part, "diff")[0], tmp_path)
    assert result == (0, blocks(part, "text")[1], "")


@pytest.mark.slow
def test_first_program(tmp_path: Path) -> None:
    (printed,) = blocks(section("first.cu"), "text")
    assert call("first.cu", ROOT) == (0, printed, "")
    (_, reading, _) = re.split(r"^## (?=How to read|The command)", PAGE.read_text(), flags=re.M)
    (diff,), (finding,) = blocks(reading, "diff"), blocks(reading, "text")
    assert call_patched("first.cu", diff, tmp_path) == (1, "", finding)
    code = (FOLDER / "first.cu").read_text()
    (kernel,) = blocks(section("first.cu"), "cpp")
    assert kernel in code


def test_every_kind_of_finding_is_in_the_table() -> None:
    code = "".join(p.read_text() for p in (ROOT / "csrc" / "simt").glob("*.cc"))
    code += (ROOT / "python" / "byhand" / "simt" / "program.py").read_text()
    starts = [
        r"report\(\s*\{",
        r"Finding f\{",
        r"f\.kind = ",
        r'"kind": ',
        r"finding_of\(\*?\w+, ",
        r"arithmetic_finding\(",
    ]
    pattern = rf'(?:{"|".join(starts)})"([a-z-]+)"'
    _, table = PAGE.read_text().split("\n## All findings\n")
    table = table.split("\n## ")[0]
    kinds = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == set(re.findall(pattern, code))


def test_functions_that_the_emulator_has() -> None:
    headers = "".join(p.read_text() for p in (ROOT / "csrc/simt/include").glob("*.h"))
    # Vectors and their functions are made by a macro, and the rest is C's own.
    elsewhere = {"float4", "int2", "uchar4", "make_float4", "printf", "assert", "extern"}
    table = (
        PAGE.read_text().split("\n## What CUDA the emulator has\n")[1].split("\nThe emulator")[0]
    )
    names = set(re.findall(r"`(\w+)`", table)) - elsewhere
    assert len(names) > 80
    assert [n for n in sorted(names) if not re.search(rf"\b{n}\b", headers)] == []


def write_page() -> None:
    """Write what the programs print into the page."""
    text = PAGE.read_text()

    def replace(part: str, number: int, new: str) -> str:
        found = list(re.finditer(r"^```text\n(.*?)^```$", part, re.MULTILINE | re.DOTALL))[number]
        if with_one_address(found[1]) == with_one_address(new):
            return part
        return part[: found.start(1)] + new + part[found.end(1) :]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for exercise in EXERCISES:
            part = new = section(exercise)
            new = replace(new, 0, call(exercise, ROOT)[2])
            new = replace(
                new, 1, "".join(call_patched(exercise, blocks(part, "diff")[0], folder)[1:])
            )
            text = text.replace(part, new)
        part = section("first.cu")
        text = text.replace(part, replace(part, 0, call("first.cu", ROOT)[1]))
        _, reading, _ = re.split(r"^## (?=How to read|The command)", text, flags=re.M)
        finding = call_patched("first.cu", blocks(reading, "diff")[0], folder)[2]
        text = text.replace(reading, replace(reading, 0, finding))
    PAGE.write_text(text)


if __name__ == "__main__":
    write_page()
