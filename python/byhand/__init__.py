"""Hand-written kernels for handwritten digits.

`byhand.kernels` are the C++ kernels on NumPy arrays. `byhand.nn`, `optim` and `models` build
networks from them, `byhand.training` trains the networks, and `byhand.data` has MNIST.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

try:
    # First of all: it refuses a sub-interpreter, about which NumPy would only warn.
    from byhand._core import __version__  # isort: skip
    from byhand import data, kernels, models, nn, optim, training
    from byhand.models import Model
    from byhand.models import model as _model
    from byhand.runtime import get_num_threads, num_threads, set_num_threads, show_config
    from byhand.training import Trainer, evaluate
    from byhand.training.run_folder import load
except (ImportError, KeyboardInterrupt) as _error:
    # The command `byhand` begins with this import. Its user reads a sentence, no traceback.
    if os.path.basename(sys.argv[0] if sys.argv else "") not in ("byhand", "-m"):
        raise
    print(f"byhand: {str(_error) or 'interrupted'}", file=sys.stderr)
    sys.exit(1 if isinstance(_error, ImportError) else 130)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def _read_pictures(model: Model, sources: Sequence[Any], pictures: str | None) -> NDArray[np.uint8]:
    from byhand.pictures import images_for

    return images_for(model, sources, pictures)


# The core does not import pillow: Model.predict reads pictures by this function from above.
_model.read_pictures = _read_pictures

__all__ = [
    "Model",
    "Trainer",
    "__version__",
    "data",
    "evaluate",
    "get_num_threads",
    "kernels",
    "load",
    "models",
    "nn",
    "num_threads",
    "optim",
    "set_num_threads",
    "show_config",
    "training",
]
