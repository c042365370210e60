"""The kernels, on NumPy arrays: float32 in and out, NCHW images, OIHW filters.

Every name is the C++ function itself; signatures and documentation live in csrc/bindings/.
"""

from byhand._core import (
    empty,
    gemm,
    linear,
    linear_backward_bias,
    linear_backward_input,
    linear_backward_weight,
)

__all__ = [
    "empty",
    "gemm",
    "linear",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
]
