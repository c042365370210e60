"""JSON files of `byhand bench` with made-up figures, for tests."""

from __future__ import annotations

import json
from typing import Any

from byhand.bench.results import Entry, Learned, Result, Times
from byhand.bench.run import FORMAT, UNITS

PEAK = 1e11
MACHINE: dict[str, Any] = {
    "date": "2026-01-02T03:04:05+00:00",
    "commit": None,
    "cpu": "Made-up <CPU> & Sons",
    "usable_processors": 2,
    "caches": ["L1 Data 32K", "L2 Unified 1024K", "L3 Unified 32768K"],
    "governor": None,
    "load": [0.25, 0.5, 1.0],
    "system": "Linux",
    "python": "3.11.7",
    "byhand": {
        "compiler": "GCC 12.2.0",
        "instruction_sets": [
            {"name": "baseline", "active": False},
            {"name": "avx2", "active": True},
        ],
    },
}


def result(
    label: str, group: str, rounds: dict[str, list[float]], flops: int = 0, **case: Any
) -> Result:
    """Return a result in which each contender has these times."""
    times = {name: Times(tuple(own)) for name, own in rounds.items()}
    entries = [Entry(name, times=own, rss=10**8) for name, own in times.items()]
    for entry in entries:
        if "byhand" in times:
            entry.ratio = times[entry.contender].over(times["byhand"])
    return Result({"label": label, "group": group, **case}, 2, flops, entries, PEAK)


def cubes() -> list[Result]:
    results = []
    for n, ours, theirs in ((64, 1e-5, 1.2e-5), (256, 5e-4, 4.5e-4), (1024, 0.025, 0.03)):
        rounds = {name: [t, 1.1 * t, 1.2 * t] for name, t in (("byhand", ours), ("numpy", theirs))}
        labels = {"op": "gemm", "m": n, "batch": None}
        results.append(result(f"gemm {n}x{n}x{n} NN", "cubes", rounds, 2 * n**3, **labels))
        results[-1].bytes = 12 * n * n
    return results


def errors() -> list[Result]:
    entries = [Entry("byhand", difference=1.5), Entry("numpy", "WRONG: differs by <99>", 99.0)]
    case = {"label": "gemm 1x64x10 NN", "group": "error", "bound": 13}
    return [Result(case, 2, 0, entries, PEAK)]


def training() -> list[Result]:
    rounds = {"byhand": [0.2, 0.21, 0.22], "numpy": [0.6, 0.61, 0.62]}
    made = result("mlp", "mlp", rounds, 10**9, activation="relu")
    made.entries[1].note = "60 steps, scaled"
    return [made]


def accuracy() -> list[Result]:
    entries: list[Entry] = [
        Learned(
            name,
            times=Times((2 * scale,)),
            ratio=scale,
            ends=[scale, 2 * scale, 3 * scale],
            accuracies=[0.97, 0.992, 0.994],
            epoch=2.0,
        )
        for name, scale in (("byhand", 1.0), ("torch", 5.0))
    ]
    case = {"label": "seed 0", "group": "LeNet-5", "seed": 0, "target": 99.2}
    return [Result(case, 2, 0, entries, PEAK)]


def file_of(command: str, results: list[Result], **changes: Any) -> dict[str, Any]:
    """Return the content of a file that --json of a command writes."""
    content = {
        "format": FORMAT,
        "units": UNITS,
        "arguments": {"command": command, "rounds": 3},
        "machine": MACHINE,
        "versions": {"byhand": "byhand 0.1.0", "numpy": "NumPy 2.0"},
        "fma_peak": {"2": [PEAK]},
        "results": [one.as_json() for one in results],
        "summary": [],
        **changes,
    }
    copied: dict[str, Any] = json.loads(json.dumps(content))
    return copied


def report() -> dict[str, Any]:
    """Return the content of a file of `byhand bench report`."""
    parts = {"gemm": [*cubes(), *errors()], "training": training(), "accuracy": accuracy()}
    return {
        "format": FORMAT,
        "units": UNITS,
        "command_line": "byhand bench report --peers 'numpy,<torch>'",
        "machine": MACHINE,
        "memory_rate": [
            {"threads": 2, "bytes": size, "rates": [rate, 0.9 * rate]}
            for size, rate in ((1 << 15, 4e11), (1 << 19, 1e11), (1 << 28, 2e10))
        ],
        "parts": [
            {"command_line": f"byhand bench {name}", **file_of(name, results)}
            for name, results in parts.items()
        ],
    }
