"""A Merlin that sends at a steady rate and notes when it sent each frame.

    python bench/against/paced.py '{"stream": {…}, "fps": 2000, "save": "sent.npy"}'

It knows as much of the protocol as a client needs to start an acquisition. After each
it saves the times, (frames,) int64, ns of the monotonic clock that all processes of
the machine share.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.against import streams  # noqa: E402 - found by the line above

_REQUEST = re.compile(rb"MPX,(\d{10}),")


class PacedMerlin:
    """Serves one data client at a time."""

    def __init__(self, stream: streams.Stream, fps: float, save: str) -> None:
        self._stream = stream
        self._fps = fps
        self._save = save
        self._started, self._triggered = threading.Event(), threading.Event()
        self._values = {
            "IMAGEX": str(stream.size),
            "IMAGEY": str(stream.size),
            "COUNTERDEPTH": {1: "6", 2: "12"}[np.dtype(stream.dtype).itemsize],
            "NUMFRAMESTOACQUIRE": str(stream.frames),
            "NUMFRAMESPERTRIGGER": str(stream.scan[1]),
            "DETECTORSTATUS": "0",
            "SOFTWAREVERSION": "1.6.1.217",
        }
        self._payloads = [frame.tobytes() for frame in streams.merlin_pixels(stream)]

    def serve(self) -> None:
        """Say where it listens, and serve until it is ended."""
        control = socket.create_server(("127.0.0.1", 0))
        data = socket.create_server(("127.0.0.1", 0))
        ports = {"data": data.getsockname()[1], "control": control.getsockname()[1]}
        print("listening " + json.dumps(ports), flush=True)
        threading.Thread(target=self._control, args=(control,), daemon=True).start()
        while True:
            connection, _ = data.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    self._send_to(connection)
                except OSError:
                    continue  # the client has gone

    def _send_to(self, connection: socket.socket) -> None:
        connection.settimeout(0.05)
        while True:
            while not self._started.wait(0.05):
                _see_whether_it_is_there(connection)
            self._started.clear()
            connection.settimeout(30)
            connection.sendall(_message(streams.merlin_header(self._stream)))
            if not self._triggered.wait(10):
                return
            self._triggered.clear()
            self._send_frames(connection)
            connection.settimeout(0.05)

    def _send_frames(self, connection: socket.socket) -> None:
        stream = self._stream
        sent = np.zeros(stream.frames, np.int64)
        begin = time.monotonic_ns()
        for k in range(stream.frames):
            payload = self._payloads[k % streams.LIBRARY]
            header = streams.merlin_frame_header(stream, k + 1)
            start = b"MPX,%010d," % (len(header) + len(payload) + 1) + header
            late = time.monotonic_ns() - begin - int(k * 1e9 / self._fps)
            if late < 0:
                time.sleep(-late * 1e-9)
            sent[k] = time.monotonic_ns()
            connection.sendall(start + payload)
            if k == 0:
                print("began", flush=True)
        np.save(self._save, sent)
        print(f"sent {stream.frames}", flush=True)

    def _control(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        received = b""
        with connection:
            while True:
                try:
                    data = connection.recv(4096)
                except OSError:
                    return
                if not data:
                    return
                received += data
                while found := _REQUEST.match(received):
                    end = 15 + int(found[1]) - 1
                    if len(received) < end:
                        break
                    request = received[15:end].decode("ascii", "replace")
                    received = received[end:]
                    connection.sendall(_message(self._reply(request).encode("ascii")))

    def _reply(self, request: str) -> str:
        kind, name, *rest = request.strip("\0").split(",")
        if kind == "GET":
            return f"GET,{name},{self._values.get(name, '0')},0"
        if kind == "SET":
            self._values[name] = rest[0] if rest else ""
        elif name == "STARTACQUISITION":
            self._triggered.clear()
            self._started.set()
        elif name == "SOFTTRIGGER":
            self._triggered.set()
        return f"{kind},{name},0"


def _message(payload: bytes) -> bytes:
    return b"MPX,%010d," % (len(payload) + 1) + payload


def _see_whether_it_is_there(connection: socket.socket) -> None:
    """Raise OSError if the client has gone; it never says anything."""
    try:
        connection.setblocking(False)
        if not connection.recv(1):
            raise ConnectionResetError
    except BlockingIOError:
        pass


def main() -> None:
    """Serve."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    fields = {**asked["stream"], "scan": tuple(asked["stream"]["scan"])}
    PacedMerlin(streams.Stream(**fields), asked["fps"], asked["save"]).serve()


if __name__ == "__main__":
    main()
