"""Check an installed wheel of byhand: its size, files, platform and instruction sets.

    python check_wheel.py byhand-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl

The library must have kernels for every instruction set of its architecture. A compiler that lacks a
flag must not make a wheel that is silently slow.
"""

from __future__ import annotations

import argparse
import re
import sys
import zipfile
from pathlib import Path

from byhand import runtime

LARGEST = 5 * 1024 * 1024
INSTRUCTION_SETS = {
    "x86_64": {"baseline", "avx2", "avx512"},
    "aarch64": {"baseline", "neon"},
    "arm64": {"baseline", "neon"},
}
NEEDED = {
    "byhand/py.typed",
    "byhand/_core.pyi",
    "byhand/demo/page/index.html",
    "byhand/bench/report/page.html",
    "byhand/bench/cli.py",
}
UNWANTED = re.compile(r"(^|/)(tests|results|__pycache__)/|\.(o|a|npz|safetensors)$")


def problems(wheel: Path, sets: set[str]) -> list[str]:
    """Return what is wrong with a wheel whose library has these instruction sets."""
    found = []
    size = wheel.stat().st_size
    if size > LARGEST:
        found.append(f"it has {size:,} bytes, and may have {LARGEST:,}")
    platform = wheel.stem.rpartition("-")[2]
    if not platform.startswith(("manylinux", "musllinux", "macosx")):
        found.append(f"its platform is {platform}: repair it with auditwheel or delocate")
    wanted = [names for machine, names in INSTRUCTION_SETS.items() if platform.endswith(machine)]
    if wanted != [sets]:
        found.append(f"its library has kernels for {sorted(sets)}, and should have {wanted}")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    found += [f"{name} is missing" for name in sorted(NEEDED - names)]
    return found + [
        f"{name} should not be there" for name in sorted(names) if UNWANTED.search(name)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    wheel: Path = parser.parse_args().wheel
    found = problems(wheel, {isa["name"] for isa in runtime.config()["instruction_sets"]})
    for problem in found:
        print(f"{wheel.name}: {problem}")
    if not found:
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, nothing is missing")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
