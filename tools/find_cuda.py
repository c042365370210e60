"""Find a CUDA compiler that can build byhand.

    python tools/find_cuda.py
    python tools/find_cuda.py --toolkit /usr/local/cuda-13.0 --host-compiler g++-13

CMake runs this script if BYHAND_CUDA is ON. The user can name a toolkit with `--toolkit` (in CMake,
BYHAND_CUDA_TOOLKIT) or with the environment variables CUDACXX, CUDA_PATH and CUDA_HOME. The script
then uses that toolkit or none. Otherwise, the script takes the first complete one of: the nvcc on
PATH, the toolkit from PyPI among the packages of this Python (`pip install nvidia-cuda-nvcc
nvidia-cuda-runtime`), and /usr/local/cuda.

The script prints three lines: the path of nvcc, the folder of its headers, and the CUDA runtime to
link. If there is no complete toolkit, it prints what is missing, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OLDEST = (13, 0)  # the oldest CUDA toolkit that was tried
USUAL = Path("/usr/local/cuda")  # where NVIDIA's installer puts a toolkit
PACKAGES = "nvidia-cuda-nvcc nvidia-cuda-runtime"  # on PyPI; they bring all others that we need
RUNTIME = "libcudart_static.a"

# What a toolkit needs to compile our kernels. A path is relative to the toolkit, or to a folder of
# `targets/`, where a toolkit for several processors has its headers and libraries.
FILES = {
    "cudafe++": "bin/cudafe++",
    "fatbinary": "bin/fatbinary",
    "ptxas": "bin/ptxas",
    "cicc": "nvvm/bin/cicc",
    "crt/host_config.h": "include/crt/host_config.h",
    "cuda_runtime.h": "include/cuda_runtime.h",
    RUNTIME: f"lib*/{RUNTIME}",
    "libcudadevrt.a": "lib*/libcudadevrt.a",
}

# A program that needs all of these files.
PROBE = """\
#include <cuda_runtime.h>

__global__ void probe(double* x) { *x = sin(*x); }

cudaError_t launch(double* x) {
  probe<<<1, 1>>>(x);
  return cudaGetLastError();
}
"""


class ToolkitError(RuntimeError):
    """There is no CUDA toolkit that can build byhand. The message says what to install."""


@dataclass(frozen=True)
class Toolkit:
    """A CUDA compiler with the folder of its headers and the CUDA runtime to link."""

    root: Path
    nvcc: str
    include: str
    runtime: str


def find_toolkit(folder: str = "", host_compiler: str = "") -> Toolkit:
    """Return the first toolkit that compiles and links a program.

    `folder` is the folder of a toolkit, or empty to search. `host_compiler` is the C++ compiler for
    the code that runs on the CPU, or empty for nvcc's default.
    """
    named = _named(folder)
    problems = []
    for nvcc in [named] if named else _found():
        result = _try(nvcc, host_compiler)
        if isinstance(result, Toolkit):
            return result
        problems.append(result)
    problems = problems or ["There is no CUDA compiler (nvcc) on PATH or among Python's packages."]
    raise ToolkitError(
        f"{problems[0]}\nInstall a complete CUDA toolkit, for example with "
        f"`pip install {PACKAGES}`, or name another one with BYHAND_CUDA_TOOLKIT."
    )


def _named(folder: str) -> Path | None:
    """Return the nvcc that the user has chosen, if any."""
    if folder:
        return Path(folder) / "bin" / "nvcc"
    if compiler := os.environ.get("CUDACXX"):
        return Path(shutil.which(compiler) or compiler)
    folder = os.environ.get("CUDA_PATH", "") or os.environ.get("CUDA_HOME", "")
    return Path(folder) / "bin" / "nvcc" if folder else None


def _found() -> Iterator[Path]:
    if on_path := shutil.which("nvcc"):
        yield Path(on_path)
    # While pip builds a package, sys.path holds the packages that the build needs, and `purelib` is
    # still the folder into which pip installs.
    for folder in dict.fromkeys([*sys.path, sysconfig.get_path("purelib")]):
        yield from sorted(Path(folder).glob("nvidia/cu[0-9]*/bin/nvcc"), reverse=True)
    if (USUAL / "bin" / "nvcc").is_file():
        yield USUAL / "bin" / "nvcc"


def _try(nvcc: Path, host_compiler: str) -> Toolkit | str:
    """Return the toolkit of this nvcc, or a sentence that says why it cannot build byhand."""
    if not nvcc.is_file():
        return f"{nvcc} does not exist."
    status, version = _call([nvcc, "--version"])
    release = re.search(r"release (\d+)\.(\d+)", version)
    if status or not release:
        return f"{nvcc} --version fails: {version.strip()}"
    if (int(release.group(1)), int(release.group(2))) < OLDEST:
        oldest = "{}.{}".format(*OLDEST)
        return f"{nvcc} is of CUDA {release[1]}.{release[2]}, but byhand needs {oldest} or newer."
    host = ["-ccbin", host_compiler] if host_compiler else []
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "probe.cu"
        source.write_text(PROBE)
        flags = ["-std=c++20", "-cudart=static", "-shared", "-Xcompiler=-fPIC", *host]
        command: list[str | Path] = [nvcc, *flags, "-o", Path(name) / "probe.so", source]
        status, output = _call(command)
        _, steps = _call([*command, "--dryrun"])
    settings = dict(re.findall(r"^#\$ (\w+)=(.*)$", steps, re.MULTILINE))
    root = Path(settings.get("TOP", nvcc.resolve().parents[1])).resolve()
    if status == 0:
        flags = shlex.split(settings.get("INCLUDES", "") + settings.get("LIBRARIES", ""))
        folders = [Path(flag[2:]).resolve() for flag in flags]
        headers = (str(at) for at in folders if (at / "cuda_runtime.h").is_file())
        runtimes = (str(at / RUNTIME) for at in folders if (at / RUNTIME).is_file())
        return Toolkit(
            root, str(nvcc), next(headers, "/usr/include"), next(runtimes, "cudart_static")
        )
    roots = [root, *root.glob("targets/*")]
    missing = [name for name, path in FILES.items() if not any(any(r.glob(path)) for r in roots)]
    if missing:
        return f"The CUDA toolkit in {root} has no {', no '.join(missing)}."
    return f"{nvcc} cannot compile a small program: {output.strip()}"


def _call(command: Sequence[str | Path]) -> tuple[int, str]:
    """Run a command. Return its exit code and what it printed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return 1, str(error)
    return done.returncode, done.stdout + done.stderr


def main() -> int:
    """Print what was found or what is missing, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toolkit", default="", help="the folder of a toolkit (default: search)")
    parser.add_argument("--host-compiler", default="", help="the C++ compiler that nvcc calls")
    chosen = parser.parse_args()
    try:
        found = find_toolkit(chosen.toolkit, chosen.host_compiler)
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return 1
    print(found.nvcc, found.include, found.runtime, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
