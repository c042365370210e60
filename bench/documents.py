"""Reads the JSON files of `byhand bench`: those of `--json`, and those of `byhand bench report`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byhand.bench.results import Entry, Learned, Result, Times
from byhand.bench.run import FORMAT
from byhand.files.atomic import open_file

_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


class DocumentError(ValueError):
    """A JSON file that `byhand bench` did not write, or that this version cannot read."""


@dataclass(frozen=True)
class Part:
    """What one command, such as `byhand bench gemm`, measured.

    command : the name of the command.
    command_line : the whole line, as far as the file has it.
    """

    command: str
    command_line: str
    arguments: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, Any]
    results: list[Result]


@dataclass(frozen=True)
class MemoryRate:
    """Bytes per second that `threads` threads together read and write in `bytes` bytes."""

    threads: int
    bytes: int
    rates: tuple[float, ...]

    @property
    def best(self) -> float:
        return max(self.rates)


@dataclass(frozen=True)
class Document:
    """A whole file. A file of `--json` has one part, and no rates of memory."""

    name: str
    command_line: str
    machine: dict[str, Any]
    parts: list[Part]
    memory: list[MemoryRate]

    @property
    def versions(self) -> dict[str, Any]:
        """The version of each contender."""
        return {name: v for part in self.parts for name, v in part.versions.items()}


def read(path: Path) -> Document:
    """Read a file.

    Raises
    ------
    DocumentError
        If `byhand bench` did not write the file, or a newer version of byhand wrote it.
    OSError
        If the file cannot be read.
    """
    with open_file(path) as file:
        data = file.read()
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path} is not JSON: {error}") from None
    return parse(content, str(path))


def parse(content: Any, name: str) -> Document:
    """Return the document of a JSON value. `name` stands for it in errors.

    Raises
    ------
    DocumentError
        As in `read`.
    """
    try:
        _check_format(content)
        if "parts" not in content:
            part = _part(content, "")
            return Document(name, part.command_line, part.machine, [part], [])
        parts = [
            _part(_is(value, dict, f"parts[{i}]"), f"parts[{i}].")
            for i, value in enumerate(_take(content, "parts", list))
        ]
        if not parts:
            raise DocumentError("parts is empty")
        memory = [
            _memory(_is(value, dict, f"memory_rate[{i}]"), f"memory_rate[{i}].")
            for i, value in enumerate(_take(content, "memory_rate", list))
        ]
        line, machine = _take(content, "command_line", str), _take(content, "machine", dict)
        return Document(name, line, machine, parts, memory)
    except DocumentError as error:
        raise DocumentError(f"{name}: {error}") from None


def isa_of(machine: dict[str, Any]) -> str | None:
    """Return the instruction set that byhand used, or None if the file does not say it."""
    config = machine.get("byhand")
    sets = config.get("instruction_sets") if isinstance(config, dict) else None
    rows = [row for row in sets if isinstance(row, dict)] if isinstance(sets, list) else []
    return next((str(row.get("name")) for row in rows if row.get("active")), None)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _check_format(content: Any) -> None:
    expected = "it is not a file that `byhand bench` writes with --json or as a report"
    if not isinstance(content, dict) or "format" not in content:
        raise DocumentError(expected)
    number = content["format"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise DocumentError(f"format is {number!r} instead of a whole number: {expected}")
    if number > FORMAT:
        raise DocumentError(
            f"it has format {number}, and this version of byhand reads {FORMAT}: "
            "read it with the version that wrote it, or a newer one"
        )
    if number < FORMAT:
        raise DocumentError(
            f"it has format {number}, and this version of byhand reads {FORMAT}: measure again"
        )


def _is(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise DocumentError(f"{where} must be {_KINDS[kind]}, got {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _take(mapping: Mapping[str, Any], key: str, kind: type, where: str = "") -> Any:
    return _is(_present(mapping, key, where), kind, f"{where}{key}")


def _present(mapping: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in mapping:
        raise DocumentError(f"{where}{key} is missing")
    return mapping[key]


def _number(value: Any, where: str) -> float:
    """Check a finite number that is not negative."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # A whole number of JSON may be larger than any float.
    if not is_number or not 0 <= value <= 1e300 or not math.isfinite(value):
        raise DocumentError(f"{where} must be a number that is not negative, got {_short(value)}")
    return float(value) if isinstance(value, float) else int(value)


