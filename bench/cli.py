"""The commands of `byhand bench`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from byhand.bench import accuracy, compare, conv2d, gemm, inference, memory, serving, tables
from byhand.bench.cases import CASES, OPS, Case
from byhand.bench.harness import Contest
from byhand.bench.numpy_peer import NumpyInference, NumpyTraining
from byhand.bench.options import (
    ActivationOption,
    AllThreadsOption,
    BatchOption,
    CompileOption,
    DataOption,
    IsaOption,
    JsonOption,
    ModelsOption,
    OpsOption,
    PeersOption,
    RoundsOption,
    SecondsOption,
    SyntheticOption,
    ThreadsOption,
    all_threads,
    chosen,
    contenders_of,
    counts_of,
    groups_option,
    networks_of,
    peers_option,
    threads_of,
)
from byhand.bench.peers import Contender
from byhand.bench.report import command as report_command
from byhand.bench.results import Result
from byhand.bench.run import Run, time_kernel
from byhand.bench.sweep import command as sweep_command
from byhand.bench.tasks import EPOCH, VERIFIED, Task, write_data
from rich.text import Text

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Time byhand and other libraries side by side. All results are checked first.",
)

# Largest relative difference of losses, and of weights after three steps, in the Euclidean norm.
TRAINING_TOLERANCE = 1e-5


@app.command("kernels")
def kernels_command(
    op: OpsOption = None,
    threads: ThreadsOption = "",
    batch: BatchOption = 128,
    peers: PeersOption = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.05,
    isa: IsaOption = "",
    json: JsonOption = None,
) -> None:
    """Time every kernel on the shapes of LeNet-5 and the MLP."""
    ops = chosen(",".join(op or []), OPS, "--op")
    contenders, counts = contenders_of(peers), threads_of(threads)
    arguments = {"command": "kernels", "op": op, "batch": batch, "rounds": rounds}

    def measure(contest: Contest, group: str) -> list[Result]:
        cases = (case for case in CASES.values() if case.op == group)
        return [time_kernel(contest, case, batch, rounds, seconds) for case in cases]

    run = Run(arguments | {"seconds": seconds}, json)
    run.compete(contenders, counts, [name for name in OPS if name in ops], measure)


@app.command("gemm")
def gemm_command(
    groups: Annotated[str, groups_option(gemm.SECTIONS)] = "",
    threads: ThreadsOption = "",
    peers: Annotated[str, peers_option("numpy and torch, if installed")] = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.02,
    isa: IsaOption = "",
    json: JsonOption = None,
) -> None:
    """Time matrix products, and measure their errors and the overhead of a call."""
    sections = chosen(groups, gemm.SECTIONS, "--groups")
    contenders, counts = contenders_of(peers, ("numpy", "torch")), threads_of(threads)
    arguments = {"command": "gemm", "groups": sections, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json)
    width = run.console.width

    def measure(contest: Contest, section: str) -> list[Result]:
        found = []
        for product in gemm.SECTIONS[section]:
            if section == "error":
                result = _error(contest, product.case, gemm.bound(product), gemm.exact(product))
            else:
                result = time_kernel(contest, product.case, 1, rounds, seconds)
            result.case |= dataclasses.asdict(product)
            found.append(result)
        return found

    def show(title: str, results: Sequence[Result]) -> Text:
        layouts = {"error": tables.errors, "call": tables.by_contender}
        layout = layouts.get(results[0].case["group"])
        return layout(title, results) if layout else tables.products(title, results, width)

    run.compete(contenders, counts, sections, measure, show, f"{gemm.LEGEND}\n{tables.LEGEND}")


def _error(contest: Contest, case: Case, bound: int, exact: Sequence[gemm.Array]) -> Result:
    """Return the largest error of an element. An error above the bound counts as wrong."""
    entries = contest.verify((case.name, 1), exact, tolerance=bound, measure=gemm.error)
    labels = {"label": case.name, "op": "gemm", "shape": case.shape, "bound": bound}
    return Result(labels, contest.threads, 0, entries)


@app.command("conv2d")
def conv2d_command(
    groups: Annotated[str, groups_option(conv2d.GROUPS)] = "",
    threads: ThreadsOption = "",
    peers: Annotated[str, peers_option("torch in both memory layouts, or else numpy")] = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.02,
    isa: IsaOption = "",
    json: JsonOption = None,
) -> None:
    """Time convolutions and their gradients."""
    names = chosen(groups, conv2d.GROUPS, "--groups")
    contenders = contenders_of(peers, ("torch", "torch-channels-last"))
    if len(contenders) == 1:
        contenders = contenders_of("numpy")
    counts = threads_of(threads)
    arguments = {"command": "conv2d", "groups": names, "rounds": rounds, "seconds": seconds}
    run = Run(arguments, json)

    def measure(contest: Contest, group: str) -> list[Result]:
        results = []
        for convolution in conv2d.GROUPS[group]:
            for case in convolution.cases():
                result = time_kernel(contest, case, 1, rounds, seconds)
                result.case["of"] = case.op
                results.append(result)
        return results

    def show(title: str, results: Sequence[Result]) -> Text:
        return tables.products(title, results, run.console.width)

    run.compete(contenders, counts, names, measure, show)


@app.command("inference")
def inference_command(
    models: ModelsOption = "",
    activation: ActivationOption = "",
    batch: Annotated[
        str,
        typer.Option(
            metavar="N,...",
            help="Numbers of images per call. Each of them is timed.",
            show_default="1,128",
        ),
    ] = "",
    threads: ThreadsOption = "",
    rounds: RoundsOption = 7,
    seconds: SecondsOption = 0.05,
    compile: CompileOption = False,
    peers: PeersOption = "",
    isa: IsaOption = "",
    json: JsonOption = None,
) -> None:
    """Time forward passes, from float32 images to logits."""
    networks = networks_of(models, activation)
    batches = counts_of(batch, inference.BATCHES, inference.MOST_IMAGES, "--batch")
    contenders = contenders_of(peers, also=["torch-compile"] if compile else [])
    counts = threads_of(threads)
    arguments = {"command": "inference", "batches": batches, "rounds": rounds, "seconds": seconds}

    def measure(contest: Contest, model: str) -> list[Result]:
        results = []
        for images in batches:
            case = inference.Inference(model, networks[model], images)
            entries = contest.run(
                case,
                NumpyInference(case, np.float64).results(),
                amount=lambda _: seconds,
                rounds=rounds,
                tolerance=inference.TOLERANCE,
            )
            labels = {"label": case.name, **dataclasses.asdict(case)}
            results.append(Result(labels, contest.threads, case.flops(), entries))
        return results

    def show(title: str, results: Sequence[Result]) -> Text:
        return tables.by_contender(title, results, tables.TIMES | tables.PER_IMAGE)

    Run(arguments, json).compete(contenders, counts, list(networks), measure, show)


@app.command("training")
def training_command(
    models: ModelsOption = "",
    activation: ActivationOption = "",
    threads: AllThreadsOption = "",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Number of steps to time, instead of an epoch.")
    ] = None,
    repeats: RoundsOption = 3,
    compile: CompileOption = False,
    data: DataOption = None,
    synthetic: SyntheticOption = False,
    peers: PeersOption = "",
    isa: IsaOption = "",
    json: JsonOption = None,
) -> None:
    """Time one epoch of training: 60,000 images in batches of 128.

    All contenders train by SGD with momentum 0.9 and L2 5e-4, on shuffled images.
    """
    networks = networks_of(models, activation)
    contenders = contenders_of(peers, also=["torch-compile"] if compile else [])
    counts = threads_of(threads, [all_threads()])
    arguments = {"command": "training", "steps": steps, "repeats": repeats, "synthetic": synthetic}
    with tempfile.TemporaryDirectory(prefix="byhand-bench-") as folder:
        files = write_data(Path(folder), data, synthetic)

        def measure(contest: Contest, model: str) -> list[Result]:
            contest.restart()
            return [_training(contest, Task(model, networks[model], *files), steps, repeats)]

        def show(title: str, results: Sequence[Result]) -> Text:
            return tables.by_contender(title, results, tables.TIMES | tables.MEMORY)

        Run(arguments, json).compete(contenders, counts, list(networks), measure, show)


def _training(contest: Contest, task: Task, steps: int | None, repeats: int) -> Result:
    # The reference in float64 computes only the steps that are verified, so it needs only their
    # images.
    reference = NumpyTraining(task, VERIFIED * task.batch, np.float64)

    def amount(contender: Contender) -> int | None:
        return steps or contender.steps.get(task.model)

    entries = contest.run(
        task,
        reference.results(),
        amount=amount,
        rounds=repeats,
        tolerance=TRAINING_TOLERANCE,
        scale=EPOCH,
    )
    timed = {contender.name: amount(contender) for contender in contest.contenders}
    for entry in entries:
        count = timed[entry.contender]
        if count is not None and count < task.count // task.batch:
            entry.note = f"{count} steps, scaled"
    settings = dataclasses.asdict(task)
    del settings["images"], settings["labels"]  # files that are deleted at the end
    case = {"label": task.model, **settings}
    return Result(case, contest.threads, task.flops() * EPOCH, entries)


app.command("accuracy")(accuracy.command)
app.command("sweep")(sweep_command.command)
app.command("memory")(memory.command)
app.command("report")(report_command.command)
app.command("compare")(compare.command)
app.command("serving")(serving.command)
