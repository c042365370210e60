"""Kernels called with arrays of a device: what is refused, late errors, threads, and failures.

The tests of the operators use the fixture `device`, which hides the arrays of the device. Here
byhand.kernels gets such arrays itself. A call that is refused never reaches an operator. So those
tests also run on a device that has none.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import byhand
import devices
import numpy as np
import pytest
from byhand import kernels
from calls import Call, Fill
from ops import OPS, draw

F32 = np.float32
TESTS = Path(__file__).parent

every_op = pytest.mark.parametrize("name", OPS)


def moved(value: Any, where: str) -> Any:
    """Return an argument of a kernel as a device takes it."""
    return byhand.asarray(value, where) if isinstance(value, np.ndarray) else value


def small_call(name: str, rng: np.random.Generator) -> Call:
    """Return the smallest call. Its labels and indices have the dtypes that devices take."""
    calls = [draw(name, Fill(rng), shape) for shape in OPS[name].small]
    call = min(calls, key=lambda call: sum(map(np.size, call.args)))
    names = list(inspect.signature(getattr(kernels, name)).parameters)
    args = [
        value.astype(np.int64)
        if names[i] in ("labels", "index") and value.dtype.kind in "iu"
        else value
        for i, value in enumerate(call.args)
    ]
    return replace(call, args=tuple(args))


def arrays_of(call: Call) -> Iterator[tuple[int, str]]:
    """Yield the position and the name of each array."""
    names = inspect.signature(getattr(kernels, call.op)).parameters
    for i, (name, value) in enumerate(zip(names, call.args, strict=False)):
        if isinstance(value, np.ndarray):
            yield i, name


def with_argument(call: Call, i: int, value: Any) -> Call:
    return replace(call, args=(*call.args[:i], value, *call.args[i + 1 :]))


def refused(call: Call, error: type[Exception], message: str, **out: Any) -> None:
    with pytest.raises(error, match=message):
        getattr(kernels, call.op)(*call.args, **call.kwargs, **out)


# --------------------------------------------------------------------------------------------------
# Arguments


@every_op
def test_all_arrays_must_be_on_one_device(name: str, where: str, rng: np.random.Generator) -> None:
    """Every argument is on another device once, and the message names it and another argument."""
    on_cpu = small_call(name, rng)
    on_device = on_cpu.map(lambda array: moved(array, where))
    arrays = list(arrays_of(on_cpu))
    for i, argument in arrays:
        others = "|".join(re.escape(other) for _, other in arrays if other != argument)
        if not others:
            continue
        for own, there, call in (
            ("the CPU", where, with_argument(on_device, i, on_cpu.args[i])),
            (where, "the CPU", with_argument(on_cpu, i, on_device.args[i])),
        ):
            first, second = f"{argument} is on {own}", rf"({others}) is on {there}"
            message = f"one device, but ({first} and {second}|{second} and {first}); move one"
            refused(call, ValueError, message)


@every_op
def test_outputs_must_be_on_the_device(name: str, where: str, rng: np.random.Generator) -> None:
    on_cpu = small_call(name, rng)
    on_device = on_cpu.map(lambda array: moved(array, where))
    outs = on_cpu.outputs()
    for i in range(len(outs)):
        for call, own, wrong in (
            (on_device, where, "the CPU"),
            (on_cpu, "the CPU", where),
        ):
            given = [moved(out, where) if own == where else out for out in outs]
            given[i] = outs[i] if own == where else moved(outs[i], where)
            argument = "out" if len(outs) == 1 else rf"out\[{i}\]"
            message = rf"is on {own} and {argument} is on {wrong}"
            refused(call, ValueError, message, out=tuple(given) if len(outs) > 1 else given[0])


@every_op
def test_outputs_that_do_not_fit(name: str, where: str, rng: np.random.Generator) -> None:
    on_cpu = small_call(name, rng)
    call = on_cpu.map(lambda array: moved(array, where))
    outs = [moved(out, where) for out in on_cpu.outputs()]
    for i, right in enumerate(outs):
        argument = "out" if len(outs) == 1 else rf"out\[{i}\]"
        other_dtype = right.view(np.int32 if right.dtype == F32 else F32)
        larger = kernels.empty((right.shape[0] + 1, *right.shape[1:]), where)
        for wrong, error, message in (
            (other_dtype, TypeError, f"^{argument} must have the dtype {right.dtype}"),
            (larger.view(right.dtype), ValueError, f"^{argument} must have shape"),
            (np.empty(1), TypeError, f"^{argument} must have the dtype"),
            ("x", TypeError, f"^{argument} must be a numpy.ndarray"),
        ):
            given = [*outs[:i], wrong, *outs[i + 1 :]]
            refused(call, error, message, out=tuple(given) if len(outs) > 1 else wrong)


@every_op
def test_outputs_must_not_overlap_an_input(name: str, where: str, rng: np.random.Generator) -> None:
    """The input and the output are views of the same memory."""
    on_cpu = small_call(name, rng)
    call = on_cpu.map(lambda array: moved(array, where))
    outs = [moved(out, where) for out in on_cpu.outputs()]
    for i, out in enumerate(outs):
        for position, argument in arrays_of(on_cpu):
            given = call.args[position]
            if given.dtype.itemsize != 4 or (name, argument) == ("gemm", "c"):
                continue  # gemm may write its result into c
            memory = kernels.empty(max(given.size, out.size), where)
            source = memory[: given.size].view(given.dtype).reshape(given.shape)
            target = memory[: out.size].view(out.dtype).reshape(out.shape)
            targets = (*outs[:i], target, *outs[i + 1 :])
            message = r"^(out|out\[\d\]|running_\w+) must not overlap another array"
            wrong = with_argument(call, position, source)
            refused(wrong, ValueError, message, out=targets if len(outs) > 1 else target)


@pytest.mark.parametrize("name", ["sgd_step", "adam_step", "accumulate", "batch_norm"])
def test_changed_arrays_must_not_overlap(name: str, where: str, rng: np.random.Generator) -> None:
    call = small_call(name, rng).map(lambda array: moved(array, where))
    arrays = [i for i, _ in arrays_of(small_call(name, rng))]
    changed = {"batch_norm": (3, 4), "accumulate": (0,)}.get(name, arrays[:1] + arrays[2:])
    for i in changed:
        for j in arrays:
            if i != j and call.args[i].shape == call.args[j].shape:
                wrong = with_argument(call, i, call.args[j])
                refused(wrong, ValueError, "must not overlap another array of the call")


@every_op
def test_inputs_of_another_dtype(name: str, where: str, rng: np.random.Generator) -> None:
    on_cpu = small_call(name, rng)
    call = on_cpu.map(lambda array: moved(array, where))
    for i, argument in arrays_of(on_cpu):
        for dtype in {np.float32, np.int32, np.int64, np.uint8} - {call.args[i].dtype.type}:
            if argument == "labels" and dtype is np.float32:
                continue  # probabilities
            wrong = moved(np.zeros(call.args[i].shape, dtype), where)
            refused(with_argument(call, i, wrong), TypeError, rf"^{argument} must have the dtype")


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_labels_are_int64_on_a_device(where: str, dtype: Any, rng: np.random.Generator) -> None:
    """A GPU reads the labels where they are. The CPU converts every integer dtype."""
    scores, labels = rng.standard_normal((4, 3), F32), np.array([0, 2, 1, 0], dtype)
    message = f"labels must have the dtype int64 on this device, got {np.dtype(dtype)}; convert it"
    there = byhand.asarray(scores, where), byhand.asarray(labels, where)
    for kernel in (kernels.softmax_cross_entropy, kernels.count_correct):
        kernel(scores, labels)  # type: ignore[operator]
        with pytest.raises(TypeError, match=message):
            kernel(*there)  # type: ignore[operator]
    images = byhand.asarray(np.zeros((4, 3), np.uint8), where)
    with pytest.raises(TypeError, match="index must have the dtype int64 on this device"):
        kernels.gather_images(images, there[1], scale=1, offset=0)


def test_other_arguments_that_are_arrays(where: str, rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 1, 6, 6), F32), rng.standard_normal((3, 1, 3, 3), F32)
    there = byhand.asarray(x, where), byhand.asarray(w, where)
    cache = kernels.conv2d_weight_cache((3, 1, 3, 3))
    with pytest.raises(ValueError, match=rf"x is on {where} and weight_cache is on the CPU"):
        kernels.conv2d_pool_act(*there, weight_cache=cache)
    rows, each = rng.standard_normal((4, 3), F32), byhand.asarray(F32([1, 2, 3, 4]), where)
    with pytest.raises(ValueError, match=rf"grad_loss is on {where} and out is on the CPU"):
        kernels.softmax_cross_entropy_backward(
            rows, np.zeros(4, np.int64), each, reduction="none", out=np.zeros((4, 3), F32)
        )
    read_only = w.copy()
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="on one device"):
        kernels.conv2d(there[0], read_only)
    np.testing.assert_array_equal(kernels.conv2d(x, read_only), kernels.conv2d(x, w))


# --------------------------------------------------------------------------------------------------
# Results


@pytest.mark.slow
def test_results_are_on_the_device(cuda_module: Any, rng: np.random.Generator) -> None:
    for name in OPS:
        call = small_call(name, rng).map(lambda array: moved(array, "cuda"))
        kwargs = {key: value for key, value in call.kwargs.items() if key != "algorithm"}
        result = getattr(kernels, name)(*call.args, **kwargs)
        for array in result if isinstance(result, tuple) else (result,):
            assert array is None or array.device == "cuda", name


@pytest.mark.slow
def test_numbers_are_arrays_without_dimensions(cuda_module: Any, rng: np.random.Generator) -> None:
    scores, labels = rng.standard_normal((4, 3), F32), np.array([0, 2, 1, 0])
    there = byhand.asarray(scores, "cuda"), byhand.asarray(labels, "cuda")
    loss, probabilities = kernels.softmax_cross_entropy(*there)
    expected, _ = kernels.softmax_cross_entropy(scores, labels)
    assert (loss.shape, loss.dtype, loss.device) == ((), F32, "cuda")
    assert probabilities.device == "cuda"
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    count = kernels.count_correct(*there)
    assert (count.shape, count.dtype) == ((), np.int64)
    assert int(count) == kernels.count_correct(scores, labels)
    error = kernels.squared_error(there[0], there[0].copy())
    assert (error.shape, error.item()) == ((), 0.0)
    # Such a loss can also be the factor of a gradient. This copies it to the CPU.
    gradient = kernels.softmax_cross_entropy_backward(probabilities, there[1], loss)
    assert gradient.device == "cuda"


# --------------------------------------------------------------------------------------------------
# Labels and indices that the device finds wrong


def bad_calls() -> dict[str, Callable[[], Any]]:
    """Return calls that succeed, and whose labels or indices are wrong."""
    scores = byhand.asarray(np.zeros((3, 4), F32), "cuda")
    labels = byhand.asarray(np.array([0, 4, 1]), "cuda")
    images = byhand.asarray(np.zeros((4, 2, 2), np.uint8), "cuda")
    planes = byhand.asarray(np.zeros((1, 1, 2, 2), F32), "cuda")
    places = byhand.asarray(np.full((1, 1, 2, 2), 99, np.int32), "cuda")
    image, filters = (
        byhand.asarray(np.zeros((1, 1, 6, 6), F32), "cuda"),
        byhand.asarray(np.zeros((1, 1, 3, 3), F32), "cuda"),
    )
    return {
        "softmax_cross_entropy": lambda: kernels.softmax_cross_entropy(scores, labels)[1],
        "count_correct": lambda: kernels.count_correct(scores, labels),
        "gather_images": lambda: kernels.gather_images(images, labels, scale=1, offset=0),
        "max_pool2d_backward": lambda: kernels.max_pool2d_backward(planes, places, (1, 1, 4, 4)),
        "conv2d_pool_act_backward": lambda: kernels.conv2d_pool_act_backward(
            planes, planes, places, image, filters
        )[1],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "softmax_cross_entropy",
        "count_correct",
        "gather_images",
        "max_pool2d_backward",
        "conv2d_pool_act_backward",
    ],
)
def test_the_next_copy_to_the_cpu_reports_bad_labels(cuda_module: Any, name: str) -> None:
    """The error comes once, with any copy, also of another array."""
    other = byhand.asarray(F32([1, 2]), "cuda")
    bad = bad_calls()[name]
    for copy in (
        lambda result: result.to("cpu"),
        lambda result: other.to("cpu"),
        lambda result: other[0].item(),
        lambda result: byhand.asarray(other, "cpu"),
        lambda result: other.__dlpack__(),
        lambda result: other.__reduce__(),
    ):
        result = bad()
        bad()
        with pytest.raises(ValueError, match=f"an earlier call on cuda had bad input: {name} "):
            copy(result)
        copy(result)
        assert other.to("cpu").tolist() == [1, 2]


@pytest.mark.slow
def test_bad_labels_of_several_operators_are_one_error(cuda_module: Any) -> None:
    other = byhand.asarray(F32([1, 2]), "cuda")
    for call in bad_calls().values():
        call()
    with pytest.raises(ValueError, match="had bad input: conv2d_pool_act_backward got an index"):
        other.to("cpu")
    assert other.to("cpu").tolist() == [1, 2]


# --------------------------------------------------------------------------------------------------
# Threads and processes


@pytest.mark.slow
def test_threads_use_arrays_at_once(cuda_module: Any, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 30, 30), F32)
    expected = kernels.gemm(a, b)
    shared = byhand.asarray(a, "cuda")
    faults: list[object] = []

    def work(seed: int) -> None:
        try:
            for i in range(15):
                array = byhand.asarray(b * F32(i + seed), "cuda")
                product = kernels.gemm(shared, array)
                array.fill(0)  # after the product, in the order of the calls
                del array
                np.testing.assert_allclose(
                    product.to("cpu"), expected * (i + seed), rtol=1e-4, atol=1e-3
                )
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def process(code: str, **environment: str) -> str:
    """Run code in a new process that can load the module of CUDA. Return what it prints."""
    module = devices.cuda_module()
    if not module.is_emulated:
        pytest.skip("this machine has a GPU, and the test needs the emulator")
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "BYHAND_TEST_CUDA": str(module.__file__),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


START = """
import os, sys
import numpy as np
import byhand
from byhand import kernels, nn, optim
from devices import cuda_module
"""


@pytest.mark.slow
def test_a_child_process_reads_the_arrays_of_its_parent() -> None:
    """The emulated memory is copied with the process. A GPU's would not be."""
    code = """
cuda_module()
array = byhand.asarray(np.float32([1, -2, 3]), "cuda")
child = os.fork()
doubled = kernels.add(array, array.copy())
if child == 0:
    doubled.fill(0)
    os._exit(int(array.to("cpu").tolist() != [1, -2, 3] or doubled.to("cpu").any()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert doubled.to("cpu").tolist() == [2, -4, 6]
"""
    process(START + code)


