"""Make figures with matplotlib and write them to bytes, without a window.

The user's settings of matplotlib do not apply, and TeX is not used. The core of byhand never
imports this module, because matplotlib may not be installed.
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

# matplotlib cannot be imported if MPLBACKEND names a backend that does not exist. Writing a figure
# to a file needs no such backend. Therefore the variable is removed during the import. Afterwards,
# the backend is selected if it exists.
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

_DPI = 200  # pixels per inch


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Use matplotlib's default settings in a with statement, and show $ and _ as plain text.

    Yields
    ------
    None

    Raises
    ------
    PlotError
        If any exception is raised in the with statement.
    """
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams["text.parse_math"] = False
            matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text, not outlines of letters
            yield
    except Exception as error:
        raise PlotError(f"matplotlib could not draw: {error}") from error


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure.

    Parameters
    ----------
    width : float
        The width in inches.
    height : float
        The height in inches.
    """
    with drawing():
        return Figure(figsize=(width, height), layout="constrained")


def figure_bytes(figure: Figure, suffix: str = ".png") -> bytes:
    """Return a figure as the content of a file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    suffix : str
        The format, one of PLOT_FORMATS.

    Raises
    ------
    PlotError
        If matplotlib cannot draw.
    """
    content = io.BytesIO()
    with drawing():
        for text in figure.findobj(Text):
            _choose_font(text)
        FigureCanvasAgg(figure)
        figure.savefig(content, format=suffix.lstrip("."), dpi=_DPI)
    return content.getvalue()


def _choose_font(text: Text) -> None:
    """Give a text a font that has all its letters. If there is none, escape the missing letters."""
    content = " ".join(text.get_text().split())
    font = font_for(content)
    if font is None:
        text.set_text(escaped(content))
    elif font != DEFAULT_FONT:
        text.set_fontproperties(FontProperties(fname=font, size=text.get_fontsize()))


def escaped(text: str) -> str:
    r"""Return a text with an escape sequence, such as \u4e2d, for each letter not in DEFAULT_FONT.

    Parameters
    ----------
    text : str
        The text.
    """
    letters = _letters(DEFAULT_FONT)
    return "".join(
        c if c.isprintable() and ord(c) in letters else c.encode("unicode_escape").decode()
        for c in text
    )


def font_for(text: str) -> str | None:
    """Return the file of an installed font that has every letter of a text, or None.

    Parameters
    ----------
    text : str
        The text.
    """
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
    # A font of emoji pictures may exist in one size only. matplotlib cannot draw such a font.
    return frozenset(face.get_charmap()) if face.scalable else frozenset()


def drawable_names(names: Sequence[str]) -> list[str]:
    """Return class names, with labels such as "class 2" for names that no installed font can draw.

    Parameters
    ----------
    names : sequence of str
        The names of all classes.

    Warns
    -----
    UserWarning
        If a name cannot be drawn.
    """
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
