"""The formats and the error of plots, apart from matplotlib, which takes long to import."""

from __future__ import annotations

# The formats that plots can be written in, by the ends of the names of files.
PLOT_FORMATS = (".png", ".pdf", ".svg")


class PlotError(Exception):
    """matplotlib could not draw. Defined here, because importing matplotlib takes long."""
