"""Optimizers: PyTorch's steps, and one kernel call per network even if its layers move."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from byhand import kernels, nn, optim

# Fractions with powers of 2: a few steps from small integers are exact in float32.
SETTINGS = [
    {},
    {"momentum": 0.5},
    {"momentum": 0.5, "nesterov": True},
    {"weight_decay": 0.25},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.25},
    {"momentum": 0.5, "dampening": 0.75},
    {"momentum": 0.5, "dampening": -0.5, "weight_decay": 0.25},
    {"dampening": 0.75},
]


def set_integers(parameters: list[nn.Parameter], rng: np.random.Generator, what: str) -> None:
    for parameter in parameters:
        setattr(parameter, what, rng.integers(-3, 4, parameter.shape).astype(np.float32))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 7, bias=False))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_steps_follow_the_formula_exactly(settings: Any, rng: np.random.Generator) -> None:
    parameters = network().parameters()
    set_integers(parameters, rng, "data")
    optimizer = optim.SGD(parameters, 0.5, **settings)
    data = [parameter.data.astype(float) for parameter in parameters]
    velocity = [np.zeros(parameter.shape) for parameter in parameters]
    momentum, dampening = settings.get("momentum", 0.0), settings.get("dampening", 0.0)
    for step in range(3):
        take = 1 - dampening if momentum and step else 1.0  # the first gradient is not damped
        set_integers(parameters, rng, "grad")
        for p, v, parameter in zip(data, velocity, parameters, strict=True):
            g = parameter.grad + settings.get("weight_decay", 0.0) * p
            v[...] = momentum * v + take * g
            p -= 0.5 * (g + momentum * v if settings.get("nesterov") else v)
        optimizer.step()
    for p, parameter in zip(data, parameters, strict=True):
        assert np.array_equal(parameter.data, p)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_steps_are_pytorchs(settings: Any, torch: Any, rng: np.random.Generator) -> None:
    parameters = network().parameters()
    set_integers(parameters, rng, "data")
    theirs = [torch.from_numpy(parameter.data.copy()) for parameter in parameters]
    ours, other = optim.SGD(parameters, 0.5, **settings), torch.optim.SGD(theirs, 0.5, **settings)
    for lr in (0.5, 0.25, 0.5):
        set_integers(parameters, rng, "grad")
        for parameter, tensor in zip(parameters, theirs, strict=True):
            tensor.grad = torch.from_numpy(parameter.grad.copy())
        ours.lr = other.param_groups[0]["lr"] = lr
        ours.step()
        other.step()
    for parameter, tensor in zip(parameters, theirs, strict=True):
        assert np.array_equal(parameter.data, tensor.numpy())


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize(
    "settings", [{}, {"betas": (0.5, 0.75), "eps": 0.25}, {"weight_decay": 0.25}], ids=str
)
def test_steps_of_adam_are_pytorchs(
    name: str, settings: Any, torch: Any, rng: np.random.Generator
) -> None:
    """Adam's steps equal PyTorch's up to rounding, because the quotients differ in order."""
    parameters = network().parameters()
    theirs = [torch.from_numpy(parameter.data.copy()) for parameter in parameters]
    ours = getattr(optim, name)(parameters, **settings)
    other = getattr(torch.optim, name)(theirs, **settings)
    for lr in (0.5, 0.25, 0.5):
        set_integers(parameters, rng, "grad")
        for parameter, tensor in zip(parameters, theirs, strict=True):
            tensor.grad = torch.from_numpy(parameter.grad.copy())
        ours.lr = other.param_groups[0]["lr"] = lr
        ours.step()
        other.step()
    assert ours.steps == 3
    for parameter, tensor in zip(parameters, theirs, strict=True):
        np.testing.assert_allclose(parameter.data, tensor.numpy(), rtol=2e-6, atol=2e-6)


ADAMS = [optim.Adam, optim.AdamW]


def damped(parameters: Any, **settings: Any) -> optim.SGD:
    return optim.SGD(parameters, 0.1, momentum=0.9, dampening=0.5, **settings)


@pytest.mark.parametrize("make", [*ADAMS, damped])
@pytest.mark.parametrize("how", ["state", "copy", "pickle"])
def test_steps_go_on_as_if_never_interrupted(make: Any, how: str, rng: np.random.Generator) -> None:
    """The moments, the velocity and the number of steps are part of the state, and of copies."""
    first = network()
    optimizer = make(first.parameters(), weight_decay=0.1)
    for _ in range(2):
        set_integers(first.parameters(), rng, "grad")
        optimizer.step()
    if how == "state":
        second = network()
        second.load_state_dict(first.state_dict())
        other = make(second.parameters(), weight_decay=0.1)
        other.load_state_dict(optimizer.state_dict())
    elif how == "copy":
        second, other = copy.deepcopy((first, optimizer))
    else:
        second, other = pickle.loads(pickle.dumps((first, optimizer)))
    assert other.steps == 2
    for _ in range(2):
        set_integers(first.parameters(), rng, "grad")
        for mine, its in zip(first.parameters(), second.parameters(), strict=True):
            its.grad = mine.grad
        optimizer.step()
        other.step()
    for mine, its in zip(first.parameters(), second.parameters(), strict=True):
        assert mine.data.tobytes() == its.data.tobytes()
    assert optimizer.steps == other.steps == 4


@pytest.mark.parametrize("make", ADAMS)
def test_state_of_adam(make: Any) -> None:
    optimizer = make(network().parameters())
    optimizer.step()
    state = optimizer.state_dict()
    assert [(name, array.shape) for name, array in state.items()] == [
        ("steps", (1,)),
        *((f"first_moment.{i}", shape) for i, shape in enumerate([(3, 5), (3,), (7, 3)])),
        *((f"second_moment.{i}", shape) for i, shape in enumerate([(3, 5), (3,), (7, 3)])),
    ]
    state["steps"][...] = 7
    assert optimizer.steps == 1  # the state holds copies
    del state["steps"]
    with pytest.raises(ValueError, match=f"state does not fit {make.__name__}: missing steps"):
        optimizer.load_state_dict(state)


def test_settings_of_adam() -> None:
    optimizer = optim.Adam(network().parameters(), np.float32(0.5), betas=(np.float64(0.5), 0))
    assert optimizer.settings() == {"lr": 0.5, "betas": [0.5, 0.0], "eps": 1e-8, "weight_decay": 0}
    assert optim.AdamW(network().parameters()).settings()["weight_decay"] == 0.01
    json.dumps(optimizer.settings())


def test_adam_steps_any_choice_of_parameters_and_no_other() -> None:
    first, second, third = network().parameters()
    for parameter in (first, second, third):
        parameter.grad.fill(1)
    before = second.data.copy()
    optimizer = optim.Adam([third, first], lr=0.5)
    old = third.data.copy()
    optimizer.step()
    np.testing.assert_allclose(third.data, old - 0.5, atol=1e-6)
    assert np.array_equal(second.data, before)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the arrays that each call of the kernel gets."""
    sizes: list[int] = []
    kernel = kernels.sgd_step

    def counted(parameters: Any, *args: Any, **settings: Any) -> None:
        sizes.append(parameters.size)
        kernel(parameters, *args, **settings)

    monkeypatch.setattr(kernels, "sgd_step", counted)
    return sizes


