"""Inference with one model from several Python threads, also during other calls."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import models, nn
from byhand.engine import pool as plans
from byhand.engine.plan import Plan
from byhand.nn import losses

SIZES = (1, 2, 3, 7, 31, 64, 128, 129, 300)


def network() -> models.Model:
    return models.Model(
        nn.Conv2d(1, 4, 5, rng=0),
        nn.MaxPool2d(2),
        nn.Tanh(),
        nn.Residual(nn.Conv2d(4, 4, 3, padding=1, rng=1), nn.BatchNorm2d(4)),
        nn.Dropout(rng=2),
        nn.Flatten(),
        nn.Linear(64, 5, rng=3),
        input_shape=(1, 12, 12),
    )


Call = Callable[[models.Model, Any, Any], Any]

CALLS: dict[str, Call] = {
    "predict": lambda model, images, labels: model.predict(images),
    "predict_proba": lambda model, images, labels: model.predict_proba(images),
    "outputs": lambda model, images, labels: model.outputs(images),
    "evaluate": lambda model, images, labels: byhand.evaluate(model, (images, labels)),
}


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run work(0), work(1) ... at the same time. Raise here what one of them raises."""
    failures: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # makes Python switch threads as often as it can
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    if failures:
        raise failures[0]


@pytest.mark.slow
def test_threads_get_their_own_answers() -> None:
    model = network()
    rng = np.random.default_rng(0)
    requests = []
    for number in range(48):
        size = SIZES[number % len(SIZES)]
        images = rng.integers(0, 256, (size, 12, 12), np.uint8)
        labels = rng.integers(0, 5, size)
        call = list(CALLS.values())[number % len(CALLS)]
        # The expected answers come from a copy, which no other thread uses.
        requests.append((call, images, labels, call(copy.deepcopy(model), images, labels)))

    def work(number: int) -> None:
        order = np.random.default_rng(number).permutation(len(requests))
        for i in np.tile(order, 3):
            call, images, labels, answer = requests[i]
            assert np.array_equal(call(model, images, labels), answer)

    with byhand.num_threads(1):
        in_threads(8, work)


class Interrupted(nn.ReLU):
    """A layer that another thread uses after the computation but before its return."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "_last" and len(value.x) > 1:
            self.forward(np.full((1, 2), 7, np.float32))


def test_a_layer_called_by_hand_returns_its_own_output() -> None:
    x = np.ones((3, 2), np.float32)
    assert np.array_equal(Interrupted().forward(x), x)


def test_one_loss_in_threads() -> None:
    loss, model = losses.CrossEntropyLoss(), network()
    rng = np.random.default_rng(0)
    data = [(rng.integers(0, 256, (n, 12, 12), np.uint8), rng.integers(0, 5, n)) for n in (40, 150)]
    answers = [byhand.evaluate(network(), d, loss=losses.CrossEntropyLoss()) for d in data]

    def work(number: int) -> None:
        for _ in range(30):
            assert byhand.evaluate(model, data[number], loss=loss) == answers[number]

    in_threads(2, work)


def test_results_are_the_callers_own() -> None:
    model, images = network(), np.zeros((3, 12, 12), np.uint8)
    first = model.outputs(images)
    kept = first.copy()
    second = model.outputs(images + 200)
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)
    assert not np.array_equal(first, second)


def test_idle_plans_are_bounded_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Plan]] = []
    model = network()
    plain = model._new_plan

    def new_plan(batch_size: int) -> Plan:
        plan = plain(batch_size)
        made.append(weakref.ref(plan))
        return plan

    monkeypatch.setattr(model, "_new_plan", new_plan)
    images = np.zeros((200, 12, 12), np.uint8)
    for n in (200, 5, 1, 128, 200):
        model.predict(images[:n])
    assert len(made) == 1, "one call at a time needs one plan"

    pool = model._plans
    assert pool is not None
    taken = [pool.take(7) for _ in range(3 * plans.MOST_IDLE)]
    assert len({id(plan) for plan in taken}) == len(taken)
    for plan in taken:
        pool.give_back(plan)
    del taken, plan
    gc.collect()
    assert sum(plan() is not None for plan in made) == plans.MOST_IDLE


def test_a_plan_comes_back_after_an_error() -> None:
    model = network()
    images = np.zeros((3, 12, 12), np.uint8)
    model.predict(images)
    model[6].weight.data = np.full((5, 64), np.nan, np.float32)  # type: ignore[attr-defined]
    for _ in range(3):
        with pytest.raises(FloatingPointError):
            model.predict(images)
    assert model._plans is not None
    assert len(model._plans._idle) == 1


def test_copies_have_plans_of_their_own() -> None:
    model, images = network(), np.full((3, 12, 12), 9, np.uint8)
    answer = model.outputs(images)
    for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin.outputs(images), answer)
        assert twin._plans is not model._plans


@pytest.mark.slow
def test_a_child_process_predicts_after_a_fork_in_the_middle() -> None:
    model, images = network(), np.full((40, 12, 12), 9, np.uint8)
    answer = model.outputs(images)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            model.outputs(images)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if np.array_equal(model.outputs(images), answer) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
