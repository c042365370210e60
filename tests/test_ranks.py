"""Several processes train one model: `byhand.training.Ranks`, `byhand.mpi`, and mpirun.

In most tests, threads of this process take the place of processes. The tests at the end run mpirun.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import Model, Trainer, mpi, nn, optim
from byhand.nn.losses import CrossEntropyLoss
from byhand.training import BatchEnd, EpochEnd, Event, Ranks, StopTraining, TrainingStarted
from byhand.training.evaluation import measure
from byhand.training.handlers import EarlyStop
from cli_support import make_sets, read_config, read_metrics, run, write_folder
from mpi_support import mpirun

TRAIN, TEST = make_sets(train=100, test=31)


class Hub:
    """What the communicators of all threads share."""

    def __init__(self, size: int) -> None:
        self.values: list[Any] = [None] * size
        self.barrier = threading.Barrier(size)


class ThreadCommunicator:
    """The communicator of one thread. It has the methods of mpi4py that `Ranks` calls."""

    def __init__(self, hub: Hub, rank: int) -> None:
        self._hub, self._rank = hub, rank
        self.sums = 0

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return len(self._hub.values)

    def allgather(self, sendobj: Any) -> list[Any]:
        self._hub.values[self._rank] = sendobj
        self._hub.barrier.wait(60)
        values = list(self._hub.values)
        self._hub.barrier.wait(60)
        return values

    def bcast(self, obj: Any) -> Any:
        return self.allgather(obj)[0]

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        self.sums += 1
        recvbuf[:] = sum(self.allgather(sendbuf.copy()))

    def barrier(self) -> None:
        self._hub.barrier.wait(60)


def together(size: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """Call `work` in one thread per rank, and return the results.

    If one call fails, the others fail too. The error of the call that failed first is raised.
    """
    hub, errors = Hub(size), []

    def guarded(rank: int) -> Any:
        try:
            return work(Ranks(ThreadCommunicator(hub, rank)))
        except BaseException as error:
            errors.append(error)
            hub.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        calls = [pool.submit(guarded, rank) for rank in range(size)]
    if errors:
        raise errors[0]
    return [call.result() for call in calls]


def network(*, dropout: bool = False, normalized: bool = False, seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    layers: list[nn.Module] = [nn.Conv2d(1, 4, 5, stride=3, rng=rng), nn.Tanh()]
    if normalized:
        layers.append(nn.BatchNorm2d(4))
    layers.append(nn.Flatten())
    if dropout:
        layers.append(nn.Dropout(0.5, rng=rng))
    return Model(*layers, nn.Linear(4 * 8 * 8, 10, rng=rng), input_shape=(1, 28, 28))


class Result:
    """A model and the losses of its batches, after a training."""

    def __init__(
        self,
        ranks: Ranks | None = None,
        *,
        model: Model | None = None,
        epochs: int = 2,
        handlers: Any = (),
        train: Any = TRAIN,
        method: Any = optim.SGD,
        batch_size: int = 13,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.model = network() if model is None else model
        self.losses: list[float] = []
        trainer = Trainer(
            self.model,
            method(self.model.parameters(), 0.01),
            handlers=[self, *handlers],
            progress=False,
            **({} if ranks is None else {"ranks": ranks}),
            **settings,
        )
        options = {"validation": TEST, **(options or {})}
        self.history = trainer.fit(train, epochs=epochs, batch_size=batch_size, **options)
        self.step, self.optimizer = trainer.step, trainer.optimizer

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchEnd):
            self.losses.append(event.loss)

    def bytes(self) -> bytes:
        return b"".join(array.tobytes() for array in self.model.state_dict().values())


def assert_close(results: list[Result], alone: Result) -> None:
    """Check that processes compute what one process computes, and have equal bits."""
    assert len({result.bytes() for result in results}) == 1
    assert not any(result.losses for result in results[1:])  # only process 0 calls handlers
    # All roundings of a step are of the size 2^-24. In these few steps they hardly grow.
    np.testing.assert_allclose(results[0].losses, alone.losses, rtol=2e-6)
    for result in results:
        for end, other in zip(result.history, alone.history, strict=True):
            np.testing.assert_allclose(end.loss, other.loss, rtol=1e-6)
            np.testing.assert_allclose(end.validation_loss, other.validation_loss, rtol=1e-6)
            assert (end.error, end.validation_accuracy) == (other.error, other.validation_accuracy)
    for name, array in results[0].model.state_dict().items():
        np.testing.assert_allclose(array, alone.model.state_dict()[name], rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------------------------------------
# The same results as one process


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("method", [optim.SGD, optim.AdamW])
def test_losses_are_those_of_one_process(size: int, method: Any) -> None:
    """100 images are 7 batches of 13 and one of 9. None of them divides by 2 and by 3."""
    settings: dict[str, Any] = {"method": method, "max_shift": 2, "ema": 0.9}
    results = together(size, lambda ranks: Result(ranks, **settings))
    assert_close(results, Result(**settings))


def test_a_batch_with_fewer_images_than_processes() -> None:
    """The last batch has one image, so two of three processes have an empty share of it."""
    results = together(3, lambda ranks: Result(ranks, batch_size=33))
    assert_close(results, Result(batch_size=33))


def test_ignored_labels_do_not_count() -> None:
    """Class 3 is ignored. The shares have weights by the labels that count, some of them 0."""
    settings: dict[str, Any] = {"loss": CrossEntropyLoss(ignore_index=3), "batch_size": 3}
    assert_close(together(2, lambda r: Result(r, **settings)), Result(**settings))


def test_every_process_begins_with_the_weights_of_the_first() -> None:
    results = together(2, lambda ranks: Result(ranks, model=network(seed=ranks.rank)))
    assert_close(results, Result())


def test_one_sum_per_step() -> None:
    def train(ranks: Ranks) -> int:
        Result(ranks, epochs=1)
        return ranks._communicator.sums  # type: ignore[union-attr]

    # There are 8 steps and one validation.
    assert together(2, train) == [9, 9]


def test_the_gradient_buffer_is_one_array() -> None:
    model = network(normalized=True)
    assert len(optim.SGD(model.parameters(), 0.1).flat_gradients()) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_shares_divide_everything(size: int) -> None:
    for count in range(9):
        shares = together(size, lambda ranks, n=count: ranks.share(n))
        assert [i for share in shares for i in range(count)[share]] == list(range(count))
        sizes = [len(range(count)[share]) for share in shares]
        assert max(sizes) - min(sizes) <= 1


# --------------------------------------------------------------------------------------------------
# What is local to a process


def test_dropout_draws_other_values_in_each_process() -> None:
    """After 8 steps, the next values that dropout draws differ in the two processes."""

    def train(ranks: Ranks) -> tuple[bytes, Any]:
        result = Result(ranks, model=network(dropout=True), epochs=1)
        (layer,) = (m for m in result.model.modules() if isinstance(m, nn.Dropout))
        return result.bytes(), layer.forward(np.ones((1, 256), np.float32)) == 0

    (first, dropped), (second, other_dropped) = together(2, train)
    assert first == second
    assert 64 < dropped.sum() < 192 and 64 < (dropped != other_dropped).sum() < 192


def test_running_statistics_are_averaged_at_the_end_of_an_epoch() -> None:
    train = TRAIN.images[:8], TRAIN.labels[:8]
    settings: dict[str, Any] = {"train": train, "batch_size": 8, "epochs": 1}
    results = together(2, lambda ranks: Result(ranks, model=network(normalized=True), **settings))
    assert len({result.bytes() for result in results}) == 1
    # The mean over a batch is the mean of the means over its two halves.
    alone = Result(model=network(normalized=True), **settings)
    name = "2.running_mean"
    state, expected = (r.model.state_dict() for r in (results[0], alone))
    np.testing.assert_allclose(state[name], expected[name], rtol=1e-5, atol=1e-7)


def test_a_share_may_be_too_small_for_a_layer() -> None:
    def train(ranks: Ranks) -> None:
        layers = [nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10)]
        Result(ranks, model=Model(*layers, input_shape=(1, 28, 28)), batch_size=97)

    with pytest.raises(ValueError, match="one process of 2 gets a share that has the size 1"):
        together(2, train)


# --------------------------------------------------------------------------------------------------
# Handlers and run folders


def test_a_handler_may_stop_after_a_batch() -> None:
    def stop(event: Event) -> None:
        if isinstance(event, BatchEnd) and (event.epoch, event.batch) == (2, 3):
            raise StopTraining

    alone = Result(handlers=[stop], epochs=3)
    results = together(2, lambda ranks: Result(ranks, handlers=[stop], epochs=3))
    assert [len(result.history) for result in results] == [1, 1]
    assert {result.step for result in results} == {alone.step} == {8 + 3}
    assert_close(results, alone)


def test_a_handler_may_stop_after_the_last_batch_of_an_epoch_and_at_the_start() -> None:
    def stop_at(kind: type, batch: int) -> Callable[[Event], None]:
        def stop(event: Event) -> None:
            if isinstance(event, kind) and getattr(event, "batch", batch) == batch:
                raise StopTraining

        return stop

    for stop in (stop_at(BatchEnd, 8), stop_at(TrainingStarted, 0)):
        results = together(2, lambda ranks, s=stop: Result(ranks, handlers=[s]))
        assert [len(result.history) for result in results] == [0, 0]
    results = together(2, lambda ranks: Result(ranks, handlers=[stop_at(EpochEnd, 0)]))
    assert [len(result.history) for result in results] == [1, 1]


def test_statistics_are_averaged_if_a_handler_stops_in_an_epoch() -> None:
    def stop(event: Event) -> None:
        if isinstance(event, BatchEnd):
            raise StopTraining

    # The second of two batches is computed, but does not update the weights. The learning rate is 0
    # so that the batch has the same statistics in one process.
    train = TRAIN.images[:8], TRAIN.labels[:8]
    settings: dict[str, Any] = {"train": train, "batch_size": 4, "epochs": 1}
    settings["method"] = lambda parameters, lr: optim.SGD(parameters, 0.0 * lr)

    def fit(ranks: Ranks) -> Result:
        return Result(ranks, model=network(normalized=True), handlers=[stop], **settings)

    results = together(2, fit)
    assert {result.step for result in results} == {1}
    assert len({result.bytes() for result in results}) == 1
    # The mean over a batch is the mean of the means over its two halves.
    alone = Result(model=network(normalized=True), **settings)
    state, expected = (r.model.state_dict()["2.running_mean"] for r in (results[0], alone))
    np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-7)


def test_early_stop_restores_the_best_model_in_every_process() -> None:
    def train(ranks: Ranks) -> tuple[bytes, Any]:
        # No epoch counts as better than the first, so its weights are restored.
        result = Result(ranks, handlers=[EarlyStop(2, min_delta=1e9)], epochs=9)
        return result.bytes(), result.model.trained

    first, second = together(2, train)
    assert first == second


def test_a_handler_may_change_the_optimizer_after_an_epoch_only() -> None:
    def change_at(kind: type) -> Callable[[Ranks], None]:
        def train(ranks: Ranks) -> None:
            def change(event: Event) -> None:
                if isinstance(event, kind):
                    optimizer.lr = 0.001

            model = network()
            optimizer = optim.SGD(model.parameters(), 0.01)
            trainer = Trainer(model, optimizer, handlers=[change], ranks=ranks, progress=False)
            trainer.fit(TRAIN, epochs=2, batch_size=13)
            assert optimizer.lr == 0.001

        return train

    together(2, change_at(EpochEnd))
    with pytest.raises(RuntimeError, match="after epoch 1, the processes have different weights"):
        together(2, change_at(BatchEnd))


def test_the_first_process_alone_has_the_run_folder(tmp_path: Path) -> None:
    """The second process has another folder. It stays empty, also when the run goes on."""

    def train(ranks: Ranks, epochs: int, resume: bool = False, name: str = "run") -> Result:
        return Result(
            ranks,
            model=network(normalized=True, dropout=True),
            epochs=epochs,
            run=tmp_path / name / str(ranks.rank),
            options={"resume": resume},
            method=optim.AdamW,
            ema=0.9,
        )

    together(2, lambda ranks: train(ranks, 1))
    resumed = together(2, lambda ranks: train(ranks, 3, resume=True))
    whole = together(2, lambda ranks: train(ranks, 3, name="whole"))
    assert len({result.bytes() for result in (*resumed, *whole)}) == 1
    assert [len(result.history) for result in resumed] == [3, 3]
    assert resumed[0].step == resumed[1].step == 24
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["0"]
    assert read_config(tmp_path / "run" / "0")["processes"] == 2
    model = byhand.load(tmp_path / "run" / "0", "last")
    assert b"".join(a.tobytes() for a in model.state_dict().values()) == resumed[1].bytes()


# --------------------------------------------------------------------------------------------------
# Refusals


def test_processes_must_have_the_same_settings() -> None:
    with pytest.raises(ValueError) as caught:
        together(2, lambda ranks: Result(ranks, batch_size=13 + ranks.rank))
    assert "the batch size is 13 in process 0 and 14 in process 1" in str(caught.value)
    with pytest.raises(ValueError, match="checksum of the training data is"):
        together(2, lambda ranks: Result(ranks, train=(TRAIN, TEST)[ranks.rank]))
    with pytest.raises(ValueError, match="the number of epochs is 1 in process 0 and 2 in proc"):
        together(2, lambda ranks: Result(ranks, epochs=1 + ranks.rank))


def test_processes_must_have_the_same_version_and_instruction_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: dict[int, str] = {}  # the name of the instruction set of each thread

    def config() -> dict[str, Any]:
        return {"instruction_sets": [{"name": names[threading.get_ident()], "active": True}]}

    def check(ranks: Ranks) -> None:
        names[threading.get_ident()] = ("avx2", "avx512")[ranks.rank]
        ranks.check_settings({"byhand": f"1.{ranks.rank}"})

    monkeypatch.setattr("byhand.training.ranks.config", config)
    with pytest.raises(ValueError) as caught:
        together(2, check)
    for line in (
        "the version of byhand is 1.0 in process 0 and 1.1 in process 1",
        "the instruction set is avx2 in process 0 and avx512 in process 1: set BYHAND_ISA to one",
    ):
        assert f"\n  {line}" in str(caught.value)


def test_only_the_cpu_trains_in_several_processes(where: str) -> None:
    ranks = Ranks(ThreadCommunicator(Hub(2), 0))
    with pytest.raises(ValueError, match="device must be 'cpu' if 2 processes train together"):
        Result(ranks, device=where)


def test_ranks_must_be_ranks() -> None:
    with pytest.raises(TypeError, match=r"ranks must be a byhand\.training\.Ranks, not int"):
        Result(2)  # type: ignore[arg-type]


def test_evaluation_is_shared() -> None:
    from byhand.training.checked_data import check_data, check_loss

    model = network()
    loss = check_loss(model, None)
    data = check_data("data", TEST, model, loss)
    expected = measure(model, data, loss)
    for size in (2, 40):  # 40 is more than there are images
        for result in together(size, lambda r: measure(network(), data, loss, ranks=r)):
            assert result.accuracy == expected.accuracy
            np.testing.assert_allclose(result.loss, expected.loss, rtol=1e-6)


# --------------------------------------------------------------------------------------------------
# The launcher


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in mpi._SIZES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_launcher")
def test_the_number_of_processes_comes_from_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mpi.launched_size() == 1
    # Without a launcher, no process imports mpi4py.
    code = (
        "import sys; from byhand import mpi; mpi.launched_world(); print('mpi4py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    for name in mpi._SIZES:
        with monkeypatch.context() as patched:
            patched.setenv(name, "4")
            assert mpi.launched_size() == 4
            assert mpi._advice() == f". {name} is 4; to train in one process, unset {name}"
            patched.setenv(name, "")
            assert mpi.launched_size() == 1


@pytest.mark.usefixtures("no_launcher")
def test_without_mpi4py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "2")
    expected = r'processes needs mpi4py.*pip install "byhand\[mpi\]"\. PMI_SIZE is 2; to train in'
    with pytest.raises(ModuleNotFoundError, match=expected):
        mpi.launched_world()


def test_processes_of_a_machine_divide_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, left, right = frozenset(range(8)), frozenset(range(4)), frozenset(range(4, 8))
    for own, all_of_them, threads in (
        (whole, [whole] * 2, 4),
        (whole, [whole] * 3, 2),
        (whole, [whole] * 9, 1),
        (left, [left, right], 4),
        (left, [left, left, right, right], 2),
    ):
        monkeypatch.setattr(mpi, "_processors", lambda own=own: own)
        monkeypatch.setattr(mpi, "get_num_threads", lambda own=own: len(own))
        assert mpi._threads_per_process(all_of_them) == threads


# --------------------------------------------------------------------------------------------------
# mpirun

MAIN = "from byhand.cli import main; main()"
# Process 1 ends in the middle of epoch 3, after the files of epoch 2 were written.
DYING = """
import os, signal, sys
from byhand.cli import main
from byhand.training import batches

