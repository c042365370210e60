"""Compile the CUDA kernels with nvcc, and report what can be checked without a GPU.

    python tools/cuda_report.py
    python tools/cuda_report.py --architecture sm_80
    python tools/cuda_report.py --page docs/cuda.md    # writes the table of this page again

The table has one row per kernel: its registers, its static shared memory, and its main loop, which
is the loop with the most multiply-adds (FFMA). The exit code is 1 if nvcc warns, if a kernel spills
registers to memory, or if less than 75 % of the instructions in the main loop of a product are
multiply-adds. Products are those of matrices and the three of a convolution. It is also 1 if one of
these kernels or its main loop is not found. The low tiles of a convolution are not checked
(csrc/cuda/conv2d.cu says why). nvcc is the one that a build with BYHAND_CUDA=ON uses
(tools/find_cuda.py). If such a build makes warnings errors (CMAKE_COMPILE_WARNING_AS_ERROR), it
fails at the first spill, on every architecture. cuobjdump and nvdisasm, which show the machine
code, are on PyPI as nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm. Without them, the column of the
main loop is empty, and the report says that the main loops were not checked.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from find_cuda import ToolkitError, find_toolkit

ROOT = Path(__file__).parents[1]
LEAST_SHARE = 0.75  # of multiply-adds in the main loop of a product
# The products, by their names, and patterns of the names that the compiler gives to them.
PRODUCTS = {
    "product_kernel": r"\dproduct_kernel",
    **{
        f"{name} of conv2d.cu": rf"\d{name}\w*TileShapeILi64E"
        for name in ("forward_kernel", "backward_input_kernel", "backward_weight_kernel")
    },
}
_ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
_SPILL = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")
_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\d+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);")


@dataclass
class Kernel:
    """What ptxas says of a kernel, and what its machine code shows."""

    name: str
    registers: int = 0
    shared: int = 0
    threads: int = 0  # per block; 0 if cuobjdump is not there
    spilled: int = 0
    multiply_adds: int = 0  # in the main loop
    instructions: int = 0  # in the main loop

    @property
    def share(self) -> float | None:
        """The share of multiply-adds in the main loop, or None if nothing is known of it."""
        return self.multiply_adds / self.instructions if self.instructions else None

    @property
    def occupancy(self) -> float:
        """The largest share of the warps of a multiprocessor of sm_90 that can be active.

        A multiprocessor has room for 64 warps, 32 blocks, 65,536 registers and 228 KiB of shared
        memory. Registers are given to warps in units of 256, and to four warps at a time. Each
        block takes 1 KiB of shared memory in addition to its own. The figures are those of the
        tables on compute capability 9.0 in NVIDIA's CUDA Programming Guide.
        """
        warps = -(-self.threads // 32)
        registers_of_warp = -(-self.registers * 32 // 256) * 256
        warps_by_registers = 65536 // registers_of_warp // 4 * 4
        blocks = min(
            32, 64 // warps, warps_by_registers // warps, 228 * 1024 // (self.shared + 1024)
        )
        return blocks * warps / 64


def read_ptxas(text: str) -> list[Kernel]:
    """Read the report of `nvcc -Xptxas -v` for one architecture."""
    kernels: list[Kernel] = []
    for line in text.splitlines():
        if entry := _ENTRY.search(line):
            kernels.append(Kernel(entry.group(1)))
        elif kernels and (spill := _SPILL.search(line)):
            kernels[-1].spilled = int(spill.group(1)) + int(spill.group(2))
        elif kernels and (used := _USED.search(line)):
            kernels[-1].registers, kernels[-1].shared = int(used.group(1)), int(used.group(2) or 0)
    return kernels


def main_loop(sass: list[tuple[int, str, str]]) -> tuple[int, int]:
    """Return the multiply-adds and all instructions of the loop with the most multiply-adds.

    A loop is what lies between a branch backwards and its target. An outer loop counts the
    multiply-adds of the loops inside it, too. If several loops have the most multiply-adds, the one
    with the fewest instructions is taken, which is the innermost of them.
    """
    best = (0, 0)
    for address, name, operands in sass:
        target = re.search(r"0x([0-9a-f]+)", operands)
        if name != "BRA" or target is None or int(target.group(1), 16) > address:
            continue
        body = [n for a, n, _ in sass if int(target.group(1), 16) <= a <= address]
        found = (body.count("FFMA"), len(body))
        if found[0] > best[0] or (found[0] == best[0] and found[1] < best[1]):
            best = found
    return best


def read_threads(text: str) -> dict[str, int]:
    """Read the largest number of threads per block of each kernel from `cuobjdump -elf`."""
    found = {}
    for part in text.split("\n.nv.info.")[1:]:
        if threads := re.search(r"EIATTR_MAX_THREADS\s+Format:\s+\w+\s+Value:\s+(0x\w+)", part):
            found[part.split(None, 1)[0]] = int(threads.group(1), 16)
    return found


def page_table(files: Sequence[Path], kernels: Sequence[Sequence[Kernel]]) -> str:
    """Return a Markdown table with a row per kernel. Its template instances share a row."""
    rows = [
        "| file | kernel | instances | threads | registers | shared | occupancy | main loop |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for file, found in zip(files, kernels, strict=True):
        groups: dict[str, list[Kernel]] = {}
        for kernel, plain in zip(found, _plain([k.name for k in found]), strict=True):
            groups.setdefault(plain.partition("<")[0], []).append(kernel)
        for name, group in groups.items():
            shares = [f"{100 * k.share:.0f}" for k in group if k.share and k.multiply_adds >= 64]
            cells = [
                f"{file.name} | `{name}` | {len(group)}",
                _range(str(k.threads) for k in group),
                _range(str(k.registers) for k in group),
                _range(str(k.shared) for k in group),
                _range(f"{100 * k.occupancy:.0f}" for k in group) + " %",
                _range(shares) + " %" if shares else "",
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _range(numbers: Iterable[str]) -> str:
    ordered = sorted(set(numbers), key=int)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def write_table(page: Path, table: str) -> None:
    """Replace what is between the two markers of a page."""
    text = page.read_text()
    before, begin, rest = text.partition("<!-- The table of tools/cuda_report.py -->\n")
    _, end, after = rest.partition("<!-- The end of the table -->")
    if not begin or not end:
        sys.exit(f"{page} has no markers for the table")
    page.write_text(f"{before}{begin}\n{table}\n\n{end}{after}")


def read_sass(text: str) -> Iterator[tuple[str, list[tuple[int, str, str]]]]:
    """Split the output of `cuobjdump -sass` into kernels and their instructions."""
    for part in text.split("Function : ")[1:]:
        name = part.split(None, 1)[0]
        yield name, [(int(a, 16), op, rest) for a, op, rest in _INSTRUCTION.findall(part)]


def compile_kernels(nvcc: str, architecture: str, folder: Path, file: Path) -> list[Kernel]:
    """Compile a file for one architecture, and read the reports on its kernels."""
    cubin = folder / f"{file.stem}.cubin"
    flags = ["-std=c++20", f"-I{ROOT / 'csrc'}", "-Werror", "all-warnings", "-Xptxas", "-v"]
    report = _call([nvcc, *flags, f"-arch={architecture}", "-cubin", "-o", str(cubin), str(file)])
    kernels = {kernel.name: kernel for kernel in read_ptxas(report)}
    if _has_disassembler():
        for name, sass in read_sass(_call(["cuobjdump", "-sass", str(cubin)])):
            if name in kernels:
                kernels[name].multiply_adds, kernels[name].instructions = main_loop(sass)
        for name, threads in read_threads(_call(["cuobjdump", "-elf", str(cubin)])).items():
            if name in kernels:
                kernels[name].threads = threads
    return list(kernels.values())


def _call(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _plain(names: list[str]) -> list[str]:
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True)
    shorter = re.sub(
        r"byhand::cuda::|\(anonymous namespace\)::|^void ", "", text.stdout, flags=re.M
    )
    return [
        re.sub(r"\(.*$", "", re.sub(r"\(\w+\)(?=\d)", "", line)) for line in shorter.splitlines()
    ]


def faults(kernels: Sequence[Kernel], *, has_code: bool) -> list[str]:
    """Return a line for each kernel that spills, and for each product without a good main loop.

    `has_code` says whether the machine code was read. Without it, only spills are known.
    """
    wrong = [f"{k.name} spills {k.spilled} bytes" for k in kernels if k.spilled]
    for name, pattern in PRODUCTS.items() if has_code else ():
        found = [kernel for kernel in kernels if re.search(pattern, kernel.name)]
        if not found:
            wrong.append(f"{name}: there is no kernel of this name")
        for kernel in found:
            if kernel.share is None:
                wrong.append(f"{kernel.name}: the main loop was not found")
            elif kernel.share < LEAST_SHARE:
                wrong.append(
                    f"{kernel.name}: {kernel.share:.0%} of the main loop are multiply-adds"
                )
    return wrong


def _has_disassembler() -> bool:
    return bool(shutil.which("cuobjdump") and shutil.which("nvdisasm"))


def main() -> int:
    """Compile, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--architecture", default="sm_90", help="default: %(default)s")
    parser.add_argument("--page", type=Path, help="the page whose table to write, docs/cuda.md")
    chosen = parser.parse_args()
    architecture = chosen.architecture
    if chosen.page and not _has_disassembler():
        sys.exit("--page needs cuobjdump and nvdisasm")
    try:
        nvcc = find_toolkit().nvcc
    except ToolkitError as error:
        sys.exit(str(error))
    files = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = [*pool.map(partial(compile_kernels, nvcc, architecture, Path(name)), files)]
        if chosen.page:
            write_table(chosen.page, page_table(files, compiled))
        for file, kernels in zip(files, compiled, strict=True):
            print(f"{file.name}")
            for kernel, plain in zip(kernels, _plain([k.name for k in kernels]), strict=True):
                loop = f"{kernel.multiply_adds} of {kernel.instructions}"
                print(
                    f"  {plain:70} {kernel.registers:4} registers {kernel.shared:6} bytes "
                    f"shared  {loop if kernel.multiply_adds else '':>12}"
                )
    has_code = _has_disassembler()
    wrong = faults([kernel for found in compiled for kernel in found], has_code=has_code)
    print("\n".join(wrong) or f"no spills in {len(files)} files for {architecture}")
    if not has_code:
        print("cuobjdump or nvdisasm is missing, so the main loops were not checked")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
