"""Tells the recorder which events there are: all of them, whenever that changes."""

from __future__ import annotations

import time
from collections.abc import Mapping

import zmq

from scopeside.collect.events_told import EventsTold
from scopeside.link import Link
from scopeside.wire import Kind, encode

EVERY_S = 0.1
"""So often at most."""
AGAIN_S = 1.0
"""So often all of it is said again: a message that left for a recorder which was just
dying is lost, and nobody tells."""
HIGH_WATER = 16
"""Messages that may wait for a recorder that is slow, or being restarted."""


class RecorderLink:
    """The collector's side; a message that cannot leave is sent anew later.

    Parameters
    ----------
    told
        By acquisition; looked at whenever something is due.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        identity: str,
        told: Mapping[str, EventsTold],
    ) -> None:
        self._told = told
        self._said: dict[str, int] = {}
        self._spoke = 0.0
        self._link = Link(context, zmq.DEALER)
        self._link.socket.sndhwm = HIGH_WATER
        self._link.socket.identity = f"events:{identity}".encode()
        self._link.socket.connect(endpoint)

    def wait_ms(self, otherwise: int) -> int:
        """Return for how long there is nothing to say, at most `otherwise`."""
        if not self._news():
            return otherwise
        left_s = self._spoke + EVERY_S - time.monotonic()
        return min(otherwise, max(0, int(1000 * left_s) + 1))

    def say(self, *, now: bool = False) -> None:
        """Say what has changed, if it is time or must be `now`."""
        at = time.monotonic()
        if not now and at - self._spoke < EVERY_S:
            return
        if at - self._spoke > AGAIN_S:
            self._said.clear()
        for name in self._news():
            self._spoke = at
            told = self._told[name]
            try:
                self._link.socket.send_multipart(
                    list(encode(Kind.EVENTS, told.to_header())), zmq.DONTWAIT
                )
            except zmq.Again:
                return  # it is still news
            self._said[name] = told.changed
        self._said = {k: n for k, n in self._said.items() if k in self._told}

    def repeat(self) -> None:
        """Say all of it again: the recorder was restarted."""
        self._said.clear()
        self.say(now=True)

    def end(self) -> None:
        """Close, after what was said has left."""
        self.say(now=True)
        self._link.flush_and_close()

    def _news(self) -> list[str]:
        """Return the acquisitions of which something has not been said yet."""
        return [
            name
            for name, told in self._told.items()
            if told.changed != self._said.get(name, -1)
        ]
