"""The contenders of the benchmarks."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from byhand.checks import not_one_of

OURS = "byhand"


@dataclass(frozen=True)
class Contender:
    """A library, or one way to use it.

    module : has a class Peer(threads, **options) with a version, kernel(...), training(...) and
        inference(...), and with learn(...) if it can train with a recipe.
    packages : what must be installed.
    steps : the number of steps to time for a model whose epoch would take minutes.
    asked : whether it is measured only if it is named.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    options: Mapping[str, bool | str] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    asked: bool = False

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
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


def choose(
    names: Sequence[str], default: Collection[str] | None = None, also: Sequence[str] = ()
) -> list[Contender]:
    """Return byhand, the contenders of these names, and `also`.

    Without names, the contenders are the installed ones of `default`; without a default, they are
    all that are installed, except those that must be asked for.

    Raises
    ------
    ValueError
        If a name is not known or a library is not installed.
    """
    known = {contender.name: contender for contender in CONTENDERS}
    for name in [*names, *also]:
        if name not in known:
            raise ValueError(not_one_of(name, known))
        if known[name].missing:
            missing = " and ".join(known[name].missing)
            raise ValueError(f"{name} needs {missing}, which is not installed")
    if default is None:
        default = [contender.name for contender in CONTENDERS if not contender.asked]
    wanted = {OURS, *also, *(names or (name for name in default if not known[name].missing))}
    return [contender for contender in CONTENDERS if contender.name in wanted]
