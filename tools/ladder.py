"""Shows what each step from three loops to `gemm` gains.

    python tools/ladder.py --size 512 --threads 1,2 --plot ladder.png

The script multiplies two square matrices by each step of csrc/cpu/gemm/ladder.cc and by NumPy. As
in `byhand bench`, each of them has a process of its own. First all results are checked, then all
are timed in turns. The last step runs on several threads, and all other steps on one. With
`--threads 1,2`, the last step runs on 2 threads. Without 1 in `--threads`, only the last step runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from byhand._core import testing
from byhand.bench import gemm, tables
from byhand.bench.harness import Contest
from byhand.bench.options import (
    JsonOption,
    RoundsOption,
    SecondsOption,
    ThreadsOption,
    contenders_of,
    peers_option,
    threads_of,
)
from byhand.bench.peers import Contender
from byhand.bench.results import Entry, Result
from byhand.bench.run import Run, describe_threads
from byhand.files.atomic import write_atomic
from plot_file import PlotOption, check_plot
from rich.text import Text

LEGEND = (
    "The product is C = A B. The last step runs on several threads, all other steps on one.\n"
    "gain: the speed of the step divided by the speed of the step before it.\n"
    "of peak: GFLOP/s divided by the peak. The peak is the GFLOP/s of the same number of threads "
    "that only multiply and add. It is measured before and after the steps, and the larger value "
    "counts."
)
# What each step does, by its name in testing.gemm_ladder_steps().
DESCRIPTIONS = {
    "three loops": "computes one value of C after the other and reads B down its columns",
    "rows of B inside": "the innermost loop runs along a row of B and a row of C, so the compiler "
    "can use vectors",
    "vectors in registers": "the sums of one row of C stay in vector registers",
    "register tile": "the sums of several rows of C stay in registers, so all these rows use each "
    "loaded vector of B",
    "steps of the depth": "each sum is computed in several steps, so that the parts of A that a "
    "tile reads in a step stay in L1",
    "prefetching": "while one tile is computed, the cache fetches the values that the next tiles "
    "read",
    "packing": "A is copied into the order in which it is read, if its rows evict each other from "
    "the cache",
    "threads": "each thread computes a part of C",
}
# Seconds after which a contender gets no more turns, summed over its turns. A product by three
# loops can take seconds.
ENOUGH = 4.0


@dataclasses.dataclass(frozen=True)
class Rung:
    """The speed of one step, or of another library.

    rate, peak : in FLOP/s.
    gain : the rate of a step divided by the rate of the step before it.
    """

    name: str
    threads: int
    rate: float | None
    peak: float
    gain: float | None = None
    problem: str = ""

    @property
    def figures(self) -> tuple[str, str]:
        """The GFLOP/s and the share of the peak, or the kind of the problem."""
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
    """Time the product of two matrices (size, size) on each number of threads.

    On one thread, the contenders are all steps but the last. On several threads, they are the last
    step. `others` are contenders in both cases.
    """
    product = gemm.Product(size, size, size)
    *alone, shared = testing.gemm_ladder_steps()
    results = []
    for count in counts:
        steps = [_contender(name) for name in (alone if count == 1 else [shared])]
        contenders = [*steps, *others]
        run.begin(count)
        with Contest(contenders, count) as contest:
            entries = contest.run(
                product,
                gemm.exact(product),
                amount=lambda _: seconds,
                rounds=rounds,
                tolerance=gemm.bound(product),
                measure=gemm.error,
                enough=ENOUGH,
            )
            labels = {"label": product.case.name, "op": "gemm", "shape": product.case.shape}
            case = {**labels, "group": "ladder", **dataclasses.asdict(product)}
            results.append(Result(case, count, product.case.work(1), entries))
            run.keep(results[-1:], contest)
    return results


def _contender(step: str) -> Contender:
    return Contender(step, "ladder_peer", ("byhand",), options={"step": step})


def rungs(results: Sequence[Result]) -> list[Rung]:
    """Return the steps in their order, then the other contenders."""
    pairs = [(result, entry) for result in results for entry in result.entries]
    steps = [_rung(r, e) for r, e in pairs if e.contender in DESCRIPTIONS]
    others = [_rung(r, e) for r, e in pairs if e.contender not in DESCRIPTIONS]
    return [*_with_gains(steps), *others]


def _rung(result: Result, entry: Entry) -> Rung:
    rate = result.rate(entry)
    return Rung(entry.contender, result.threads, rate, result.peak, problem=entry.problem or "")


def _with_gains(steps: Sequence[Rung]) -> Iterator[Rung]:
    before = None
    for step in steps:
        gain = step.rate / before if step.rate and before else None
        yield dataclasses.replace(step, gain=gain)
        before = step.rate


def table(title: str, ladder: Sequence[Rung]) -> Text:
    rows: list[tables.Row] = []
    for rung in ladder:
        gain = "" if rung.gain is None else f"{rung.gain:.2f} x"
        speed, share = rung.figures
        speed = speed if rung.rate else f"[bold red]{speed}[/]"
        rows.append((rung.name, str(rung.threads), speed, share, gain))
        if rung.name in DESCRIPTIONS:
            rows.append(f"[dim]  {DESCRIPTIONS[rung.name]}[/]")
    return tables.aligned(title, ("step", "threads", "GFLOP/s", "of peak", "gain"), rows)


def chart(title: str, ladder: Sequence[Rung], suffix: str = ".png") -> bytes:
    """Draw a bar for each rung, and a line at the peak for each number of threads."""
    from byhand.plots.figure import drawing, figure_bytes, new_figure  # slow to import

    with drawing():
        figure = new_figure(9, 1 + 0.4 * len(ladder))
        axes = figure.subplots()
        names = [
            f"{rung.name} ({rung.threads})" if rung.threads > 1 else rung.name for rung in ladder
        ]
        colors = ["C0" if rung.name in DESCRIPTIONS else "0.6" for rung in ladder]
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


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    size: Annotated[int, typer.Option(min=1, help="Rows and columns of the matrices.")] = 512,
    threads: ThreadsOption = "",
    peers: Annotated[str, peers_option("numpy")] = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.02,
    plot: PlotOption = None,
    json: JsonOption = None,
) -> None:
    """Show what each step from three loops to `gemm` gains."""
    _, *others = contenders_of(peers or "numpy")
    counts = threads_of(threads)
    check_plot(plot)
    run = Run({"command": "ladder", "size": size, "rounds": rounds, "seconds": seconds}, json)
    ladder = rungs(climb(run, counts, others, size, rounds, seconds))
    title = f"From three loops to gemm, {size} x {size} x {size}"
    run.console.print(table(title, ladder))
    if plot is not None:
        write_atomic(plot, chart(title, ladder, plot.suffix.lower()))
    run.end(LEGEND)


if __name__ == "__main__":
    app()
