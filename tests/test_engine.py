"""Plans: they give the same bits as layers called by hand, use one arena and allocate nothing."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from byhand import kernels, models, nn
from byhand.engine.plan import Batch, Plan
from byhand.nn import losses
from byhand.nn.fusion import fused

Array = npt.NDArray[Any]


def lenet(act: type[nn.Layer] = nn.Tanh) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, rng=0),
        nn.MaxPool2d(2),
        act(),
        nn.Conv2d(4, 6, 3, rng=1),
        nn.AvgPool2d(2),
        act(),
        nn.Flatten(),
        nn.Linear(6, 7, rng=2),
        act(),
        nn.Linear(7, 5, rng=3),
    )


NETWORKS = {
    "one layer": nn.Sequential(nn.Flatten(), nn.Linear(144, 5, rng=0)),
    "mlp": nn.Sequential(
        nn.Flatten(), nn.Linear(144, 9, rng=0), nn.Sigmoid(), nn.Linear(9, 5, rng=1)
    ),
    "pool first": nn.Sequential(
        nn.AvgPool2d(2), nn.Flatten(), nn.ReLU(), nn.Linear(36, 5, bias=False, rng=0)
    ),
    "nested, view last": nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 5, 12, rng=0), nn.ReLU()), nn.Flatten()
    ),
    "no bias, two activations": nn.Sequential(
        nn.Flatten(),
        nn.Linear(144, 9, bias=False, rng=0),
        nn.Tanh(),
        nn.Tanh(),
        nn.Linear(9, 5, rng=1),
    ),
    "two views": nn.Sequential(nn.Flatten(), nn.Flatten(), nn.Linear(144, 5, rng=0), nn.Tanh()),
    "batch norm first": nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Flatten(),
        nn.Linear(144, 9, bias=False, rng=0),
        nn.BatchNorm1d(9),
        nn.Tanh(),
        nn.Linear(9, 5, rng=1),
    ),
    "dropout": nn.Sequential(
        nn.Dropout(0.2, rng=0),
        nn.Flatten(),
        nn.Linear(144, 9, rng=0),
        nn.Dropout(rng=0),
        nn.ReLU(),
        nn.Linear(9, 5, rng=1),
    ),
    "residual first": nn.Sequential(
        nn.Flatten(),
        nn.Residual(nn.ReLU(), nn.Linear(144, 7, rng=0), nn.Tanh(), nn.Linear(7, 144, rng=1)),
        nn.Linear(144, 5, rng=2),
    ),
    "residual": nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False, rng=0),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Residual(
            nn.Conv2d(4, 4, 3, padding=1, bias=False, rng=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Residual(nn.Dropout(0.3, rng=1), nn.Conv2d(4, 4, 3, padding=1, rng=2)),
        ),
        nn.Residual(nn.ReLU()),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.GlobalAvgPool2d(),
        nn.Flatten(),
        nn.Linear(4, 5, rng=3),
    ),
    "relu before pool": nn.Sequential(
        nn.Conv2d(1, 4, 5, rng=0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, rng=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 5, rng=3),
    ),
    "lenet relu": lenet(nn.ReLU),
    "lenet tanh": lenet(nn.Tanh),
}
SHAPE = (1, 12, 12)


def plan(network: nn.Module, batch_size: int, loss: losses.Loss | None = None) -> Plan:
    ops = fused(network.layers(), training=loss is not None)
    return Plan(ops, SHAPE, batch_size, loss=loss)


def data(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    return rng.standard_normal((n, *SHAPE), np.float32), rng.integers(0, 5, n)


@pytest.mark.parametrize("loss", [losses.CrossEntropyLoss(), losses.MSELoss()], ids=repr)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_plan_computes_what_layers_compute(
    name: str, loss: losses.Loss, rng: np.random.Generator
) -> None:
    network = NETWORKS[name]
    training, inference = plan(network, 6, loss), plan(network, 6)
    sizes = [6, 3, 6, 1, 3, 0]
    if any(isinstance(layer, nn.BatchNorm1d) for layer in network.modules()):
        sizes.remove(1)
    for n in sizes:
        x, labels = data(rng, n)
        target = np.eye(5, dtype=np.float32)[labels] if loss.one_hot else labels
        network.zero_grad()
        network.begin_step(n, 7)
        output = network.forward(x)
        value = loss.forward(output, target)
        network.backward(loss.backward())
        expected = [parameter.grad.copy() for parameter in network.parameters()]

        for parameter in network.parameters():
            parameter.grad.fill(np.nan)  # a plan must overwrite this
        network.begin_step(n, 7)
        batch = training.batch(n)
        batch.input[...] = x
        planned = batch.train(target)
        assert planned == value or (n == 0 and np.isnan(planned) and np.isnan(value))
        assert np.array_equal(batch.output, output)
        for parameter, gradient in zip(network.parameters(), expected, strict=True):
            # Fused convolutions add in another order, and Winograd's algorithm has its own error.
            apart = 2e-5 if any(isinstance(layer, nn.Conv2d) for layer in network.modules()) else 0
            error = np.linalg.norm(parameter.grad - gradient)
            assert error <= apart * np.linalg.norm(gradient), name

        forward = inference.batch(n)
        forward.input[...] = x
        assert np.array_equal(forward.forward(), network.eval()(x))
        network.train()


@pytest.mark.parametrize(
    "model", [models.softmax_regression(), models.mlp(), models.lenet5(), models.lenet5("tanh")]
)
def test_named_models_train_as_their_layers_do(
    model: models.Model, rng: np.random.Generator
) -> None:
    x, labels = rng.standard_normal((33, *model.input_shape), np.float32), rng.integers(0, 10, 33)
    loss = losses.CrossEntropyLoss()
    value = loss.forward(model.forward(x), labels)
    model.backward(loss.backward())
    expected = [parameter.grad.copy() for parameter in model.parameters()]
    batch = Plan(fused(model.layers()), model.input_shape, 40, loss=loss).batch(33)
    batch.input[...] = x
    assert batch.train(labels) == value
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        apart = np.linalg.norm(parameter.grad - gradient)
        assert apart <= 2e-5 * np.linalg.norm(gradient)


@pytest.mark.parametrize("name", ["one layer", "lenet relu", "residual"])
def test_a_step_allocates_nothing(name: str, rng: np.random.Generator) -> None:
    network = NETWORKS[name]
    training = plan(network, 512, losses.CrossEntropyLoss())
    x, labels = data(rng, 512)
    for n in (512, 10):
        training.batch(n).input[...] = x[:n]
        training.batch(n).train(labels[:n])
    full, ragged = training.batch(512), training.batch(10)
    targets = labels[:10]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(3):
            training.batch(512).train(labels)
            training.batch(10).train(targets)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Python itself allocates a little, but less than the smallest buffer of the plan: 512 rows of 5
    # numbers.
    assert peak - before < 512 * 5 * 4
    assert training.batch(512) is full and training.batch(10) is ragged


def arrays(batch: Batch) -> list[Array]:
    found: list[Any] = [batch.input, batch.output]
    for call in batch.calls:
        found += [call.x, call.y, *call.saved]
    for call in batch.backward:
        found.append(call.grad_y)
        if call.grad_x is not None:
            found.append(call.grad_x)
    return found


def memory(array: Array) -> Any:
    """Return the array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_one_arena_holds_every_batch() -> None:
    training = plan(lenet(), 8, losses.CrossEntropyLoss())
    views = arrays(training.batch(8)) + arrays(training.batch(3)) + arrays(training.batch(8))
    assert len({id(memory(view)) for view in views}) == 1
    for small, large in zip(arrays(training.batch(3)), arrays(training.batch(8)), strict=True):
        assert small.ctypes.data == large.ctypes.data and len(small) == 3


