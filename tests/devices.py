"""The devices on which operators are tested: the CPU's instruction sets, and CUDA.

Tests that take the fixture `device` run once per device. They pass NumPy arrays to byhand.kernels
and get NumPy arrays back. On CUDA, the functions of byhand.kernels are replaced meanwhile by
functions that copy the arguments to the GPU and the results back.

If this build of byhand has no CUDA, the kernels run on the emulator: the tests compile csrc/cuda
for the CPU once, and keep the library for later runs. A finding of the emulator, such as a race,
ends the process with a report.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import byhand
import numpy as np
import platformdirs
from byhand import _core, kernels
from byhand._core import add_device, testing
from byhand.simt.program import compile_library
from calls import IN_PLACE

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"

SCHEDULES = {"cuda": "forward", "cuda-reverse": "reverse", "cuda-odd-even": "odd-even"}
"""The order in which the emulator runs the threads of a block, for each name of a device.

The results must not depend on it. A GPU has no such order, so there "cuda" is the only device.
"""

DEVICES = [*testing.isas(), *SCHEDULES]

# Two devices without operators, whose memory is that of the CPU.
add_device(testing.device_without_operators("test"))
add_device(testing.device_without_operators("test-gpu", is_gpu=True))


@functools.cache
def cuda_module() -> ModuleType:
    """Return byhand._cuda: that of this build if there is one, otherwise the emulated one.

    The environment variable BYHAND_TEST_CUDA is the path of another one. `tools/cuda_mutants.py`,
    which plants faults in the sources, sets it.
    """
    path = os.environ.get("BYHAND_TEST_CUDA")
    if path is None and importlib.util.find_spec("byhand._cuda") is not None:
        return importlib.import_module("byhand._cuda")
    spec = importlib.util.spec_from_file_location("byhand._cuda", path or _emulated())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["byhand._cuda"] = module
    return module


def _emulated() -> Path:
    """Compile the module for the emulator, or find what an earlier run has compiled."""
    folders = [CSRC / name for name in ("cuda", "simt", "ops", "core")]
    used = [file for folder in folders for file in folder.rglob("*.*")]
    used += (ROOT / "python" / "byhand" / "simt").glob("*.py")
    key = hashlib.sha256(sys.version.encode())
    for file in sorted(used):
        key.update(file.read_bytes())
    cache = Path(platformdirs.user_cache_dir("byhand")) / "simt"
    path = cache / f"_cuda-{key.hexdigest()[:16]}.so"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of pytest compile only once
        if not path.exists():
            files = [*sorted((CSRC / "cuda").glob("*.cu")), CSRC / "cuda" / "module.cc"]
            compile_library(files, path, [CSRC, Path(sysconfig.get_path("include"))])
    return path


@contextmanager
def used(device: str) -> Iterator[None]:
    """Compute on a device: let byhand.kernels take NumPy arrays, whatever the device is."""
    if device not in SCHEDULES:
        before = testing.isa()
        testing.set_isa(device)
        yield
        testing.set_isa(before)
        return
    module = cuda_module()
    if module.is_emulated:
        ctypes.CDLL(module.__file__).simt_set_schedule(SCHEDULES[device].encode())
    functions = {name: getattr(kernels, name) for name in kernels.__all__ if name != "empty"}
    for name, function in functions.items():
        setattr(kernels, name, _on_cuda(name, function))
    try:
        yield
    finally:
        for name, function in functions.items():
            setattr(kernels, name, function)


@contextmanager
def few_blocks(count: int) -> Iterator[None]:
    """Launch at most `count` blocks on CUDA, so that each of them takes several parts of the work.

    Otherwise, only very large arrays have more parts than blocks.
    """
    cuda_module().set_most_blocks(count)
    try:
        yield
    finally:
        cuda_module().set_most_blocks(4096)


def late_error(name: str, *args: Any, **kwargs: Any) -> tuple[str, Any]:
    """Call an operator with bad labels or indices on CUDA. Return the message, and the results.

    The first copy of a result to the CPU raises the ValueError, and the second copy works.
    """
    function = getattr(_core, name)
    moved = map(_to_cuda, inspect.signature(function).parameters, args)
    results = function(*moved, **kwargs)
    try:
        _to_host(results)
    except ValueError as error:
        return str(error), _to_host(results)
    raise AssertionError(f"{name} did not raise a ValueError")


def _on_cuda(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes on CUDA what `function` does, on arrays of NumPy."""
    names = list(inspect.signature(function).parameters)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        given.pop("weight_cache", None)  # only the CPU has one
        moved = {key: _to_cuda(key, value) for key, value in given.items()}
        results = _to_host(function(**moved))
        for position in IN_PLACE.get(name, ()):
            given[names[position]][...] = _to_host(moved[names[position]])
        return _into(given.get("out"), results)

    return call


def _to_cuda(name: str, value: Any) -> Any:
    if isinstance(value, tuple) and any(isinstance(item, np.ndarray) for item in value):
        return tuple(_to_cuda(name, item) for item in value)
    if not isinstance(value, np.ndarray):
        return value
    is_label = name in ("labels", "index") and value.dtype.kind in "iu"
    return byhand.asarray(value.astype(np.int64) if is_label else value, "cuda")


def _to_host(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(map(_to_host, result))
    if not isinstance(result, byhand.DeviceArray):
        return result
    array = result.to("cpu")
    return int(array) if array.dtype == np.int64 else array[()]  # the int64 is a count


def _into(out: Any, results: Any) -> Any:
    """Copy results into the arrays of the argument `out`, if there are any, and return those."""
    if isinstance(out, tuple):
        return tuple(map(_into, out, results))
    if out is None:
        return results
    # softmax_cross_entropy returns a loss, too, for which there is no array in `out`.
    if isinstance(results, tuple):
        return (*results[:-1], _into(out, results[-1]))
    out[...] = results
    return out
