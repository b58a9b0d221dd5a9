"""The sockets that a detector's stream comes in by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

import zmq
from zmq.utils.monitor import recv_monitor_message

from scopeside.errors import SourceError
from scopeside_adapters.dectris.parcel import Parcel
from scopeside_adapters.dectris.transfer import receive_into

ROOM = 8 << 20
"""Bytes of a parcel; a larger message has one for itself."""
MOST_MESSAGES = 1024
_NAP_S = 0.0002
_UP = zmq.EVENT_HANDSHAKE_SUCCEEDED
_STRANGER = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


class Receiver:
    """PULL sockets that connect to one detector, and connect again when it returns.

    Parameters
    ----------
    pullers
        How many sockets; the detector deals its messages round.
    rcvhwm, rcvbuf
        Messages and bytes that each may keep; `rcvbuf` None: the kernel adapts it.
    largest
        A message with more bytes is refused before it is stored.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        pullers: int,
        io_threads: int,
        rcvhwm: int,
        rcvbuf: int | None,
        largest: int,
    ) -> None:
        self.address = f"{host}:{port}"
        self.strangers = 0
        self._largest = largest
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._poller = zmq.Poller()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._monitors: list[zmq.Socket[bytes]] = []
        self._up: set[int] = set()
        try:
            for _ in range(pullers):
                self._connect(host, port, rcvhwm, rcvbuf)
        except zmq.ZMQError as error:
            self.close()
            raise SourceError(
                f"cannot connect to a stream at {self.address}: {error}"
            ) from error

    def _connect(self, host: str, port: int, rcvhwm: int, rcvbuf: int | None) -> None:
        socket = self._context.socket(zmq.PULL)
        socket.linger = 0
        socket.rcvhwm = rcvhwm
        if rcvbuf is not None:
            socket.setsockopt(zmq.RCVBUF, rcvbuf)
        socket.setsockopt(zmq.MAXMSGSIZE, self._largest)
        socket.setsockopt(zmq.IPV6, ":" in host)
        events = _UP | _STRANGER | zmq.EVENT_DISCONNECTED
        self._sockets.append(socket)
        self._monitors.append(socket.get_monitor_socket(events))
        self._poller.register(socket, zmq.POLLIN)
        socket.connect(
            f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def new_parcel(self) -> Parcel:
        """Return room for what `receive` takes."""
        return Parcel.empty(MOST_MESSAGES, ROOM, self._largest)

    def receive(
        self, parcel: Parcel, limit: int, wait_s: float, gather_s: float
    ) -> int:
        """Fill the parcel with what comes; return how many messages it has.

        Parameters
        ----------
        limit
            At most so many messages.
        wait_s
            For the first message.
        gather_s
            How long it may wait for those that come after it.
        """
        parcel.clear()
        limit = min(limit, MOST_MESSAGES)
        if not self._take(parcel, limit):
            if not self._poller.poll(int(wait_s * 1e3)):
                return 0
            self._take(parcel, limit)
        until = time.monotonic() + gather_s
        while parcel.messages < limit and parcel.bytes < parcel.room:
            if time.monotonic() > until:
                break
            if not self._take(parcel, limit):
                # To be woken for every message costs more than the nap.
                time.sleep(_NAP_S)
        return parcel.messages

    def _take(self, parcel: Parcel, limit: int) -> int:
        came = 0
        for socket in self._sockets:
            came += receive_into(parcel, socket, limit)
        return came

    @property
    def is_up(self) -> bool:
        """Whether any link to the detector stands."""
        for k, monitor in enumerate(self._monitors):
            while monitor.poll(0):
                event = recv_monitor_message(monitor)["event"]
                if event == _UP:
                    self._up.add(k)
                elif event == zmq.EVENT_DISCONNECTED:
                    self._up.discard(k)
                else:
                    self.strangers += 1
        return bool(self._up)

    def all_up(self, timeout_s: float, stopping: Callable[[], bool]) -> bool:
        """Wait until every link stands; return whether they do."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and not stopping():
            if self.is_up and len(self._up) == len(self._sockets):
                return True
            time.sleep(0.01)
        return False

    def close(self) -> None:
        """Hang up; what was not taken is lost."""
        for socket, monitor in zip(self._sockets, self._monitors, strict=False):
            socket.disable_monitor()
            monitor.close(linger=0)
        self._context.destroy(linger=0)
