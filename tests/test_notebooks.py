"""The Jupyter notebooks of tutorial A are those that tools/make_notebook.py makes, and they run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import byhand
import pytest
from cli_support import make_sets, write_folder
from test_tutorials import COMMAND, shortened

nbformat = pytest.importorskip("nbformat")

from make_notebook import PAGES, cells, notebook  # noqa: E402

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)


@every_page
def test_the_notebook_is_that_of_the_page(page: Path) -> None:
    made = page.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert made == notebook(page), "run tools/make_notebook.py"


def test_cells() -> None:
    page = (
        "# A\n\ntext\n\n```python\nprint(1)\n```\n\n```output\n1\n```\n\n## B\n\n"
        "It prints:\n\n```text\na b\n```\n\n```bash\ncommand --out x.png\n```\n"
    )
    assert [(cell.cell_type, cell.source) for cell in cells(page)] == [
        ("markdown", "# A\n\ntext"),
        ("code", "print(1)"),
        ("markdown", "## B\n\nIt prints:\n\n```text\na b\n```"),
        ("code", "%%bash\ncommand --out x.png"),
        ("code", 'from IPython.display import Image, display\n\ndisplay(Image("x.png"))'),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the packages of Jupyter, in this process
@every_page
def test_the_notebook_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run all cells on 2,000 images for one epoch, in a kernel of Jupyter."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    command = tmp_path / "bin" / "byhand"
    command.parent.mkdir()
    command.write_text(COMMAND)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(byhand.__file__).parents[1]))
    data = write_folder(tmp_path / "data", make_sets(train=2000, test=500))
    monkeypatch.setenv("BYHAND_DATA", str(data))
    monkeypatch.setenv("JUPYTER_PATH", f"{sys.prefix}/share/jupyter")
    folder = tmp_path / "reader"
    folder.mkdir()
    short = nbformat.reads(shortened(notebook(page)), as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        short, timeout=300, kernel_name="python3", resources=resources
    ).execute()
    shown = [
        o
        for cell in short.cells
        for o in cell.get("outputs", ())
        if "image/png" in o.get("data", {})
    ]
    assert len(shown) == 3  # digits.png, curves.png and mistakes.png
    assert {path.name for path in folder.iterdir()} == {"tutorial-a"}