# --------------------------------------------------------------------------------------------------
# No usable GPU

UNUSABLE = """
reason = byhand.cuda.why_not()
assert not byhand.cuda.is_available()
model = byhand.models.softmax_regression()
optimizer = optim.SGD(model.parameters(), 0.1)
calls = [
    lambda: byhand.asarray([1], "cuda"),
    lambda: kernels.empty((2,), "cuda"),
    lambda: model.to("cuda"),
    lambda: byhand.Trainer(model, optimizer, device="cuda"),
    byhand.cuda.load,
    byhand.cuda.device_name,
    byhand.cuda.memory,
    byhand.cuda.is_emulated,
]
for call in calls:
    try:
        call()
    except byhand.cuda.DeviceError as error:
        assert str(error) == f'device "cuda" cannot be used: {reason}', error
    else:
        raise AssertionError("no error")
byhand.show_config()
assert model.device == "cpu"
model.predict(np.zeros((2, 28, 28), np.uint8))
x = np.float32([1, -1])
assert kernels.relu(x).tolist() == [1, 0]
assert byhand.asarray(x, "cpu") is x
print(reason)
"""

FAULTS = {
    "no driver": (
        "cuda_module()",
        {"SIMT_DRIVER": "0"},
        "there is no NVIDIA driver; install it, or compute on the CPU",
    ),
    "an old driver": (
        "cuda_module()",
        {"SIMT_DRIVER": "11040"},
        "the NVIDIA driver is too old: it supports CUDA 11.4, but byhand was built with CUDA 12.8; "
        "update the driver",
    ),
    "no GPU": (
        "cuda_module()",
        {"SIMT_DEVICES": "0"},
        "no NVIDIA GPU was found; if there is one, check `nvidia-smi` and CUDA_VISIBLE_DEVICES",
    ),
    "too little memory": (
        "cuda_module()",
        {"SIMT_MEMORY": "2"},
        "cuda: out of memory: 4 bytes were asked for, and 2 of 2 bytes are free; use smaller "
        "batches, or delete arrays that are no longer needed",
    ),
    "no module": (
        "sys.modules['byhand._cuda'] = None",
        {},
        "this build of byhand has no CUDA; in a checkout of byhand, pip install . -C "
        "cmake.define.BYHAND_CUDA=ON builds it",
    ),
    "a module that cannot be loaded": (
        """
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "byhand._cuda":
            raise ImportError("libx.so.1: cannot open shared object file")
sys.meta_path.insert(0, Finder)
""",
        {},
        "the CUDA part of byhand cannot be loaded: libx.so.1: cannot open shared object file; "
        "build byhand again, or compute on the CPU",
    ),
    "a module of another version": (
        """
import ctypes, types
new = ctypes.pythonapi.PyCapsule_New
new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
table = (ctypes.c_size_t * 100)(8)
module = types.ModuleType("byhand._cuda")
module.device, module.why_not = new(ctypes.addressof(table), b"byhand.Device", None), lambda: None
sys.modules["byhand._cuda"] = module
""",
        {},
        "the module of the device belongs to another version of byhand; build byhand again, with "
        "all of its modules",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_without_a_usable_gpu_one_line_says_why(fault: str) -> None:
    """The CPU computes as always."""
    code, environment, expected = FAULTS[fault]
    *config, reason = process(START + code + UNUSABLE, **environment).splitlines()
    assert reason == expected
    assert f"cuda              {expected}" in config


@pytest.mark.slow
def test_the_import_does_not_load_the_module() -> None:
    """Nor does anything that computes on the CPU."""
    code = """
assert "byhand._cuda" not in sys.modules
import byhand.training, byhand.cuda
kernels.relu(byhand.asarray(np.zeros(3, np.float32), "cpu"))
assert "byhand._cuda" not in sys.modules
"""
    process(START.replace("from devices import cuda_module", "") + code)


@pytest.mark.slow
def test_what_byhand_cuda_says(cuda_module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert byhand.cuda.is_available()
    assert byhand.cuda.why_not() is None
    assert byhand.cuda.is_emulated() is cuda_module.is_emulated
    if cuda_module.is_emulated:
        assert byhand.cuda.device_name() == "byhand simt (emulated)"
    used, total = byhand.cuda.memory()
    assert 0 < used < total
    byhand.show_config()
    line = (
        f"cuda +{re.escape(byhand.cuda.device_name())}, [0-9.]+ of {total / 2**30:.1f} GiB in use"
    )
    assert re.search(line, capsys.readouterr().out)


LOST = """
cuda_module()
array = byhand.asarray(np.ones(3, np.float32), "cuda")
os.environ["SIMT_DEVICES"] = "0"
for call in (lambda: kernels.relu(array), array.copy, byhand.cuda.memory):
    try:
        call()
    except RuntimeError as error:
        assert type(error) is byhand.cuda.DeviceError
        print(error)
    else:
        raise AssertionError("no error")
"""


@pytest.mark.slow
def test_a_gpu_that_is_lost_is_a_device_error() -> None:
    lines = process(START + LOST).splitlines()
    assert len(lines) == 3
    for line in lines:
        assert re.match("cuda: .*: no CUDA-capable device is detected", line)


# --------------------------------------------------------------------------------------------------
# Too little memory

FULL = """
cuda_module()
full = byhand.asarray(np.arange(40_000, dtype=np.float32), "cuda")
free = 200_000 - byhand.cuda.memory().used
for call in (
    lambda: full.copy(),
    lambda: byhand.asarray(full.to("cpu"), "cuda"),
    lambda: kernels.empty((400, 100), "cuda"),
    lambda: kernels.relu(full),
):
    try:
        call()
    except MemoryError as error:
        print(error)
    else:
        raise AssertionError("no error")
    assert byhand.cuda.memory().used == 200_000 - free
small = kernels.relu(full[:1000])
assert (small.to("cpu") == np.arange(1000)).all()
full.fill(1)
del full
again = byhand.asarray(np.ones(40_000, np.float32), "cuda")
assert again.to("cpu").all()
"""


@pytest.mark.slow
def test_out_of_memory() -> None:
    """The error names the bytes that were asked for and those that are free. The rest goes on."""
    lines = process(START + FULL, SIMT_MEMORY="200000").splitlines()
    assert len(lines) == 4
    for line in lines:
        assert re.fullmatch(
            r"cuda: out of memory: 160000 bytes were asked for, and 39\d\d\d of 200000 bytes are "
            r"free; use smaller batches, or delete arrays that are no longer needed",
            line,
        )


BATCHES = """
cuda_module()
rng = np.random.default_rng(0)
data = rng.integers(0, 256, (32, 12, 12), np.uint8), rng.integers(0, 10, 32)


def trainer_on(device):
    model = byhand.Model(
        nn.Conv2d(1, 4, 3, rng=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(100, 10, rng=2),
        input_shape=(1, 12, 12),
    )
    return byhand.Trainer(model, optim.Adam(model.parameters(), 0.01), device=device)


there, here = trainer_on("cuda"), trainer_on("cpu")
weights, state = there.model.state_dict(), there.optimizer.state_dict()
failures = 0
size = 32
while size:
    try:
        losses = [epoch.loss for epoch in there.fit(data, epochs=1, batch_size=size)]
        break
    except MemoryError:
        failures += 1
        size //= 2
        # The first step, after which the optimizer has memory of its own, may have succeeded.
        there.model.load_state_dict(weights)
        there.optimizer.load_state_dict(state)
        there.step = 0
assert size
expected = [epoch.loss for epoch in here.fit(data, epochs=1, batch_size=size)]
np.testing.assert_allclose(losses, expected, rtol=1e-4)
assert there.step == there.optimizer.steps == here.step
for name, value in there.optimizer.state_dict().items():
    np.testing.assert_allclose(value, here.optimizer.state_dict()[name], rtol=1e-3, atol=1e-6)
print(failures)
"""


@pytest.mark.slow
@pytest.mark.parametrize("memory", range(40_000, 140_000, 20_000))
def test_training_goes_on_with_a_smaller_batch(memory: int) -> None:
    """The memory ends in different places: in a plan, a copy, an operator or the optimizer."""
    assert int(process(START + BATCHES, SIMT_MEMORY=str(memory))) > 0


MOVED = """
cuda_module()
model = byhand.Model(
    nn.Flatten(), nn.Linear(100, 100, rng=1), nn.BatchNorm1d(100), input_shape=(1, 10, 10)
)
before = model.state_dict()
byhand.asarray(0, "cuda").to("cpu")
used = byhand.cuda.memory().used
try:
    model.to("cuda")
except MemoryError:
    pass
else:
    raise AssertionError("no error")
assert model.device == "cpu"
assert byhand.cuda.memory().used == used
for name, parameter in model.named_state():
    assert (parameter.data == before[name]).all()
"""


@pytest.mark.slow
@pytest.mark.parametrize("memory", [30_000, 60_000, 83_000])
def test_a_model_that_does_not_fit_stays_where_it_is(memory: int) -> None:
    """The memory ends in the weights, in the gradients, or in the running statistics."""
    process(START + MOVED, SIMT_MEMORY=str(memory))