def _numbers(values: list[Any], where: str) -> list[float]:
    return [_number(value, f"{where}[{i}]") for i, value in enumerate(values)]


def _memory(row: dict[str, Any], where: str) -> MemoryRate:
    rates = _numbers(_take(row, "rates", list, where), f"{where}rates")
    if not rates or min(rates) == 0:
        raise DocumentError(f"{where}rates must hold rates above zero, got {_short(rates)}")
    threads, size = (int(_positive(row, key, where)) for key in ("threads", "bytes"))
    return MemoryRate(threads, size, tuple(rates))


def _positive(row: Mapping[str, Any], key: str, where: str) -> float:
    value = _number(_present(row, key, where), f"{where}{key}")
    if value == 0:
        raise DocumentError(f"{where}{key} must be above zero")
    return value


def _part(content: dict[str, Any], where: str) -> Part:
    arguments = _take(content, "arguments", dict, where)
    command = _take(arguments, "command", str, f"{where}arguments.")
    results = [
        _result(_is(row, dict, f"{where}results[{i}]"), f"{where}results[{i}].")
        for i, row in enumerate(_take(content, "results", list, where))
    ]
    line = content.get("command_line", f"byhand bench {command}")
    return Part(
        command,
        _is(line, str, f"{where}command_line"),
        arguments,
        _take(content, "machine", dict, where),
        _take(content, "versions", dict, where),
        results,
    )


def _result(row: dict[str, Any], where: str) -> Result:
    case = _take(row, "case", dict, where)
    _take(case, "label", str, f"{where}case.")
    _is(case.get("group", ""), str, f"{where}case.group")
    entries = [
        _entry(_is(entry, dict, f"{where}entries[{i}]"), f"{where}entries[{i}].")
        for i, entry in enumerate(_take(row, "entries", list, where))
    ]
    peak = _positive(row, "fma_peak", where)
    return Result(
        # The steps of `byhand ladder` are in no group.
        {"group": "", **case},
        int(_positive(row, "threads", where)),
        int(_number(_present(row, "flops", where), f"{where}flops")),
        entries,
        peak,
        int(_number(_present(row, "bytes", where), f"{where}bytes")),
    )


def _entry(row: dict[str, Any], where: str) -> Entry:
    times = None
    if row.get("times") is not None:
        spot = f"{where}times."
        rounds = _take(_take(row, "times", dict, where), "rounds", list, spot)
        times = Times(tuple(_numbers(rounds, f"{spot}rounds")))
        if not rounds or times.min == 0:
            raise DocumentError(f"{spot}rounds must hold times above zero, got {_short(rounds)}")
    optional: dict[str, Any] = {
        key: None if row.get(key) is None else _number(row[key], f"{where}{key}")
        for key in ("difference", "ratio", "faults", "rss")
    }
    problem = row.get("problem")
    common = {
        "contender": _take(row, "contender", str, where),
        "problem": None if problem is None else _is(problem, str, f"{where}problem"),
        "times": times,
        "note": _is(row.get("note", ""), str, f"{where}note"),
        **optional,
    }
    if "accuracies" not in row:
        return Entry(**common)
    accuracies, ends = (
        _numbers(_take(row, key, list, where), f"{where}{key}") for key in ("accuracies", "ends")
    )
    if len(accuracies) != len(ends):
        raise DocumentError(
            f"{where}ends has {len(ends)} numbers, but accuracies has {len(accuracies)}"
        )
    epoch = row.get("epoch")
    reached = None if epoch is None else _number(epoch, f"{where}epoch")
    return Learned(**common, ends=ends, accuracies=accuracies, epoch=reached)
