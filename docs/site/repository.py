"""Pages for files of the repository.

Markdown pages link to source files, for example to ../csrc/ops/conv2d.h. Such a link leads to a
page of the site that shows the file with highlighting and line numbers. A link to a folder leads to
a list of its files, and a link to a notebook downloads it. The reference links each class and
function to its line in such a page. Only linked files and folders get a page.
"""

import importlib
import inspect
import posixpath
from collections.abc import Iterator
from functools import reduce
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform

LEXERS = {".h": "c++", ".cc": "c++", ".cu": "cuda", ".cuh": "cuda"}


def page_of(root: Path, path: str) -> str:
    """Return the name of the page that shows a file or a folder."""
    return f"{path}/index" if (root / path).is_dir() else path


def link_to(root: Path, docname: str, path: str, anchor: str, *inside: nodes.Node) -> nodes.Node:
    """Return a link from a document to the page of a file or a folder."""
    here = posixpath.dirname(docname) or "."
    uri = posixpath.relpath(page_of(root, path) + ".html", here) + anchor
    return nodes.reference("", "", *inside, refuri=uri, repository=path)


class LinksToFiles(SphinxTransform):
    """Replace the links that MyST makes to files and folders by links to their pages."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        root, docname = Path(self.env.srcdir).resolve(), self.env.docname
        links = [
            *self.document.findall(addnodes.download_reference),
            *(n for n in self.document.findall(addnodes.pending_xref) if n["reftype"] == "myst"),
        ]
        for link in links:
            target = Path(root, docname).parent.joinpath(link["reftarget"]).resolve()
            is_folder = link.get("refdomain") is None and target.is_dir()
            is_file = isinstance(link, addnodes.download_reference) and target.is_file()
            if not (is_file or is_folder) or not target.is_relative_to(root):
                continue  # Sphinx warns of files that do not exist
            if target.suffix == ".ipynb":
                continue  # Sphinx copies the file, and the link downloads it
            path = target.relative_to(root).as_posix()
            link.replace_self(link_to(root, docname, path, "", *link.children))


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return where a Python object is defined, for sphinx.ext.linkcode. None if it is C++."""
    try:
        found = reduce(
            getattr, info["fullname"].split("."), importlib.import_module(info["module"])
        )
        found = inspect.unwrap(getattr(found, "fget", found))
        file, (_, line) = Path(inspect.getfile(found)), inspect.getsourcelines(found)
    except (AttributeError, ImportError, OSError, TypeError, ValueError):
        return None
    package = next((p for p in file.parents if p.name == "byhand"), None)
    if package is None:
        return None
    return f"repository:python/byhand/{file.relative_to(package).as_posix()}#line-{line}"


def link_objects(app: Sphinx, doctree: nodes.document) -> None:
    """Replace the addresses of linkcode_resolve by links to pages."""
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri", "").startswith("repository:"):
            path, _, line = link["refuri"].removeprefix("repository:").partition("#")
            docname = app.env.docname
            link.replace_self(link_to(Path(app.srcdir), docname, path, f"#{line}", *link.children))


def listed(folder: Path) -> list[str]:
    """Return the names of the text files in a folder."""
    suffixes = {".cc", ".cu", ".cuh", ".h", ".md", ".py", ".toml"}
    return sorted(p.name for p in folder.iterdir() if p.suffix in suffixes)


def linked_paths(app: Sphinx) -> set[str]:
    root, paths = Path(app.srcdir), set()
    for docname in app.env.found_docs:
        for link in app.env.get_doctree(docname).findall(nodes.reference):
            if "repository" in link:
                paths.add(link["repository"])
    folders = [path for path in paths if (root / path).is_dir()]
    return paths | {f"{folder}/{name}" for folder in folders for name in listed(root / folder)}


def highlighted(app: Sphinx, path: str) -> str:
    code = Path(app.srcdir, path).read_text(encoding="utf-8")
    try:
        lexer = LEXERS.get(Path(path).suffix) or get_lexer_for_filename(path).aliases[0]
    except ClassNotFound:
        lexer = "text"
    return app.builder.highlighter.highlight_block(
        code, lexer, linenos="inline", lineanchors="line", anchorlinenos=True
    )


def file_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield the pages of all linked files and folders."""
    root = Path(app.srcdir)
    for path in sorted(linked_paths(app)):
        if page_of(root, path) in app.env.found_docs:
            raise ExtensionError(
                f"a link to the folder {path} would replace its page: link the page"
            )
        if (root / path).is_dir():
            items = (f'<li><a href="{n}.html">{escape(n)}</a></li>' for n in listed(root / path))
            body = f"<ul>{''.join(items)}</ul>"
        else:
            body = highlighted(app, path)
        heading = f'<h1 class="repository-path">{escape(path)}</h1>'
        context = {"title": path, "body": f'<div class="repository-file">{heading}{body}</div>'}
        yield page_of(root, path), context, "page.html"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(LinksToFiles)
    app.connect("doctree-read", link_objects, priority=900)  # after linkcode
    app.connect("html-collect-pages", file_pages)
    return {"parallel_read_safe": True}
