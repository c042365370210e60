"""Plant faults in the CUDA kernels, and count how many of them the tests on the emulator catch.

    python tools/cuda_mutants.py                     # every kernel
    python tools/cuda_mutants.py --only pool2d.cu    # the kernels of one file
    python tools/cuda_mutants.py --list              # print the mutants, run nothing

A mutant is a kernel with one small fault. These faults are planted in every device function:

- A barrier, `__syncthreads()` or `__syncwarp()`, is removed.
- The right side of `<`, `<=`, `>` or `>=`, or the result of `min` or `max`, is one larger or one
  smaller. If it is a floating-point number, it becomes the next larger or smaller one, so that `<`
  becomes `<=`.
- A condition is dropped: an operand of `&&` or of a bitwise `&` becomes true or all ones, an
  operand of `||` becomes false, and so does the condition of an `if` in front of `return` or
  `continue`. The condition of any other `if` or of `? :` becomes true.
- The mask of lanes of a warp operation becomes all lanes, or all lanes but the last if it is all.

All mutants are compiled into one library, in which the environment variable BYHAND_MUTANT selects
one by its number. For each mutant, the tests of the files that contain its code run in a process of
their own until the first failure. A failed test, a finding of the emulator, a crash and a time-out
all count as caught. A mutant that cannot be compiled is reported, but does not count. No test can
catch some mutants, because they give the same results: `cuda_equivalent_mutants.txt` lists them
with reasons. The exit code is 1 if less than 95 % of the other mutants are caught.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from byhand.simt.program import FOUND, SimtError, compile_library
from byhand.simt.translate import blanked, local_includes

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
LEAST_SHARE = 0.95  # of the mutants that are not equivalent
SECONDS_PER_LAUNCH = 5  # of processor time: a mutant may run in a circle

# A process that is forked need not import pytest and NumPy again, which takes most of the time of a
# mutant that is caught at once.
FORK = multiprocessing.get_context("fork")

# The functions that the planted code calls. The emulator does not see their accesses.
HEADER = """\
#pragma once
#include <cmath>
#include <cstdlib>
#include <type_traits>
namespace mutant {
#define MUTANT __attribute__((no_sanitize("thread"))) inline
inline const char* const number = std::getenv("BYHAND_MUTANT");
inline const int active = number ? std::atoi(number) : 0;
MUTANT bool on(int n) { return n == active; }
// Mutant n has a larger value, mutant n + 1 a smaller one.
template <class T>
MUTANT T shifted(int n, T value) {
  const int step = on(n) ? 1 : on(n + 1) ? -1 : 0;
  if constexpr (std::is_floating_point_v<T>)
    return step ? std::nextafter(value, static_cast<T>(step * INFINITY)) : value;
  else
    return static_cast<T>(value + static_cast<T>(step));
}
MUTANT bool or_true(int n, bool condition) { return on(n) || condition; }
MUTANT bool or_false(int n, bool condition) { return !on(n) && condition; }
template <class T>
MUTANT T all_ones(int n, T mask) {
  if constexpr (std::is_same_v<T, bool>)
    return on(n) || mask;
  else
    return on(n) ? static_cast<T>(~T{}) : mask;
}
MUTANT unsigned lanes(int n, unsigned mask) {
  return !on(n) ? mask : mask == 0xffffffffu ? 0x7fffffffu : 0xffffffffu;
}
}  // namespace mutant
"""

# Binary operators, by how strongly they bind. All others bind less. clang-format puts spaces around
# binary operators, but not around the brackets of templates.
_LEVELS = {
    **dict.fromkeys(("*", "/", "%"), 10),
    **dict.fromkeys(("+", "-"), 9),
    **dict.fromkeys(("<<", ">>"), 8),
    **dict.fromkeys(("<", "<=", ">", ">="), 7),
    **dict.fromkeys(("==", "!="), 6),
    "&": 5,
    "^": 4,
    "|": 3,
    "&&": 2,
    "||": 1,
}
_BINARY = re.compile(r"(?<=\s)[-+*/%<>=!&|^?:]{1,3}(?=\s)")
_DEVICE = re.compile(r"\b__(?:device|global)__\b")
_KEYWORD = re.compile(r"\b(?:return|else)\b\s*")
_DIRECTIVE = re.compile(r"^[ \t]*#[^\n]*", re.MULTILINE)
_AT_COMPILE_TIME = re.compile(r"\bif\s+constexpr\s*\(|\bstatic_assert\s*\(|\bconstexpr\b[^;]*;")
_BARRIER = re.compile(r"\b__sync(?:threads|warp)\(")
_LIMIT = re.compile(r"(?:\bstd::)?\b(?:min|max)(?:<\w+>)?\(")
_WARP_OPERATION = re.compile(r"\b__\w+_sync\(")
_ALL_LANES = re.compile(r"kAllLanes|~0u|0xffffffffu?|-1", re.IGNORECASE)
_IF = re.compile(r"\bif\s*\(")
_EXIT = re.compile(r"\s*\{?\s*(?:return|continue|break)\b")


@dataclass(frozen=True)
class Fault:
    """A part of a file, and the faults that can be planted there.

    Parameters
    ----------
    begin, end : int
        The positions of the part in the text.
    line : int
        The line of its beginning.
    wrapper : str
        The code to put in front of the part. `{n}` stands for the number of the first mutant. A
        parenthesis follows the part.
    forms : tuple of str
        What each mutant has in place of the part. `{}` stands for the part.
    """

    begin: int
    end: int
    line: int
    wrapper: str
    forms: tuple[str, ...]


@dataclass(frozen=True)
class Mutant:
    """One mutant: its number, its file and line, and the code before and after the change."""

    number: int
    file: str
    line: int
    original: str
    changed: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the mutant if the lines of the file move."""
        return self.file, self.original, self.changed

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.original}\n    becomes {self.changed}"