gather, mpi_rank = batches.TrainingBatches.gather, int(os.environ["RANK"])
def dying(self, part, step):
    if mpi_rank == 1 and step >= 20:
        {death}
    return gather(self, part, step)
batches.TrainingBatches.gather = dying
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), make_sets(train=301, test=51))


def train(folder: Path, run: Path, *more: object) -> list[object]:
    settings = ("--batch-size", 32, "--lr", 0.01, *more)
    return ["train", "mlp", "--data", folder, "--out", run, *settings]


@pytest.mark.usefixtures("no_launcher")
def test_resuming_with_another_number_of_processes_warns(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("train", "softmax", "--data", folder, "--out", out, "--epochs", 1)
    assert "last ran" not in run("train", "--resume", out, "--epochs", 2).stderr
    config = read_config(out)
    (out / "config.json").write_text(json.dumps({**config, "processes": 2}))
    warning = "the run last ran with 2 processes and continues with 1 process, which rounds differ"
    assert warning in run("train", "--resume", out, "--epochs", 3).stderr
    assert read_config(out)["processes"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_mpirun_trains_as_one_process(size: int, folder: Path, tmp_path: Path) -> None:
    done = mpirun(size, MAIN, *train(folder, tmp_path / "several", "--epochs", 3))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train loss") == 1, done.stdout  # one process prints
    assert f"in each of {size} processes, which share every batch" in done.stdout
    command = [sys.executable, "-c", MAIN, *train(folder, tmp_path / "one", "--epochs", 3)]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    several, one = (read_metrics(tmp_path / name) for name in ("several", "one"))
    assert len(several) == 3
    for end, other in zip(several, one, strict=True):
        np.testing.assert_allclose(end["loss"], other["loss"], rtol=1e-5)
        np.testing.assert_allclose(end["validation_loss"], other["validation_loss"], rtol=1e-5)
        assert end["error"] == other["error"]
    assert sorted(os.listdir(tmp_path / "several")) == sorted(os.listdir(tmp_path / "one"))
    assert read_config(tmp_path / "several")["processes"] == size


@pytest.mark.slow
def test_every_process_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A job of Slurm may have more tasks than mpirun starts processes in it.
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    code = """
import json, sys, zlib
import numpy as np
import byhand
from byhand import Trainer, models, mpi, optim

ranks = mpi.world()
rng = np.random.default_rng(0)
data = rng.integers(0, 256, (100, 28, 28), np.uint8), rng.integers(0, 10, 100)
model = models.lenet5(seed=ranks.rank)
trainer = Trainer(model, optim.SGD(model.parameters(), 0.01), ranks=ranks, progress=False)
trainer.fit(data, epochs=2, batch_size=13)
weights = b"".join(a.tobytes() for a in model.state_dict().values())
with open(f"{sys.argv[1]}/{ranks.rank}.json", "w") as file:
    json.dump([ranks.size, zlib.crc32(weights), byhand.get_num_threads()], file)
"""
    done = mpirun(2, code, tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second and first[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("death", "message"),
    [
        ("raise FloatingPointError('process 1 is broken')", "byhand, process 1: process 1 is"),
        ("raise KeyError('a bug')", "process 1 of 2 (counted from 0) failed:\nTraceback"),
        ("raise ValueError('a bug')", "process 1 of 2 (counted from 0) failed:\nTraceback"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("sys.exit(3)", ""),
    ],
    ids=["error", "bug", "value", "killed", "exit"],
)
def test_a_process_that_dies_ends_the_job(
    death: str, message: str, folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = mpirun(2, DYING.format(death=death), *train(folder, run, "--epochs", 9))
    assert done.returncode != 0, done.stdout
    # Launchers describe the signal in different words, and MPICH on stdout.
    output = done.stderr + done.stdout
    # The launcher may print between two lines of a process.
    found = all(line in output for line in message.split("\n"))
    assert found or (message == "signal 9" and "KILLED BY SIGNAL: 9" in output), output
    # An epoch has 10 steps. The folder has the two whole epochs, and no temporary files.
    assert len(read_metrics(run)) == 2
    assert not list(run.glob(".*"))
    byhand.load(run, "last")
    resumed = ["train", "--resume", run, "--epochs", 3]
    assert mpirun(2, MAIN, *resumed).returncode == 0
    assert len(read_metrics(run)) == 3


@pytest.mark.slow
def test_the_first_error_of_process_0_ends_the_job(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = mpirun(2, MAIN, *train(folder, tmp_path / "file" / "run"))
    assert done.returncode == 1
    assert "byhand: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_error_of_all_processes_is_printed_once(folder: Path, tmp_path: Path) -> None:
    program = "from byhand import mpi; mpi.world(); raise KeyError('a bug')"
    diverging = mpirun(2, MAIN, *train(folder, tmp_path / "run", "--lr", 1e30))
    refused = mpirun(2, MAIN, *train(folder, tmp_path / "run", "--max-shift", 40))
    for done, code, error in (
        (diverging, 1, "byhand: the loss is"),
        (refused, 2, "max_shift must be less"),
        (mpirun(2, program), 1, "KeyError: "),
    ):
        assert done.returncode == code
        assert done.stderr.count(error) == 1 and "process 1" not in done.stderr, done.stderr
        assert "excepthook" not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("no_launcher")
def test_train_refuses_a_launcher_that_it_cannot_join(folder: Path, tmp_path: Path) -> None:
    def refused(code: str) -> str:
        command = [sys.executable, "-c", code, *map(str, train(folder, tmp_path / "run"))]
        environment = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 1 and not done.stdout
        assert done.stderr.startswith("byhand: ") and done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "run").exists()
        return done.stderr

    without = "import sys; sys.modules['mpi4py'] = None; " + MAIN
    assert 'pip install "byhand[mpi]"' in refused(without)
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    # No mpirun has started this process, so MPI connects it with no other.
    message = refused(MAIN)
    assert "the launcher has started 2 processes, but" in message
    assert "OMPI_COMM_WORLD_SIZE is 2; to train in one process, unset OMPI_COMM" in message
