"""Layers, models and training on the device "cuda": the results of the CPU, but for rounding."""

from __future__ import annotations

import copy
import ctypes
import gc
from pathlib import Path
from typing import Any

import byhand
import devices
import numpy as np
import pytest
from byhand import nn, optim
from byhand.nn import losses
from byhand.training import BatchEnd, Event, StopTraining, Warp
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser
from tolerance import assert_same_bits

# The emulator is much slower than the CPU.
pytestmark = pytest.mark.slow

F32 = np.float32
Array = Any


@pytest.fixture(autouse=True)
def _has_cuda() -> None:
    devices.cuda_module()


def small_network(rng: np.random.Generator) -> byhand.Model:
    """Return a model with every kind of layer, whose kernels take milliseconds on the emulator."""
    return byhand.Model(
        nn.Conv2d(1, 3, 3, padding=1, rng=rng),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.BatchNorm2d(3),
        nn.Residual(nn.Conv2d(3, 3, 3, padding=1, rng=rng), nn.Tanh()),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 8, rng=rng),
        nn.Sigmoid(),
        nn.Dropout(0.25),
        nn.Linear(8, 4, rng=rng),
        input_shape=(1, 8, 8),
    )


def digits(rng: np.random.Generator, n: int = 24) -> tuple[Array, Array]:
    return rng.integers(0, 256, (n, 8, 8), np.uint8), rng.integers(0, 4, n)


class Recorder:
    """A handler that keeps the events of all batches."""

    def __init__(self) -> None:
        self.batches: list[BatchEnd] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchEnd):
            self.batches.append(event)


def train(
    model: byhand.Model, data: tuple[Array, Array], device: str, **options: Any
) -> list[BatchEnd]:
    """Train a copy of a model for two epochs, and return the events of its batches."""
    recorder = Recorder()
    model = copy.deepcopy(model)
    settings = {"epochs": 2, "batch_size": 10, "seed": 1, **options.pop("fit", {})}
    optimizer = options.pop("optimizer", lambda p: optim.Adam(p, 0.01))(model.parameters())
    trainer = byhand.Trainer(model, optimizer, device=device, handlers=[recorder], **options)
    trainer.fit(data, **settings)
    assert model.device == device
    return recorder.batches


def assert_close(a: list[BatchEnd], b: list[BatchEnd]) -> None:
    assert [(e.epoch, e.batch, e.images, e.counted, e.lr) for e in a] == [
        (e.epoch, e.batch, e.images, e.counted, e.lr) for e in b
    ]
    np.testing.assert_allclose([e.loss for e in a], [e.loss for e in b], rtol=2e-4)
    assert np.isclose([e.error for e in a], [e.error for e in b]).mean() > 0.9  # ties may differ


LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda rng: nn.Linear(5, 3, rng=rng), (5,)),
    "conv": (lambda rng: nn.Conv2d(2, 4, 3, padding=1, groups=2, rng=rng), (2, 5, 6)),
    "max pool": (lambda rng: nn.MaxPool2d(2), (2, 4, 6)),
    "average pool": (lambda rng: nn.AvgPool2d(2), (2, 4, 6)),
    "global pool": (lambda rng: nn.GlobalAvgPool2d(), (2, 4, 6)),
    "relu": (lambda rng: nn.ReLU(), (7,)),
    "tanh": (lambda rng: nn.Tanh(), (7,)),
    "sigmoid": (lambda rng: nn.Sigmoid(), (7,)),
    "flatten": (lambda rng: nn.Flatten(), (2, 3, 4)),
    "dropout": (lambda rng: nn.Dropout(0.5, rng=1), (7,)),
    "batch norm 1d": (lambda rng: nn.BatchNorm1d(5), (5,)),
    "batch norm 2d": (lambda rng: nn.BatchNorm2d(2), (2, 3, 4)),
    "residual": (lambda rng: nn.Residual(nn.Linear(5, 5, rng=rng), nn.ReLU()), (5,)),
    "sequential": (lambda rng: nn.Sequential(nn.Linear(5, 4, rng=rng), nn.Tanh()), (5,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward_by_hand(name: str, rng: np.random.Generator) -> None:
    make, shape = LAYERS[name]
    layer = make(rng)
    if isinstance(layer, nn.Residual):
        layer = nn.Sequential(layer)
    there = copy.deepcopy(layer).to("cuda")
    x = rng.standard_normal((6, *shape), F32)
    y = layer.forward(x)
    on_gpu = there.forward(byhand.asarray(x, "cuda"))
    assert isinstance(on_gpu, byhand.DeviceArray)
    np.testing.assert_allclose(on_gpu.to("cpu"), y, rtol=1e-5, atol=1e-6)
    grad = rng.standard_normal(y.shape, F32)
    grad_x = there.backward(byhand.asarray(grad, "cuda")).to("cpu")
    np.testing.assert_allclose(grad_x, layer.backward(grad), rtol=1e-4, atol=1e-5)
    for a, b in zip(there.parameters(), layer.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.to("cpu"), b.grad, rtol=1e-4, atol=1e-5)
    for key, value in there.state_dict().items():  # the running statistics, too
        np.testing.assert_allclose(value, layer.state_dict()[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", [losses.CrossEntropyLoss, losses.MSELoss])
def test_losses_by_hand(kind: type, reduction: str, rng: np.random.Generator) -> None:
    prediction = rng.standard_normal((6, 4), F32)
    target = rng.random((6, 4), F32) if kind is losses.MSELoss else rng.integers(0, 4, 6)
    loss, there = kind(reduction=reduction), kind(reduction=reduction)
    value = there(byhand.asarray(prediction, "cuda"), byhand.asarray(target, "cuda"))
    np.testing.assert_allclose(float(value), loss(prediction, target), rtol=1e-6)
    np.testing.assert_allclose(there.backward().to("cpu"), loss.backward(), rtol=1e-5, atol=1e-7)


def test_every_layer_trains_as_on_the_cpu(rng: np.random.Generator) -> None:
    model, data = small_network(rng), digits(rng)
    assert_close(train(model, data, "cuda"), train(model, data, "cpu"))


@pytest.mark.parametrize(
    "options",
    [
        {"max_shift": 1},
        {"augment": Warp(elastic=0.5, smoothness=2)},
        {"ema": 0.9},
        {"loss": losses.MSELoss()},
        {"loss": losses.CrossEntropyLoss(ignore_index=2, label_smoothing=0.1)},
        {"optimizer": lambda p: optim.SGD(p, 0.05, 0.9, nesterov=True, weight_decay=1e-3)},
        {"schedule": optim.schedules.OneCycle(0.02, 6)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_settings_of_the_training(options: dict[str, Any], rng: np.random.Generator) -> None:
    model, data = small_network(rng), digits(rng)
    assert_close(
        train(model, data, "cuda", **dict(options)), train(model, data, "cpu", **dict(options))
    )


def test_images_of_float32(rng: np.random.Generator) -> None:
    model, (images, labels) = small_network(rng), digits(rng)
    data = images.astype(F32) / 255, labels
    assert_close(train(model, data, "cuda"), train(model, data, "cpu"))


def test_a_model_with_one_output(rng: np.random.Generator) -> None:
    model = byhand.Model(nn.Flatten(), nn.Linear(64, 1, rng=rng), input_shape=(1, 8, 8))
    data = digits(rng)
    options = {"optimizer": lambda p: optim.SGD(p, 0.001)}
    assert_close(train(model, data, "cuda", **options), train(model, data, "cpu", **options))


def test_probabilities_as_labels(rng: np.random.Generator) -> None:
    model, (images, labels) = small_network(rng), digits(rng)
    data = images, np.eye(4, dtype=F32)[labels] * F32(0.8) + F32(0.05)
    assert_close(train(model, data, "cuda"), train(model, data, "cpu"))


def test_lenet5_for_20_steps(mnist: Any) -> None:
    images, labels = mnist[0].images[:20], mnist[0].labels[:20]
    model = byhand.models.lenet5(seed=0)
    options = {
        "fit": {"epochs": 1, "batch_size": 1},
        # Adam would turn the rounding of a tiny gradient into a whole step.
        "optimizer": lambda p: optim.SGD(p, 0.01, 0.9),
    }
    assert_close(
        train(model, (images, labels), "cuda", **dict(options)),
        train(model, (images, labels), "cpu", **dict(options)),
    )


def copies_to_the_cpu() -> int:
    """Return the number of copies from the emulated GPU so far."""
    return int(ctypes.CDLL(devices.cuda_module().__file__).simt_copies_to_host())


def test_the_losses_of_16_batches_are_read_together(rng: np.random.Generator) -> None:
    if not byhand.cuda.is_emulated():
        pytest.skip("only the emulator counts copies")
    model = byhand.Model(nn.Flatten(), nn.Linear(64, 4, rng=rng), input_shape=(1, 8, 8))
    images, labels = digits(rng, 40)
    copies = []
    for n in (20, 40):
        before = copies_to_the_cpu()
        data = images[:n], labels[:n]
        batches = train(model, data, "cuda", fit={"epochs": 2, "batch_size": 1})
        copies.append(copies_to_the_cpu() - before)
        assert [event.batch for event in batches] == 2 * [*range(1, n + 1)]
    # 20 more batches are read once more in each of 2 epochs: the losses and the counts. With each
    # copy, the flags of bad labels are copied, too.
    assert copies[1] - copies[0] == 2 * 2 * 2


def test_a_handler_that_stops_gets_no_further_batches(rng: np.random.Generator) -> None:
    """The steps of all 16 batches have run by then."""
    model = byhand.Model(nn.Flatten(), nn.Linear(64, 4, rng=rng), input_shape=(1, 8, 8))
    recorder = Recorder()

    def stop(event: Event) -> None:
        if isinstance(event, BatchEnd) and event.batch == 3:
            raise StopTraining

    optimizer = optim.SGD(model.parameters(), 0.1)
    trainer = byhand.Trainer(model, optimizer, device="cuda", handlers=[stop, recorder])
    assert trainer.fit(digits(rng, 20), epochs=2, batch_size=1) == []
    assert [event.batch for event in recorder.batches] == [1, 2, 3]
    assert trainer.step == 16


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_on_the_other_device(
    first: str, then: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    model, data = small_network(rng), digits(rng)
    whole = train(model, data, "cpu", ema=0.9)
    run = tmp_path / "run"
    begun = train(model, data, first, ema=0.9, run=run, fit={"epochs": 1})
    rest = train(small_network(rng), data, then, ema=0.9, run=run, fit={"resume": True})
    assert_close(begun + rest, whole)
    assert len(byhand.load(run).state_dict()) == len(model.state_dict())


def test_a_model_goes_there_and_back(rng: np.random.Generator, tmp_path: Path) -> None:
    model = small_network(rng)
    before, file = model.state_dict(), model.to_bytes()
    probabilities = model.predict_proba(digits(rng)[0])
    assert model.device == "cpu"
    assert model.to("cuda") is model
    assert model.device == "cuda"
    assert isinstance(model.parameters()[0].data, byhand.DeviceArray)
    assert model.to_bytes() == file
    images = digits(np.random.default_rng(3))[0]
    on_gpu = model.predict_proba(images)
    assert isinstance(on_gpu, np.ndarray)
    model.to("cpu")
    np.testing.assert_allclose(on_gpu, model.predict_proba(images), rtol=1e-4, atol=1e-6)
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])
    assert probabilities.shape == (24, 4)


def test_an_optimizer_follows_its_parameters(rng: np.random.Generator) -> None:
    layer, other = nn.Linear(5, 3, rng=rng), nn.Linear(5, 3, rng=rng)
    other.load_state_dict(layer.state_dict())
    steps = []
    for which, places in ((layer, ["cpu", "cuda", "cuda", "cpu"]), (other, 4 * ["cpu"])):
        optimizer = optim.Adam(which.parameters(), 0.1)
        for i, place in enumerate(places):
            which.to(place)
            for p in which.parameters():
                p.grad = np.full(p.shape, i + 1, F32)
            optimizer.step()
        steps.append((which.state_dict(), optimizer.state_dict()))
    for a, b in zip(*steps, strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5)


def test_shared_weights_move_once(rng: np.random.Generator) -> None:
    a, b = nn.Linear(4, 4, rng=rng), nn.Linear(4, 4, rng=rng)
    b.weight = a.weight
    network = nn.Sequential(a, nn.ReLU(), b).to("cuda")
    assert network.children[0].weight is network.children[2].weight
    x = rng.standard_normal((3, 4), F32)
    on_gpu = network.forward(byhand.asarray(x, "cuda")).to("cpu")
    np.testing.assert_allclose(on_gpu, network.to("cpu").forward(x), rtol=1e-5, atol=1e-6)


def test_a_model_that_moves_after_its_trainer_was_made(rng: np.random.Generator) -> None:
    model, data = small_network(rng), digits(rng, 4)
    trainer = byhand.Trainer(model, optim.SGD(model.parameters(), 0.1))
    model.to("cuda")
    trainer.fit(data, epochs=1, batch_size=4)
    assert (trainer.device, model.device) == ("cuda", "cuda")
    chosen = byhand.Trainer(model, optim.SGD(model.parameters(), 0.1), device="cpu")
    model.to("cuda")
    chosen.fit(data, epochs=1, batch_size=4)
    assert model.device == "cpu"


def test_a_model_on_the_cpu_keeps_no_memory_of_the_gpu(rng: np.random.Generator) -> None:
    byhand.asarray(0, "cuda").to("cpu")
    gc.collect()
    before = byhand.cuda.memory()
    model = small_network(rng).to("cuda")
    model.predict(digits(rng)[0])
    model.forward(byhand.asarray(rng.standard_normal((3, 1, 8, 8), F32), "cuda"))
    model.to("cpu")
    gc.collect()
    assert byhand.cuda.memory() == before


def test_copies_stay_on_the_device(rng: np.random.Generator) -> None:
    model = small_network(rng).to("cuda")
    twin = copy.deepcopy(model)
    assert twin.device == "cuda"
    twin.parameters()[0].data.fill(0.0)
    assert model.state_dict()["0.weight"].any()
    assert not twin.state_dict()["0.weight"].any()


class Doubled(nn.Module):
    """A layer of a user's own."""

    def forward(self, x: Array) -> Array:
        return x * 2

    def backward(self, grad_output: Array) -> Array:
        return grad_output * 2


def test_own_layers_stay_on_the_cpu(rng: np.random.Generator) -> None:
    for network in (
        nn.Sequential(nn.Linear(5, 3, rng=rng), Doubled()),
        nn.Sequential(nn.Residual(nn.Linear(5, 5, rng=rng), Doubled())),
        Doubled(),
    ):
        with pytest.raises(TypeError, match="Doubled computes with NumPy"):
            network.to("cuda")
        assert network.device == "cpu"
        network.to("cpu")


class Absolute(losses.Loss):
    """A loss of a user's own."""

    one_hot = True

    def forward(self, prediction: Array, target: Array) -> np.float32:
        self.sign = np.sign(prediction - target) / F32(prediction.size)
        return np.abs(prediction - target).mean(dtype=F32)

    def backward(self) -> Array:
        return self.sign.astype(np.float64)  # any dtype


def test_own_losses_compute_on_the_cpu(rng: np.random.Generator) -> None:
    model, data = small_network(rng), digits(rng)
    options = {"loss": Absolute()}
    assert_close(train(model, data, "cuda", **options), train(model, data, "cpu", **options))


def test_layers_on_two_devices(rng: np.random.Generator) -> None:
    here, there = nn.Linear(5, 3, rng=rng), nn.Linear(3, 2, rng=rng).to("cuda")
    with pytest.raises(ValueError, match=r"on cpu and cuda: move them first"):
        nn.Sequential(here, there)
    with pytest.raises(ValueError, match=r"weight is on cuda and .*|x is on the CPU"):
        there.forward(np.zeros((2, 3), F32))


def test_a_loss_that_diverges_is_an_error(rng: np.random.Generator) -> None:
    model = byhand.Model(nn.Flatten(), nn.Linear(64, 4, rng=rng), input_shape=(1, 8, 8))
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) in batch \d+ of epoch \d"):
        train(
            model,
            digits(rng),
            "cuda",
            loss=losses.MSELoss(),
            optimizer=lambda p: optim.SGD(p, 1e18),
            fit={"batch_size": 1},
        )


def test_the_python_of_the_page(mnist: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of docs/cuda.md runs, with 16 images of MNIST and a small network as LeNet-5."""
    few = [byhand.data.Dataset(part.images[:16], part.labels[:16]) for part in mnist]
    monkeypatch.setattr(byhand.data, "mnist", lambda: tuple(few))
    monkeypatch.setattr(byhand.models, "lenet5", byhand.models.softmax_regression)
    page = Path(__file__).parents[1] / "docs" / "cuda.md"
    blocks = list(Document.parse(str(page), PythonCodeBlockParser()).examples())
    assert len(blocks) == page.read_text().count("```python") == 2
    for block in blocks:
        block.evaluate()
