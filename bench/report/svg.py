"""The charts of `byhand bench report` as elements of SVG: colours, lines and names."""

from __future__ import annotations

import contextlib
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from byhand.bench.peers import CONTENDERS
from byhand.bench.report.tables import Table

# matplotlib is imported after byhand.plots.figure, whose import allows a wrong MPLBACKEND.
from byhand.plots.figure import drawing, new_figure
from matplotlib import rcParams
from matplotlib.figure import Figure

WIDTH = 6.0  # of a chart, in inches
# matplotlib writes these colours, and `svg_of` puts variables of CSS in their place. So the same
# chart is readable on a light and on a dark background.
INK, GRID = "#010203", "#010204"
SERIES = tuple(f"#0102a{i}" for i in range(8))
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))


@dataclass(frozen=True)
class Chart:
    """A chart, the text that stands for it, and the table of its numbers.

    key : the name of the chart in the page.
    """

    key: str
    title: str
    description: str
    svg: str
    table: Table


def make_chart(
    kind: str,
    threads: int,
    table: Table,
    description: str,
    height: float,
    draw: Callable[[Figure], None],
) -> Chart:
    """Return a chart that `draw` draws into an empty figure. The title is that of the table."""
    key = f"{kind}-{threads}"
    with style(key):
        figure = new_figure(WIDTH, height)
        draw(figure)
        svg = svg_of(figure, key, description)
    title = table.caption.partition(":")[0]
    return Chart(key, title, description, svg, table)


def look(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Return colour, marker and dashes of a contender: the same in every chart.

    The look does not depend on colour alone, so that a colour-blind reader can tell the lines.
    """
    known = [contender.name for contender in CONTENDERS]
    i = known.index(name) if name in known else len(known) + names.index(name)
    return {"color": SERIES[i % 8], "marker": MARKERS[i % 8], "linestyle": DASHES[i % 8]}


@contextlib.contextmanager
def style(key: str) -> Iterator[None]:
    """Draw with the page's colours. `key` makes the names inside of the SVG reproducible."""
    with drawing():
        colors = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        settings: Any = dict.fromkeys(colors, INK)
        settings.update(
            {
                "svg.hashsalt": key,
                "font.size": 11,
                "grid.color": GRID,
                "grid.linewidth": 0.6,
                "axes.grid": True,
                "axes.facecolor": "none",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "legend.frameon": False,
                "legend.fontsize": 10,
                "lines.markersize": 5,
            }
        )
        rcParams.update(settings)
        yield


def svg_of(figure: Figure, key: str, description: str) -> str:
    """Return the SVG element of a figure, for a page of HTML.

    The names of its parts begin with `key`, because they must be unique in the page. Its metadata
    are left out.
    """
    content = io.StringIO()
    figure.savefig(content, format="svg", facecolor="none", metadata={"Date": None})
    text = content.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{key}-", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for color, variable in ((INK, "ink"), (GRID, "grid")):
        text = text.replace(color, f"var(--{variable})")
    for i, color in enumerate(SERIES):
        text = text.replace(color, f"var(--series-{i})")
    label = html.escape(" ".join(description.split()))
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
