"""NumPy as a contender: the kernels of numpy_page and a network that calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
from byhand.bench import numpy_page as page
from byhand.bench.cases import Case
from byhand.bench.inference import Inference
from byhand.bench.sampling import Calls, KernelJob
from byhand.bench.tasks import Index, Stepwise, Task
from byhand.models import Model
from byhand.nn import Conv2d, Flatten, Linear, MaxPool2d
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class Peer:
    """The environment sets the number of threads of OpenBLAS. The rest of NumPy has one thread."""

    version = f"NumPy {np.__version__}"

    def __init__(self, threads: int) -> None:
        pass

    def kernel(self, case: Case, batch: int) -> KernelJob:
        return KernelJob(getattr(page, case.op), case, batch)

    def training(self, task: Task) -> NumpyTraining:
        return NumpyTraining(task)

    def inference(self, inference: Inference) -> Calls:
        return NumpyInference(inference)


class NumpyInference(Calls):
    """Forward passes that are computed in `dtype`."""

    def __init__(self, inference: Inference, dtype: DTypeLike = np.float32) -> None:
        network, images = _Network(inference.start(), dtype), inference.images().astype(dtype)
        super().__init__(lambda: network.forward(images)[0])


class _Network:
    def __init__(self, model: Model, dtype: DTypeLike) -> None:
        self.layers = list(model.layers())
        self.weights = {name: array.astype(dtype) for name, array in model.state_dict().items()}

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, list[Any]]:
        """Return the output and, in training, the values that each layer needs for backward."""
        saved = []
        for i, layer in enumerate(self.layers):
            x, kept = self._layer(i, layer, x, training)
            saved.append(kept)
        return x, saved

    def _layer(self, i: int, layer: Any, x: Array, training: bool) -> tuple[Array, Any]:
        if isinstance(layer, Flatten):
            return x.reshape(len(x), -1), x.shape
        if isinstance(layer, MaxPool2d) and not training:
            return page.max_pool2d_values(x, layer.kernel_size[0]), None
        if isinstance(layer, MaxPool2d):
            y, indices = page.max_pool2d(x, layer.kernel_size[0])
            return y, (indices, x.shape)
        if isinstance(layer, Conv2d | Linear):
            op = page.conv2d if isinstance(layer, Conv2d) else page.linear
            return op(x, self.weights[f"{i}.weight"], self.weights[f"{i}.bias"]), x
        y = getattr(page, _activation(layer))(x)
        return y, y


class NumpyTraining(Stepwise):
    """Training that is computed in `dtype`, on the first `count` images or on all."""

    def __init__(self, task: Task, count: int | None = None, dtype: DTypeLike = np.float32) -> None:
        super().__init__(task)
        self._images, self._labels = task.load_floats(count, dtype), task.load_labels()
        self._network = _Network(task.start(), dtype)
        self._layers, self._w = self._network.layers, self._network.weights
        self._first = next(i for i in range(len(self._layers)) if f"{i}.weight" in self._w)
        self._velocity = {name: np.zeros_like(array) for name, array in self._w.items()}

    def weights(self) -> list[Array]:
        return list(self._w.values())

    def step(self, index: Index) -> Any:
        x, saved = self._network.forward(self._images[index], training=True)
        labels = self._labels[index]
        loss, probabilities = page.softmax_cross_entropy(x, labels)
        grad = page.softmax_cross_entropy_backward(probabilities, labels)
        gradients: dict[str, Array] = {}
        for i in range(len(self._layers) - 1, self._first - 1, -1):
            grad = self._backward(i, self._layers[i], grad, saved[i], gradients, i > self._first)
        for name, gradient in gradients.items():
            page.sgd_step(self._w[name], gradient, self._velocity[name], **self.task.sgd)
        return loss

    def _backward(
        self, i: int, layer: Any, grad: Array, kept: Any, gradients: dict[str, Array], further: bool
    ) -> Any:
        """Put the gradients of the parameters into `gradients`, and return that of the input.

        If `further` is False, no earlier layer has parameters. The gradient of the input is then
        not needed, and the result has no meaning.
        """
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
