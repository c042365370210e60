"""The documentation site: it builds without a warning, is complete, and works offline.

The environment variable BYHAND_SITE is the folder of a site that is built already.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import byhand
import pytest
from byhand.cli.app import app

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# Modules whose names are for byhand itself and for its commands.
PRIVATE = {"demo", "nn.fusion", "reproduce", "simt"}


def public_modules() -> list[str]:
    """Return the names, without "byhand.", of the modules that list their public names."""
    package = ROOT / "python" / "byhand"
    files = [path for path in package.rglob("*.py") if "\n__all__ = " in path.read_text()]
    names = {".".join(path.relative_to(package).with_suffix("").parts) for path in files}
    return sorted(
        {name.removesuffix("__init__").removesuffix(".") for name in names} - PRIVATE - {""}
    )


def build(source: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build a site with the configuration of docs/, in a process of its own."""
    command = [sys.executable, "-m", "sphinx", "-q", *options, "-c", str(ROOT / "docs")]
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [*command, str(source), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if built := os.environ.get("BYHAND_SITE"):
        return Path(built).resolve()
    for package in ("myst_parser", "furo", "sphinx_copybutton", "sphinx_design", "sklearn"):
        pytest.importorskip(package, reason=f"the site needs {package}, which is not installed")
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out, "-W", "--keep-going")
    assert done.returncode == 0, done.stderr
    return out


def inventory(site: Path) -> set[str]:
    """Return the names of all Python objects in the reference."""
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        found = InventoryFile.load(file, "", lambda _, uri: uri)
    return {name for kind, names in found.items() if kind.startswith("py:") for name in names}


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    documented = inventory(site)
    for name in public_modules():
        module = importlib.import_module(f"byhand.{name}")
        wanted = {f"byhand.{name}.{item}" for item in module.__all__}
        missing = {item for item in wanted - documented if item not in submodules()}
        assert not missing, f"add these names to docs/api: {sorted(missing)}"


def submodules() -> set[str]:
    return {f"byhand.{name}" for name in public_modules()} | {
        "byhand.nn.losses",
        "byhand.optim.schedules",
    }


def test_every_name_of_the_package_is_in_the_reference(site: Path) -> None:
    """A name of `byhand` itself is documented in the module that it comes from."""
    documented = {name.rpartition(".")[2] for name in inventory(site)}
    names = {
        n for n in byhand.__all__ if f"byhand.{n}" not in submodules() | {"byhand.__version__"}
    }
    assert names <= documented


def test_every_command_is_on_the_page_of_the_command_line(site: Path) -> None:
    page = (site / "docs" / "api" / "command_line.html").read_text()
    commands = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert len(commands) > 8
    for name in [*commands, "data fetch", "bench gemm", "ladder gemm"]:
        assert f"Usage: byhand {name} " in page, name


@functools.cache
def targets(page: Path) -> set[str]:
    """Return the anchors of a page."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text()))


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and the anchor of each link, picture, script and style sheet of a page."""
    for uri in re.findall(r'<[^>]*\b(?:href|src)="([^"]+)"', page.read_text()):
        path, _, anchor = uri.partition("#")
        if not re.match(r"[a-z]+:", path):
            yield path.partition("?")[0], anchor


def test_links_lead_to_pages_of_the_site(site: Path) -> None:
    broken = []
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        for path, anchor in set(links(page)):
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (
                anchor and file.suffix == ".html" and anchor not in targets(file)
            ):
                broken.append(f"{page.relative_to(site)}: {path}#{anchor}")
    assert len(pages) > 100
    assert not broken


def test_a_source_file_is_shown_with_numbered_lines(site: Path) -> None:
    page = (site / "csrc" / "cpu" / "kernels" / "pool2d.cc.html").read_text()
    code = (ROOT / "csrc" / "cpu" / "kernels" / "pool2d.cc").read_text()
    assert f'id="line-{len(code.splitlines())}"' in page
    assert '<span class="k">namespace</span>' in page


def test_an_object_is_linked_to_its_line(site: Path) -> None:
    page = (site / "docs" / "api" / "nn.html").read_text()
    code = (ROOT / "python" / "byhand" / "nn" / "layers.py").read_text().splitlines()
    line = code.index("class Linear(_Weighted):") + 1
    assert f"../../python/byhand/nn/layers.py.html#line-{line}" in page


def test_wrong_links_are_errors(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the site needs furo, which is not installed")
    (tmp_path / "docs").mkdir()
    (tmp_path / "code.cc").write_text("int x;\n")
    (tmp_path / "docs" / "index.md").write_text(
        "# A page\n[fine](../code.cc) [fine](#a-page)\n\n[gone](../gone.cc) [page](gone.md) "
        "[heading](#no-such-heading)\n"
    )
    done = build(tmp_path, tmp_path / "out", "-W", "--keep-going")
    assert done.returncode != 0
    for name in ("../gone.cc", "gone.md", "no-such-heading"):
        assert name in done.stderr
    assert "code.cc" not in done.stderr.replace("gone.cc", "")


class Reader:
    """A page of the site in a browser without a network, opened as a file."""

    def __init__(self, browser: Any, site: Path, page: str) -> None:
        self.requests: list[str] = []
        context = browser.new_context(offline=True)
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)  # the machine may be busy
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto((site / page).as_uri())

    def search(self, words: str) -> list[str]:
        """Type words into the field of the search, and return the addresses of the results."""
        self.page.fill(".sidebar-search", words)
        self.page.press(".sidebar-search", "Enter")
        self.page.wait_for_selector("#search-results ul.search li a")
        self.page.wait_for_function("document.querySelector('.search-summary').innerText != ''")
        links = self.page.query_selector_all("#search-results ul.search > li > a")
        return [link.get_attribute("href") for link in links]


def test_the_search_works_offline(site: Path, browser: Any) -> None:
    reader = Reader(browser, site, "index.html")
    reader.page.wait_for_selector("h1")  # index.html leads to docs/index.html
    assert "docs/winograd.html" in reader.search("winograd")[0]
    reader.page.click("#search-results ul.search li a")
    assert "Winograd" in reader.page.inner_text("h1")
    assert any("api/kernels.html#byhand.kernels.conv2d" in uri for uri in reader.search("conv2d"))
    assert all(uri.startswith(("file:", "data:")) for uri in reader.requests)


@pytest.mark.parametrize("words", ["池化", "多层感知机"])
def test_chinese_words_are_found(words: str, site: Path, browser: Any) -> None:
    found = Reader(browser, site, "docs/index.html").search(words)
    assert any("tutorials/zh/a.html" in uri for uri in found)


def test_no_page_is_wider_than_a_phone(site: Path, browser: Any) -> None:
    for page in ("docs/index.html", "docs/gemm.html", "docs/api/nn.html", "docs/numerics.html"):
        reader = Reader(browser, site, page)
        reader.page.set_viewport_size({"width": 390, "height": 844})
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390, page
