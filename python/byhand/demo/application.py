"""The web application: its addresses, and the checks of every request.

The page and its requests must come from this computer. A web page of a stranger cannot use the
server, even if its author lets the name of his own server point to 127.0.0.1 (DNS rebinding):
requests whose Host or Origin is not this server are refused with status 403.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from byhand.pictures import PictureError

from .reading import Reader, RequestError

# The names of this computer in the headers Host and Origin.
LOCAL_NAMES = ("127.0.0.1", "localhost")
# The largest drawing, in pixels per side, and the largest picture file, in bytes. A photograph of a
# telephone has at most about 25 MB.
MOST_SIDE = 400
MOST_BYTES = 32 * 1024**2

# The page loads nothing from elsewhere, and no other page may show it in a frame.
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
# The types of the page's files, by the ending of their names. The tables of the operating system,
# which the module mimetypes reads, may be wrong.
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def application(reader: Reader) -> Starlette:
    """Make the web application of a reader.

    Parameters
    ----------
    reader : Reader
        Reads the drawings.

    Returns
    -------
    Starlette
        An ASGI application.
    """

    def post(path: str, handle: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            return await _answer(handle, reader, request)

        return Route(path, endpoint, methods=["POST"])

    async def model(request: Request) -> Response:
        return JSONResponse(reader.describe())

    return Starlette(
        routes=[
            *_page(),
            Route("/api/model", model),
            post("/api/drawing", _drawing),
            post("/api/picture", _picture),
            post("/api/maps", _maps),
            post("/api/explain", _explain),
        ],
        middleware=[Middleware(_OnlyThisComputer)],
        exception_handlers={HTTPException: _refusal},
    )


class _OnlyThisComputer:
    """Refuses requests that another page has sent, and adds headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        reason = _why_foreign(headers.getlist("host"), headers.getlist("origin"))
        app = self._app if reason is None else JSONResponse({"error": reason}, status_code=403)
        await app(scope, receive, send_with_headers)


def _why_foreign(hosts: list[str], origins: list[str]) -> str | None:
    """Return why a request is refused, or None if it comes from the page itself.

    A browser sends the header Origin with every request that a page makes with POST.
    """
    try:
        names = [urlsplit(f"//{host}").hostname for host in hosts]
    except ValueError:
        names = []
    if len(names) != 1 or names[0] not in LOCAL_NAMES:
        return f"Host must be {' or '.join(LOCAL_NAMES)}, not {', '.join(hosts) or 'missing'}"
    if any(origin != f"http://{hosts[0]}" for origin in origins):
        return f"Origin must be http://{hosts[0]}, not {', '.join(origins)}"
    return None


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


# --------------------------------------------------------------------------------------------------
# The page


def _page() -> list[Route]:
    """Return a route for each file of the page. The files are read once, at the start."""
    folder = files("byhand.demo") / "page"
    routes = []
    for file in folder.iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            routes.append(Route(path, _file(file.read_bytes(), kind)))
    return routes


def _file(content: bytes, kind: str) -> Callable[[Request], Response]:
    return lambda request: Response(content, media_type=kind)


# --------------------------------------------------------------------------------------------------
# Requests with a body

Handler = Callable[[Reader, bytes, Mapping[str, str]], dict[str, Any]]


async def _answer(handle: Handler, reader: Reader, request: Request) -> Response:
    """Read the body, call a handler in another thread, and send its result or its error."""
    body = await _body(request)
    try:
        result = await run_in_threadpool(handle, reader, body, request.query_params)
    except (RequestError, PictureError) as error:
        return JSONResponse({"error": str(error)}, 400)
    except FloatingPointError as error:  # the weights of the model are at fault
        return JSONResponse({"error": str(error)}, 500)
    return JSONResponse(result)


async def _body(request: Request) -> bytes:
    """Return the body of a request, and stop reading if it is too long."""
    chunks, length = [], 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > MOST_BYTES:
            most = MOST_BYTES // 1024**2
            raise HTTPException(413, f"the file is too large: at most {most} MB are read")
        chunks.append(chunk)
    return b"".join(chunks)


def _drawing(reader: Reader, body: bytes, query: Mapping[str, str]) -> dict[str, Any]:
    height, width = (_number(query, name, 1, MOST_SIDE) for name in ("height", "width"))
    if len(body) != height * width:
        raise RequestError(
            f"the body must have height * width = {height * width} bytes, one for each pixel, "
            f"not {len(body)}"
        )
    ink = np.frombuffer(body, np.uint8).reshape(height, width)
    return reader.read_drawing(ink, light=query.get("light") == "1")


def _picture(reader: Reader, body: bytes, query: Mapping[str, str]) -> dict[str, Any]:
    return reader.read_picture(body)


def _maps(reader: Reader, body: bytes, query: Mapping[str, str]) -> dict[str, Any]:
    return reader.maps(body)


def _explain(reader: Reader, body: bytes, query: Mapping[str, str]) -> dict[str, Any]:
    names = ("stage", "channel", "row", "column")
    return reader.explain(body, *(_number(query, name, 0, sys.maxsize) for name in names))


def _number(query: Mapping[str, str], name: str, least: int, most: int) -> int:
    """Return a number of the address, such as 28 in /api/drawing?height=28."""
    text = query.get(name, "")
    # Only ASCII digits: int() also accepts signs, spaces and underscores.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        limits = f"of at least {least}" if most == sys.maxsize else f"from {least} to {most}"
        raise RequestError(f"{name} must be a whole number {limits}, not {text[:20]!r}")
    return int(text)
