"""DeviceArray: shapes, views, copies, exchange with other libraries, and what it refuses.

The tests run on a device without operators, whose memory is that of the CPU, and on CUDA.
"""

from __future__ import annotations

import array
import copy
import gc
import pickle
import re
from collections.abc import Callable
from typing import Any

import byhand
import devices
import numpy as np
import pytest
from byhand import kernels
from calls import Array

F32 = np.float32
DTYPES = [np.float32, np.int32, np.int64, np.uint8]


@pytest.fixture
def in_cpu_memory(where: str) -> str:
    """The name of a device whose memory the CPU can read."""
    if where == "cuda" and not byhand.cuda.is_emulated():
        pytest.skip("the CPU cannot read the memory of a GPU")
    return where


def numbers(where: str, *shape: int, dtype: Any = F32) -> tuple[Array, Any]:
    """Return an array of the numbers from 0 on, and a copy on the device."""
    values = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    return values, byhand.asarray(values, where)


def assert_equal(on_device: Any, expected: Any) -> None:
    assert isinstance(on_device, byhand.DeviceArray)
    values = on_device.to("cpu")
    assert isinstance(values, np.ndarray)
    assert values.dtype == expected.dtype
    assert values.shape == expected.shape
    np.testing.assert_array_equal(values, expected)


