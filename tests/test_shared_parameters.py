"""Layers that share a parameter (tied weights). Its gradient is the sum over all uses."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import Trainer, models, nn, optim
from byhand.engine.plan import Plan
from byhand.nn import losses
from byhand.nn.fusion import fused

Array = npt.NDArray[Any]


def tied() -> models.Model:
    """Return a model with shared weights: in a fused op, twice in a residual branch, and plain."""
    model = models.Model(
        nn.Flatten(),
        nn.Linear(16, 16, rng=0),
        nn.Tanh(),
        nn.Residual(nn.Linear(16, 16, rng=1), nn.Tanh(), nn.Linear(16, 16, rng=2)),
        nn.Linear(16, 16, rng=3),
        nn.Linear(16, 3, rng=4),
        input_shape=(1, 4, 4),
    )
    weight = model[1].weight  # type: ignore[attr-defined]
    for layer in (*model[3].children[::2], model[4]):
        layer.weight = weight  # type: ignore[attr-defined]
    return model


def tied_convolutions() -> models.Model:
    model = models.Model(
        nn.Conv2d(1, 1, 3, padding=1, rng=0),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(1, 1, 3, padding=1, rng=1),
        nn.Flatten(),
        nn.Linear(4, 3, rng=2),
        input_shape=(1, 4, 4),
    )
    model[3].weight, model[3].bias = model[0].weight, model[0].bias  # type: ignore[attr-defined]
    return model


@pytest.mark.parametrize("make", [tied, tied_convolutions])
def test_a_plan_adds_what_layers_by_hand_add(make: Any, rng: np.random.Generator) -> None:
    model = make()
    x = rng.standard_normal((6, 1, 4, 4)).astype(np.float32)
    labels = rng.integers(0, 3, 6)
    loss = losses.CrossEntropyLoss()
    model.zero_grad()
    loss.forward(model.forward(x), labels)
    model.backward(loss.backward())
    expected = [parameter.grad.copy() for parameter in model.parameters()]
    batch = Plan(fused(model.layers()), model.input_shape, 6, loss=loss).batch(6)
    batch.input[...] = x
    for _ in range(2):  # the second step must overwrite the first one's gradient
        batch.train(labels)
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            np.testing.assert_allclose(parameter.grad, gradient, rtol=2e-5, atol=1e-6)


def test_names_are_pytorchs() -> None:
    model = tied()
    assert [name for name, _ in model.named_parameters()] == [
        *("1.weight", "1.bias", "3.0.bias", "3.2.bias", "4.bias", "5.weight", "5.bias")
    ]
    assert "3.0.weight" in model.state_dict()
    assert len(set(model.parameters())) == len(model.parameters())


def test_they_train_as_in_pytorch(torch: Any, rng: np.random.Generator) -> None:
    from byhand.bench.torch_network import in_torch, with_weights_of

    model = tied()
    x = rng.integers(0, 256, (40, 4, 4), np.uint8)
    labels = rng.integers(0, 3, 40)

    reference = with_weights_of(model, in_torch(model).double())
    assert reference[3][0].weight is reference[1].weight
    optimizer = torch.optim.SGD(reference.parameters(), 0.05, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        output = reference(torch.tensor(x / 127.5 - 1.0))
        torch.nn.functional.cross_entropy(output, torch.tensor(labels)).backward()
        optimizer.step()
    Trainer(model, optim.SGD(model.parameters(), 0.05, momentum=0.9)).fit(
        (x, labels), epochs=3, batch_size=40
    )
    for name, value in reference.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["file", "copy", "pickle"])
def test_copies_share_as_well(way: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model = tied()
    data = rng.integers(0, 256, (40, 4, 4), np.uint8), rng.integers(0, 3, 40)
    if way == "file":
        model.save(tmp_path / "model.safetensors")
        twin = byhand.load(tmp_path / "model.safetensors")
    else:
        twin = copy.deepcopy(model) if way == "copy" else pickle.loads(pickle.dumps(model))
    for network in (model, twin):
        Trainer(network, optim.SGD(network.parameters(), 0.05)).fit(data, epochs=2, batch_size=16)
    for name, value in model.state_dict().items():
        assert np.array_equal(twin.state_dict()[name], value), name
    assert len(twin.parameters()) == len(model.parameters())


@pytest.mark.parametrize(
    "shared",
    [[], {"1.weight": "9.weight"}, {"1.weight": "5.weight"}, {"1.weight": 3}, {"1.weight": []}],
)
def test_a_file_that_shares_what_cannot_be_shared(shared: Any, tmp_path: Path) -> None:
    from byhand.files.tensors import CheckpointError, write_tensors

    model = tied()
    description = {**model.description(), "shared": shared}
    write_tensors(tmp_path / "m.safetensors", model.state_dict(), description)
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        byhand.load(tmp_path / "m.safetensors")
