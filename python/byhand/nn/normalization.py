"""Batch normalisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from byhand import kernels
from byhand.checks import between, integer, not_negative, with_batch
from byhand.engine.memory import Buffer, Shape
from byhand.engine.op import Call
from byhand.nn.layer import Layer
from byhand.nn.parameter import NO_WEIGHTS, Parameter, Statistic, share_storage

if TYPE_CHECKING:
    from byhand.nn.parameter import Rng


class _BatchNorm(Layer):
    """The base of BatchNorm1d and BatchNorm2d.

    As in PyTorch, the scale is called `weight` and the shift `bias`. The kernel calls them gamma
    and beta.
    """

    has_modes = True

    _takes: tuple[str, ...]
    """The names of the axes of one image, for messages."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, *, rng: Rng = None
    ) -> None:
        self.num_features = integer("num_features", num_features, 1)
        self.eps = not_negative("eps", eps)
        self.momentum = between("momentum", momentum, 0.0, 1.0)
        shape = (self.num_features,)
        new, new_statistic = Parameter.without_memory, Statistic.without_memory
        self.weight, self.bias = new(shape), new(shape)
        self.running_mean, self.running_var = new_statistic(shape), new_statistic(shape)
        if rng is not NO_WEIGHTS:  # the initial values are constants, so `rng` draws nothing
            share_storage([self.weight, self.bias])
            share_storage([self.running_mean, self.running_var])
            self.weight.data.fill(1.0)
            self.running_var.data.fill(1.0)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != len(self._takes) or shape[0] != self.num_features:
            wanted = ", ".join(["N", str(self.num_features), *self._takes[1:]])
            raise ValueError(f"{self!r} takes ({wanted}), not {with_batch(shape)}")
        return shape

    def saved(self, shape: Shape) -> tuple[Buffer, ...]:
        # The mean and the inverse standard deviation of each feature. They are the same for all
        # images, so only the first image's part of the buffer is used.
        return (Buffer((2, self.num_features)),)

    def gradients(self) -> tuple[Any, ...]:
        return self.weight.grad, self.bias.grad

    def least_batch(self, shape: Shape) -> int:
        return 2 if self.training and math.prod(shape[1:]) == 1 else 1

    def run(self, b: Call) -> None:
        b.training = self.training and not b.inference
        if not len(b.x):
            return
        kernels.batch_norm(
            b.x,
            self.weight.data,
            self.bias.data,
            self.running_mean.data,
            self.running_var.data,
            training=b.training,
            momentum=self.momentum,
            eps=self.eps,
            out=(b.y, b.saved[0][0][0], b.saved[0][0][1]),
        )

    def run_backward(self, b: Call) -> None:
        if not len(b.x):
            for gradient in b.gradients:
                gradient.fill(0.0)
            return
        mean, inv_std = b.saved[0][0]
        kernels.batch_norm_backward(
            b.grad_y,
            b.x,
            self.weight.data,
            mean,
            inv_std,
            training=b.training,
            input_gradient=b.grad_x is not None,
            out=(b.grad_x, b.gradients[0], b.gradients[1]),
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of each feature of x (N, num_features).

    Parameters
    ----------
    num_features : int
        The number of features.
    eps : float
        The number added to the variance, so that no division by 0 occurs.
    momentum : float
        The weight of the newest batch in the running statistics, from 0 to 1.
    rng : numpy.random.Generator, int or None
        Ignored, because the initial weights are not random. All layers with weights take this
        argument.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,)
        The scale, initially 1, and the shift, initially 0.
    running_mean, running_var : Statistic, shape (num_features,)
        The running statistics, initially 0 and 1.

    Notes
    -----
    The output is weight * (x - mean) / sqrt(variance + eps) + bias. In inference, mean and variance
    are the running statistics. In training, they are the mean and the biased variance of the batch.
    The batch must have at least two values per feature. Training also updates the running
    statistics::

        running = (1 - momentum) * running + momentum * statistic of the batch

    For running_var, the statistic of the batch is the unbiased variance.

    References
    ----------
    Ioffe and Szegedy, Batch normalization, arXiv 1502.03167.
    """

    _takes = ("C",)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of each channel of x (N, num_features, H, W).

    The formulas are those of `BatchNorm1d`. The mean and the variance of a channel are taken over
    all images, rows and columns.

    Parameters
    ----------
    num_features : int
        The number of channels.
    eps : float
        The number added to the variance, so that no division by 0 occurs.
    momentum : float
        The weight of the newest batch in the running statistics, from 0 to 1.
    rng : numpy.random.Generator, int or None
        Ignored, because the initial weights are not random. All layers with weights take this
        argument.
    """

    _takes = ("C", "H", "W")
