"""Figures by matplotlib without a window, without the user's settings, text as plain text.

matplotlib is imported here and never by the core.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from byhand.checks import needs_extra
from byhand.plots.formats import PlotError

# matplotlib cannot be imported if MPLBACKEND names a backend that does not exist. Files need no
# backend, so the variable is set aside and applied afterwards, if it can be.
_wanted = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, fontManager, get_font
    from matplotlib.text import Text
except ModuleNotFoundError as error:
    raise needs_extra(error, "drawing", "cli") from None
except Exception as error:  # for example a settings file that is not text
    raise PlotError(f"matplotlib could not be imported: {error}") from error
finally:
    if _wanted is not None:
        os.environ["MPLBACKEND"] = _wanted
if _wanted is not None:
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = _wanted

# matplotlib's own font. It has the letters of most alphabets, but no Chinese or Japanese ones.
DEFAULT_FONT = str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"))

_DPI = 200


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw with matplotlib's defaults, whatever the user's settings are, and $ and _ as text.

    Raises PlotError in place of any exception of matplotlib.
    """
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams["text.parse_math"] = False
            yield
    except Exception as error:
        raise PlotError(f"matplotlib could not draw: {error}") from error


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    with drawing():
        return Figure(figsize=(width, height), layout="constrained")


def figure_bytes(figure: Figure, suffix: str = ".png") -> bytes:
    """Return the figure as the content of a file whose name ends in `suffix`, of PLOT_FORMATS."""
    content = io.BytesIO()
    with drawing():
        for text in figure.findobj(Text):
            _choose_font(text)
        FigureCanvasAgg(figure)
        figure.savefig(content, format=suffix.lstrip("."), dpi=_DPI)
    return content.getvalue()


def _choose_font(text: Text) -> None:
    content = " ".join(text.get_text().split())
    font = font_for(content)
    if font is None:
        text.set_text(escaped(content))
    elif font != DEFAULT_FONT:
        text.set_fontproperties(FontProperties(fname=font, size=text.get_fontsize()))


def escaped(text: str) -> str:
    r"""Return `text` with every letter that DEFAULT_FONT lacks as \u and its number."""
    letters = _letters(DEFAULT_FONT)
    return "".join(
        c if c.isprintable() and ord(c) in letters else c.encode("unicode_escape").decode()
        for c in text
    )


def font_for(text: str) -> str | None:
    """Return the file of a font with every letter of `text`, None if no such font is installed."""
    if not text.isprintable():
        return None
    needed = frozenset(map(ord, text))
    return DEFAULT_FONT if needed <= _letters(DEFAULT_FONT) else _font_with(needed)


@functools.cache
def _font_with(needed: frozenset[int]) -> str | None:
    fonts = {font.fname for font in fontManager.ttflist if "Last Resort" not in font.name}
    return next((font for font in sorted(fonts) if needed <= _letters(font)), None)


@functools.cache
def _letters(font: str) -> frozenset[int]:
    try:
        face = get_font(font)
    except (OSError, RuntimeError):  # a damaged font
        return frozenset()
    # Fonts of coloured pictures have one size only, which cannot be drawn.
    return frozenset(face.get_charmap()) if face.scalable else frozenset()


def drawable_names(names: Sequence[str]) -> list[str]:
    """Return names of classes as they can be drawn: "class 2" for a name that no font has."""
    drawable = [
        name if font_for(" ".join(name.split())) else f"class {k}" for k, name in enumerate(names)
    ]
    lost = [name for name, shown in zip(names, drawable, strict=True) if name != shown]
    if lost:
        warnings.warn(
            f"no installed font has the letters of {', '.join(lost)}: the picture shows the "
            "numbers of these classes",
            stacklevel=2,
        )
    return drawable
