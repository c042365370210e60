"""`byhand bench report`: several benchmarks, one HTML page and one JSON file."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from byhand.bench import documents, machine
from byhand.bench.accuracy import folder_of
from byhand.bench.documents import DocumentError
from byhand.bench.options import (
    DataOption,
    PeersOption,
    SyntheticOption,
    ThreadCountOption,
    all_threads,
    chosen,
    contenders_of,
)
from byhand.bench.peak import memory_rate
from byhand.bench.run import FORMAT, UNITS, check_folder, load_before
from byhand.bench.tasks import load_training_data
from byhand.data import load_folder
from byhand.files.atomic import write_atomic

# The options of each benchmark, in the short form and with --full. The order is that of the page.
SHORT = {
    "gemm": ["--groups", "cubes,baselines", "--rounds", "5"],
    "conv2d": ["--groups", "baselines", "--rounds", "5"],
    "kernels": ["--rounds", "5", "--seconds", "0.02"],
    "inference": ["--rounds", "5", "--seconds", "0.02"],
    "training": ["--steps", "60", "--repeats", "5"],
    "accuracy": [],
}
FULL = {
    "gemm": [],
    "conv2d": [],
    "kernels": [],
    "inference": [],
    "training": ["--repeats", "5"],
    "accuracy": ["--seeds", "3"],
}
# Bytes per thread of the two small memory rates. The first lie in L1 on nearly every CPU, the
# second in L2.
PER_THREAD = (16 << 10, 256 << 10)
# The third memory rate is measured on at least this number of bytes, if a quarter of the machine's
# memory is as large.
LEAST_MAIN_MEMORY = 256 << 20
DEFAULT_PAGE = Path("byhand-bench.html")


def command(
    context: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="All cases and whole epochs: about 16 minutes.")
    ] = False,
    parts: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help=f"Benchmarks: {', '.join(SHORT)}.", show_default="all"
        ),
    ] = "",
    threads: ThreadCountOption = None,
    peers: PeersOption = "",
    data: DataOption = None,
    synthetic: SyntheticOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            dir_okay=False,
            help="Page to write. The figures go into a file of the same name that ends in .json. "
            "Both are replaced if they exist. With --from, the default is the name of that file "
            "with .html.",
            show_default=str(DEFAULT_PAGE),
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE.json",
            dir_okay=False,
            help="Measure nothing, and draw the page of this file again. It may also be a file of "
            "--json of another benchmark.",
        ),
    ] = None,
) -> None:
    """Run the benchmarks, and write their figures and charts into one HTML page.

    The short form takes about six minutes on two processors with NumPy and PyTorch, and --full
    about 16 minutes, also with JAX and ONNX Runtime. The page needs no internet access and no
    scripts. With --synthetic, training uses random images, and accuracy is left out.

    The .json file is written after each benchmark. If a later benchmark fails or you stop the
    command, --from draws the page of the benchmarks before it.
    """
    # The import of the charts is slow. It fails here, before measuring, if matplotlib is missing.
    from byhand.bench.report.page import page

    if from_ is not None:
        _check_only_drawing(context)
        target = _target(out or from_.with_suffix(".html"))
        try:
            document = documents.read(from_)
        except DocumentError as error:
            raise typer.BadParameter(str(error), param_hint="--from") from None
        write_atomic(target, page(document).encode())
        typer.echo(f"page: {target.resolve()}")
        return

    names = chosen(parts, SHORT, "--parts")
    if synthetic:
        if parts and "accuracy" in names:
            raise typer.BadParameter(
                "accuracy needs MNIST: leave out --synthetic, or leave accuracy out of --parts",
                param_hint="--synthetic",
            )
        names = [name for name in names if name != "accuracy"]
    contenders_of(peers)
    _check_data(names, data, synthetic)
    target = _target(out or DEFAULT_PAGE)
    count = threads or all_threads()
    lines = [_line(name, full, count, peers, data, synthetic) for name in names]
    options = _given(full, parts, threads, peers, data, synthetic)
    whole = ["byhand", "bench", "report", *options]
    figures = target.with_suffix(".json")

    def keep(content: dict[str, Any]) -> None:
        write_atomic(figures, json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")

    content, code = measure(context, lines, count, shlex.join(whole), keep)
    write_atomic(target, page(documents.parse(content, str(figures))).encode())
    typer.echo(f"figures: {figures.resolve()}\npage:    {target.resolve()}")
    raise typer.Exit(code)


def measure(
    context: typer.Context,
    lines: Sequence[Sequence[str]],
    threads: int,
    command_line: str,
    keep: Callable[[dict[str, Any]], None],
) -> tuple[dict[str, Any], int]:
    """Run the benchmarks of these command lines. Return the document, and the exit code.

    The exit code is 1 if a contender failed in one of the benchmarks.

    keep : a function that is called with the document after each benchmark and at the end. If a
        later benchmark fails or the user stops it, the figures of the earlier ones are not lost.
    """
    load_before()  # the load without the measurement of the memory
    about = machine.describe()
    main_memory = main_memory_bytes(about["caches"], threads, machine.memory_bytes())
    sizes = [size * threads for size in PER_THREAD] + [main_memory]
    rates: dict[int, list[float]] = {size: [] for size in sizes}

    def measure_memory() -> None:
        for size, own in rates.items():
            own.append(memory_rate(threads, size))

    measure_memory()
    parts: list[dict[str, Any]] = []
    document = {
        "format": FORMAT,
        "units": UNITS,
        "command_line": command_line,
        "machine": about,
        "memory_rate": [
            {"threads": threads, "bytes": size, "rates": own} for size, own in rates.items()
        ],
        "parts": parts,
    }
    code = 0
    for line in lines:
        part, own_code = _run(context, line)
        parts.append(part)
        code = max(code, own_code)
        keep(document)
    measure_memory()
    keep(document)
    return document, code


def main_memory_bytes(caches: Sequence[str], threads: int, memory: int) -> int:
    """Return a number of bytes of which most are in no cache.

    The result is twice the largest cache per thread, because each thread may run on a processor
    with a cache of its own. It is at least LEAST_MAIN_MEMORY, and at most a quarter of the memory.

    caches : texts such as "L3 Unified 32768K".
    memory : the size of the machine's memory in bytes.
    """
    sizes = [int(found[1]) << 10 for text in caches if (found := re.search(r" (\d+)K$", text))]
    return min(max(LEAST_MAIN_MEMORY, 2 * max(sizes, default=0) * threads), memory // 4)


def _run(context: typer.Context, line: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Run a benchmark as its command line does. Return its document and its exit code."""
    assert context.parent is not None
    group: Any = context.parent.command
    shown = shlex.join(["byhand", "bench", *line])
    typer.echo(f"\n{shown}")
    with tempfile.TemporaryDirectory(prefix="byhand-bench-") as folder:
        path = Path(folder, "part.json")
        words = [*line, "--json", str(path)]
        code = group.main(args=words, prog_name="byhand bench", standalone_mode=False) or 0
        if not path.exists():  # for example if the user has interrupted it
            raise typer.Exit(code or 1)
        part: dict[str, Any] = json.loads(path.read_text())
    return {"command_line": shown, **part}, code


