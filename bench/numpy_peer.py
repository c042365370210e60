"""NumPy, as a contender: the kernels of numpy_page and a network of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from byhand.bench import numpy_page as page
from byhand.bench.cases import Case
from byhand.bench.sampling import KernelJob
from byhand.bench.tasks import Index, Stepwise, Task
from byhand.nn import Conv2d, Flatten, Linear, MaxPool2d
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class Peer:
    """The number of threads is OpenBLAS's, set by the environment; the rest of NumPy has one."""

    version = f"NumPy {np.__version__}"

    def __init__(self, threads: int) -> None:
        pass

    def kernel(self, case: Case, batch: int) -> KernelJob:
        return KernelJob(getattr(page, case.op), case, batch)

    def training(self, task: Task) -> NumpyTraining:
        return NumpyTraining(task)


class NumpyTraining(Stepwise):
    """count, dtype: how many images are loaded, and what everything is computed in."""

    def __init__(self, task: Task, count: int | None = None, dtype: DTypeLike = np.float32) -> None:
        super().__init__(task)
        self._images, self._labels = task.load_floats(count, dtype), task.load_labels()
        model = task.start()
        self._layers = list(model.layers())
        self._w = {name: array.astype(dtype) for name, array in model.state_dict().items()}
        self._first = next(i for i in range(len(self._layers)) if f"{i}.weight" in self._w)
        self._velocity = {name: np.zeros_like(array) for name, array in self._w.items()}

    def weights(self) -> list[Array]:
        return list(self._w.values())

    def step(self, index: Index) -> Any:
        x, saved = self._images[index], []
        for i, layer in enumerate(self._layers):
            x, kept = self._forward(i, layer, x)
            saved.append(kept)
        labels = self._labels[index]
        loss, probabilities = page.softmax_cross_entropy(x, labels)
        grad = page.softmax_cross_entropy_backward(probabilities, labels)
        gradients: dict[str, Array] = {}
        for i in range(len(self._layers) - 1, self._first - 1, -1):
            grad = self._backward(i, self._layers[i], grad, saved[i], gradients, i > self._first)
        task = self.task
        for name, gradient in gradients.items():
            page.sgd_step(
                self._w[name],
                gradient,
                self._velocity[name],
                lr=task.lr,
                momentum=task.momentum,
                weight_decay=task.weight_decay,
            )
        return loss

    def _forward(self, i: int, layer: Any, x: Array) -> tuple[Array, Any]:
        """Output, and what `_backward` needs."""
        if isinstance(layer, Flatten):
            return x.reshape(len(x), -1), x.shape
        if isinstance(layer, MaxPool2d):
            y, indices = page.max_pool2d(x, layer.kernel_size[0])
            return y, (indices, x.shape)
        if isinstance(layer, Conv2d | Linear):
            op = page.conv2d if isinstance(layer, Conv2d) else page.linear
            return op(x, self._w[f"{i}.weight"], self._w[f"{i}.bias"]), x
        y = getattr(page, _activation(layer))(x)
        return y, y

    def _backward(
        self, i: int, layer: Any, grad: Array, kept: Any, gradients: dict[str, Array], further: bool
    ) -> Any:
        """The gradient of the layer's input, if anything asks for it; fills in its parameters'."""
        if isinstance(layer, Flatten):
            return grad.reshape(kept)
        if isinstance(layer, MaxPool2d):
            return page.max_pool2d_backward(grad, *kept)
        if not isinstance(layer, Conv2d | Linear):
            return getattr(page, f"{_activation(layer)}_backward")(grad, kept)
        weight = self._w[f"{i}.weight"]
        if isinstance(layer, Linear):
            gradients[f"{i}.weight"] = page.linear_backward_weight(grad, kept)
            gradients[f"{i}.bias"] = page.linear_backward_bias(grad)
            return page.linear_backward_input(grad, weight) if further else grad
        gradients[f"{i}.weight"] = page.conv2d_backward_weight(grad, kept, weight.shape)
        gradients[f"{i}.bias"] = page.conv2d_backward_bias(grad)
        return page.conv2d_backward_input(grad, weight, kept.shape) if further else grad


def _activation(layer: Any) -> str:
    return type(layer).__name__.lower()
