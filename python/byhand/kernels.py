"""The kernels: C++ functions on NumPy arrays.

Every name is the C++ function itself, with no Python code around it. `help(kernels.conv2d)` shows
its arguments and its formula. All functions keep these rules:

- Arrays are float32. Labels and indices have an integer dtype. Any other dtype is a TypeError that
  says how to convert the array.
- Images have the shape (N, channels, H, W), filters (out_channels, in_channels / groups, KH, KW),
  and weights of a linear layer (out_features, in_features), as in PyTorch.
- N may be 0. The result is then empty, a gradient with respect to a weight is zeros, and a mean is
  NaN.
- Inputs may have any strides. `gemm` and `linear` read them in place; other functions copy an
  input that is not C-contiguous.
- Functions that compute arrays take `out=`, an array for the result, or a tuple of arrays if they
  return several. Such an array has the dtype and the shape of the result, is writable and
  C-contiguous, and overlaps no input; only `gemm` takes its `c`. It is also what the function
  returns.
- A backward function has those keyword arguments of the forward function that change its result,
  with the same default values.
- The results have the same bits for any number of threads, on the same instruction set.
- Several Python threads may call kernels at the same time, because the GIL is released. Only matrix
  products with fewer than 10,000 multiply-adds keep it. An array that one call changes must not be
  used by another meanwhile.
"""

from byhand._core import (
    accumulate,
    adam_step,
    add,
    avg_pool2d,
    avg_pool2d_backward,
    batch_norm,
    batch_norm_backward,
    conv2d,
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_pool_act,
    conv2d_pool_act_backward,
    conv2d_weight_cache,
    count_correct,
    dropout,
    dropout_backward,
    empty,
    gather_images,
    gemm,
    linear,
    linear_act,
    linear_act_backward,
    linear_backward_bias,
    linear_backward_input,
    linear_backward_weight,
    log_softmax,
    max_pool2d,
    max_pool2d_backward,
    relu,
    relu_backward,
    sgd_step,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    squared_error,
    squared_error_backward,
    tanh,
    tanh_backward,
)

__all__ = [
    "accumulate",
    "adam_step",
    "add",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "conv2d",
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_pool_act",
    "conv2d_pool_act_backward",
    "conv2d_weight_cache",
    "count_correct",
    "dropout",
    "dropout_backward",
    "empty",
    "gather_images",
    "gemm",
    "linear",
    "linear_act",
    "linear_act_backward",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
    "sgd_step",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "squared_error",
    "squared_error_backward",
    "tanh",
    "tanh_backward",
]
