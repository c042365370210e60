"""Kernels take arrays of other libraries, and write to them, without a copy."""

from __future__ import annotations

import array
import ctypes
from collections.abc import Callable
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import kernels
from calls import Array

F32 = np.float32
VALUES = F32([[-1, 2, -3], [4, -5, 6]])


class Exporter:
    """An array that offers one protocol, and nothing else, to read its values."""

    def __init__(self, values: Array) -> None:
        self.values = values


class Interface(Exporter):
    @property
    def __array_interface__(self) -> Any:
        return self.values.__array_interface__


class DLPack(Exporter):
    def __dlpack__(self, **arguments: Any) -> Any:
        return self.values.__dlpack__(**arguments)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


class ArrayMethod(Exporter):
    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.values


# Each function returns an object that shares the memory of an array.
SHARING: dict[str, Callable[[Array], Any]] = {
    "memoryview": memoryview,
    "__array_interface__": Interface,
    "DLPack": DLPack,
}
READABLE = {**SHARING, "__array__": ArrayMethod}
# Before version 2.1, NumPy itself declares every array of DLPack to be read-only.
CAN_WRITE = {"DLPack": np.from_dlpack(VALUES).flags.writeable}


def address(values: Any) -> int:
    return int(np.asarray(values).ctypes.data)


# --------------------------------------------------------------------------------------------------
# Reading and writing


@pytest.mark.parametrize("protocol", READABLE)
def test_inputs(protocol: str) -> None:
    x = READABLE[protocol](VALUES)
    assert kernels.relu(x).tolist() == [[0, 2, 0], [4, 0, 6]]
    assert kernels.gemm(x, x, trans_b=True).tolist() == [[14, -32], [-32, 77]]


@pytest.mark.parametrize("protocol", READABLE)
def test_inputs_are_not_copied(protocol: str) -> None:
    """The address of an input and that of the result are equal, so byhand sees the overlap."""
    values = VALUES.copy()
    with pytest.raises(ValueError, match=r"out must not overlap .* have 24 bytes in common"):
        kernels.relu(READABLE[protocol](values), out=values)
    assert address(byhand.asarray(READABLE[protocol](values))) == address(values)


@pytest.mark.parametrize("protocol", SHARING)
def test_results_are_written_to_the_callers_memory(protocol: str) -> None:
    values = np.zeros_like(VALUES)
    out = SHARING[protocol](values)
    if not CAN_WRITE.get(protocol, True):
        with pytest.raises(ValueError, match="out must be writable"):
            kernels.relu(VALUES, out=out)
        return
    assert kernels.relu(VALUES, out=out) is out
    assert values.tolist() == [[0, 2, 0], [4, 0, 6]]


def test_several_results() -> None:
    x = VALUES.reshape(1, 1, 2, 3)
    values, indices = np.zeros((1, 1, 1, 1), F32), np.zeros((1, 1, 1, 1), np.int32)
    out = Interface(values), memoryview(indices)
    results = kernels.max_pool2d(memoryview(x), 2, out=out)
    assert results[0] is out[0] and results[1] is out[1]
    assert values.item() == 4 and indices.item() == 3


def test_arrays_that_change_in_place() -> None:
    weights, gradients, velocity = (array.array("f", v) for v in ([1, 2, 3], [2] * 3, [0] * 3))
    kernels.sgd_step(weights, gradients, velocity, lr=0.5, momentum=0.0)
    assert weights.tolist() == [0, 1, 2]


def test_the_standard_library() -> None:
    out = array.array("f", [7, 7])
    assert kernels.relu(array.array("f", [-1, 2]), out=out) is out
    assert out.tolist() == [0, 2]
    assert kernels.relu((ctypes.c_float * 2)(-1, 2)).tolist() == [0, 2]
    images = bytearray(range(8))
    view = memoryview(images).cast("B", (2, 2, 2))
    batch = kernels.gather_images(view, array.array("q", [1]), scale=1, offset=0)
    assert batch.tolist() == [[[4, 5], [6, 7]]]


def test_labels_and_gradients() -> None:
    logits, labels = memoryview(VALUES), array.array("i", [1, 2])
    loss, probabilities = kernels.softmax_cross_entropy(logits, labels)
    expected = kernels.softmax_cross_entropy(VALUES, np.array([1, 2]))
    assert loss == expected[0] and np.array_equal(probabilities, expected[1])


def test_strides_are_read() -> None:
    turned = memoryview(VALUES[:, ::-1])
    assert kernels.relu(turned).tolist() == [[0, 2, 0], [6, 0, 4]]
    assert kernels.gemm(turned, F32([[1], [0], [0]])).tolist() == [[-3], [6]]


