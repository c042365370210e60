"""`byhand bench compare`: the times of byhand in two JSON files."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from byhand.bench import tables
from byhand.bench.documents import Document, DocumentError, Part, isa_of, read
from byhand.bench.peers import OURS
from byhand.bench.results import Result, Times
from byhand.bench.run import describe_threads, new_console
from rich.markup import escape
from rich.text import Text

LEGEND = (
    "A, B: the median time of byhand. B / A: the quotient of the medians; above 1, byhand is "
    "slower in B.\n"
    "beyond noise: slower if every round of B took longer than every round of A, faster if every "
    "round was shorter, no if the rounds overlap. If both programs are equally fast, a case is "
    "called slower or faster by chance in 1 of 10 cases with 3 rounds each, in 1 of 126 with 5, "
    "and in 1 of 1716 with 7. With fewer than 3 rounds in a file nothing can be said, and the cell "
    "has a ?.\n"
    "peer: the time of the fastest peer divided by that of byhand, in each file. If the times of "
    "the peers changed by the same factor, the machine changed, and not byhand."
)
LEAST_ROUNDS = 3
# The fields of a case that tell it from the other cases of its group. A field that is missing is
# None.
_FIELDS = ("group", "label", "of", "batch", "activation")
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Pair:
    """A case that is in both files."""

    command: str
    a: Result
    b: Result

    @property
    def times(self) -> tuple[Times, Times] | None:
        """The times of byhand, or None if it failed in a file or is not timed in this case."""
        ours = self.a.ours, self.b.ours
        a, b = (None if entry is None else entry.times for entry in ours)
        return None if a is None or b is None else (a, b)

    @property
    def ratio(self) -> float | None:
        """byhand's median time in B divided by that in A."""
        if self.times is None:
            return None
        a, b = self.times
        return b.median / a.median

    @property
    def failure(self) -> str:
        """Why byhand has no time in B, or nothing if it has one or had none in A either."""
        before, after = self.a.ours, self.b.ours
        if after is not None and after.problem:
            return after.problem
        had_time = before is not None and before.times is not None
        if not had_time or (after is not None and after.times is not None):
            return ""
        note = f" ({after.note})" if after is not None and after.note else ""
        return f"no time{note}, but A has one"

    @property
    def verdict(self) -> str:
        return "" if self.times is None else verdict(*self.times)


def verdict(a: Times, b: Times) -> str:
    """Return "slower" or "faster" for B, "no" if the rounds overlap, or "?" if there are few."""
    if min(len(a.rounds), len(b.rounds)) < LEAST_ROUNDS:
        return "?"
    return "slower" if b.min > a.max else "faster" if b.max < a.min else "no"


def command(
    a: Annotated[Path, typer.Argument(metavar="A.json", dir_okay=False, help="The older file.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", dir_okay=False, help="The newer file.")],
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="FACTOR",
            help="Exit with code 1 if byhand is slower in B by more than this factor in at least "
            "one case, and beyond noise; for example 1.05.",
            show_default="never",
        ),
    ] = None,
) -> None:
    """Compare the times of byhand in two JSON files, A and B.

    The files come from `byhand bench report` or from --json of another benchmark. A difference
    counts as beyond noise if the rounds of the two files do not overlap: every round of one took
    longer than every round of the other. This rule does not notice a machine that was slower during
    the whole of one measurement. Therefore the table also has the ratio to the fastest peer in both
    files, and the last lines say by how much the times of the peers changed.

    The exit code is 1 if byhand failed in a case of B, if it has a time in A but none in B, or if
    no case is in both files. With --fail-above, it is also 1 if byhand became slower. A case that
    is only in A is named and does not change the exit code.
    """
    first, second = _read(a, "A.json"), _read(b, "B.json")
    console = new_console()
    console.print(_differences_line(first, second), highlight=False, markup=False)
    console.print(f"A: {a}\nB: {b}\n", highlight=False, markup=False)
    pairs, only_a, only_b = matched(first, second)
    for title, own in _sections(pairs):
        console.print(_table(title, own))
    for letter, names in (("A", only_a), ("B", only_b)):
        if names:
            console.print(f"Only in {letter}:", *names, sep="\n  ", highlight=False, markup=False)
    if not pairs:
        message = "byhand: no case is in both files: measure both with the same command and options"
        typer.secho(message, err=True)
        raise typer.Exit(1)
    console.print(LEGEND, style="dim", highlight=False, markup=False)
    console.print(*_summary(pairs), sep="\n", highlight=False, markup=False)
    slow = [pair for pair in pairs if fail_above is not None and is_above(pair, fail_above)]
    for pair in slow:
        message = f"{_name(pair.command, pair.b)}: {pair.ratio:.2f} x, more than {fail_above:g}"
        typer.secho(message, fg=typer.colors.RED, err=True)
    # A case in which byhand has no time in B must not pass as not slower.
    broken = [pair for pair in pairs if pair.failure]
    for pair in broken:
        message = f"{_name(pair.command, pair.b)}: byhand in B: {pair.failure}"
        typer.secho(message, fg=typer.colors.RED, err=True)
    if slow or broken:
        raise typer.Exit(1)


def _read(path: Path, name: str) -> Document:
    try:
        return read(path)
    except DocumentError as error:
        raise typer.BadParameter(str(error), param_hint=name) from None


def is_above(pair: Pair, factor: float) -> bool:
    """Whether byhand is slower in B by more than the factor, and beyond noise."""
    return pair.ratio is not None and pair.ratio > factor and pair.verdict == "slower"


