"""Layers: PyTorch's numbers and names, gradients by hand, weights in flat buffers, clear errors.

Small integers make every product and sum exact in float32. So layers must equal float64 results
exactly, also if max pooling has ties.
"""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from byhand import kernels, nn
from networks import Float64Network
from tolerance import ulp_distance

Array = npt.NDArray[Any]


def integers(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(-2, 3, shape).astype(np.float32)


def fill_with_integers(network: nn.Module, rng: np.random.Generator) -> None:
    for parameter in network.parameters():
        parameter.data = integers(rng, *parameter.shape)


LAYERS = {
    "linear": (nn.Linear(7, 5), (7,)),
    "linear without bias": (nn.Linear(3, 2, bias=False), (3,)),
    "conv2d": (nn.Conv2d(3, 4, 3), (3, 6, 7)),
    "conv2d geometry": (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2), (4, 9, 8)),
    "conv2d sides": (nn.Conv2d(2, 3, 2, padding=((1, 0), (2, 1)), bias=False), (2, 4, 5)),
    "max_pool2d": (nn.MaxPool2d(2), (3, 6, 6)),
    "max_pool2d geometry": (nn.MaxPool2d(3, 2, 1, 2, ceil_mode=True), (2, 9, 8)),
    "avg_pool2d": (nn.AvgPool2d(2), (3, 6, 4)),
    "avg_pool2d geometry": (nn.AvgPool2d((2, 4), (1, 2), (1, 0)), (2, 5, 9)),
    "global_avg_pool2d": (nn.GlobalAvgPool2d(), (3, 4, 2)),
    "dropout": (nn.Dropout(0.5, rng=1), (7,)),
    "residual": (nn.Residual(nn.Conv2d(2, 2, (1, 3), padding=(0, 1)), nn.ReLU()), (2, 3, 5)),
    "residual of views and residuals": (
        nn.Sequential(
            nn.Flatten(),
            nn.Residual(
                nn.Flatten(), nn.Linear(6, 4), nn.Residual(nn.Linear(4, 4)), nn.Linear(4, 6)
            ),
            nn.Residual(nn.Flatten()),
            nn.Residual(),
        ),
        (2, 3),
    ),
    "relu": (nn.ReLU(), (4, 3)),
    "flatten": (nn.Flatten(), (2, 3, 4)),
    "nested": (
        nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 3, (3, 2)), nn.ReLU()),  # Winograd has no 3 x 2 kernel
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(27, 4),
        ),
        (1, 8, 8),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward_are_exact(name: str, rng: np.random.Generator) -> None:
    for n in (0, 1, 3):
        network, shape = copy.deepcopy(LAYERS[name])
        fill_with_integers(network, rng)
        expected = Float64Network(network)
        x = integers(rng, n, *shape)
        y = network.forward(x)
        assert y.dtype == np.float32 and np.array_equal(y, expected.forward(x))
        assert y.shape == (n, *network.output_shape(shape))
        grad = integers(rng, *y.shape)
        grad_x = network.backward(grad)
        expected_x, expected_weights = expected.backward(grad)
        assert np.array_equal(grad_x, expected_x)
        for parameter, gradient in zip(network.parameters(), expected_weights, strict=True):
            assert np.array_equal(parameter.grad, gradient)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_activations_are_their_formula(name: str, rng: np.random.Generator) -> None:
    layer = {"tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}[name]
    x = rng.standard_normal((4, 9), np.float32)
    y = layer.forward(x)
    expected = Float64Network(layer)
    assert ulp_distance(y, expected.forward(x)).max() <= 3
    grad = rng.standard_normal(x.shape, np.float32)
    slope = 1 - y.astype(float) ** 2 if name == "tanh" else y * (1.0 - y)
    assert np.abs(layer.backward(grad) - grad * slope).max() < 4 * 2.0**-23 * np.abs(grad).max()


def test_gradients_add_up_until_cleared(rng: np.random.Generator) -> None:
    layer = nn.Linear(4, 3)
    fill_with_integers(layer, rng)
    x, grad = integers(rng, 5, 4), integers(rng, 5, 3)
    layer.forward(x)
    layer.backward(grad)
    once = layer.weight.grad.copy()
    layer.backward(grad)
    assert np.count_nonzero(once) and np.array_equal(layer.weight.grad, 2 * once)
    layer.zero_grad()
    assert all(not parameter.grad.any() for parameter in layer.parameters())


def test_results_belong_to_the_caller(rng: np.random.Generator) -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    x = integers(rng, 2, 4)
    first, second = network(x), network(x)
    grads = network.backward(first), network.backward(first)
    own = [first, second, *grads, x]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(own, 2))


