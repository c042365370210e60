"""The command `byhand demo`: which model it takes, its port, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from unittest import mock

import pytest
from byhand.demo import listen
from byhand.models import mlp
from cli_support import make_sets, only_line, run, write_folder
from demo_client import serving


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_run_it_says_what_to_do(here: Path) -> None:
    Path("runs", "without_a_model").mkdir(parents=True)
    words = " ".join(run("demo", code=2).stderr.split())
    assert "train a model with byhand train lenet5" in words and "MODEL" in words


def test_a_port_in_use(here: Path) -> None:
    mlp((4,)).save(model := here / "model.safetensors")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = only_line(run("demo", model, "--port", port, code=1))
    assert line.startswith(f"byhand: port {port} is in use: choose another one with --port N")
    assert "it must be a whole number, from 0 to 65535" in " ".join(
        run("demo", model, "--port", 65536, code=2).stderr.split()
    )


def test_small_packets_are_sent_at_once() -> None:
    """asyncio sets TCP_NODELAY only on such sockets. Without it, each answer takes 40 ms longer."""
    with listen(0) as opened:
        assert opened.proto == socket.IPPROTO_TCP


def test_it_opens_the_page_in_the_browser(here: Path) -> None:
    mlp((4,)).save(model := here / "model.safetensors")
    with (
        mock.patch("byhand.demo.serve", side_effect=KeyboardInterrupt) as serve,
        mock.patch("webbrowser.open") as opened,
    ):
        run("demo", model, "--port", 0)
        opened.assert_not_called()
        said = run("demo", model, "--port", 0, "--open").stdout
    (address,) = opened.call_args.args
    assert f"Open {address} in a web browser" in said and address.startswith("http://127.0.0.1:")
    assert serve.call_args.args[0].name == str(model)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_serves_the_newest_run_until_a_signal(here: Path, number: int, code: int) -> None:
    """A browser that keeps its connection open does not delay the end."""
    data = write_folder(here / "data", make_sets(train=100, test=50))
    for name in ("old", "new"):
        run("train", "softmax", "--data", data, "--out", here / "runs" / name, "--epochs", 1)
    os.utime(here / "runs" / "old" / "model.safetensors", (0, 0))
    with serving() as (process, first, address):
        assert "model runs/new" in first
        with urllib.request.urlopen(f"{address}api/model") as answer:
            assert json.load(answer)["name"] == "runs/new"
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as browser:
            browser.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert browser.recv(15) == b"HTTP/1.1 200 OK"
            process.send_signal(number)
            _, messages = process.communicate(timeout=60)
        assert process.returncode == code
        assert messages == ("" if code == 0 else "byhand: interrupted\n")
