"""One request, one answer, over ZeroMQ: a connection that never sends a thing twice."""

from __future__ import annotations

import time
from typing import NamedTuple

import zmq

from scopeside.errors import InstrumentError


class Keys(NamedTuple):
    """What a CURVE connection is made with, each 40 letters (Z85)."""

    server: bytes
    public: bytes
    secret: bytes


class Requester:
    """A REQ socket of its own; one that got no answer is thrown away.

    What could not be delivered is dropped with it: a command must not arrive after
    its sender has given up.

    Parameters
    ----------
    endpoint
        Whom to connect to.
    name
        Who it is, in the operator's words.
    largest_answer
        Bytes; a peer that sends more is cut off.
    keys
        For CURVE; None: plaintext.
    """

    def __init__(
        self,
        endpoint: str,
        name: str,
        *,
        largest_answer: int,
        keys: Keys | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._largest_answer = largest_answer
        self._keys = keys
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None

    def open(self) -> None:
        """Begin; whether anybody is there is seen when something is asked."""
        self.close()
        self._context = zmq.Context()

    def close(self) -> None:
        """End; what was not delivered is dropped."""
        if self._context is not None:
            self._context.destroy(linger=0)
        self._context = self._socket = None

    def ask(self, request: bytes, timeout_s: float) -> bytes:
        """Send a request, wait for the answer, and return it.

        Raises
        ------
        InstrumentError
            If the connection is not open, or no answer of one part came in time.
        """
        if self._context is None:
            raise InstrumentError(f"{self._name} is not connected")
        try:
            return self._exchange(request, max(1, round(timeout_s * 1e3)))
        except zmq.ZMQError as error:
            raise InstrumentError(f"{self._name}: {error}") from error

    def _exchange(self, request: bytes, wait_ms: int) -> bytes:
        end = time.monotonic() + wait_ms / 1e3
        socket = self._socket or self._connect()
        # Whatever goes wrong from here on, this socket is not used again.
        self._socket = None
        try:
            if not socket.poll(wait_ms, zmq.POLLOUT):
                raise InstrumentError(
                    f"{self._name} cannot be reached at {self._endpoint}; nothing was "
                    "sent"
                )
            socket.send(request, zmq.NOBLOCK)
            if not socket.poll(max(1, round((end - time.monotonic()) * 1e3))):
                raise InstrumentError(
                    f"{self._name} did not answer within {wait_ms / 1e3:g} s; whether "
                    "it did what was asked is not known"
                )
            parts = socket.recv_multipart()
        except BaseException:
            socket.close(linger=0)
            raise
        if len(parts) != 1:
            socket.close(linger=0)
            raise InstrumentError(
                f"{self._name} answered with {len(parts)} parts; expected one"
            )
        self._socket = socket
        return parts[0]

    def _connect(self) -> zmq.Socket[bytes]:
        assert self._context is not None  # ask() has looked
        socket = self._context.socket(zmq.REQ)
        socket.linger = 0
        # Requests are queued only for a peer that is there.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, self._largest_answer)
        socket.setsockopt(zmq.IPV6, "[" in self._endpoint)
        if self._keys is not None:
            socket.curve_serverkey = self._keys.server
            socket.curve_publickey = self._keys.public
            socket.curve_secretkey = self._keys.secret
        try:
            socket.connect(self._endpoint)
        except zmq.ZMQError:
            socket.close(linger=0)
            raise
        return socket