# --------------------------------------------------------------------------------------------------
# Agreement with PyTorch


def in_torch(network: nn.Module) -> Any:
    from byhand.bench.torch_network import in_torch  # PyTorch may not be installed

    return in_torch(network)


# Dropout is left out, because PyTorch draws other random numbers.
PYTORCH_TOO = [name for name in LAYERS if name != "dropout"]


@pytest.mark.parametrize("name", PYTORCH_TOO)
def test_weights_go_to_pytorch_and_back(name: str, torch: Any, rng: np.random.Generator) -> None:
    network, shape = copy.deepcopy(LAYERS[name])
    fill_with_integers(network, rng)
    theirs = in_torch(network)
    assert [n for n, _ in theirs.named_parameters()] == [n for n, _ in network.named_parameters()]
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in network.state_dict().items()})

    x = integers(rng, 3, *shape)
    x_theirs = torch.from_numpy(x).requires_grad_()
    y = theirs(x_theirs)
    grad = integers(rng, *y.shape)
    y.backward(torch.from_numpy(grad))
    assert np.array_equal(network(x), y.detach().numpy())
    assert np.array_equal(network.backward(grad), x_theirs.grad.numpy())
    for (_, mine), (_, other) in zip(
        network.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert np.array_equal(mine.grad, other.grad.numpy())

    again, _ = copy.deepcopy(LAYERS[name])
    again.load_state_dict(theirs.state_dict())
    assert np.array_equal(again(x), y.detach().numpy())


def test_batch_norm_trains_and_infers_as_in_pytorch(torch: Any, rng: np.random.Generator) -> None:
    """Outputs, gradients and running statistics agree. The state can go to PyTorch and back."""

    def make() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1),
            nn.BatchNorm2d(3, momentum=0.3),
            nn.Residual(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU()),
            nn.GlobalAvgPool2d(),
            nn.Flatten(),
            nn.Linear(3, 4),
            nn.BatchNorm1d(4, eps=0.01),
        )

    network = make()
    theirs = in_torch(network)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in network.state_dict().items()})
    for training in (True, True, False):
        network.train(training)
        theirs.train(training)
        network.zero_grad()
        theirs.zero_grad()
        x, grad = rng.standard_normal((5, 2, 4, 6), np.float32), integers(rng, 5, 4)
        x_theirs = torch.from_numpy(x).requires_grad_()
        y = theirs(x_theirs)
        y.backward(torch.from_numpy(grad))
        np.testing.assert_allclose(network(x), y.detach().numpy(), rtol=1e-4, atol=1e-5)
        grad_x = network.backward(grad)
        np.testing.assert_allclose(grad_x, x_theirs.grad.numpy(), rtol=1e-3, atol=1e-4)
        for mine, other in zip(network.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-3, atol=1e-4)
        state = theirs.state_dict()
        for name, array in network.state_dict().items():
            np.testing.assert_allclose(array, state[name].numpy(), rtol=1e-5, atol=1e-6)
    again = make().eval()
    again.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(again(x), y.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_pool_output_shapes_are_pytorchs(torch: Any) -> None:
    for size, kernel, stride, padding, dilation, ceil_mode in itertools.product(
        range(3, 8), (1, 2, 3), (1, 2, 4), (0, 1), (1, 2), (False, True)
    ):
        if padding > kernel // 2 or size + 2 * padding < dilation * (kernel - 1) + 1:
            continue  # PyTorch refuses the padding, or no window fits
        layer = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
        theirs = torch.nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
        expected = theirs(torch.zeros(1, 1, size, size)).shape[1:]
        assert layer.output_shape((1, size, size)) == tuple(expected), layer
        assert layer(np.zeros((1, 1, size, size), np.float32)).shape[1:] == tuple(expected)


# --------------------------------------------------------------------------------------------------
# Initial weights


def test_initial_weights_are_uniform_within_the_fan_in() -> None:
    for layer, fan_in in ((nn.Linear(100, 400, rng=1), 100), (nn.Conv2d(8, 60, 5, rng=1), 200)):
        bound = 1 / np.sqrt(fan_in)
        for values in (layer.weight.data.ravel(), layer.bias.data):
            assert np.abs(values).max() <= bound
            spread = bound / np.sqrt(3)  # the standard deviation of a uniform distribution
            assert abs(values.mean()) < 4 * spread / np.sqrt(values.size)
            assert abs(values.std() / spread - 1) < 4 / np.sqrt(values.size)


def test_a_seed_gives_the_same_weights_everywhere() -> None:
    layer = nn.Linear(2, 2, rng=7)
    drawn = [float(value).hex() for value in (*layer.weight.data.ravel(), *layer.bias.data)]
    assert drawn == [
        "-0x1.e6f9dc0000000p-2",
        "0x1.0d68f20000000p-1",
        "0x1.55f4860000000p-1",
        "-0x1.2857b80000000p-2",
        "-0x1.0d2c000000000p-2",
        "-0x1.ced8000000000p-4",
    ]


def test_a_generator_advances_and_none_is_random() -> None:
    rng = np.random.default_rng(0)
    layers = [nn.Linear(9, 9, rng=rng), nn.Linear(9, 9, rng=rng), nn.Linear(9, 9), nn.Linear(9, 9)]
    for a, b in itertools.combinations(layers, 2):
        assert not np.array_equal(a.weight.data, b.weight.data)
    assert np.array_equal(nn.Linear(9, 9, rng=3).weight.data, nn.Linear(9, 9, rng=3).weight.data)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed .*{seed}"):
        nn.Linear(1, 1, rng=seed)
    with pytest.raises(TypeError, match=r"seed .*float"):
        nn.Linear(1, 1, rng=0.5)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------
# Parameters and state


def test_parameters_are_views_of_two_flat_buffers() -> None:
    network = nn.Sequential(nn.Linear(3, 5), nn.Sequential(nn.Conv2d(1, 2, 3)))
    parameters = network.parameters()
    storage = parameters[0].storage
    assert storage is not None
    assert all(parameter.storage is storage for parameter in parameters)
    assert all(np.shares_memory(parameter.data, storage.data) for parameter in parameters)
    assert all(np.shares_memory(parameter.grad, storage.grad) for parameter in parameters)
    used = np.zeros(storage.data.size, int)
    for parameter in parameters:
        used[parameter.offset : parameter.offset + parameter.size] += 1
    assert used.max() == 1
    assert not storage.data[used == 0].any() and not storage.grad[used == 0].any()


def test_a_network_keeps_the_weights_and_gradients_of_its_layers(rng: np.random.Generator) -> None:
    layer = nn.Linear(3, 2)
    layer.weight.grad = integers(rng, 2, 3)
    weight, grad = layer.weight.data.copy(), layer.weight.grad.copy()
    network = nn.Sequential(nn.Linear(4, 3), layer)
    assert network.parameters()[2] is layer.weight
    assert np.array_equal(layer.weight.data, weight) and np.array_equal(layer.weight.grad, grad)


def test_weights_may_be_changed_at_any_time() -> None:
    network = nn.Sequential(nn.Linear(2, 1))
    weight, bias = network.parameters()
    x = np.ones((1, 2), np.float32)
    weight.data[...] = 3
    bias.data.fill(1)
    assert network(x) == 7
    weight.data = np.array([[1, 2]], np.float32)
    bias.data *= 2
    assert network(x) == 5
    storage = weight.storage
    assert storage is not None and np.shares_memory(weight.data, storage.data)


def test_wrong_assignments_are_refused() -> None:
    weight = nn.Linear(2, 3).weight
    with pytest.raises(ValueError, match=r"\.data has the shape \(3, 2\), not \(2,\)"):
        weight.data = np.zeros(2, np.float32)
    with pytest.raises(TypeError, match=r"\.data takes a float32 array, not float64.*astype"):
        weight.data = np.zeros((3, 2))
    with pytest.raises(TypeError, match=r"\.grad takes a float32 array, not NoneType.*zero_grad"):
        weight.grad = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))]
)
def test_copies_are_whole_and_apart(duplicate: Any) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    twin = duplicate(network)
    x = np.ones((1, 3), np.float32)
    assert np.array_equal(network(x), twin(x))
    assert len({id(parameter.storage) for parameter in twin.parameters()}) == 1
    twin.parameters()[0].storage.data.fill(0)  # changes all parameters, which are views
    assert not twin(x).any() and network(x).any()


