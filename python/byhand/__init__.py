"""Hand-written kernels for handwritten digits. `byhand.kernels` are the C++ kernels on NumPy arrays."""

from byhand import kernels
from byhand._core import __version__
from byhand.runtime import get_num_threads, num_threads, set_num_threads, show_config

__all__ = [
    "__version__",
    "get_num_threads",
    "kernels",
    "num_threads",
    "set_num_threads",
    "show_config",
]
