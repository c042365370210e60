"""The formats and the error of plots. They are apart from matplotlib, whose import takes long."""

from __future__ import annotations

# The formats that plots can be written in, by the ends of the names of files.
PLOT_FORMATS = (".png", ".pdf", ".svg")


class PlotError(Exception):
    """matplotlib could not draw."""
