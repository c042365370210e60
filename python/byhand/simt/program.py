"""Compile a CUDA program against the emulator, and run it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from byhand.cxx import cxx_command
from byhand.simt.translate import TranslationError, kernel_templates, local_includes, translate

SCHEDULES = ("forward", "reverse", "odd-even")
"""The orders in which the threads of a block take their turns."""

FOUND = 86
"""The exit status of a program that ends with a finding (csrc/simt/report.h)."""

# GNU addr2line misreads the file names in the DWARF 5 of Clang.
_FLAGS = ["-std=c++20", "-gdwarf-4", "-fPIC"]
_UNKNOWN = re.compile(
    r"'(\w*cuda\w*|__\w+|cu[A-Z]\w*)' was not declared|undeclared identifier '(\w+)'"
)


class SimtError(RuntimeError):
    """A program that cannot be compiled or run. The message says why."""


@dataclass
class Outcome:
    """What became of a program.

    Parameters
    ----------
    status : int
        The exit status of the first run that failed, or 0.
    findings : list of dict
        The findings: kind, message, file, line, and kernel, block, thread and other if they are
        known.
    """

    status: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the program ended with 0 and nothing was found."""
        return self.status == 0 and not self.findings


def source_folder() -> Path:
    """Return the folder that holds `simt/`, the C++ sources of the emulator."""
    installed = Path(__file__).parent / "csrc"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "csrc"


def run(
    source: Path,
    arguments: Sequence[str] = (),
    *,
    schedules: Sequence[str] = SCHEDULES,
    strict: bool = False,
    seconds: int = 60,
    defines: Sequence[str] = (),
    includes: Sequence[Path] = (),
    output: int | None = None,
) -> Outcome:
    """Compile a CUDA program and run it once per schedule, until something is found.

    The first run has the streams of this process. The others print nothing, unless they end with a
    finding. They read the same file if the standard input is one, and nothing otherwise.

    Parameters
    ----------
    source : Path
        The `.cu` file.
    arguments : sequence of str
        The arguments of the program.
    schedules : sequence of str
        The orders in which threads take their turns: "forward", "reverse", "odd-even", or a number,
        which is the seed of a random order.
    strict : bool
        Whether a barrier of a block is wrong if some threads have ended before it.
    seconds : int
        The longest time of one launch of a kernel, in seconds of processor time.
    defines : sequence of str
        Macros to define, such as "N" or "N=8".
    includes : sequence of Path
        Folders in which files that are included in quotation marks are found.
    output : int, optional
        A file descriptor for what the first run prints to its standard output.

    Returns
    -------
    Outcome
        What was found.

    Raises
    ------
    SimtError
        If there is no compiler, or the program cannot be compiled.
    OSError
        If a file cannot be read or written.
    """
    with tempfile.TemporaryDirectory(prefix="byhand-simt-") as name:
        folder = Path(name)
        program = compile_program(source, folder, defines, includes)
        outcome = Outcome()
        hashes: list[str] = []
        # The first schedule runs once more if another one gives other results: a program that
        # depends on the time or on addresses differs from run to run.
        for i, schedule in enumerate([*schedules, schedules[0]]):
            last = i == len(schedules)
            if last and len(set(hashes)) < 2:
                break
            report, result, errors = (
                folder / f"{kind}{i}" for kind in ("report", "hash", "errors")
            )
            environment = {
                **os.environ,
                "SIMT_SCHEDULE": schedule,
                "SIMT_SECONDS": str(seconds),
                "SIMT_JSON": str(report),
                "SIMT_HASH": str(result),
            }
            if strict:
                environment["SIMT_STRICT"] = "1"
            sys.stdout.flush()
            command: list[str | Path] = [program, *arguments]
            if i == 0:
                done = subprocess.run(command, env=environment, stdout=output, check=False)
            else:
                with _same_input() as stdin, errors.open("wb") as stderr:
                    streams: dict[str, Any] = {
                        "stdin": stdin,
                        "stdout": subprocess.DEVNULL,
                        "stderr": stderr,
                    }
                    done = subprocess.run(command, env=environment, check=False, **streams)
            outcome.status = done.returncode
            if report.exists():
                outcome.findings += map(json.loads, report.read_text().splitlines())
            if done.returncode != 0:
                if i:
                    sys.stderr.write(errors.read_text(errors="replace"))
                if i and not outcome.findings:
                    ends = f"it ends with {done.returncode} under {schedule}"
                    outcome.findings.append(_disagreement(source, f"{ends}, and with 0 otherwise"))
                return outcome
            hashes.append(result.read_text().strip() if result.exists() else "")
        if len(hashes) > len(schedules) and hashes[-1] == hashes[0]:
            other = next(i for i, value in enumerate(hashes) if value != hashes[0])
            which = (
                f"what it copies to the host differs between {schedules[0]} and {schedules[other]}"
            )
            outcome.findings.append(_disagreement(source, which))
        return outcome


