"""Hand-written kernels for handwritten digits.

`byhand.kernels` contains the C++ kernels, which work on NumPy arrays. `byhand.nn` builds networks
from them, and `byhand.models` has networks for digits. `byhand.training` trains networks with the
optimizers of `byhand.optim`. `byhand.data` reads MNIST and other data sets.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

try:
    # Import _core before NumPy: _core refuses to run in a sub-interpreter, but NumPy only warns.
    from byhand._core import __version__  # isort: skip
    from byhand import cuda, data, kernels, models, nn, optim, training
    from byhand._core import DeviceArray, asarray
    from byhand.models import Model
    from byhand.models import model as _model
    from byhand.runtime import (
        get_num_threads,
        num_threads,
        release_memory,
        set_num_threads,
        show_config,
    )
    from byhand.training import Trainer, evaluate
    from byhand.training.run_folder import load
except (ImportError, KeyboardInterrupt) as _error:
    # The command `byhand` begins with this import. Its users get one sentence instead of a
    # traceback.
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


# Model.predict reads pictures with this function. byhand.models does not import byhand.pictures
# itself, because byhand.pictures imports pillow, which may not be installed.
_model.read_pictures = _read_pictures
_model.evaluate_model = evaluate

__all__ = [
    "DeviceArray",
    "Model",
    "Trainer",
    "__version__",
    "asarray",
    "cuda",
    "data",
    "evaluate",
    "get_num_threads",
    "kernels",
    "load",
    "models",
    "nn",
    "num_threads",
    "optim",
    "release_memory",
    "set_num_threads",
    "show_config",
    "training",
]
