"""Check that the register tiles of matrix products and of convolutions stay in registers.

    python audit_spills.py [--objdump OBJDUMP] [--loops] [--verbose] OBJECT...

The script disassembles the objects of gemm.cc, conv2d_by_channels.cc and conv2d_winograd.cc, for
x86-64 or AArch64, with GNU objdump. It checks each function tile<...>, even_tile<...> and dot<...>:

- It has an innermost loop with multiply-adds. In each such loop, their number is a multiple of the
  product of its two numbers, which is the number of accumulators of a tile<...>. (It is a larger
  multiple than 1 if the compiler unrolled the loop.)
- These loops do not access the stack.
- The whole function does not store a vector to the stack or load one from it. (With --loops, this
  is not checked.)

If a check fails, the script prints what it found and exits with code 1. To see a check fail, change
the 5 in dot_columns() of gemm.cc to 8.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FUNCTION = re.compile(r"[0-9a-f]+ <(.+)>:")
INSTRUCTION = re.compile(r" *([0-9a-f]+):\t(.+)")
SCOPE = re.compile(r"byhand::cpu::\w+::\(anonymous namespace\)::")
TILE = re.compile(r"\b(?P<kind>even_tile|tile|dot)<(?P<rows>\d+), (?P<columns>\d+)[^>]*>")

# The kinds of tiles that each source file must have.
KINDS = {
    "gemm": {"tile", "dot"},
    "conv2d_by_channels": {"tile", "even_tile"},
    "conv2d_winograd": {"tile"},
}


@dataclass(frozen=True)
class Architecture:
    """Patterns of the instructions that the audit must recognize."""

    jump: re.Pattern[str]  # the group is the address
    no_fall_through: re.Pattern[str]  # the next instruction is not executed after this one
    vector: re.Pattern[str]  # a register that holds a whole vector
    multiply_add: re.Pattern[str]
    stack: re.Pattern[str]  # an access relative to the stack pointer
    # The frame pointer points into the stack only if the function sets it from the stack pointer.
    # Otherwise it is a register like any other.
    sets_frame: re.Pattern[str]
    frame: re.Pattern[str]  # an access relative to the frame pointer


ARCHITECTURES = {  # the keys are names of formats, as objdump prints them
    "elf64-x86-64": Architecture(
        jump=re.compile(r"j\w+ ([0-9a-f]+) <"),
        no_fall_through=re.compile(r"jmp|ret|ud2"),
        vector=re.compile(r"%[xyz]mm"),
        multiply_add=re.compile(r"vfn?madd\d+ps"),
        stack=re.compile(r"(?!lea).*\(%rsp"),
        sets_frame=re.compile(r"mov %rsp,%rbp"),
        frame=re.compile(r"(?!lea).*\(%rbp"),
    ),
    "elf64-littleaarch64": Architecture(
        jump=re.compile(r"(?:b|b\.\w+|cbn?z \w+,|tbn?z \w+, #\d+,) ([0-9a-f]+) <"),
        no_fall_through=re.compile(r"b |br |ret|udf|brk"),
        vector=re.compile(r"\bq\d+|\bv\d+\."),
        multiply_add=re.compile(r"fml[as] v\d+\.4s"),
        stack=re.compile(r".*\[sp"),
        sets_frame=re.compile(r"mov x29, sp|add x29, sp,"),
        frame=re.compile(r".*\[x29"),
    ),
}


@dataclass(frozen=True)
class Instruction:
    address: int
    text: str


class Function:
    """The instructions of a function and its control flow graph.

    All numbers of instructions are indices into `code`.
    """

    def __init__(self, name: str, code: list[Instruction], architecture: Architecture) -> None:
        self.name = name
        self.code = code
        self.architecture = architecture
        at = {instruction.address: i for i, instruction in enumerate(code)}
        self.predecessors: list[list[int]] = [[] for _ in code]
        self.jumps_back: list[tuple[int, int]] = []  # (from, to)
        for i, instruction in enumerate(code):
            jump = architecture.jump.match(instruction.text)
            if jump and (to := at.get(int(jump[1], 16))) is not None:
                self.predecessors[to].append(i)
                if to <= i:
                    self.jumps_back.append((i, to))
            if i + 1 < len(code) and not architecture.no_fall_through.match(instruction.text):
                self.predecessors[i + 1].append(i)

    def innermost_loops(self) -> list[frozenset[int]]:
        """Return the numbers of the instructions of each innermost loop."""
        loops = [loop for tail, head in self.jumps_back if (loop := self._loop(tail, head))]
        return [loop for loop in loops if not any(other < loop for other in loops)]

    def _loop(self, tail: int, head: int) -> frozenset[int]:
        """Return the instructions of the loop that ends at `tail` with a jump back to `head`.

        These are all instructions on paths from `head` to `tail`. The result is empty if the tail
        can be reached without passing the head, because the jump then closes no loop. For example,
        compilers often move rarely executed code to the end of a function. Such code ends with a
        jump back to the place at which the execution continues.
        """
        found, to_visit = {head, tail}, {tail} - {head}
        while to_visit:
            new = set(self.predecessors[to_visit.pop()]) - found
            found |= new
            to_visit |= new
        return frozenset(found) if head == 0 or 0 not in found else frozenset()

    def count_multiply_adds(self, loop: frozenset[int]) -> int:
        return sum(bool(self.architecture.multiply_add.match(self.code[i].text)) for i in loop)

    def stack_accesses(self) -> set[int]:
        """Return the numbers of the instructions that read or write the stack."""
        patterns = [self.architecture.stack]
        if any(self.architecture.sets_frame.match(instruction.text) for instruction in self.code):
            patterns.append(self.architecture.frame)
        return {
            i
            for i, instruction in enumerate(self.code)
            if any(pattern.match(instruction.text) for pattern in patterns)
        }

    def vector_stack_accesses(self) -> set[int]:
        """Return the numbers of the instructions that store or load a vector on the stack."""
        vector = self.architecture.vector
        return {i for i in self.stack_accesses() if vector.search(self.code[i].text)}


def functions(objdump: str, path: Path) -> Iterator[Function]:
    """Yield the functions of an object file."""
    command = [objdump, "-d", "-C", "--no-show-raw-insn", str(path)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    architecture = next((a for name, a in ARCHITECTURES.items() if f" {name}\n" in listing), None)
    if architecture is None:
        raise SystemExit(f"{path}: {objdump} must print one of the formats {list(ARCHITECTURES)}")
    name, code = "", list[Instruction]()
    for line in [*listing.splitlines(), "0 <end>:"]:
        if head := FUNCTION.fullmatch(line):
            if code:
                yield Function(name, code, architecture)
            name, code = head[1], []
        elif found := INSTRUCTION.fullmatch(line):
            code.append(Instruction(int(found[1], 16), " ".join(found[2].split())))


def audit(
    function: Function, tile: re.Match[str], loops_only: bool, verbose: bool
) -> Iterator[str]:
    """Yield one line of text for each check that the function fails."""
    size = int(tile["rows"]) * int(tile["columns"])
    loops = [loop for loop in function.innermost_loops() if function.count_multiply_adds(loop)]
    stack = function.stack_accesses()
    in_loops = sorted(i for i in stack if any(i in loop for loop in loops))
    vectors = sorted(function.vector_stack_accesses())
    if verbose:
        counts = ", ".join(_count(len(loop), function.count_multiply_adds(loop)) for loop in loops)
        print(f"{tile[0]:24} {counts:>27} {len(in_loops):7} {len(vectors):9}")
    if not loops or any(function.count_multiply_adds(loop) % size for loop in loops):
        yield (
            f"{tile[0]} has no loop of {size} multiply-adds, or it has a loop with a number of "
            f"multiply-adds that is not a multiple of {size}"
        )
    for what, found in (("in its loop", in_loops), ("for vectors", vectors)):
        if found and not (loops_only and found is vectors):
            example = function.code[found[0]].text
            yield f"{tile[0]} uses the stack {what}, {len(found)} times: {example}"


def _count(length: int, multiply_adds: int) -> str:
    return f"{length:4} {multiply_adds:4} {multiply_adds / length:4.0%}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objdump", default="objdump", help="the GNU objdump to run")
    parser.add_argument("--loops", action="store_true", help="check only the loops")
    parser.add_argument("--verbose", action="store_true", help="print a line for each function")
    parser.add_argument(
        "objects",
        nargs="+",
        type=Path,
        help=f"object files; only those of {' and '.join(f'{name}.cc' for name in KINDS)} are read",
    )
    arguments = parser.parse_args()
    problems = []
    for path in (path for path in arguments.objects if path.name.split(".")[0] in KINDS):
        if arguments.verbose:
            print(f"{path}\n{'':24} {'loop, its FMAs, share':>27}   stack: in loop, vectors")
        kinds = set()
        for function in functions(arguments.objdump, path):
            if tile := TILE.search(SCOPE.sub("", function.name)):
                kinds.add(tile["kind"])
                lines = audit(function, tile, arguments.loops, arguments.verbose)
                problems += [f"{path}: {line}" for line in lines]
        expected = KINDS[path.name.split(".")[0]]
        if kinds != expected:
            problems.append(
                f"{path}: expected {sorted(expected)}, but there is only {sorted(kinds)}"
            )
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
