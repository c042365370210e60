"""A user's own layers, losses and parameters work everywhere byhand's do."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import numpy.typing as npt
import pytest
from byhand import models, nn, optim
from byhand.files.tensors import CheckpointError
from byhand.models import Model
from byhand.nn import losses
from byhand.nn.parameter import stream

Array = npt.NDArray[Any]
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 4, 4), np.uint8)
LABELS = np.arange(8) % 3


class Scale(nn.Module):
    """y = factor * weight * x + bias, in plain NumPy."""

    def __init__(self, features: int, factor: float = 1.0) -> None:
        self.features, self.factor = features, factor
        self.weight = nn.Parameter(np.linspace(0.5, 1.5, features, dtype=np.float32))
        self.bias = nn.Parameter((features,))

    def forward(self, x: Array) -> Array:
        self.x = x
        return self.factor * self.weight.data * x + self.bias.data

    def backward(self, grad_output: Array) -> Array:
        self.weight.grad += self.factor * (grad_output * self.x).sum(axis=0)
        self.bias.grad += grad_output.sum(axis=0)
        return self.factor * self.weight.data * grad_output


class Double(nn.Layer):
    def forward(self, x: Array) -> Array:
        return 2 * x

    def backward(self, grad_output: Array) -> Array:
        return 2 * grad_output


class LoudReLU(nn.ReLU):
    """A subclass of ReLU. A plan must not run ReLU in its place."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) + 1


class Branch(nn.Sequential):
    def forward(self, x: Array) -> Array:
        return x + super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        return grad_output + super().backward(grad_output)


class LoudFlatten(nn.Flatten):
    """A subclass of Flatten. A plan must not omit it, although it omits Flatten."""

    def forward(self, x: Array) -> Array:
        return 2 * super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(2 * grad_output)


class Noisy(nn.Module):
    """A layer that computes something else in training than in inference."""

    def forward(self, x: Array) -> Array:
        return x + np.float32(self.training)

    def backward(self, grad_output: Array) -> Array:
        return grad_output


class OneWay(nn.Layer):
    """A layer that runs forward in a plan, but has no gradient."""

    def run(self, b: Any) -> None:
        np.copyto(b.y, b.x)


class Whole(OneWay):
    def run_backward(self, b: Any) -> None:
        if b.grad_x is not None:
            np.copyto(b.grad_x, b.grad_y)


OWN: dict[str, Callable[[], nn.Module]] = {
    "scale": lambda: Scale(16, factor=0.5),
    "twice": lambda: nn.Sequential(Scale(16), Scale(16, 2.0)),
    "residual": lambda: nn.Residual(nn.Tanh(), Scale(16)),
    "layer": Double,
    "derived layer": LoudReLU,
    "derived network": lambda: Branch(nn.Linear(16, 16, rng=5), nn.Tanh(), Scale(16)),
    "derived view": LoudFlatten,
    "mode": Noisy,
    "run": Whole,
}


def network(*inner: nn.Module) -> Model:
    first = nn.Linear(16, 16, rng=1)
    return Model(nn.Flatten(), first, *inner, nn.Linear(16, 3, rng=0), input_shape=(1, 4, 4))


def fit(model: Model, **arguments: Any) -> Any:
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    trainer = byhand.Trainer(model, optimizer, **arguments)
    return trainer.fit((IMAGES, LABELS), epochs=2, batch_size=3, seed=4)


def fit_by_hand(model: Model, loss: losses.Loss) -> None:
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    for epoch in (1, 2):
        order = stream(4, epoch).permutation(8)
        for start in (0, 3, 6):
            index = order[start : start + 3]
            x = np.empty((len(index), 1, 4, 4), np.float32)
            model.gather(IMAGES[:, np.newaxis], index, x)
            model.zero_grad()
            loss.forward(model.forward(x), LABELS[index])
            model.backward(loss.backward())
            optimizer.step()


