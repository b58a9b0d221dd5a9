"""Who may ask the page what: the rules of `scopeside.security.http`, for Tornado."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tornado.web import RequestHandler, StaticFileHandler

from scopeside.security.http import HEADERS, refusal

POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' {sockets}; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""What the page may load: nothing from anywhere else. BokehJS writes styles."""


class Ruled(RequestHandler):
    """A request that was let through by the rules."""

    port: int
    token: str

    def initialize(self, port: int, token: str) -> None:
        """Take what the rules need."""
        self.port, self.token = port, token

    def prepare(self) -> None:
        """Answer what may not pass."""
        refused = refusal(environ_of(self), self.port, self.token)
        if refused is not None:
            self.set_status(refused.status.value)
            self.finish({"error": refused.reason})

    def set_default_headers(self) -> None:
        """Say what browsers are to keep to."""
        for name, value in headers(self.request.host).items():
            self.set_header(name, value)


class RuledFiles(StaticFileHandler):
    """Files of the page."""

    port = 0

    def prepare(self) -> None:
        """Answer what may not pass."""
        refused = refusal(environ_of(self), self.application.settings["port"], None)
        if refused is not None:
            self.set_status(refused.status.value)
            self.finish({"error": refused.reason})

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - its signature
        """Say what browsers are to keep to; files are asked for anew each time."""
        for name, value in headers(self.request.host).items():
            self.set_header(name, value)
        self.set_header("Cache-Control", "no-cache")


def headers(host: str) -> Mapping[str, str]:
    """Return the headers of every answer."""
    policy = POLICY.format(sockets=f"ws://{host}")
    return {**HEADERS, "Content-Security-Policy": policy}


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
