"""A page to draw on: digits are read while one draws. This needs `byhand[demo]`."""

from __future__ import annotations

from byhand.checks import needs_extra

try:
    from .application import application
    from .reading import Reader
    from .server import listen, serve
except ModuleNotFoundError as error:
    raise needs_extra(error, "byhand.demo", "demo") from None

__all__ = ["Reader", "application", "listen", "serve"]
