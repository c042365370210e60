"""The formats and the error of plots, in a module that does not import matplotlib.

The import of matplotlib takes long.
"""

from __future__ import annotations

# The formats of plots, as endings of file names.
PLOT_FORMATS = (".png", ".pdf", ".svg")


class PlotError(Exception):
    """matplotlib could not draw."""
