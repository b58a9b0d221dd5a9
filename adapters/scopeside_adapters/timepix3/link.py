"""Connections with whoever sends: they come to us, or we go to them."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scopeside.detector import Sink, StopRequested
from scopeside.errors import SourceError, SourceLostError

WAIT_S = 0.05
"""How long a stop may go unnoticed."""
_RETRY_S = 0.5
_BUFFER = 8 << 20
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):(\d{1,5})")


def check_address(address: str) -> str:
    """Return `address` if it is ``HOST:PORT``.

    Raises
    ------
    ValueError
        If it is not.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2]) > 65535:
        raise ValueError("it is 'HOST:PORT', such as '127.0.0.1:8085'")
    return address


def host_and_port(address: str) -> tuple[str, int]:
    """Split a checked address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a checked address."""
    host = host_and_port(address)[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def problem_with(address: str) -> str:
    """Return why nobody can listen at a checked address now; empty if one can."""
    try:
        _listener(address).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """Listen at `address`; the port may be 0, for any free one.

    Raises
    ------
    SourceError
        If one cannot listen there.
    """
    try:
        listener = _listener(address)
    except OSError as error:
        raise SourceError(
            f"cannot listen for the detector at {address}: {error.strerror or error}"
        ) from error
    with listener:
        yield listener


def accepted(
    listener: socket.socket,
    sink: Sink,
    allowed: frozenset[str],
    within_s: float | None = None,
) -> tuple[socket.socket, str]:
    """Wait for a connection, and return it with the name of its peer.

    Raises
    ------
    StopRequested
        If the engine is asked to end.
    SourceError
        If nobody connects `within_s`, where that is given.
    """
    began = time.monotonic()
    while True:
        if sink.stopping:
            raise StopRequested
        if within_s is not None and time.monotonic() - began > within_s:
            host, port = listener.getsockname()[:2]
            raise SourceError(
                f"Serval started, but did not connect to {host}:{port} within "
                f"{within_s:g} s: can it reach that address? Set advertise to the one "
                "by which it can, and look for a firewall"
            )
        try:
            connection, peer = listener.accept()
        except TimeoutError:
            continue
        name = f"{peer[0]}:{peer[1]}"
        if allowed and peer[0] not in allowed:
            connection.close()
            sink.reject(
                1,
                "stranger",
                f"{name} connected, who is not in accept_from; it was sent away",
            )
            continue
        return _ready(connection), name


def connected(address: str, sink: Sink) -> socket.socket:
    """Go to `address` until somebody listens there.

    Raises
    ------
    StopRequested
        If the engine is asked to end.
    """
    told = False
    while True:
        if sink.stopping:
            raise StopRequested
        began = time.monotonic()
        try:
            return _ready(socket.create_connection(host_and_port(address), _RETRY_S))
        except OSError as error:
            if not told:
                sink.note(f"nobody answers at {address} yet: {error}; trying again")
                told = True
        while time.monotonic() - began < _RETRY_S and not sink.stopping:
            time.sleep(WAIT_S)


def receive(connection: socket.socket, room: memoryview, name: str) -> int | None:
    """Receive what is there; 0: the peer has hung up; None: nothing came for 50 ms.

    Raises
    ------
    SourceLostError
        If the connection broke.
    """
    try:
        return connection.recv_into(room)
    except TimeoutError:
        return None
    except OSError as error:
        raise SourceLostError(
            f"{name}: the connection broke: {error.strerror or error}"
        ) from error


def fill(connection: socket.socket, room: memoryview, name: str, sink: Sink) -> bool:
    """Receive all of `room`; False if the peer hung up before the first byte.

    Raises
    ------
    SourceLostError
        If the peer hung up later, or the connection broke.
    StopRequested
        If the engine is asked to end.
    """
    done = 0
    while done < len(room):
        n = receive(connection, room[done:], name)
        if n is None:
            if sink.stopping:
                raise StopRequested
            continue
        if n == 0:
            if done == 0:
                return False
            raise SourceLostError(
                f"{name} hung up after {done} of {len(room)} bytes of a message"
            )
        done += n
    return True


def _listener(address: str) -> socket.socket:
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1)
    listener.settimeout(WAIT_S)
    return listener


def _ready(connection: socket.socket) -> socket.socket:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    connection.settimeout(WAIT_S)
    return connection
