"""Serve the page on this computer."""

from __future__ import annotations

import socket

import uvicorn

from .application import application
from .reading import Reader

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """Open the port of the page. Only programs on this computer can connect to it.

    Parameters
    ----------
    port : int
        The number of the port. 0 takes any free port.

    Returns
    -------
    socket
        The socket, for `serve`.

    Raises
    ------
    OSError
        If the port is in use or not permitted.
    """
    # asyncio sends small packets at once only if the protocol of the socket is named. Otherwise the
    # body of each response would wait 40 ms for the browser's confirmation of its header.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((HOST, port))
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def serve(reader: Reader, opened: socket.socket) -> None:
    """Serve the page until a signal such as Ctrl-C ends it.

    Parameters
    ----------
    reader : Reader
        Reads the drawings.
    opened : socket
        The socket that `listen` returned.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C was pressed. All connections are closed then.
    """
    config = uvicorn.Config(
        application(reader),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        # A browser keeps its connection open. Do not wait for it at the end.
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[opened])
