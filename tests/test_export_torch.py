"""Networks as modules of PyTorch, files of torch.export, and weights of PyTorch.

Results may differ from byhand's by 1e-5, or by 1e-5 of the largest output if this is more than 1.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import byhand
import numpy as np
import pytest
from byhand import export, models, nn
from byhand.files.tensors import CheckpointError
from calls import Array
from fuzz_cases import Draw, draw_model
from networks import digits
from safetensors.numpy import save_file
from test_export_onnx import LAYERS, Double, Louder, assert_close, drawn, small_model

# --------------------------------------------------------------------------------------------------
# Networks


def test_each_layer_alone(torch: Any, rng: np.random.Generator) -> None:
    for layer, shape in LAYERS:
        network = drawn(nn.Sequential(layer), rng).eval()
        module = export.to_torch(network)
        assert [n for n, _ in module.named_parameters()] == [
            n for n, _ in network.named_parameters()
        ]
        for n in (3, 1):
            x = rng.standard_normal((n, *shape), np.float32)
            assert_close(module(torch.from_numpy(x)).detach().numpy(), network(x))


def test_random_networks(torch: Any) -> None:
    for seed in range(40):
        draw = Draw(np.random.default_rng([82, seed]))
        model = draw_model(draw)
        module = export.to_torch(model)
        images = draw.rng.integers(0, 256, (5, *model.input_shape), np.uint8)
        for x in (images, np.float32(images / np.float32(255))):
            assert_close(module(torch.from_numpy(x)).detach().numpy(), model.outputs(x))


def test_weights_go_back(torch: Any, tmp_path: Path) -> None:
    """Train the module in PyTorch, and give its weights to the model and to another one."""
    model, images = models.lenet5(seed=1), digits(8)[0]
    before = model.outputs(images)
    module = export.to_torch(model)
    assert isinstance(module, torch.nn.Sequential) and not module.training
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module(torch.from_numpy(images)).square().sum().backward()
    optimizer.step()
    assert np.array_equal(model.outputs(images), before)  # its weights are copies

    expected = module(torch.from_numpy(images)).detach().numpy()
    assert np.abs(expected - before).max() > 1e-3
    model.load_state_dict(module.state_dict())
    assert_close(model.outputs(images), expected)
    for name in ("weights.pt", "weights.safetensors"):
        if name.endswith(".pt"):
            torch.save(module.state_dict(), tmp_path / name)
        else:
            save_file(model.state_dict(), tmp_path / name)
        other = models.lenet5(seed=2)
        export.load_weights(other, tmp_path / name)
        assert_close(other.outputs(images), expected)


def test_counters_of_batch_norm_are_ignored(torch: Any, tmp_path: Path) -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).eval()
    theirs[1].running_mean += 3
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    ours = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    export.load_weights(ours, tmp_path / "w.pt")
    x = np.float32([[1, 2, 3], [4, 5, 7]])
    assert_close(ours(x), theirs(torch.from_numpy(x)).detach().numpy())


def test_own_layers(torch: Any) -> None:
    with pytest.raises(export.ExportError, match=r"^layer 1\.0, Louder\(\), cannot be exported: "):
        export.to_torch(small_model(nn.ReLU(), nn.Residual(Louder())))
    with pytest.raises(export.ExportError, match=r"^Double cannot be exported: it is code of your"):
        export.to_torch(Double())


# --------------------------------------------------------------------------------------------------
# Files of torch.export


def test_a_program(torch: Any, tmp_path: Path) -> None:
    model = models.Model(
        nn.Conv2d(1, 2, 3, padding=((1, 0), (0, 2)), rng=0),
        nn.MaxPool2d(3, 2, ((1, 0), (0, 1)), ceil_mode=True),
        nn.Residual(nn.BatchNorm2d(2), nn.Tanh()),
        nn.AvgPool2d(2, 2, 1, count_include_pad=False),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8, 3, rng=0),
        input_shape=(1, 6, 6),
        class_names=["a", "b", "ü"],
    )
    export.save(model, tmp_path / "m.pt2")
    more = {"class_names": ""}
    program = torch.export.load(tmp_path / "m.pt2", extra_files=more).module()
    assert json.loads(more["class_names"]) == ["a", "b", "ü"]
    images = np.random.default_rng(0).integers(0, 256, (7, 6, 6), np.uint8)
    for n in (7, 1, 0):
        result = program(torch.from_numpy(images[:n])).detach().numpy()
        assert_close(result, model.outputs(images[:n]))


# --------------------------------------------------------------------------------------------------
# Files of weights


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2, rng=0), nn.ReLU(), nn.Linear(2, 2, rng=1))


def test_a_safetensors_file(tmp_path: Path) -> None:
    source, target = network(), nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    export.load_weights(target, tmp_path / "w.safetensors")
    assert np.array_equal(target.state_dict()["2.weight"], source.state_dict()["2.weight"])


def test_the_file_of_a_model_has_its_weights(tmp_path: Path) -> None:
    model = models.mlp((4,), seed=1)
    model.save(tmp_path / "m.safetensors")
    other = models.mlp((4,), seed=2)
    export.load_weights(other, tmp_path / "m.safetensors")
    assert np.array_equal(other.predict_proba(digits(4)[0]), model.predict_proba(digits(4)[0]))


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    target = network()
    before = target.state_dict()
    save_file(nn.Sequential(nn.Linear(3, 3)).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"0\.weight.*\(3, 3\).*2\.weight"):
        export.load_weights(target, tmp_path / "w.safetensors")
    assert all(np.array_equal(value, before[name]) for name, value in target.state_dict().items())


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"w\.safetensors is not a safetensors file"):
        export.load_weights(network(), tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        export.load_weights(network(), tmp_path / "gone.pt")
    with pytest.raises(TypeError, match=r"network must be a byhand.nn.Module, not int"):
        export.load_weights(3, tmp_path / "w.safetensors")  # type: ignore[arg-type, unused-ignore]


class Trap:
    """An object whose unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_is_executed(torch: Any, tmp_path: Path) -> None:
    path, trap = tmp_path / "w.pt", tmp_path / "executed"
    for content in (Trap(trap), {"0.weight": Trap(trap)}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=r"w\.pt is not a file of weights that can be re"):
            export.load_weights(network(), path)
        path.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(CheckpointError, match=r"w\.pt is not a file of weights that can be re"):
            export.load_weights(network(), path)
    assert not trap.exists()
    for junk in (b"", b"PK\x03\x04 no archive", b"junk", b"\x80\x02}q\x00."):
        path.write_bytes(junk)
        with pytest.raises(ValueError, match=r"w\.pt|state does not fit"):
            export.load_weights(network(), path)
    torch.save([torch.zeros(3)], path)
    with pytest.raises(CheckpointError, match=r"must hold tensors by name, .* not a list"):
        export.load_weights(network(), path)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "byhand.export._torch_layers", raising=False)
    monkeypatch.delattr(export, "_torch_layers", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"to PyTorch needs torch, .*byhand\[torch\]"):
        export.to_torch(network())
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(ModuleNotFoundError, match=r"torch.save needs torch, .*byhand\[torch\]"):
        export.load_weights(network(), tmp_path / "w.pt")


def test_the_model_does_not_change(rng: np.random.Generator, torch: Any) -> None:
    model = byhand.Model(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2), input_shape=(1, 4, 4))
    images: Array = rng.integers(0, 256, (3, 4, 4), np.uint8)
    before = model.outputs(images)
    export.to_torch(model).train()
    assert model.training and model.children[1].training
    assert np.array_equal(model.outputs(images), before)
