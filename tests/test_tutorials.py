"""The tutorials and the page on own layers: every block of Python and of shell is run, in order.

The blocks of Python of a page share their names, all blocks share a folder. Here the data are
2,000 images that look nothing like digits, every number of epochs is 1 and logs have a line each
5 batches: what is tested is that the steps work, not how well.

    BYHAND_FULL_TUTORIALS=1 pytest -s tests/test_tutorials.py

runs the pages as they are written, on MNIST, and names the folders of the files they make.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import byhand
import pytest
from cli_support import make_sets, write_folder
from sybil import Example
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [*sorted(DOCS.glob("tutorials/?.md")), DOCS / "own_layers.md"]
FULL = bool(os.environ.get("BYHAND_FULL_TUTORIALS"))

COMMAND = f"""#!{sys.executable}
from byhand.cli import main
main()
"""


def shortened(page: str) -> str:
    """One epoch, a log's line each 5 batches; line numbers stay."""
    page = re.sub(r"(\bepochs=|--epochs )\d+", r"\g<1>1", page)
    return re.sub(r"(\bevery=|\.batch % )\d+", r"\g<1>5", page)


def run_shell(example: Example) -> None:
    done = subprocess.run(
        ["bash", "-euc", example.parsed],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, end="")
    assert done.returncode == 0, f"{example.path}, line {example.line}: {done.stdout}"


def blocks(page: Path, copy: Path) -> list[Example]:
    """All of them; `copy` is where the text that is run goes, for the lines of tracebacks."""
    text = page.read_text()
    copy.write_text(text if FULL else shortened(text))
    parsers = [PythonCodeBlockParser(), CodeBlockParser("bash", run_shell)]
    found = list(Document.parse(str(copy), *parsers).examples())
    assert len(found) == len(re.findall(r"^ *```(?!text)\w", text, re.MULTILINE))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "bin" / "byhand"
    command.parent.mkdir()
    command.write_text(COMMAND)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", str(Path(byhand.__file__).parents[1]))  # may be relative now
    if not FULL:
        data = write_folder(tmp_path / "data", make_sets(train=2000, test=500))
        monkeypatch.setenv("BYHAND_DATA", str(data))
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for example in blocks(page, tmp_path / page.name):
        print(f">>> line {example.line}")
        example.evaluate()
    if FULL:
        print(f"written to {folder}")