def test_a_step_of_a_network_is_one_call(calls: list[int]) -> None:
    parameters = network().parameters()
    optimizer = optim.SGD(parameters, 0.1)
    optimizer.step()
    optimizer.step()
    assert len(calls) == 2 and calls[0] >= sum(parameter.size for parameter in parameters)


def test_any_choice_of_parameters_is_stepped_and_no_other(
    calls: list[int], rng: np.random.Generator
) -> None:
    whole = network()
    first, second, third = whole.parameters()
    loose = nn.Linear(2, 2)
    chosen = [third, first, loose.bias]
    set_integers([*whole.parameters(), loose.weight, loose.bias], rng, "grad")
    before = [p.data.copy() for p in (first, second, third, loose.weight, loose.bias)]
    optim.SGD(chosen, 1.0).step()
    after = [p.data for p in (first, second, third, loose.weight, loose.bias)]
    stepped = [True, False, True, False, True]
    for old, new, moved, parameter in zip(
        before, after, stepped, [first, second, third, loose.weight, loose.bias], strict=True
    ):
        assert np.array_equal(new, old - parameter.grad if moved else old)
    assert len(calls) == 3


def test_steps_follow_layers_into_another_network(
    calls: list[int], rng: np.random.Generator
) -> None:
    layers = nn.Linear(3, 2), nn.Linear(2, 4)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    optimizer = optim.SGD(parameters, 1.0, momentum=1.0)
    set_integers(parameters, rng, "data")
    set_integers(parameters, rng, "grad")
    start = [parameter.data.copy() for parameter in parameters]
    optimizer.step()
    assert len(calls) == 4
    nn.Sequential(*layers)
    optimizer.step()
    assert len(calls) == 5
    for parameter, old in zip(parameters, start, strict=True):
        assert np.array_equal(parameter.data, old - 3 * parameter.grad)  # velocities: g, 2 g


