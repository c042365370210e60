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

    module : name of a module with a class Peer(threads, **options). Peer has `version`,
        kernel(...), training(...) and inference(...), and learn(...) if it can train with a recipe.
    packages : the packages that must be installed.
    steps : the number of steps to time, for each model whose epoch would take minutes.
    asked : whether the contender is measured only if the user names it.
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

    Without names, the contenders are the installed ones in `default`. Without a default, they are
    all contenders that are installed, except those that the user must name.

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
            missing = " ".join(known[name].missing)
            raise ValueError(f"{name} needs packages that are missing: pip install {missing}")
    if default is None:
        default = [contender.name for contender in CONTENDERS if not contender.asked]
    wanted = {OURS, *also, *(names or (name for name in default if not known[name].missing))}
    return [contender for contender in CONTENDERS if contender.name in wanted]