# --------------------------------------------------------------------------------------------------
# What an array is


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0, 3), (1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_attributes_are_those_of_numpy(where: str, shape: tuple[int, ...], dtype: Any) -> None:
    values, array = numbers(where, *shape, dtype=dtype)
    for name in ("shape", "dtype", "ndim", "size", "nbytes"):
        assert getattr(array, name) == getattr(values, name)
    assert array.device == where
    if shape:
        assert len(array) == len(values)
    assert_equal(array, values)


def test_repr(where: str) -> None:
    _, array = numbers(where, 2, 3, dtype=np.int64)
    assert repr(array) == f'DeviceArray(shape=(2, 3), dtype=int64, device="{where}")'
    assert repr(array[0]).startswith("DeviceArray(shape=(3,), ")


def test_nobody_makes_an_array_without_a_device() -> None:
    with pytest.raises(TypeError, match=r"byhand.asarray\(x, device=...\) makes a DeviceArray"):
        byhand.DeviceArray()  # type: ignore[call-arg, unused-ignore]
    with pytest.raises(TypeError, match="is not safe"):
        byhand.DeviceArray.__new__(byhand.DeviceArray)
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Mine", (byhand.DeviceArray,), {})


def test_format(where: str) -> None:
    """An array of one value is formatted as its value, for example the loss of a batch."""
    loss = byhand.asarray(F32(0.25), where)
    assert f"{loss:.3f}" == "0.250"
    assert f"{loss}" == repr(loss)
    with pytest.raises(ValueError, match="only an array of one value is a number"):
        f"{numbers(where, 2)[1]:.3f}"


# --------------------------------------------------------------------------------------------------
# Copies to and from the device


STRIDES = {
    "transposed": np.arange(12, dtype=F32).reshape(3, 4).T,
    "negative": np.arange(12, dtype=F32).reshape(3, 4)[::-1, ::2],
    "fortran": np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
    "swapped": np.arange(5, dtype=">f4"),
    "swapped with strides": np.arange(5, dtype=">i8")[::2],
    "long long": np.arange(4, dtype=np.longlong),
    "broadcast": np.broadcast_to(F32(3), (2, 3)),
    "empty": np.zeros((3, 0, 2), F32)[::2],
    "unaligned": np.frombuffer(b"\0" + np.arange(3, dtype=F32).tobytes(), np.uint8)[1:].view(F32),
}


@pytest.mark.parametrize("name", STRIDES)
def test_any_strides_and_byte_order_are_copied(where: str, name: str) -> None:
    values = STRIDES[name]
    assert_equal(byhand.asarray(values, where), values.astype(values.dtype.newbyteorder("=")))


def test_lists_and_numbers_become_arrays(where: str) -> None:
    assert_equal(byhand.asarray([[1, 2], [3, 4]], where), np.array([[1, 2], [3, 4]]))
    assert_equal(byhand.asarray(7, where), np.array(7))
    assert_equal(byhand.asarray(F32(0.5), where), np.array(0.5, F32))
    assert_equal(byhand.asarray([F32(1), F32(2)], where), F32([1, 2]))


def test_arrays_of_other_libraries_are_copied(where: str) -> None:
    assert_equal(byhand.asarray(array.array("f", [1, 2]), where), F32([1, 2]))
    assert_equal(byhand.asarray(memoryview(b"\1\2"), where), np.uint8([1, 2]))
    _, target = numbers(where, 2, 3)
    target[1] = array.array("f", [7, 8, 9])
    assert_equal(target, F32([[0, 1, 2], [7, 8, 9]]))


@pytest.mark.parametrize("dtype", ["bool", "f2", "f8", "u4", "i2", "u8", "c8", "U1", "O", "M8[s]"])
def test_other_dtypes_are_refused(where: str, dtype: str) -> None:
    """Nothing is converted unasked. A string has 4 bytes, and a pointer 8, as numbers have."""
    with pytest.raises(TypeError, match=r"x must have the dtype float32, int32, int64 or uint8"):
        byhand.asarray(np.zeros(3, dtype), where)


def test_the_cpu_has_arrays_of_numpy() -> None:
    values = np.zeros((2, 3))
    assert byhand.asarray(values) is values
    assert byhand.asarray(values, device="cpu") is values
    assert isinstance(byhand.asarray([1.5]), np.ndarray)


def test_an_array_that_is_there_already_is_not_copied(where: str) -> None:
    values, array = numbers(where, 3)
    assert byhand.asarray(array, where) is array
    assert array.to(where) is array
    for copied in (array.to("cpu"), byhand.asarray(array), byhand.asarray(array, "cpu")):
        assert isinstance(copied, np.ndarray)
        np.testing.assert_array_equal(copied, values)
        copied[:] = 9
    assert_equal(array, values)


def test_an_array_goes_from_device_to_device(where: str) -> None:
    values, array = numbers(where, 2, 3)
    other = array.to("test-gpu")
    assert other.device == "test-gpu"
    assert_equal(other, values)


def test_the_array_of_numpy_may_change_after_the_copy(where: str) -> None:
    values, array = numbers(where, 1000)
    before = values.copy()
    values[:] = -1
    assert_equal(array, before)


@pytest.mark.parametrize("device", ["", "gpu", "CUDA", "cuda:0", "tpu"])
def test_unknown_devices(where: str, device: str) -> None:
    _, array = numbers(where, 1)
    calls: list[Callable[[], Any]] = [
        lambda: array.to(device),
        lambda: byhand.asarray([1], device),
        lambda: kernels.empty(1, device),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f'device must be "cpu" or "cuda", got "{device}"'):
            call()
    for wrong in (None, 1, b"cpu"):
        with pytest.raises(TypeError, match="device must be a string"):
            array.to(wrong)  # type: ignore[call-overload]


@pytest.mark.parametrize("shape", [(2**40, 2**10), (2**30, 2**28)], ids=str)
def test_an_array_that_no_memory_can_hold(where: str, shape: tuple[int, int]) -> None:
    with pytest.raises(MemoryError):
        byhand.asarray(np.broadcast_to(np.uint8(0), shape), where)
    with pytest.raises(MemoryError):
        kernels.empty(shape, where)
    with pytest.raises(ValueError, match="too large"):
        byhand.asarray(np.broadcast_to(np.uint8(0), (2**31, 2**31)), where)


def test_copy(where: str) -> None:
    values, array = numbers(where, 2, 3)
    other = array.copy()
    array.fill(0)
    assert_equal(other, values)
    assert_equal(byhand.asarray(np.zeros((0, 2), F32), where).copy(), np.zeros((0, 2), F32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_pickle_and_deepcopy(where: str, dtype: Any) -> None:
    values, array = numbers(where, 2, 3, dtype=dtype)
    for other in (pickle.loads(pickle.dumps(array)), copy.deepcopy(array), copy.copy(array)):
        assert other.device == where
        assert_equal(other, values)
        other[0] = other[1].copy()
        assert_equal(array, values)


# --------------------------------------------------------------------------------------------------
# Views


def test_reshape(where: str) -> None:
    values, array = numbers(where, 4, 6)
    for shape in ((24,), (2, 12), (2, -1), (-1, 3, 2), (1, 24, 1), (-1,)):
        assert_equal(array.reshape(shape), values.reshape(shape))
        assert_equal(array.reshape(*shape), values.reshape(shape))
        assert_equal(array.reshape(list(shape)), values.reshape(shape))
    assert_equal(array.reshape(np.int64(-1)), values.ravel())
    assert_equal(array[0][:1].reshape(()), np.array(0, F32))
    _, empty = numbers(where, 0, 3)
    assert empty.reshape(-1, 5).shape == (0, 5)
    assert empty.reshape(7, 0, 2).shape == (7, 0, 2)


@pytest.mark.parametrize(
    "shape",
    [
        (5,),
        (),
        (4, 7),
        (-1, -1),
        (-2, -12),
        (-24,),
        (-1, 7),
        (0, -1),
        (2**32, 2**32),  # the product is 0 in 64 bits
        (2**63 - 1, 2),
        (3, 2**61 + 8),  # the product is 24 in 64 bits
        (-1, 2**62, 4),
    ],
    ids=str,
)
def test_shapes_with_another_number_of_values(where: str, shape: tuple[int, ...]) -> None:
    _, array = numbers(where, 4, 6)
    message = f"shape must have the 24 values of the array, got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        array.reshape(shape)


def test_shapes_of_an_empty_array(where: str) -> None:
    """Every size fits in place of -1 if another size is 0, so none is chosen."""
    _, empty = numbers(where, 0, 3)
    for shape in ((0, -1), (-1, -1), (1,), (2**32, 2**32)):
        with pytest.raises(ValueError, match="shape must have the 0 values"):
            empty.reshape(shape)
    for wrong in ("6", 1.0, None, [1, "2"]):
        with pytest.raises(TypeError, match="shape must be an integer"):
            empty.reshape(wrong)  # type: ignore[arg-type]


def test_rows_are_views(where: str) -> None:
    values, array = numbers(where, 5, 2, 3)
    keys: list[Any] = [0, 4, -1, -5, np.int64(2), ..., slice(None), slice(1, 3), slice(-2, None)]
    keys += [slice(3, 3), slice(4, 1), slice(5, None), slice(9, 12), slice(-99, 99), slice(0, -1)]
    for key in keys:
        assert_equal(array[key], values[key])
    for key in keys:
        values, array = numbers(where, 5, 2, 3)
        view = array[key]
        view.fill(-1)
        values[key] = -1
        assert_equal(array, values)
    assert_equal(array[1:4][1:][0], values[2])


def test_views_of_views_share_memory(where: str) -> None:
    values, array = numbers(where, 4, 6)
    view = array[2:].reshape(3, 4)[1].view(np.int32)
    view[:] = np.zeros(4, np.int32)
    values[2:].reshape(3, 4)[1] = 0
    assert_equal(array, values)
    del array
    gc.collect()
    assert_equal(view, np.zeros(4, np.int32))


def test_view_reads_the_bytes_as_another_dtype(where: str) -> None:
    values, array = numbers(where, 2, 3)
    assert_equal(array.view(np.int32), values.view(np.int32))
    assert_equal(array.view("int32").view(np.float32), values)
    assert array.view(F32).dtype == F32
    for dtype in (np.int64, np.uint8):
        with pytest.raises(ValueError, match="dtype must have 4 bytes per value, as float32 has"):
            array.view(dtype)
    for wrong in (">f4", ">i4", "u4", "U1", "V4", "f8", object, bool):
        with pytest.raises(TypeError, match="the view must have the dtype float32, int32"):
            array.view(wrong)
    _, integers = numbers(where, 3, dtype=np.int64)
    with pytest.raises(TypeError, match="got object"):
        integers.view(object)  # the numbers are no addresses


def test_indices_that_are_refused(where: str) -> None:
    _, array = numbers(where, 4, 6)
    for i in (4, -5, 2**40):
        with pytest.raises(IndexError, match=rf"index {i} is out of range .* shape \(4, 6\)"):
            array[i]
        with pytest.raises(IndexError):
            array[i] = array[0]
    for key in (slice(None, None, 2), slice(None, None, -1)):
        with pytest.raises(ValueError, match=r"must have step 1, got -?\d; array.to\(\"cpu\"\)"):
            array[key]
    for wrong in ((0, 1), (), None, 1.0, "0", [0], np.array([True] * 4), F32(1)):
        with pytest.raises(TypeError, match=r"takes an integer|must be an integer"):
            array[wrong]
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        array[::0]
    with pytest.raises(ValueError, match="index must fit int64"):
        array[2**64]


def test_an_array_without_dimensions_has_no_rows(where: str) -> None:
    _, array = numbers(where)
    calls: list[Callable[[], Any]] = [
        lambda: array[0],
        lambda: array[:],
        lambda: list(array),
        lambda: len(array),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="an array without dimensions has no"):
            call()
    assert_equal(array[...], np.array(0, F32))


def test_a_loop_over_an_array_ends(where: str) -> None:
    values, array = numbers(where, 3, 2)
    rows = list(array)
    assert len(rows) == 3
    for row, expected in zip(rows, values, strict=True):
        assert_equal(row, expected)
    assert list(array[:0]) == []


# --------------------------------------------------------------------------------------------------
# Values


def test_fill(where: str) -> None:
    array = kernels.empty((3, 4), where)
    array.fill(2)
    assert_equal(array, np.full((3, 4), 2, F32))
    array[1:2].fill(np.float64(1 / 3))
    assert_equal(array[1], np.full(4, 1 / 3, F32))
    array[:0].fill(9)
    array.fill(float("nan"))
    assert_equal(array, np.full((3, 4), np.nan, F32))
    with pytest.raises(TypeError, match="value must be a number"):
        array.fill("0")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fill needs an array of dtype float32, got int32"):
        array.view(np.int32).fill(0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers(where: str, dtype: Any) -> None:
    _, array = numbers(where, 4, dtype=dtype)
    for one in (array[3], array[3:], array[3:].reshape(1, 1)):
        assert one.item() == 3
        assert type(one.item()) is (float if dtype is np.float32 else int)
        assert (float(one), int(one), bool(one)) == (3.0, 3, True)
    assert not array[0]
    for several in (array, array[:0]):
        for function in (float, int, bool, byhand.DeviceArray.item):
            with pytest.raises(ValueError, match="only an array of one value is a number, got sh"):
                function(several)


def test_assignments(where: str) -> None:
    values, array = numbers(where, 4, 6)
    new = -np.arange(6, dtype=F32)
    for key, value in [
        (0, new),
        (-1, new[::-1]),
        (slice(1, 3), np.asfortranarray(np.stack([new, new + 9]))),
        (slice(2, 2), np.zeros((0, 6), F32)),
        (..., values * 2),
    ]:
        array[key] = value
        values[key] = value
        assert_equal(array, values)
        array[key] = byhand.asarray(value, where)
        assert_equal(array, values)
    array[1][2:3] = F32([7])
    values[1, 2] = 7
    assert_equal(array, values)
    read_only = new.copy()
    read_only.flags.writeable = False
    array[3] = read_only
    assert_equal(array[3], new)


def test_assignments_that_are_refused(where: str) -> None:
    values, array = numbers(where, 4, 6)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (np.zeros(5, F32), ValueError, r"the new value must have shape \(6,\), got \(5,\)"),
        (np.zeros((1, 6), F32), ValueError, r"shape \(6,\), got \(1, 6\)"),
        (np.zeros(6), TypeError, "the new value must have the dtype float32, got float64"),
        (np.zeros(6, np.int32), TypeError, "dtype float32, got int32"),
        (np.zeros(6, ">f4"), TypeError, "dtype float32, got >f4"),
        (byhand.asarray(np.zeros(6, np.int32), where), TypeError, "dtype float32, got int32"),
        (byhand.asarray(np.zeros(6, F32), "test-gpu"), ValueError, f"must be on {where}, got test"),
        (0.0, TypeError, "the new value must be a numpy.ndarray, got float; byhand.asarray"),
        ([0.0] * 6, TypeError, "got list"),
        (None, TypeError, "got NoneType"),
    ]
    for value, error, message in wrong:
        with pytest.raises(error, match=message):
            array[0] = value
    with pytest.raises(TypeError, match="takes an integer"):
        array[0, 0] = F32(0)
    with pytest.raises(AttributeError):
        del array[0]
    assert_equal(array, values)


@pytest.mark.parametrize("count", [2, 3, 1000, 100_000])
@pytest.mark.parametrize("by", [1, 7, -1, -7])
def test_a_part_is_copied_to_another_part_that_it_overlaps(where: str, count: int, by: int) -> None:
    values, array = numbers(where, max(count, 9), dtype=np.int64)
    to, source = (slice(by, None), slice(-by)) if by > 0 else (slice(by), slice(-by, None))
    array[to] = array[source]
    values[to] = values[source].copy()
    assert_equal(array, values)
    array[:] = array
    assert_equal(array, values)


# --------------------------------------------------------------------------------------------------
# What would copy unasked, or be wrong without notice, is refused


@pytest.mark.parametrize(
    "call",
    [
        lambda a: np.asarray(a),
        lambda a: np.asarray(a, F32),
        lambda a: np.array(a, copy=True),
        lambda a: np.array([a, a]),
        lambda a: np.zeros(3, F32).__setitem__(slice(3), a),
        lambda a: np.concatenate([a, a]),
        lambda a: 0.0 in a,
        lambda a: a == a,
        lambda a: a != np.zeros(3, F32),
        lambda a: np.zeros(3, F32) == a,
        lambda a: F32(0) == a,
    ],
)
def test_no_conversion_to_numpy_and_no_comparison(where: str, call: Callable[[Any], Any]) -> None:
    _, array = numbers(where, 3)
    with pytest.raises(TypeError, match=rf"an array on {where} is neither .* array.to\(\"cpu\"\)"):
        call(array)


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: a + a,
        lambda a, b: a + b,
        lambda a, b: b + a,
        lambda a, b: b * a,
        lambda a, b: b @ a,
        lambda a, b: b < a,
        lambda a, b: F32(2) * a,
        lambda a, b: 2 * a,
        lambda a, b: -a,
        lambda a, b: np.add(b, a),
        lambda a, b: np.exp(a),
        lambda a, b: np.sum(a),
        lambda a, b: b.__iadd__(a),
        lambda a, b: memoryview(a),
    ],
)
def test_no_arithmetic(where: str, call: Callable[[Any, Any], Any]) -> None:
    values, array = numbers(where, 3)
    with pytest.raises(TypeError):
        call(array, values)
    assert_equal(array, np.arange(3, dtype=F32))


def test_arrays_are_keys_by_identity(where: str) -> None:
    _, array = numbers(where, 3)
    _, other = numbers(where, 3)
    assert {array: 1, other: 2}[array] == 1
    assert array in (array, other)


def test_an_operator_that_the_device_lacks(rng: np.random.Generator) -> None:
    array = byhand.asarray(rng.standard_normal((4, 3), F32), "test")
    labels = byhand.asarray(np.arange(4) % 3, "test")
    calls: dict[str, Callable[[], Any]] = {
        "relu": lambda: kernels.relu(array),
        "softmax": lambda: kernels.softmax(array),
        "linear_act": lambda: kernels.linear_act(array, array),
        "accumulate": lambda: kernels.accumulate(array, array.copy()),
        "softmax_cross_entropy": lambda: kernels.softmax_cross_entropy(array, labels),
        "count_correct": lambda: kernels.count_correct(array, labels),
    }
    for name, call in calls.items():
        with pytest.raises(NotImplementedError, match=rf"^{name}\(\): the device of the arrays"):
            call()


# --------------------------------------------------------------------------------------------------
# Other libraries


class AsCopy:
    """Offers a copy of an array. np.from_dlpack has an argument for that only since NumPy 2.1."""

    def __init__(self, array: byhand.DeviceArray) -> None:
        self.array = array

    def __dlpack__(self, **_: Any) -> Any:
        return self.array.__dlpack__(copy=True)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def test_numpy_reads_the_memory_through_dlpack(in_cpu_memory: str) -> None:
    for shape in ((), (3,), (2, 3), (0, 3)):
        for dtype in DTYPES:
            values, array = numbers(in_cpu_memory, *shape, dtype=dtype)
            shared = np.from_dlpack(array)
            assert (shared.dtype, shared.shape) == (dtype, shape)
            np.testing.assert_array_equal(shared, values)
    values, array = numbers(in_cpu_memory, 2, 3)
    shared, second = np.from_dlpack(array), np.from_dlpack(array[1:])
    copied = np.from_dlpack(AsCopy(array))
    array.fill(5)
    assert (shared == 5).all() and (second == 5).all()
    np.testing.assert_array_equal(copied, values)
    del array
    gc.collect()
    assert (shared == 5).all()


def test_torch_shares_the_memory_through_dlpack(where: str, torch: Any) -> None:
    values, array = numbers(where, 2, 3)
    tensor = torch.from_dlpack(array)
    assert tensor.device.type == ("cuda" if array.__dlpack_device__()[0] == 2 else "cpu")
    np.testing.assert_array_equal(tensor.cpu().numpy(), values)
    tensor[1] = -1
    if tensor.device.type == "cuda":
        torch.cuda.synchronize()
    values[1] = -1
    assert_equal(array, values)
    row = torch.from_dlpack(array[1:])
    assert row.shape == (1, 3)
    array.fill(8)
    del array
    gc.collect()
    assert (row.cpu() == 8).all()


def test_devices_of_dlpack(in_cpu_memory: str) -> None:
    _, array = numbers(in_cpu_memory, 3)
    assert array.__dlpack_device__() == (1, 0)
    assert byhand.asarray(array, "test-gpu").__dlpack_device__() == (2, 0)
    for options in ({}, {"dl_device": (1, 0)}, {"stream": None}, {"max_version": (1, 0)}):
        assert "dltensor" in repr(array.__dlpack__(**options))
    for device in ((2, 0), (1, 1), (1,), "cpu"):
        with pytest.raises(BufferError, match=r"the array is on .*; array.to\(\"cpu\"\) copies"):
            array.__dlpack__(dl_device=device)
    with pytest.raises(TypeError, match="copy must be True or False"):
        array.__dlpack__(copy=1)
    with pytest.raises(TypeError):
        array.__dlpack__(None)  # the arguments have names


def test_the_interface_for_cupy(in_cpu_memory: str) -> None:
    values, array = numbers(in_cpu_memory, 2, 3)
    assert not hasattr(array, "__cuda_array_interface__")  # no GPU can read this memory
    for dtype in DTYPES:
        gpu = byhand.asarray(values.astype(dtype), "test-gpu")
        interface = gpu.__cuda_array_interface__
        address, read_only = interface.pop("data")
        assert interface == {
            "shape": (2, 3),
            "typestr": np.dtype(dtype).str,
            "strides": None,
            "stream": None,
            "version": 3,
        }
        assert not read_only
        row = gpu[1].__cuda_array_interface__["data"][0]
        assert row - address == 3 * gpu.dtype.itemsize
    assert gpu[:0].__cuda_array_interface__["data"] == (0, False)


# --------------------------------------------------------------------------------------------------
# Memory


@pytest.mark.slow
def test_memory_returns() -> None:
    devices.cuda_module()
    byhand.asarray([1], "cuda").to("cpu")
    gc.collect()
    before = byhand.cuda.memory()
    assert 0 <= before.used < before.total
    megabyte = 1 << 20
    array = byhand.asarray(np.zeros(megabyte, np.uint8), "cuda")
    assert byhand.cuda.memory().used >= before.used + megabyte
    views = [array, array[1000:], array.reshape(4, -1), array.view(np.uint8)]
    capsules = [array.__dlpack__(), array[5:].__dlpack__()]
    while views:
        views.pop(0)
        assert byhand.cuda.memory().used >= before.used + megabyte
    del array
    capsules.pop()
    assert byhand.cuda.memory().used >= before.used + megabyte
    capsules.pop()  # nobody has taken its tensor
    assert byhand.cuda.memory() == before
    copied = byhand.asarray(np.zeros(megabyte, np.uint8), "cuda").__dlpack__(copy=True)
    assert before.used + megabyte <= byhand.cuda.memory().used < before.used + 2 * megabyte
    del copied
    assert byhand.cuda.memory() == before


@pytest.mark.slow
def test_memory_returns_if_a_tensor_has_been_taken(torch: Any) -> None:
    devices.cuda_module()
    byhand.asarray([1], "cuda").to("cpu")
    gc.collect()
    before = byhand.cuda.memory()
    tensor = torch.from_dlpack(byhand.asarray(np.zeros(1 << 20, np.uint8), "cuda"))
    assert byhand.cuda.memory().used >= before.used + (1 << 20)
    del tensor
    gc.collect()
    assert byhand.cuda.memory() == before