def test_copies_leave_activations_behind() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    size = len(pickle.dumps(network))
    network(np.zeros((1000, 2), np.float32))
    assert len(pickle.dumps(network)) == size
    with pytest.raises(RuntimeError, match="before forward"):
        copy.deepcopy(network).backward(np.zeros((1000, 2), np.float32))
    network.backward(np.zeros((1000, 2), np.float32))


def test_state_dict_is_a_copy_and_loads_whole_or_not_at_all() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1, bias=False))
    state = network.state_dict()
    assert list(state) == ["0.weight", "0.bias", "2.weight"]
    state["0.bias"][...] = 9
    assert (network.parameters()[1].data != 9).all()
    network.load_state_dict(state)
    assert (network.parameters()[1].data == 9).all()

    wrong = {
        "0.weight": np.zeros((2, 3), np.float32),
        "0.bias": np.zeros(3),
        "3.weight": np.zeros(1, np.float32),
    }
    with pytest.raises(ValueError, match="Sequential") as caught:
        network.load_state_dict(wrong)
    for part in (
        "0.weight is float32 of shape (2, 3), not float32 of shape (3, 2)",
        "0.bias is float64",
        "missing 2.weight",
        "unexpected 3.weight",
    ):
        assert part in str(caught.value)
    assert all(np.array_equal(v, state[name]) for name, v in network.state_dict().items())
    with pytest.raises(TypeError, match="state must be arrays by name"):
        network.load_state_dict(5)  # type: ignore[arg-type]


