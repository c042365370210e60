"""Holds every contender to one instruction set, so that a comparison does not depend on the CPU."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from byhand._core import testing
from byhand.checks import not_one_of

# The variables that hold each library to AVX2, the only instruction set with which all of them can
# be compared. PyTorch computes convolutions by oneDNN and products by MKL, and has kernels of its
# own (ATEN).
_AVX2 = {
    "BYHAND_ISA": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "MKL_CBWR": "AVX2",  # MKL obeys this one on CPUs of AMD, too
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
NAMES = ("avx2",)
# ONNX Runtime chooses its instruction set by itself.
CANNOT_BE_HELD = ("onnxruntime",)


_held: list[str] = []


def hold(isa: str) -> None:
    """Hold byhand in this process, and every contender that is started later, to `isa`.

    Raises
    ------
    ValueError
        If `isa` is not known, or this CPU does not run it.
    """
    if isa not in NAMES:
        raise ValueError(not_one_of(isa, NAMES))
    if isa not in testing.isas():
        raise ValueError(
            f"{isa!r} does not run on this CPU, which runs {', '.join(testing.isas())}"
        )
    testing.set_isa(isa)
    os.environ.update(_AVX2, NPY_DISABLE_CPU_FEATURES=" ".join(_numpy_features()))
    _held[:] = [isa]


def held() -> str | None:
    """Return the instruction set to which the contenders are held, or None."""
    return _held[0] if _held else None


def _numpy_features() -> list[str]:
    """Return the instruction sets above AVX2 that NumPy would use on this CPU."""
    umath = numpy_umath()
    above = [name for name in umath.__cpu_dispatch__ if name.startswith(("AVX512", "X86_V4"))]
    return [name for name in above if umath.__cpu_features__[name]]


def numpy_umath() -> Any:
    """Return the module of NumPy with __cpu_dispatch__ and __cpu_features__. NumPy 2 renamed it."""
    core: Any = np._core if hasattr(np, "_core") else np.core
    return core._multiarray_umath
