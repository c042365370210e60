"""Configuration of Sphinx for the documentation site.

python -m sphinx -W --keep-going -c docs . build/site

The source folder is the whole repository, so that every Markdown file is a page at the place where
it lies, and its relative links are those of the site.
"""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "site"))

import byhand  # noqa: E402
from repository import linkcode_resolve  # noqa: E402, F401  sphinx.ext.linkcode calls it

project = "byhand"
author = "The byhand authors"
copyright = "The byhand authors, Apache-2.0"
version = release = byhand.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "sphinx_copybutton",
    "sphinx_design",
    "command_line",
    "repository",
    "search_chinese",
]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "bench/README.md", "tools/README.md"]
exclude_patterns = ["build", "dist", "runs", ".*", "**/node_modules"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 6  # every heading is a target of a link, as on GitHub

autodoc_default_options = {"members": True}
autodoc_typehints = "none"  # the docstrings name the types
napoleon_google_docstring = False
napoleon_use_param = False  # otherwise the word "shape" of a type would be a link
napoleon_custom_sections = [("Attributes", "params_style")]
default_role = "py:obj"  # `name` in a docstring is a link if the name is on the site

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "byhand"
html_favicon = "../python/byhand/demo/page/icon.svg"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_extra_path = ["site/index.html"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5cad", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#74b8ea", "color-brand-content": "#74b8ea"},
}
html_search_language = "en-zh"

linkcheck_ignore = [r"(?!https?://)"]  # links inside the site are checked by every build
