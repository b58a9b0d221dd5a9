"""The server of temscript with its null microscope, started by its command line."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from tests.peers.programs import program_of

PATIENCE_S = 60.0
MISSING = "temscript-server is not installed (pip install temscript)"
_ANSWERED = re.compile(r'"([A-Z]+) /v1/(\S+) HTTP/[0-9.]+" (\d+)')


def is_installed() -> bool:
    """Whether `temscript_null` can be had."""
    return program_of("temscript-server") is not None


class TemscriptNull:
    """A server that runs; it may be spoken to behind our adapter's back."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log
        self._http = urllib3.PoolManager(retries=False)

    def puts(self) -> list[tuple[str, int]]:
        """Return what was set, and the status, of all PUTs that were answered."""
        return [
            (what, status) for verb, what, status in self.answered() if verb == "PUT"
        ]

    def answered(self) -> list[tuple[str, str, int]]:
        """Return verb, what was asked for, and status, in the order of the answers."""
        found = _ANSWERED.findall(self._log.read_text(errors="replace"))
        return [(verb, what, int(status)) for verb, what, status in found]

    def begin(self, what: str) -> socket.socket:
        """Ask for what takes time; what is asked later comes after it."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(f"GET /v1/{what} HTTP/1.0\r\n\r\n".encode())
        return connection

    def get(self, what: str) -> Any:
        """Return a value as the server has it."""
        return json.loads(self._ask("GET", what).data)

    def put(self, what: str, value: Any) -> int:
        """Set a value, NaN too, and return the status."""
        return self._ask("PUT", what, body=json.dumps(value).encode()).status

    def close(self) -> None:
        """Close our own connection."""
        self._http.clear()

    def _ask(self, verb: str, what: str, **more: Any) -> urllib3.BaseHTTPResponse:
        url = f"http://127.0.0.1:{self.port}/v1/{what}"
        return self._http.request(verb, url, timeout=PATIENCE_S, **more)


@contextmanager
def temscript_null() -> Iterator[TemscriptNull]:
    """Start a server on 127.0.0.1 and a free port; end it by its process."""
    program = program_of("temscript-server")
    assert program is not None, MISSING
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [program, "--null", "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=stderr
            )
        server = TemscriptNull(port, log)
        try:
            _wait_for(server, process)
            yield server
        finally:
            server.close()
            process.kill()
            process.wait()


def _wait_for(server: TemscriptNull, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            server.get("version")
            return
        except urllib3.exceptions.HTTPError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.02)
