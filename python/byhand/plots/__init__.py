"""Curves of training, drawn by matplotlib. They need `byhand[cli]`."""

from __future__ import annotations

from byhand.plots.live import LivePlot

__all__ = ["LivePlot"]
