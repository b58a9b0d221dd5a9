"""The door: a socket with keys where other programs may ask something of the guard.

It knows who speaks by the key of the connection, lets through what the roles of that
key allow, and answers the rest itself. What it lets through is judged by the guard
like everything else. The protocol is in docs/door.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import zmq

from scopeside import wire
from scopeside.control.door_client import Known
from scopeside.control.door_programs import Programs
from scopeside.control.door_settings import DoorSettings
from scopeside.control.permission import admitted, caller, ident
from scopeside.errors import ConfigError, ProtocolError, RefusedError
from scopeside.security.entrance import Entrance
from scopeside.security.keys import read_secret
from scopeside.wire import Kind, Message

_TURN = 64
"""Messages that are put aside in one call, so that the guard's own work goes on."""
_QUEUED = 64
"""Messages of one connection that wait, in and out."""
_SMALL_ASK = 1024
_OVERHEAD = 128
"""Of CURVE, and of the envelope, bytes."""


class _Refusal(NamedTuple):
    """Why a message is not passed on."""

    cause: str
    reason: str = ""
    id: str = ""
    kind: Kind = Kind.ANSWER


class Heard(NamedTuple):
    """A message that its sender may send.

    Attributes
    ----------
    client
        ``door:NAME``, from the key; what `Door.answer` wants.
    """

    client: str
    roles: frozenset[str]
    message: Message


class Door:
    """Poll `socket`; then call `receive` until it gives None. Used by one thread.

    Attributes
    ----------
    socket
        The ROUTER, bound; its keys are in force.
    endpoint
        Where, with the port that was given.
    """

    def __init__(
        self, settings: DoorSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open it.

        Raises
        ------
        ConfigError
            If the secret key cannot be used or nobody can listen at that address.
        """
        pair = read_secret(settings.own_key)
        self._clock = clock
        self._programs = Programs(settings)
        self._refused: Counter[str] = Counter()
        # Of its own: the handler of keys is one for all sockets of a context.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        _bound(self.socket, settings)
        self._entrance = Entrance(
            self.socket,
            pair.secret,
            self._programs,
            what="door",
            where="[control.door]",
        )
        try:
            self._entrance.bind(settings.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(
                f"control.door.endpoint: nobody can listen at {settings.endpoint}: "
                f"{error.strerror}"
            ) from error
        self.endpoint = self._entrance.endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self) -> Heard | None:
        """Return the next message that may be; refuse and count the others.

        None: there is none, or many were put aside and it is somebody else's turn;
        `socket` then still has something to read.
        """
        self._entrance.mind()
        for _ in range(_TURN):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            heard = self._take(frames)
            if heard is not None:
                return heard
        return None

    def answer(self, client: str, kind: Kind, header: Mapping[str, Any]) -> bool:
        """Send to where the message with that ``id`` came from; False if it is gone."""
        known = self._programs.get(client.removeprefix("door:"))
        if known is None:
            return False
        route = known.routes.get(str(header.get("id", "")), known.route)
        return self._send(route, kind, header)

    def told(self) -> list[str]:
        """Return what the operator should know since the last call, in words."""
        return self._entrance.told()

    def status(self) -> dict[str, Any]:
        """Return where it is, who spoke, and what was refused, as plain values."""
        return {
            "endpoint": self.endpoint,
            "clients": self._programs.status(),
            "refused": dict(self._entrance.counts + self._refused),
        }

    def close(self) -> None:
        """Close at once."""
        self._entrance.close()
        self.socket.close(linger=0)
        self._context.destroy(linger=0)

    # ---------------------------------------------------------------------------

    def _take(self, frames: Sequence[zmq.Frame]) -> Heard | None:
        route = frames[0].bytes
        known = self._sender(frames)
        if known is None:
            self._refused["no_name"] += 1
            return None
        known.heard += 1
        try:
            return self._passed(known, route, frames)
        except ProtocolError as error:
            self._refuse(known, route, _Refusal(error.cause, str(error)))
        return None

    def _passed(
        self, known: Known, route: bytes, frames: Sequence[zmq.Frame]
    ) -> Heard | None:
        """Return the message if it may pass; otherwise its sender is told."""
        if len(route) != 5 or route[:1] != b"\0":
            # A name that a program gives to its socket could be another's.
            raise ProtocolError("a socket here has no name", cause="socket_name")
        now = self._clock()
        if not known.may_speak(_is_small_ask(frames), now):
            self._flooded(known, route, now)
            return None
        message = wire.decode([frame.bytes for frame in frames[1:]])
        if message.payload:
            raise ProtocolError("a message here has two parts", cause="oversized")
        known.remember(ident(message.header), route)
        try:
            header = admitted(message, known.name, known.roles)
        except RefusedError as error:
            kind = Kind.DECIDED if message.kind is Kind.PROPOSAL else Kind.ANSWER
            refusal = _Refusal(error.cause, str(error), ident(message.header), kind)
            self._refuse(known, route, refusal)
            return None
        return Heard(caller(known.name), known.roles, message._replace(header=header))

    def _sender(self, frames: Sequence[zmq.Frame]) -> Known | None:
        """Return who it is by the key of the connection, None if withdrawn since."""
        return self._programs.get(self._entrance.sender(frames[-1]) or "")

    def _flooded(self, known: Known, route: bytes, now: float) -> None:
        """Count it; to answer each would do the flood's work."""
        reason = f"more messages than {known.name} may send each second"
        if known.is_due(now):
            self._refuse(known, route, _Refusal("flood", reason))
        else:
            known.refused["flood"] += 1
            self._refused["flood"] += 1

    def _refuse(self, known: Known, route: bytes, refusal: _Refusal) -> None:
        known.refused[refusal.cause] += 1
        self._refused[refusal.cause] += 1
        said: dict[str, Any] = {
            "id": refusal.id,
            "state": "refused",
            "cause": refusal.cause,
            "reason": refusal.reason,
        }
        if refusal.kind is Kind.ANSWER:
            said["ok"] = False
        self._send(route, refusal.kind, said)

    def _send(self, route: bytes, kind: Kind, header: Mapping[str, Any]) -> bool:
        try:
            self.socket.send_multipart(
                [route, *wire.encode(kind, header)], zmq.NOBLOCK, copy=True
            )
        except zmq.ZMQError:  # it has gone, or does not read what it is told
            self._refused["unheard"] += 1
            return False
        return True


def _bound(socket: zmq.Socket[bytes], settings: DoorSettings) -> None:
    """Set bounds, before anything is bound."""
    socket.linger = 0
    socket.maxmsgsize = settings.max_message_bytes + _OVERHEAD
    socket.rcvhwm = socket.sndhwm = _QUEUED
    socket.router_mandatory = 1  # an answer that nobody hears is counted


def _is_small_ask(frames: Sequence[zmq.Frame]) -> bool:
    if len(frames) != 3 or len(frames[1]) != 4 or len(frames[2]) > _SMALL_ASK:
        return False
    return frames[1].bytes[3] == Kind.ASK
