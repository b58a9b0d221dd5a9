"""The data connection: bytes into the stream's buffer."""

from __future__ import annotations

import selectors
import socket
import time
from types import TracebackType
from typing import Self

from scopeside.errors import SourceError
from scopeside_adapters.merlin.protocol import Stream

_FAST = 1 << 17  # bytes in one read that show that more are on their way
_TOGETHER = 1 << 20  # bytes that are then worth waking up for
_SHORT_S = 0.001


class Link:
    """Reads what a Merlin sends, in large portions while it sends fast.

    Parameters
    ----------
    host, port
        Where the detector listens.
    largest
        Bytes of the largest message that is taken.

    Attributes
    ----------
    stream
        What has come.
    closed
        Why nothing more will come; empty while it may.
    quiet_s
        For how long nothing has come, as far as it was waited for.

    Raises
    ------
    SourceError
        If there is no connection.
    """

    def __init__(self, host: str, port: int, largest: int, timeout_s: float) -> None:
        self.name = f"Merlin at {host}:{port}"
        self.stream = Stream(largest)
        self.closed = ""
        self.quiet_s = 0.0
        self._fast = False
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise SourceError(
                f"{self.name} cannot be reached: {error}; is the Merlin software "
                "started, and are host and port right?"
            ) from error
        # The receive buffer is left to the kernel, which lets it grow beyond what may
        # be asked for.
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()
        self._socket.close()

    def receive(self, wait_s: float) -> bool:
        """Wait for bytes and put them into the stream; tell whether there were any."""
        if self.closed:
            return False
        began = time.monotonic()
        try:
            came = self._read() or (self._wait(wait_s) and self._read())
        except OSError as error:
            self.closed = f"the connection broke: {error.strerror or error}"
            return False
        if came:
            self.quiet_s = 0.0
        else:
            self.quiet_s += time.monotonic() - began
        return came

    def _wait(self, wait_s: float) -> bool:
        """Wait for more; while it comes fast, for much of it, but for 1 ms only."""
        if self._fast:
            if self._selector.select(min(wait_s, _SHORT_S)):
                return True
            self._wake_at(1)
            if wait_s <= _SHORT_S:
                return True
            wait_s -= _SHORT_S
        return bool(self._selector.select(max(wait_s, 0.0)))

    def _read(self) -> bool:
        room = self.stream.room()
        try:
            n = self._socket.recv_into(room)
        except BlockingIOError:
            return False
        finally:
            room.release()
        if n == 0:
            self.closed = "it hung up"
            return False
        self.stream.filled(n)
        if n >= _FAST and not self._fast:
            self._wake_at(_TOGETHER)
        return True

    def _wake_at(self, size: int) -> None:
        """Let a wait end only when so many bytes are here."""
        self._fast = size > 1
        if hasattr(socket, "SO_RCVLOWAT"):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
