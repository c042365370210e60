"""Types of the extension module byhand._core: the kernels, arrays on devices, and threads.

The docstrings of the functions are in csrc/bindings/.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import (
    Any,
    Literal,
    NoReturn,
    SupportsFloat,
    SupportsIndex,
    TypeAlias,
    TypeVar,
    final,
    overload,
)

import numpy as np
from numpy.typing import DTypeLike, NDArray

_Float: TypeAlias = NDArray[np.float32]
_Array: TypeAlias = _Float | DeviceArray

# Kernels take arrays of other libraries, too, which have no type here. byhand.asarray gives them
# one.
# All arrays of a call are on one device, and so are the results. The third type is that of code
# that works for every device.
_ArrayT = TypeVar("_ArrayT", _Float, DeviceArray, _Array)

_Indices: TypeAlias = NDArray[np.int32] | DeviceArray
_Integers: TypeAlias = NDArray[np.integer[Any]] | DeviceArray
_Labels: TypeAlias = _Integers | _Float
_Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Pair: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Activation: TypeAlias = Literal["relu", "tanh", "sigmoid"]
_Algorithm: TypeAlias = Literal["auto", "direct", "winograd"]
_Padding: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]]

__version__: str

def config() -> dict[str, Any]: ...
def get_num_threads() -> int: ...
def set_num_threads(n: SupportsIndex) -> None: ...
def release_memory() -> int: ...

@final
class DeviceArray:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...  # raises TypeError
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def device(self) -> str: ...
    @overload
    def to(self, device: Literal["cpu"]) -> NDArray[Any]: ...
    @overload
    def to(self, device: Literal["cuda"]) -> DeviceArray: ...
    @overload
    def to(self, device: str) -> Any: ...
    def reshape(self, *shape: _Shape) -> DeviceArray: ...
    def view(self, dtype: DTypeLike) -> DeviceArray: ...
    def copy(self) -> DeviceArray: ...
    def fill(self, value: SupportsFloat) -> None: ...
    def item(self) -> Any: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> DeviceArray: ...
    def __setitem__(self, key: Any, value: NDArray[Any] | DeviceArray, /) -> None: ...
    def __float__(self) -> float: ...
    def __int__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __format__(self, spec: str, /) -> str: ...
    def __contains__(self, *args: Any, **kwargs: Any) -> NoReturn: ...
    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn: ...
    __array_ufunc__: None
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

# If only the running program knows the name of the device, the result may be either kind of array.
# Then the type is Any, so that nobody has to ask for the kind.
@overload
def asarray(x: Any, device: Literal["cpu"] = "cpu") -> NDArray[Any]: ...
@overload
def asarray(x: Any, device: Literal["cuda"]) -> DeviceArray: ...
@overload
def asarray(x: Any, device: str) -> Any: ...
@overload
def empty(shape: _Shape, device: Literal["cpu"] = "cpu") -> _Float: ...
@overload
def empty(shape: _Shape, device: Literal["cuda"]) -> DeviceArray: ...
@overload
def empty(shape: _Shape, device: str) -> Any: ...

class DeviceError(RuntimeError): ...

def add_device(capsule: object) -> None: ...

# A submodule with functions that only the tests and the benchmarks need: isas(), isa(),
# set_isa(name), default_num_threads(), set_thread_limit(limit), fma_peak(seconds), scratch_peak(),
# memory_rate(bytes, seconds), conv_method(function, x_shape, weight_shape, *, stride=1, ...) and
# device_without_operators(name, is_gpu=False).
testing: ModuleType

def gemm(
    a: _ArrayT,
    b: _ArrayT,
    c: _ArrayT | None = None,
    *,
    alpha: SupportsFloat = 1.0,
    beta: SupportsFloat = 1.0,
    trans_a: bool = False,
    trans_b: bool = False,
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def linear(
    x: _ArrayT, weight: _ArrayT, bias: _ArrayT | None = None, *, out: _ArrayT | None = None
) -> _ArrayT: ...
def linear_act(
    x: _ArrayT,
    weight: _ArrayT,
    bias: _ArrayT | None = None,
    activation: _Activation | None = "relu",
    *,
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def linear_act_backward(
    grad_output: _ArrayT,
    output: _ArrayT | None,
    x: _ArrayT,
    weight: _ArrayT,
    activation: _Activation | None = "relu",
    *,
    input_gradient: bool = True,
    bias_gradient: bool = True,
    out: tuple[_ArrayT | None, _ArrayT | None, _ArrayT | None] | None = None,
) -> tuple[_ArrayT | None, _ArrayT, _ArrayT | None]: ...
def linear_backward_input(
    grad_output: _ArrayT, weight: _ArrayT, *, out: _ArrayT | None = None
) -> _ArrayT: ...
def linear_backward_weight(
    grad_output: _ArrayT, x: _ArrayT, *, out: _ArrayT | None = None
) -> _ArrayT: ...
def linear_backward_bias(grad_output: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...
def conv2d(
    x: _ArrayT,
    weight: _ArrayT,
    bias: _ArrayT | None = None,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def conv2d_backward_input(
    grad_output: _ArrayT,
    weight: _ArrayT,
    input_shape: _Shape,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def conv2d_backward_weight(
    grad_output: _ArrayT,
    x: _ArrayT,
    weight_shape: _Shape,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def conv2d_backward_bias(grad_output: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...
def conv2d_pool_act(
    x: _ArrayT,
    weight: _ArrayT,
    bias: _ArrayT | None = None,
    activation: _Activation | None = "relu",
    pool_size: _Pair = 2,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    weight_cache: _Float | None = None,
    out: tuple[_ArrayT | None, _Indices | None] | None = None,
) -> tuple[_ArrayT, Any]: ...  # the second array is one of _Indices, of the first one's kind
def conv2d_weight_cache(weight_shape: _Shape) -> _Float: ...
def conv2d_pool_act_backward(
    grad_output: _ArrayT,
    output: _ArrayT,
    indices: _Indices,
    x: _ArrayT,
    weight: _ArrayT,
    activation: _Activation | None = "relu",
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    input_gradient: bool = True,
    bias_gradient: bool = True,
    weight_cache: _Float | None = None,
    out: tuple[_ArrayT | None, _ArrayT | None, _ArrayT | None] | None = None,
) -> tuple[_ArrayT | None, _ArrayT, _ArrayT | None]: ...
def max_pool2d(
    x: _ArrayT,
    kernel_size: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    ceil_mode: bool = False,
    out: tuple[_ArrayT | None, _Indices | None] | None = None,
) -> tuple[_ArrayT, Any]: ...  # the second array is one of _Indices, of the first one's kind
def max_pool2d_backward(
    grad_output: _ArrayT, indices: _Indices, input_shape: _Shape, *, out: _ArrayT | None = None
) -> _ArrayT: ...
def avg_pool2d(
    x: _ArrayT,
    kernel_size: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def avg_pool2d_backward(
    grad_output: _ArrayT,
    input_shape: _Shape,
    kernel_size: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def batch_norm(
    x: _ArrayT,
    gamma: _ArrayT,
    beta: _ArrayT,
    running_mean: _ArrayT,
    running_var: _ArrayT,
    *,
    training: bool,
    momentum: SupportsFloat = 0.1,
    eps: SupportsFloat = 1e-5,
    out: tuple[_ArrayT, _ArrayT, _ArrayT] | None = None,
) -> tuple[_ArrayT, _ArrayT, _ArrayT]: ...
def batch_norm_backward(
    grad_output: _ArrayT,
    x: _ArrayT,
    gamma: _ArrayT,
    saved_mean: _ArrayT,
    saved_inv_std: _ArrayT,
    *,
    training: bool = True,
    input_gradient: bool = True,
    out: tuple[_ArrayT | None, _ArrayT, _ArrayT] | None = None,
) -> tuple[_ArrayT | None, _ArrayT, _ArrayT]: ...
def dropout(
    x: _ArrayT,
    rate: SupportsFloat,
    *,
    seed: SupportsIndex,
    step: SupportsIndex,
    stream: SupportsIndex = 0,
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def dropout_backward(
    grad_output: _ArrayT,
    rate: SupportsFloat,
    *,
    seed: SupportsIndex,
    step: SupportsIndex,
    stream: SupportsIndex = 0,
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def add(a: _ArrayT, b: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...
def relu(x: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...
def relu_backward(
    grad_output: _ArrayT, output: _ArrayT, *, out: _ArrayT | None = None
) -> _ArrayT: ...
def tanh(x: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...
def tanh_backward(
    grad_output: _ArrayT, output: _ArrayT, *, out: _ArrayT | None = None
) -> _ArrayT: ...
def sigmoid(x: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...
def sigmoid_backward(
    grad_output: _ArrayT, output: _ArrayT, *, out: _ArrayT | None = None
) -> _ArrayT: ...
def softmax(x: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...
def log_softmax(x: _ArrayT, *, out: _ArrayT | None = None) -> _ArrayT: ...

# With reduction="none" the loss is an array, otherwise it is a number, or a DeviceArray of one
# value. The type `str` also permits an unknown reduction, which the function itself refuses.
@overload
def softmax_cross_entropy(  # type: ignore[overload-overlap]
    logits: _ArrayT,
    labels: _Labels,
    *,
    ignore_index: SupportsIndex = -100,
    label_smoothing: SupportsFloat = 0.0,
    reduction: Literal["none"],
    out: tuple[_ArrayT | None, _ArrayT | None] | None = None,
) -> tuple[_ArrayT, _ArrayT]: ...
@overload
def softmax_cross_entropy(
    logits: _Float,
    labels: _Labels,
    *,
    ignore_index: SupportsIndex = -100,
    label_smoothing: SupportsFloat = 0.0,
    reduction: str = "mean",
    out: _Float | None = None,
) -> tuple[np.float32, _Float]: ...
@overload
def softmax_cross_entropy(
    logits: DeviceArray,
    labels: DeviceArray,
    *,
    ignore_index: SupportsIndex = -100,
    label_smoothing: SupportsFloat = 0.0,
    reduction: str = "mean",
    out: DeviceArray | None = None,
) -> tuple[DeviceArray, DeviceArray]: ...
def softmax_cross_entropy_backward(
    probabilities: _ArrayT,
    labels: _Labels,
    grad_loss: SupportsFloat | _ArrayT | None = None,
    *,
    ignore_index: SupportsIndex = -100,
    label_smoothing: SupportsFloat = 0.0,
    reduction: str = "mean",
    out: _ArrayT | None = None,
) -> _ArrayT: ...
@overload
def count_correct(scores: _Float, labels: _Integers) -> int: ...
@overload
def count_correct(scores: DeviceArray, labels: DeviceArray) -> DeviceArray: ...
@overload
def squared_error(  # type: ignore[overload-overlap]
    prediction: _ArrayT,
    target: _ArrayT,
    *,
    reduction: Literal["none"],
    out: _ArrayT | None = None,
) -> _ArrayT: ...
@overload
def squared_error(
    prediction: _Float, target: _Float, *, reduction: str = "mean", out: None = None
) -> np.float32: ...
@overload
def squared_error(
    prediction: DeviceArray, target: DeviceArray, *, reduction: str = "mean", out: None = None
) -> DeviceArray: ...
def squared_error_backward(
    prediction: _ArrayT,
    target: _ArrayT,
    grad_loss: SupportsFloat | _ArrayT | None = None,
    *,
    reduction: str = "mean",
    out: _ArrayT | None = None,
) -> _ArrayT: ...
@overload
def gather_images(
    images: NDArray[np.uint8],
    index: _Integers,
    *,
    scale: SupportsFloat,
    offset: SupportsFloat,
    max_shift: SupportsIndex = 0,
    seed: SupportsIndex = 0,
    step: SupportsIndex = 0,
    out: _Float | None = None,
) -> _Float: ...
@overload
def gather_images(
    images: DeviceArray,
    index: DeviceArray,
    *,
    scale: SupportsFloat,
    offset: SupportsFloat,
    max_shift: SupportsIndex = 0,
    seed: SupportsIndex = 0,
    step: SupportsIndex = 0,
    out: DeviceArray | None = None,
) -> DeviceArray: ...
def warp_images(
    images: _ArrayT,
    index: _Integers | DeviceArray,
    *,
    seed: SupportsIndex,
    step: SupportsIndex,
    rotation: SupportsFloat = 0.0,
    scale: SupportsFloat = 0.0,
    shear: SupportsFloat = 0.0,
    shift: SupportsFloat = 0.0,
    elastic: SupportsFloat = 0.0,
    smoothness: SupportsFloat = 4.0,
    fill: SupportsFloat = 0.0,
    out: _ArrayT | None = None,
) -> _ArrayT: ...
def sgd_step(
    parameters: _ArrayT,
    gradients: _ArrayT,
    velocity: _ArrayT,
    *,
    lr: SupportsFloat,
    momentum: SupportsFloat = 0.0,
    dampening: SupportsFloat = 0.0,
    weight_decay: SupportsFloat = 0.0,
    nesterov: bool = False,
) -> None: ...
def adam_step(
    parameters: _ArrayT,
    gradients: _ArrayT,
    first_moment: _ArrayT,
    second_moment: _ArrayT,
    *,
    step: SupportsIndex,
    lr: SupportsFloat = 0.001,
    beta1: SupportsFloat = 0.9,
    beta2: SupportsFloat = 0.999,
    eps: SupportsFloat = 1e-08,
    weight_decay: SupportsFloat = 0.0,
    decoupled: bool = False,
) -> None: ...
def accumulate(target: _ArrayT, x: _ArrayT) -> None: ...