@pytest.mark.parametrize("name", OWN)
def test_an_own_layer_trains_as_by_hand(name: str) -> None:
    planned, by_hand = network(OWN[name]()), network(OWN[name]())
    fit(planned)
    fit_by_hand(by_hand, losses.CrossEntropyLoss())
    state = by_hand.state_dict()
    for parameter, value in planned.state_dict().items():
        np.testing.assert_allclose(value, state[parameter], rtol=1e-5, atol=1e-6)
    x = np.empty((8, 1, 4, 4), np.float32)
    planned.gather(IMAGES[:, np.newaxis], np.arange(8), x)
    outputs = planned.outputs(IMAGES)
    assert all(module.training for module in planned.modules())
    np.testing.assert_allclose(outputs, planned.eval().forward(x), rtol=1e-5, atol=1e-6)


def test_an_own_layer_in_files_and_runs(tmp_path: Path) -> None:
    model = network(Scale(16, factor=0.5), nn.Residual(Scale(16)))
    history = fit(model, run=tmp_path / "run")
    for path in (tmp_path / "run", tmp_path / "run" / "model.safetensors"):
        again = byhand.load(path, layers=[Scale])
        assert np.array_equal(again.outputs(IMAGES), model.outputs(IMAGES))
        assert isinstance(again[2], Scale) and again[2].factor == 0.5
        with pytest.raises(CheckpointError, match=r"'Scale'.*load\(path, layers=\[Scale\]\)"):
            byhand.load(path)
    resumed = network(Scale(16, factor=0.5), nn.Residual(Scale(16)))
    optimizer = optim.SGD(resumed.parameters(), lr=0.1, momentum=0.5)
    trainer = byhand.Trainer(resumed, optimizer, run=tmp_path / "run")
    arguments: dict[str, Any] = {"batch_size": 3, "seed": 4, "resume": True}
    assert trainer.fit((IMAGES, LABELS), epochs=3, **arguments)[:2] == history


class Slope(nn.Module):
    """y = x * slope, with one learnable number."""

    def __init__(self) -> None:
        self.slope = nn.Parameter(np.full((), 0.5, np.float32))

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * self.slope.data

    def backward(self, grad_output: Array) -> Array:
        self.slope.grad += np.sum(grad_output * self.x)
        return grad_output * self.slope.data


def test_a_parameter_of_one_number_in_files_and_runs(tmp_path: Path) -> None:
    model = network(Slope())
    fit(model, run=tmp_path / "run")
    slope = model.state_dict()["2.slope"]
    assert slope.shape == () and slope != 0.5
    model.save(tmp_path / "model.safetensors")
    again = byhand.load(tmp_path / "model.safetensors", layers=[Slope])
    assert np.array_equal(again.predict_proba(IMAGES), model.predict_proba(IMAGES))

    resumed = network(Slope())
    optimizer = optim.SGD(resumed.parameters(), lr=0.1, momentum=0.5)
    trainer = byhand.Trainer(resumed, optimizer, run=tmp_path / "run")
    trainer.fit((IMAGES, LABELS), epochs=3, batch_size=3, seed=4, resume=True)
    fit_longer = network(Slope())
    optimizer = optim.SGD(fit_longer.parameters(), lr=0.1, momentum=0.5)
    byhand.Trainer(fit_longer, optimizer).fit((IMAGES, LABELS), epochs=3, batch_size=3, seed=4)
    for name, value in fit_longer.state_dict().items():
        assert np.array_equal(resumed.state_dict()[name], value), name


def test_what_no_file_can_hold(tmp_path: Path) -> None:
    class Linear(nn.Linear):
        pass

    class Forgets(Double):
        def __init__(self, size: int = 2) -> None:
            pass

    for own, message in (
        (Linear(16, 16), "byhand.nn has another class of that name"),
        (Forgets(), "Forgets does not store its argument size under that name"),
        (Scale(16, factor=np.float32(2)), "float32 is not JSON serializable"),  # type: ignore[arg-type]
        (Branch(nn.Tanh()), "Branch does not store its argument layers"),
    ):
        with pytest.raises(TypeError, match=message):
            network(own).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


