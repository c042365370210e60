"""Layers, networks, optimizers and averages that move between devices.

The tests move them to a device without operators, whose memory is that of the CPU.
"""

from __future__ import annotations

import re
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import nn, optim
from byhand.optim.averages import WeightAverage
from byhand.training import EpochEnd, Event, TrainingEnded
from tolerance import assert_same_bits

F32 = np.float32


def small_model() -> byhand.Model:
    return byhand.Model(nn.Flatten(), nn.Linear(16, 3, rng=1), input_shape=(1, 4, 4))


def test_a_layer_that_moves_alone_takes_only_its_own_memory() -> None:
    network = nn.Sequential(nn.Linear(100, 50, rng=1), nn.Linear(50, 3, rng=2))
    before = network.state_dict()
    network[1].to("test")
    last = network.parameters()[2:]
    assert len({parameter.storage for parameter in last}) == 1
    assert last[0].storage is not None
    assert last[0].storage.data.size == 160 + 16  # both parameters, in whole cache lines
    assert [parameter.offset for parameter in last] == [0, 160]
    assert isinstance(last[0].data, byhand.DeviceArray)
    assert isinstance(network.parameters()[0].data, np.ndarray)
    network.to("test")
    assert {p.storage.device for p in network.parameters() if p.storage} == {"test"}
    for name, value in network.state_dict().items():
        assert_same_bits(value, before[name])


def test_a_network_keeps_its_layout() -> None:
    network = nn.Sequential(nn.Linear(5, 4, rng=1), nn.ReLU(), nn.Linear(4, 3, rng=1))
    offsets = [parameter.offset for parameter in network.parameters()]
    network.to("test")
    assert [parameter.offset for parameter in network.parameters()] == offsets
    assert len({parameter.storage for parameter in network.parameters()}) == 1


def test_a_residual_is_on_the_device_of_its_layers() -> None:
    layer = nn.Linear(3, 3, rng=1).to("test")
    assert nn.Residual(layer).device == "test"
    with pytest.raises(ValueError, match="the layers must be on one device"):
        nn.Residual(layer, nn.Linear(3, 3, rng=1))


def test_a_move_drops_the_arrays_of_earlier_batches() -> None:
    model = small_model()
    images = np.zeros((2, 4, 4), np.uint8)
    model.forward(np.zeros((2, 1, 4, 4), F32))
    model.predict(images)
    assert model._plans is not None
    model.to("cpu")  # the model is there already
    model.backward(np.zeros((2, 3), F32))
    assert model._plans is not None
    model.to("test")
    assert model._plans is None
    with pytest.raises(RuntimeError, match="was called before forward"):
        model.backward(np.zeros((2, 3), F32))


def test_an_average_follows_the_weights() -> None:
    model = small_model()
    before = model.state_dict()
    average = WeightAverage(model.parameters(), 0.9)
    model.to("test")
    model.parameters()[0].data.fill(0.0)
    with average.in_place_of_weights():
        assert_same_bits(model.state_dict()["1.weight"], before["1.weight"])
        model.to("cpu")
    assert not model.state_dict()["1.weight"].any()
    average.replace_weights()
    assert_same_bits(model.state_dict()["1.weight"], before["1.weight"])


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_handler_must_not_leave_the_model_elsewhere(ema: float | None) -> None:
    model = small_model()
    data = np.zeros((4, 4, 4), np.uint8), np.array([0, 1, 2, 0])

    def move(event: Event) -> None:
        if isinstance(event, EpochEnd):
            model.to("test")

    optimizer = optim.SGD(model.parameters(), 0.1)
    trainer = byhand.Trainer(model, optimizer, handlers=[move], ema=ema)
    message = "a handler moved the model from cpu to test at EpochEnd; move it back before"
    with pytest.raises(RuntimeError, match=message):
        trainer.fit(data, epochs=2)


def test_a_handler_may_move_the_model_at_the_end() -> None:
    model = small_model()
    data = np.zeros((4, 4, 4), np.uint8), np.array([0, 1, 2, 0])

    def move(event: Event) -> None:
        if isinstance(event, TrainingEnded):
            model.to("test")

    byhand.Trainer(model, optim.SGD(model.parameters(), 0.1), handlers=[move]).fit(data, epochs=1)
    assert model.device == "test"


def test_messages_show_the_shape_of_an_array_on_a_device() -> None:
    layer: Any = nn.Linear(4, 3, rng=1)
    array = byhand.asarray(np.zeros((2, 5), F32), "test")
    layer.forward(np.zeros((2, 4), F32))
    with pytest.raises(ValueError, match=re.escape("of the output, but it is of shape (2, 5)")):
        layer.backward(array)
    with pytest.raises(TypeError, match=re.escape("replaced by an array of shape (2, 5):")):
        layer.weight = array