def test_state_goes_from_one_optimizer_to_another(rng: np.random.Generator) -> None:
    first = network()
    second = network()
    second.load_state_dict(first.state_dict())
    optimizers = [optim.SGD(n.parameters(), 0.5, momentum=0.5) for n in (first, second)]
    set_integers(first.parameters(), rng, "grad")
    optimizers[0].step()
    second.load_state_dict(first.state_dict())
    state = optimizers[0].state_dict()
    assert [(name, array.shape) for name, array in state.items()] == [
        ("steps", (1,)),
        ("velocity.0", (3, 5)),
        ("velocity.1", (3,)),
        ("velocity.2", (7, 3)),
    ]
    optimizers[1].load_state_dict(state)
    for optimizer, n in zip(optimizers, (first, second), strict=True):
        n.zero_grad()
        optimizer.step()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert np.array_equal(a.data, b.data)
    with pytest.raises(
        ValueError, match=r"state does not fit SGD: missing steps; missing velocity\.0"
    ):
        optimizers[0].load_state_dict({})


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))]
)
def test_a_copy_steps_its_own_network(duplicate: Any, rng: np.random.Generator) -> None:
    original = network()
    optimizer = optim.SGD(original.parameters(), 1.0, momentum=1.0)
    set_integers(original.parameters(), rng, "data")
    set_integers(original.parameters(), rng, "grad")
    optimizer.step()
    twin, own = duplicate((original, optimizer))
    before = [parameter.data.copy() for parameter in original.parameters()]
    own.step()
    for parameter, other, old in zip(twin.parameters(), original.parameters(), before, strict=True):
        assert np.array_equal(parameter.data, old - 2 * parameter.grad)  # second velocity: 2 g
        assert np.array_equal(other.data, old)
    assert np.array_equal(own.state_dict()["velocity.0"], 2 * original.parameters()[0].grad)
    assert np.array_equal(optimizer.state_dict()["velocity.0"], original.parameters()[0].grad)


