"""The curves of a training: drawn by matplotlib (`byhand[cli]`), or written for TensorBoard."""

from __future__ import annotations

from byhand.plots.live import LivePlot
from byhand.plots.tensorboard import TensorBoard

__all__ = ["LivePlot", "TensorBoard"]
