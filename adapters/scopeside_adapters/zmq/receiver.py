"""The socket that takes messages in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import zmq
from zmq.utils.monitor import recv_monitor_message

from scopeside.errors import ConfigError, SourceError
from scopeside.security.entrance import Entrance
from scopeside_adapters.endpoint import entrance, problem_with


class Receiver:
    """A PULL socket; what is larger than it may be is refused before it is stored.

    ZeroMQ refuses such a part by closing the link, and the producer's ZeroMQ connects
    again: all that can be seen here is that a link was closed.

    Attributes
    ----------
    endpoint
        Where it listens, with the port.
    refused
        Messages of links whose key has been withdrawn since; they are not given out.
    """

    def __init__(
        self, bind: str, *, rcvhwm: int, largest_part: int, keys: Path | None = None
    ) -> None:
        """Listen; with `keys`, only to programs of that folder that may ingest.

        Raises
        ------
        SourceError
            If nobody can listen there.
        ConfigError
            If the key folder cannot be used.
        """
        self.refused = 0
        self._entrance: Entrance | None = None
        if problem := problem_with(bind):
            raise SourceError(_cannot(bind, problem))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.linger = 0
        self._socket.rcvhwm = rcvhwm
        self._socket.setsockopt(zmq.MAXMSGSIZE, largest_part)
        self._socket.setsockopt(zmq.IPV6, "[" in bind)
        self._link: int | None = None  # file descriptor of the last message's
        self._closed: set[int] = set()
        self._monitor: Any = None
        try:
            self._listen(bind, keys)
        except ConfigError:
            self.close()
            raise
        except zmq.ZMQError as error:
            self.close()
            raise SourceError(_cannot(bind, error.strerror or "")) from error
        bound = self._socket.get(zmq.LAST_ENDPOINT)
        self.endpoint = bytes(bound).rstrip(b"\0").decode()

    def _listen(self, bind: str, keys: Path | None) -> None:
        if keys is not None:
            self._entrance = entrance(self._socket, keys, "frames")
            self._entrance.bind(bind)
            return
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
        )
        self._socket.bind(bind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self, wait_ms: int) -> list[memoryview] | None:
        """Return the parts of the next message, not copied; None if none came."""
        if self._entrance is not None:
            self._entrance.mind()
        try:
            if wait_ms and not self._socket.poll(wait_ms):
                return None
            parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        if self._entrance is not None and self._entrance.sender(parts[0]) is None:
            self.refused += 1
            return None
        self._link = int(parts[0].get(zmq.SRCFD))
        return [part.buffer for part in parts]

    def told(self) -> list[str]:
        """Return what the operator should know since the last call, in words."""
        return [] if self._entrance is None else self._entrance.told()

    def link_is_lost(self) -> bool:
        """Whether the link that the last message came by has been closed."""
        if self._entrance is not None:
            return self._link is not None and self._link not in self._entrance.links
        while self._monitor.poll(0):
            said = recv_monitor_message(self._monitor)
            if said["event"] == zmq.EVENT_DISCONNECTED:
                self._closed.add(said["value"])
            else:
                self._closed.discard(said["value"])
        return self._link in self._closed

    def forget_link(self) -> None:
        """Take a lost link as known."""
        self._link = None

    def close(self) -> None:
        """Stop listening; what was not taken yet is lost."""
        self._socket.disable_monitor()
        if self._entrance is not None:
            self._entrance.close()
        if self._monitor is not None:
            self._monitor.close(linger=0)
        self._context.destroy(linger=0)


def _cannot(bind: str, problem: str) -> str:
    return f"cannot take frames at {bind}: {problem}"
