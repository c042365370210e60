"""The bindings have complete docstrings, and no use of them crashes Python.

The uses are: sequences that lie about their length, arrays that change while a kernel reads them,
the end of the process, sub-interpreters, and a user's flags for the compiler.
"""

from __future__ import annotations

import inspect
import itertools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import kernels
from calls import Fill
from ops import OPS, draw
from test_every_kernel import RETURNING, calls_with_out, same_bits, small_calls
from test_threads import run

ROOT = Path(__file__).parents[1]
F32 = np.float32


# --------------------------------------------------------------------------------------------------
# Docstrings

SECTIONS = ("Parameters", "Returns", "Raises", "See Also", "Notes", "References")


def sections(doc: str) -> dict[str, str]:
    """Return the sections of a NumPy-style docstring, in order. "" is the text before the first."""
    parts = re.split(r"^(\w[\w ]*)\n-+\n", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> list[tuple[str, str]]:
    """Return (name, type) of each entry. An entry may have several names: "a, b : int"."""
    heads = re.findall(r"^(\S.*)\n(?=    \S)", section, flags=re.MULTILINE)
    return [
        (name, kind)
        for head in heads
        for names, _, kind in [head.partition(" : ")]
        for name in names.split(", ")
    ]


@pytest.mark.parametrize("name", kernels.__all__)
def test_docstrings_are_complete(name: str) -> None:
    """Every docstring has NumPy's form and lists the arguments in the order of the signature."""
    kernel = getattr(kernels, name)
    doc = kernel.__doc__
    parts = sections(doc)
    assert list(parts) == ["", *(title for title in SECTIONS if title in parts)]
    assert re.match(r"[A-Z].*\.(\n|$)", parts[""])  # the summary is one line
    assert max(map(len, doc.splitlines())) <= 96  # help() indents by 4

    arguments = entries(parts["Parameters"])
    assert [argument for argument, _ in arguments] == list(inspect.signature(kernel).parameters)
    for argument, kind in arguments:
        assert kind, f"{argument} has no type"
        assert "ndarray" not in kind or argument == "out" or re.search("float32|int", kind), kind
    assert parts["Returns"].strip()
    assert [error for error, _ in entries(parts["Raises"])] == ["TypeError", "ValueError"]


# --------------------------------------------------------------------------------------------------
# Sequences


class LyingTuple(tuple):  # type: ignore[type-arg]
    """A tuple whose methods return other lengths and items than it holds."""

    length = 2

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, _: Any) -> Any:
        return object()

    def __iter__(self) -> Iterator[Any]:
        return itertools.repeat(object())


class LyingList(list):  # type: ignore[type-arg]
    __len__ = LyingTuple.__len__
    __getitem__ = LyingTuple.__getitem__  # type: ignore[assignment]
    __iter__ = LyingTuple.__iter__
    length = 2