class Code:
    """A CUDA file without comments and directives, in which operands can be found."""

    def __init__(self, text: str) -> None:
        self.text = blanked(text)
        for pattern in (_DIRECTIVE, _AT_COMPILE_TIME):
            for match in list(pattern.finditer(self.text)):
                end = match.end() if match.group()[-1] != "(" else self.closing(match.end() - 1)
                blank = re.sub(r"[^\n]", " ", self.text[match.start() : end])
                self.text = self.text[: match.start()] + blank + self.text[end:]
        matches = list(_BINARY.finditer(self.text))
        self.beginning = {match.start(): match.group() for match in matches}
        self.ending = {match.end(): match.group() for match in matches}

    def closing(self, at: int) -> int:
        """Return the position behind the bracket that closes the one at a position."""
        depth = 0
        for i in range(at, len(self.text)):
            depth += (self.text[i] in "([{") - (self.text[i] in ")]}")
            if depth == 0:
                return i + 1
        return len(self.text)

    def opening(self, behind: int) -> int:
        """Return the position of the bracket that the one in front of a position closes."""
        depth = 0
        for i in range(behind - 1, -1, -1):
            depth += (self.text[i] in ")]}") - (self.text[i] in "([{")
            if depth == 0:
                return i
        return 0

    def is_initializer(self, brace: int) -> bool:
        """Return whether a brace belongs to an expression, as in `int64_t{1}`."""
        return self.text[brace] == "{" and bool(re.match(r"[\w>]", self.text[brace - 1]))

    def functions(self) -> Iterator[tuple[int, int]]:
        """Yield the beginning and the end of the body of each device function."""
        for match in _DEVICE.finditer(self.text):
            i = match.end()
            while i < len(self.text) and self.text[i] != ";":
                if self.text[i] == "{" and not self.is_initializer(i):
                    yield i, self.closing(i)
                    break
                i = self.closing(i) if self.text[i] in "([{" else i + 1

    def operand_behind(self, at: int, level: int) -> tuple[int, int]:
        """Return the operand that begins at a position, up to an operator that binds no more."""
        begin = at + len(self.text[at:]) - len(self.text[at:].lstrip())
        i = begin
        while self.text[i] not in ")]};,":
            operator = self.beginning.get(i)
            if operator and _LEVELS.get(operator, 0) <= level:
                break
            i = self.closing(i) if self.text[i] in "([{" else i + len(operator or " ")
        return begin, begin + len(self.text[begin:i].rstrip())

    def operand_before(self, at: int, level: int) -> tuple[int, int]:
        """Return the operand that ends at a position, down to an operator that binds no more."""
        i = len(self.text[:at].rstrip())
        end = i
        while i > 0 and self.text[i - 1] not in "([{;,":
            operator = self.ending.get(i)
            keyword = _KEYWORD.match(self.text, i)
            if keyword:
                i = keyword.end()
                break
            if operator and _LEVELS.get(operator, 0) <= level:
                break
            if self.text[i - 1] == "}" and not self.is_initializer(self.opening(i)):
                break
            i = self.opening(i) if self.text[i - 1] in ")]}" else i - 1
        return i + len(self.text[i:end]) - len(self.text[i:end].lstrip()), end

    def operators(self, begin: int, end: int) -> set[str]:
        """Return the binary operators of an expression that are outside of its brackets."""
        found, i = set(), begin
        while i < end:
            found.add(self.beginning.get(i, ""))
            i = self.closing(i) if self.text[i] in "([{" else i + 1
        return found


