"""README, tutorials and pages of docs/: every block of Python and shell runs, in order.

A new page of docs/ is run without being named here.

The Python blocks of a page share their names, and all blocks of a page share a folder. The data are
2,000 images that do not look like digits, every number of epochs is 1, and logs have a line every 5
batches. So the tests show that the steps work, but not how well.

A block `output` is compared with what the block above it prints. A block `text` is not, because it
depends on the data.

This command runs the pages as they are written, on MNIST. It prints their output, and names the
folders with the files that they write:

    BYHAND_FULL_TUTORIALS=1 pytest -n 0 -s tests/test_tutorials.py
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import byhand
import pytest
from byhand.checks import is_installed
from cli_support import make_sets, write_folder
from sybil import Example
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from test_docs import LESSONS

DOCS = Path(__file__).parents[1] / "docs"
# Pages that other tests run: test_docs.py, test_cuda_training.py, test_demo.py,
# test_several_machines.py, test_simt_docs.py.
RUN_ELSEWHERE = {*LESSONS, "cuda", "demo", "several_machines", "simt"}
PAGES = [
    DOCS.parent / "README.md",
    *sorted(DOCS.glob("tutorials/?.md")),
    *sorted(
        page
        for page in DOCS.glob("*.md")
        if page.stem not in RUN_ELSEWHERE and re.search("^```(python|bash)", page.read_text(), re.M)
    ),
]
# The packages that a page needs in addition to byhand[cli].
NEEDS = {"export": ("onnx", "onnxruntime", "torch", "tensorboard"), "sklearn": ("sklearn",)}
FULL = bool(os.environ.get("BYHAND_FULL_TUTORIALS"))

COMMAND = f"""#!{sys.executable}
from byhand.cli import main
main()
"""


def shortened(page: str) -> str:
    """Return the page with one epoch and a log line every 5 batches. Line numbers stay."""
    page = re.sub(r"(\bepochs=|--epochs )\d+", r"\g<1>1", page)
    return re.sub(r"(\bevery=|--log-every |\.batch % )\d+", r"\g<1>5", page)


def run_shell(example: Example) -> None:
    done = subprocess.run(
        ["bash", "-euc", example.parsed],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, end="")
    assert done.returncode == 0, f"{example.path}, line {example.line}: {done.stdout}"


def compare(example: Example) -> None:
    """Compare a block `output` with what the block above it has printed."""
    assert example.namespace["printed"].rstrip() == example.parsed.rstrip()


def evaluate(example: Example) -> None:
    """Run a block, and keep what it prints for `compare`."""
    print(f">>> line {example.line}")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            example.evaluate()
        finally:
            print(printed.getvalue(), end="", file=sys.__stdout__)
    example.namespace["printed"] = printed.getvalue()


def blocks(page: Path, copy: Path) -> list[Example]:
    """Return all blocks of the page. The text that is run is written to `copy`, for tracebacks."""
    text = page.read_text()
    copy.write_text(text if FULL else shortened(text))
    parsers = [
        PythonCodeBlockParser(),
        CodeBlockParser("bash", run_shell),
        CodeBlockParser("output", compare),
    ]
    found = list(Document.parse(str(copy), *parsers).examples())
    assert len(found) == len(re.findall(r"^ *```(?!text)\w", text, re.MULTILINE))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in NEEDS.get(page.stem, ()):
        if not is_installed(package):
            pytest.skip(f"the page needs {package}, which is not installed")
    command = tmp_path / "bin" / "byhand"
    command.parent.mkdir()
    command.write_text(COMMAND)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MPLBACKEND", "agg")
    # PYTHONPATH may be relative to the folder from which the test started.
    monkeypatch.setenv("PYTHONPATH", str(Path(byhand.__file__).parents[1]))
    if not FULL:
        data = write_folder(tmp_path / "data", make_sets(train=2000, test=500))
        monkeypatch.setenv("BYHAND_DATA", str(data))
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for example in blocks(page, tmp_path / page.name):
        evaluate(example)
    if page.parent.name == "tutorials":  # no page overwrites files of another
        assert {path.name for path in folder.iterdir()} <= {f"tutorial-{page.stem}"}
    if FULL:
        print(f"written to {folder}")
