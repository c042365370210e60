"""`byhand bench`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Collection, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from byhand.bench import conv2d as conv2d_cases
from byhand.bench import gemm as gemm_cases
from byhand.bench import gemm_report, ladder, numpy_page, report
from byhand.bench.cases import CASES, OPS, Case
from byhand.bench.harness import Arrays, Contest, Result
from byhand.bench.numpy_peer import NumpyTraining
from byhand.bench.peers import CONTENDERS, Contender, choose
from byhand.bench.run import Run, check_folder, describe_threads
from byhand.bench.sampling import KernelJob
from byhand.bench.tasks import IMAGE, VERIFIED, Task
from byhand.checkpoint import write_atomic
from byhand.data import DataError, load_folder, mnist
from byhand.nn import ACTIVATIONS
from byhand.runtime import config

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
    run = Run(arguments | {"seconds": seconds}, json, memory=False)
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
def conv2d(
    groups: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help=f"Of {', '.join(conv2d_cases.GROUPS)}.", show_default="all"
        ),
    ] = "",
    threads: Annotated[
        str, typer.Option(metavar="N,...", show_default="1 and all processors")
    ] = "",
    peers: PeersOption = "",
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 7,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a turn.")] = 0.02,
    json: JsonOption = None,
) -> None:
    """Convolutions in every direction, and the goals."""
    chosen = _groups(groups, conv2d_cases.GROUPS)
    installed = (c.name for c in CONTENDERS if c.package == "torch" and c.installed and not c.asked)
    contenders = _contenders(peers or ",".join(installed) or "numpy")
    counts = _counts(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "conv2d", "groups": chosen, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json, memory=False)
    names = [contender.name for contender in contenders]
    lines = {}
    for count in counts:
        run.begin(count)
        with Contest(contenders, count) as contest:
            results = []
            for group in chosen:
                own = []
                for convolution in conv2d_cases.GROUPS[group]:
                    for case in convolution.cases():
                        result = _kernel(contest, contenders, case, 1, rounds, seconds)
                        result.case["batch"] = None  # a part of the name
                        result.case |= {"group": group, "of": case.op, "network": convolution.of}
                        own.append(result)
                run.keep(own, contest, around=True)
                title = f"{group}, {describe_threads(count)}"
                run.console.print(gemm_report.products(title, own, names, "convolution"))
                results += own
        lines[count] = list(conv2d_cases.summary(results))
    for count in counts:
        title = f"Goals, {describe_threads(count)}, against {', '.join(names[1:])}"
        run.console.print(gemm_report.summary_table(title, lines[count]))
    run.end(report.LEGEND, [line.as_json(count) for count in counts for line in lines[count]])


@app.command()
def gemm(
    groups: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Of {', '.join(gemm_cases.SECTIONS)}.",
            show_default="all",
        ),
    ] = "",
    threads: Annotated[
        str, typer.Option(metavar="N,...", show_default="1 and all processors")
    ] = "",
    peers: Annotated[
        str, typer.Option(metavar="NAME,...", show_default="those installed of numpy, torch")
    ] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 7,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a turn.")] = 0.02,
    climb: Annotated[
        bool, typer.Option("--ladder", help="What each step from three loops to gemm gains.")
    ] = False,
    size: Annotated[
        int | None, typer.Option(min=1, help="Of the ladder's product, cubed.", show_default="512")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", dir_okay=False, help="The ladder as a chart."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Matrix products of every shape that training meets, a call's overhead, errors; the goals."""
    if climb:
        if groups:
            raise typer.BadParameter("the ladder has none", param_hint="--groups")
        _ladder(threads, peers, size or 512, rounds, seconds, plot, json)
        return
    for option, value in (("--size", size), ("--plot", plot)):
        if value is not None:
            raise typer.BadParameter("goes with --ladder", param_hint=option)
    sections = _groups(groups, gemm_cases.SECTIONS)
    installed = (c.name for c in CONTENDERS if c.name in ("numpy", "torch") and c.installed)
    contenders = _contenders(peers or ",".join(installed))
    counts = _counts(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "gemm", "groups": sections, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json, memory=False)
    lines = {}
    for count in counts:
        run.begin(count)
        with Contest(contenders, count) as contest:
            results = []
            for section in sections:
                results += _section(run, contest, contenders, section, rounds, seconds)
        lines[count] = list(gemm_report.summary(results, count))
    against = ", ".join(contender.name for contender in contenders[1:])
    for count in counts:
        title = f"Goals, {describe_threads(count)}, against {against}"
        run.console.print(gemm_report.summary_table(title, lines[count]))
    run.end(gemm_report.LEGEND, [line.as_json(count) for count in counts for line in lines[count]])


def _ladder(
    threads: str,
    peers: str,
    size: int,
    rounds: int,
    seconds: float,
    plot: Path | None,
    json: Path | None,
) -> None:
    _, *others = _contenders(peers or "numpy")
    counts = _counts(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "gemm", "ladder": size, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json, memory=False)
    if plot is not None:
        check_folder(plot)
    rungs = ladder.rungs(ladder.climb(run, counts, others, size, rounds, seconds))
    title = f"From three loops to gemm, {size} x {size} x {size}"
    run.console.print(ladder.table(title, rungs))
    if plot is not None:
        write_atomic(plot, ladder.chart(title, rungs))
    run.end(ladder.LEGEND)


def _groups(text: str, known: Collection[str]) -> list[str]:
    """Those named, or all that are known, each once."""
    groups = list(dict.fromkeys(_names(text) or known))
    for name in groups:
        if name not in known:
            message = f"{name!r} is not of {', '.join(known)}"
            raise typer.BadParameter(message, param_hint="--groups")
    return groups


def _section(
    run: Run,
    contest: Contest,
    contenders: Sequence[Contender],
    name: str,
    rounds: int,
    seconds: float,
) -> list[Result]:
    """Measures and shows one of gemm_cases.SECTIONS."""
    title = f"{name}, {describe_threads(contest.threads)}"
    names = [contender.name for contender in contenders]
    if name == "error":
        results = [_error(contest, product) for product in gemm_cases.ERRORS]
        run.keep(results, contest)
        run.console.print(gemm_report.errors(title, results, names))
        return results
    results = []
    for product in gemm_cases.GROUPS.get(name, [gemm_cases.CALL]):
        result = _kernel(contest, contenders, product.case, 1, rounds, seconds)
        result.case |= {"group": name, **dataclasses.asdict(product)}
        results.append(result)
    run.keep(results, contest, around=True)
    if name == "call":
        run.console.print(gemm_report.calls(title, results[0]))
        return results
    run.console.print(gemm_report.products(title, results, names))
    mean = gemm_report.mean(results)
    if mean is not None:
        run.console.print(f"{name}: geometric mean of the ratios {mean:.3f}\n", highlight=False)
    return results


def _error(contest: Contest, product: gemm_cases.Product) -> Result:
    """The largest error of an element; more than the bound is wrong."""
    bound = gemm_cases.bound(product)
    entries = contest.verify(
        {"kernel": product.case.name, "batch": 1},
        gemm_cases.exact(product),
        tolerance=bound,
        measure=gemm_cases.error,
    )
    labels = {"label": product.case.name, "op": "gemm", "shape": product.case.shape}
    case = {**labels, "group": "error", **dataclasses.asdict(product), "bound": bound}
    return Result(case, contest.threads, 0, entries)


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
        run = Run(arguments, json, memory=True)
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
