"""Shows where the time of a training step goes, kernel call by kernel call.

    python tools/profile_training.py --models lenet5 --threads 2 --plot profile.png

The script runs the training of `byhand bench training`. In every second step, it measures the time
of each kernel call. The other steps run without these clocks, and the title shows the median time
of both kinds of steps. Each row shows the time of a kernel call beside its floor: the least time
that its arithmetic and its bytes need (costs.py).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType
from typing import Annotated, Any

import byhand
import typer
from byhand import kernels
from byhand.bench import tables
from byhand.bench.options import (
    ActivationOption,
    AllThreadsOption,
    DataOption,
    JsonOption,
    ModelsOption,
    PlotOption,
    SyntheticOption,
    check_plot,
    networks_of,
    threads_of,
)
from byhand.bench.peak import fma_peak, memory_rate
from byhand.bench.run import Run, describe_threads
from byhand.bench.tables import seconds
from byhand.bench.tasks import Task, write_data
from byhand.files.atomic import write_atomic
from byhand.nn import ACTIVATIONS
from byhand.optim import SGD
from byhand.runtime import config
from byhand.training import BatchEnd, Event, StopTraining, Trainer
from costs import Call, call
from rich.markup import escape
from rich.text import Text

# A row is marked if its share of the step exceeds SHARE and its time exceeds SLOW times its floor.
SHARE, SLOW = 0.05, 2.0
MARKED = f"red: more than {SHARE:.0%} of the step and more than {SLOW:g} x floor"
# The smallest share that gets a bar in the chart.
SEEN = 0.005
LEGEND = (
    "us: the median time of a call over the profiled steps. MFLOP: the work of the algorithm that "
    "ran. An addition in the transforms of Winograd's algorithm counts like a multiply-add.\n"
    "floor: the longer of two times: MFLOP at the peak of multiply-adds, and MB at the rate at "
    "which the same number of threads repeatedly adds arrays of this size.\n"
    "direct: MFLOP and floor of the direct algorithm, if they differ. rest: the time of the step "
    "without its kernels, which is spent in Python and NumPy.\n"
    f"slow, {MARKED}."
)
REST = "rest"


@dataclass(frozen=True)
class Row:
    """A kernel call of a step. If `what` is None, the row is the rest of the step.

    floor : the least time of the algorithm that ran, in seconds.
    bound : what limits the floor, "arithmetic" or "memory".
    direct : the least time of the direct algorithm, in seconds.
    """

    what: Call | None
    seconds: float
    share: float
    floor: float = 0.0
    bound: str = ""
    direct: float = 0.0

    @property
    def name(self) -> str:
        return REST if self.what is None else f"{self.what.kernel} {self.what.shape}"

    @property
    def marked(self) -> bool:
        return self.share > SHARE and self.seconds > SLOW * self.floor

    def as_json(self) -> dict[str, Any]:
        times = {"seconds": self.seconds, "share": self.share, "marked": self.marked}
        if self.what is None:
            return {"what": REST, **times}
        floors = {"floor": self.floor, "bound": self.bound, "direct_floor": self.direct}
        cost = self.what.cost
        amounts = {"flops": cost.flops, "needed": cost.needed, "bytes": cost.bytes}
        algorithm = {"algorithm": cost.algorithm}
        return {"what": self.name, **times, **floors, **amounts, **algorithm}


@dataclass(frozen=True)
class Profile:
    """The profile of a model's training.

    step, plain : median seconds of a profiled step, and of a step without the clocks.
    peak : FLOP/s of multiply-adds in registers.
    rates : bytes per second of the memory, by the size of the data in bytes.
    rows : the calls and the rest, the longest first.
    """

    model: str
    threads: int
    steps: int
    step: float
    plain: float
    peak: float
    rates: dict[int, float]
    rows: list[Row]

    @property
    def floor(self) -> float:
        return sum(row.floor for row in self.rows)

    @property
    def title(self) -> str:
        return f"A step of {self.model}, {describe_threads(self.threads)}"

    def as_json(self) -> dict[str, Any]:
        times = {"step": self.step, "plain": self.plain, "floor": self.floor, "steps": self.steps}
        rates = {"fma_peak": self.peak, "memory_rates": self.rates}
        rows = [row.as_json() for row in self.rows]
        return {"model": self.model, "threads": self.threads, **times, **rates, "rows": rows}


def profile(task: Task, threads: int, steps: int, peak: float) -> Profile:
    """Profile `steps` steps of training, and time at least as many steps without the clocks.

    `peak` was measured before. It is measured again, and the larger value counts.
    """
    with byhand.num_threads(threads):
        watch = _Watch(task.batch, steps)
        _train(task, watch)
        peak = max(peak, fma_peak(threads))
        sizes = {_size(n) for c in watch.calls for n in (c.cost.bytes, c.cost.span)}
        rates = {size: memory_rate(threads, size) for size in sorted(sizes)}
    step = statistics.median(watch.profiled)
    return Profile(
        model=task.model,
        threads=threads,
        steps=steps,
        step=step,
        plain=statistics.median(watch.plain),
        peak=peak,
        rates=rates,
        rows=sorted(_rows(watch, step, peak, rates), key=lambda row: -row.seconds),
    )


def _size(moved: int) -> int:
    """Round a number of bytes up to a power of two, and to at least 64 KB.

    With less data, the rate would be limited by the overhead of the loop that measures it, and not
    by the memory.
    """
    return int(max(1 << 16, 1 << (max(moved, 1) - 1).bit_length()))


def _rows(watch: _Watch, step: float, peak: float, rates: dict[int, float]) -> Iterator[Row]:
    for what, *times in zip(watch.calls, *watch.times, strict=True):
        took, cost = statistics.median(times), what.cost
        memory = (cost.bytes - cost.far) / rates[_size(cost.bytes)]
        memory += cost.far / rates[_size(cost.span)]
        needed, direct = cost.needed / peak, cost.flops / peak
        bound = "arithmetic" if needed > memory else "memory"
        yield Row(what, took, took / step, max(needed, memory), bound, max(direct, memory))
    rest = (s - sum(times) for s, times in zip(watch.profiled, watch.times, strict=True))
    took = statistics.median(rest)
    yield Row(None, took, took / step)


def _train(task: Task, watch: _Watch) -> None:
    model = task.start()
    trainer = Trainer(model, SGD(model.parameters(), **task.sgd), handlers=[watch], progress=False)
    data: Any = task.load_bytes(), task.load_labels()
    try:
        trainer.fit(data, epochs=1_000_000, batch_size=task.batch, seed=task.seed)
    finally:
        watch.off()


class _Watch:
    """A handler that records the calls of one step and then profiles every second step.

    It records the second step of the training. The first step of an epoch does not count, because
    the images are shuffled in it. The smaller last batch of an epoch does not count either.
    """

    def __init__(self, batch: int, steps: int) -> None:
        self.calls: list[Call] = []
        self.times: list[list[float]] = []  # seconds of each call, for each profiled step
        self.profiled: list[float] = []
        self.plain: list[float] = []
        self._batch, self._steps = batch, steps
        self._recorder, self._timer = _Taps(self._record), _Taps(self._time)
        self._taps: _Taps | None = None
        self._own: list[float] = []
        self._begin = 0.0

    def __call__(self, event: Event) -> None:
        took = time.perf_counter() - self._begin
        if not isinstance(event, BatchEnd):
            return
        self.off()
        counts = event.batch > 1 and event.images == self._batch
        if counts and self._taps is not self._recorder:
            self._keep(took)
        if not self.calls:
            self._taps = self._recorder
        else:
            self._taps = self._timer if self._taps is None else None
        self._own = []
        if self._taps is not None:
            self._taps.on()
        self._begin = time.perf_counter()

    def off(self) -> None:
        if self._taps is not None:
            self._taps.off()

    def _keep(self, took: float) -> None:
        if self._taps is None:
            self.plain.append(took)
        else:
            self.profiled.append(took)
            self.times.append(self._own)
        if min(len(self.profiled), len(self.plain)) >= self._steps:
            raise StopTraining

    def _record(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **keywords: Any) -> Any:
            result = function(*arguments, **keywords)
            self.calls.append(call(name, *arguments, **keywords))
            return result

        return recorded

    def _time(self, _: str, function: Callable[..., Any]) -> Callable[..., Any]:
        clock = time.perf_counter

        def timed(*arguments: Any, **keywords: Any) -> Any:
            start = clock()
            result = function(*arguments, **keywords)
            self._own.append(clock() - start)
            return result

        return timed


class _Taps:
    """While the taps are on, each kernel is replaced by the result of around(name, kernel)."""

    def __init__(self, around: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> None:
        names = {getattr(kernels, name): name for name in kernels.__all__}
        self._on: list[tuple[Any, str, Any]] = []
        self._off: list[tuple[Any, str, Any]] = []
        for owner in (kernels, *ACTIVATIONS.values()):
            for attribute, value in vars(owner).items():
                function = value.__func__ if isinstance(value, staticmethod) else value
                if not isinstance(function, BuiltinFunctionType) or function not in names:
                    continue
                tapped = around(names[function], function)
                self._on.append(
                    (owner, attribute, tapped if owner is kernels else staticmethod(tapped))
                )
                self._off.append((owner, attribute, value))

    def on(self) -> None:
        for owner, attribute, value in self._on:
            setattr(owner, attribute, value)

    def off(self) -> None:
        for owner, attribute, value in self._off:
            setattr(owner, attribute, value)


# --------------------------------------------------------------------------------------------------
# Table and chart


def table(profile: Profile) -> Text:
    rates = (f"{size / 1e6:.2g} MB {rate / 1e9:.0f} GB/s" for size, rate in profile.rates.items())
    headings = ("kernel", "us", "share", "MFLOP", "MB", "floor us", "bound by", "time/floor")
    rows: list[tables.Row] = []
    for row in profile.rows:
        if row.what is None:
            rows.append((REST, f"{1e6 * row.seconds:.1f}", f"{row.share:.1%}", *[""] * 5))
            continue
        cost = row.what.cost
        line = f"{row.what.kernel} {row.what.shape} {cost.algorithm}".rstrip()
        if cost.flops != cost.needed:
            direct = f"{cost.flops / 1e6:.1f} MFLOP, floor {1e6 * row.direct:.1f} us"
            line += f" (direct: {direct})"
        rows.append(f"[red]{escape(line)}: slow[/]" if row.marked else escape(line))
        rows.append(
            (
                "",
                f"{1e6 * row.seconds:.1f}",
                f"{row.share:.1%}",
                f"{cost.needed / 1e6:.1f}" if cost.needed else "",
                f"{cost.bytes / 1e6:.2f}",
                f"{1e6 * row.floor:.1f}",
                row.bound,
                f"{row.seconds / row.floor:.1f}",
            )
        )
    rows.append(f"Memory bandwidth by the size of the data: {', '.join(rates)}")
    return tables.aligned(f"{profile.title}: {_summary(profile)}", headings, rows)


def _summary(profile: Profile) -> str:
    overhead = profile.step / profile.plain - 1
    plain = f"{seconds(profile.plain)}, profiled {seconds(profile.step)} ({overhead:+.1%})"
    return f"{plain}, all floors {seconds(profile.floor)}"


def chart(profiles: Sequence[Profile], suffix: str = ".png") -> bytes:
    """Draw a bar for each row whose share is SEEN or more, and a mark for each of its floors."""
    from byhand.plots.figure import drawing, figure_bytes, new_figure  # slow to import

    with drawing():
        seen = [[row for row in profile.rows if row.share >= SEEN] for profile in profiles]
        heights = [len(rows) + 3 for rows in seen]
        figure = new_figure(10, 0.36 * sum(heights))
        panels = figure.subplots(len(profiles), squeeze=False, height_ratios=heights)[:, 0]
        for axes, profile, rows in zip(panels, profiles, seen, strict=True):
            _panel(axes, rows)
            axes.set_title(f"{profile.title}\n{_summary(profile)}", loc="left", fontsize="medium")
        panels[0].legend(loc="lower right", markerscale=0.6, title=MARKED)
    return figure_bytes(figure, suffix)


def _panel(axes: Any, rows: Sequence[Row]) -> None:
    colors = ["C3" if row.marked else "0.6" if row.what is None else "C0" for row in rows]
    times = [row.seconds * 1e6 for row in rows]
    axes.barh(range(len(rows)), times, color=colors, tick_label=[row.name for row in rows])
    for place, row in enumerate(rows):
        over = f", {row.seconds / row.floor:.1f} x floor" if row.floor else ""
        text = f"{seconds(row.seconds)}, {row.share:.0%}{over}"
        beside = axes.get_yaxis_transform()
        axes.text(1.02, place, text, transform=beside, va="center", fontsize="small")
    for label, color, floors in (
        ("floor of the direct algorithm", "0.45", [row.direct * 1e6 for row in rows]),
        ("floor", "black", [row.floor * 1e6 for row in rows]),
    ):
        places = [place for place, floor in enumerate(floors) if floor]
        at = [floors[place] for place in places]
        axes.plot(at, places, "|", color=color, markersize=19, markeredgewidth=2.5, label=label)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.03 * max(*times, *(row.direct * 1e6 for row in rows)))
    axes.set_xlabel("microseconds per step")
    axes.spines[["top", "right"]].set_visible(False)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    models: ModelsOption = "",
    activation: ActivationOption = "",
    threads: AllThreadsOption = "",
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps to profile per repeat.", show_default="half of an epoch"),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Number of times to profile that many steps.")
    ] = 3,
    data: DataOption = None,
    synthetic: SyntheticOption = False,
    plot: PlotOption = None,
    json: JsonOption = None,
) -> None:
    """Show where the time of a training step goes, kernel call by kernel call."""
    networks = networks_of(models, activation)
    counts = threads_of(threads, [config()["usable_cpus"]])
    check_plot(plot)
    found = []
    run = Run({"command": "profile", "steps": steps, "repeats": repeats}, json)
    with tempfile.TemporaryDirectory(prefix="byhand-profile-") as folder:
        files = write_data(Path(folder), data, synthetic)
        for count in counts:
            peak = run.begin(count)
            for model, function in networks.items():
                task = Task(model, function, *files)
                # Only every second step is profiled, so an epoch has half as many profiled steps.
                wanted = repeats * (steps or task.count // (2 * task.batch))
                found.append(profile(task, count, wanted, peak))
                run.console.print(table(found[-1]))
    if plot is not None:
        write_atomic(plot, chart(found, plot.suffix.lower()))
    run.end(LEGEND, [one.as_json() for one in found])


if __name__ == "__main__":
    app()