def matched(first: Document, second: Document) -> tuple[list[Pair], list[str], list[str]]:
    """Return the cases that are in both files, and the names of those in A only and in B only."""
    a, b = dict(_keyed(first)), dict(_keyed(second))
    pairs = [Pair(part.command, result, b[key][1]) for key, (part, result) in a.items() if key in b]
    only_a = [_name(part.command, result) for key, (part, result) in a.items() if key not in b]
    only_b = [_name(part.command, result) for key, (part, result) in b.items() if key not in a]
    return pairs, only_a, only_b


def _keyed(document: Document) -> Iterator[tuple[Key, tuple[Part, Result]]]:
    """Yield each result with a key that is the same in the files of the same benchmark.

    A group may have the same case several times. They are counted.
    """
    seen: Counter[Key] = Counter()
    for part in document.parts:
        for result in part.results:
            # A value that a foreign file may have, such as a list, has no hash, but its text has.
            fields = (str(result.case.get(field)) for field in _FIELDS)
            key = (part.command, result.threads, *fields)
            yield (*key, seen[key]), (part, result)
            seen[key] += 1


def _name(command: str, result: Result) -> str:
    return f"{command}: {result.name}, {describe_threads(result.threads)}"


def differences(first: Document, second: Document) -> list[str]:
    """Return a text for each property of machine, versions and settings that differs."""
    found = []
    for name, a, b in _properties(first, second):
        if a != b:
            found.append(f"{name}: {a} in A, {b} in B")
    return found


def _properties(first: Document, second: Document) -> Iterator[tuple[str, str, str]]:
    def row(name: str, a: Any, b: Any, missing: str = "not known") -> tuple[str, str, str]:
        a, b = (missing if value is None else str(value) for value in (a, b))
        return name, a, b

    for name in ("cpu", "usable_processors"):
        yield row(name.replace("_", " "), first.machine.get(name), second.machine.get(name))
    yield row("instruction set", isa_of(first.machine), isa_of(second.machine))
    yield row("threads", *map(_threads, (first, second)))
    for name in ("caches", "governor", "system", "python", "commit"):
        yield row(name, first.machine.get(name), second.machine.get(name))
    versions = first.versions, second.versions
    for name in sorted(versions[0].keys() | versions[1].keys()):
        own = versions[0].get(name), versions[1].get(name)
        yield row(f"version of {name}", *own, "not measured")
    others = {part.command: part for part in second.parts}
    for part in first.parts:
        if (other := others.get(part.command)) is None:
            continue
        for key in part.arguments | other.arguments:
            own = part.arguments.get(key), other.arguments.get(key)
            yield row(f"{key} of {part.command}", *own, "not set")


def _threads(document: Document) -> str:
    counts = {result.threads for part in document.parts for result in part.results}
    return " and ".join(map(str, sorted(counts)))


def _differences_line(first: Document, second: Document) -> str:
    found = differences(first, second)
    if not found:
        return "Machine, versions and settings are the same in both files."
    return "The files differ. " + "; ".join(found) + "."


def _sections(pairs: Sequence[Pair]) -> Iterator[tuple[str, list[Pair]]]:
    """Yield the pairs of each table: those of one command, one group and one number of threads."""
    sections: dict[str, list[Pair]] = {}
    for pair in pairs:
        group = pair.a.case["group"]
        title = ", ".join(filter(None, (pair.command, group, describe_threads(pair.a.threads))))
        sections.setdefault(title, []).append(pair)
    yield from sections.items()


def _table(title: str, pairs: Sequence[Pair]) -> Text:
    rows: list[tables.Row] = []
    for pair in pairs:
        label = escape(pair.a.name)
        if pair.times is None:
            rows.append(f"{label}: {_why_no_times(pair)}")
            continue
        a, b = pair.times
        colour = {"slower": "red", "faster": "green"}.get(pair.verdict, "none")
        rows.append(
            (
                label,
                *map(tables.seconds, (a.median, b.median)),
                f"{pair.ratio:.3f}",
                f"[{colour}]{pair.verdict}[/]",
                *(f"{times.spread:.0%}" for times in (a, b)),
                *map(tables.red_below_one, (pair.a.ratio, pair.b.ratio)),
            )
        )
    headings = ("case", "A", "B", "B / A", "beyond noise", "spread A", "spread B")
    return tables.aligned(title, (*headings, "peer A", "peer B"), rows)


def _why_no_times(pair: Pair) -> str:
    before = "" if pair.a.ours is None else pair.a.ours.problem
    for letter, problem in (("A", before), ("B", pair.failure)):
        if problem:
            return f"[bold red]{letter}: {escape(problem)}[/]"
    return "not timed, or not reached"


def _summary(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield the number of cases of each verdict, and the mean change of byhand and of each peer."""
    counts = Counter(pair.verdict for pair in pairs if pair.times is not None)
    yield (
        f"{sum(counts.values())} cases: {counts['slower']} slower, {counts['faster']} faster, "
        f"{counts['no']} within noise, {counts['?']} with too few rounds."
    )
    changes = peer_changes(pairs)
    ours = changes.pop(OURS, None)
    if ours is not None:
        yield f"byhand took {ours:.3f} times as long in B as in A (geometric mean)."
    for name, change in changes.items():
        yield f"{name} took {change:.3f} times as long."


def peer_changes(pairs: Sequence[Pair]) -> dict[str, float]:
    """Return the geometric mean of B / A of the median times of each contender, byhand included."""
    quotients: dict[str, list[float]] = {}
    for pair in pairs:
        before = {entry.contender: entry.times for entry in pair.a.entries if entry.times}
        for entry in pair.b.entries:
            if entry.times and entry.contender in before:
                quotient = entry.times.median / before[entry.contender].median
                quotients.setdefault(entry.contender, []).append(math.log(quotient))
    return {name: math.exp(statistics.fmean(logs)) for name, logs in quotients.items()}
