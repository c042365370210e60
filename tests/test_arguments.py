"""Any value of an argument gives the right result or an exception that names the argument.

hypothesis draws values that replace one argument of a valid call. The call must never crash. A
crash ends the test run, and pytest's fault handler shows the call.
"""

from __future__ import annotations

import inspect
import re
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
import reference
from byhand import kernels
from calls import Call, Fill
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops import OPS, check, draw
from test_every_kernel import array_arguments, with_argument

many = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

HUGE = [2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64]
integers = st.integers(-3, 12) | st.sampled_from([*HUGE, *(-n for n in HUGE)])
pairs = st.tuples(integers, integers)
nonsense = st.sampled_from(
    [None, "2", 1.5, 2.0, np.nan, True, np.int64(2), np.float32(2), np.array([1, 1]), (), (1,), {}]
) | st.lists(integers, min_size=3, max_size=3)
geometry = integers | pairs | nonsense | st.tuples(pairs, pairs) | st.tuples(pairs, integers)
sizes = st.tuples(*[st.integers(-1, 7) | st.sampled_from(HUGE)] * 4) | geometry


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Limit the memory to 2 GiB more than is mapped now.

    A huge result is then a MemoryError on every machine.
    """
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2**31, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def valid_call(op: str) -> Call:
    shape = OPS[op].small[1 if op != "gather_images" else -1]  # the last shape moves the images
    if op.startswith("conv2d"):
        shape = {"x": (2, 4, 6, 5), "weight": (6, 4, 3, 2)}
    if "pool2d" in op:
        shape = {"x": (2, 3, 6, 5), "kernel_size": 2}
    return draw(op, Fill(np.random.default_rng(1)), shape)


def kinds_of_arrays(call: Call) -> set[tuple[str, np.dtype[Any]]]:
    return {(name, array.dtype) for _, name, array in array_arguments(call)}


def valid_calls(op: str) -> list[Call]:
    """Return a valid call, and one for each array that only some calls take, such as grad_loss."""
    calls = [valid_call(op)]
    for shape in OPS[op].small:
        call = draw(op, Fill(np.random.default_rng(1)), shape)
        if not kinds_of_arrays(call) <= set().union(*map(kinds_of_arrays, calls)):
            calls.append(call)
    return calls


def other_arguments(op: str) -> list[str]:
    """Return every argument of the kernel that is not an array.

    The signature lists them, so a new argument is tested automatically. weight_cache and out are
    arrays. They have their own tests.
    """
    arrays = {name for _, name, _ in array_arguments(valid_call(op))} | {"weight_cache", "out"}
    return [
        name for name in inspect.signature(getattr(kernels, op)).parameters if name not in arrays
    ]


MUTATIONS = [(op, argument) for op in OPS for argument in other_arguments(op)]


def with_value(call: Call, argument: str, value: Any) -> Call:
    """Return the call with another value of `argument`, which may be positional in the call."""
    names = list(inspect.signature(getattr(reference, call.op)).parameters)[: len(call.args)]
    if argument in names:
        return with_argument(call, names.index(argument), value)
    return replace(call, kwargs={**call.kwargs, argument: value})


def shown_forms(value: Any) -> list[str]:
    """Return the forms in which an error may show the value.

    They are its repr, its rounded form, and each integer in its repr.
    """
    rounded = [f"{value:g}"] if isinstance(value, (int, float)) else []
    return [repr(value), *rounded, *re.findall(r"-?\d+", repr(value))]


def right_or_refused(call: Call, names: str, values: list[str]) -> None:
    """Run the call. It must give the reference's result or raise an error.

    The text of the error must contain one of the names and one of the values.
    """
    try:
        results = call.run()
    except MemoryError:
        return
    except (TypeError, ValueError) as error:
        text = str(error)
        assert re.search(rf"\b({names})\b", text), f"{call}: {text}"
        assert any(value in text for value in values), f"{call}: {text}"
        return
    # The reference computes all gradients. Arguments that leave out one of them, or that choose an
    # algorithm, do not change the others.
    which = ("input_gradient", "bias_gradient", "algorithm")
    all_of_them = replace(call, kwargs={k: v for k, v in call.kwargs.items() if k not in which})
    if max(map(np.size, results)) < 10**5:
        pairs = zip(results, all_of_them.expected(), strict=True)
        check(all_of_them, [np.float32(e) if r is None else r for r, e in pairs])


SWITCHES = (
    "training",
    "trans_a",
    "trans_b",
    "ceil_mode",
    "count_include_pad",
    "input_gradient",
    "bias_gradient",
)
# Another word that an error may use for an argument.
ALSO = {"kernel_size": "kernel", "input_shape": "input", "weight_shape": "weight"}


def blamed(call: Call, argument: str, value: Any) -> tuple[str, list[str]]:
    """Return names and values. An error must have one of each.

    A value that is valid by itself may not fit the shape of an array. Then the error may name the
    array.
    """
    names = f"{argument}|{ALSO.get(argument, argument)}"
    numbers = [int(n) for n in re.findall(r"-?\d+", str(int(value) if value is True else value))]
    if argument in SWITCHES or (numbers and all(0 <= n <= 2**31 for n in numbers)):
        names = "|".join([names, "pool_size", *(name for _, name, _ in array_arguments(call))])
        return names, [""]
    return names, shown_forms(value)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "argument"), MUTATIONS)
@given(data=st.data())
@many
def test_one_bad_argument(op: str, argument: str, data: st.DataObject) -> None:
    value = data.draw(sizes if argument.endswith("_shape") else geometry)
    call = with_value(valid_call(op), argument, value)
    right_or_refused(call, *blamed(call, argument, value))


@pytest.mark.slow
@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "avg_pool2d"])
@given(data=st.data())
@settings(many, max_examples=300)
def test_any_geometry(op: str, data: st.DataObject) -> None:
    """Draw all arguments at once, mostly small. The result is right, or the call is refused."""
    small = st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 5))
    pad = st.integers(0, 4) | st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 2)
    x = tuple(data.draw(st.tuples(*[st.integers(0, 3)] * 2, *[st.integers(0, 9)] * 2)))
    kwargs: dict[str, Any] = {"stride": data.draw(small), "padding": data.draw(pad)}
    fill = Fill(np.random.default_rng(1))
    args: tuple[Any, ...]
    if op == "conv2d":
        kwargs["groups"] = data.draw(st.integers(1, 3))
        kernel = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
        out_channels = data.draw(st.integers(0, 3)) * kwargs["groups"]
        args = (fill(*x), fill(out_channels, x[1] // kwargs["groups"], *kernel))
    else:
        kwargs["ceil_mode"] = data.draw(st.booleans())
        args = (fill(*x), data.draw(small))
    if op != "avg_pool2d":
        kwargs["dilation"] = data.draw(small)
    else:
        kwargs["count_include_pad"] = data.draw(st.booleans())
    right_or_refused(Call(op, args, kwargs), "kernel|weight|groups|x", [""])


def test_windows_as_large_as_numbers_go() -> None:
    """The time depends on the pixels that windows see, not on the size of padding or window."""
    huge = 2**31
    x = Fill(np.random.default_rng(1), integers=True)(2, 3, 6, 5)
    y, _ = kernels.max_pool2d(x, huge, padding=huge // 2, stride=1)
    np.testing.assert_array_equal(y, np.broadcast_to(x.max((2, 3), keepdims=True), y.shape))
    y = kernels.avg_pool2d(x, huge, padding=huge // 2, stride=1)
    np.testing.assert_array_equal(y, np.broadcast_to(x.sum((2, 3), keepdims=True) / 2**62, y.shape))
    for op in ("conv2d", "max_pool2d", "avg_pool2d"):
        call = with_value(with_value(valid_call(op), "stride", huge), "padding", huge)
        check(call, call.run())


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS)
@given(data=st.data())
@many
def test_one_bad_array(op: str, data: st.DataObject) -> None:
    """Give one array another shape, dtype or memory order.

    The result is right, or an error names one of the arrays.
    """
    call = data.draw(st.sampled_from(valid_calls(op)))
    arrays = list(array_arguments(call))
    i, _, array = data.draw(st.sampled_from(arrays))
    shape = data.draw(st.permutations(array.shape) | st.lists(st.integers(0, 5), max_size=5))
    dtypes = [array.dtype.str, "f4", "f8", "i8", "u1", "i4", "?", "O", "V4"]
    order = data.draw(st.sampled_from("CF"))
    other = np.zeros(shape, data.draw(st.sampled_from(dtypes)), order)
    names = "|".join(name for _, name, _ in arrays)
    right_or_refused(
        with_argument(call, i, other),
        f"{names}|input_shape|weight_shape|groups|kernel|pool_size",
        [""],
    )


@pytest.mark.parametrize("op", OPS)
def test_values_that_are_no_numbers(op: str, isa: str, rng: np.random.Generator) -> None:
    """Unusual numbers give NaN if the reference does, and finite results if it does.

    The numbers are NaN, infinities, subnormal and large numbers, and both zeros.
    """
    call = valid_call(op)
    special = np.float32([np.nan, np.inf, -np.inf, 2.0**-149, -(2.0**-149), 1e18, -1e18, 0, -0.0])

    def spoil(array: Any) -> Any:
        if array.dtype != np.float32 or call.op.startswith("softmax_cross"):
            return array
        spoiled = array.copy()
        spoiled.ravel()[rng.integers(0, array.size, 2)] = rng.choice(special, 2)
        return spoiled

    if op in ("conv2d", "conv2d_backward_input", "conv2d_pool_act_backward"):
        special = special[3:]  # a weight of NaN or infinity times the padding's 0 is NaN
    for _ in range(30):
        changed = call.map(spoil)
        got = changed.run()
        for result, expected in zip(got, changed.expected(), strict=True):
            with np.errstate(over="ignore"):
                finite = np.isfinite(np.float32(expected)) & (np.abs(expected) < 1e38)
            assert np.all(np.isfinite(np.asarray(result)[finite])), changed
            assert np.all(np.isnan(np.asarray(result)[np.isnan(expected)])), changed


@pytest.mark.slow
@given(shape=sizes, device=st.sampled_from(["cpu", "cuda", "", None, 1]))
@settings(many, max_examples=200)
def test_empty(shape: Any, device: Any) -> None:
    try:
        array = kernels.empty(shape, device)
    except MemoryError:
        return
    except byhand.cuda.DeviceError as error:
        assert device == "cuda"
        assert str(error) == f'device "cuda" cannot be used: {byhand.cuda.why_not()}'
        return
    except (TypeError, ValueError) as error:
        assert re.search("shape|device", str(error)), error
        return
    assert device in ("cpu", "cuda")
    wanted = shape if isinstance(shape, (tuple, list)) else (shape,)
    assert array.shape == tuple(int(n) for n in wanted)
    assert array.dtype == np.float32
    if device == "cpu":
        assert array.flags.c_contiguous
        assert array.ctypes.data % 64 == 0


def test_a_new_argument_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new argument is tested automatically, and the test fails if the reference lacks it."""
    relu = kernels.relu

    def leaky(x: Any, *, slope: float = 0.0, out: Any = None) -> Any:
        return relu(x, out=out)

    assert other_arguments("relu") == []
    monkeypatch.setattr(kernels, "relu", leaky)
    assert other_arguments("relu") == ["slope"]
    with pytest.raises(TypeError, match="slope"):
        right_or_refused(with_value(valid_call("relu"), "slope", 0.5), "slope", ["0.5"])


