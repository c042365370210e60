"""Models: the class `Model`, the function that loads a model file, and three classifiers."""

from __future__ import annotations

from byhand.models.classifiers import lenet5, mlp, softmax_regression
from byhand.models.model import Model
from byhand.models.model_file import load

__all__ = ["Model", "lenet5", "load", "mlp", "softmax_regression"]
