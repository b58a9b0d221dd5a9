"""The SIMPLON interface of a simulated detector: keys and commands over HTTP."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_URL = re.compile(
    r"/(detector|stream|filewriter|monitor|system)/api/1\.8\.0/"
    r"(config|status|command)(?:/(.+?))?/?"
)
_ALLOWED = {
    "compression": ["none", "lz4", "bslz4"],
    "trigger_mode": ["ints", "inte", "exts", "exte"],
    "format": ["legacy", "cbor"],
    "header_detail": ["none", "basic", "all"],
    "mode": ["enabled", "disabled"],
}
_READ_ONLY = {"x_pixels_in_detector", "y_pixels_in_detector", "bit_depth_image"}
_TYPES = {bool: "bool", int: "uint", float: "float", str: "string", list: "list"}

Command = Callable[[str, Any], Mapping[str, Any]]


class RefusedError(Exception):
    """A value or command is not allowed now; answered with status 400."""


class Keys:
    """What the modules are set to and what they say of themselves."""

    def __init__(self, values: dict[str, dict[str, Any]]) -> None:
        self.lock = threading.Lock()
        self._values = values

    def get(self, place: str, key: str) -> Any:
        """Return a value, such as ``("detector/config", "nimages")``."""
        with self.lock:
            return self._values[place][key]

    def set(self, place: str, key: str, value: Any) -> None:
        """Change a value."""
        with self.lock:
            self._values[place][key] = value

    def names(self, place: str) -> list[str]:
        """Return the keys there are."""
        with self.lock:
            return sorted(self._values.get(place, {}))

    def all(self, place: str) -> dict[str, Any]:
        """Return a copy of the keys and their values."""
        with self.lock:
            return dict(self._values[place])


class _Server(ThreadingHTTPServer):
    """Forgets no connection, so that its end is the end of all."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        super().__init__(address, handler)
        self._links: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._links.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._links.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for link in list(self._links):
            with contextlib.suppress(OSError):  # its peer was faster
                link.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Be silent: a client that hangs up is no error here."""


class RestServer:
    """Serves `keys`, and gives commands to `command`, until closed.

    Parameters
    ----------
    port
        0: any free one; see `port`.
    """

    def __init__(self, host: str, port: int, keys: Keys, command: Command) -> None:
        # A function in a class would be taken for a method of it.
        bound = {"keys": keys, "command_of": staticmethod(command)}
        handler = type("Handler", (_Handler,), bound)
        self._server = _Server((host, port), handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for its second half
    keys: Keys
    command_of: Command

    def do_GET(self) -> None:
        """Answer with a key."""
        if self.path.rstrip("/") == "/detector/api/version":
            self._answer(200, {"value": "1.8.0", "value_type": "string"})
            return
        place, key = self._place()
        if key == "keys":
            self._answer(200, self.keys.names(place))
        elif key in self.keys.names(place):
            self._answer(200, _described(key, self.keys.get(place, key)))
        else:
            self._answer(404, "unknown parameter")

    def do_PUT(self) -> None:
        """Change a key or take a command."""
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            said = json.loads(raw) if raw else {}
            value = said.get("value") if isinstance(said, dict) else None
            self._put(value)
        except ValueError:
            self._answer(400, "no JSON")
        except RefusedError as error:
            self._answer(400, str(error))

    def _put(self, value: Any) -> None:
        place, key = self._place()
        if place == "detector/command":
            self._answer(200, self.command_of(key, value))
        elif key not in self.keys.names(place):
            self._answer(404, "unknown parameter")
        else:
            _check(key, value, self.keys.get(place, key))
            self.keys.set(place, key, value)
            self._answer(200, [key])

    def _place(self) -> tuple[str, str]:
        found = _URL.fullmatch(self.path)
        return (f"{found[1]}/{found[2]}", found[3] or "") if found else ("", "")

    def _answer(self, status: int, said: Any) -> None:
        text = (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Be silent: the simulator says what is worth saying."""


def _check(key: str, value: Any, present: Any) -> None:
    if key in _READ_ONLY:
        raise RefusedError(f"{key} cannot be written")
    if key in _ALLOWED and value not in _ALLOWED[key]:
        raise RefusedError(f"{value!r} is none of {_ALLOWED[key]}")
    numbers = int | float
    if isinstance(present, numbers) != isinstance(value, numbers):
        raise RefusedError(f"{key} is of the type of {present!r}, not {value!r}")


def _described(key: str, value: Any) -> dict[str, Any]:
    said = {"value": value, "value_type": _TYPES.get(type(value), "string")}
    if key in _ALLOWED:
        said["allowed_values"] = _ALLOWED[key]
    return said
