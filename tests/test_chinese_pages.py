"""Each Chinese page has the code blocks, the structure and the figures of its English twin.

Whoever changes an English page changes its Chinese twin, too. tests/test_docs.py checks the links,
paths and commands of both languages. tests/test_tutorials.py runs the code of the English pages
only, because the Chinese pages have the same code.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
NAMES = ("README.md", "a.md", "b.md", "c.md", "d.md", "e.md")
PAIRS = [
    (ROOT / "README.md", ROOT / "README.zh-CN.md"),
    *((TUTORIALS / name, TUTORIALS / "zh" / name) for name in NAMES),
]
every_pair = pytest.mark.parametrize(
    ("english", "chinese"), PAIRS, ids=[e.relative_to(ROOT).as_posix() for e, _ in PAIRS]
)

BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CHINESE = "[\u4e00-\u9fff]"


def prose(page: Path) -> str:
    """Return the text of the page without its code blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def different_blocks(english: Path, chinese: Path) -> list[str]:
    """Return the lines at which code blocks begin that are not the same in both pages."""
    starts, blocks = [], []
    for page in (english, chinese):
        text = page.read_text(encoding="utf-8")
        found = list(BLOCK.finditer(text))
        blocks.append([match.group() for match in found])
        starts.append([text.count("\n", 0, match.start()) + 1 for match in found])
    matcher = difflib.SequenceMatcher(None, *blocks, autojunk=False)
    return [
        f"blocks at lines {starts[0][i:j]} of the English page and {starts[1][k:m]} of the Chinese"
        for tag, i, j, k, m in matcher.get_opcodes()
        if tag != "equal"
    ]


def outline(page: Path) -> list[str]:
    """Return the marks of headings, list items, pictures and rows of tables, in order."""
    marks = re.findall(r"^(#+ | *- | *\d+\. |!\[|\|.*\|$)", prose(page), re.MULTILINE)
    return [f"row of {m.count('|') - 1} cells" if m[0] == "|" else m for m in marks]


def inline_code(page: Path) -> set[str]:
    return {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))}


def figures(page: Path) -> set[str]:
    """Return the numbers of two digits or more in the prose, such as 99.44 and 60,000."""
    text = re.sub(r"`[^`]+`|\]\([^()]*\)", "", prose(page))
    return set(re.findall(r"\d[\d,.]*\d", text))


def links(page: Path, twin: Path) -> set[str | Path]:
    """Return the URLs and files that the page links to, without anchors and without its twin."""
    targets = re.findall(r"\]\(([^()\s#]+)[^()\s]*\)", prose(page))
    files = {t if re.match(r"[a-z]+:", t) else (page.parent / t).resolve() for t in targets}
    return files - {twin}


def faults_of_form(text: str) -> list[str]:
    """Return what is too long or what Markdown renders wrongly in a text without code blocks."""
    # Markdown joins lines with a space, which Chinese does not have between words.
    joined = re.findall(rf".*{CHINESE}\n *(?:\[|\*\*)?{CHINESE}.*", text)
    # With a letter outside and no letter inside, two asterisks do not begin or end bold text.
    bold = re.findall(r"\w?\*\*[^*]+\*\*\w?", re.sub(r"`[^`]*`", "`", text))
    bold = [part for part in bold if re.search(r"^\w\*\*\W|\W\*\*\w$", part)]
    lines = [line for line in text.splitlines() if not line.startswith("|")]
    return joined + bold + [line for line in lines if columns(line) > 120]


def columns(line: str) -> int:
    return len(line) + sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in line)


def test_every_page_has_a_twin() -> None:
    assert sorted(NAMES[1:]) == sorted(p.name for p in TUTORIALS.glob("?.md"))
    assert sorted(NAMES) == sorted(p.name for p in (TUTORIALS / "zh").glob("*.md"))


@every_pair
def test_code_blocks_are_the_same(english: Path, chinese: Path) -> None:
    assert not different_blocks(english, chinese)


@every_pair
def test_headings_lists_and_tables_are_the_same(english: Path, chinese: Path) -> None:
    assert outline(chinese) == outline(english)


@every_pair
def test_inline_code_and_figures_are_the_same(english: Path, chinese: Path) -> None:
    assert inline_code(chinese) == inline_code(english)
    assert figures(chinese) == figures(english)


@every_pair
def test_links_lead_to_the_same_pages_in_chinese(english: Path, chinese: Path) -> None:
    twins = dict(PAIRS)
    assert links(chinese, english) == {twins.get(f, f) for f in links(english, chinese)}


@every_pair
def test_twins_link_to_each_other(english: Path, chinese: Path) -> None:
    for page, word, twin in ((english, "中文", chinese), (chinese, "English", english)):
        title, _, link, *_ = page.read_text(encoding="utf-8").splitlines()
        target = re.fullmatch(rf"\[{word}\]\((.*)\)", link)
        assert title.startswith("# ")
        assert target, f"line 3 of {page} is not the link to the other language"
        assert (page.parent / target[1]).resolve() == twin


@every_pair
def test_form_of_the_chinese_text(english: Path, chinese: Path) -> None:
    assert not faults_of_form(prose(chinese))


def test_differences_and_faults_are_found(tmp_path: Path) -> None:
    english, chinese = tmp_path / "a.md", tmp_path / "zh.md"
    one, two, three = (f"```python\nx = {n}\n```\n" for n in (1, 2, 3))
    english.write_text(f"# A\n{one}## B\n`x`, 60,000\n| a | b |\n{two}[1](a.py)\n")
    chinese.write_text(f"# A\n{one}- B\n`y`, 6,000\n| a |\n{three}[1](b.py)\n{one}")
    assert different_blocks(english, chinese) == [
        "blocks at lines [8] of the English page and [8, 12] of the Chinese"
    ]
    assert outline(english) == ["# ", "## ", "row of 2 cells"]
    assert outline(chinese) == ["# ", "- ", "row of 1 cells"]
    assert (inline_code(english), inline_code(chinese)) == ({"x"}, {"y"})
    assert (figures(english), figures(chinese)) == ({"60,000"}, {"6,000"})
    assert links(english, chinese) == {tmp_path / "a.py"} != links(chinese, english)
    assert not faults_of_form("一批。\n**批**是 **一。** 图像、`2**3`。**批。** 一\n")
    assert faults_of_form("**批。**图\n") == ["**批。**图"]
    assert faults_of_form("图**`x`**\n") == ["图**`**"]
    assert faults_of_form("一\n批") == ["一\n批"]
    assert faults_of_form("批" * 60) == []
    assert faults_of_form("批" * 61) == ["批" * 61]
