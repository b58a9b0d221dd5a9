"""Who may ask the page what: the rules of `scopeside.security.http`, for Tornado."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler, StaticFileHandler

from scopeside.security.http import HEADERS, refusal

POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' {sockets}; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""What the page may load: nothing from anywhere else. BokehJS writes styles."""

WRONG_S = 0.2
"""A wrong token is answered so late: whoever tries one after another, on as many
connections as there are, leaves the loop free for a hold."""


class Ruled(RequestHandler):
    """A request that was let through by the rules."""

    port: int
    token: str | None

    def initialize(self, port: int, token: str | None) -> None:
        """Take what the rules need; without a token nothing can be changed."""
        self.port, self.token = port, token

    async def prepare(self) -> None:
        """Answer what may not pass."""
        refused = refusal(environ_of(self), self.port, self.token)
        if refused is not None:
            if refused.status is HTTPStatus.UNAUTHORIZED:
                await asyncio.sleep(WRONG_S)
            self.set_status(refused.status.value)
            self.finish({"error": refused.reason})

    def set_default_headers(self) -> None:
        """Say what browsers are to keep to; also where something is refused."""
        for name, value in headers(self.settings["port"]).items():
            self.set_header(name, value)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what went wrong, unless it is that a tab was closed meanwhile."""
        if not isinstance(value, StreamClosedError):
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        """Say what is wrong in a word: no markup, nothing of what was asked."""
        self.finish({"error": HTTPStatus(status_code).phrase})


class NotThere(Ruled):
    """Whatever has no address."""

    def get(self) -> None:
        """Say so."""
        self.send_error(HTTPStatus.NOT_FOUND)


class RuledFiles(Ruled, StaticFileHandler):
    """Files of the page; names with letters that ours do not have never get here."""

    def initialize(  # type: ignore[override]
        self, path: str, port: int, default_filename: str | None = None
    ) -> None:
        """Take the folder, of which nothing is listed."""
        Ruled.initialize(self, port, None)
        StaticFileHandler.initialize(self, path, default_filename)

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - its signature
        """Have files asked for anew each time: an engine may have another version."""
        self.set_header("Cache-Control", "no-cache")


def headers(port: int) -> Mapping[str, str]:
    """Return the headers of every answer."""
    sockets = " ".join(f"ws://{name}:{port}" for name in ("127.0.0.1", "localhost"))
    policy = POLICY.format(sockets=sockets)
    return {**HEADERS, "Content-Security-Policy": policy, "Server": "scopeside"}


def environ_of(handler: RequestHandler) -> dict[str, Any]:
    """Return a request as WSGI has it, as far as the rules look at it."""
    request = handler.request
    environ = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in request.headers.items()
    }
    length = request.headers.get("Content-Length", "")
    return {
        **environ,
        "REQUEST_METHOD": request.method or "",
        "CONTENT_LENGTH": length,
        "HTTP_HOST": request.host,
    }


STATIC = Path(__file__).parent / "static"
