"""The promises that every kernel makes, tested on each row of ops.py."""

from __future__ import annotations

import functools
import inspect
import pickle
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from typing import Any

import byhand
import numpy as np
import pytest
import reference
from byhand import kernels
from calls import IN_PLACE, Array, Call, Fill
from devices import SCHEDULES
from guard import Fence
from ops import OPS, check, check_exact, draw
from tolerance import assert_same_bits

RETURNING = [name for name in OPS if name not in IN_PLACE or name == "batch_norm"]
WITH_OUT = [name for name in RETURNING if name != "count_correct"]  # which returns an int
every_op = pytest.mark.parametrize("name", OPS)


def small_call(name: str, case: int, rng: np.random.Generator) -> Call:
    return draw(name, Fill(rng), OPS[name].small[case])


def small_calls(name: str, rng: np.random.Generator, integers: bool = False) -> list[Call]:
    return [draw(name, Fill(rng, integers), shape) for shape in OPS[name].small]


def affordable(device: str, calls: Sequence[Call], largest: int = 1000) -> list[Call]:
    """Return the calls that do not take seconds on this device.

    On CUDA, which may be emulated, these are the calls whose arrays have at most `largest` values.
    There is at least one.
    """
    if device not in SCHEDULES:
        return list(calls)
    chosen = [
        call for call in calls if max(map(np.size, (*call.args, *call.expected()))) <= largest
    ]
    assert chosen
    return chosen


def rng_of(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


@functools.cache
def large_call(name: str, integers: bool = False) -> Call:
    """Return the large call. It is cached, because its reference is slow."""
    return draw(name, Fill(rng_of(name), integers), OPS[name].large)


def array_arguments(call: Call) -> Iterator[tuple[int, str, Array]]:
    """Yield the position, name and value of each array. The reference has the kernels' names."""
    names = inspect.signature(getattr(reference, call.op)).parameters
    for i, (name, value) in enumerate(zip(names, call.args, strict=False)):
        if isinstance(value, np.ndarray):
            yield i, name, value


def with_argument(call: Call, i: int, value: Any) -> Call:
    return replace(call, args=(*call.args[:i], value, *call.args[i + 1 :]))


def calls_with_out(rng: np.random.Generator) -> Iterator[Call]:
    """Yield a call for each number of arrays that `out=` takes.

    A loss without a reduction returns one array more.
    """
    for name in WITH_OUT:
        by_count = {len(call.outputs()): call for call in reversed(small_calls(name, rng)[1:])}
        yield from (call for count, call in by_count.items() if count)


def replaced(outs: tuple[Any, ...], i: int, value: Any) -> tuple[Any, ...]:
    return (*outs[:i], value, *outs[i + 1 :])


def same_bits(got: tuple[Array, ...], expected: tuple[Array, ...], what: object) -> None:
    for a, b in zip(got, expected, strict=True):
        assert_same_bits(a, b, repr(what))


def test_every_public_kernel_has_a_row() -> None:
    assert set(kernels.__all__) - {"empty", "conv2d_weight_cache"} == set(OPS)


# Arguments that do not change the values of results. Other tests cover them.
IN_NO_ROW = {"out", "weight_cache", "input_gradient", "bias_gradient"}


@every_op
def test_every_argument_is_in_a_row(name: str, rng: np.random.Generator) -> None:
    """Some row gives each argument another value than its default.

    Otherwise no test would notice a kernel that ignores the argument.
    """
    given = set()
    for shape in (*OPS[name].small, OPS[name].large):
        call = draw(name, Fill(rng), shape)
        names = inspect.signature(getattr(reference, name)).parameters
        arguments = [*zip(names, call.args, strict=False), *call.kwargs.items()]
        given |= {(argument, repr(value)) for argument, value in arguments}
    for parameter in inspect.signature(getattr(kernels, name)).parameters.values():
        if parameter.name not in IN_NO_ROW:
            values = {value for argument, value in given if argument == parameter.name}
            assert values - {repr(parameter.default)}, f"no row gives {name} another {parameter}"


@every_op
def test_integers_are_exact(name: str, device: str, threads: int) -> None:
    """Small integers give exact results, except for kernels that round.

    All devices get the same integers. check_exact refuses integers that would prove little.
    """
    for call in affordable(device, small_calls(name, rng_of(name), integers=True)):
        (check_exact if OPS[name].exact(call) else check)(call, call.run())


@every_op
def test_large_integers_are_exact(name: str, isa: str) -> None:
    """The large call is exact on three threads.

    test_same_bits_for_any_number_of_threads tests the other numbers.
    """
    call = large_call(name, integers=True)
    with byhand.num_threads(3):
        results = call.run()
    (check_exact if OPS[name].exact(call) else check)(call, results)


@every_op
def test_floats_are_within_the_bound(name: str, device: str, rng: np.random.Generator) -> None:
    for call in affordable(device, small_calls(name, rng)):
        check(call, call.run())


@pytest.mark.slow
@every_op
def test_large_floats_are_within_the_bound(name: str, isa: str) -> None:
    call = large_call(name)
    check(call, call.run())


@every_op
def test_same_bits_for_any_number_of_threads(name: str, isa: str) -> None:
    call = large_call(name)
    with byhand.num_threads(1):
        expected = call.run()
    for n in (2, 3, 4):
        with byhand.num_threads(n):
            same_bits(call.run(), expected, (n, call))


@every_op
def test_same_bits_from_several_python_threads(name: str) -> None:
    call = large_call(name)
    expected = call.run()
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: call.run(), range(8)):
            same_bits(result, expected, call)


