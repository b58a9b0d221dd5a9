"""Where the adviser and persons of this machine talk to the guard.

A socket in the run's folder, which is only for the user who runs the engine. What
cannot be read is counted and forgotten; who says to be the adviser shows the token that
only guard and adviser were given.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import zmq

from scopeside.errors import ProtocolError
from scopeside.wire import MAX_HEADER, Kind, Message, decode, encode

MAX_TURN = 64
"""Messages that are looked at before other things have their turn."""
ADVISER = "adviser"
_HIGH_WATER = 1000
_FROM_ADVISER = (Kind.JOIN, Kind.PROPOSAL, Kind.HEARD)
_FROM_PERSONS = (Kind.ASK, Kind.STATUS)
_MAX_TEXT = 200


def listen(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """Bind a ROUTER that strangers cannot fill: messages and their number are bounded.

    Who does not read its answers loses them.
    """
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.maxmsgsize = MAX_HEADER
    socket.rcvhwm = _HIGH_WATER
    socket.sndhwm = _HIGH_WATER
    socket.router_handover = 1
    socket.bind(endpoint)
    return socket


def text_of(value: Any) -> str:
    """Return what a stranger gave as a short line of text; nothing if it is none."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else "?" for c in value[:_MAX_TEXT])


class Desk:
    """Hears and answers; clients are told apart by name.

    Attributes
    ----------
    garbled, forged
        How many messages could not be read, or bore a wrong token.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, token: str
    ) -> None:
        self.socket = listen(context, endpoint)
        self._token = token.encode()
        self._adviser: bytes | None = None
        self.garbled = 0
        self.forged = 0

    def hear(self) -> Iterator[tuple[str, Message]]:
        """Yield client and message, at most `MAX_TURN` of them."""
        for _ in range(MAX_TURN):
            try:
                sender, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode(parts)
            except ProtocolError:
                self.garbled += 1
                continue
            if message.kind in _FROM_PERSONS:
                yield sender.hex(), message
            elif message.kind not in _FROM_ADVISER:
                self.garbled += 1
            elif self._is_genuine(message.header.get("token")):
                if message.kind is Kind.JOIN:
                    self._adviser = sender
                yield ADVISER, message
            else:
                self.forged += 1
                self._refuse(sender, message)

    def tell(self, client: str, kind: Kind, header: Mapping[str, Any]) -> None:
        """Say something to a client; nothing happens if it is gone."""
        identity = self._adviser if client == ADVISER else bytes.fromhex(client)
        if identity is not None:
            self.socket.send_multipart([identity, *encode(kind, header)])

    def close(self) -> None:
        """Let the last answers leave, and close."""
        self.socket.close(linger=200)

    def _is_genuine(self, token: Any) -> bool:
        if not isinstance(token, str) or not self._token:
            return False
        return hmac.compare_digest(token.encode(), self._token)

    def _refuse(self, sender: bytes, message: Message) -> None:
        proposal = message.header.get("proposal")
        name = proposal.get("id") if isinstance(proposal, Mapping) else None
        header = {
            "id": text_of(name),
            "state": "refused",
            "cause": "wrong_token",
            "reason": "only the adviser of this run proposes here",
        }
        self.socket.send_multipart([sender, *encode(Kind.DECIDED, header)])
