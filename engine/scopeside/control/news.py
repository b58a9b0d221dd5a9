"""What the threads of the guard's process tell each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from scopeside.control.instrument import Readback


@dataclass(frozen=True, slots=True)
class Read:
    """The instrument was asked what it is set to."""

    readback: Readback


@dataclass(frozen=True, slots=True)
class Lost:
    """The instrument does not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A `Send` is over; `readback` is None if nothing could be read afterwards."""

    id: str
    ok: bool
    answer: Mapping[str, Any]
    reason: str
    readback: Readback | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """Hold number `number` was asked for, past the main loop; it holds already.

    Attributes
    ----------
    ask
        ``hold``, or ``blank``: the beam is being blanked as well.
    """

    number: int
    ask: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Blanked:
    """What became of requests to blank, up to number `number`.

    Attributes
    ----------
    last
        Whether it is over; otherwise it has failed and is tried again.
    """

    number: int
    ok: bool
    reason: str
    last: bool


@dataclass(frozen=True, slots=True)
class Orphaned:
    """The supervisor is gone."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """The system asks the process to end."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A thread of ours has ended by an error of our own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the operator should know."""

    text: str


News = (
    Read | Lost | Answered | Stopped | Blanked | Orphaned | Terminated | Failed | Note
)


class Post:
    """A queue to one thread, with a descriptor that wakes its poller."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[News] = SimpleQueue()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, news: News) -> None:
        """Tell something; any thread may."""
        self._queue.put(news)
        os.eventfd_write(self.fd, 1)

    def take(self) -> list[News]:
        """Return what was told since the last call, in order."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return []
        found: list[News] = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except Empty:
                return found

    def close(self) -> None:
        """Give the descriptor back; nobody may tell anything any more."""
        os.close(self.fd)