@every_op
def test_not_one_byte_outside_an_array(name: str, isa: str, rng: np.random.Generator) -> None:
    """The kernel reads and writes nothing outside its arrays, which lie between unreadable pages.

    The test uses several alignments, which must not change a bit.
    """
    for call in small_calls(name, rng):
        expected = call.run()
        for place in (("end", 0), ("start", 0), ("start", 1), ("start", 3), ("end", 5)):
            fence = Fence(*place)
            same_bits(call.run(fence, give_out=True), expected, (place, call))
            assert fence.untouched(), (place, call)


def test_inputs_stay_as_they_are(rng: np.random.Generator) -> None:
    for call in (call for name in OPS for call in small_calls(name, rng)):
        used = call.map(np.copy)
        used.kernel()
        for i, argument, array in array_arguments(call):
            if i not in IN_PLACE.get(call.op, ()):
                assert_same_bits(used.args[i], array, f"{argument} of {call}")


@every_op
def test_inputs_on_cuda_stay_as_they_are(name: str, cuda: str, rng: np.random.Generator) -> None:
    call = affordable(cuda, small_calls(name, rng))[-1]
    moved = call.map(lambda array: byhand.asarray(array, "cuda"))
    moved.kernel()
    for i, argument, array in array_arguments(call):
        if i not in IN_PLACE.get(name, ()):
            assert_same_bits(moved.args[i].to("cpu"), array, f"{argument} of {call}")


def reversed_copy(array: Array) -> Array:
    return np.flip(np.flip(array).copy())


def every_second(array: Array) -> Array:
    wide = np.repeat(array[..., None], 2, axis=-1)
    wide[..., 1] = 99
    return wide[..., 0]


def fortran_order(array: Array) -> Array:
    return np.asfortranarray(array)