def test_zero_grad(rng: np.random.Generator) -> None:
    parameters = network().parameters()
    set_integers(parameters, rng, "grad")
    optim.SGD(parameters, 0.1).zero_grad()
    assert not any(parameter.grad.any() for parameter in parameters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "lr must be finite and not negative, not -1.0"),
        ({"lr": float("nan")}, "lr must be finite"),
        ({"lr": 0.1, "momentum": -0.5}, "momentum must be finite and not negative"),
        ({"lr": 0.1, "weight_decay": float("inf")}, "weight_decay must be finite"),
        ({"lr": 0.1, "dampening": float("nan")}, "dampening must be finite"),
        ({"lr": 0.1, "nesterov": True}, "nesterov needs a momentum above 0"),
        (
            {"lr": 0.1, "momentum": 0.5, "dampening": 0.25, "nesterov": True},
            "nesterov needs a dampening of 0, not 0.25",
        ),
    ],
)
def test_wrong_settings(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optim.SGD(network().parameters(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": -1.0}, ValueError, "lr must be finite and not negative, not -1.0"),
        ({"betas": 0.9}, ValueError, "betas must be a pair of numbers, not 0.9"),
        (
            {"betas": (0.9, 1.0)},
            ValueError,
            r"betas\[1\] must be at least 0 and less than 1, not 1.0",
        ),
        ({"betas": ("a", 0.9)}, TypeError, r"betas\[0\] must be a number, not 'a'"),
        ({"eps": -1e-8}, ValueError, "eps must be finite and not negative"),
        ({"weight_decay": None}, TypeError, "weight_decay must be a number"),
    ],
)
def test_wrong_settings_of_adam(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optim.Adam(network().parameters(), **arguments)


@pytest.mark.parametrize("name", ["lr", "momentum", "dampening", "weight_decay"])
@pytest.mark.parametrize("value", [None, "0.1", True, 1j])
def test_settings_are_numbers(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a number, not {value!r}"):
        optim.SGD(network().parameters(), **{"lr": 0.1, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", "x"),
        ("lr", None),
        ("momentum", None),
        ("betas", (2, 3)),
        ("eps", "q"),
        ("nesterov", 2),
    ],
)
def test_settings_are_checked_when_they_are_changed(name: str, value: Any) -> None:
    make = optim.Adam if name in ("betas", "eps") else optim.SGD
    optimizer = make(network().parameters(), 0.1)
    before = optimizer.settings()
    with pytest.raises((TypeError, ValueError), match=name):
        setattr(optimizer, name, value)
    assert optimizer.settings() == before


def test_settings_of_numpy_are_floats() -> None:
    optimizer = optim.SGD(network().parameters(), np.float32(0.5), np.float64(0.5))
    assert [type(value) for value in (optimizer.lr, optimizer.momentum)] == [float, float]
    optimizer.lr = np.float32(0.25)
    settings = optimizer.settings()
    assert settings == {
        "lr": 0.25,
        "momentum": 0.5,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "nesterov": False,
    }
    assert [type(value) for value in settings.values()] == [float, float, float, float, bool]


def test_wrong_parameters() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="parameters must not repeat: one occurs twice in"):
        optim.SGD([layer.weight, layer.weight], 0.1)
    with pytest.raises(ValueError, match="parameters must not be empty"):
        optim.SGD([], 0.1)
    with pytest.raises(TypeError, match=r"network\.parameters\(\)"):
        optim.SGD([layer.weight.data], 0.1)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="state must be arrays by name"):
        optim.SGD(layer.parameters(), 0.1).load_state_dict(5)  # type: ignore[arg-type]


def test_a_step_without_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step takes memory for the optimizer's own arrays. If that fails, the next tries."""
    layer, other = nn.Linear(5, 3, rng=1), nn.Linear(5, 3, rng=1)
    optimizers = [optim.Adam(each.parameters(), 0.1) for each in (layer, other)]
    for parameter in (*layer.parameters(), *other.parameters()):
        parameter.grad.fill(1.0)

    def no_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("byhand.optim.optimizers.asarray", no_memory)
        for _ in range(2):
            with pytest.raises(MemoryError):
                optimizers[0].step()
    assert optimizers[0].steps == 0
    for optimizer in optimizers:
        optimizer.step()
    for a, b in zip(layer.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
