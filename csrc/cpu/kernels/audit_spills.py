"""Check that the register tiles of the matrix product stay in registers.

    python audit_spills.py [--objdump OBJDUMP] [--verbose] OBJECT...

The script disassembles the objects of gemm.cc with GNU objdump and checks each function tile<...>
and dot<...>:

- It has an innermost loop with multiply-adds. In each such loop, their number is a multiple of the
  number of accumulators. (It is a larger multiple than 1 if the compiler unrolled the loop.)
- These loops do not access the stack.
- The whole function does not store a vector to the stack or load one from it.

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
JUMP = re.compile(r"j\w+ +([0-9a-f]+) <")
NO_FALL_THROUGH = re.compile(r"jmp|ret|ud2")
VECTOR = re.compile(r"%[xyz]mm")
FMA = re.compile(r"vfn?madd\d+ps")
SCOPE = re.compile(r"byhand::cpu::\w+::\(anonymous namespace\)::")
TILE = re.compile(r"\b(?P<kind>tile|dot)<(?P<rows>\d+), (?P<columns>\d+)[^>]*>")


@dataclass(frozen=True)
class Instruction:
    address: int
    text: str


class Function:
    """The instructions of a function and its control flow graph.

    All numbers of instructions are indices into `code`.
    """

    def __init__(self, name: str, code: list[Instruction]) -> None:
        self.name = name
        self.code = code
        at = {instruction.address: i for i, instruction in enumerate(code)}
        self.predecessors: list[list[int]] = [[] for _ in code]
        self.jumps_back: list[tuple[int, int]] = []  # (from, to)
        for i, instruction in enumerate(code):
            jump = JUMP.match(instruction.text)
            if jump and (to := at.get(int(jump[1], 16))) is not None:
                self.predecessors[to].append(i)
                if to <= i:
                    self.jumps_back.append((i, to))
            if i + 1 < len(code) and not NO_FALL_THROUGH.match(instruction.text):
                self.predecessors[i + 1].append(i)
        # %rbp points into the stack only if the function sets it from %rsp. Otherwise it is a
        # register like any other.
        framed = any(re.match(r"mov +%rsp,%rbp", instruction.text) for instruction in code)
        self.stack = re.compile(r"\(%r[sb]p" if framed else r"\(%rsp")

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
        return sum(FMA.match(self.code[i].text) is not None for i in loop)

    def stack_accesses(self) -> set[int]:
        """Return the numbers of the instructions that read or write the stack."""
        return {
            i
            for i, instruction in enumerate(self.code)
            if self.stack.search(instruction.text) and not instruction.text.startswith("lea")
        }


def functions(objdump: str, path: Path) -> Iterator[Function]:
    """Yield the functions of an object file."""
    command = [objdump, "-d", "-C", "--no-show-raw-insn", str(path)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name, code = "", list[Instruction]()
    for line in [*listing.splitlines(), "0 <end>:"]:
        if head := FUNCTION.fullmatch(line):
            if code:
                yield Function(name, code)
            name, code = head[1], []
        elif found := INSTRUCTION.fullmatch(line):
            code.append(Instruction(int(found[1], 16), found[2]))


def audit(function: Function, tile: re.Match[str], verbose: bool) -> Iterator[str]:
    """Yield one line of text for each check that the function fails."""
    size = int(tile["rows"]) * int(tile["columns"])
    loops = [loop for loop in function.innermost_loops() if function.count_multiply_adds(loop)]
    stack = function.stack_accesses()
    in_loops = sorted(i for i in stack if any(i in loop for loop in loops))
    vectors = sorted(i for i in stack if VECTOR.search(function.code[i].text))
    if verbose:
        counts = [f"{len(loop):4} {function.count_multiply_adds(loop):4}" for loop in loops]
        print(f"{tile[0]:24} {', '.join(counts):>17} {len(in_loops):7} {len(vectors):9}")
    if not loops or any(function.count_multiply_adds(loop) % size for loop in loops):
        yield (
            f"{tile[0]} has no loop of {size} multiply-adds, or it has a loop with a number of "
            f"multiply-adds that is not a multiple of {size}"
        )
    for what, found in (("in its loop", in_loops), ("for vectors", vectors)):
        if found:
            example = function.code[found[0]].text
            yield f"{tile[0]} uses the stack {what}, {len(found)} times: {example}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objdump", default="objdump", help="the GNU objdump to run")
    parser.add_argument("--verbose", action="store_true", help="print a line for each function")
    parser.add_argument(
        "objects", nargs="+", type=Path, help="object files; only those of gemm.cc are read"
    )
    arguments = parser.parse_args()
    problems = []
    for path in (path for path in arguments.objects if path.name.startswith("gemm.")):
        if arguments.verbose:
            print(f"{path}\n{'':24} {'loop, its FMAs':>17}   stack: in loop, vectors")
        kinds = set()
        for function in functions(arguments.objdump, path):
            if tile := TILE.search(SCOPE.sub("", function.name)):
                kinds.add(tile["kind"])
                problems += [f"{path}: {line}" for line in audit(function, tile, arguments.verbose)]
        if kinds != {"tile", "dot"}:
            found = sorted(kinds)
            problems.append(f"{path}: expected tile<...> and dot<...>, but there is only {found}")
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