def test_train_and_eval_reach_every_layer() -> None:
    network = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    for mode in (False, True):
        assert (network.train() if mode else network.eval()) is network
        modules = [network, network[0], *network.layers()]
        assert [module.training for module in modules] == [mode] * 4


def test_dropout_draws_by_seed_step_and_place(rng: np.random.Generator) -> None:
    x = np.ones((4, 50), np.float32)
    network = nn.Sequential(nn.Dropout(rng=1), nn.Residual(nn.Dropout(rng=1)), nn.Dropout(rng=1))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert [layer.stream for layer in layers] == [0, 1, 2]
    masks = [layer(x) for _ in range(2) for layer in layers]  # each pass is one step further
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(masks, 2))
    first = [layer.seed for layer in layers]
    network.begin_step(first[0], 0)
    assert np.array_equal(layers[0](x), masks[0])
    network.begin_step(5, 9)
    expected = network(x)
    gradient = network.backward(x)
    network.begin_step(5, 9)
    assert np.array_equal(network(x), expected) and np.array_equal(network.backward(x), gradient)
    network.eval()
    assert np.array_equal(network(x), 2 * x) and np.array_equal(network.backward(x), 2 * x)
    assert nn.Dropout(rng=3).seed == nn.Dropout(rng=3).seed != nn.Dropout(rng=4).seed


