"""The contenders of the benchmarks."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from byhand.checks import not_one_of

OURS = "byhand"


@dataclass(frozen=True)
class Contender:
    """`module` has a class Peer(threads, **options) with a version, kernel(...), training(...)
    and inference(...), and learn(...) where it trains with a recipe.

    packages: what must be installed. steps: a model's steps that are timed where an epoch would
    take minutes. asked: measured only where it is named.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    options: Mapping[str, bool | str] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    asked: bool = False

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


CONTENDERS = [
    Contender(OURS, "byhand.bench.byhand_peer", ("byhand",)),
    Contender("numpy", "byhand.bench.numpy_peer", ("numpy",), steps={"lenet5": 60}),
    Contender("torch", "byhand.bench.torch_peer", ("torch",)),
    Contender(
        "torch-channels-last",
        "byhand.bench.torch_peer",
        ("torch",),
        options={"channels_last": True},
    ),
    Contender(
        "torch-compile",
        "byhand.bench.torch_peer",
        ("torch",),
        options={"compiled": True},
        asked=True,
    ),
    Contender("jax", "byhand.bench.jax_peer", ("jax",)),
    Contender("onnxruntime", "byhand.bench.onnx_peer", ("onnxruntime", "onnx")),
]


def choose(names: Sequence[str], also: Sequence[str] = ()) -> list[Contender]:
    """byhand and the contenders of these names; without names, those installed, and `also`.

    Raises ValueError for a name that isn't known, or a library that isn't installed.
    """
    known = {contender.name: contender for contender in CONTENDERS}
    for name in [*names, *also]:
        if name not in known:
            raise ValueError(not_one_of(name, known))
        if known[name].missing:
            missing = " and ".join(known[name].missing)
            raise ValueError(f"{name} needs {missing}, which is not installed")
    if names:
        return [c for c in CONTENDERS if c.name in (OURS, *names, *also)]
    return [c for c in CONTENDERS if not c.missing and (not c.asked or c.name in also)]