def test_the_memory_stays_during_a_call() -> None:
    """An array.array refuses to grow while a view of it exists, so no view may be left over."""
    out = array.array("f", [0, 0])
    kernels.relu(out)
    kernels.relu(F32([1, 2]), out=out)
    out.append(3)
    with pytest.raises(ValueError, match=r"out must have shape \(2,\), got \(3,\)"):
        kernels.relu(F32([1, 2]), out=out)
    out.append(4)


# --------------------------------------------------------------------------------------------------
# Refused


def test_a_copy_never_gets_a_result() -> None:
    """`__array__` may return a copy. A result in a copy would be lost."""
    out = ArrayMethod(np.zeros_like(VALUES))
    with pytest.raises(TypeError, match=r"^out must be a numpy.ndarray, got ArrayMethod; leave it"):
        kernels.relu(VALUES, out=out)
    with pytest.raises(TypeError, match=r"must be a numpy.ndarray, got ArrayMethod"):
        kernels.sgd_step(ArrayMethod(np.zeros(2, F32)), VALUES, VALUES, lr=1.0, momentum=0.0)


@pytest.mark.parametrize("protocol", READABLE)
def test_other_dtypes(protocol: str) -> None:
    x = READABLE[protocol](VALUES.astype(np.float64))
    with pytest.raises(TypeError, match=r"^x must have the dtype float32, got float64; convert it"):
        kernels.relu(x)


def test_memory_that_must_not_be_written() -> None:
    with pytest.raises(ValueError, match=r"^out must be writable, got a read-only array"):
        kernels.relu(VALUES, out=memoryview(VALUES).toreadonly())
    assert kernels.relu(memoryview(VALUES).toreadonly()).shape == (2, 3)


class Broken:
    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("the tensor is on the moon")

    def __dlpack_device__(self) -> Any:
        return 1, 0


class Interrupted(Broken):
    def __dlpack__(self, **_: Any) -> Any:
        raise KeyboardInterrupt


class OutOfMemory(Broken):
    def __dlpack__(self, **_: Any) -> Any:
        raise MemoryError


def test_a_protocol_that_fails() -> None:
    message = (
        "^b must be an array in the memory of the CPU, but this Broken cannot be read as one: "
    )
    with pytest.raises(TypeError, match=rf"{message}the tensor is on the moon$") as caught:
        kernels.gemm(VALUES, Broken())
    assert isinstance(caught.value.__cause__, BufferError)
    with pytest.raises(TypeError, match=r"^x must be an array in the memory of the CPU"):
        byhand.asarray(Broken())
    with pytest.raises(KeyboardInterrupt):
        kernels.relu(Interrupted())
    with pytest.raises(MemoryError):
        kernels.relu(OutOfMemory())


@pytest.mark.parametrize(
    "value", [[1.0], (1.0,), "ab", None, 1.0, object()], ids=lambda value: type(value).__name__
)
def test_what_is_no_array(value: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^x must be a numpy.ndarray, got \w+; np.asarray\(..., np"
    ):
        kernels.relu(value)


# --------------------------------------------------------------------------------------------------
# PyTorch


def test_tensors(torch: Any, rng: np.random.Generator) -> None:
    x = torch.from_numpy(rng.standard_normal((2, 3, 8, 8), F32))
    weight = torch.from_numpy(rng.standard_normal((4, 3, 3, 3), F32))
    out = torch.empty(2, 4, 6, 6)
    before = out.data_ptr()
    assert kernels.conv2d(x, weight, out=out) is out
    assert out.data_ptr() == before
    assert np.array_equal(out.numpy(), kernels.conv2d(x.numpy(), weight.numpy()))
    assert byhand.asarray(x).ctypes.data == x.data_ptr()
    assert torch.from_numpy(kernels.relu(x)).shape == x.shape
    flipped = x.transpose(2, 3)
    assert np.array_equal(kernels.relu(flipped), kernels.relu(flipped.contiguous()))


def test_tensors_that_need_a_gradient(torch: Any) -> None:
    with pytest.raises(TypeError, match=r"^x must be an array .* Tensor .* use tensor.detach\(\)"):
        kernels.relu(torch.zeros(3, requires_grad=True))
    with pytest.raises(TypeError, match=r"^x must be an array in the memory of the CPU"):
        kernels.relu(torch.zeros(3, device="meta"))
    with pytest.raises(TypeError, match=r"^x must have the dtype float32, got float64"):
        kernels.relu(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"^x must be an array .* Tensor cannot be read as one"):
        kernels.relu(torch.zeros(3, dtype=torch.bfloat16))
