"""Serval's HTTP interface as the simulator plays it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from scopeside.errors import ScopesideError
from scopeside_adapters.timepix3.layout import LAYOUTS
from scopeside_adapters.timepix3.link import host_and_port

_LARGEST_BODY = 1 << 20


class ServalDouble:
    """Answers as Serval, and has `measure` send to the last destination when started.

    Attributes
    ----------
    address
        HOST:PORT of the interface.
    asked
        What was asked for, in order, such as ``GET /dashboard``.
    answers
        Answers to give instead, by what is asked: (status, body).
    dropped
        What the dashboard says the detector has dropped.
    config, destination
        As they were set.
    """

    def __init__(
        self, address: str, measure: Callable[[str], None], layout: str = "single"
    ) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, str]] = {}
        self.dropped = 0
        self.detector: dict[str, str] | None = {"DetectorType": "Tpx3"}
        self.config: dict[str, Any] = {"BiasVoltage": 100, "Tdc": ["P0"]}
        self.destination: dict[str, Any] = {}
        self.running = False
        self._layout = layout
        self._measure = measure
        self._server = ThreadingHTTPServer(host_and_port(address), _handler(self))
        self._server.daemon_threads = True
        host, port = self._server.server_address[:2]
        self.address = f"{host!s}:{port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, verb: str, path: str, body: Any) -> tuple[int, Any]:
        """Return (status, body) of the answer."""
        asked = f"{verb} {path}"
        self.asked.append(asked)
        if asked in self.answers:
            return self.answers[asked]
        match asked:
            case "GET /dashboard":
                return 200, self._dashboard()
            case "GET /detector/layout":
                return 200, self._chips()
            case "GET /detector/config":
                return 200, self.config
            case "PUT /detector/config":
                self.config = body
                return 200, ""
            case "GET /server/destination":
                return 200, self.destination
            case "PUT /server/destination":
                self.destination = body
                return 200, ""
            case "GET /measurement/start":
                return self._start()
            case "GET /measurement/stop":
                return self._stop()
        return 404, f"no such page: {path}"

    def _start(self) -> tuple[int, str]:
        if self.running:
            return 409, "measurement already running"
        channels = [one for kind in ("Raw", "Image") for one in self._channels(kind)]
        if not channels:
            return 409, "no destination is set"
        self.running = True
        address = channels[-1].removeprefix("tcp://connect@")
        threading.Thread(target=self._run, args=(address,), daemon=True).start()
        return 200, "Successfully started measurement."

    def _channels(self, kind: str) -> list[str]:
        bases = [str(one["Base"]) for one in self.destination.get(kind) or []]
        return [base for base in bases if base.startswith("tcp://connect@")]

    def _run(self, address: str) -> None:
        try:
            self._measure(address)
        except ScopesideError:
            pass  # the engine has left, which is its right
        finally:
            self.running = False

    def _stop(self) -> tuple[int, str]:
        self.running = False
        return 200, "Successfully stopped measurement."

    def _dashboard(self) -> dict[str, Any]:
        status = "DA_RECORDING" if self.running else "DA_IDLE"
        return {
            "Server": {"SoftwareVersion": "3.3.0"},
            "Measurement": {"Status": status, "DroppedFrames": self.dropped},
            "Detector": self.detector,
        }

    def _chips(self) -> dict[str, Any]:
        layout = LAYOUTS[self._layout]
        chips = [
            {"Chip": c.number, "X": c.x, "Y": c.y, "Orientation": c.orientation}
            for c in layout.chips
        ]
        height, width = layout.shape
        return {"Original": {"Width": width, "Height": height, "Chips": chips}}


def _handler(double: ServalDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(*double.answer("GET", urlsplit(self.path).path, None))

        def do_PUT(self) -> None:
            size = min(int(self.headers.get("Content-Length", "0")), _LARGEST_BODY)
            body = json.loads(self.rfile.read(size) or b"{}")
            self._reply(*double.answer("PUT", urlsplit(self.path).path, body))

        def log_message(self, *_: object) -> None:
            pass

        def _reply(self, status: int, body: Any) -> None:
            text = body if isinstance(body, str) else json.dumps(body)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
