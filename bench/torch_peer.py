"""PyTorch as a contender: eager, in the channels-last layout, or compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from byhand.bench.cases import Case
from byhand.bench.inference import Inference
from byhand.bench.sampling import Calls, KernelJob, Sample
from byhand.bench.tasks import Attempt, Course, Index, Mark, Stepwise, Task, Tell
from byhand.bench.torch_network import in_torch, with_weights_of
from byhand.data import load_folder
from byhand.models import Model
from byhand.nn.parameter import stream
from byhand.training.recipes import Recipe
from torch import Tensor
from torch.nn import functional

aten = torch.ops.aten
# Number of test images that are evaluated at a time. With 1000, evaluating the test set takes a
# quarter longer; with 10,000, twice as long.
EVALUATED = 250


def _blank(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return uninitialised memory, for operators that use only the shape of an argument."""
    nhwc = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    layout = torch.channels_last if nhwc else torch.contiguous_format
    return torch.empty(tuple(shape), memory_format=layout)


def _conv2d_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    wanted: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Any:
    mask = [i == wanted for i in range(3)]
    geometry = [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups
    return aten.convolution_backward(grad, x, weight, None, *geometry, mask)[wanted]


def _max_pool2d_backward(grad: Tensor, indices: Tensor, shape: Sequence[int]) -> Any:
    # PyTorch checks only that the geometry has the shape of `grad`. The indices decide the rest.
    k, x = [shape[2] // grad.shape[2]] * 2, _blank(shape, grad)
    return aten.max_pool2d_with_indices_backward(grad, x, k, k, [0, 0], [1, 1], False, indices)


def _avg_pool2d_backward(
    grad: Tensor, shape: Sequence[int], kernel_size: int, stride: int | None = None
) -> Any:
    k, strides, x = [kernel_size] * 2, [stride or kernel_size] * 2, _blank(shape, grad)
    return aten.avg_pool2d_backward(grad, x, k, strides, [0, 0], False, True, None)


def _into(operator: Any) -> Callable[..., Any]:
    """Return a gradient operator of aten that takes `out=` in place of `grad_input=`."""

    def call(*arguments: Any, out: Tensor | None = None) -> Any:
        if out is None:
            return operator(*arguments)
        return operator(*arguments, grad_input=out)

    return call


def _linear_act_backward(g: Tensor, y: Tensor, x: Tensor, w: Tensor) -> Any:
    dz = aten.threshold_backward(g, y, 0)
    return torch.mm(dz, w), torch.mm(dz.t(), x), dz.sum(0)


def _conv2d_pool_act(x: Tensor, w: Tensor, b: Tensor) -> Any:
    y, indices = functional.max_pool2d(functional.conv2d(x, w, b), 2, return_indices=True)
    return y.relu_(), indices


def _conv2d_pool_act_backward(g: Tensor, y: Tensor, indices: Tensor, x: Tensor, w: Tensor) -> Any:
    dz = aten.threshold_backward(g, y, 0)
    plane = [x.shape[i] - w.shape[i] + 1 for i in (2, 3)]
    dy = _max_pool2d_backward(dz, indices, [len(x), len(w), *plane])
    geometry = [1, 1], [0, 0], [1, 1], False, [0, 0], 1
    return aten.convolution_backward(dy, x, w, [len(w)], *geometry, [True] * 3)


def _adam_step(w: Tensor, grad: Tensor, m: Tensor, v: Tensor, step: int) -> None:
    settings = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    steps = [torch.tensor(float(step))]
    torch._fused_adam_([w], [grad], [m], [v], [], steps, **settings, amsgrad=False, maximize=False)


def _sgd_step(w: Tensor, grad: Tensor, v: Tensor, **settings: float) -> None:
    rest = {"dampening": 0.0, "nesterov": False, "maximize": False, "is_first_step": False}
    torch._fused_sgd_([w], [grad], [v], **settings, **rest)


# PyTorch's kernels, with byhand's names and arguments. Gradients are computed by the operators that
# autograd calls, without autograd. softmax_cross_entropy_backward is missing: byhand's takes the
# probabilities, and PyTorch's takes their logarithms.
OPS: dict[str, Callable[..., Any]] = {
    "gemm": torch.mm,
    "linear": lambda x, w, b, out=None: torch.addmm(b, x, w.t(), out=out),
    "linear_backward_input": lambda g, w, out=None: torch.mm(g, w, out=out),
    "linear_backward_weight": lambda g, x, out=None: torch.mm(g.t(), x, out=out),
    "linear_backward_bias": lambda g, out=None: torch.sum(g, 0, out=out),
    "conv2d": lambda x, w, b, **geometry: functional.conv2d(x, w, b, **geometry),
    "conv2d_backward_input": lambda g, w, shape, **geometry: _conv2d_backward(
        g, _blank(shape, g), w, 0, **geometry
    ),
    "conv2d_backward_weight": lambda g, x, shape, **geometry: _conv2d_backward(
        g, x, _blank(shape, g), 1, **geometry
    ),
    "conv2d_backward_bias": lambda g, out=None: torch.sum(g, (0, 2, 3), out=out),
    "max_pool2d": lambda x, k, stride=None: functional.max_pool2d(
        x, k, stride, return_indices=True
    ),
    "max_pool2d_backward": _max_pool2d_backward,
    "avg_pool2d": lambda x, k, stride=None: functional.avg_pool2d(x, k, stride),
    "avg_pool2d_backward": _avg_pool2d_backward,
    "relu": lambda x, out=None: torch.clamp_min(x, 0, out=out),
    "relu_backward": lambda g, y, out=None: _into(aten.threshold_backward)(g, y, 0, out=out),
    "tanh": lambda x, out=None: torch.tanh(x, out=out),
    "tanh_backward": _into(aten.tanh_backward),
    "sigmoid": lambda x, out=None: torch.sigmoid(x, out=out),
    "sigmoid_backward": _into(aten.sigmoid_backward),
    "softmax": lambda x, out=None: torch.softmax(x, -1, out=out),
    "log_softmax": lambda x, out=None: torch.log_softmax(x, -1, out=out),
    "softmax_cross_entropy": functional.cross_entropy,
    "count_correct": lambda scores, labels: (scores.argmax(1) == labels).sum(),
    "squared_error": functional.mse_loss,
    "squared_error_backward": lambda x, y: aten.mse_loss_backward(torch.ones(()), x, y, 1),
    "gather_images": lambda images, index, scale, offset: (
        images.index_select(0, index).float().mul_(scale).add_(offset)
    ),
    "batch_norm": lambda x, gamma, beta, mean, var, training: aten.native_batch_norm(
        x, gamma, beta, mean, var, training, 0.1, 1e-5
    ),
    "batch_norm_backward": lambda g, x, gamma, mean, inv_std: aten.native_batch_norm_backward(
        g, x, gamma, None, None, mean, inv_std, True, 1e-5, [True] * 3
    ),
    "add": lambda a, b, out=None: torch.add(a, b, out=out),
    "linear_act": lambda x, w, b: torch.addmm(b, x, w.t()).relu_(),
    "linear_act_backward": _linear_act_backward,
    "conv2d_pool_act": _conv2d_pool_act,
    "conv2d_pool_act_backward": _conv2d_pool_act_backward,
    "sgd_step": _sgd_step,
    "adam_step": _adam_step,
}


class Peer:
    version = f"PyTorch {torch.__version__}"

    def __init__(self, threads: int, channels_last: bool = False, compiled: bool = False) -> None:
        torch.set_num_threads(threads)
        self._channels_last = channels_last
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._compiled = compiled

    def kernel(self, case: Case, batch: int) -> KernelJob | None:
        """Return None if PyTorch has no such operator.

        In the channels-last layout, also return None if the operator does not take images.
        """
        planes = any(name in case.op for name in ("conv2d", "pool2d", "batch_norm"))
        if case.op not in OPS or (self._channels_last and not planes):
            return None
        torch.set_grad_enabled(False)
        return KernelJob(OPS[case.op], case, batch, self._put)

    def _put(self, argument: Any) -> Any:
        if not isinstance(argument, np.ndarray):
            return argument
        tensor = torch.from_numpy(argument)
        if tensor.dtype == torch.int32:  # PyTorch's pooling has indices of 64 bits
            tensor = tensor.long()
        if self._channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def training(self, task: Task) -> TorchTraining | None:
        if self._channels_last and task.model != "lenet5":
            return None
        return TorchTraining(task, self._layout, self._compiled)

    def inference(self, inference: Inference) -> TorchInference | None:
        if self._channels_last and inference.model != "lenet5":
            return None
        start, layout = inference.start(), self._layout
        model: Any = with_weights_of(start, in_torch(start)).eval().to(memory_format=layout)
        if self._compiled:
            model = torch.compile(model, dynamic=False)
        images = torch.from_numpy(inference.images()).contiguous(memory_format=layout)
        return TorchInference(lambda: model(images))

    def learn(self, course: Course, tell: Tell) -> list[Any]:
        """Train, and return all weights. The images are converted to floats first."""
        network, train, test = self._prepare(course)
        for _ in _epochs(course, network, *train):
            tell(network.accuracy(*test))
        return network.weights()

    def attempt(self, attempt: Attempt, mark: Mark) -> float:
        """Train by the recipe of a record, and return the accuracy on the test set.

        The images are converted to floats before training begins.
        """
        network, train, test = self._prepare(attempt)
        mark()
        for _ in _epochs(attempt, network, *train):
            pass
        mark()
        return network.accuracy(*test)

    def _prepare(self, course: Course) -> tuple[_Network, Pair, Pair]:
        """Return the network, the training images and labels, and the test images and labels."""
        start, recipe = course.start(), course.recipe
        network = _Network(
            start, self._layout, self._compiled, _optimizer(recipe), recipe.label_smoothing
        )
        train, test = (
            (
                torch.from_numpy(part.images)
                .unsqueeze(1)
                .float()
                .mul_(start.scale)
                .add_(start.offset),
                torch.from_numpy(part.labels).long(),
            )
            for part in load_folder(course.folder)
        )
        return network, train, test


# Images and labels.
Pair = tuple[Tensor, Tensor]
# A function that makes the optimizer of the parameters.
MakeOptimizer = Callable[[Sequence[Tensor]], torch.optim.Optimizer]


def _optimizer(recipe: Recipe) -> MakeOptimizer:
    if recipe.method == "adam":
        betas = getattr(recipe, "betas", (0.9, 0.999))
        return lambda parameters: torch.optim.Adam(parameters, recipe.lr, betas, fused=True)
    return _sgd(
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def _sgd(**settings: Any) -> MakeOptimizer:
    return lambda parameters: torch.optim.SGD(parameters, fused=True, **settings)


def _epochs(course: Course, network: _Network, images: Tensor, labels: Tensor) -> Iterator[None]:
    """Train, and yield after each epoch."""
    recipe, step = course.recipe, 0
    schedule = recipe.schedule(len(labels))
    for epoch in range(1, recipe.epochs + 1):
        order = torch.from_numpy(stream(course.seed, epoch).permutation(len(labels)))
        for rows in order.split(recipe.batch_size):
            network.optimizer.param_groups[0]["lr"] = schedule(step)
            network.step(images.index_select(0, rows), labels.index_select(0, rows))
            step += 1
        yield


class _Network:
    """A model in PyTorch that is trained with autograd and a fused optimizer."""

    def __init__(
        self,
        model: Model,
        layout: Any,
        compiled: bool,
        optimizer: MakeOptimizer,
        label_smoothing: float = 0.0,
    ) -> None:
        self._layout = layout
        self._label_smoothing = label_smoothing
        self._module = with_weights_of(model, in_torch(model)).to(memory_format=layout)
        self._parameters = list(self._module.parameters())
        self._forward = torch.compile(self._module, dynamic=False) if compiled else self._module
        self.optimizer = optimizer(self._parameters)

    def weights(self) -> list[Any]:
        return [parameter.detach() for parameter in self._parameters]

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Train on a batch, and return the loss before the update."""
        x = images.contiguous(memory_format=self._layout)
        logits = self._forward(x)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Return the fraction of images whose most probable class is their label."""
        correct = 0
        with torch.inference_mode():
            for x, y in zip(images.split(EVALUATED), labels.split(EVALUATED), strict=True):
                logits = self._module(x.contiguous(memory_format=self._layout))
                correct += int((logits.argmax(1) == y).sum())
        return correct / len(labels)


class TorchInference(Calls):
    """Forward passes without autograd."""

    def results(self) -> list[Any]:
        with torch.inference_mode():
            return super().results()

    def sample(self, amount: float) -> Sample:
        with torch.inference_mode():
            return super().sample(amount)


class TorchTraining(Stepwise):
    def __init__(self, task: Task, layout: Any, compiled: bool) -> None:
        super().__init__(task)
        self.whole_batches = compiled
        self._images = torch.from_numpy(task.load_floats())
        self._labels = torch.from_numpy(task.load_labels())
        self._network = _Network(
            task.start(),
            layout,
            compiled,
            _sgd(**task.sgd),
        )

    def weights(self) -> list[Any]:
        return self._network.weights()

    def step(self, index: Index) -> Tensor:
        rows = torch.from_numpy(index)
        return self._network.step(
            self._images.index_select(0, rows), self._labels.index_select(0, rows)
        )