def test_running_statistics_are_state_but_no_parameters() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Residual(nn.BatchNorm1d(3)))
    names = ["0.weight", "0.bias", "1.0.weight", "1.0.bias"]
    assert [name for name, _ in network.named_parameters()] == names
    state = network.state_dict()
    assert list(state) == [*names, "1.0.running_mean", "1.0.running_var"]
    network(np.eye(2, dtype=np.float32))
    twin = copy.deepcopy(network)
    network.load_state_dict({**state, "1.0.num_batches_tracked": np.int64(3)})
    assert all(np.array_equal(v, state[name]) for name, v in network.state_dict().items())
    assert not np.array_equal(twin.state_dict()["1.0.running_var"], state["1.0.running_var"])
    with pytest.raises(ValueError, match=r"unexpected 0\.num_batches_tracked"):
        network.load_state_dict({**state, "0.num_batches_tracked": np.int64(3)})


# --------------------------------------------------------------------------------------------------
# Wrong use


def test_backward_needs_a_forward_and_the_outputs_shape() -> None:
    layer = nn.Linear(2, 3)
    with pytest.raises(RuntimeError, match=r"Linear\(2, 3\) was called before forward"):
        layer.backward(np.zeros((1, 3), np.float32))
    layer.forward(np.zeros((4, 2), np.float32))
    with pytest.raises(
        ValueError, match=r"shape \(4, 3\) of the output, but it is of shape \(4, 2\)"
    ):
        layer.backward(np.zeros((4, 2), np.float32))
    with pytest.raises(ValueError, match="but it is list"):
        layer.backward([1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"astype\(np.float32\)"):
        layer.backward(np.zeros((4, 3)))
    flatten = nn.Flatten()
    flatten.forward(np.zeros((4, 3), np.float32))
    with pytest.raises(
        TypeError, match=r"grad_output must be a float32 array, not float64.*astype"
    ):
        flatten.backward(np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Linear(3, 2), (1, 4), r"Linear\(3, 2\) takes \(N, 3\), not \(N, 4\)"),
        (nn.Linear(3, 2), (1, 1, 3), r"not \(N, 1, 3\)"),
        (nn.Conv2d(3, 2, 5), (1, 1, 9, 9), r"takes \(N, 3, H, W\), not \(N, 1, 9, 9\)"),
        (nn.Conv2d(1, 2, 5), (1, 1, 9), r"takes \(N, 1, H, W\), not \(N, 1, 9\)"),
        (nn.Conv2d(1, 2, 5), (1, 1, 9, 4), "window is larger than the input .* and its padding"),
        (nn.MaxPool2d(2), (1, 4), r"takes \(N, C, H, W\), not \(N, 4\)"),
        (nn.AvgPool2d(5), (1, 1, 4, 9), "window is larger"),
        (nn.GlobalAvgPool2d(), (1, 4), r"takes \(N, C, H, W\), not \(N, 4\)"),
        (nn.BatchNorm1d(3), (2, 4), r"BatchNorm1d\(3\) takes \(N, 3\), not \(N, 4\)"),
        (nn.BatchNorm2d(3), (2, 3), r"BatchNorm2d\(3\) takes \(N, 3, H, W\), not \(N, 3\)"),
        (nn.BatchNorm1d(3), (1, 3), "more than one value per channel in training"),
        (
            nn.Residual(nn.Linear(3, 2)),
            (1, 3),
            r"Residual must return the shape they take, not \(N, 2\) for \(N, 3\)",
        ),
    ],
)
def test_wrong_inputs(layer: nn.Layer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer.forward(np.zeros(shape, np.float32))


def test_inputs_that_are_no_float32_arrays() -> None:
    with pytest.raises(TypeError, match="batch axis, not list"):
        nn.ReLU().forward([1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"astype\(np.float32\)"):
        nn.Linear(2, 2).forward(np.zeros((1, 2)))
    for array in (np.zeros((1, 2)), np.array(["a", "b"])):
        with pytest.raises(TypeError, match=r"x must be a float32 array, not .*astype"):
            nn.Flatten().forward(array)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(0, 3), ValueError, "in_features must be at least 1, not 0"),
        (lambda: nn.Linear(3, 2.5), TypeError, "out_features must be an integer, not 2.5"),
        (lambda: nn.Linear(3, True), TypeError, "out_features must be an integer, not True"),
        (lambda: nn.Linear(3, 2, bias="no"), TypeError, "bias must be True or False, not 'no'"),
        (lambda: nn.Conv2d(3, 4, 0), ValueError, "kernel_size must be at least 1"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ValueError, "kernel_size must be an integer or a"),
        (lambda: nn.Conv2d(3, 4, 3, stride=-1), ValueError, "stride must be at least 1, not -1"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), ValueError, "padding must be at least 0"),
        (lambda: nn.Conv2d(3, 4, 3, padding=((1, 1),)), ValueError, "padding must be"),
        (lambda: nn.Conv2d(3, 4, 3, padding=((1, 1), 2.0)), TypeError, "padding must be an int"),
        (lambda: nn.Conv2d(3, 4, 3, dilation=0), ValueError, "dilation must be at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "groups=2 must divide in_channels=3"),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "stride must be at least 1, not 0"),
        (lambda: nn.MaxPool2d(2, ceil_mode=1), TypeError, "ceil_mode must be True or False"),
        (lambda: nn.AvgPool2d((2, "3")), TypeError, "kernel_size must be an integer, not '3'"),
        (lambda: nn.BatchNorm1d(0), ValueError, "num_features must be at least 1, not 0"),
        (lambda: nn.BatchNorm2d(3, eps=np.inf), ValueError, "eps must be finite and not neg"),
        (lambda: nn.BatchNorm2d(3, momentum=2), ValueError, "momentum must be from 0 to 1, not 2"),
        (lambda: nn.Dropout(1.5), ValueError, "p must be from 0 to 1, not 1.5"),
        (lambda: nn.Dropout("half"), TypeError, "p must be a number, not 'half'"),
        (lambda: nn.Residual(3), TypeError, "Residual takes layers, not int"),
        (lambda: nn.Sequential(nn.ReLU(), 3), TypeError, "Sequential takes layers, not int"),
    ],
)
def test_wrong_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_layer_has_one_place() -> None:
    layer = nn.ReLU()
    with pytest.raises(ValueError, match="occurs twice"):
        nn.Sequential(layer, nn.Sequential(layer))
    with pytest.raises(ValueError, match="occurs twice"):
        nn.Sequential(layer, nn.Residual(nn.Tanh(), layer))
    with pytest.raises(ValueError, match="occurs twice"):
        nn.Residual(layer, nn.Sequential(layer))


