"""ZeroMQ sockets, all opened in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import zmq

from scopeside.wire import Buffer, Kind, Message, decode_own, encode


class Link:
    """A socket that speaks our envelope; DEALER by default, closed without waiting.

    High-water marks are off: between processes of one engine it is credit that
    bounds what is under way, and a socket that blocked or dropped would break the
    account.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int) -> None:
        self.socket = context.socket(kind)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        self.socket.rcvhwm = 0

    @classmethod
    def dial(
        cls, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, identity: str
    ) -> Link:
        """Connect to `endpoint`, known there as `identity`."""
        link = cls(context, zmq.DEALER)
        link.socket.identity = identity.encode()
        link.socket.connect(endpoint)
        return link

    @classmethod
    def listen(cls, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> Link:
        """Bind a ROUTER: it hears many and answers each by identity."""
        link = cls(context, zmq.ROUTER)
        # A peer that comes back under its name takes the name over.
        link.socket.router_handover = 1
        link.socket.bind(endpoint)
        return link

    def send(
        self,
        kind: Kind,
        header: Mapping[str, Any],
        payload: Sequence[Buffer] = (),
        *,
        to: bytes | None = None,
    ) -> None:
        """Send a message, to one peer if this is a ROUTER."""
        self.forward(encode(kind, header, payload), to=to)

    def forward(self, parts: Sequence[Buffer], *, to: bytes | None = None) -> None:
        """Send a message that has been encoded already."""
        self.socket.send_multipart(
            list(parts) if to is None else [to, *parts], copy=True
        )

    def receive(self) -> Message | None:
        """Return the next message that is here, None if there is none."""
        try:
            return decode_own(self.socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return None

    def receive_from(self) -> tuple[bytes, Message] | None:
        """Return sender and message, None if there is none (ROUTER)."""
        try:
            sender, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return sender, decode_own(parts)

    def close(self) -> None:
        """Close at once; what was not sent yet is not sent."""
        self.socket.close(linger=0)

    def flush_and_close(self, milliseconds: int = 1000) -> None:
        """Close after giving what was sent a moment to leave."""
        self.socket.close(linger=milliseconds)
