"""Draw random networks, and compare what byhand and PyTorch compute.

    python tests/fuzz_networks.py --count 10000            # on every instruction set of this CPU
    python tests/fuzz_networks.py --seed 123 --count 1     # one network again

Everything about a network and its training follows from one integer: its layers, their arguments
and nesting, which of them share weights and which are in eval mode, the loss, the optimizer, the
schedule, the data and the number of threads. Each network is called layer by layer, trained for
a few steps by a `Trainer`, saved, loaded, resumed and evaluated. Every result is compared with
PyTorch's in float64 (torch_twin.py says how). Some batches are empty. If byhand refuses a layer,
PyTorch must refuse it, too. The script prints the seed of each mismatch.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import reference
import torch
from byhand import models, nn, optim
from byhand._core import testing
from byhand.nn import losses
from byhand.nn.parameter import stream
from byhand.training import BatchEnd, EpochEnd, Trainer, TrainingStarted, evaluate
from calls import Array, Call
from fuzz_cases import EPOCHS, Case, draw_case, draw_data
from ops import OPS
from tolerance import EPS, assert_same_bits, assert_within
from torch_training import (
    check_loss,
    check_optimizer,
    check_schedule,
    flattened,
    torch_loss,
)
from torch_twin import (
    Dropout,
    Twin,
    double,
    in_torch,
    parameters,
    statistics,
    trained_in_torch,
)

# --------------------------------------------------------------------------------------------------
# Running a case


def run(seed: int) -> None:
    """Draw the network of this seed and compare everything. Raise AssertionError at a mismatch."""
    case = draw_case(seed)
    for layer, shape in case.draw.refused:
        refused = torch_error(in_torch(layer), 2, shape) is not None
        assert refused, f"{layer!r} refuses images of shape {shape}, but PyTorch takes them"
    with (
        byhand.num_threads(case.threads),
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "the model is in inference mode")  # on purpose
        by_hand(case)
        if train(case, Path(folder)):
            infer(case, Path(folder))


def attempt(seed: int, verbose: bool = False) -> str | None:
    """Run the case of this seed. Return None, or the command that repeats it and the mismatch."""
    try:
        run(seed)
    except Exception as error:
        if verbose:
            case = draw_case(seed)
            print(*(f"in eval mode: {list(case.model.modules())[i]!r}" for i in case.frozen))
            print(case)
            traceback.print_exc()
        command = f"python tests/fuzz_networks.py --isa {testing.isa()} --seed {seed} --count 1"
        return f"{command}  # {type(error).__name__}: {str(error).splitlines()[:1]}"
    return None


def torch_error(module: Any, n: int, shape: Any) -> Exception | None:
    """Return the error with which a PyTorch network refuses n images of a shape, or None."""
    for part in module.modules():
        if isinstance(part, Dropout):
            part.eval()
    try:
        module(torch.zeros(n, *shape, dtype=torch.float64))
    except (RuntimeError, ValueError) as error:
        return error
    return None


def by_hand(case: Case) -> None:
    """Call the layers one after the other, for two batches whose gradients add up.

    The second batch may be empty.
    """
    draw, network = case.draw, copy.deepcopy(case.model)
    twin = Twin(network)
    evaluating = draw.chance(0.2)
    for module in (network, twin.module):
        module.eval() if evaluating else case.set_modes(module)
    twin.load()
    network.zero_grad()
    loss = copy.deepcopy(case.loss)
    loss.reduction = draw.one("mean", "sum")
    for n in (draw.count(2, 9), draw.one(0, 1, draw.count(2, 9))):
        if not evaluating and not takes(network, n, case):
            return
        x = draw.floats(n, *network.input_shape)
        _, target = draw_data(draw, case.model, loss, n)
        if isinstance(loss, losses.MSELoss):
            target = draw.floats(n, case.model.classes)
        step(network, twin, loss, x, target)


def takes(network: nn.Module, n: int, case: Case) -> bool:
    """Return whether PyTorch trains on n images.

    It refuses a batch norm with one value per channel, because a single value has no variance.
    """
    error = torch_error(case.set_modes(in_torch(network)), n, case.model.input_shape)
    assert error is None or "more than 1 value per channel" in str(error), error
    return error is None


def step(network: nn.Module, twin: Twin, loss: losses.Loss, x: Array, target: Array) -> Any:
    """Compare a forward and a backward pass layer by layer. Return the loss."""
    output = network.forward(x)
    value = loss.forward(output, target)
    grad = loss.backward()
    check_loss(loss, output, target, value, grad)
    twin.check(x, output, grad, network.backward(grad))
    return value


class Beside:
    """A handler that repeats each step of a Trainer layer by layer, and with PyTorch's optimizer.

    Each comparison begins from the weights, moments and statistics that byhand had before the
    step, so that its bound is that of a single step.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.hand = copy.deepcopy(case.model)
        self.twin = Twin(self.hand)
        self.steps = 0
        self.state: dict[str, Array] = {}
        self.moving: dict[str, Array] = {}
        self.average: list[Array] = []
        self.totals = np.zeros(4)  # loss, wrong answers, rows that the loss counts, images

    def follow(self, trainer: Trainer) -> Trainer:
        trainer.handlers = (self,)
        self.trainer = trainer
        return trainer

    def __call__(self, event: Any) -> None:
        model, optimizer = self.trainer.model, self.trainer.optimizer
        if isinstance(event, TrainingStarted):
            if self.state:  # resumed
                assert_same(model.state_dict(), self.state)
                assert_same(optimizer.state_dict(), self.moving)
            else:
                self.average = [p.data.astype(float) for p in parameters(model)]
            self.remember(model, optimizer)
        if isinstance(event, BatchEnd):
            self.compare(event, model, optimizer)
            self.remember(model, optimizer)
        if isinstance(event, EpochEnd):
            loss, wrong, counted, images = self.totals
            np.testing.assert_allclose([event.loss, event.error], [loss / counted, wrong / images])
            self.totals[:] = 0
            held_out = evaluate(model, self.case.data[1], loss=self.case.loss)
            assert (event.validation_loss, event.validation_accuracy) == held_out
            if self.case.ema is not None:
                self.compare_average(model)

    def remember(self, model: models.Model, optimizer: optim.Optimizer) -> None:
        self.state = model.state_dict()
        self.moving = optimizer.state_dict()
        self.weights = flattened(p.data for p in optimizer.parameters)

    def compare(self, event: BatchEnd, model: models.Model, optimizer: optim.Optimizer) -> None:
        case, hand = self.case, self.hand
        x, target = batch_of(case, event.epoch, event.batch, self.steps)
        hand.load_state_dict(self.state)
        case.set_modes(hand)
        case.set_modes(self.twin.module)
        self.twin.load()
        hand.zero_grad()
        hand.begin_step(case.seed, self.steps)
        value = step(hand, self.twin, case.loss, x, target)
        counted = int(np.sum(target != case.loss.ignore_index)) if target.ndim == 1 else len(target)
        told = np.float32(value) if counted else np.float32(0)
        assert_same_bits(np.float32(event.loss), told, "loss of the step")
        assert (event.images, event.counted) == (len(x), counted)
        self.totals += (event.loss * counted, event.error * len(x), counted, len(x))
        # A plan computes the same bits as the layers, with one exception: a fused convolution may
        # add in another order or use another algorithm. Then its gradients have their own error,
        # which may be as large as that of the layers.
        kinds = {type(layer) for layer in model.modules()}
        apart = 2e-5 if {nn.Conv2d, nn.MaxPool2d} <= kinds else 0.0
        for ours, theirs in zip(parameters(model), parameters(hand), strict=True):
            limit = apart * np.linalg.norm(theirs.grad)
            if apart:
                limit += 4 * np.linalg.norm(self.twin.limits[self.twin.parameters[theirs]])
            error = np.linalg.norm(ours.grad - theirs.grad)
            assert error <= limit, f"gradient of {ours} in a plan is off by {error}, over {limit}"
        for ours, theirs in zip(model.modules(), hand.modules(), strict=True):
            for one, other in zip(statistics(ours), statistics(theirs), strict=True):
                assert_same_bits(one, other, f"statistics of {ours!r} in a plan")
        if case.schedule is not None:
            assert event.lr == optimizer.lr == case.schedule(self.steps)
        after = flattened(p.data for p in optimizer.parameters)
        grads = flattened(p.grad for p in optimizer.parameters)
        check_optimizer(optimizer, self.weights, self.moving, after, grads)
        if case.ema is not None:
            decay = min(case.ema, (1 + self.steps) / (10 + self.steps))
            self.average = [
                decay * average + (1 - decay) * p.data
                for average, p in zip(self.average, parameters(model), strict=True)
            ]
        self.steps += 1

    def compare_average(self, model: models.Model) -> None:
        for p, average in zip(parameters(model), self.average, strict=True):
            limit = 4 * EPS * self.steps * np.abs(average).max(initial=1)
            assert_within(p.data, average, limit, f"average of {p}")


