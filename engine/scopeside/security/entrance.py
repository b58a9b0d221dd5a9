"""A TCP address of a socket of ours at which only known keys get in.

The socket may have other addresses, bound before, that are open to this machine:
libzmq takes the options as they are when an address is bound.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Protocol

import zmq

from scopeside.security.gate import DOMAIN, Gate

HANDSHAKE_MS = 5000
"""A link that is not made by then is cut."""
HEARTBEAT_MS = 5000
SILENT_MS = 15_000
MIND_S = 0.25


class Known(Protocol):
    """Who may come in, as it is now: a key folder's, or the door's."""

    def name_of(self, key: str) -> str | None:
        """Return whose key it is; None: it gets no connection. Called by a thread."""

    def knows(self, name: str) -> bool:
        """Whether a program of that name still may."""

    def why_nobody(self) -> str:
        """Return why nobody is known now; empty if that is not so."""


class Entrance:
    """Guards one address of `socket`; close it before the socket.

    Parameters
    ----------
    secret
        The engine's own secret key.
    what, where
        As in `Gate`.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        secret: str,
        known: Known,
        *,
        what: str,
        where: str,
    ) -> None:
        self.endpoint = ""
        self._socket = socket
        self._known = known
        self._names: dict[int, str] = {}
        self._minded = 0.0
        self._problem = ""
        # First of all: who is asked about the keys; it is demanded below.
        self._gate = Gate(socket.context, known.name_of, what=what, where=where)
        socket.curve_server = True
        socket.curve_secretkey = secret.encode()
        socket.zap_domain = DOMAIN
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.handshake_ivl = HANDSHAKE_MS
        socket.heartbeat_ivl = HEARTBEAT_MS
        socket.heartbeat_timeout = SILENT_MS
        self._gate.watch(socket)

    def bind(self, endpoint: str) -> None:
        """Open it; `endpoint` then says with which port.

        Raises
        ------
        zmq.ZMQError
            If nobody can listen there.
        """
        self._socket.setsockopt(zmq.IPV6, "[" in endpoint)
        self._socket.bind(endpoint)
        bound: Any = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        self.endpoint = bound.decode().rstrip("\0")
        self._gate.stands_at(self.endpoint)

    @property
    def counts(self) -> Counter[str]:
        """Who was turned away, by cause."""
        return Counter(self._gate.counts.copy())

    @property
    def links(self) -> frozenset[int]:
        """File descriptors of the links that there are."""
        return self._gate.links

    def sender(self, frame: zmq.Frame) -> str | None:
        """Return whose link a message came by; None if its key is withdrawn since.

        libzmq says whose it is, not the message.
        """
        name = _user_of(frame)
        if name:
            self._names[int(frame.get(zmq.SRCFD))] = name
        return name if name and self._known.knows(name) else None

    def mind(self) -> None:
        """Cut the links of withdrawn keys; call it now and then."""
        now = time.monotonic()
        if now - self._minded < MIND_S:
            return
        self._minded = now
        here = self._gate.links
        self._names = {link: n for link, n in self._names.items() if link in here}
        for link, name in self._names.items():
            if not self._known.knows(name):
                self._gate.say(f"the key of {name} is withdrawn; its link is cut")
                self._gate.cut(link)
        problem, told = self._known.why_nobody(), self._problem
        self._problem = problem
        if problem and problem != told:
            self._gate.say(problem)

    def told(self) -> list[str]:
        """Return what the operator should know since the last call, in words."""
        return self._gate.told()

    def close(self) -> None:
        """Let nobody in any more; links that there are stay as long as the socket."""
        self._socket.disable_monitor()  # first: it would wait for one who listens
        self._gate.close()


def _user_of(frame: zmq.Frame) -> str:
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""  # of an address of this machine, which asks for no key