def test_training_keeps_activations_and_two_gradients() -> None:
    """Outputs that the backward pass needs are kept, and gradients take turns in two buffers."""
    batch = plan(lenet(), 2, losses.CrossEntropyLoss()).batch(2)
    outputs = [call.y for call in batch.calls]
    kept = outputs + [array for call in batch.calls for array in call.saved] + [batch.input]
    for i, array in enumerate(kept):
        assert not any(np.shares_memory(array, other) for other in kept[i + 1 :])
    gradients = [call.grad_y for call in batch.backward]
    assert len({gradient.ctypes.data for gradient in gradients}) == 2
    assert not any(np.shares_memory(g, k) for g in gradients for k in kept)


def test_inference_keeps_nothing() -> None:
    inference, training = plan(lenet(), 4), plan(lenet(), 4, losses.CrossEntropyLoss())
    batch = inference.batch(4)
    assert not batch.backward
    places = {call.y.ctypes.data for call in batch.calls}
    assert len(places) == 2
    assert memory(batch.input).size < memory(training.batch(4).input).size
    with pytest.raises(RuntimeError, match="a plan without a loss cannot train"):
        batch.train(np.zeros(4, int))


def test_no_gradient_is_computed_for_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for name in ("conv2d_backward_input", "linear_act_backward", "avg_pool2d_backward"):
        kernel = getattr(kernels, name)

        def spy(*args: Any, _name: str = name, _kernel: Any = kernel, **kwargs: Any) -> Any:
            if kwargs.get("input_gradient", True):
                called.append(_name)
            return _kernel(*args, **kwargs)

        monkeypatch.setattr(kernels, name, spy)
    expected = {
        "one layer": [],
        "mlp": ["linear_act_backward"],
        "pool first": [],
        "lenet tanh": [
            "linear_act_backward",
            "linear_act_backward",
            "avg_pool2d_backward",
            "conv2d_backward_input",
        ],
    }
    for name, calls in expected.items():
        batch = plan(NETWORKS[name], 2, losses.CrossEntropyLoss()).batch(2)
        batch.input[...] = 0
        called.clear()
        batch.train(np.array([0, 1]))
        assert called == calls, name


