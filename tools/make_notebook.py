"""Makes the Jupyter notebooks of tutorial A from its Markdown pages.

    python tools/make_notebook.py    # writes docs/tutorials/a.ipynb and docs/tutorials/zh/a.ipynb

Blocks of Python and shell become cells. The page shows below such a block what it prints. The
notebook leaves this out, because its reader runs the cell. After a cell that writes pictures, the
notebook shows them. The script needs `pip install nbformat`.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from byhand.files.atomic import write_atomic
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
PAGES = (TUTORIALS / "a.md", TUTORIALS / "zh" / "a.md")

FENCE = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"--(?:out|show|worst) (\S+\.png)")  # a picture that a command writes
CODE = ("python", "bash")
IMPORT = "from IPython.display import Image, display"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def parts(page: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each part. The language of text between blocks is ""."""
    end = 0
    for block in FENCE.finditer(page):
        if between := page[end : block.start()].strip():
            yield "", text_without_fences(between)
        yield block[1], block[2].rstrip()
        end = block.end()
    if rest := page[end:].strip():
        yield "", text_without_fences(rest)


def text_without_fences(text: str) -> str:
    """Return the text. If it has a fence, a block of the page was not found: ValueError."""
    if "```" in text:
        raise ValueError(f"a block must begin with ``` and its language alone, in: {text!r}")
    return text


def cells(page: str) -> Iterator[nbformat.NotebookNode]:
    """Yield the cells of a page."""
    text: list[str] = []  # of the next cell of text
    previous = ""
    for language, part in parts(page):
        if language in CODE:
            if text:
                yield new_markdown_cell("\n\n".join(text))
            text = []
            yield new_code_cell(f"%%bash\n{part}" if language == "bash" else part)
            if pictures := language == "bash" and PICTURE.findall(part):
                shown = ", ".join(f'Image("{picture}")' for picture in pictures)
                yield new_code_cell(f"{IMPORT}\n\ndisplay({shown})")
        elif language == "":
            text.append(part)
        elif previous not in CODE:  # a block below a code cell shows what the cell prints
            text.append(f"```{language}\n{part}\n```")
        previous = language
    if text:
        yield new_markdown_cell("\n\n".join(text))


def notebook(page: Path) -> str:
    """Return the content of the notebook of a page."""
    made = new_notebook(cells=list(cells(page.read_text(encoding="utf-8"))), metadata=METADATA)
    made.nbformat_minor = 5  # a newer nbformat must not change the file
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"  # nbformat's own would be random
    nbformat.validate(made)
    return str(nbformat.writes(made)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    for page in PAGES:
        write_atomic(page.with_suffix(".ipynb"), notebook(page).encode())


if __name__ == "__main__":
    main()
