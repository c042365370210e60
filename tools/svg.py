"""Drawings as SVG files: shapes, text and pixels on a page that follows the reader's theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

# Colours for the reader's light and dark theme. INK and HEAT go from zero to the largest value, and
# SIGNED goes from negative to positive values.
LIGHT = {"page": "#ffffff", "edge": "#d0d7de", "text": "#1f2328", "faint": "#59636e"}
DARK = {"page": "#0d1117", "edge": "#3d444d", "text": "#f0f6fc", "faint": "#9198a1"}
ACCENT = "#2f81f7"
INK = ("#000000", "#242424", "#494949", "#6d6d6d", "#929292", "#b6b6b6", "#dbdbdb", "#ffffff")
HEAT = ("#15273d", "#173a5e", "#18507f", "#1f70ad", "#3c93d3", "#74b8ea", "#b3dbf8", "#ffffff")
SIGNED = (
    *("#2166ac", "#4b8fc4", "#85bada", "#bddbea", "#f7f7f7"),
    *("#fbd0b9", "#f0a081", "#d6604d", "#b2182b"),
)

FONT = "system-ui,'Segoe UI','Noto Sans',Helvetica,Arial,'DejaVu Sans',sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"


def _theme(colour: Mapping[str, str]) -> str:
    return (
        f"text{{fill:{colour['text']}}}.faint{{fill:{colour['faint']}}}"
        f".page{{fill:{colour['page']};stroke:{colour['edge']}}}.frame{{stroke:{colour['edge']}}}"
        f".arrow{{stroke:{colour['faint']}}}#tip path{{fill:{colour['faint']}}}"
        f".rest{{fill:{colour['edge']}}}"
    )


STYLE = (
    f"text{{font:13px {FONT}}}.faint{{font-size:12px}}.mono{{font:12px {MONO}}}"
    f".bold{{font-weight:600}}.arrow{{fill:none;stroke-width:1.5;marker-end:url(#tip)}}"
    f".frame{{fill:none}}.best{{fill:{ACCENT}}}{_theme(LIGHT)}"
    f"@media (prefers-color-scheme:dark){{{_theme(DARK)}}}"
)


class Drawing:
    """An SVG picture: shapes on a page whose colours follow the reader's theme."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self._shapes: list[str] = []

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> None:
        self._shapes.append(
            f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def line(self, points: Sequence[tuple[float, float]], style: str = "arrow") -> None:
        path = "L".join(f"{x:g} {y:g}" for x, y in points)
        self._shapes.append(f'<path d="M{path}" class="{style}"/>')

    def bar(self, x: float, y: float, width: float, height: float, style: str) -> None:
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:.4g}" height="{height:g}" class="{style}"/>'
        )

    def pixels(
        self, levels: NDArray[np.intp], colours: Sequence[str], x: float, y: float, side: float
    ) -> None:
        """Draw an array (H, W) of indices into `colours` as squares with sides of length `side`.

        All squares of one level are one path: the runs of equal pixels in each row. Each run begins
        relative to the run before it.
        """
        height, width = levels.shape
        ground = int(np.bincount(levels.ravel()).argmax())
        self._shapes.append(
            f'<g transform="translate({x:g} {y:g}) scale({side:g})" shape-rendering="crispEdges">'
            f'<path fill="{colours[ground]}" d="M0 0h{width}v{height}h-{width}z"/>'
        )
        for level in np.unique(levels):
            if level != ground:
                path = _runs(levels == level)
                self._shapes.append(f'<path fill="{colours[level]}" d="{path}"/>')
        self._shapes.append("</g>")

    def svg(self) -> bytes:
        """Return the whole file. It draws its own background, so it can be read on any page."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n"
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
            'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>\n'
            f'<rect x=".5" y=".5" width="{self.width - 1}" height="{self.height - 1}" rx="6" '
            'class="page"/>\n'
        )
        return (head + "\n".join(self._shapes) + "\n</svg>\n").encode()


def _runs(mask: NDArray[np.bool_]) -> str:
    """Return an SVG path of rectangles: the runs of True in each row of a mask."""
    path, at = [], (0, 0)
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0]))))
        for begin, end in edges.reshape(-1, 2).tolist():
            dx, dy = begin - at[0], row - at[1]
            path.append(f"m{dx}{'' if dy < 0 else ' '}{dy}h{end - begin}v1h{begin - end}z")
            at = begin, row
    return "".join(path)
