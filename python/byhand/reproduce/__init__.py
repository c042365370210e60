"""Train the networks of five tutorials on handwritten digits, and compare with their results."""

from __future__ import annotations

from byhand.reproduce.checks import Check, run_checks
from byhand.reproduce.figures import FIGURES, TUTORIALS, Figure, Row, train_figures
from byhand.reproduce.report import markdown, plain

__all__ = [
    "FIGURES",
    "TUTORIALS",
    "Check",
    "Figure",
    "Row",
    "markdown",
    "plain",
    "run_checks",
    "train_figures",
]
