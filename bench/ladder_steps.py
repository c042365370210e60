"""The steps of `byhand ladder`: the files of csrc/ladder, compiled and loaded.

They are compiled when they are needed, by the C++ compiler of this machine. So a reader can change
a step and run it again, and the installed library does not contain twenty slow kernels.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from byhand._core import testing
from byhand.cxx import cxx_command
from numpy.typing import NDArray

Array = NDArray[np.float32]
OPERATORS = ("gemm", "conv2d")
# The flags of each instruction set, as in CMakeLists.txt. Others need no flags.
ISA_FLAGS = {
    "lanes16": ["-DLANES=16"],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
}
# -ffp-contract=fast lets the compiler fuse a multiplication and an addition.
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread", "-Wno-psabi"]


class StepError(RuntimeError):
    """A step that cannot be compiled. The message says why."""


@dataclass(frozen=True)
class Step:
    """A file with the function `gemm` or `conv2d`.

    The files of byhand are numbered, as in 04_register_tile.cc.
    """

    path: Path

    @property
    def number(self) -> int | None:
        match = re.match(r"\d+", self.path.name)
        return int(match.group()) if match else None

    @property
    def name(self) -> str:
        return self.path.stem.lstrip("0123456789_").replace("_", " ")

    @property
    def label(self) -> str:
        return self.name if self.number is None else f"{self.number} {self.name}"

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def what_changes(self) -> str:
        """The first paragraph of the comment at the top of the file."""
        lines = []
        for line in self.text.splitlines():
            if not line.startswith("// "):
                break
            lines.append(line[3:])
        return " ".join(lines)

    @property
    def is_threaded(self) -> bool:
        return re.search(r"^int num_threads", self.text, re.MULTILINE) is not None


def csrc() -> Path:
    """Return the folder that holds ladder/."""
    here = Path(__file__).resolve().parent
    installed = here / "csrc"
    return installed if installed.is_dir() else here.parent / "csrc"


def steps(operator: str) -> list[Step]:
    """Return the steps of an operator in their order."""
    return [Step(path) for path in sorted((csrc() / "ladder" / operator).glob("[0-9]*.cc"))]


def compile_step(step: Step, folder: Path, extra: tuple[str, ...] = ()) -> Path:
    """Compile a step for the instruction set that byhand uses. Return the path of the library.

    Raises
    ------
    StepError
        If there is no compiler, or the step cannot be compiled.
    """
    compiler = cxx_command()
    if compiler is None:
        raise StepError("the ladder needs a C++ compiler: install g++ or clang++, or set CXX")
    library = folder / f"{step.path.stem}.so"
    flags = [*FLAGS, *ISA_FLAGS.get(testing.isa(), ()), *extra, f"-I{csrc()}"]
    done = subprocess.run(
        [*compiler, *flags, str(step.path), "-o", str(library)],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise StepError(f"{step.path} cannot be compiled:\n{done.stderr.strip()}")
    return library


class Library:
    """The functions of a compiled step, with the arguments of `byhand.kernels`.

    All arrays must be contiguous float32 arrays whose shapes agree. They are not checked.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self._library = ctypes.CDLL(os.fspath(path))
        if hasattr(self._library, "num_threads"):
            ctypes.c_int.in_dll(self._library, "num_threads").value = threads

    def gemm(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return a @ b."""
        c = np.empty((len(a), b.shape[1]), np.float32) if out is None else out
        self._call("gemm", (*c.shape, len(b)), (a, b, c))
        return c

    def conv2d(
        self, x: Array, weight: Array, bias: Array, padding: int = 0, out: Array | None = None
    ) -> Array:
        """Return the convolution of x (N, C, H, W) with weight (O, C, 5, 5), without padding."""
        assert padding == 0 and weight.shape[2:] == (5, 5)
        (n, channels, height, width), o = x.shape, len(weight)
        y = np.empty((n, o, height - 4, width - 4), np.float32) if out is None else out
        self._call("conv2d", (n, channels, height, width, o), (x, weight, bias, y))
        return y

    def _call(self, name: str, sizes: tuple[int, ...], arrays: tuple[Any, ...]) -> None:
        function: Callable[..., None] = getattr(self._library, name)
        function(*sizes, *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))
