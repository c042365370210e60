"""Each Chinese page has the code blocks, the structure and the figures of its English twin.

Whoever changes an English page changes its Chinese twin, too. tests/test_docs.py checks the links
and paths of both languages. Commands are checked and code is run in the English pages only
(tests/test_docs.py, tests/test_tutorials.py), because the Chinese pages have the same.
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
# The marks of headings, list items and pictures, and whole rows of tables.
MARK = re.compile(r"^(?:#+ | *- | *\d+\. |!\[|\|.*\|$)", re.MULTILINE)
CHINESE = "[\u4e00-\u9fff]"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return the page with empty lines in place of its code blocks."""
    return BLOCK.sub(lambda block: "\n" * block.group().count("\n"), text_of(page))


def blocks(page: Path) -> list[tuple[int, str]]:
    """Return each code block with the number of its first line."""
    return with_lines(BLOCK, text_of(page))


def outline(page: Path) -> list[tuple[int, str]]:
    """Return each mark with the number of its line. The mark of a table's row is its cell count."""
    marks = with_lines(MARK, prose(page))
    return [(line, f"{m.count('|') - 1} cells" if m[0] == "|" else m) for line, m in marks]


def with_lines(pattern: re.Pattern[str], text: str) -> list[tuple[int, str]]:
    return [(text.count("\n", 0, m.start()) + 1, m.group()) for m in pattern.finditer(text)]


def differences(english: list[tuple[int, str]], chinese: list[tuple[int, str]]) -> list[str]:
    """Return the lines of both pages at which their parts differ."""
    parts = ([part for _, part in page] for page in (english, chinese))
    return [
        f"lines {[n for n, _ in english[i:j]]} of the English page "
        f"differ from lines {[n for n, _ in chinese[k:m]]} of the Chinese page"
        for tag, i, j, k, m in difflib.SequenceMatcher(None, *parts, autojunk=False).get_opcodes()
        if tag != "equal"
    ]


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
    assert not differences(blocks(english), blocks(chinese))


@every_pair
def test_headings_lists_and_tables_are_the_same(english: Path, chinese: Path) -> None:
    assert not differences(outline(english), outline(chinese))


@every_pair
def test_inline_code_and_figures_are_the_same(english: Path, chinese: Path) -> None:
    assert inline_code(chinese) == inline_code(english)
    assert figures(chinese) == figures(english)


@every_pair
def test_links_lead_to_the_same_pages_in_chinese(english: Path, chinese: Path) -> None:
    twins = dict([*PAIRS, (TUTORIALS / "a.ipynb", TUTORIALS / "zh" / "a.ipynb")])
    assert links(chinese, english) == {twins.get(f, f) for f in links(english, chinese)}


@every_pair
def test_twins_link_to_each_other(english: Path, chinese: Path) -> None:
    for page, word, twin in ((english, "中文", chinese), (chinese, "English", english)):
        title, _, link, *_ = text_of(page).splitlines()
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
    differ = "lines {} of the English page differ from lines {} of the Chinese page".format
    assert differences(blocks(english), blocks(chinese)) == [differ([8], [8, 12])]
    assert outline(english) == [(1, "# "), (5, "## "), (7, "2 cells")]
    assert differences(outline(english), outline(chinese)) == [differ([5, 7], [5, 7])]
    assert (inline_code(english), inline_code(chinese)) == ({"x"}, {"y"})
    assert (figures(english), figures(chinese)) == ({"60,000"}, {"6,000"})
    assert links(english, chinese) == {tmp_path / "a.py"} != links(chinese, english)
    assert not faults_of_form("一批。\n**批**是 **一。** 图像、`2**3`。**批。** 一\n")
    assert faults_of_form("**批。**图\n") == ["**批。**图"]
    assert faults_of_form("图**`x`**\n") == ["图**`**"]
    assert faults_of_form("一\n批") == ["一\n批"]
    assert faults_of_form("批" * 60) == []
    assert faults_of_form("批" * 61) == ["批" * 61]
