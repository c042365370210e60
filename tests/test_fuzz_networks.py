"""Random networks compared with PyTorch. The comparison notices small faults put into byhand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from byhand import kernels, nn, optim, runtime
from byhand._core import testing
from byhand.engine import op as ops_of_plans
from byhand.engine import plan as engine
from byhand.nn import layers, losses
from byhand.optim import averages
from byhand.training import Trainer
from fuzz_cases import draw_case
from tolerance import assert_same_bits

# These networks take half a minute, and the mutations take another half. Each instruction set has
# its own networks.
PER_SET = 300 // len(testing.isas())


@pytest.fixture
def fuzz_networks(torch: Any) -> Any:
    """The module fuzz_networks, which imports PyTorch."""
    import fuzz_networks

    return fuzz_networks


def test_random_networks_compute_what_pytorch_computes(isa: str, fuzz_networks: Any) -> None:
    first = 1000 * testing.isas().index(isa)
    wrong = [fuzz_networks.attempt(seed) for seed in range(first, first + PER_SET)]
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_a_seed_gives_the_same_case_again() -> None:
    one, other = draw_case(5), draw_case(5)
    assert repr(one.model) == repr(other.model)
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert_same_bits(array, theirs[name], name)


# --------------------------------------------------------------------------------------------------
# Mutations: small faults in byhand. The fuzzer must find them, or finding nothing proves nothing.

Patch = pytest.MonkeyPatch
MUTATIONS: dict[str, Callable[[Patch], None]] = {}


def mutation(function: Callable[[Patch], None]) -> Callable[[Patch], None]:
    MUTATIONS[function.__name__] = function
    return function


def wrap(patch: Patch, owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace a function by one that calls around(function, *args, **kwargs)."""
    inner = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: around(inner, *args, **kwargs))


def change_result(patch: Patch, name: str, change: Callable[[Any], None]) -> None:
    """Change what a kernel wrote to `out`."""

    def around(kernel: Any, *args: Any, out: Any, **kwargs: Any) -> Any:
        result = kernel(*args, out=out, **kwargs)
        change(out)
        return result

    wrap(patch, kernels, name, around)


def change_argument(patch: Patch, names: str, argument: str, change: Callable[[Any], Any]) -> None:
    """Change the value of a keyword argument that kernels get."""

    def around(kernel: Any, *args: Any, **kwargs: Any) -> Any:
        if argument in kwargs:
            kwargs[argument] = change(kwargs[argument])
        return kernel(*args, **kwargs)

    for name in names.split():
        wrap(patch, kernels, name, around)


def off_by_one_percent(array: Any) -> None:
    array *= 1.01


@mutation
def gradient_of_linear_weights_off_by_one_percent(patch: Patch) -> None:
    change_result(patch, "linear_act_backward", lambda out: off_by_one_percent(out[1]))


@mutation
def last_gradient_of_a_filter_off_by_one_percent(patch: Patch) -> None:
    change_result(patch, "conv2d_backward_weight", lambda out: off_by_one_percent(out[-1:]))


@mutation
def gradient_of_bias_off_by_one_percent(patch: Patch) -> None:
    change_result(patch, "conv2d_backward_bias", off_by_one_percent)


@mutation
def gradient_of_a_fused_bias_off_by_one_percent(patch: Patch) -> None:
    def change(out: Any) -> None:
        if out[2] is not None:
            off_by_one_percent(out[2])

    change_result(patch, "conv2d_pool_act_backward", change)


@mutation
def sides_of_the_padding_exchanged(patch: Patch) -> None:
    names = "conv2d conv2d_backward_input conv2d_backward_weight"
    names += " conv2d_pool_act conv2d_pool_act_backward"
    change_argument(patch, names, "padding", lambda sides: tuple(side[::-1] for side in sides))


@mutation
def padding_counts_in_every_mean(patch: Patch) -> None:
    change_argument(patch, "avg_pool2d avg_pool2d_backward", "count_include_pad", lambda _: True)


@mutation
def gradient_of_a_maximum_at_the_next_value(patch: Patch) -> None:
    def around(kernel: Any, grad: Any, indices: Any, shape: Any, **kwargs: Any) -> Any:
        moved = np.where(indices + 1 < np.prod(shape[2:]), indices + 1, indices)
        return kernel(grad, moved.astype(np.int32), shape, **kwargs)

    wrap(patch, kernels, "max_pool2d_backward", around)


