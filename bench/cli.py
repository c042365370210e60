"""`byhand bench`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from byhand.bench import machine, numpy_page, report
from byhand.bench.cases import CASES, OPS, Case
from byhand.bench.harness import Arrays, Contest, Result
from byhand.bench.numpy_peer import NumpyTraining
from byhand.bench.peak import fma_peak
from byhand.bench.peers import CONTENDERS, Contender, choose
from byhand.bench.sampling import KernelJob
from byhand.bench.tasks import IMAGE, VERIFIED, Task
from byhand.data import DataError, load_folder, mnist
from byhand.runtime import config
from rich.console import Console

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Time byhand beside other libraries: same results first, then seconds.",
)

# Largest relative difference from the float64 reference, in the Euclidean norm. Kernels: sums of up
# to 73,728 products in float32. Training: losses, and weights after three steps.
KERNEL_TOLERANCE = 3e-5
TRAINING_TOLERANCE = 1e-5
MODELS = {"softmax": "", "mlp": "relu", "lenet5": "tanh"}
ACTIVATIONS = ("relu", "tanh", "sigmoid")
MOST_THREADS = 256
EPOCH = 60_000

PeersOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,...",
        help="Contenders besides byhand: " + ", ".join(c.name for c in CONTENDERS[1:]),
        show_default="those installed",
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", dir_okay=False, help="Write everything there."),
]


class _Run:
    """What the two commands share: threads, peaks, tables, the file."""

    def __init__(self, arguments: dict[str, Any], json: Path | None, memory: bool) -> None:
        if json is not None:
            json.parent.mkdir(parents=True, exist_ok=True)
            # Measuring is long: a folder that cannot be written must show first.
            with tempfile.TemporaryFile(dir=json.parent):
                pass
        self.console = Console()
        if not self.console.is_terminal:
            self.console.width = 200  # whole rows for files and pipes
        self._arguments = arguments
        self._json = json
        self._memory = memory
        self._machine = machine.describe()
        load, processors = self._machine["load"][0], self._machine["usable_processors"]
        if load > processors / 2:
            warning = f"Other work runs here: load {load:.1f} on {processors} processors."
            self.console.print(f"{warning} The figures will not be reproducible.", style="red")
        self._versions: dict[str, str] = {}
        self._peaks: dict[int, list[float]] = {}
        self._results: list[Result] = []

    def begin(self, threads: int) -> None:
        self._peaks[threads] = [fma_peak(threads)]
        gflops = self._peaks[threads][0] / 1e9
        self.console.print(f"FMA peak, {_threads(threads)}: {gflops:.0f} GFLOP/s", style="bold")

    def show(self, title: str, results: Sequence[Result], contest: Contest) -> None:
        self._results += results
        self._versions |= contest.versions
        peak = self._peaks[contest.threads][0]
        title = f"{title}, {_threads(contest.threads)}"
        self.console.print(report.table(title, results, peak, memory=self._memory))

    def end(self) -> None:
        """Writes the file; exits with 1 where a contender was wrong or failed."""
        for threads, peak in self._peaks.items():
            peak.append(fma_peak(threads))
        report.legend(self.console)
        if self._json is not None:
            report.write(
                self._json,
                self._arguments,
                self._machine,
                self._versions,
                self._peaks,
                self._results,
            )
        problems = [(r.case["label"], e) for r in self._results for e in r.entries if e.problem]
        for label, entry in problems:
            message = f"{label}: {entry.contender}: {entry.problem}"
            typer.secho(message, fg=typer.colors.RED, err=True)
        if problems:
            raise typer.Exit(1)


@app.command()
def kernels(
    op: Annotated[
        list[str] | None,
        typer.Option(help="A kernel of byhand.kernels; may be repeated.", show_default="all"),
    ] = None,
    threads: Annotated[
        str, typer.Option(metavar="N,...", show_default="1 and all processors")
    ] = "",
    batch: Annotated[int, typer.Option(min=1, help="Images a call.")] = 128,
    peers: PeersOption = "",
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 7,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a turn.")] = 0.05,
    json: JsonOption = None,
) -> None:
    """Every kernel on the shapes of LeNet-5 and the MLP."""
    for name in op or []:
        if name not in OPS:
            raise typer.BadParameter(f"{name!r} is not of {', '.join(OPS)}", param_hint="--op")
    contenders = _contenders(peers)
    counts = _counts(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "kernels", "op": op, "batch": batch, "rounds": rounds}
    run = _Run(arguments | {"seconds": seconds}, json, memory=False)
    for count in counts:
        run.begin(count)
        with Contest(contenders, count) as contest:
            chosen = [case for case in CASES.values() if not op or case.op in op]
            for family, cases in groupby(chosen, key=lambda case: case.op):
                results = [
                    _kernel(contest, contenders, case, batch, rounds, seconds) for case in cases
                ]
                run.show(family, results, contest)
    run.end()


def _kernel(
    contest: Contest,
    contenders: Sequence[Contender],
    case: Case,
    batch: int,
    rounds: int,
    seconds: float,
) -> Result:
    entries = contest.run(
        {"kernel": case.name, "batch": batch},
        _reference(case, batch),
        amounts={contender.name: seconds for contender in contenders},
        scale=1,
        rounds=rounds,
        tolerance=KERNEL_TOLERANCE,
    )
    labels = {"label": case.name, "op": case.op, "shape": case.shape, "batch": batch}
    return Result(labels, contest.threads, case.work(batch), entries)


def _reference(case: Case, batch: int) -> Arrays:
    def to_float64(argument: Any) -> Any:
        wide = isinstance(argument, np.ndarray) and argument.dtype == np.float32
        return argument.astype(np.float64) if wide else argument

    return KernelJob(getattr(numpy_page, case.op), case, batch, to_float64).results()


@app.command()
def training(
    models: Annotated[
        str, typer.Option(metavar="NAME,...", help="Of softmax, mlp, lenet5.")
    ] = "softmax,mlp,lenet5",
    activation: Annotated[
        str, typer.Option(help="relu, tanh or sigmoid.", show_default="relu in mlp, tanh in lenet5")
    ] = "",
    threads: Annotated[str, typer.Option(metavar="N,...", show_default="all processors")] = "",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Time so many steps, not a whole epoch.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 3,
    compile: Annotated[
        bool, typer.Option("--compile", help="PyTorch compiled as well: starts slowly.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with MNIST or your own images.",
            show_default="where byhand.data.mnist finds it",
        ),
    ] = None,
    synthetic: Annotated[bool, typer.Option(help="Random images in the place of MNIST.")] = False,
    peers: PeersOption = "",
    json: JsonOption = None,
) -> None:
    """Seconds for 60,000 images in batches of 128: SGD, momentum 0.9, L2 5e-4, shuffled."""
    chosen = _names(models)
    for model in chosen:
        if model not in MODELS:
            raise typer.BadParameter(f"{model!r} is not of {', '.join(MODELS)}")
    if activation and activation not in ACTIVATIONS:
        raise typer.BadParameter(f"{activation!r} is not of {', '.join(ACTIVATIONS)}")
    contenders = _contenders(peers, ["torch-compile"] if compile else [])
    counts = _counts(threads, [config()["usable_cpus"]])
    arguments = {"command": "training", "steps": steps, "repeats": repeats, "synthetic": synthetic}
    with tempfile.TemporaryDirectory(prefix="byhand-bench-") as folder:
        files = _write_data(Path(folder), data, synthetic)
        run = _Run(arguments, json, memory=True)
        for count in counts:
            run.begin(count)
            for model in chosen:
                task = Task(model, activation or MODELS[model], *files)
                with Contest(contenders, count) as contest:
                    result = _training(contest, contenders, task, steps, repeats)
                    run.show(f"training {model}", [result], contest)
        run.end()


def _training(
    contest: Contest,
    contenders: Sequence[Contender],
    task: Task,
    steps: int | None,
    repeats: int,
) -> Result:
    # The reference in float64 needs no more images than are verified.
    reference = NumpyTraining(task, VERIFIED * task.batch, np.float64)
    amounts = {c.name: steps or c.steps.get(task.model) for c in contenders}
    entries = contest.run(
        {"task": dataclasses.asdict(task)},
        reference.results(),
        amounts=amounts,
        scale=EPOCH,
        rounds=repeats,
        tolerance=TRAINING_TOLERANCE,
    )
    for entry in entries:
        timed = amounts[entry.contender]
        if timed is not None and timed < task.count // task.batch:
            entry.note = f"{timed} steps, scaled"
    settings = dataclasses.asdict(task)
    del settings["images"], settings["labels"]  # paths that are gone by then
    case = {"label": task.model, **settings}
    return Result(case, contest.threads, task.flops() * EPOCH, entries)


def _write_data(folder: Path, root: Path | None, synthetic: bool) -> tuple[str, str, int]:
    """Images and labels as raw files that workers read; their paths, and how many."""
    if synthetic:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (EPOCH, *IMAGE), np.uint8)
        labels = rng.integers(0, 10, EPOCH)
    else:
        # A folder that is named is never passed over.
        train, _ = mnist() if root is None else load_folder(root)
        images, labels = train.images, train.labels.astype(np.int64)
    task = Task("softmax", "", str(folder / "images"), str(folder / "labels"), len(labels))
    if len(labels) < VERIFIED * task.batch or images.shape[-2:] != IMAGE[1:]:
        needed = f"{VERIFIED * task.batch} images of 28x28 or more"
        raise DataError(f"data must be {needed}, not of the shape {images.shape}")
    images.tofile(task.images)
    labels.tofile(task.labels)
    return task.images, task.labels, task.count


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _counts(text: str, default: Sequence[int]) -> list[int]:
    """Numbers of threads, each once."""
    try:
        counts = [int(name) for name in _names(text)] or list(default)
    except ValueError:
        counts = [0]
    if not all(1 <= count <= MOST_THREADS for count in counts):
        raise typer.BadParameter(
            f"{text!r} is not numbers from 1 to {MOST_THREADS}", param_hint="--threads"
        )
    return list(dict.fromkeys(counts))


def _contenders(text: str, also: Sequence[str] = ()) -> list[Contender]:
    try:
        return choose(_names(text), also)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--peers") from None


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
