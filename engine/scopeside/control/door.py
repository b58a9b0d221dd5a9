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
from scopeside.control.door_settings import DoorSettings
from scopeside.control.gate import DOMAIN, Gate
from scopeside.control.keys import read_secret
from scopeside.control.permission import admitted, caller, ident
from scopeside.errors import ConfigError, ProtocolError, RefusedError
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
        pair = read_secret(settings.key)
        self._clock = clock
        self._known = {
            client.name: Known(client, settings.per_s) for client in settings.clients
        }
        self._refused: Counter[str] = Counter()
        # Of its own: the handler of keys is one for all sockets of a context.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gate = Gate(self._context, {c.key: c.name for c in settings.clients})
        self.socket = self._context.socket(zmq.ROUTER)
        try:
            _guard(self.socket, pair.secret, settings)
            self._gate.watch(self.socket)
            self.socket.bind(settings.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(
                f"control.door.endpoint: nobody can listen at {settings.endpoint}: "
                f"{error.strerror}"
            ) from error
        bound = self.socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        self.endpoint = bound.decode().rstrip("\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self) -> Heard | None:
        """Return the next message that may be; refuse and count the others.

        None: there is none, or many were put aside and it is somebody else's turn;
        `socket` then still has something to read.
        """
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
        known = self._known.get(client.removeprefix("door:"))
        if known is None:
            return False
        route = known.routes.get(str(header.get("id", "")), known.route)
        return self._send(route, kind, header)

    def told(self) -> list[str]:
        """Return what the operator should know since the last call, in words."""
        return self._gate.told()

    def status(self) -> dict[str, Any]:
        """Return where it is, who spoke, and what was refused, as plain values."""
        clients = {
            known.name: {
                "roles": sorted(known.roles),
                "heard": known.heard,
                "refused": dict(known.refused),
            }
            for known in self._known.values()
        }
        refused = Counter(self._gate.counts.copy()) + self._refused
        return {
            "endpoint": self.endpoint,
            "clients": clients,
            "refused": dict(refused),
        }

    def close(self) -> None:
        """Close at once."""
        self.socket.disable_monitor()  # first: it would wait for one who listens
        self.socket.close(linger=0)
        self._gate.close()
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
        """Return whose key the connection has: libzmq says so, not the message."""
        try:
            name = frames[-1].get("User-Id")
        except zmq.ZMQError:
            return None
        return self._known.get(str(name))

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


def _guard(socket: zmq.Socket[bytes], secret: str, settings: DoorSettings) -> None:
    """Set keys and bounds, all before anything is bound."""
    socket.linger = 0
    socket.curve_server = True
    socket.curve_secretkey = secret.encode()
    socket.zap_domain = DOMAIN
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.setsockopt(zmq.IPV6, "[" in settings.endpoint)
    socket.maxmsgsize = settings.max_message_bytes + _OVERHEAD
    socket.rcvhwm = socket.sndhwm = _QUEUED
    socket.router_mandatory = 1  # an answer that nobody hears is counted
    socket.handshake_ivl = 5000
    socket.heartbeat_ivl = 5000
    socket.heartbeat_timeout = 15_000


def _is_small_ask(frames: Sequence[zmq.Frame]) -> bool:
    if len(frames) != 3 or len(frames[1]) != 4 or len(frames[2]) > _SMALL_ASK:
        return False
    return frames[1].bytes[3] == Kind.ASK
