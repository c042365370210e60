"""The pages: their Python runs; the files, functions and commands that they name exist.

tests/test_tutorials.py runs the tutorials and the other pages, which takes longer.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from byhand.cli.app import app
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
LESSONS = ("gemm", "convolution", "winograd", "small_kernels")
PAGES = [
    *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")),
    *sorted(p for folder in ("bench", "docs", "tools") for p in (ROOT / folder).rglob("*.md")),
]
# The Chinese pages have the same commands, as tests/test_chinese_pages.py checks.
NOT_CHINESE = [p for p in PAGES if p.parent.name != "zh" and p.name != "README.zh-CN.md"]


def parametrize(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda p: p.relative_to(ROOT).as_posix())


every_page = parametrize(PAGES)

FOLDERS = "bench|csrc|docs|examples|python|tests|tools"
A_PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w.*/?-]*[\w*/]")
# Placeholders for any name, and files that a command creates.
PLACEHOLDER = re.compile(r"NAME|OBJECT|results/|^python/byhand/bench$")


@pytest.mark.parametrize("name", LESSONS)
def test_python_of_a_lesson(name: str) -> None:
    page = ROOT / "docs" / f"{name}.md"
    blocks = list(Document.parse(str(page), PythonCodeBlockParser()).examples())
    assert len(blocks) == page.read_text().count("```python") >= 5
    for block in blocks:
        block.evaluate()


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub forms them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in re.findall(r"\]\(([^()\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken


def missing_paths(page: Path) -> list[str]:
    """Return the paths in the page that do not exist. They start at the root of the repository."""
    named = {p for p in A_PATH.findall(page.read_text()) if not PLACEHOLDER.search(p)}
    return sorted(p for p in named if not any(ROOT.glob(p.rstrip("/"))))


def missing_functions(page: Path) -> list[str]:
    """Return functions in rows of tables that are not in the files that the row links to."""
    missing = []
    for row in re.findall(r"^\|.*\|$", page.read_text(), re.MULTILINE):
        files = [page.parent / f for f in re.findall(r"\]\(([^()\s#]+\.(?:cc|h|py))\)", row)]
        if not files or not all(f.exists() for f in files):
            continue  # broken_links reports these
        code = "\n".join(f.read_text() for f in files)
        names = re.findall(r"`(\w+)`", row.rsplit("](", 1)[1])
        missing += [f"{name}: {row}" for name in names if not re.search(rf"\b{name}\b", code)]
    return missing


def unknown_names(page: Path) -> list[str]:
    """Return the names in backticks, of two words or more, that no source file contains."""
    named = re.findall(r"`(\w+_\w+)`", page.read_text())
    return [name for name in dict.fromkeys(named) if not re.search(rf"\b{name}\b", sources())]


def commands(text: str) -> list[str]:
    """Return the calls of `byhand` in backticks and code blocks, without the word `byhand`."""
    text = re.sub(r"\\\n *", "", text)  # join a command that spans several lines
    inline = re.findall(r"`(?:python -m )?byhand ([a-z][^`\n]*)`", text)
    blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join([*blocks, *re.findall(r"^ {4}.*$", text, re.MULTILINE)])
    return inline + re.findall(r"^ *(?:python -m )?byhand ([a-z].*)$", lines, re.MULTILINE)


def refused_commands(page: Path) -> list[str]:
    """Return the calls with a command or an option that does not exist."""
    refused = []
    for line in commands(page.read_text()):
        words = shlex.split(re.split(r" (?:\||&&|[12]?>)", line)[0], comments=True)
        result = CliRunner().invoke(app, [*words, "--help"])
        # In a sentence, an option may lack its value. It then takes --help as its value.
        if result.exit_code and "'--help'" not in result.output:
            refused.append(line)
    return refused


def unknown_tool_options(text: str) -> list[str]:
    """Return the options of scripts in tools/ and tests/ that the scripts do not define."""
    found = []
    for name, rest in re.findall(r"python ((?:tools|tests)/[a-z_]+\.py)([^`\n#]*)", text):
        code = sources() + (ROOT / name).read_text()
        for option in re.findall(r"--[a-z-]+", rest):
            parameter = option[2:].replace("-", "_")
            if f'"{option}' not in code and not re.search(
                rf"\b{parameter}: (?:Annotated|\w+Option\b)", code
            ):
                found.append(f"{name} {option}")
    return found


@functools.cache
def sources() -> str:
    folders = ("csrc", "python", "bench", "tools")
    files = (p for folder in folders for p in (ROOT / folder).rglob("*"))
    return "\n".join(p.read_text() for p in files if p.suffix in {".cc", ".h", ".py"})


@every_page
def test_links(page: Path) -> None:
    assert not broken_links(page)


@every_page
def test_paths(page: Path) -> None:
    assert not missing_paths(page)


@every_page
def test_functions_beside_files(page: Path) -> None:
    assert not missing_functions(page)


@parametrize(NOT_CHINESE)
def test_commands(page: Path) -> None:
    assert not refused_commands(page)
    assert not unknown_tool_options(page.read_text())


@pytest.mark.parametrize("name", [*LESSONS, "measurements"])
def test_names(name: str) -> None:
    assert not unknown_names(ROOT / "docs" / f"{name}.md")


def test_faults_of_a_page_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "code.cc").write_text("void is_there() {}")
    page.write_text(
        "# One heading, `code`\n[fine](#one-heading-code) [gone](gone.md) [bad](#two)\n"
        "`csrc/cpu/no_such_file.cc`, csrc/cpu/, `csrc/ops/NAME.h`, csrc/ops/*.h\n"
        "`byhand train mlp --epochs 3`, `byhand train --epochs`\nbyhand is here\n"
        "```bash\nbyhand train mlp \\\n  --no-such-option\n```\n    byhand trian mlp | head\n"
        "| tiles | [code](code.cc) | `is_there`, `no_such`, `best_cut`, `no_such_cut` |\n"
    )
    assert broken_links(page) == ["gone.md", "#two"]
    assert refused_commands(page) == ["train mlp --no-such-option", "trian mlp | head"]
    text = "`python tools/kill_runs.py --kills 3 --no-such-option`"
    assert unknown_tool_options(text) == ["tools/kill_runs.py --no-such-option"]
    assert missing_paths(page) == ["csrc/cpu/no_such_file.cc"]
    missing = [m.partition(":")[0] for m in missing_functions(page)]
    assert missing == ["no_such", "best_cut", "no_such_cut"]
    assert unknown_names(page) == ["is_there", "no_such", "no_such_cut"]


@pytest.mark.slow
def test_the_script_of_the_table_of_methods() -> None:
    """tools/conv2d_methods.py, which docs/winograd.md names, has errors within the bound."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/conv2d_methods.py"), "--batch", "2", "--rounds", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["conv1"] * 3 + ["conv2"] * 3
    assert all(0 < float(error) < 2e-5 for row in rows for error in row[-2:])
