"""JAX as a contender in inference and in training. An epoch of training is one jitted scan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from byhand.bench.cases import Case
from byhand.bench.inference import Inference
from byhand.bench.sampling import Calls, Clock, Sample
from byhand.bench.tasks import Attempt, Index, Mark, Task, Training
from byhand.data import load_folder
from byhand.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Tanh
from byhand.nn.parameter import stream
from numpy.typing import NDArray


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

    def attempt(self, attempt: Attempt, mark: Mark) -> float:
        """Train by the recipe of a record, and return the accuracy on the test set."""
        import jax

        layers, weights, (images, labels) = train(attempt, mark)
        found = jax.jit(lambda x: _forward(layers, weights, x).argmax(1))(images)
        return float((found == labels).mean())


def train(attempt: Attempt, mark: Mark) -> tuple[Sequence[Any], dict[str, Any], tuple[Any, Any]]:
    """Train by the recipe of a record, and return layers, weights, and test images and labels.

    The images are converted to floats before training begins. Two steps are compiled before, too:
    one for whole batches, and one for the smaller batch at the end of an epoch.
    """
    import jax
    from jax import numpy as jnp

    start, recipe = attempt.start(), attempt.recipe
    betas = getattr(recipe, "betas", (0.9, 0.999))
    layers = list(start.layers())
    (images, labels), test = (
        (
            jnp.asarray(part.images[:, None] * np.float32(start.scale) + np.float32(start.offset)),
            jnp.asarray(part.labels.astype(np.int32)),
        )
        for part in load_folder(attempt.folder)
    )
    weights = {name: jnp.asarray(array) for name, array in start.state_dict().items()}
    averages = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    state = weights, *averages  # no two of them share memory, because a step overwrites it

    def loss(weights: Any, x: Any, labels: Any) -> Any:
        return _cross_entropy(_forward(layers, weights, x), labels, recipe.label_smoothing)

    def step(state: Any, data: Any, rows: Any, number: Any, lr: Any) -> Any:
        images, labels = data
        gradients = jax.grad(loss)(state[0], images[rows], labels[rows])
        return _adam(state, gradients, number, lr, betas)

    batches = [
        rows
        for epoch in range(1, recipe.epochs + 1)
        for rows in _batches(attempt.seed, epoch, len(labels), recipe.batch_size)
    ]
    data, number, lr = (images, labels), np.float32(1), np.float32(recipe.lr)
    steps = {
        size: jax.jit(step, donate_argnums=0)
        .lower(state, data, np.zeros(size, np.int32), number, lr)
        .compile()
        for size in {len(rows) for rows in batches}
    }
    schedule = recipe.schedule(len(labels))
    mark()
    for i, rows in enumerate(batches):
        number, lr = np.float32(i + 1), np.float32(schedule(i))
        state = steps[len(rows)](state, data, rows, number, lr)
    jax.block_until_ready(state)
    mark()
    return layers, state[0], test


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
        return _cross_entropy(_forward(self._layers, weights, x), labels)


def _batches(seed: int, epoch: int, count: int, size: int) -> list[NDArray[np.int32]]:
    order = stream(seed, epoch).permutation(count).astype(np.int32)
    return [order[start : start + size] for start in range(0, count, size)]


def _cross_entropy(logits: Any, labels: Any, label_smoothing: float = 0.0) -> Any:
    import jax

    log_p = jax.nn.log_softmax(logits)
    picked = jax.numpy.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    smooth = log_p.mean(axis=1)
    return -((1 - label_smoothing) * picked + label_smoothing * smooth).mean()


def _adam(state: Any, gradients: Any, number: Any, lr: Any, betas: tuple[float, float]) -> Any:
    """Return the weights and both averages after step `number`, which counts from 1."""
    import jax
    from jax import numpy as jnp

    weights, first, second = state
    one, two = betas
    first = jax.tree.map(lambda m, g: one * m + (1 - one) * g, first, gradients)
    second = jax.tree.map(lambda v, g: two * v + (1 - two) * g * g, second, gradients)
    size, root = lr / (1 - one**number), jnp.sqrt(1 - two**number)
    weights = jax.tree.map(
        lambda w, m, v: w - size * m / (jnp.sqrt(v) / root + 1e-8), weights, first, second
    )
    return weights, first, second


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
