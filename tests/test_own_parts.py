"""A user's own layers, losses and parameters: what works, and a clear error for what does not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import models, nn, optim
from byhand.models import Model
from byhand.nn import losses

Array = npt.NDArray[Any]
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 4, 4), np.uint8)
LABELS = np.arange(8) % 3


class Double(nn.Layer):
    """Only by hand."""

    def forward(self, x: Array) -> Array:
        return 2 * x

    def backward(self, grad_output: Array) -> Array:
        return 2 * grad_output


class Bare(nn.Module):
    def forward(self, x: Array) -> Array:
        return x

    def backward(self, grad_output: Array) -> Array:
        return grad_output

    def output_shape(self, shape: Any) -> Any:
        return shape


class LoudReLU(nn.ReLU):
    """A plan would run ReLU in its place."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) + 1


class Branch(nn.Sequential):
    def forward(self, x: Array) -> Array:
        return x + super().forward(x)


class OneWay(nn.Layer):
    """Runs, but has no gradient."""

    def run(self, b: Any) -> None:
        np.copyto(b.y, b.x)


class Whole(OneWay):
    def run_backward(self, b: Any) -> None:
        if b.grad_x is not None:
            np.copyto(b.grad_x, b.grad_y)


def network(*inner: nn.Module) -> Model:
    return Model(nn.Flatten(), *inner, nn.Linear(16, 3, rng=0), input_shape=(1, 4, 4))


def fit(model: Model, **arguments: Any) -> None:
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    byhand.Trainer(model, optimizer, **arguments).fit((IMAGES, LABELS), epochs=1)


@pytest.mark.parametrize(
    ("layer", "planned"),
    [(Double, "run"), (Bare, "layers"), (LoudReLU, "run"), (Branch, "layers")],
)
@pytest.mark.parametrize("nested", [False, True])
def test_what_a_plan_would_not_run_is_refused(layer: Any, planned: str, nested: bool) -> None:
    own = layer()
    model = network(nn.Sequential(own) if nested else own)
    before = model.state_dict()
    message = rf"{layer.__name__} defines no {planned} .*By hand it works"
    with pytest.raises(TypeError, match=message):
        fit(model)
    for use in (model.predict, model.predict_proba, model.outputs):
        with pytest.raises(TypeError, match=message):
            use(IMAGES)
    with pytest.raises(TypeError, match=message):
        byhand.evaluate(model, (IMAGES, LABELS))
    assert all((before[name] == value).all() for name, value in model.state_dict().items())


def test_by_hand_it_works() -> None:
    model = network(Double())
    optimizer, loss = optim.SGD(model.parameters(), lr=0.05), losses.CrossEntropyLoss()
    x = (IMAGES / 255).astype(np.float32)[:, np.newaxis]
    values = []
    for _ in range(20):
        model.zero_grad()
        values.append(loss(model.forward(x), LABELS))
        model.backward(loss.backward())
        optimizer.step()
    assert values[-1] < values[0]


def test_a_layer_without_a_gradient_predicts_but_does_not_train() -> None:
    model = network(OneWay())
    assert model.predict(IMAGES).shape == (8,)
    with pytest.raises(TypeError, match="OneWay defines no run_backward"):
        fit(model)
    fit(network(Whole()))


def test_what_is_not_defined_is_named() -> None:
    for method in ("forward", "backward", "output_shape", "flops"):
        with pytest.raises(NotImplementedError, match=f"Module defines no {method}"):
            getattr(nn.Module(), method)(np.zeros((1, 2), np.float32))
    with pytest.raises(NotImplementedError, match="Layer defines no run"):
        nn.Layer().forward(np.zeros((1, 2), np.float32))


class OwnLoss(losses.Loss):
    def forward(self, prediction: Array, target: Array) -> np.float32:
        return np.float32(0)


