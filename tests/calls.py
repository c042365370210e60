"""A kernel call as a value: draw it, run it, compute the reference's results, print it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import reference
from byhand import kernels

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

Array = npt.NDArray[Any]
Place = Callable[[Array], Array]

# The positions of the arguments that a kernel changes in place. In the results of a `Call`, these
# arrays come after the returned ones.
IN_PLACE = {
    "sgd_step": (0, 2),
    "adam_step": (0, 2, 3),
    "accumulate": (0,),
    "batch_norm": (3, 4),
}

# Changes a scalar argument so that its term becomes positive. If all arrays are absolute values,
# too, the result is then the sum of the absolute terms.
POSITIVE: dict[str, Callable[[Any], Any]] = {
    "alpha": abs,
    "beta": abs,
    "scale": abs,
    "offset": abs,
    "momentum": abs,
    "dampening": lambda dampening: 1 - abs(1 - dampening),
    "weight_decay": abs,
    "lr": lambda lr: -abs(lr),
}


def shapes(family: str) -> dict[str, dict[str, Any]]:
    """Read shapes/<family>.toml, without the key `intent`, which is not an argument."""
    path = Path(__file__).parent / "shapes" / f"{family}.toml"
    return {
        name: {key: shape[key] for key in shape if key != "intent"}
        for name, shape in tomllib.loads(path.read_text()).items()
    }


@dataclass(frozen=True)
class Fill:
    """Draws arrays of small integers other than 0, or of normally distributed floats."""

    rng: np.random.Generator
    integers: bool = False

    def __call__(self, *shape: int) -> Array:
        if self.integers:
            return self.rng.choice(np.float32([-3, -2, -1, 1, 2, 3, 4]), shape)
        return self.rng.standard_normal(shape, np.float32)


def every_exponent(rng: np.random.Generator, per_exponent: int = 2048) -> Array:
    """About 2^20 finite float32 numbers: both signs of every exponent, also subnormal numbers."""
    sign, exponent = np.meshgrid(np.arange(2, dtype=np.uint32), np.arange(255, dtype=np.uint32))
    mantissa = rng.integers(0, 2**23, (per_exponent, *sign.shape), dtype=np.uint32)
    mantissa[:2] = np.array([0, 2**23 - 1], np.uint32)[:, None, None]  # the ends of each exponent
    return ((sign << 31) | (exponent << 23) | mantissa).view(np.float32).ravel()


@dataclass(frozen=True)
class Call:
    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def map(self, function: Callable[[Array], Array]) -> Call:
        """Return the call with `function` applied to each array."""
        args = tuple(function(a) if isinstance(a, np.ndarray) else a for a in self.args)
        return replace(self, args=args)

    def expected(self) -> tuple[Array, ...]:
        return self._expected

    def sizes(self) -> tuple[Array, ...]:
        """For each result, the sum of the absolute values of its terms."""
        return self._sizes

    @cached_property
    def _expected(self) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):
            results = as_tuple(getattr(reference, self.op)(*self.args, **self.kwargs))
        # NumPy 1 computes with integers beyond 64 bits in arrays of Python objects.
        return tuple(
            np.asarray(r, np.float64) if np.asarray(r).dtype == object else r for r in results
        )

    @cached_property
    def _sizes(self) -> tuple[Array, ...]:
        kwargs = {k: POSITIVE[k](v) if k in POSITIVE else v for k, v in self.kwargs.items()}
        absolute = self.map(lambda a: np.abs(a) if a.dtype == np.float32 else a)
        return replace(absolute, kwargs=kwargs).expected()

    def outputs(self, place: Place = np.copy) -> tuple[Array, ...]:
        """Return an array for each result that `out=` takes. Results that are numbers have none."""
        changed = len(IN_PLACE.get(self.op, ()))
        results = self.map(np.copy).kernel()
        returned = results[: len(results) - changed]
        return tuple(place(np.full_like(r, -7)) for r in returned if np.ndim(r))

    def kernel(self, outs: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        """Run the kernel on these very arrays. Return its results and the changed arrays."""
        out = {"out": outs if len(outs) > 1 else outs[0]} if outs else {}
        result = getattr(kernels, self.op)(*self.args, **self.kwargs, **out)
        changed = tuple(self.args[i] for i in IN_PLACE.get(self.op, ()))
        return (*as_tuple(() if result is None else result), *changed)

    def run(self, place: Place = np.copy, give_out: bool = False) -> tuple[Any, ...]:
        """Run the kernel on copies that `place` makes.

        With `give_out`, it writes into outputs that `place` makes, too.
        """
        return self.map(place).kernel(self.outputs(place) if give_out else ())

    def __repr__(self) -> str:
        """Return one line that tells how to repeat the call."""

        def show(value: Any) -> str:
            array = isinstance(value, np.ndarray)
            return f"{value.dtype}{list(value.shape)}" if array else repr(value)

        words = [*map(show, self.args), *(f"{k}={show(v)}" for k, v in self.kwargs.items())]
        return f"{self.op}({', '.join(words)})"


def as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)
