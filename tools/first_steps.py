"""Take the first steps of a new user with an installed byhand, and check that all answers agree.

    python first_steps.py

The script trains a model, predicts a picture from the command line, exports the model, runs it in
ONNX Runtime, and asks a web service from eight threads. It needs `pip install "byhand[cli,export]"
onnxruntime`, and writes to the current folder, which should lie outside a checkout: the installed
package is tested, not the sources.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import byhand
import numpy as np
from PIL import Image

RUN = Path("runs/first")
CLIENTS = 8


def command(*words: str) -> str:
    """Run the command `byhand` and return what it prints."""
    print("byhand", *words, flush=True)
    run = subprocess.run(
        [sys.executable, "-m", "byhand", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return run.stdout


@contextmanager
def served(model: Any) -> Iterator[str]:
    """Serve the model: POST the bytes of one image, and get its class."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            image = np.frombuffer(body, np.uint8).reshape(1, *model.input_shape)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(model.predict(image)[0]).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def main() -> None:
    import onnxruntime

    checkout = Path(__file__).resolve().parents[1] / "python"
    assert checkout not in Path(byhand.__file__).resolve().parents, "byhand is not installed"
    command("train", "lenet5", "--epochs", "1", "--seed", "1", "--out", str(RUN))
    images, labels = byhand.data.mnist()[1].images[:200], byhand.data.mnist()[1].labels[:200]
    model = byhand.load(RUN)
    answers, probabilities = model.predict(images), model.predict_proba(images)
    assert np.mean(answers == labels) > 0.9, "the model has not learned to read digits"

    Image.fromarray(255 - images[0]).resize((140, 140)).save("digit.png")  # black ink, white paper
    said = json.loads(command("predict", str(RUN), "digit.png", "--json"))
    assert said["digit"] == answers[0], said

    command("export", str(RUN), "digits.onnx")
    session = onnxruntime.InferenceSession("digits.onnx")
    (exported,) = session.run(["probabilities"], {"images": images})
    assert np.abs(exported - probabilities).max() <= 1e-5
    assert np.array_equal(exported.argmax(axis=1), answers)

    def ask(image: np.ndarray) -> int:
        with urllib.request.urlopen(address, image.tobytes()) as reply:
            return int(reply.read())

    with served(model) as address, ThreadPoolExecutor(CLIENTS) as clients:
        assert list(clients.map(ask, images)) == list(answers)
    print(
        f"byhand {byhand.__version__}, ONNX Runtime and {CLIENTS} clients of a web service agree "
        f"on {len(images)} images"
    )


if __name__ == "__main__":
    main()