def _line(
    name: str, full: bool, threads: int, peers: str, data: Path | None, synthetic: bool
) -> list[str]:
    """Return the words of the command line of a benchmark."""
    words = [name, *(FULL if full else SHORT)[name], "--threads", str(threads)]
    words += ["--peers", peers] if peers else []
    if name in ("training", "accuracy") and data is not None:
        words += ["--data", str(data)]
    if name == "training" and synthetic:
        words.append("--synthetic")
    return words


def _given(
    full: bool, parts: str, threads: int | None, peers: str, data: Path | None, synthetic: bool
) -> list[str]:
    """Return the options that were given, as words."""
    texts = {"--parts": parts, "--threads": threads, "--peers": peers, "--data": data}
    words = [word for key, value in texts.items() if value for word in (key, str(value))]
    flags = {"--full": full, "--synthetic": synthetic}
    return [key for key, value in flags.items() if value] + words


def _check_data(names: Sequence[str], data: Path | None, synthetic: bool) -> None:
    """Load the data of these benchmarks, so that bad data are refused before anything is measured.

    If only `training` needs data, MNIST is downloaded if it is missing, as by `byhand bench
    training`. `accuracy` downloads nothing.
    """
    if "accuracy" in names:
        load_folder(folder_of(data))
    if "training" in names and not synthetic:
        load_training_data(data)


def _check_only_drawing(context: typer.Context) -> None:
    """Refuse options of measurements beside --from."""
    for name, value in context.params.items():
        if value and name not in ("out", "from_"):
            message = f"draws a page without measuring, so leave out --{name}"
            raise typer.BadParameter(message, param_hint="--from")


def _target(path: Path) -> Path:
    """Check the page's name and folder before anything is measured."""
    if path.suffix.lower() != ".html":
        raise typer.BadParameter(f"{path} must end in .html.", param_hint="--out")
    check_folder(path)
    return path
