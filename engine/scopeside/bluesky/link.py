"""The guard's link into the process of a RunEngine.

A thread hears the guard's adapter: it reads devices itself and hands commands over to
the plan, which alone moves anything. A second thread, on a socket of its own, may do
one thing without the plan: set the blanker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

import zmq

from scopeside.bluesky import devices as ophyd
from scopeside.bluesky.plan_wire import (
    MAX_BYTES,
    DeviceValue,
    Reply,
    Request,
    checked_endpoint,
    request,
)
from scopeside.bluesky.waiting import PlanCall, Waiting
from scopeside.errors import ConfigError, InstrumentError, ProtocolError

_READ_S = 2.0
_POLL_MS = 100
_OWNER_S = 3.0
"""So long after it was heard last another guard may take over."""


class PlanLink:
    """Listens for the guard of one engine; commands wait in it for the plan.

    Parameters
    ----------
    endpoint
        ``ipc:///PATH`` in a folder that is closed to others, or ``tcp://127.0.0.1:…``.
    devices
        What may be set and read, by its ``name``.
    blanker
        One of them, or another: a blocking ophyd device that takes True or False.
    blank_endpoint
        Where a thread beside the RunEngine listens that does nothing but blank, on
        the device itself. Without, a blank waits for the plan to come to it.
    loop
        ``RE.loop``, which devices of ophyd-async are read in.
    """

    def __init__(
        self,
        endpoint: str,
        devices: Iterable[Any],
        *,
        blanker: Any = None,
        blank_endpoint: str = "",
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if blank_endpoint and blanker is None:
            raise ConfigError("blank_endpoint needs a blanker")
        self.devices = ophyd.by_name(devices)
        self.blanker = blanker
        if blanker is not None:
            self.devices.setdefault(blanker.name, blanker)
        self._loop = loop
        self._clock = clock
        self._waiting = Waiting(clock)
        self._handed: dict[str, bytes] = {}
        self._owner: tuple[str, float] | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._replies: SimpleQueue[Reply] = SimpleQueue()
        self._wakes, self._wake = socket.socketpair()
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[zmq.Socket[bytes]] = []
        try:
            self._start(endpoint, self._serve)
            if blank_endpoint:
                self._start(blank_endpoint, self._serve_blank)
        except ConfigError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stopped(self) -> bool:
        """Whether the plan has nothing more to wait for."""
        return self._ends.is_set()

    @property
    def direct(self) -> bool:
        """Whether the beam can be blanked while the RunEngine is busy."""
        return len(self._sockets) > 1

    @property
    def called(self) -> bool:
        """Whether a command waits."""
        return self._waiting.any

    def take(self, wait_s: float = 0.0) -> PlanCall | None:
        """Return the next command, None if none comes within `wait_s`.

        Whoever takes one answers it, whatever happens.
        """
        ends = self._clock() + wait_s
        while True:
            call, late = self._waiting.take(max(0.0, ends - self._clock()))
            for reply in late:
                self._reply(reply)
            if call is not None or not late:
                return call

    def answer(
        self,
        id: str,  # noqa: A002 - its name everywhere
        ok: bool,
        reason: str = "",
        values: Mapping[str, DeviceValue] | None = None,
    ) -> None:
        """Tell the guard what became of a command, with what its devices read now."""
        self._reply(Reply(id, ok, reason[:500], dict(values or {})))

    def stop(self) -> None:
        """Have the plan end; what waits is refused."""
        self._waiting.close()
        for reply in self._waiting.drop("the plan has ended"):
            self._reply(reply)
        self._ends.set()

    def close(self) -> None:
        """Stop, and hang up."""
        self.stop()
        self._wake.send(b"x")
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close(linger=100)
        self._context.destroy(linger=100)
        self._wakes.close()
        self._wake.close()

    # ---------------------------------------------------------------------------

    def _start(self, endpoint: str, serve: Callable[[zmq.Socket[bytes]], None]) -> None:
        listener = self._context.socket(zmq.ROUTER)
        self._sockets.append(listener)
        listener.linger = 0
        listener.maxmsgsize = MAX_BYTES
        try:
            listener.bind(_private(checked_endpoint(endpoint)))
        except (ValueError, zmq.ZMQError) as error:
            raise ConfigError(f"cannot listen at {endpoint!r}: {error}") from error
        name = f"scopeside {serve.__name__.strip('_')}"
        thread = threading.Thread(
            target=serve, args=(listener,), name=name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _serve(self, listener: zmq.Socket[bytes]) -> None:
        monitor = listener.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        poller = zmq.Poller()
        for source in (listener, monitor, self._wakes):
            poller.register(source, zmq.POLLIN)
        while not self._ends.is_set() or not self._replies.empty():
            ready = dict(poller.poll(_POLL_MS))
            if self._wakes.fileno() in ready:
                self._wakes.recv(4096)
            if monitor in ready:
                monitor.recv_multipart()
                # Whose connection it was is not said: nothing stays pending.
                self._forget("the guard hung up")
            if listener in ready:
                self._hear(listener)
            self._send(listener)
        listener.disable_monitor()  # first: it would wait for one who listens
        monitor.close(linger=0)

    def _hear(self, listener: zmq.Socket[bytes]) -> None:
        route, *parts = listener.recv_multipart()
        try:
            asked = request(parts[0] if len(parts) == 1 else b"")
        except ProtocolError as error:
            self._handed[""] = route
            self._reply(Reply("", False, str(error)[:500]))
            return
        if refusal := self._refusal(asked):
            self._handed[asked.id] = route
            self._reply(Reply(asked.id, False, refusal))
            return
        self._handed[asked.id] = route
        self._do(asked)

    def _do(self, asked: Request) -> None:
        match asked.op:
            case "hello":
                self._reply(Reply(asked.id, True))
            case "read":
                self._reply(self._read(asked.id, asked.devices))
            case "set" | "blank":
                values = (
                    asked.values if asked.op == "set" else {self.blanker.name: asked.on}
                )
                if why := self._waiting.put(asked, values):
                    self._reply(Reply(asked.id, False, why))
            case _:
                self._handed.pop(asked.id, None)
                for reply in self._waiting.drop("it was called off", {asked.of}):
                    self._reply(reply)

    def _refusal(self, asked: Request) -> str:
        now = self._clock()
        if self._owner is not None and self._owner[0] != asked.owner:
            if now - self._owner[1] < _OWNER_S:
                return f"another guard ({self._owner[0]}) is connected"
            self._forget("another guard took over")
        self._owner = (asked.owner, now)
        lacking = {*asked.devices, *asked.values} - set(self.devices)
        if lacking:
            return (
                f"the plan's process has no device {', '.join(sorted(lacking))} (has: "
                f"{', '.join(sorted(self.devices))})"[:500]
            )
        blanks = asked.blanker or ("?" if asked.op == "blank" else "")
        name = "" if self.blanker is None else self.blanker.name
        if blanks and (not name or blanks not in (name, "?")):
            return f"the plan's process has no blanker {blanks} (has: {name or 'none'})"
        return ""

    def _forget(self, reason: str) -> None:
        """Drop what is not begun, of a guard that does not hear an answer any more."""
        for reply in self._waiting.drop(reason):
            self._handed.pop(reply.id, None)

    def _read(self, ident: str, names: Iterable[str]) -> Reply:
        try:
            return Reply(
                ident,
                True,
                values={
                    name: ophyd.read(self.devices[name], self._loop, _READ_S)
                    for name in names
                },
            )
        except InstrumentError as error:
            return Reply(ident, False, str(error)[:500])

    def _reply(self, reply: Reply) -> None:
        self._replies.put(reply)
        with contextlib.suppress(OSError):  # it is closed: nobody listens any more
            self._wake.send(b"x")

    def _send(self, listener: zmq.Socket[bytes]) -> None:
        while True:
            try:
                reply = self._replies.get_nowait()
            except Empty:
                return
            if (route := self._handed.pop(reply.id, None)) is not None:
                listener.send_multipart([route, reply.pack()])

    # -- the direct way -----------------------------------------------------------

    def _serve_blank(self, listener: zmq.Socket[bytes]) -> None:
        while not self._ends.is_set():
            if not listener.poll(_POLL_MS):
                continue
            route, *parts = listener.recv_multipart()
            try:
                reply = self._blank(request(parts[0] if len(parts) == 1 else b""))
            except ProtocolError as error:
                reply = Reply("", False, str(error)[:500])
            listener.send_multipart([route, reply.pack()])

    def _blank(self, asked: Request) -> Reply:
        if asked.op not in ("hello", "blank") or not asked.on:
            return Reply(asked.id, False, "here the beam is blanked, nothing else")
        try:
            if asked.op == "blank":
                ophyd.move(self.blanker, asked.on, asked.within_s)
            found = ophyd.read(self.blanker, self._loop, _READ_S)
        except InstrumentError as error:
            return Reply(asked.id, False, str(error)[:500])
        return Reply(asked.id, True, values={self.blanker.name: found})


def _private(endpoint: str) -> str:
    """Return an endpoint if others cannot reach its socket.

    Raises
    ------
    ValueError
        If the folder of an ``ipc://`` endpoint is open to others or not ours.
    """
    if endpoint.startswith("ipc://"):
        folder = Path(endpoint.removeprefix("ipc://")).parent
        try:
            status = os.stat(folder)  # noqa: PTH116 - of what a link leads to as well
        except OSError as error:
            raise ValueError(f"{folder}: {error.strerror}") from error
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.getuid():
            raise ValueError(f"{folder} must be yours and closed to others (chmod 700)")
    return endpoint