def assert_same(ours: dict[str, Array], others: dict[str, Array]) -> None:
    assert list(ours) == list(others)
    for name, array in ours.items():
        assert_same_bits(array, others[name], name)


def batch_of(case: Case, epoch: int, batch: int, number: int) -> tuple[Array, Array]:
    """The input of the network and the target of the loss in a batch of a Trainer."""
    images, labels = case.data[0]
    order = stream(case.seed, epoch).permutation(len(images))
    index = order[(batch - 1) * case.batch_size : batch * case.batch_size]
    x = np.empty((len(index), *case.model.input_shape), np.float32)
    drawn: Any = {"max_shift": case.max_shift, "seed": case.seed, "step": number}
    case.model.gather(images, index, x, **drawn)
    scale, offset = case.model.scale, case.model.offset
    factor = scale if images.dtype == np.uint8 else 255 * scale
    pixels = reference.gather_images(images, index, scale=factor, offset=offset, **drawn)
    assert_within(x, pixels, 2 * EPS * (np.abs(pixels) + abs(2 * offset)), "images of a batch")
    return x, wanted(case.model, case.loss, labels[index])


def wanted(model: models.Model, loss: Any, labels: Array) -> Array:
    """The target of the loss for labels as a Trainer takes them."""
    if model.classes == 1:
        return labels.reshape(-1, 1)
    one_hot = loss.one_hot and labels.ndim == 1
    return np.eye(model.classes, dtype=np.float32)[labels] if one_hot else labels


