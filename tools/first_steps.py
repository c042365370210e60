"""Take the first steps of a new user with an installed byhand, and check that all answers agree.

    python first_steps.py

The script trains a model, predicts a picture from the command line, exports the model, runs it in
ONNX Runtime, and asks a web service from eight threads. It needs `pip install "byhand[cli,export]"
onnxruntime`, and writes to the current folder, which should lie outside a checkout: the installed
package is tested, not the sources.
"""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path

import byhand
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RUN = Path("runs/first")
CLIENTS = 8


def command(*words: str) -> str:
    """Run the command `byhand` and return what it prints."""
    print("byhand", *words, flush=True)
    run = subprocess.run(
        [sys.executable, "-m", "byhand", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return run.stdout


def main() -> None:
    import onnxruntime

    service = runpy.run_path(str(ROOT / "examples" / "serve_http.py"))
    handler, ask = service["Handler"], service["ask"]
    assert ROOT / "python" not in Path(byhand.__file__).resolve().parents, "byhand is not installed"
    command("train", "lenet5", "--epochs", "1", "--seed", "1", "--out", str(RUN))
    test = byhand.data.mnist()[1]
    images, labels = test.images[:200], test.labels[:200]
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

    handler.model = model
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with ThreadPoolExecutor(CLIENTS) as clients:
            served = list(clients.map(lambda image: ask(server.server_port, image), images))
        server.shutdown()
    assert [int(name) for (name,) in served] == answers.tolist()
    print(
        f"byhand {byhand.__version__}, ONNX Runtime and {CLIENTS} clients of a web service agree "
        f"on {len(images)} images"
    )


if __name__ == "__main__":
    main()
