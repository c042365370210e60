"""Each example runs unchanged in its own folder, on a small data set."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand import models
from byhand.checks import is_installed
from cli_support import make_sets, write_folder

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))

# The beginning of the last line that each example prints.
LAST_LINE = {
    "by_hand_kernels": "test accuracy ",
    "by_hand_layers": "test accuracy ",
    "conv_in_pytorch": "test accuracy ",
    "custom_layer": "test accuracy ",
    "custom_loss": "test accuracy ",
    "gradient_check": "4.bias ",
    "own_data": " ",
    "serve_http": "8 clients got the right answers, test accuracy ",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), make_sets(1000, 200))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, folder: Path, tmp_path: Path) -> None:
    if path.stem == "conv_in_pytorch" and not is_installed("torch"):
        pytest.skip("the example needs PyTorch, which is not installed")
    environment = {**os.environ, "BYHAND_DATA": str(folder)}
    run = subprocess.run(
        [sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].startswith(LAST_LINE[path.stem])


def test_each_fits_a_page() -> None:
    assert len(EXAMPLES) >= 8
    for path in EXAMPLES:
        text = path.read_text()
        assert len(text.splitlines()) <= 60, path.name
        assert text.startswith('"""')


# --------------------------------------------------------------------------------------------------
# serve_http


@contextlib.contextmanager
def served(model: models.Model) -> Iterator[int]:
    """Serve a model as the example does. Yields the port."""
    path = next(path for path in EXAMPLES if path.stem == "serve_http")
    spec: Any = importlib.util.spec_from_file_location("serve_http", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    handler = type("Handler", (example.Handler,), {"model": model, "most": 4})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def reply(port: int, body: bytes, header: str | None = None) -> tuple[int, Any]:
    """Send a request, then nothing more. Return the status and the JSON of the answer."""
    header = f"Content-Length: {len(body)}" if header is None else header
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"POST / HTTP/1.0\r\n{header}\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        head, _, content = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


def test_the_server_answers_or_refuses() -> None:
    model = models.mlp((4,), input_shape=(1, 4, 4), classes=3)
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    with served(model) as port:
        status, answer = reply(port, images.tobytes())
        assert status == 200
        assert [list(top.items()) for top in answer] == model.predict_top(images)
        for body, header in [
            (b"", None),
            (bytes(15), None),
            (bytes(80), None),
            (b"", "Content-Length: 99999999999999999999"),
            (bytes(16), "Content-Length: -16"),
            (bytes(16), "Content-Length: 1_6"),
            (bytes(16), "Content-Type: x"),
        ]:
            status, answer = reply(port, body, header)
            assert status == 400 and answer["error"] == "send 16 bytes per image, and 1 to 4 images"
        status, answer = reply(port, bytes(9), "Content-Length: 16")
        assert status == 400 and "shorter than its Content-Length" in answer["error"]