@pytest.mark.parametrize("loss", [lambda p, t: 0.0, "mse", OwnLoss(), losses.MSELoss])
def test_a_loss_of_ones_own_is_refused_with_advice(loss: Any) -> None:
    model = network()
    message = r"loss must be CrossEntropyLoss\(\) or MSELoss\(\).*compute its gradient and call"
    with pytest.raises(TypeError, match=message):
        fit(model, loss=loss)
    with pytest.raises(TypeError, match=message):
        byhand.evaluate(model, (IMAGES, LABELS), loss=loss)


# --------------------------------------------------------------------------------------------------
# Parameters


def test_a_parameter_from_an_array_has_its_values() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    parameter = nn.Parameter(values)
    assert parameter.shape == (2, 3) and (parameter.data == values).all()
    assert (parameter.grad == 0).all()
    values[0, 0] = 9
    assert parameter.data[0, 0] == 0  # a copy
    assert nn.Parameter(np.zeros((), np.float32)).shape == ()

    class Scale(nn.Layer):
        def __init__(self) -> None:
            self.weight = nn.Parameter(np.full(16, 2, np.float32))

    model = network(Scale())
    assert (model.state_dict()["1.weight"] == 2).all()
    assert len({id(p.storage) for p in model.parameters()}) == 1


@pytest.mark.parametrize(
    "value", [np.zeros(3), np.zeros(3, int), [1.0, 2.0], 3, (2.0, 3), "ab", None]
)
def test_a_parameter_from_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="Parameter"):
        nn.Parameter(value)


def test_a_shape_alone_has_no_values() -> None:
    with pytest.raises(RuntimeError, match=r"Parameter\(2, 3\) has no values yet"):
        _ = nn.Parameter((2, 3)).data


@pytest.mark.parametrize("value", [np.zeros((3, 16), np.float32), 0.0, "x", [[1.0]]])
def test_an_array_does_not_replace_a_parameter(value: Any) -> None:
    """It would leave the optimizer with the old one, without a word."""
    layer = nn.Linear(16, 3, rng=0)
    weight = layer.weight
    with pytest.raises(TypeError, match=r"weight of Linear .*\.weight\.data = array"):
        layer.weight = value
    assert layer.weight is weight
    norm = nn.BatchNorm1d(3)
    with pytest.raises(TypeError, match=r"running_mean of BatchNorm1d is a parameter"):
        norm.running_mean = value
    layer.weight.data = np.ones((3, 16), np.float32)
    layer.weight = nn.Parameter(np.zeros((3, 16), np.float32))
    assert (layer.forward(np.ones((1, 16), np.float32)) == layer.bias.data).all()  # type: ignore[union-attr]


def test_a_parameter_cannot_be_removed() -> None:
    layer = nn.Linear(16, 3)
    with pytest.raises(TypeError, match="weight of Linear is a parameter and cannot be replaced"):
        layer.weight = None  # type: ignore[assignment]
    with pytest.raises(TypeError, match="bias of Linear is a parameter and cannot be removed"):
        del layer.bias
    assert len(layer.parameters()) == 2
    plain = nn.Linear(16, 3, bias=False)
    plain.bias = None  # as it is
    plain.note = "x"  # type: ignore[attr-defined]
    del plain.note  # type: ignore[attr-defined]


# --------------------------------------------------------------------------------------------------
# Copies and pickles


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def test_one_layer_takes_its_own_part_alone() -> None:
    model = models.mlp((500,))
    small = model[3]
    assert isinstance(small, nn.Linear)
    for thing, floats in ((small, 5010), (small.bias, 10)):
        assert len(pickle.dumps(thing)) < 8 * floats + 1000
    for twin in (pickled(small), copy.deepcopy(small), copy.copy(small.weight)):
        weight = twin.weight if isinstance(twin, nn.Linear) else twin
        assert (weight.data == small.weight.data).all() and weight.storage.data.size < 6000
        weight.data.fill(0)
        assert small.weight.data.any()


@pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy])
def test_copies_of_networks_share_one_storage_again(duplicate: Any) -> None:
    model = Model(
        nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.BatchNorm2d(2), nn.ReLU()),
        nn.Residual(nn.Conv2d(2, 2, 1, rng=1)),
        nn.Flatten(),
        nn.Linear(8, 3, rng=2),
        input_shape=(1, 4, 4),
    )
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    byhand.Trainer(model, optimizer).fit((IMAGES, LABELS), epochs=1)
    twin, moved = duplicate((model, optimizer))
    assert len({id(p.storage) for p in twin.parameters()}) == 1
    state = twin.state_dict()
    assert all((state[name] == value).all() for name, value in model.state_dict().items())
    for own, step in ((model, optimizer), (twin, moved)):
        byhand.Trainer(own, step).fit((IMAGES, LABELS), epochs=1)
    after = twin.state_dict()
    assert all((after[name] == value).all() for name, value in model.state_dict().items())
    assert not (after["3.weight"] == state["3.weight"]).all()
    again = duplicate(model.parameters())
    assert all((a.data == b.data).all() for a, b in zip(again, model.parameters(), strict=True))


# --------------------------------------------------------------------------------------------------
# Fine-tuning


def test_a_model_starts_from_another() -> None:
    source = models.mlp((5,), seed=1, input_shape=(1, 4, 4))
    source.scale = 0.5
    twin = models.mlp((5,), seed=2, input_shape=(1, 4, 4))
    assert twin.start_from(source) == [] and twin.scale == 0.5
    assert np.array_equal(twin.outputs(IMAGES), source.outputs(IMAGES))
    names = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
    for classes in (10, 3):  # as many, but others; fewer
        other = models.mlp((5,), seed=3, input_shape=(1, 4, 4), classes=classes)
        other.class_names = names[:classes]
        before = other.state_dict()
        assert other.start_from(source) == ["3.bias", "3.weight"]
        after = other.state_dict()
        assert np.array_equal(after["1.weight"], source.state_dict()["1.weight"])
        assert np.array_equal(after["3.weight"], before["3.weight"])


def nn_of(pool: nn.Layer, *end: nn.Layer) -> Model:
    """Images of 4 x 4, pooled to 2 x 2."""
    return Model(pool, nn.Flatten(), nn.Linear(4, 3, rng=0), *end, input_shape=(1, 4, 4))


def test_the_last_weights_are_those_of_the_classes() -> None:
    """A layer without weights may stand at the end; Dropout may have another probability."""
    source, model = (nn_of(nn.AvgPool2d(2), nn.Dropout(p)) for p in (0.1, 0.5))
    source.class_names = ("a", "b", "c")
    assert model.start_from(source) == ["2.bias", "2.weight"]


def test_a_model_of_other_layers_is_no_start() -> None:
    model = models.mlp((5,), input_shape=(1, 4, 4))
    before = model.state_dict()
    for source, message in (
        (models.mlp((6,), input_shape=(1, 4, 4)), "1.weight"),
        (models.mlp((5,), input_shape=(1, 2, 8)), r"images \(1, 2, 8\) and \(1, 4, 4\)"),
        (models.softmax_regression(input_shape=(1, 4, 4)), "3.weight"),
    ):
        with pytest.raises(ValueError, match=f"more than the last layer: .*{message}"):
            model.start_from(source)
    for source, message in (
        (models.mlp((5,), "tanh", input_shape=(1, 4, 4)), r"Tanh\(\) and ReLU\(\)"),
        (nn_of(nn.MaxPool2d(2)), r"MaxPool2d\(2, .*\) and AvgPool2d\(2, .*\)"),
        (nn_of(nn.AvgPool2d(2), nn.ReLU()), "4 and 3 layers"),
    ):
        target = model if "Tanh" in message else nn_of(nn.AvgPool2d(2))
        kept = target.state_dict()
        with pytest.raises(ValueError, match=f"more than the last layer: .*{message}"):
            target.start_from(source)
        assert all(np.array_equal(kept[n], a) for n, a in target.state_dict().items())
    assert all(np.array_equal(before[n], a) for n, a in model.state_dict().items())