class Forgetful(Double):
    def __init__(self, size: int) -> None:
        pass


def test_an_own_layer_is_shown_with_its_settings() -> None:
    assert repr(Scale(16, factor=0.5)) == "Scale(16, factor=0.5)"
    assert repr(Scale(16)) == "Scale(16)"
    assert repr(Forgetful(3)) == "Forgetful(...)"
    assert "Scale(16, factor=2)" in repr(network(Scale(16, factor=2)))


def test_an_own_layer_from_many_threads() -> None:
    """The layer stores its input and has a mode, and both must not mix between threads."""
    model = network(Scale(16), Noisy())
    expected = model.outputs(IMAGES)

    def use(_: int) -> bool:
        return all(np.array_equal(model.outputs(IMAGES), expected) for _ in range(100))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(4)))


class Parallel(nn.Module):
    """Two layers side by side: the output of the first is not the input of the second."""

    def __init__(self) -> None:
        self.children = (nn.Linear(16, 8, rng=1), nn.Linear(16, 8, rng=2))

    def forward(self, x: Array) -> Array:
        return np.concatenate([child.forward(x) for child in self.children], axis=1)

    def backward(self, grad_output: Array) -> Array:
        parts = [np.ascontiguousarray(part) for part in np.split(grad_output, 2, axis=1)]
        return sum(c.backward(g) for c, g in zip(self.children, parts, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("make", [lambda: (Scale(16),), lambda: (Parallel(),)])
def test_a_prediction_changes_nothing_of_an_own_layer(make: Callable[[], Any]) -> None:
    """A prediction may come between a forward and a backward pass.

    `output_shape` runs forward, too. Neither may change what the layer stores.
    """
    x = np.random.default_rng(1).standard_normal((8, 1, 4, 4), np.float32)
    models = [network(*make()) for _ in range(2)]
    for disturbed, model in enumerate(models):
        y = model.forward(x)
        if disturbed:
            repr(model)
            model.predict(IMAGES)
        model.backward(y)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert np.array_equal(one.grad, other.grad)


def test_modules_inside_an_own_layer_may_stand_in_any_order() -> None:
    planned, by_hand = network(Parallel()), network(Parallel())
    fit(planned)
    fit_by_hand(by_hand, losses.CrossEntropyLoss())
    state = by_hand.state_dict()
    for name, value in planned.state_dict().items():
        np.testing.assert_allclose(value, state[name], rtol=1e-5, atol=1e-6)


class InPlace(Double):
    def backward(self, grad_output: Array) -> Array:
        grad_output *= 2
        return grad_output


def test_an_own_layer_cannot_change_the_arrays_of_others() -> None:
    with pytest.raises(ValueError, match="backward of InPlace must not change its argument"):
        fit(network(nn.Residual(InPlace())))


class InList(Double):
    def __init__(self) -> None:
        self.weights = [nn.Parameter(np.ones(16, np.float32))]


class InAttribute(Double):
    def __init__(self) -> None:
        self.inner = nn.Linear(16, 16, rng=0)


class InDict(Double):
    def __init__(self) -> None:
        self.inner = {"first": nn.Linear(16, 16, rng=0)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (InList, "weights of InList holds a parameter in a list"),
        (InAttribute, "inner of InAttribute is a Linear that is not in children"),
        (InDict, "inner of InDict is a Linear that is not in children"),
    ],
)
def test_no_parameter_is_left_out_in_silence(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        network(make())
    with pytest.raises(TypeError, match=message):
        make().state_dict()


def test_a_child_may_have_a_name_too() -> None:
    class Named(Double):
        def __init__(self) -> None:
            self.inner = nn.Linear(16, 16, rng=0)
            self.children = (self.inner,)

    assert [name for name, _ in Named().named_parameters()] == ["0.weight", "0.bias"]


class OtherShape(Double):
    def backward(self, grad_output: Array) -> Array:
        return grad_output[:, 1:]


class NoArray(Double):
    def forward(self, x: Array) -> Any:
        return None


def test_wrong_results_of_an_own_layer_are_named() -> None:
    with pytest.raises(ValueError, match=r"backward of OtherShape got .* must return .* \(3, 16\)"):
        fit(network(OtherShape()))
    with pytest.raises(ValueError, match=r"forward of NoArray got .* must return an array"):
        network(NoArray()).predict(IMAGES)


def test_a_layer_without_a_gradient_predicts_but_does_not_train() -> None:
    class OnlyForward(nn.Module):
        def forward(self, x: Array) -> Array:
            return x

    for own, missing in (
        (OneWay(), "OneWay defines no run_backward"),
        (OnlyForward(), "OnlyForward defines no backward"),
        (nn.Residual(OnlyForward()), "OnlyForward defines no backward"),
    ):
        model = network(own)
        assert model.predict(IMAGES).shape == (8,)
        message = f"{missing}, so fit cannot train with it"
        with pytest.raises(TypeError, match=message):
            fit(model)


def test_what_is_not_defined_is_named() -> None:
    for method in ("forward", "backward"):
        with pytest.raises(NotImplementedError, match=f"Module defines no {method}"):
            getattr(nn.Module(), method)(np.zeros((1, 2), np.float32))
    with pytest.raises(NotImplementedError, match="Layer defines no run"):
        nn.Layer().forward(np.zeros((1, 2), np.float32))


class OwnCrossEntropy(losses.Loss):
    def forward(self, prediction: Array, target: Array) -> np.float32:
        e = np.exp(prediction - prediction.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        self.target = target
        return np.float32(-np.log(self.p[np.arange(len(target)), target]).mean())

    def backward(self) -> Array:
        return (self.p - np.eye(3, dtype=np.float32)[self.target]) / len(self.target)


def test_an_own_loss_trains_as_the_same_loss_of_byhand() -> None:
    own, ours = network(), network()
    history = fit(own, loss=OwnCrossEntropy())
    expected = fit(ours)
    for one, other in zip(history, expected, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
    result = byhand.evaluate(own, (IMAGES, LABELS), loss=OwnCrossEntropy())
    assert result.loss == pytest.approx(byhand.evaluate(ours, (IMAGES, LABELS)).loss, rel=1e-4)


def test_a_run_with_an_own_loss_resumes(tmp_path: Path) -> None:
    """The values that the loss stores from its last batch are not settings of the run."""
    loss = OwnCrossEntropy()
    history = fit(network(), loss=loss, run=tmp_path / "run")
    assert isinstance(loss.p, np.ndarray)
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    trainer = byhand.Trainer(model, optimizer, loss=loss, run=tmp_path / "run")
    resumed = trainer.fit((IMAGES, LABELS), epochs=3, batch_size=3, seed=4, resume=True)
    assert resumed[:2] == history
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["loss"] == {"type": "OwnCrossEntropy", "reduction": "mean"}


class TenTimes(losses.CrossEntropyLoss):
    def forward(self, prediction: Array, target: Array) -> np.float32:
        return np.float32(10 * super().forward(prediction, target))

    def backward(self) -> Array:
        return 10 * super().backward()


def test_a_loss_that_is_derived_from_one_of_byhand() -> None:
    own, ours = network(), network()
    first = fit(own, loss=TenTimes())[0].loss
    assert first > 5 * fit(ours)[0].loss
    result = byhand.evaluate(own, (IMAGES, LABELS), loss=TenTimes())
    assert result.loss == pytest.approx(10 * byhand.evaluate(own, (IMAGES, LABELS)).loss, rel=1e-4)


@pytest.mark.parametrize("loss", [lambda p, t: 0.0, "mse", losses.MSELoss, losses.Loss()])
def test_what_is_no_loss_is_refused(loss: Any) -> None:
    model = network()
    message = r"loss must be one of byhand\.nn\.losses, or a subclass of Loss"
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
    assert parameter.data[0, 0] == 0  # the parameter copied the array
    assert nn.Parameter(np.zeros((), np.float32)).shape == ()

    class Scale(nn.Layer):
        def __init__(self) -> None:
            self.weight = nn.Parameter(np.full(16, 2, np.float32))

    model = network(Scale())
    assert (model.state_dict()["2.weight"] == 2).all()
    assert len({id(p.storage) for p in model.parameters()}) == 1


@pytest.mark.parametrize(
    "value", [np.zeros(3), np.zeros(3, int), [1.0, 2.0], 3, (2.0, 3), "ab", None]
)
def test_a_parameter_from_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="Parameter"):
        nn.Parameter(value)


def test_a_shape_alone_makes_zeros() -> None:
    parameter = nn.Parameter((2, 3))
    assert parameter.data.shape == (2, 3) and not parameter.data.any()


@pytest.mark.parametrize("value", [np.zeros((3, 16), np.float32), 0.0, "x", [[1.0]]])
def test_an_array_does_not_replace_a_parameter(value: Any) -> None:
    """A parameter cannot be replaced by an array: the optimizer would silently keep the old one."""
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
    plain.bias = None  # no change, so it is allowed
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
    for classes in (10, 3):  # 10 classes with other names; 3 classes
        other = models.mlp((5,), seed=3, input_shape=(1, 4, 4), classes=classes)
        other.class_names = names[:classes]
        before = other.state_dict()
        assert other.start_from(source) == ["3.bias", "3.weight"]
        after = other.state_dict()
        assert np.array_equal(after["1.weight"], source.state_dict()["1.weight"])
        assert np.array_equal(after["3.weight"], before["3.weight"])


def nn_of(pool: nn.Layer, *end: nn.Layer) -> Model:
    """Make a model for images of 4 x 4 that pools them to 2 x 2."""
    return Model(pool, nn.Flatten(), nn.Linear(4, 3, rng=0), *end, input_shape=(1, 4, 4))


def test_the_last_weights_are_those_of_the_classes() -> None:
    """The last layer with weights may have layers without weights after it.

    Dropout may have another probability.
    """
    source, model = (nn_of(nn.AvgPool2d(2), nn.Dropout(p)) for p in (0.1, 0.5))
    source.class_names = ("a", "b", "c")
    assert model.start_from(source) == ["2.bias", "2.weight"]


def test_a_model_of_other_layers_is_no_start() -> None:
    model = models.mlp((5,), input_shape=(1, 4, 4))
    before = model.state_dict()
    for source, message in (
        (models.mlp((6,), input_shape=(1, 4, 4)), "1.weight"),
        (models.mlp((5,), input_shape=(1, 2, 8)), r"images \(1, 2, 8\), .* \(1, 4, 4\)"),
        (models.softmax_regression(input_shape=(1, 4, 4)), "3.weight"),
    ):
        with pytest.raises(ValueError, match=f"more than the last layer: .*{message}"):
            model.start_from(source)
    for source, message in (
        (models.mlp((5,), "tanh", input_shape=(1, 4, 4)), r"Tanh\(\) in .*, ReLU\(\) in the new"),
        (nn_of(nn.MaxPool2d(2)), r"MaxPool2d\(2, .*\) in .*, AvgPool2d\(2, .*\) in"),
        (nn_of(nn.AvgPool2d(2), nn.ReLU()), "4 layers in the trained model, 3 in the new one"),
    ):
        target = model if "Tanh" in message else nn_of(nn.AvgPool2d(2))
        kept = target.state_dict()
        with pytest.raises(ValueError, match=f"more than the last layer: .*{message}"):
            target.start_from(source)
        assert all(np.array_equal(kept[n], a) for n, a in target.state_dict().items())
    assert all(np.array_equal(before[n], a) for n, a in model.state_dict().items())