@pytest.mark.parametrize("length", [0, 2, 3, 2**40])
def test_an_out_tuple_that_lies_about_its_length(
    length: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The items that the tuple really holds count."""
    monkeypatch.setattr(LyingTuple, "length", length)
    for call in calls_with_out(rng):
        outs = call.outputs()
        if len(outs) < 2:
            continue
        kernel = getattr(kernels, call.op)
        for wrong in ((), outs[:1], (*outs, None)):
            with pytest.raises(
                TypeError, match=rf"out must be a tuple .* got a tuple of {len(wrong)}"
            ):
                kernel(*call.args, **call.kwargs, out=LyingTuple(wrong))
        expected = call.run()
        kernel(*call.args, **call.kwargs, out=LyingTuple(outs))
        same_bits(outs, expected[: len(outs)], call)


SEQUENCES = ("stride", "padding", "dilation", "kernel_size", "input_shape", "weight_shape")


@pytest.mark.parametrize("kind", [LyingTuple, LyingList])
@pytest.mark.parametrize("length", [0, 2, 2**40])
def test_sequences_of_numbers_that_lie(
    length: int,
    kind: Callable[[Any], Any],
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kind, "length", length)
    for call in (call for name in RETURNING for call in small_calls(name, rng)):
        args = tuple(kind(a) if isinstance(a, (tuple, list)) else a for a in call.args)
        kwargs = dict(call.kwargs)
        for key in (k for k in SEQUENCES if np.ndim(kwargs.get(k, 0))):
            kwargs[key] = kind(kwargs[key])
        if isinstance(kwargs.get("padding"), kind):
            nested = call.kwargs["padding"]
            kwargs["padding"] = kind(kind(p) if np.ndim(p) else p for p in nested)
        result = getattr(kernels, call.op)(*args, **kwargs)
        if args != call.args or kwargs != call.kwargs:
            got = result if isinstance(result, tuple) else (result,)
            same_bits(got, call.run(), call)


@pytest.mark.parametrize("kind", [LyingTuple, LyingList])
def test_a_sequence_of_the_wrong_length_that_says_it_is_right(kind: Callable[[Any], Any]) -> None:
    x = np.ones((1, 1, 4, 4), F32)
    for wrong in ((), (1,), (1, 1, 1)):
        for argument in ("kernel_size", "stride", "padding", "dilation"):
            kwargs = {"kernel_size": 2, argument: kind(wrong)}
            with pytest.raises(TypeError, match=argument):
                kernels.max_pool2d(x, **kwargs)
        with pytest.raises(TypeError, match="padding"):
            kernels.max_pool2d(x, 2, padding=((1, 1), kind(wrong)))
        with pytest.raises(ValueError, match="input_shape must have 4 dimensions"):
            kernels.avg_pool2d_backward(x, kind(wrong), 1)
        with pytest.raises(ValueError, match="weight_shape must have 4 dimensions"):
            kernels.conv2d_weight_cache(kind(wrong))


def test_a_list_that_changes_while_it_is_read() -> None:
    """The binding asks each item for an integer. One of the items empties the list meanwhile."""

    class Emptying:
        def __index__(self) -> int:
            sizes.clear()
            return 2

    x = np.ones((1, 1, 4, 4), F32)
    for argument in ("stride", "dilation", "padding"):
        sizes: list[Any] = [Emptying(), 1]
        kernels.max_pool2d(x, 2, **{argument: sizes if argument != "padding" else [sizes, (0, 0)]})
        assert sizes == []
    sizes = [Emptying(), 3, 4]
    assert kernels.empty(sizes).shape == (2, 3, 4)


def test_text_without_an_encoding_is_refused_by_name() -> None:
    class Unprintable:
        def __repr__(self) -> str:
            return "\udc80"

    x, half = np.ones((1, 1, 3, 3), F32), "\udc80"
    for argument in ("algorithm", "stride"):
        for value in (half, Unprintable()):
            with pytest.raises((TypeError, ValueError), match=argument):
                kernels.conv2d(x, x, **{argument: value})
    with pytest.raises(ValueError, match="activation"):
        kernels.linear_act(x[0, 0], x[0, 0], None, half)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduction"):
        kernels.squared_error(x, x, reduction=half)


# --------------------------------------------------------------------------------------------------
# Sizes larger than any memory


@pytest.mark.parametrize(
    "shape",
    [
        (2**40, 1, 3, 3),
        (1, 2**54, 5, 5),
        (2**30, 2**30, 3, 3),
        (2**31, 2**31, 5, 5),
        (2**55, 2**3, 3, 3),
        (2**54, 1, 3, 3),
        (2**57, 1, 3, 3),
        (3 * 2**56, 1, 3, 3),
        (2**62, 1, 5, 5),
        (2**63 - 1, 1, 3, 3),
        (2**31, 2**31, 2**31, 2**31),
    ],
)
def test_a_weight_cache_for_an_absurd_shape_is_refused(shape: tuple[int, ...]) -> None:
    """The cache needs 64 values per pair of channels. This number must not overflow."""
    with pytest.raises((ValueError, MemoryError), match=r"weight_shape|allocate"):
        kernels.conv2d_weight_cache(shape)


SCRATCH = """
import numpy as np
from byhand import kernels
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
def call():
    dy, weight = np.ones((8, 1, 512, 512), np.float32), np.ones((1, 16, 2, 2), np.float32)
    return kernels.conv2d_backward_input(dy, weight, (8, 16, 1024, 1024), stride=2)[0, 0, 0, 0]
before = resident()
assert call() == 1
print(resident() - before)
"""


@pytest.mark.slow
def test_scratch_memory_of_a_large_call_is_given_back() -> None:
    """The call needs 128 MiB of scratch memory. A thread keeps at most 64 MiB of it."""
    assert int(run(SCRATCH).stdout) < 96


# --------------------------------------------------------------------------------------------------
# Arrays that another thread changes


@contextmanager
def flickering(array: np.ndarray, wrong: int) -> Iterator[None]:
    """Fill the array from another thread, with wrong values and the right ones in turn."""
    right = array.copy()
    stop = threading.Event()

    def flicker() -> None:
        while not stop.is_set():
            array.fill(wrong)
            array[...] = right

    thread = threading.Thread(target=flicker)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


INDEXED = {
    "softmax_cross_entropy": (1, {"shape": (20000, 10)}),
    "softmax_cross_entropy_backward": (1, {"shape": (20000, 10)}),
    "count_correct": (1, {"shape": (20000, 10)}),
    "gather_images": (1, {"images": (50, 28, 28), "index": 4096, "scale": 1.0, "offset": 0.0}),
    "warp_images": (1, {"images": (2000, 1, 28, 28), "seed": 1, "step": 2, "elastic": 1.0}),
    "max_pool2d_backward": (1, {"x": (32, 20, 24, 24), "kernel_size": 2}),
    "conv2d_pool_act_backward": (2, {"x": (64, 1, 28, 28), "weight": (20, 1, 5, 5)}),
}


def test_every_operator_with_indices_is_here() -> None:
    """The operators that take indices are those with an array of integers."""
    rng = np.random.default_rng(0)
    for name, op in OPS.items():
        call = draw(name, Fill(rng), op.small[1])
        integers = any(isinstance(a, np.ndarray) and a.dtype.kind == "i" for a in call.args)
        assert integers == (name in INDEXED), name


@pytest.mark.parametrize("wrong", [2**30, -(2**30)])
@pytest.mark.parametrize("name", INDEXED)
def test_indices_that_another_thread_changes(name: str, wrong: int, isa: str) -> None:
    """A kernel returns a result or raises ValueError. It never reads or writes outside an array."""
    position, shape = INDEXED[name]
    call = draw(name, Fill(np.random.default_rng(1)), shape)
    indices = call.args[position]
    refused = 0
    with flickering(indices, wrong):
        for _ in range(30):
            try:
                call.kernel()
            except ValueError as error:
                assert re.search("labels|index|indices", str(error))
                refused += 1
    assert refused < 30 or call.kernel()  # the array is right again


# --------------------------------------------------------------------------------------------------
# Processes

DAEMON = """
import threading, time, numpy as np
from byhand import kernels
a = np.ones((600, 600), np.float32)
def work():
    while True:
        kernels.gemm(a, a)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
"""


@pytest.mark.slow
def test_the_process_ends_while_daemon_threads_run_kernels() -> None:
    for _ in range(3):
        result = run(DAEMON)
        assert (result.returncode, result.stderr) == (0, "")


SUBINTERPRETER = """
import importlib
for name in ("_interpreters", "_xxsubinterpreters"):
    try:
        interpreters = importlib.import_module(name)
        break
    except ImportError:
        continue
code = '''
try:
    import byhand
except ImportError as error:
    assert "interpreter" in str(error), error
else:
    raise AssertionError("imported")
'''
run = getattr(interpreters, "run_string")
result = run(interpreters.create(), code)
assert not result, result
import byhand, numpy as np
one = np.ones((1, 1), np.float32)
print(byhand.kernels.gemm(one, one)[0, 0])
"""


def test_import_in_a_sub_interpreter_is_refused_at_once() -> None:
    """The import raises an error instead of waiting forever.

    The main interpreter can still import byhand afterwards.
    """
    result = run(SUBINTERPRETER, timeout=30)
    assert result.stdout.strip() == "1.0", result.stderr


SMALLEST = "import sys; print(sys.float_info.min / 2 != 0)"


def test_import_leaves_denormal_numbers_alone() -> None:
    assert run(f"import byhand; {SMALLEST}").stdout.strip() == "True"


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ to link with")
@pytest.mark.parametrize("flag", ["-ffast-math", "-funsafe-math-optimizations", "-Ofast"])
def test_a_users_link_flags_do_not_switch_denormals_off(flag: str, tmp_path: Path) -> None:
    """Link a small library with the user's flag, and again with the flags of CMakeLists.txt."""
    text = (ROOT / "CMakeLists.txt").read_text()
    (exact,) = re.findall(r"set\(exact_floats (.*)\)", text)
    (options,) = re.findall(r"target_link_options\(byhand_flags INTERFACE (-O.*)\)", text)
    source, library = tmp_path / "empty.cc", tmp_path / "libempty.so"
    source.write_text("int nothing() { return 0; }\n")
    ours = options.replace("${exact_floats}", exact).split()
    subprocess.run(["g++", "-shared", "-fPIC", source, flag, *ours, "-o", library], check=True)
    code = f"import ctypes; ctypes.CDLL({str(library)!r}); {SMALLEST}"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "True"