def test_a_network_without_parameters_has_nothing_to_compute_backward() -> None:
    batch = plan(nn.Sequential(nn.Flatten(), nn.Tanh()), 2, losses.CrossEntropyLoss()).batch(2)
    batch.input[...] = 0
    assert batch.train(np.array([0, 1])) == pytest.approx(math.log(144))
    assert not batch.backward


def test_buffers_begin_on_cache_lines_of_the_arena() -> None:
    batch = plan(lenet(), 3, losses.CrossEntropyLoss()).batch(3)
    start = memory(batch.input).ctypes.data
    assert all((array.ctypes.data - start) % 64 == 0 for array in arrays(batch))


def test_changed_weights_are_seen(rng: np.random.Generator) -> None:
    network = lenet()
    batch = plan(network, 2).batch(2)
    batch.input[...] = data(rng, 2)[0]
    before = batch.forward().copy()
    network.parameters()[-1].data += 1
    assert np.array_equal(batch.forward(), network(batch.input))
    assert not np.array_equal(batch.output, before)


def test_gradients_go_where_the_parameters_are(rng: np.random.Generator) -> None:
    """If layers join another network between two steps, their gradients move with them."""
    network = NETWORKS["mlp"]
    training = plan(network, 4, losses.CrossEntropyLoss())
    x, labels = data(rng, 4)
    batch = training.batch(4)
    batch.input[...] = x
    batch.train(labels)
    expected = [parameter.grad.copy() for parameter in network.parameters()]
    nn.Sequential(*network.layers())
    for parameter in network.parameters():
        parameter.grad.fill(np.nan)
    batch.train(labels)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert np.array_equal(parameter.grad, gradient)


def test_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        plan(lenet(), 0)
    for n in (-1, 5):
        with pytest.raises(ValueError, match=f"n must be from 0 to 4, not {n}"):
            plan(lenet(), 4).batch(n)
    with pytest.raises(ValueError, match=r"Linear\(3, 2\) takes \(N, 3\), not \(N, 144\)"):
        plan(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), 4)


def test_what_is_fused() -> None:
    class Louder(nn.ReLU):
        pass

    linear, bare = nn.Linear(4, 4, rng=0), nn.Linear(4, 4, bias=False, rng=0)
    layers = [linear, nn.ReLU(), bare, nn.Tanh(), nn.Tanh(), linear, Louder(), linear]
    ops = fused(layers)
    assert [layers.index(op) if op in layers else None for op in ops] == [None, None, 4, 0, 6, 0]
    assert [op.gradients() for op in ops[:2]] == [linear.gradients(), bare.gradients()]
    assert fused([]) == []