def at_an_odd_byte(array: Array) -> Array:
    memory = np.zeros(array.nbytes + 1, np.uint8)
    shifted = memory[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    return shifted


@pytest.mark.parametrize("name", RETURNING)
def test_inputs_of_any_strides(name: str, rng: np.random.Generator) -> None:
    layouts = (reversed_copy, every_second, fortran_order, at_an_odd_byte)
    for call, layout in product(small_calls(name, rng), layouts):
        laid = call
        for i, _, array in array_arguments(call):
            placed = np.copy if i in IN_PLACE.get(name, ()) else layout  # those must be contiguous
            laid = with_argument(laid, i, placed(array))
        check(call, laid.run(lambda array: array))


@every_op
def test_an_empty_batch(name: str, device: str, threads: int, rng: np.random.Generator) -> None:
    """With N = 0, results are empty, gradients 0 and means NaN. They never show old memory."""
    calls = [draw(name, Fill(rng), shape) for shape in OPS[name].empty]
    for call in affordable(device, calls, 100):
        check(call, call.run())
        check(call, call.run(give_out=True))


# --------------------------------------------------------------------------------------------------
# Arguments that are refused


def every_array(case: int, rng: np.random.Generator) -> Iterator[tuple[Call, int, str, Array]]:
    """Yield one call of each operator with each of its arrays in turn."""
    for call in (small_call(name, case, rng) for name in OPS):
        for argument in array_arguments(call):
            yield call, *argument


def test_float_arrays_are_float32(rng: np.random.Generator) -> None:
    for call, i, argument, array in every_array(0, rng):
        if array.dtype == np.float32:
            for dtype in ("f8", "f2", "i4", "u1", "?", "c8", ">f4"):
                wrong = with_argument(call, i, np.ones(array.shape, dtype))
                with pytest.raises(TypeError, match=rf"^{argument}\b.*\.astype\(np\.float32\)"):
                    wrong.run()


def test_arguments_are_arrays(rng: np.random.Generator) -> None:
    for call, i, argument, array in every_array(0, rng):
        for wrong in (array.tolist(), 1.0, "text", object()):
            with pytest.raises(TypeError, match=rf"^{argument}\b"):
                with_argument(call, i, wrong).run()


ANY_SHAPE = ("relu", "tanh", "sigmoid", "softmax", "log_softmax", "dropout", "dropout_backward")


def test_shapes_agree(rng: np.random.Generator) -> None:
    """An array has one dimension too many, or its shape does not agree with the other arguments."""
    for call, i, argument, array in every_array(1, rng):
        if call.op not in ANY_SHAPE and argument != "images":
            names = "|".join(argument for _, argument, _ in array_arguments(call))
            with pytest.raises(ValueError, match=rf"\b({names})\b.*\(2, {array.shape[0]}"):
                with_argument(call, i, np.stack([array, array])).run()


def wrong_outs(out: Array) -> Iterator[tuple[type[Exception], Any]]:
    yield TypeError, out.astype(np.float64)
    yield TypeError, out.tolist()
    yield ValueError, np.stack([out, out])
    yield ValueError, np.concatenate([out, out[:1]])
    yield ValueError, every_second(out)
    yield ValueError, at_an_odd_byte(out)
    read_only = out.copy()
    read_only.flags.writeable = False
    yield ValueError, read_only


def test_out_is_checked(rng: np.random.Generator) -> None:
    """Each array of `out` in turn is wrong in each way. The kernel writes to none of them."""
    for call in calls_with_out(rng):
        outs = call.outputs()
        for i, out in enumerate(outs):
            for error, wrong in wrong_outs(out):
                with pytest.raises(error, match=r"\bout\b"):
                    call.kernel(replaced(outs, i, wrong))
                assert all(np.all(o == -7) for o in outs)


def overlapping(array: Array, out: Array) -> tuple[Array, Array]:
    """Return the two arrays in one memory: the end of `array` overlaps the start of `out`."""
    memory = np.zeros(array.nbytes + out.nbytes, np.uint8)
    first = (array.nbytes - 1) // out.itemsize * out.itemsize
    a, b = memory[: array.nbytes], memory[first : first + out.nbytes]
    a = a.view(array.dtype).reshape(array.shape)
    a[...] = array
    return a, b.view(out.dtype).reshape(out.shape)


def test_out_must_not_overlap_an_input(rng: np.random.Generator) -> None:
    for call in calls_with_out(rng):
        outs = call.outputs()
        for i, _, array in array_arguments(call):
            for j, out in enumerate(outs):
                shared, wrong = overlapping(array, out)
                with pytest.raises(ValueError, match=r"\bout\b.*overlap"):
                    with_argument(call, i, shared).kernel(replaced(outs, j, wrong))


def test_out_is_a_tuple_of_as_many_arrays_as_are_returned() -> None:
    x, out = np.ones((1, 1, 4, 4), np.float32), np.empty((1, 1, 2, 2), np.float32)
    for wrong, shown in (((out,), "a tuple of 1"), (out, "ndarray")):
        with pytest.raises(TypeError, match=f"out must be a tuple of 2 arrays, got {shown}"):
            kernels.max_pool2d(x, 2, out=wrong)  # type: ignore[call-overload]


def test_outs_must_not_overlap_each_other(rng: np.random.Generator) -> None:
    call = small_call("max_pool2d", 1, rng)
    values, indices = call.outputs()
    with pytest.raises(ValueError, match=r"\bout\b.*overlap"):
        call.kernel((values, values.view(indices.dtype)))


def test_out_is_what_is_returned(rng: np.random.Generator) -> None:
    for call in calls_with_out(rng):
        outs = call.outputs()
        results = [result for result in call.kernel(outs) if np.ndim(result)]
        results = results[: len(results) - len(IN_PLACE.get(call.op, ()))]
        assert all(r is o for r, o in zip(results, outs, strict=True))
        check(call, call.run(give_out=True))


@pytest.mark.parametrize("name", IN_PLACE)
def test_arrays_changed_in_place_are_checked(name: str, rng: np.random.Generator) -> None:
    call = small_call(name, -1, rng)
    for i in IN_PLACE[name]:
        argument = next(arg for at, arg, _ in array_arguments(call) if at == i)
        for error, wrong in wrong_outs(call.args[i]):
            with pytest.raises(error, match=rf"\b{argument}\b"):
                with_argument(call, i, wrong).kernel()
        for j, _, array in array_arguments(call):
            if j != i:
                with pytest.raises(ValueError, match="overlap"):
                    with_argument(call, i, array).kernel()


def test_signatures_have_the_references_names() -> None:
    for name in OPS:
        kernel = getattr(kernels, name)
        assert (kernel.__doc__ or "").strip()
        named = inspect.signature(kernel).parameters
        for parameter in inspect.signature(getattr(reference, name)).parameters.values():
            assert parameter.kind is parameter.VAR_KEYWORD or parameter.name in named, parameter


def test_calls_that_no_signature_takes(rng: np.random.Generator) -> None:
    """Each call raises a TypeError that names the function and the argument, as Python's own do."""
    for name in OPS:
        call = small_call(name, -1, rng)
        kernel = getattr(kernels, name)
        first, *others = inspect.signature(kernel).parameters.values()
        positional = [p for p in (first, *others) if p.kind is not p.KEYWORD_ONLY]
        cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
            (f"takes at most {len(positional)} positional", (None,) * (len(positional) + 1), {}),
            ("unexpected keyword argument 'sigma'", call.args, {**call.kwargs, "sigma": 1}),
            (f"multiple values for argument '{first.name}'", call.args, {first.name: call.args[0]}),
            (f"missing required argument '{first.name}'", (), {}),
        ]
        for message, args, kwargs in cases:
            with pytest.raises(TypeError, match=rf"{name}\(\) .*{message}"):
                kernel(*args, **kwargs)


def test_kernels_are_pickled_by_name() -> None:
    for name in OPS:
        kernel = getattr(kernels, name)
        assert pickle.loads(pickle.dumps(kernel)) is kernel
        assert repr(kernel) == f"<built-in function {name}>"


def test_keywords_that_were_computed(rng: np.random.Generator) -> None:
    """Keywords may be computed at run time. Python interns only those in the source text."""
    x = rng.standard_normal((3, 4)).astype(np.float32)
    kwargs = {"".join(["trans", "_", "b"]): True, "".join(["al", "pha"]): 2.0}
    np.testing.assert_array_equal(kernels.gemm(x, x, **kwargs), kernels.gemm(x, x.T, alpha=2.0))
