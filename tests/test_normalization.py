"""Batch norm, dropout and residual branches in models: training, inference, files, PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import nn, optim
from byhand.files.tensors import CheckpointError, read_tensors, write_tensors
from byhand.models import Model, load
from byhand.training import Trainer
from networks import Float64Network, digits
from test_nn import in_torch

IMAGES, LABELS = digits(300)


def residual_network(seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    return Model(
        nn.Conv2d(1, 4, 3, stride=2, bias=False, rng=rng),
        nn.BatchNorm2d(4, momentum=0.2),
        nn.ReLU(),
        nn.Residual(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(4)),
            nn.ReLU(),
            nn.Dropout(0.25, rng=rng),
            nn.Residual(nn.Conv2d(4, 4, 1, rng=rng), nn.Tanh()),
        ),
        nn.GlobalAvgPool2d(),
        nn.Flatten(),
        nn.Linear(4, 8, rng=rng),
        nn.BatchNorm1d(8, eps=1e-3),
        nn.ReLU(),
        nn.Dropout(rng=rng),
        nn.Linear(8, 10, rng=rng),
    )


def train(model: Model, epochs: int = 2, seed: int = 7, **kwargs: Any) -> list[Any]:
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.05, 0.9), **kwargs)
    return trainer.fit((IMAGES, LABELS), epochs=epochs, batch_size=64, seed=seed)


@pytest.fixture(scope="module")
def trained() -> Model:
    model = residual_network()
    train(model)
    return model


def test_the_seed_decides_all_for_any_number_of_threads() -> None:
    """The trainer's seed decides what dropout draws. The layers' own seeds do not matter."""
    states = []
    for threads, own in ((1, 1), (3, 2)):
        model = residual_network()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.seed = own
        with byhand.num_threads(threads):
            history = train(model)
        states.append((history[-1].loss, model.state_dict()))
    assert states[0][0] == states[1][0]
    for name, array in states[0][1].items():
        assert array.tobytes() == states[1][1][name].tobytes(), name
    other = residual_network()
    assert train(other, seed=8)[-1].loss != states[0][0]


def test_validation_does_not_change_training(trained: Model) -> None:
    """Predictions between steps do not change it either: inference draws and updates nothing."""
    model = residual_network()
    optimizer = optim.SGD(model.parameters(), 0.05, 0.9)
    trainer = Trainer(model, optimizer, handlers=[lambda event: model.predict(IMAGES[:9])])
    data = IMAGES, LABELS
    trainer.fit(data, epochs=2, batch_size=64, seed=7, validation=data)
    for name, array in trained.state_dict().items():
        assert np.array_equal(array, model.state_dict()[name]), name


@pytest.mark.parametrize("training", [True, False])
def test_predictions_are_those_of_inference(trained: Model, training: bool) -> None:
    """Predictions are those of inference mode, whatever mode the layers are in."""
    x = (IMAGES * np.float32(1 / 127.5) - np.float32(1)).reshape(-1, 1, 28, 28)
    expected = Float64Network(trained.eval()).forward(x)
    trained.train(training)
    before = trained.state_dict()
    logits = trained.logits(IMAGES[:, None])
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.array_equal(trained.predict(IMAGES), logits.argmax(axis=1))
    accuracy = (logits.argmax(axis=1) == LABELS).mean()
    assert byhand.evaluate(trained, (IMAGES, LABELS)).accuracy == accuracy
    assert all(np.array_equal(v, before[name]) for name, v in trained.state_dict().items())
    trained.train()


def test_it_learns() -> None:
    """Eight features, half of them dropped, are enough to do much better than 1 in 10."""
    model = residual_network()
    history = train(model, epochs=12)
    assert history[-1].loss < 0.8 * history[0].loss
    assert byhand.evaluate(model, (IMAGES, LABELS)).accuracy > 0.4


def test_files_hold_everything(trained: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    trained.save(path)
    again = load(path)
    assert repr(again) == repr(trained) and again.description() == trained.description()
    assert np.array_equal(again.predict_proba(IMAGES), trained.predict_proba(IMAGES))
    streams = [m.stream for m in again.modules() if isinstance(m, nn.Dropout)]
    assert streams == [0, 1]
    train(again, epochs=1)  # must not change `trained`
    assert not np.array_equal(again.predict_proba(IMAGES), trained.predict_proba(IMAGES))


def test_files_open_in_pytorch(torch: Any, trained: Model, tmp_path: Path) -> None:
    """PyTorch loads the weights by name and gives the same logits, and its state can be loaded."""
    from safetensors.torch import load_file

    trained.save(tmp_path / "model.safetensors")
    theirs = in_torch(nn.Sequential(*trained.children))
    theirs.load_state_dict(load_file(tmp_path / "model.safetensors"))
    theirs.eval()
    x = (IMAGES * np.float32(1 / 127.5) - np.float32(1)).reshape(-1, 1, 28, 28)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    logits = trained.logits(IMAGES[:, None])
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
    again = residual_network(seed=1)
    again.load_state_dict(theirs.state_dict())
    assert np.array_equal(again.predict_proba(IMAGES), trained.predict_proba(IMAGES))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda layers: layers[1]["arguments"].update(num_features=2**40), "1.weight is"),
        (lambda layers: layers[1]["arguments"].update(momentum=7), "momentum must be from 0 to 1"),
        (lambda layers: layers[9]["arguments"].update(p=-1), "p must be from 0 to 1"),
        (lambda layers: layers[3]["layers"].pop(0), "unexpected 3.0.0.weight"),
        (lambda layers: layers[3].update(type="Resid"), "unknown layer 'Resid'"),
        (lambda layers: layers[3].update(arguments={}), "a Residual must have type, layers"),
    ],
)
def test_files_that_claim_what_they_do_not_hold(
    change: Any, says: str, trained: Model, tmp_path: Path
) -> None:
    trained.save(tmp_path / "model.safetensors")
    tensors, description = read_tensors(tmp_path / "model.safetensors")
    description = json.loads(json.dumps(description))
    change(description["layers"])
    write_tensors(tmp_path / "other.safetensors", tensors, description)
    with pytest.raises(CheckpointError, match=says):
        load(tmp_path / "other.safetensors")


def test_a_ragged_end_of_one_image_has_no_variance() -> None:
    model = residual_network()
    before = model.state_dict()
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.05))
    with pytest.raises(
        ValueError, match="batch_size 64 divides the 65 images so that one batch has the size 1"
    ):
        trainer.fit((IMAGES[:65], LABELS[:65]), epochs=1, batch_size=64)
    assert all(np.array_equal(before[name], v) for name, v in model.state_dict().items())
    trainer.fit((IMAGES[:66], LABELS[:66]), epochs=1, batch_size=64)


@pytest.mark.parametrize("layer", ["BatchNorm2d", "in a residual"])
def test_batch_norm_on_planes_of_one_value(layer: str) -> None:
    """A batch of one image has no variance. `fit` refuses it before any weight has changed."""
    norm: nn.Module = nn.BatchNorm2d(2)
    model = Model(
        nn.Conv2d(1, 2, 28, rng=0),
        norm if layer == "BatchNorm2d" else nn.Residual(nn.ReLU(), nn.Sequential(norm)),
        nn.Flatten(),
        nn.Linear(2, 3, rng=1),
    )
    before = model.state_dict()
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.05))
    with pytest.raises(ValueError, match=r"the size 1, too small for BatchNorm2d\(2\)"):
        trainer.fit((IMAGES[:65], LABELS[:65] % 3), epochs=1, batch_size=64)
    for name, value in model.state_dict().items():
        assert np.array_equal(value, before[name])
    norm.eval()  # running statistics work with one image
    trainer.fit((IMAGES[:65], LABELS[:65] % 3), epochs=1, batch_size=64)


def test_a_frozen_batch_norm_stays_frozen_in_training() -> None:
    model = residual_network()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    norms[1].eval()
    before = [norm.running_mean.data.copy() for norm in norms]
    optimizer = optim.SGD(model.parameters(), 0.05)
    Trainer(model, optimizer).fit((IMAGES[:64], LABELS[:64]), epochs=1, batch_size=32)
    for i, (norm, mean) in enumerate(zip(norms, before, strict=True)):
        assert np.array_equal(norm.running_mean.data, mean) == (i == 1)


def test_training_in_inference_mode_is_said() -> None:
    model = residual_network().eval()
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.05))
    with pytest.warns(UserWarning, match=r"call model\.train\(\) before fit"):
        trainer.fit((IMAGES[:64], LABELS[:64]), epochs=1)
