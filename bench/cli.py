"""`byhand bench`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from byhand.bench import accuracy, cli_shapes, pictures, serving
from byhand.bench import inference as inferences
from byhand.bench import profile as profiles
from byhand.bench.cases import CASES, OPS
from byhand.bench.harness import Contest, Result
from byhand.bench.numpy_peer import NumpyInference, NumpyTraining
from byhand.bench.options import (
    AllThreadsOption,
    CompileOption,
    DataOption,
    JsonOption,
    PeersOption,
    RoundsOption,
    SecondsOption,
    ThreadsOption,
    chosen,
    contenders_of,
    counts_of,
    threads_of,
)
from byhand.bench.run import Run, check_plot, time_kernel
from byhand.bench.tasks import IMAGE, MODELS, VERIFIED, Task
from byhand.checks import not_one_of
from byhand.data import DataError, load_folder, mnist
from byhand.files.atomic import write_atomic
from byhand.nn import ACTIVATIONS
from byhand.runtime import config

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Time byhand beside other libraries. Their results are checked first.",
)

# Losses, and weights after three steps: relative, in the Euclidean norm.
TRAINING_TOLERANCE = 1e-5
EPOCH = 60_000

ModelsOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,...", help=f"Networks to time: {', '.join(MODELS)}.", show_default="all"
    ),
]
ActivationOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"{', '.join(ACTIVATIONS)}.",
        show_default="relu in mlp, tanh in lenet5",
    ),
]


@app.command()
def kernels(
    op: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A kernel of byhand.kernels. May be given several times.",
            show_default="all",
        ),
    ] = None,
    threads: ThreadsOption = "",
    batch: Annotated[int, typer.Option(min=1, help="Images per call.")] = 128,
    peers: PeersOption = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.05,
    json: JsonOption = None,
) -> None:
    """Time every kernel on the shapes of LeNet-5 and the MLP."""
    ops = chosen(",".join(op or []), OPS, "--op")
    contenders = contenders_of(peers)
    counts = threads_of(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "kernels", "op": op, "batch": batch, "rounds": rounds}
    run = Run(arguments | {"seconds": seconds}, json, memory=False)
    for count in counts:
        run.begin(count)
        with Contest(contenders, count) as contest:
            measured = [case for case in CASES.values() if case.op in ops]
            for family, cases in groupby(measured, key=lambda case: case.op):
                results = [time_kernel(contest, case, batch, rounds, seconds) for case in cases]
                run.show(family, results, contest)
    run.end()


app.command()(cli_shapes.gemm)
app.command()(cli_shapes.conv2d)
app.command()(accuracy.accuracy)
app.command("pictures")(pictures.command)
app.command("serving")(serving.command)


@app.command()
def inference(
    models: ModelsOption = "",
    activation: ActivationOption = "",
    batch: Annotated[
        str,
        typer.Option(metavar="N,...", help="Images per call; each is timed.", show_default="1,128"),
    ] = "",
    threads: ThreadsOption = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.05,
    compile: CompileOption = False,
    peers: PeersOption = "",
    json: JsonOption = None,
) -> None:
    """Time forward passes, from float32 images to logits."""
    networks = _networks(models, activation)
    batches = counts_of(batch, inferences.BATCHES, inferences.MOST_IMAGES, "--batch")
    contenders = contenders_of(peers, ["torch-compile"] if compile else [])
    counts = threads_of(threads, [1, config()["usable_cpus"]])
    arguments = {"command": "inference", "batches": batches, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json, memory=False)

    def measure(contest: Contest, model: str) -> list[Result]:
        cases = [inferences.Inference(model, networks[model], images) for images in batches]
        results = [_inference(contest, case, rounds, seconds) for case in cases]
        run.show(f"inference {model}", results, contest, an_image=True)
        return results

    run.compete(contenders, counts, list(networks), measure, inferences.summary)


def _inference(
    contest: Contest, inference: inferences.Inference, rounds: int, seconds: float
) -> Result:
    what = dataclasses.asdict(inference)
    entries = contest.run(
        {"inference": what},
        NumpyInference(inference, np.float64).results(),
        amounts={contender.name: seconds for contender in contest.contenders},
        scale=1,
        rounds=rounds,
        tolerance=inferences.TOLERANCE,
    )
    return Result({"label": inference.name, **what}, contest.threads, inference.flops(), entries)


@app.command()
def training(
    models: ModelsOption = "",
    activation: ActivationOption = "",
    threads: AllThreadsOption = "",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Time N steps instead of a whole epoch.")
    ] = None,
    repeats: RoundsOption = 3,
    compile: CompileOption = False,
    data: DataOption = None,
    synthetic: Annotated[bool, typer.Option(help="Use random images instead of MNIST.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show where byhand's time in a step goes, by kernel.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", dir_okay=False, help="Draw the profile into this file."),
    ] = None,
    peers: PeersOption = "",
    json: JsonOption = None,
) -> None:
    """Time one epoch of training: 60,000 images in batches of 128.

    All train by SGD with momentum 0.9 and L2 5e-4, on shuffled images.
    """
    networks = _networks(models, activation)
    if plot is not None and not profile:
        raise typer.BadParameter("goes with --profile", param_hint="--plot")
    for option, given in (("--peers", peers), ("--compile", compile)):
        if profile and given:
            raise typer.BadParameter("a profile has no contenders", param_hint=option)
    counts = threads_of(threads, [config()["usable_cpus"]])
    arguments = {"command": "training", "steps": steps, "repeats": repeats, "synthetic": synthetic}
    with tempfile.TemporaryDirectory(prefix="byhand-bench-") as folder:
        files = _write_data(Path(folder), data, synthetic)
        tasks = [Task(model, function, *files) for model, function in networks.items()]
        run = Run(arguments, json, memory=True)
        if profile:
            _profile(run, tasks, counts, repeats * (steps or tasks[0].count // 256), plot)
            return
        contenders = contenders_of(peers, ["torch-compile"] if compile else [])
        for count in counts:
            run.begin(count)
            for task in tasks:
                with Contest(contenders, count) as contest:
                    result = _training(contest, task, steps, repeats)
                    run.show(f"training {task.model}", [result], contest)
        run.end()


def _profile(
    run: Run, tasks: Sequence[Task], counts: Sequence[int], steps: int, plot: Path | None
) -> None:
    if plot is not None:
        check_plot(plot)
    found = []
    for count in counts:
        peak = run.begin(count)
        for task in tasks:
            found.append(profiles.profile(task, count, steps, peak))
            run.console.print(profiles.table(found[-1]))
    if plot is not None:
        write_atomic(plot, profiles.chart(found, plot.suffix.lower()))
    run.end(profiles.LEGEND, [one.as_json() for one in found])


def _training(
    contest: Contest,
    task: Task,
    steps: int | None,
    repeats: int,
) -> Result:
    # The reference in float64 needs no more images than are verified.
    reference = NumpyTraining(task, VERIFIED * task.batch, np.float64)
    amounts = {c.name: steps or c.steps.get(task.model) for c in contest.contenders}
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


def _networks(models: str, activation: str) -> dict[str, str]:
    """Those chosen of MODELS, each with its activation."""
    if activation and activation not in ACTIVATIONS:
        raise typer.BadParameter(not_one_of(activation, ACTIVATIONS), param_hint="--activation")
    return {name: activation or MODELS[name] for name in chosen(models, MODELS, "--models")}


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
