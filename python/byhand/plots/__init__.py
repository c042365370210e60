"""The curves of a training, drawn by matplotlib, which `byhand[cli]` installs."""

from __future__ import annotations

from byhand.plots.live import LivePlot

__all__ = ["LivePlot"]
