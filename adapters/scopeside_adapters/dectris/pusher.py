"""The sending end of a stream: a PUSH socket that is fed when images are due."""

from __future__ import annotations

import time
from collections.abc import Callable

import zmq
from zmq.utils.monitor import recv_monitor_message

from scopeside_adapters.dectris.parcel import Parcel
from scopeside_adapters.dectris.transfer import send_from

_POLL_MS = 20
_AT_ONCE = 256


class Pace:
    """Says how many images are due by now; all, without a rate."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._began = time.monotonic()
        self._sent = 0

    def due(self, at_most: int) -> int:
        """Return how many of `at_most` may be sent now, waiting a bit for one."""
        if self._fps is None:
            return at_most
        passed = time.monotonic() - self._began
        due = min(int(passed * self._fps) + 1 - self._sent, at_most)
        if due <= 0:
            time.sleep(min(1 / self._fps, 0.02))
        return max(due, 0)

    def count(self, sent: int) -> None:
        """Take note of images that were sent."""
        self._sent += sent


class Pusher:
    """Sends messages to whoever is connected, waiting for room."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.port = port
        self._open()

    def _open(self) -> None:
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.sndhwm = 4096
        self._socket.linger = 0
        self._links = 0
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self._socket.bind(f"tcp://{self._host}:{self.port}")
        bound = self._socket.get(zmq.LAST_ENDPOINT)
        self.port = int(bytes(bound).rstrip(b"\0").rpartition(b":")[2])

    def push(
        self,
        parcel: Parcel,
        first: int,
        last: int,
        stop: Callable[[], bool],
        pace: Pace | None = None,
    ) -> int:
        """Send messages `first` to `last` (exclusive); return how many were sent.

        They are fewer when `stop` says so.
        """
        begin = first
        while first < last and not stop():
            n = min(last - first, _AT_ONCE)
            n = n if pace is None else pace.due(n)
            sent = send_from(parcel, self._socket, first, first + n) - first
            first += sent
            if pace is not None:
                pace.count(sent)
            if sent < n:
                self._socket.poll(_POLL_MS, zmq.POLLOUT)
        return first - begin

    @property
    def is_connected(self) -> bool:
        """Whether somebody would take what is sent."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self._links += 1 if event == zmq.EVENT_HANDSHAKE_SUCCEEDED else -1
        return self._links > 0

    def reset(self) -> None:
        """Break the links without a farewell, and listen at the same port again."""
        self._close_socket()
        while True:
            try:
                self._open()
                return
            except zmq.ZMQError:  # ZeroMQ gives the port back a moment later
                self._close_socket()
                time.sleep(0.01)

    def _close_socket(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def close(self) -> None:
        """Stop listening; what was not taken is lost."""
        self._close_socket()
        self._context.destroy(linger=0)