def train(case: Case, folder: Path) -> bool:
    """Train two epochs. If the case says so, another Trainer resumes the run for the second.

    Return False if the training diverged, in byhand and in PyTorch.
    """
    beside = Beside(case)
    trainers = []
    for model in (case.model, copy.deepcopy(case.model)):
        case.set_modes(model)
        optimizer = case.make_optimizer(parameters(model))
        settings: Any = {"loss": case.loss, "schedule": case.schedule, "ema": case.ema}
        run = folder / "run" if case.resume else None
        trainers.append(Trainer(model, optimizer, **settings, max_shift=case.max_shift, run=run))
    fit: Any = {"train": case.data[0], "validation": case.data[1]}
    fit |= {"batch_size": case.batch_size, "seed": case.seed}
    images = len(case.data[0][0])
    if case.schedule is not None:
        check_schedule(case.schedule, EPOCHS * -(-images // case.batch_size))
    if not takes(case.model, images % case.batch_size or case.batch_size, case):
        before = case.model.state_dict()
        try:
            trainers[0].fit(**fit, epochs=EPOCHS)
        except ValueError:
            assert_same(case.model.state_dict(), before)
            return True
        raise AssertionError("fit took a batch of one value per channel")
    if not case.resume:
        return ends(beside.follow(trainers[0]), case, **fit, epochs=EPOCHS)
    for epochs, trainer in enumerate(trainers, 1):
        if not ends(beside.follow(trainer), case, **fit, epochs=epochs, resume=epochs > 1):
            return False
        case.model = trainer.model
    return True


def ends(trainer: Trainer, case: Case, **fit: Any) -> bool:
    """Run `fit`. Return False if the validation loss overflowed.

    PyTorch's loss must then be too large for float32. It is computed in float64, so it does not
    overflow.
    """
    try:
        trainer.fit(**fit)
    except FloatingPointError as error:
        if "validation loss" not in str(error):
            raise
        own = trainer.average
        with contextlib.nullcontext() if own is None else own.in_place_of_weights():
            twin = trained_in_torch(trainer.model)
        images, labels = case.data[1]
        x = np.empty((len(images), *trainer.model.input_shape), np.float32)
        trainer.model.gather(images, np.arange(len(images)), x)
        with torch.no_grad():
            output = twin.eval()(double(x))
        target = wanted(trainer.model, case.loss, labels)
        value = torch_loss(case.loss, output, target).item()
        assert value > float(np.finfo(np.float32).max) / 10, f"{error}, but PyTorch's is {value}"
        return False
    return True


def infer(case: Case, folder: Path) -> None:
    """Save, load, predict and evaluate."""
    model, (images, labels) = case.model, case.data[1]
    model.save(folder / "model")
    loaded = byhand.load(folder / "model")
    assert_same(loaded.state_dict(), model.state_dict())
    assert repr(loaded) == repr(model), f"loaded {loaded!r}, saved {model!r}"
    outputs = loaded.outputs(images)
    assert_same_bits(outputs, model.outputs(images), "outputs of the loaded model")
    hand = copy.deepcopy(model).eval()
    twin = Twin(hand)
    twin.load()
    twin.module.eval()
    for start in (*range(0, len(images), 128), len(images)):  # the last part is empty
        part = slice(start, start + 128)
        index = np.arange(len(images))[part]
        x = np.empty((len(index), *model.input_shape), np.float32)
        model.gather(model.check_images(images), index, x)
        y = hand.forward(x)
        twin.infer(x, y)
        assert_same_bits(outputs[part], y, "outputs of a plan")
    assert_same_bits(model.outputs(images[:0]), y, "outputs without an image")
    from_threads(model, images, case.threads)
    target = wanted(model, case.loss, labels)
    check_evaluation(model, case.loss, images, labels, outputs, target)


def from_threads(model: models.Model, images: Array, count: int) -> None:
    """Use one model from several Python threads at once."""
    batches = [images, np.ascontiguousarray(images[::-1]), images[: len(images) // 2]][:count]
    alone = [model.outputs(batch) for batch in batches]
    with ThreadPoolExecutor(count) as pool:
        for ours, expected in zip(pool.map(model.outputs, batches), alone, strict=True):
            assert_same_bits(ours, expected, "outputs from several threads")


def check_evaluation(
    model: models.Model, loss: Any, images: Array, labels: Array, outputs: Array, target: Array
) -> None:
    result = evaluate(model, (images, labels), loss=loss)
    check_loss(loss, outputs, target, result.loss)
    if model.classes == 1:
        assert_same_bits(model.predict(images), np.rint(outputs[:, 0]).astype(np.int64))
        right = np.rint(outputs[:, 0]) == labels
    else:
        chosen = outputs.argmax(axis=1)
        assert_same_bits(model.predict(images), chosen)
        right = chosen == (labels if labels.ndim == 1 else labels.argmax(axis=1))
        probabilities, limit = reference.softmax(outputs), OPS["softmax"].bound
        call = Call("softmax", (outputs,), {})
        assert_within(model.predict_proba(images), probabilities, limit(call)[0], "probabilities")
    assert result.accuracy == right.mean(), (result, right.mean())


# --------------------------------------------------------------------------------------------------
# The command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="number of networks")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first network")
    parser.add_argument("--isa", help="one instruction set; all that this CPU runs unless given")
    options = parser.parse_args()
    sets = [options.isa] if options.isa else testing.isas()
    if os.environ.get("BYHAND_ISA") not in sets or len(sets) > 1:  # a process has one set
        arguments = ["--count", str(options.count), "--seed", str(options.seed)]
        codes = [
            subprocess.run(
                [sys.executable, __file__, *arguments, "--isa", isa],
                env={**os.environ, "BYHAND_ISA": isa},
            ).returncode
            for isa in sets
        ]
        return max(codes)
    start, wrong = time.monotonic(), 0
    for seed in range(options.seed, options.seed + options.count):
        line = attempt(seed, verbose=options.count == 1)
        if line is not None:
            wrong += 1
            print(line, flush=True)
    seconds = time.monotonic() - start
    print(f"{options.count} networks, {wrong} wrong, {sets[0]}, {seconds:.0f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