def compile_program(
    source: Path,
    folder: Path,
    defines: Sequence[str] = (),
    includes: Sequence[Path] = (),
) -> Path:
    """Translate and compile a program.

    Parameters
    ----------
    source : Path
        The `.cu` file.
    folder : Path
        An existing folder for the files that are made.
    defines : sequence of str
        Macros to define, such as "N" or "N=8".
    includes : sequence of Path
        Folders in which files that are included in quotation marks are found.

    Returns
    -------
    Path
        The program.

    Raises
    ------
    SimtError
        If there is no compiler, or the program cannot be compiled.
    """
    program = folder / "program"
    _link([source], folder, program, defines, includes, ())
    return program


def compile_library(sources: Sequence[Path], target: Path, includes: Sequence[Path] = ()) -> None:
    """Compile CUDA files to a shared library in which the emulator is included.

    Parameters
    ----------
    sources : sequence of Path
        The `.cu` files.
    target : Path
        The path of the library. An older one is replaced.
    includes : sequence of Path
        Folders in which files that are included in quotation marks are found.

    Raises
    ------
    SimtError
        If there is no compiler, or a file cannot be compiled.
    """
    with tempfile.TemporaryDirectory(prefix="byhand-simt-", dir=target.parent) as name:
        made = Path(name) / target.name
        _link(sources, Path(name), made, (), includes, ["-shared"])
        os.replace(made, target)


def compile_object(
    source: Path, target: Path, includes: Sequence[Path] = (), flags: Sequence[str] = ()
) -> None:
    """Compile a CUDA file to an object file that can be linked with the emulator.

    Parameters
    ----------
    source : Path
        The `.cu` file.
    target : Path
        The path of the object file.
    includes : sequence of Path
        Folders in which files that are included in quotation marks are found.
    flags : sequence of str
        More flags for the C++ compiler.

    Raises
    ------
    SimtError
        If there is no compiler, or the file cannot be compiled.
    """
    with tempfile.TemporaryDirectory(prefix="byhand-simt-") as name:
        translated = _translate_files(source, Path(name), includes)
        _compile(
            [
                *(*_compiler(), *_FLAGS, "-O0"),
                "-fsanitize=thread,alignment,bounds,signed-integer-overflow,integer-divide-by-zero",
                *("-include", "cuda_runtime.h", "-Wno-unknown-pragmas", "-Wno-attributes"),
                *flags,
                f"-I{source_folder() / 'simt' / 'include'}",
                *(f"-I{path}" for path in (source.parent.resolve(), *includes)),
                *("-x", "c++", "-c", str(translated), "-o", str(target)),
            ]
        )
    names = [f"--redefine-sym={name}=simt_{name}" for name in ("memcpy", "memmove", "memset")]
    _call(["objcopy", *names, str(target)])


def _link(
    files: Sequence[Path],
    folder: Path,
    target: Path,
    defines: Sequence[str],
    includes: Sequence[Path],
    flags: Sequence[str],
) -> None:
    """Translate and compile each file into the folder, and link them with the emulator."""
    compiler = _compiler()
    objects = [folder / f"{i}.o" for i in range(len(files))]
    macros = [f"-D{define}" for define in defines]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each thread waits for a compiler
        compiled = partial(compile_object, includes=includes, flags=macros)
        list(pool.map(compiled, files, objects))
    runtime = str(_runtime(compiler))
    libraries = ["-ldl", "-lm", "-lpthread"]
    _call([*compiler, *flags, *map(str, objects), runtime, "-o", str(target), *libraries])


