"""What every web server of ours keeps to: this machine only, and no other site.

A page of any web site can have the browser of this machine send requests to
127.0.0.1. It cannot read the answers unless its name is made to resolve to 127.0.0.1
(DNS rebinding): hence the check of ``Host``. It can send what changes something
without reading the answer: hence ``Origin`` and the token, which it does not know.

`guarded` is WSGI middleware (PEP 3333) with these rules; `serve` serves it.
"""

from __future__ import annotations

import hmac
import io
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

LARGEST_BODY = 64 << 10
LARGEST_LINE = 8 << 10
"""Of a request, with its path and query, bytes."""
REQUEST_S = 10.0
"""A request that is not here by then is cut off."""
MOST_REQUESTS = 32
"""At once; one more is told to come again."""
_TICK_S = 0.25
_BUSY = (
    b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
    b"Retry-After: 1\r\n\r\ntoo many requests at once; come again\n"
)
_SAFE = ("GET", "HEAD")
_CHANGES = ("POST", "PUT", "PATCH", "DELETE")
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
}
"""Of every answer, unless the application says otherwise."""


class Refusal(NamedTuple):
    """Why a request is not passed on."""

    status: HTTPStatus
    reason: str


def new_token(path: Path) -> str:
    """Write a new token to a file (0600) that is not there yet, and return it.

    Raises
    ------
    OSError
        If it is there or cannot be written.
    """
    token = secrets.token_urlsafe(32)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="ascii") as file:
        file.write(token)
    return token


def refusal(environ: Mapping[str, Any], port: int, token: str | None) -> Refusal | None:
    """Return why a request is refused; None if it may pass. No I/O.

    Parameters
    ----------
    environ
        Of WSGI.
    port
        That is listened at.
    token
        That changes need; None: nothing here can be changed.
    """
    method, host = str(environ["REQUEST_METHOD"]), environ.get("HTTP_HOST", "")
    if host not in _names(port):
        return Refusal(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"this server is {' or '.join(_names(port))}, not {host!r:.80}; through a "
            "tunnel take the same port on both sides",
        )
    if method in _SAFE:
        return None
    if method not in _CHANGES or token is None:
        return Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{method:.20} is not allowed: here one can read, nothing else"
            if token is None
            else f"{method:.20} is not allowed",
        )
    return _refusal_of_change(environ, port, token)


def _refusal_of_change(
    environ: Mapping[str, Any], port: int, token: str
) -> Refusal | None:
    """Return why a request that would change something is refused."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and origin not in {f"http://{n}" for n in _names(port)}:
        return Refusal(
            HTTPStatus.FORBIDDEN, f"a page of {origin!r:.80} may not change anything"
        )
    scheme, _, shown = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    right = hmac.compare_digest(shown.encode(errors="replace"), token.encode())
    if scheme != "Bearer" or not right:
        return Refusal(
            HTTPStatus.UNAUTHORIZED,
            "a change needs the header 'Authorization: Bearer TOKEN' with the token "
            "of this run, which is in a file of its run folder",
        )
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "a body needs a Content-Length")
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length[:12]) > LARGEST_BODY:
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a body has {LARGEST_BODY} bytes at most, not {length:.20}",
        )
    return None


def guarded(
    application: WSGIApplication, port: int, token: str | None = None
) -> WSGIApplication:
    """Return `application` behind the rules: host, origin, token, size, headers."""

    def passed(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def answer(
            status: str, headers: list[tuple[str, str]], problem: Any = None
        ) -> Any:
            said = {name.lower() for name, _ in headers}
            ours = [(k, v) for k, v in HEADERS.items() if k.lower() not in said]
            return start(status, [*headers, *ours], problem)

        refused = refusal(environ, port, token)
        if refused is None:
            return application(environ, answer)
        body = (json.dumps({"error": refused.reason}) + "\n").encode()
        status = f"{refused.status.value} {refused.status.phrase}"
        length = str(len(body))
        answer(
            status, [("Content-Type", "application/json"), ("Content-Length", length)]
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return passed


def serve(
    application: WSGIApplication, port: int, token: str | None = None
) -> tuple[str, Callable[[], None]]:
    """Serve on a port of 127.0.0.1 (0: any free one), with all the rules.

    Returns
    -------
    Its address, without a path, and how to end it.

    Raises
    ------
    OSError
        If nobody can listen there.
    """
    server = _Server(port)
    server.set_app(guarded(application, server.server_port, token))
    thread = threading.Thread(
        target=server.serve_forever, args=(_TICK_S,), name="http", daemon=True
    )
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return f"http://127.0.0.1:{server.server_port}", stop


def _names(port: int) -> tuple[str, ...]:
    names = tuple(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
    return (*names, "127.0.0.1", "localhost", "[::1]") if port == 80 else names


class _Answering(ServerHandler):
    """Says nothing of versions."""

    server_software = "scopeside"


class _Handler(WSGIRequestHandler):
    """One connection, one request: read within bounds of size and time."""

    server: _Server
    timeout = REQUEST_S
    server_version = "scopeside"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def handle(self) -> None:
        """Read a request within the bounds, and answer it."""
        with self.server.reading(self.connection):
            self.raw_requestline = self.rfile.readline(LARGEST_LINE + 1)
            if len(self.raw_requestline) > LARGEST_LINE:
                self.requestline = self.request_version = self.command = ""
                self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
                return
            if not self.parse_request():
                return  # it has been told why
            body = self.rfile.read(self._body_bytes())
        answering: Any = _Answering(
            io.BytesIO(body),
            cast(IO[bytes], self.wfile),
            self.get_stderr(),
            self.get_environ(),
            multithread=True,
        )
        answering.request_handler = self
        answering.run(self.server.get_app())

    def _body_bytes(self) -> int:
        """Return how much of a body is read: none of one that will be refused."""
        said = self.headers.get("Content-Length", "")
        if self.command not in _CHANGES or not said.isdecimal() or len(said) > 12:
            return 0
        return int(said) if int(said) <= LARGEST_BODY else 0

    def end_headers(self) -> None:
        """Send the headers of an answer that the application has no part in."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Say nothing: a flood of requests would be a flood of lines."""


class _Server(ThreadingMixIn, WSGIServer):
    """Threads, but not more than so many, and none that is kept waiting for ever."""

    daemon_threads = True
    request_queue_size = MOST_REQUESTS

    def __init__(self, port: int) -> None:
        self._room = threading.BoundedSemaphore(MOST_REQUESTS)
        self._lock = threading.Lock()
        self._reading: dict[socket.socket, float] = {}
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Listen; no resolver is asked what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()

    @contextmanager
    def reading(self, connection: socket.socket) -> Iterator[None]:
        """Have a connection cut that does not bring its request in time."""
        with self._lock:
            self._reading[connection] = time.monotonic() + REQUEST_S
        try:
            yield
        finally:
            with self._lock:
                self._reading.pop(connection, None)

    def service_actions(self) -> None:
        """Cut who is too slow: a byte now and then would hold a thread for ever."""
        now = time.monotonic()
        with self._lock:
            late = [one for one, ends in self._reading.items() if ends < now]
        for connection in late:
            with suppress(OSError):  # it has gone by itself
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is room for one more."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):  # it does not wait for an answer
            request.sendall(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its signature
        """Say what went wrong, unless it is that somebody hung up."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a request of %s was not answered", client_address)