def test_a_probability_that_changes_before_the_backward_pass() -> None:
    layer, x = nn.Dropout(0.5, rng=0), np.ones((1, 64), np.float32)
    y = layer.forward(x)
    layer.p = 0.1
    np.testing.assert_array_equal(layer.backward(x), y)


# --------------------------------------------------------------------------------------------------
# Texts


def test_repr_shows_what_is_not_default() -> None:
    assert repr(nn.Conv2d(1, 20, (5, 5))) == "Conv2d(1, 20, 5)"
    assert repr(nn.Conv2d(2, 4, (3, 5), padding=((1, 1), (2, 2)), bias=False)) == (
        "Conv2d(2, 4, (3, 5), padding=(1, 2), bias=False)"
    )
    assert repr(nn.Sequential(nn.MaxPool2d(3, 2), nn.Flatten())) == (
        "Sequential(MaxPool2d(3, stride=2), Flatten())"
    )


def test_flops_count_a_multiplication_with_its_addition_as_two() -> None:
    assert nn.Linear(800, 128).flops((800,)) == 2 * 800 * 128
    grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    assert grouped.flops((4, 5, 7)) == 2 * (6 * 5 * 7) * (2 * 3 * 3)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))
    assert network.flops((1, 6, 6)) == 2 * (2 * 4 * 4) * 9 + 2 * 8 * 3