def _translate_files(source: Path, folder: Path, includes: Sequence[Path]) -> Path:
    """Translate a program, and the files that it includes in quotation marks, into a folder."""
    copies: dict[Path, Path] = {}
    templates: set[str] = set()  # of the files that have been translated

    def copy_of(path: Path) -> Path:
        real = path.resolve()
        if real not in copies:
            copies[real] = copy = folder / f"{len(copies)}-{path.name}"
            text = path.read_text(errors="replace")
            included = {}
            for name in local_includes(text):
                places = [at / name for at in (path.parent, *includes) if (at / name).is_file()]
                if places:
                    included[name] = str(copy_of(places[0]))
            try:
                copy.write_text(translate(text, path, included, templates))
            except TranslationError as error:
                raise SimtError(f"{path}:{error.line}: {error}") from None
            templates.update(kernel_templates(text))
        return copies[real]

    return copy_of(source)


def _compiler() -> list[str]:
    """Return the command of the C++ compiler, if the tools that belong to it are installed, too."""
    found = cxx_command()
    if found is None:
        raise SimtError("the emulator needs a C++ compiler: install g++ or clang++, or set CXX")
    for tool in ("objcopy", "addr2line", "nm"):
        if not shutil.which(tool):
            raise SimtError(f"the emulator needs {tool}: install binutils, which belongs to g++")
    return found


def _runtime(compiler: list[str]) -> Path:
    """Compile the emulator, or find what an earlier call has compiled."""
    folder = source_folder()
    files = sorted((folder / "simt").glob("*.cc"))
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    key = hashlib.sha256(" ".join([*compiler, *_FLAGS]).encode() + version)
    for file in sorted((folder / "simt").rglob("*.*")):
        key.update(file.read_bytes())
    import platformdirs  # compile_object must work without it

    cache = Path(platformdirs.user_cache_dir("byhand")) / "simt"
    library = cache / f"simt-{key.hexdigest()[:16]}.o"
    if not library.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            unity = Path(name) / "simt.cc"
            unity.write_text("".join(f'#include "{file}"\n' for file in files))
            made = Path(name) / "simt.o"
            include = folder / "simt" / "include"
            flags = [*_FLAGS, "-O2", f"-I{folder}", f"-I{include}"]
            _call([*compiler, *flags, "-c", str(unity), "-o", str(made)])
            os.replace(made, library)
    return library


def _compile(command: list[str]) -> None:
    """Compile. If that fails because functions call each other in a circle, do not inline them."""
    try:
        _call(command)
    except SimtError as error:
        if "inlining failed" not in str(error):
            raise
        _call([*command, "-DSIMT_NO_INLINE"])


def _call(command: list[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C"}  # messages in English, with plain quotation marks
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return
    message = f"the program cannot be compiled:\n{done.stderr.strip()}"
    unknown = sorted(
        {match.group(match.lastindex or 0) for match in _UNKNOWN.finditer(done.stderr)}
    )
    if unknown:
        message += f"\nThe emulator has no {', '.join(unknown)}."
    raise SimtError(message)


@contextmanager
def _same_input() -> Iterator[Any]:
    """Open the file that this process reads as its standard input once more, or nothing."""
    try:
        is_file = stat.S_ISREG(os.fstat(0).st_mode)
    except OSError:
        is_file = False
    if not is_file:
        yield subprocess.DEVNULL
        return
    with open("/proc/self/fd/0", "rb") as file:
        yield file


def _disagreement(source: Path, how: str) -> dict[str, Any]:
    message = f"The program depends on the order in which threads take their turns: {how}."
    return {
        "kind": "schedule",
        "message": message,
        "file": str(source),
        "line": 0,
        "function": "",
    }
