"""Every setting accepts NumPy scalars, such as those of np.linspace or a search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import data, kernels, models, nn, optim
from byhand.models import Model
from byhand.nn import initializers, losses
from byhand.optim import schedules
from byhand.training import handlers

X = np.random.default_rng(0).random((2, 4, 8, 8), np.float32)
FLAT = np.zeros(3, np.float32)
LOGITS, LABELS = np.zeros((2, 3), np.float32), np.array([0, 1])
BYTES = np.zeros((4, 6, 6), np.uint8)


def parameters() -> list[nn.Parameter]:
    return nn.Linear(2, 2, rng=0).parameters()


def layers(i: Any, f: Any, b: Any) -> Any:
    return [
        nn.Linear(i(16), i(3), bias=b(True), rng=i(0)),
        nn.Conv2d(
            i(4), i(8), (i(3), i(3)), i(1), ((i(1), i(1)), (i(0), i(2))), i(1), i(2), b(False)
        ),
        nn.MaxPool2d(i(2), stride=i(2), padding=i(0), dilation=i(1), ceil_mode=b(True)),
        nn.AvgPool2d((i(2), i(1)), ceil_mode=b(False), count_include_pad=b(True)),
        nn.Dropout(f(0.5), rng=i(3)),
        nn.BatchNorm2d(i(4), eps=f(0.25), momentum=f(0.5)),
    ]


CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "layers": layers,
    "model": lambda i, f, b: Model(
        nn.Flatten(), nn.Linear(16, 3, rng=0), input_shape=(i(1), i(4), i(4)), scale=f(0.5),
        offset=i(0),
    ),
    "mlp": lambda i, f, b: models.mlp((i(5), i(4)), seed=i(3), classes=i(4)),
    "initialize": lambda i, f, b: initializers.initialize(models.mlp(), "zeros", rng=i(3)),
    "sgd": lambda i, f, b: optim.SGD(
        parameters(), f(0.5), f(0.25), i(0), f(0), b(True)
    ).settings(),
    "adam": lambda i, f, b: optim.AdamW(
        parameters(), f(0.5), (f(0.5), f(0.75)), f(0.125), i(0)
    ).settings(),
    "losses": lambda i, f, b: losses.CrossEntropyLoss(
        ignore_index=i(-1), label_smoothing=f(0.5)
    ).forward(LOGITS, LABELS),
    "schedules": lambda i, f, b: [
        schedules.Constant(f(0.5))(i(0)),
        schedules.StepDecay(f(0.5), i(3), f(0.5))(i(3)),
        schedules.Cosine(f(0.5), i(10), f(0), i(2))(i(3)),
        schedules.OneCycle(f(0.5), i(10), f(0.25), f(25), f(100))(i(3)),
    ],
    "handlers": lambda i, f, b: [
        vars(handlers.EarlyStop(patience=i(3), min_delta=f(0))),
        handlers.LogFile("log.csv", every=i(3)).every,
    ],
    "data": lambda i, f, b: [
        data.Dataset(BYTES, np.zeros(4, np.uint8)).split(i(3)),
        data.one_hot([0, 1], classes=i(2)).tolist(),
    ],
    "threads": lambda i, f, b: byhand.num_threads(i(1)).__class__,
    "conv2d": lambda i, f, b: kernels.conv2d(
        X, np.ones((8, 4, 3, 3), np.float32), stride=i(1), padding=(i(1), i(0)), dilation=i(1),
        groups=i(1),
    ).tolist(),
    "max_pool2d": lambda i, f, b: kernels.max_pool2d(
        X, i(2), stride=(i(2), i(1)), padding=i(0), dilation=i(1), ceil_mode=b(True)
    )[0].tolist(),
    "avg_pool2d": lambda i, f, b: kernels.avg_pool2d(
        X, i(2), ceil_mode=b(True), count_include_pad=b(False)
    ).tolist(),
    "gemm": lambda i, f, b: kernels.gemm(
        X[0, 0], X[0, 1], alpha=f(0.5), beta=f(0), trans_a=b(True), trans_b=b(False)
    ).tolist(),
    "dropout": lambda i, f, b: kernels.dropout(
        X, f(0.5), seed=i(3), step=i(4), stream=i(1)
    ).tolist(),
    "softmax_cross_entropy": lambda i, f, b: kernels.softmax_cross_entropy(
        LOGITS, LABELS, ignore_index=i(-1), label_smoothing=f(0.5)
    )[0],
    "gather_images": lambda i, f, b: kernels.gather_images(
        BYTES[:, np.newaxis], LABELS, scale=f(1), offset=f(0), max_shift=i(1), seed=i(1), step=i(1)
    ).tolist(),
    "warp_images": lambda i, f, b: kernels.warp_images(
        X, LABELS[: len(X)], seed=i(1), step=i(2), rotation=f(5), scale=f(0.125), shear=i(3),
        shift=f(1.5), elastic=f(0.5), smoothness=i(2), fill=f(0.25),
    ).tolist(),
    "sgd_step": lambda i, f, b: kernels.sgd_step(
        FLAT.copy(), FLAT, FLAT.copy(), lr=f(0.5), momentum=f(0.5), dampening=f(0.25),
        weight_decay=i(0), nesterov=b(True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_numpy_scalars_mean_what_pythons_numbers_mean(name: str) -> None:
    call = CALLS[name]
    expected = repr(call(int, float, bool))
    for integer in (np.int64, np.int32, np.int8):
        for real in (np.float64, np.float32, np.float16):
            assert repr(call(integer, real, np.bool_)) == expected


def test_arrays_stand_where_lists_may() -> None:
    """Arrays may replace lists: np.unique gives class names, and image.shape gives a shape."""
    model = Model(
        nn.Conv2d(1, 2, np.array([3, 3]), rng=0),
        nn.Flatten(),
        nn.Linear(8, 2, rng=0),
        input_shape=np.array([1, 4, 4]),
        class_names=np.unique(["b", "a"]),
    )
    assert model.input_shape == (1, 4, 4) and model.class_names == ("a", "b")
    assert optim.Adam(parameters(), betas=np.array([0.5, 0.75])).betas == (0.5, 0.75)


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule",
    [
        None,
        schedules.StepDecay(np.float32(0.5), np.int32(3), np.float32(0.5)),
        schedules.OneCycle(np.float32(0.5), np.int64(8), np.float32(0.25)),
        schedules.Cosine(np.float32(0.5), np.int64(8), np.float32(0.25), np.int8(2)),
    ],
    ids=lambda s: type(s).__name__,
)
def test_a_run_is_written_and_resumed(schedule: Any, tmp_path: Path) -> None:
    f, i = np.float32, np.int64

    def fit(epochs: int, resume: bool) -> Model:
        model = Model(
            nn.Flatten(),
            nn.Linear(i(36), i(3), rng=i(0)),
            input_shape=(i(1), i(6), i(6)),
            scale=f(0.5),
            offset=f(0),
        )
        trainer = byhand.Trainer(
            model,
            optim.SGD(model.parameters(), lr=f(0.1), momentum=f(0.5), nesterov=np.True_),
            loss=losses.CrossEntropyLoss(label_smoothing=f(0.25), ignore_index=i(-1)),
            schedule=schedule,
            run=tmp_path / "run",
            ema=f(0.5),
            max_shift=i(1),
        )
        sets = BYTES, np.arange(4) % 3
        trainer.fit(
            sets, epochs=i(epochs), batch_size=i(2), seed=np.uint64(3), validation=sets,
            resume=resume,
        )  # fmt: skip
        return model

    fit(2, False)
    model = fit(4, True)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs"] == 4
    loaded = byhand.load(tmp_path / "run", epoch="last")
    assert np.array_equal(loaded.state_dict()["1.weight"], model.state_dict()["1.weight"])
    byhand.load(tmp_path / "run", epoch=i(4))


def test_what_is_no_number_is_still_refused() -> None:
    for wrong in (np.bool_(True), "2", np.array([2]), None, 2.0, np.float32(2)):
        with pytest.raises(TypeError, match="in_features must be an integer"):
            nn.Linear(wrong, 2)  # type: ignore[arg-type]
    for wrong in (np.int64(1), 1, "yes", None):
        with pytest.raises(TypeError, match="bias must be True or False"):
            nn.Linear(2, 2, bias=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"scale must be a finite number, not .*nan"):
        models.Model(nn.Flatten(), scale=np.float32("nan"))
