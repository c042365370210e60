"""`byhand bench gemm --ladder`: what each step from three loops to `gemm` gains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from byhand._core import testing
from byhand.bench import gemm
from byhand.bench.harness import Contest, Entry, Result
from byhand.bench.peers import Contender
from byhand.bench.report import rate
from byhand.bench.run import Run, describe_threads
from byhand.bench.tables import Row, aligned
from rich.text import Text

LEGEND = (
    "A step on one thread, the last on all; others below. gain: over the step before.\n"
    "of peak: of the multiply-adds that these threads can do, measured before and after; the "
    "larger counts."
)
# By the names of testing.gemm_ladder_steps().
WORDS = {
    "three loops": "each value of C by itself, B down its columns",
    "rows of B inside": "the inner loop along rows of B and C, the compiler's vectors",
    "vectors in registers": "the sums of a row stay in the instruction set's vectors",
    "register tile": "as many rows at a time as registers hold: each shares the load of B",
    "steps of the depth": "a tile's rows of A stay in L1",
    "prefetching": "the cache fetches what the tiles after this one will read",
    "packing": "A copied into the order of reading, where its rows evict each other",
    "threads": "C shared out",
}
# Seconds of a step's turns after which it has no more: three loops take many seconds a product.
ENOUGH = 4.0


@dataclasses.dataclass(frozen=True)
class Rung:
    """A step, or another library. FLOP/s; gain: of a step, over the one before it."""

    name: str
    threads: int
    rate: float | None
    peak: float
    gain: float | None = None
    problem: str = ""

    @property
    def figures(self) -> tuple[str, str]:
        """GFLOP/s and the share of the peak, or the kind of the problem."""
        if self.rate is None:
            return self.problem.partition(":")[0], ""
        return f"{self.rate / 1e9:.2f}", f"{self.rate / self.peak:.1%}"


def climb(
    run: Run,
    counts: Sequence[int],
    others: Sequence[Contender],
    size: int,
    rounds: int,
    seconds: float,
) -> list[Result]:
    """Products of `size` cubed: all steps but the last on one thread, the last one on more."""
    product = gemm.Product(size, size, size)
    *alone, shared = testing.gemm_ladder_steps()
    results = []
    for count in counts:
        steps = [_contender(name) for name in (alone if count == 1 else [shared])]
        contenders = [*steps, *others]
        run.begin(count)
        with Contest(contenders, count) as contest:
            entries = contest.run(
                {"product": dataclasses.asdict(product)},
                gemm.exact(product),
                amounts={contender.name: seconds for contender in contenders},
                scale=1,
                rounds=rounds,
                tolerance=gemm.bound(product),
                measure=gemm.error,
                enough=ENOUGH,
            )
            labels = {"label": product.case.name, "op": "gemm", "shape": product.case.shape}
            case = {**labels, "group": "ladder", **dataclasses.asdict(product)}
            results.append(Result(case, count, product.case.work(1), entries))
            run.keep(results[-1:], contest, around=True)
    return results


def _contender(step: str) -> Contender:
    return Contender(step, "byhand.bench.ladder_peer", ("byhand",), options={"step": step})


def rungs(results: Sequence[Result]) -> list[Rung]:
    """The steps in their order, then the others."""
    pairs = [(result, entry) for result in results for entry in result.entries]
    steps = [_rung(r, e) for r, e in pairs if e.contender in WORDS]
    others = [_rung(r, e) for r, e in pairs if e.contender not in WORDS]
    return [*_with_gains(steps), *others]


def _rung(result: Result, entry: Entry) -> Rung:
    flops = rate(result, entry)
    return Rung(entry.contender, result.threads, flops, result.peak, problem=entry.problem or "")


def _with_gains(steps: Sequence[Rung]) -> Iterator[Rung]:
    before = None
    for step in steps:
        gain = step.rate / before if step.rate and before else None
        yield dataclasses.replace(step, gain=gain)
        before = step.rate


def table(title: str, ladder: Sequence[Rung]) -> Text:
    rows: list[Row] = []
    for rung in ladder:
        gain = "" if rung.gain is None else f"{rung.gain:.2f} x"
        speed, share = rung.figures
        speed = speed if rung.rate else f"[bold red]{speed}[/]"
        rows.append((rung.name, str(rung.threads), speed, share, gain))
        if rung.name in WORDS:
            rows.append(f"[dim]  {WORDS[rung.name]}[/]")
    return aligned(title, ("step", "threads", "GFLOP/s", "of peak", "gain"), rows)


def chart(title: str, ladder: Sequence[Rung], suffix: str = ".png") -> bytes:
    """A bar for each rung, a line at the peak of each number of threads."""
    from byhand.plots.figure import (  # no other command waits for it
        drawing,
        figure_bytes,
        new_figure,
    )

    with drawing():
        figure = new_figure(9, 1 + 0.4 * len(ladder))
        axes = figure.subplots()
        names = [
            f"{rung.name} ({rung.threads})" if rung.threads > 1 else rung.name for rung in ladder
        ]
        colors = ["C0" if rung.name in WORDS else "0.6" for rung in ladder]
        speeds = [(rung.rate or 0) / 1e9 for rung in ladder]
        bars = axes.barh(range(len(ladder)), speeds, color=colors, tick_label=names)
        labels = ["  ".join(rung.figures) for rung in ladder]
        axes.bar_label(bars, labels, padding=4, backgroundcolor="white")
        peaks = {rung.threads: rung.peak / 1e9 for rung in ladder}
        for threads, peak in peaks.items():
            axes.axvline(peak, color="C3", linestyle="--", zorder=0)
            text = f"peak of {describe_threads(threads)}"
            top = ("data", "axes fraction")
            axes.annotate(text, (peak, 1.01), xycoords=top, color="C3", ha="right")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.25 * max(peaks.values()))
        axes.set_xlabel("GFLOP/s, and share of the peak of the same number of threads")
        axes.set_title(title, pad=20)
    return figure_bytes(figure, suffix)
