"""JAX as a contender in inference and in training. An epoch of training is one jitted scan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from byhand.bench.cases import Case
from byhand.bench.inference import Inference
from byhand.bench.sampling import Calls, Clock, Sample
from byhand.bench.tasks import Index, Task, Training
from byhand.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Tanh


class Peer:
    """XLA starts a thread per processor, so the process is restricted to `threads` processors."""

    def __init__(self, threads: int) -> None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        import jax

        self.version = f"JAX {jax.__version__}"

    def kernel(self, case: Case, batch: int) -> None:
        return None

    def training(self, task: Task) -> JaxTraining | None:
        """Return None for LeNet-5: convolution inside a scan takes a slow path of XLA."""
        return None if task.model == "lenet5" else JaxTraining(task)

    def inference(self, inference: Inference) -> Calls:
        import jax

        model = inference.start()
        layers, weights = list(model.layers()), model.state_dict()
        images = jax.numpy.asarray(inference.images())
        forward = jax.jit(lambda x: _forward(layers, weights, x))
        return Calls(lambda: forward(images).block_until_ready())


class JaxTraining(Training):
    """Training on whole batches only, because all steps of a scan have the same shapes."""

    def __init__(self, task: Task) -> None:
        import jax
        from jax import numpy as jnp

        super().__init__(task)
        start = task.start()
        self._layers = list(start.layers())
        self._data = jnp.asarray(task.load_floats()), jnp.asarray(task.load_labels())
        weights = {name: jnp.asarray(array) for name, array in start.state_dict().items()}
        self._names = list(weights)  # JAX may return a dictionary in another order
        self._state = weights, jax.tree.map(jnp.zeros_like, weights)
        self._scan = jax.jit(
            lambda state, data, batches: jax.lax.scan(
                lambda state, index: self._step(state, data, index), state, batches
            ),
            donate_argnums=0,
        )
        self._compiled: dict[tuple[int, ...], Any] = {}

    def first(self, index: Index) -> float:
        self._state, losses = self._scan(self._state, self._data, index[None])
        return float(losses[0])

    def weights(self) -> list[Any]:
        return [self._state[0][name] for name in self._names]

    def epoch(self, number: int, steps: int | None) -> Sample:
        size = self.task.batch
        batches = [index for index in self.shuffled(number) if len(index) == size][:steps]
        order = np.stack(batches)
        if order.shape not in self._compiled:
            compiled = self._scan.lower(self._state, self._data, order).compile()
            self._compiled[order.shape] = compiled
        clock = Clock()
        clock.start()
        self._state, losses = self._compiled[order.shape](self._state, self._data, order)
        losses.block_until_ready()
        return clock.stop(order.size, len(order))

    def _step(self, state: Any, data: Any, index: Any) -> Any:
        """Return the state (weights, velocity) after these images, and their loss."""
        import jax

        (weights, velocity), task = state, self.task
        loss, gradients = jax.value_and_grad(self._loss)(weights, data[0][index], data[1][index])
        velocity = jax.tree.map(
            lambda v, g, w: task.momentum * v + g + task.weight_decay * w,
            velocity,
            gradients,
            weights,
        )
        return (jax.tree.map(lambda w, v: w - task.lr * v, weights, velocity), velocity), loss

    def _loss(self, weights: Any, x: Any, labels: Any) -> Any:
        import jax

        log_p = jax.nn.log_softmax(_forward(self._layers, weights, x))
        return -jax.numpy.take_along_axis(log_p, labels[:, None], axis=1).mean()


def _forward(layers: Sequence[Any], weights: Any, x: Any) -> Any:
    import jax

    for i, layer in enumerate(layers):
        if isinstance(layer, Flatten):
            x = x.reshape(len(x), -1)
        elif isinstance(layer, Linear):
            x = x @ weights[f"{i}.weight"].T + weights[f"{i}.bias"]
        elif isinstance(layer, Conv2d):
            x = jax.lax.conv_general_dilated(x, weights[f"{i}.weight"], (1, 1), "VALID")
            x = x + weights[f"{i}.bias"][:, None, None]
        elif isinstance(layer, MaxPool2d):
            window = 1, 1, *layer.kernel_size
            x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")
        elif isinstance(layer, ReLU):
            x = jax.nn.relu(x)
        else:
            x = jax.numpy.tanh(x) if isinstance(layer, Tanh) else jax.nn.sigmoid(x)
    return x