def find_faults(text: str) -> list[Fault]:
    """Return the parts of the device functions of a CUDA file in which faults can be planted.

    Parameters
    ----------
    text : str
        The file, formatted by clang-format.
    """
    code = Code(text)
    found = {fault for begin, end in code.functions() for fault in _faults(code, begin, end)}
    return sorted(found, key=lambda fault: (fault.begin, -fault.end, fault.wrapper))


def _faults(code: Code, begin: int, end: int) -> Iterator[Fault]:
    """Find the faults in the body of a function."""

    def calls(pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        return pattern.finditer(code.text, begin, end)

    def fault(first: int, last: int, wrapper: str, *forms: str) -> Fault:
        return Fault(first, last, code.text.count("\n", 0, first) + 1, wrapper, forms)

    def shifted(first: int, last: int) -> Fault:
        return fault(first, last, "::mutant::shifted({n}, ", "{} + 1", "{} - 1")

    def dropped(first: int, last: int, value: str) -> Fault:
        return fault(first, last, f"::mutant::or_{value}({{n}}, ", value)

    def unmasked(first: int, last: int) -> Fault:
        return fault(first, last, "::mutant::all_ones({n}, ", "~0")

    for match in calls(_BARRIER):
        removed = "(::mutant::on({n}) ? void() : "
        yield fault(match.start(), code.closing(match.end() - 1), removed, "")
    for match in calls(_LIMIT):
        yield shifted(match.start(), code.closing(match.end() - 1))
    for match in calls(_WARP_OPERATION):
        first, last = code.operand_behind(match.end(), -1)
        is_all = _ALL_LANES.fullmatch(code.text[first:last])
        form = "0x7fffffffu" if is_all else "0xffffffffu"
        yield fault(first, last, "::mutant::lanes({n}, ", form)
    for match in calls(_IF):
        last = code.closing(match.end() - 1)
        condition = match.end(), last - 1
        exits = _EXIT.match(code.text, last) is not None
        if ("||" if exits else "&&") not in code.operators(*condition):
            yield dropped(*condition, "false" if exits else "true")
    for match in calls(_BINARY):
        operator, level = match.group(), _LEVELS.get(match.group(), 0)
        before = code.operand_before(match.start(), level)
        if operator in ("<", "<=", ">", ">="):
            yield shifted(*code.operand_behind(match.end(), level))
        elif operator in ("&&", "||"):
            for operand in (before, code.operand_behind(match.end(), level)):
                yield dropped(*operand, "true" if operator == "&&" else "false")
        elif operator == "&":
            yield unmasked(*before)
            yield unmasked(*code.operand_behind(match.end(), level))
        elif operator == "&=":
            yield unmasked(*code.operand_behind(match.end(), -1))
        elif operator == "?" and "&&" not in code.operators(*before):
            yield dropped(*before, "true")


def plant(text: str, faults: Sequence[Fault], file: str, number: int) -> tuple[str, list[Mutant]]:
    """Plant faults in a file. The variable BYHAND_MUTANT activates one of them.

    Parameters
    ----------
    text : str
        The file.
    faults : sequence of Fault
        The faults.
    file : str
        The name of the file, for the mutants.
    number : int
        The number of the first mutant.

    Returns
    -------
    planted : str
        The file with all faults, on the same lines.
    mutants : list of Mutant
        The mutants.
    """
    mutants, edits = [], []
    for i, fault in enumerate(faults):
        # At one position, the innermost part ends first, and the outermost begins first.
        edits.append((fault.begin, 1, -fault.end, i, fault.wrapper.format(n=number)))
        edits.append((fault.end, 0, -fault.begin, -i, ")"))
        first = text.rfind("\n", 0, fault.begin) + 1
        last = (text + "\n").index("\n", fault.end)
        for form in fault.forms:
            changed = form.format(text[fault.begin : fault.end])
            lines = text[first:last], text[first : fault.begin] + changed + text[fault.end : last]
            original, mutated = (" ".join(line.split()) for line in lines)
            mutants.append(Mutant(number, file, fault.line, original, mutated))
            number += 1
    planted, at = [], 0
    for position, *_, new in sorted(edits):
        planted += [text[at:position], new]
        at = position
    return "".join([*planted, text[at:]]), mutants


def sources() -> list[Path]:
    """Return the CUDA files."""
    return sorted(path for path in (CSRC / "cuda").iterdir() if path.suffix in (".cu", ".cuh"))


def equivalent_mutants() -> dict[tuple[str, str, str], str]:
    """Return the mutants that no test can catch, each with a reason. `Mutant.key` is the key."""
    reasons: dict[tuple[str, str, str], str] = {}
    table = Path(__file__).with_name("cuda_equivalent_mutants.txt").read_text()
    for group in table.split("\n\n")[1:]:
        keys, reason = [], []
        for line in group.strip().splitlines():
            if not line.startswith(" "):
                file, _, original = line.partition(": ")
            elif line.startswith("    becomes "):
                keys.append((file, original, line.removeprefix("    becomes ")))
            else:
                reason.append(line.strip())
        reasons |= dict.fromkeys(keys, " ".join(reason))
    return reasons


def units_of(file: str) -> list[str]:
    """Return the names, without `.cu`, of the tested files that contain the code of a CUDA file."""
    includes = {path.name: local_includes(path.read_text()) for path in sources()}
    found, size = {file}, 0
    while len(found) > size:
        size = len(found)
        paths = {f"cuda/{name}" for name in found}
        found |= {name for name, included in includes.items() if paths & set(included)}
    units = sorted(name.removesuffix(".cu") for name in found if name.endswith(".cu"))
    return [unit for unit in units if path_of_tests(unit).exists()]


def path_of_tests(unit: str) -> Path:
    """Return the file with the tests of the operators in a `.cu` file."""
    return ROOT / "tests" / f"test_{unit}.py"


def build(folder: Path) -> tuple[Path, list[Mutant], list[Mutant]]:
    """Compile a copy of the sources with all faults.

    Parameters
    ----------
    folder : Path
        An existing folder for the copy.

    Returns
    -------
    library : Path
        The library.
    mutants : list of Mutant
        The mutants in it.
    broken : list of Mutant
        The mutants that cannot be compiled.
    """
    copy = folder / "csrc"
    shutil.copytree(CSRC, copy)
    (copy / "mutant.h").write_text(HEADER)
    library = folder / "mutants.so"
    faults = {path: find_faults(path.read_text()) for path in sources()}
    broken: list[Mutant] = []
    while True:
        mutants: list[Mutant] = []
        for path, found in faults.items():
            planted, more = plant(path.read_text(), found, path.name, len(mutants) + 1)
            mutants += more
            (copy / "cuda" / path.name).write_text(f'#include "mutant.h"\n#line 1\n{planted}')
        units = [*sorted((copy / "cuda").glob("*.cu")), copy / "cuda" / "module.cc"]
        try:
            compile_library(units, library, [copy, Path(sysconfig.get_path("include"))])
            return library, mutants, broken
        except SimtError as error:
            message = str(error)
        # An error in a template of the header says which line of the file requires it.
        errors = re.findall(r"(\w+\.cuh?):(\d+):\d+: +(?:error|required)", message)
        places = {(name, int(line)) for name, line in errors}
        faulty = [mutant for mutant in mutants if (mutant.file, mutant.line) in places]
        if not faulty:
            raise SystemExit(message)
        broken += faulty
        for path, found in faults.items():
            faults[path] = [fault for fault in found if (path.name, fault.line) not in places]


def run_tests(library: Path, mutant: int, units: Sequence[str], seconds: float) -> str:
    """Run the tests of some files with a mutant.

    Parameters
    ----------
    library : Path
        The library with all mutants.
    mutant : int
        The number of the mutant. 0 is none.
    units : sequence of str
        The names of the `.cu` files without the suffix.
    seconds : float
        The longest time.

    Returns
    -------
    str
        How the mutant was caught, or an empty string if all tests pass.
    """
    output = library.with_name(f"output-{os.getpid()}")
    process = FORK.Process(target=run_pytest, args=(library, mutant, units, output))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return "time-out"
    status = process.exitcode or 0
    if status < 0:
        return "crash"
    how = {0: "", 1: "failed test", FOUND: "finding"}
    if status not in how:  # pytest has not run the tests, so nothing is known
        raise RuntimeError(f"pytest ends with {status}:\n{output.read_text()}")
    return how[status]


def run_pytest(library: Path, mutant: int, units: Sequence[str], output: Path) -> None:
    """Run the tests of some files with a mutant, write to a file, and end the process."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(ROOT)
    os.environ["BYHAND_TEST_CUDA"] = str(library)
    os.environ["BYHAND_MUTANT"] = str(mutant)
    os.environ["SIMT_SECONDS"] = str(SECONDS_PER_LAUNCH)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the import of all plugins takes a second
    options = ["-p", "xdist", "-n", "0", "-p", "no:cacheprovider", "-x", "--no-showlocals"]
    # Tests that run on CUDA have "cuda" in their name, with the schedule of the emulator.
    sys.exit(pytest.main([*options, "-k", "cuda", *(str(path_of_tests(unit)) for unit in units)]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="FILE", action="append", help="plant faults in this file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    options = parser.parse_args()
    names = [path.name for path in sources()]
    for name in options.only or []:
        if name not in names:
            parser.error(f"--only: {name} is not in csrc/cuda, which has {', '.join(names)}")
    chosen = options.only or names
    if options.list:
        for path in sources():
            text = path.read_text()
            mutants = plant(text, find_faults(text), path.name, 1)[1]
            print(*(mutant for mutant in mutants if path.name in chosen), sep="\n")
        return 0

    with tempfile.TemporaryDirectory(prefix="byhand-mutants-") as folder:
        library, mutants, broken = build(Path(folder))
        mutants = [mutant for mutant in mutants if mutant.file in chosen]
        units = sorted({unit for mutant in mutants for unit in units_of(mutant.file)})
        with ProcessPoolExecutor(options.jobs, FORK) as pool:
            seconds = dict(zip(units, pool.map(partial(time_tests, library), units), strict=True))
            hows = pool.map(partial(test, library, seconds), mutants)
            results = dict(zip(mutants, hows, strict=True))
    return report(results, [mutant for mutant in broken if mutant.file in chosen])


def time_tests(library: Path, unit: str) -> float:
    """Run the tests of a file without a mutant. Return how many seconds they take."""
    begin = time.monotonic()
    if how := run_tests(library, 0, [unit], 3600):
        raise RuntimeError(f"{path_of_tests(unit)} fails without a mutant: {how}")
    return time.monotonic() - begin


def test(library: Path, seconds: Mapping[str, float], mutant: Mutant) -> str:
    """Run the tests with a mutant, the quick ones first. Print the mutant if it is not caught."""
    units = sorted(units_of(mutant.file), key=seconds.__getitem__)
    how = run_tests(library, mutant.number, units, 120 + 10 * sum(seconds[unit] for unit in units))
    if not how:
        reason = equivalent_mutants().get(mutant.key)
        print(f"{mutant}\n    {f'equivalent: {reason}' if reason else 'NOT CAUGHT'}", flush=True)
    return how


def report(results: Mapping[Mutant, str], broken: Sequence[Mutant]) -> int:
    """Print how many mutants are caught, and return the exit code."""
    for mutant in broken:
        print(f"{mutant}\n    cannot be compiled")
    reasons = equivalent_mutants()
    equivalent = [mutant for mutant in results if mutant.key in reasons]
    for mutant in equivalent:
        if how := results[mutant]:
            print(f"{mutant}\n    is not equivalent: {how}")
    ways = Counter(filter(None, results.values()))
    count, caught = len(results), ways.total()
    can_be_caught = count - sum(not results[mutant] for mutant in equivalent)
    print(
        f"{caught} of {count} mutants are caught ({caught / count:.1%}), and so are "
        f"{caught / can_be_caught:.1%} of the {can_be_caught} that are not equivalent: "
        + ", ".join(f"{number} by a {way}" for way, number in ways.most_common())
    )
    return 0 if caught >= LEAST_SHARE * can_be_caught else 1


if __name__ == "__main__":
    sys.exit(main())
