"""Kills `byhand train` at random moments and shows that nothing is lost or left behind.

    python tools/kill_runs.py --kills 100

A run of a few epochs is trained once without interruption. Then the same run is begun again and
killed, by SIGKILL, SIGTERM or SIGINT, at a random moment of starting, training, saving or drawing.
After every kill, each file of the run must be whole, and SIGTERM and SIGINT may leave no temporary
file. The run goes on with --resume and is killed again, until it reaches its end. Then it must have
the same files as the uninterrupted run, with the same bits. It is removed and the next run begins,
until there were enough kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401  # imported here once, and not in every child
import numpy as np
from byhand import set_num_threads
from byhand.cli import app, main  # noqa: F401  # app, too, only once
from byhand.data import Dataset
from byhand.files.tensors import read_tensors
from byhand.pictures.folders import write_idx
from byhand.training.run_folder import RunFolder

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
EPOCHS = 12
TIMES = ("seconds", "images_per_second")


def write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    sets = []
    for count in (6000, 500):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = rng.integers(0, 60, (count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 6] += 190
        sets.append(Dataset(images, labels))
    write_idx(folder, *sets)


def start(folder: Path, data: Path, log: Path) -> int:
    """Begin or resume the training in a child process, and return the id of the process."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        arguments = ["train", "mlp", "--data", str(data), "--out", str(folder), "--ema", "0.9"]
        arguments += ["--epochs", str(EPOCHS), "--batch-size", "100", "--max-shift", "1"]
        if (folder / "config.json").exists():
            arguments = ["train", "--resume", str(folder)]
        sys.argv = ["byhand", *arguments, "--keep-epochs"]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt as interruption:  # before the command has begun, or after its end
        code = 128 + getattr(interruption, "signal", signal.SIGINT)
    finally:
        os._exit(code)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_whole(folder: Path) -> str:
    """Read every file of the run, and return the phase in which it was killed."""
    run = RunFolder(folder)
    if not run.config_path.exists():
        return "starting"
    run.config()
    for path in folder.rglob("*.safetensors"):
        if not path.name.startswith("."):
            read_tensors(path)
    if not run.state_path.exists():
        return "training"
    done = read_tensors(run.state_path)[1]["epoch"]
    assert len(run.history()) >= done
    return "training" if done < EPOCHS else "drawing"


def temporaries(folder: Path) -> set[Path]:
    return {*folder.glob(".*"), *folder.glob("epochs/.*")}


def content(folder: Path) -> dict[str, Any]:
    """Return the content of all files but curves.png, without the times that were measured."""
    found: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "curves.png"
    }
    lines = [json.loads(line) for line in found["metrics.jsonl"].splitlines()]
    found["metrics.jsonl"] = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
    return found


def kill_runs(kills: int, seed: int, root: Path) -> Counter[tuple[str, str]]:
    """Kill `kills` processes, check all files, and count the kills by signal and phase."""
    random.seed(seed)
    set_num_threads(1)
    data, folder, log = root / "data", root / "run", root / "log"
    write_data(data)
    begin = time.perf_counter()
    assert exit_code(start(root / "whole", data, log)) == 0, log.read_text()
    seconds = time.perf_counter() - begin
    whole = content(root / "whole")
    killed: Counter[tuple[str, str]] = Counter()
    while killed.total() < kills:
        number = random.choice(SIGNALS)
        before = temporaries(folder)  # an earlier SIGKILL may have left some
        pid = start(folder, data, log)
        # Most kills come early, so that a run is killed several times. Saving is short, so some
        # kills wait for it.
        end = time.perf_counter() + random.uniform(0, seconds * random.choice((0.2, 0.6, 1.1)))
        wait_for_saving = random.random() < 0.4
        while time.perf_counter() < end and not (wait_for_saving and temporaries(folder) - before):
            time.sleep(0.0005)
        saving = bool(temporaries(folder) - before)
        os.kill(pid, number)
        code, said = exit_code(pid), log.read_text()
        assert code in (0, -number, 128 + number), f"exit code {code} after {number!r}:\n{said}"
        assert "Traceback" not in said, said
        if code == 0:
            assert content(folder) == whole and (folder / "curves.png").exists()
            assert not temporaries(folder), temporaries(folder)
            shutil.rmtree(folder)
            continue
        phase = check_whole(folder)
        left = temporaries(folder) - before
        phase = "saving" if saving or left else phase
        killed[number.name, phase] += 1
        if killed.total() % 10 == 0:
            print(f"{killed.total()} kills so far", file=sys.stderr, flush=True)
        assert code < 0 or not left, f"{number!r} left {left}"
    assert exit_code(start(folder, data, log)) == 0, log.read_text()
    assert content(folder) == whole and not temporaries(folder)
    return killed


def run(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as root:
        killed = kill_runs(options.kills, seed, Path(root))
    phases = ("starting", "training", "saving", "drawing")
    print("".join(f"{title:>10}" for title in ("", *phases)))
    for number in SIGNALS:
        counts = "".join(f"{killed[number.name, phase]:>10}" for phase in phases)
        print(f"{number.name:>10}{counts}")
    print(f"{killed.total()} kills: nothing lost, nothing left behind, the same bits")


if __name__ == "__main__":
    run()