# --------------------------------------------------------------------------------------------------
# Settings that saving, loading and repr must not change


@pytest.mark.parametrize(
    ("padding", "shown"),
    [
        (2, 2),
        ((2, 2), 2),
        ((1, 2), (1, 2)),
        (((1, 1), (2, 2)), (1, 2)),
        (((1, 2), (1, 2)), ((1, 2), (1, 2))),
        (((2, 1), (2, 1)), ((2, 1), (2, 1))),
        (((1, 1), (1, 2)), ((1, 1), (1, 2))),
        (((0, 1), (1, 0)), ((0, 1), (1, 0))),
    ],
)
def test_padding_is_kept(padding: Any, shown: Any) -> None:
    for layer in (
        nn.Conv2d(1, 1, 3, padding=padding, rng=0),
        nn.MaxPool2d(3, padding=padding),
        nn.AvgPool2d(3, padding=padding),
    ):
        assert layer.arguments()["padding"] == shown
        again = type(layer)(**layer.arguments())
        assert again.padding == layer.padding
        assert f"padding={shown}" in repr(layer)


@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pooling_layers_take_what_kernels_take(pool: Any, ceil_mode: bool) -> None:
    kernel = kernels.max_pool2d if pool is nn.MaxPool2d else kernels.avg_pool2d
    for size in range(1, 6):
        for window, stride, padding in itertools.product(range(1, 6), range(1, 5), range(3)):
            x = np.ones((1, 1, size, 3), np.float32)
            geometry = {"stride": (stride, 1), "padding": (padding, 0), "ceil_mode": ceil_mode}
            layer = pool((window, 1), **geometry)
            try:
                result: Any = kernel(x, (window, 1), **geometry)
            except ValueError:
                with pytest.raises(ValueError, match="window is larger"):
                    layer.output_shape((1, size, 3))
                continue
            shape = (result[0] if pool is nn.MaxPool2d else result).shape
            assert (1, *layer.output_shape((1, size, 3))) == shape
    assert pool((3, 1), 2, ceil_mode=True).output_shape((1, 2, 2)) == (1, 1, 1)


# --------------------------------------------------------------------------------------------------
# Modes


@pytest.mark.parametrize("frozen", ["child", "all but the child"])
def test_a_child_has_its_own_mode(frozen: str, rng: np.random.Generator) -> None:
    residual = nn.Residual(nn.BatchNorm1d(2), nn.Residual(nn.BatchNorm1d(2), nn.Dropout(rng=0)))
    norms = [m for m in residual.modules() if isinstance(m, nn.BatchNorm1d)]
    if frozen == "child":
        norms[1].eval()
    else:
        residual.eval()
        norms[1].train()
    before = [norm.running_mean.data.copy() for norm in norms]
    x = rng.standard_normal((8, 2)).astype(np.float32) + 3
    residual.forward(x)
    moved = [not np.array_equal(n.running_mean.data, b) for n, b in zip(norms, before, strict=True)]
    assert moved == ([True, False] if frozen == "child" else [False, True])


def test_backward_is_in_the_mode_of_its_forward(rng: np.random.Generator) -> None:
    x = rng.standard_normal((8, 2)).astype(np.float32)
    grad = rng.standard_normal((8, 2)).astype(np.float32)
    for layer in (nn.BatchNorm1d(2), nn.Residual(nn.BatchNorm1d(2)), nn.Dropout(rng=0)):
        layer.begin_step(0, 0)
        layer.forward(x)
        expected = layer.backward(grad)
        layer.begin_step(0, 0)
        layer.forward(x)
        layer.eval()
        assert np.array_equal(layer.backward(grad), expected)
