"""The kernels: C++ functions on NumPy arrays, and on arrays of a GPU.

Each name here is the C++ function itself, without Python code around it. For example,
`help(kernels.conv2d)` shows the arguments and the formula of `conv2d`. All functions follow these
rules:

- Arrays are float32. Exceptions are labels and indices, which have an integer dtype, and the images
  of `gather_images`, which are uint8. Any other dtype raises a TypeError that says how to convert
  the array.
- Shapes are those of PyTorch: images (N, channels, H, W), filters (out_channels,
  in_channels / groups, KH, KW), and weights of a linear layer (out_features, in_features).
- The batch size N may be 0. Then an output is empty, a gradient with respect to a weight is zeros,
  and a mean loss is NaN.
- Inputs may have any strides. `gemm` and `linear` read them without a copy. Other functions may
  copy an input that is not C-contiguous.
- A function that computes an array takes `out=`, an array for the result. If it returns several
  arrays, `out` is a tuple. Such an array has the dtype and the shape of the result, is writable and
  C-contiguous, and overlaps no input. The only exception is `gemm`, where `out` may be `c`. The
  function returns the same array.
- A backward function takes those keyword arguments of the forward function that its result depends
  on, with the same default values.
- Arrays of other libraries on the CPU are read and, as `out`, written without a copy: those that
  offer the buffer protocol, `__array_interface__` or DLPack, such as memoryview, array.array and
  tensors of PyTorch that need no gradient. An input may also offer `__array__`. New results are
  arrays of NumPy.
- Every function also takes arrays of another device (`byhand.DeviceArray`) instead of NumPy arrays.
  All arrays of a call must be on the same device, and the results are arrays of this device. A
  number that a function returns, such as a loss, is an array without dimensions there.
- On the device "cuda", labels and indices must be int64, and a function may return before its
  results are computed. Copying an array to the CPU waits for all earlier calls. If one of them had
  a label or an index out of range, the copy raises the ValueError.
- On the same instruction set, the results have the same bits for any number of threads.
- Several Python threads can run kernels at the same time, because kernels release the GIL. Only
  matrix products with fewer than 10,000 multiply-adds keep the GIL. While a call changes an array,
  no other call may use that array.
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
    warp_images,
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
    "warp_images",
]
