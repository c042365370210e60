"""Prints how long each command of byhand takes until its first output appears in a terminal.

    python tools/first_output.py --most 500

The commands run on MNIST, in a pseudo-terminal and in a temporary folder, and are stopped after
their first output. The exit code is 1 if the median of a command is more than --most milliseconds.
"""

import argparse
import contextlib
import os
import pty
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from byhand.checks import is_installed

ROOT = Path(__file__).parents[1]
BYHAND = [sys.executable, "-m", "byhand"]

# The commands that prepare the folder for the others.
BEFORE = ("train softmax --epochs 1 --out run", "data draw-examples drawings")

# The commands, and the packages that they need in addition to the extra `cli`.
COMMANDS: dict[str, tuple[str, ...]] = {
    "": (),
    "--help": (),
    "--version": (),
    "train lenet5": (),
    "train --resume run --epochs 2": (),
    "evaluate run": (),
    "predict run drawings": (),
    "predict run --test-image 3": (),
    "demo run --port 0": ("starlette", "uvicorn"),
    "plot run": (),
    "export run model.onnx": ("onnx",),
    "export run model.pt2": ("torch",),
    "info": (),
    "info run": (),
    "data fetch": (),
    "data show": (),
    "data to-png pictures": (),
    "data draw-examples more": (),
    "reproduce B": (),
    f"simt {ROOT}/docs/simt/first.cu": (),
    "bench kernels --op relu --peers numpy": (),
    "bench training --models softmax --peers numpy": (),
    "ladder gemm 1": (),
    "ladder --help": (),
}


def first_output(command: str, folder: str) -> tuple[float, str]:
    """Return the milliseconds until the first output of a command, and its first line."""
    controller, terminal = pty.openpty()
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*BYHAND, *shlex.split(command)],
        cwd=folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of the output
        while not shown.strip():
            shown += os.read(controller, 10_000)
    elapsed = (time.perf_counter() - begin) * 1e3
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    os.close(controller)
    line = shown.decode(errors="replace").strip().partition("\r\n")[0]
    is_help = line.startswith("Usage:") and command.endswith("--help")
    if not line or (line.startswith(("Usage:", "Error", "Traceback")) and not is_help):
        raise SystemExit(f"byhand {command} fails: {line or 'no output'}")
    return elapsed, line


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=float, default=500, help="largest time in milliseconds")
    parser.add_argument("--repeats", type=int, default=5, help="number of runs of each command")
    options = parser.parse_args()
    slow = 0
    with tempfile.TemporaryDirectory() as folder:
        for command in BEFORE:
            quiet = subprocess.DEVNULL
            subprocess.run([*BYHAND, *shlex.split(command)], cwd=folder, check=True, stdout=quiet)
        for command, packages in COMMANDS.items():
            if not all(map(is_installed, packages)):
                print(f"{'-':>6}     byhand {command}: {', '.join(packages)} not installed")
                continue
            runs = [first_output(command, folder) for _ in range(options.repeats)]
            time_ms = statistics.median(elapsed for elapsed, _ in runs)
            slow += time_ms > options.most
            mark = "slow" if time_ms > options.most else ""
            name = command.replace(f"{ROOT}/", "")
            print(f"{time_ms:6.0f} ms {mark:4} byhand {name:48} {runs[0][1][:60]}", flush=True)
    print(f"{slow} of {len(COMMANDS)} commands take longer than {options.most:.0f} ms")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