@mutation
def an_incomplete_window_is_refused(patch: Patch) -> None:
    def around(windows: Any, layer: Any, shape: Any, ceil_mode: bool = False) -> Any:
        windows(layer, shape)
        return windows(layer, shape, ceil_mode)

    wrap(patch, layers, "_windows", around)


@mutation
def the_gradient_of_an_empty_batch_is_not_zero(patch: Patch) -> None:
    def around(kernel: Any, grad: Any, *args: Any, out: Any, **kwargs: Any) -> Any:
        kernel(grad, *args, out=out, **kwargs)
        out += float(len(grad) == 0)

    wrap(patch, kernels, "conv2d_backward_weight", around)


@mutation
def running_statistics_move_one_percent_too_far(patch: Patch) -> None:
    change_argument(patch, "batch_norm", "momentum", lambda momentum: min(1.0, 1.01 * momentum))


@mutation
def another_mask_on_the_way_back(patch: Patch) -> None:
    change_argument(patch, "dropout_backward", "step", lambda step: step + 1)


@mutation
def a_residual_forgets_its_shortcut(patch: Patch) -> None:
    def around(run: Any, op: Any, b: Any) -> None:
        run(op, b)
        if b.grad_x is not None:
            b.grad_x -= b.grad_y

    wrap(patch, ops_of_plans.Branch, "run_backward", around)


@mutation
def smoothing_off_by_one_percent(patch: Patch) -> None:
    names = "softmax_cross_entropy softmax_cross_entropy_backward"
    change_argument(patch, names, "label_smoothing", lambda smoothing: 0.99 * smoothing)


@mutation
def an_ignored_class_counts_in_the_mean(patch: Patch) -> None:
    patch.setattr(losses.CrossEntropyLoss, "counted", lambda loss, target: len(target))


@mutation
def momentum_and_weight_decay_exchanged(patch: Patch) -> None:
    def around(kernel: Any, *args: Any, weight_decay: float, **rest: Any) -> None:
        if rest.get("momentum"):  # the average of weights has none
            rest["momentum"], weight_decay = weight_decay, rest["momentum"]
        kernel(*args, weight_decay=weight_decay, **rest)

    wrap(patch, kernels, "sgd_step", around)


@mutation
def the_first_gradient_is_dampened(patch: Patch) -> None:
    patch.setattr(optim.SGD, "steps", property(lambda optimizer: 2))


@mutation
def betas_exchanged(patch: Patch) -> None:
    def around(kernel: Any, *args: Any, beta1: float, beta2: float, **rest: Any) -> None:
        kernel(*args, beta1=beta2, beta2=beta1, **rest)

    wrap(patch, kernels, "adam_step", around)


@mutation
def the_average_misses_the_first_step(patch: Patch) -> None:
    def around(update: Any, average: Any) -> None:
        if average.updates:
            update(average)
        average.updates += average.updates == 0

    wrap(patch, averages.WeightAverage, "update", around)


@mutation
def fit_puts_every_layer_in_training(patch: Patch) -> None:
    def around(fit: Any, trainer: Any, *args: Any, **kwargs: Any) -> Any:
        trainer.model.train()
        return fit(trainer, *args, **kwargs)

    wrap(patch, Trainer, "fit", around)


@mutation
def a_shared_gradient_is_overwritten(patch: Patch) -> None:
    patch.setattr(engine, "_extra_gradients", lambda calls: [{} for _ in calls])


@mutation
def a_resumed_optimizer_begins_anew(patch: Patch) -> None:
    patch.setattr(optim.Optimizer, "load_state_dict", lambda optimizer, state: None)


@mutation
def a_file_loses_the_dilation(patch: Patch) -> None:
    def around(arguments: Any, layer: Any) -> Any:
        return {**arguments(layer), "dilation": 1}

    wrap(patch, nn.Conv2d, "arguments", around)


@mutation
def three_threads_lose_a_bit_of_the_last_row(patch: Patch) -> None:
    def change(out: Any) -> None:
        if runtime.get_num_threads() == 3:
            out[-1:] *= 1 + 2.0**-12

    change_result(patch, "linear", change)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found(
    name: str, fuzz_networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTATIONS[name](monkeypatch)
    found = next((seed for seed in range(100) if fuzz_networks.attempt(seed) is not None), None)
    assert found is not None
    monkeypatch.undo()
    assert fuzz_networks.attempt(found) is None
