"""Who may connect: answers libzmq's question about each key (ZAP, RFC 27).

A CURVE server without such a handler lets in every client that knows its public key.
It is bound before the socket that it guards, and that socket demands it
(``ZAP_ENFORCE_DOMAIN``): where the handler is gone, nobody gets in. The name that
belongs to a key travels with every message of that connection as ``User-Id``; the
peer has no say in it.

RFC 27, ZeroMQ Authentication Protocol; RFC 26, CurveZMQ.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from scopeside.security import crowd
from scopeside.security.crowd import Crowd

DOMAIN = b"scopeside"
_ZAP = "inproc://zeromq.zap.01"
_POLL_MS = 50
_QUIET_S = 60.0
_MOST_SAID = 200
_TCP = (socket.AF_INET, socket.AF_INET6)
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_LINKS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_WORDS = {
    "unknown_key": "with a key that {where} does not name",
    "forged_key": "with a key that was not its own, or for another server",
    "no_key": "without a key",
    "handshake": "and did not speak the protocol to its end",
    "crowd": "when there was no room: {one} links of one address, {all} of all, "
    "{new} new ones a second",
}


class Verdict(NamedTuple):
    """What ZAP is answered with."""

    allowed: bool
    name: str = ""
    cause: str = ""


def judge(parts: list[bytes], name_of: Callable[[str], str | None]) -> Verdict:
    """Return whether a ZAP request is of a known key.

    Parameters
    ----------
    parts
        version, request id, domain, address, identity, mechanism, credentials.
    name_of
        Whose a public key is (Z85); None: nobody's.
    """
    if len(parts) != 7 or parts[0] != b"1.0" or parts[2] != DOMAIN:
        return Verdict(False, cause="handshake")
    if parts[5] != b"CURVE" or len(parts[6]) != 32:
        return Verdict(False, cause="no_key")
    name = name_of(z85.encode(parts[6]).decode("ascii"))
    if name is None:
        return Verdict(False, cause="unknown_key")
    return Verdict(True, name)


class Gate:
    """A thread that answers for the keys and counts who was turned away.

    It also keeps the number of links bounded: one too many is cut at once. Who is in
    stays in, so that a known program is heard through a flood of others; and a flood
    from one address keeps no other out.

    `counts` and `links` have one writer, the thread; whoever reads them takes a copy.

    Parameters
    ----------
    what
        That is guarded, in one word: door, results, frames, samples.
    where
        The programs are named, in words for whom is turned away.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        name_of: Callable[[str], str | None],
        *,
        what: str = "door",
        where: str = "[control.door]",
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.links: frozenset[int] = frozenset()
        self._name_of = name_of
        self._what = what
        self._where = where
        self._endpoint = ""
        self._port = -1
        self._crowd = Crowd()
        self._said: SimpleQueue[str] = SimpleQueue()
        self._said_at: dict[tuple[str, str], float] = {}
        self._ends = threading.Event()
        self._monitor: Any = None
        self._zap = context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP)
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    def watch(self, guarded: zmq.Socket[bytes]) -> None:
        """Begin; also count the handshakes that fail before a key."""
        self._monitor = guarded.get_monitor_socket(_FAILED | _LINKS)
        self._thread.start()

    def stands_at(self, endpoint: str) -> None:
        """Say which of the socket's addresses it is that links are counted of."""
        self._port = int(endpoint.rpartition(":")[2])
        self._endpoint = endpoint

    def cut(self, link: int) -> None:
        """End a link, given its file descriptor; its program may come again."""
        with suppress(OSError), _copy_of(link) as found:  # it may have gone by itself
            # The number may be another file's by now: never cut but at our port.
            if found.family in _TCP and found.getsockname()[1] == self._port:
                found.shutdown(socket.SHUT_RDWR)

    def say(self, text: str) -> None:
        """Put something among what is `told`."""
        if self._said.qsize() < _MOST_SAID:
            self._said.put(f"{self._what}: {text}")

    def told(self) -> list[str]:
        """Return what is worth telling since the last call, in words."""
        found = []
        while True:
            try:
                found.append(self._said.get_nowait())
            except Empty:
                return found

    def close(self) -> None:
        """Answer no more: nobody gets in."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()
        self._zap.close(linger=0)
        if self._monitor is not None:
            self._monitor.close(linger=0)

    # ---------------------------------------------------------------------------

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._zap, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while not self._ends.is_set():
            ready = dict(poller.poll(_POLL_MS))
            if self._zap in ready:
                self._answer(self._zap.recv_multipart())
            if self._monitor in ready:
                self._note(recv_monitor_message(self._monitor))

    def _answer(self, parts: list[bytes]) -> None:
        found = judge(parts, self._name_of)
        request = parts[1] if len(parts) > 1 else b""
        status, text = (b"200", b"OK") if found.allowed else (b"400", b"no access")
        self._zap.send_multipart(
            [b"1.0", request, status, text, found.name.encode(), b""]
        )
        if not found.allowed:
            address = parts[3] if len(parts) > 3 else b""
            self._count(found.cause, address.decode(errors="replace")[:60])

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["event"] & _LINKS:
            self._count_link(event)
            return
        match event["value"]:
            case zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
                self._count("no_key")
            case (
                zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC
                | zmq.PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE
            ):
                self._count("forged_key")
            case _:
                self._count("handshake")

    def _count_link(self, event: Mapping[str, Any]) -> None:
        link = int(event["value"])  # its file descriptor
        if event["event"] == zmq.EVENT_DISCONNECTED:
            self._crowd.leave(link)
        elif event["endpoint"].decode(errors="replace") == self._endpoint:
            address = self._address_of(link)
            if not self._crowd.enter(link, address, time.monotonic()):
                self._count("crowd", address)
                self.cut(link)
        self.links = frozenset(self._crowd.links)

    def _address_of(self, link: int) -> str:
        """Return where a link comes from; empty if it has gone already."""
        with suppress(OSError), _copy_of(link) as found:
            if found.family in _TCP:
                return str(found.getpeername()[0])
        return ""

    def _count(self, cause: str, address: str = "") -> None:
        self.counts[cause] += 1
        # One that is turned away tries again ten times a second.
        now, key = time.monotonic(), (cause, address)
        if now - self._said_at.get(key, -_QUIET_S) >= _QUIET_S:
            if len(self._said_at) > 1024:
                self._said_at.clear()
            self._said_at[key] = now
            who = f"a program at {address}" if address else "a program"
            words = _WORDS[cause].format(
                where=self._where,
                one=crowd.MOST_OF_ONE,
                all=crowd.MOST_LINKS,
                new=crowd.MOST_NEW_PER_S,
            )
            self.say(f"{who} came {words}; it was not let in")


def _copy_of(link: int) -> socket.socket:
    """Return a socket of our own to a link that libzmq has; close it.

    Raises
    ------
    OSError
        If it has gone, or is no socket.
    """
    copy = os.dup(link)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
