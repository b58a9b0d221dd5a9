"""A TCP address of a socket of ours at which only known keys get in.

The socket may have other addresses, bound before, that are open to this machine:
libzmq takes the options as they are when an address is bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import zmq

from scopeside.security.gate import DOMAIN, MOST_LINKS, MOST_NEW_PER_S, Gate

HANDSHAKE_MS = 5000
"""A link that is not made by then is cut."""
HEARTBEAT_MS = 5000
SILENT_MS = 15_000


class Entrance:
    """Guards one address of `socket`, which must outlive it; close it first.

    Parameters
    ----------
    secret
        The engine's own secret key.
    name_of
        Whose a public key is; None: it gets no connection.
    what, where
        As in `Gate`.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        secret: str,
        name_of: Callable[[str], str | None],
        *,
        what: str,
        where: str,
    ) -> None:
        self.endpoint = ""
        self._socket = socket
        self._open = False
        # First of all: who is asked about the keys; it is demanded below.
        self._gate = Gate(socket.context, name_of, what=what, where=where)
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
        self._open = True

    @property
    def counts(self) -> Counter[str]:
        """Who was turned away, by cause."""
        return Counter(self._gate.counts.copy())

    @property
    def links(self) -> frozenset[int]:
        """File descriptors of the links that there are."""
        return self._gate.links

    def mind(self) -> None:
        """Keep the number of links bounded; call it now and then.

        Who is in stays in: a known program is heard through a flood of others.
        """
        if self._open and self._gate.crowded:
            self._socket.unbind(self.endpoint)
            self._open = False
            self._gate.say(
                f"more than {MOST_LINKS} links, or {MOST_NEW_PER_S} new ones in a "
                f"second, at {self.endpoint}: nobody new is let in until they are "
                "fewer"
            )
        elif not self._open and self.endpoint and not self._gate.crowded:
            try:
                self._socket.bind(self.endpoint)
            except zmq.ZMQError:
                return  # the port is not free yet, or taken: tried again
            self._open = True
            self._gate.say(f"{self.endpoint} is open again")

    def told(self) -> list[str]:
        """Return what the operator should know since the last call, in words."""
        return self._gate.told()

    def close(self) -> None:
        """Let nobody in any more; links that there are stay as long as the socket."""
        self._socket.disable_monitor()  # first: it would wait for one who listens
        self._gate.close()


def sender_of(frame: zmq.Frame) -> str:
    """Return whose key the link of a message has: libzmq says so, not the message."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
