"""Types of the extension module byhand._core: the kernels, and functions for threads.

The docstrings of the functions are in csrc/bindings/.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

_Array: TypeAlias = NDArray[np.float32]
_Indices: TypeAlias = NDArray[np.int32]
_Integers: TypeAlias = NDArray[np.integer[Any]]
_Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Pair: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Activation: TypeAlias = Literal["relu", "tanh", "sigmoid"]
_Algorithm: TypeAlias = Literal["auto", "direct", "winograd"]
_Padding: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | Sequence[Sequence[SupportsIndex]]

__version__: str

def config() -> dict[str, Any]: ...
def get_num_threads() -> int: ...
def set_num_threads(n: SupportsIndex) -> None: ...
def empty(shape: _Shape, device: str = "cpu") -> _Array: ...

# A submodule with functions that only the tests and the benchmarks need: isas(), isa(),
# set_isa(name), default_num_threads(), set_thread_limit(limit), fma_peak(seconds),
# memory_rate(bytes, seconds), gemm_ladder_steps(), gemm_ladder(step, a, b, out=None) and
# conv_method(function, x_shape, weight_shape, *, stride=1, ...).
testing: ModuleType

def gemm(
    a: _Array,
    b: _Array,
    c: _Array | None = None,
    *,
    alpha: SupportsFloat = 1.0,
    beta: SupportsFloat = 1.0,
    trans_a: bool = False,
    trans_b: bool = False,
    out: _Array | None = None,
) -> _Array: ...
def linear(
    x: _Array, weight: _Array, bias: _Array | None = None, *, out: _Array | None = None
) -> _Array: ...
def linear_act(
    x: _Array,
    weight: _Array,
    bias: _Array | None = None,
    activation: _Activation | None = "relu",
    *,
    out: _Array | None = None,
) -> _Array: ...
def linear_act_backward(
    grad_output: _Array,
    output: _Array | None,
    x: _Array,
    weight: _Array,
    activation: _Activation | None = "relu",
    *,
    input_gradient: bool = True,
    bias_gradient: bool = True,
    out: tuple[_Array | None, _Array | None, _Array | None] | None = None,
) -> tuple[_Array | None, _Array, _Array | None]: ...
def linear_backward_input(
    grad_output: _Array, weight: _Array, *, out: _Array | None = None
) -> _Array: ...
def linear_backward_weight(
    grad_output: _Array, x: _Array, *, out: _Array | None = None
) -> _Array: ...
def linear_backward_bias(grad_output: _Array, *, out: _Array | None = None) -> _Array: ...
def conv2d(
    x: _Array,
    weight: _Array,
    bias: _Array | None = None,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    out: _Array | None = None,
) -> _Array: ...
def conv2d_backward_input(
    grad_output: _Array,
    weight: _Array,
    input_shape: _Shape,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    out: _Array | None = None,
) -> _Array: ...
def conv2d_backward_weight(
    grad_output: _Array,
    x: _Array,
    weight_shape: _Shape,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    out: _Array | None = None,
) -> _Array: ...
def conv2d_backward_bias(grad_output: _Array, *, out: _Array | None = None) -> _Array: ...
def conv2d_pool_act(
    x: _Array,
    weight: _Array,
    bias: _Array | None = None,
    activation: _Activation | None = "relu",
    pool_size: _Pair = 2,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    weight_cache: _Array | None = None,
    out: tuple[_Array | None, _Indices | None] | None = None,
) -> tuple[_Array, _Indices]: ...
def conv2d_weight_cache(weight_shape: _Shape) -> _Array: ...
def conv2d_pool_act_backward(
    grad_output: _Array,
    output: _Array,
    indices: _Indices,
    x: _Array,
    weight: _Array,
    activation: _Activation | None = "relu",
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: SupportsIndex = 1,
    algorithm: _Algorithm = "auto",
    input_gradient: bool = True,
    bias_gradient: bool = True,
    weight_cache: _Array | None = None,
    out: tuple[_Array | None, _Array | None, _Array | None] | None = None,
) -> tuple[_Array | None, _Array, _Array | None]: ...
def max_pool2d(
    x: _Array,
    kernel_size: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    ceil_mode: bool = False,
    out: tuple[_Array | None, _Indices | None] | None = None,
) -> tuple[_Array, _Indices]: ...
def max_pool2d_backward(
    grad_output: _Array, indices: _Indices, input_shape: _Shape, *, out: _Array | None = None
) -> _Array: ...
def avg_pool2d(
    x: _Array,
    kernel_size: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    out: _Array | None = None,
) -> _Array: ...
def avg_pool2d_backward(
    grad_output: _Array,
    input_shape: _Shape,
    kernel_size: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    out: _Array | None = None,
) -> _Array: ...
def batch_norm(
    x: _Array,
    gamma: _Array,
    beta: _Array,
    running_mean: _Array,
    running_var: _Array,
    *,
    training: bool,
    momentum: SupportsFloat = 0.1,
    eps: SupportsFloat = 1e-5,
    out: tuple[_Array, _Array, _Array] | None = None,
) -> tuple[_Array, _Array, _Array]: ...
def batch_norm_backward(
    grad_output: _Array,
    x: _Array,
    gamma: _Array,
    saved_mean: _Array,
    saved_inv_std: _Array,
    *,
    training: bool = True,
    input_gradient: bool = True,
    out: tuple[_Array | None, _Array, _Array] | None = None,
) -> tuple[_Array | None, _Array, _Array]: ...
def dropout(
    x: _Array,
    rate: SupportsFloat,
    *,
    seed: SupportsIndex,
    step: SupportsIndex,
    stream: SupportsIndex = 0,
    out: _Array | None = None,
) -> _Array: ...
def dropout_backward(
    grad_output: _Array,
    rate: SupportsFloat,
    *,
    seed: SupportsIndex,
    step: SupportsIndex,
    stream: SupportsIndex = 0,
    out: _Array | None = None,
) -> _Array: ...
def add(a: _Array, b: _Array, *, out: _Array | None = None) -> _Array: ...
def relu(x: _Array, *, out: _Array | None = None) -> _Array: ...
def relu_backward(grad_output: _Array, output: _Array, *, out: _Array | None = None) -> _Array: ...
def tanh(x: _Array, *, out: _Array | None = None) -> _Array: ...
def tanh_backward(grad_output: _Array, output: _Array, *, out: _Array | None = None) -> _Array: ...
def sigmoid(x: _Array, *, out: _Array | None = None) -> _Array: ...
def sigmoid_backward(
    grad_output: _Array, output: _Array, *, out: _Array | None = None
) -> _Array: ...
def softmax(x: _Array, *, out: _Array | None = None) -> _Array: ...
def log_softmax(x: _Array, *, out: _Array | None = None) -> _Array: ...

# With reduction="none" the loss is an array, otherwise it is a number. The type `str` also permits
# an unknown reduction, which the function itself refuses.
@overload
def softmax_cross_entropy(  # type: ignore[overload-overlap]
    logits: _Array,
    labels: _Integers | _Array,
    *,
    ignore_index: SupportsIndex = -100,
    label_smoothing: SupportsFloat = 0.0,
    reduction: Literal["none"],
    out: tuple[_Array | None, _Array | None] | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def softmax_cross_entropy(
    logits: _Array,
    labels: _Integers | _Array,
    *,
    ignore_index: SupportsIndex = -100,
    label_smoothing: SupportsFloat = 0.0,
    reduction: str = "mean",
    out: _Array | None = None,
) -> tuple[np.float32, _Array]: ...
def softmax_cross_entropy_backward(
    probabilities: _Array,
    labels: _Integers | _Array,
    grad_loss: SupportsFloat | _Array | None = None,
    *,
    ignore_index: SupportsIndex = -100,
    label_smoothing: SupportsFloat = 0.0,
    reduction: str = "mean",
    out: _Array | None = None,
) -> _Array: ...
def count_correct(scores: _Array, labels: _Integers) -> int: ...
@overload
def squared_error(  # type: ignore[overload-overlap]
    prediction: _Array,
    target: _Array,
    *,
    reduction: Literal["none"],
    out: _Array | None = None,
) -> _Array: ...
@overload
def squared_error(
    prediction: _Array, target: _Array, *, reduction: str = "mean", out: None = None
) -> np.float32: ...
def squared_error_backward(
    prediction: _Array,
    target: _Array,
    grad_loss: SupportsFloat | _Array | None = None,
    *,
    reduction: str = "mean",
    out: _Array | None = None,
) -> _Array: ...
def gather_images(
    images: NDArray[np.uint8],
    index: _Integers,
    *,
    scale: SupportsFloat,
    offset: SupportsFloat,
    max_shift: SupportsIndex = 0,
    seed: SupportsIndex = 0,
    step: SupportsIndex = 0,
    out: _Array | None = None,
) -> _Array: ...
def sgd_step(
    parameters: _Array,
    gradients: _Array,
    velocity: _Array,
    *,
    lr: SupportsFloat,
    momentum: SupportsFloat = 0.0,
    dampening: SupportsFloat = 0.0,
    weight_decay: SupportsFloat = 0.0,
    nesterov: bool = False,
) -> None: ...
def adam_step(
    parameters: _Array,
    gradients: _Array,
    first_moment: _Array,
    second_moment: _Array,
    *,
    step: SupportsIndex,
    lr: SupportsFloat = 0.001,
    beta1: SupportsFloat = 0.9,
    beta2: SupportsFloat = 0.999,
    eps: SupportsFloat = 1e-08,
    weight_decay: SupportsFloat = 0.0,
    decoupled: bool = False,
) -> None: ...
def accumulate(target: _Array, x: _Array) -> None: ...
