"""A model as a web service: POST the pixels of images, and get the class of each one as JSON."""

import json
import math
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import byhand
import numpy as np
from byhand import data, models, optim


class Handler(BaseHTTPRequestHandler):
    """Answers requests. Each one runs in a thread of its own, and all threads share `model`."""

    model, most = None, 1000  # the model, and the largest number of images in a request
    timeout = 10  # seconds of silence, after which a client loses its connection

    def do_POST(self):
        size, length = math.prod(self.model.input_shape), self.headers.get("Content-Length", "")
        if not (length.isdecimal() and 0 < int(length) <= self.most * size) or int(length) % size:
            error = f"send {size} bytes per image, and 1 to {self.most} images"
            return self.answer(400, {"error": error})
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return self.answer(400, {"error": "the body is shorter than its Content-Length"})
        images = np.frombuffer(body, np.uint8).reshape(-1, *self.model.input_shape)
        return self.answer(200, [dict(top) for top in self.model.predict_top(images, 3)])

    def answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        pass


def ask(port, images):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", images.tobytes()) as reply:
        return [max(top, key=top.get) for top in json.load(reply)]


if __name__ == "__main__":
    train, test = data.mnist()
    Handler.model = model = models.mlp()  # or byhand.load("runs/NAME")
    byhand.Trainer(model, optim.SGD(model.parameters(), 0.1)).fit(train, epochs=1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)  # port 0: any free port
    threading.Thread(target=server.serve_forever).start()
    parts = np.array_split(test.images, 40)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda part: ask(server.server_port, part), parts))
    server.shutdown()
    answers = np.concatenate(answers).astype(int)
    assert np.array_equal(answers, model.predict(test.images))
    print(f"8 clients got the right answers, test accuracy {np.mean(answers == test.labels):.2%}")
