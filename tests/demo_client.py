"""Ask the web application of `byhand demo`, without a server or with the real command."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from byhand.demo import Reader, application
from byhand.models import Model

HOST = "127.0.0.1:8000"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """The web application of one model."""

    def __init__(self, model: Model, pictures: str | None = None) -> None:
        self._app = application(Reader(model, "a model", pictures))

    def ask(
        self,
        method: str,
        address: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request, in parts of 64 KB, as a server would pass it on."""
        path, _, query = address.partition("?")
        sent = {"host": HOST, **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in sent.items() if v],
        }
        parts = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
        self.unread = list(parts)
        answer = Answer(0, {}, b"")

        async def receive() -> dict[str, Any]:
            part = self.unread.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self.unread)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        asyncio.run(self._app(scope, receive, send))
        return answer

    def get(self, address: str, **headers: str) -> Answer:
        return self.ask("GET", address, headers=headers)

    def post(self, address: str, body: bytes = b"", **headers: str) -> Answer:
        return self.ask("POST", address, body, headers)

    def draw(self, ink: np.ndarray, light: int = 0) -> Any:
        """Send a drawing and return the answer, which must be good."""
        height, width = ink.shape
        address = f"/api/drawing?height={height}&width={width}&light={light}"
        answer = self.post(address, ink.tobytes())
        assert answer.status == 200, answer.body
        return answer.json()


def unpacked(packed: Mapping[str, Any]) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(packed["data"]), packed["type"])
    return data.reshape(packed["shape"])


@contextmanager
def serving(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run the command in a new process. Yield the process, its first line and its address."""
    command = [sys.executable, "-m", "byhand", "demo", "--port", "0", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        try:
            first, second = process.stdout.readline(), process.stdout.readline()
            yield process, first, second.split()[1]
        finally:
            process.kill()