def test_the_reference_takes_what_the_kernels_take() -> None:
    """The reference accepts every argument of the kernels, so that no comparison is skipped."""
    for op, argument in MUTATIONS:
        assert valid_call(op).expected(), argument
    assert reference.avg_pool2d(np.zeros((1, 1, 0, 0)), 1, padding=1).shape == (1, 1, 2, 2)


class Deceiver(np.ndarray):
    """A subclass of ndarray whose methods return other arrays than they should."""

    def copy(self, *_: Any, **__: Any) -> Any:
        return np.zeros(3, np.int8)

    astype = copy


def test_methods_of_a_subclass_are_not_trusted() -> None:
    strided = np.ones((2, 3, 4, 8), np.float32)[..., ::2].view(Deceiver)
    assert kernels.conv2d_backward_bias(strided).tolist() == [32, 32, 32]


@pytest.mark.parametrize(
    "value", ["é" * 200, 10**5000, b"\xff", 1.5], ids=lambda value: type(value).__name__
)
def test_any_value_can_be_named(value: Any) -> None:
    x = np.ones((1, 1, 3, 3), np.float32)
    for name in ("stride", "groups", "algorithm"):
        with pytest.raises((TypeError, ValueError), match=name):
            kernels.conv2d(x, x, **{name: value})
