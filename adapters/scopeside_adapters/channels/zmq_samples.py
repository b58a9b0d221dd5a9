"""The `zmq` channel: any program pushes or publishes samples (docs/wire.md).

Channels of one endpoint share its socket: the first of them opens it, a thread reads
it and gives each what bears its name.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Annotated, ClassVar, Self

import zmq
from pydantic import AfterValidator, Field, model_validator

from scopeside.channel import ChannelSink
from scopeside.detector import StopRequested
from scopeside.errors import ConfigError, ProtocolError, SourceError
from scopeside.security.entrance import Entrance
from scopeside_adapters.channels.wire import MAX_MESSAGE, SamplesReceived, parse
from scopeside_adapters.endpoint import (
    Border,
    check_endpoint,
    check_local,
    entrance,
    key_problem,
    problem_with,
)

WAIT_MS = 50
WAITING = 1000
"""Messages that wait for a channel, at most."""
STRANGE_NAMES = 20
"""Names that no channel has asked for and that are told, at most."""
STRANGE_KEPT = 100
"""Messages of such a name that are kept: its channel may only just be starting."""
STRANGE_AFTER_S = 2.0
"""For so long after the start; then such names are told."""

Endpoint = Annotated[str, AfterValidator(check_endpoint)]


class ZmqSamplesParams(Border):
    """``[[channel]] kind = "zmq"``."""

    bind: Endpoint | None = None
    """Where producers connect (PUSH): tcp://ADDRESS:PORT or ipc://PATH; by default
    tcp://127.0.0.1:5556."""
    connect: Annotated[str, AfterValidator(check_local)] | None = None
    """Or: where a producer of this machine publishes (PUB)."""
    topic: str = ""
    """With connect: only messages whose first part begins so."""
    key: str = Field("", max_length=128)
    """The name that messages bear; by default the channel's."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.bind is not None and self.connect is not None:
            raise ValueError("bind and connect: choose one")
        if self.topic and self.connect is None:
            raise ValueError("topic goes with connect")
        if self.connect is not None and (self.keys is not None or self.plaintext):
            raise ValueError("keys and plaintext go with bind")
        self.check_border("bind", self.endpoint)
        return self

    @property
    def plaintext_note(self) -> str:
        """What is to be told as long as it is open; empty if it is not."""
        return self.note("samples", self.endpoint)

    @property
    def endpoint(self) -> str:
        """The address, whoever binds to it."""
        return self.connect or self.bind or "tcp://127.0.0.1:5556"


class ZmqSamples:
    """Takes samples that other programs send on the public sample wire."""

    Params: ClassVar[type[ZmqSamplesParams]] = ZmqSamplesParams

    def __init__(self, params: ZmqSamplesParams) -> None:
        self._params = params

    def check(self) -> list[str]:
        """Return why `bind` cannot be listened at, if it cannot."""
        if self._params.connect is not None:
            return []
        problem = problem_with(self._params.endpoint)
        return [
            *([f"bind: {self._params.endpoint}: {problem}"] if problem else []),
            *key_problem(self._params.keys),
        ]

    def run(self, sink: ChannelSink) -> None:
        """Take samples until the engine is asked to end."""
        key = self._params.key or sink.name
        with _shared(self._params) as intake, intake.queue(key) as queue:
            sink.note(f"waits for samples of {key!r} at {intake.endpoint}")
            if note := self._params.note("samples", intake.endpoint):
                sink.note(note)
            while not sink.stopping:
                for n, cause, message in intake.take_refused():
                    if n:
                        sink.reject(n, cause, message)
                    else:
                        sink.note(message)
                try:
                    self._take(queue.get(timeout=WAIT_MS / 1000), sink)
                except Empty:
                    intake.raise_if_broken()
        raise StopRequested

    def _take(self, found: SamplesReceived, sink: ChannelSink) -> None:
        if found.unit is not None and found.unit != sink.unit:
            sink.reject(
                len(found.times),
                "wrong_unit",
                f"samples come in {found.unit!r}; the pipeline file says {sink.unit!r}",
            )
            return
        sink.samples(found.times, found.values)


class Intake:
    """One socket, read by a thread, for all channels that share its endpoint."""

    def __init__(self, params: ZmqSamplesParams) -> None:
        if not params.connect and (problem := problem_with(params.endpoint)):
            raise SourceError(f"cannot take samples at {params.endpoint}: {problem}")
        self.users = 0
        self._queues: dict[str, list[Queue[SamplesReceived]]] = {}
        self._refused: list[tuple[int, str, str]] = []
        self._strange: dict[str, deque[SamplesReceived]] = {}
        self._told: set[str] = set()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._broken = ""
        self._entrance: Entrance | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = self._open(params)
        except ConfigError:
            self._context.destroy(linger=0)
            raise
        except zmq.ZMQError as error:
            if self._entrance is not None:
                self._entrance.close()
            self._context.destroy(linger=0)
            raise SourceError(
                f"cannot take samples at {params.endpoint}: {error.strerror}"
            ) from error
        bound = self._socket.get(zmq.LAST_ENDPOINT)
        self.endpoint = bytes(bound).rstrip(b"\0").decode()
        self._thread = threading.Thread(target=self._read, name="samples", daemon=True)
        self._thread.start()

    def _open(self, params: ZmqSamplesParams) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.SUB if params.connect else zmq.PULL)
        socket.linger = 0
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        socket.setsockopt(zmq.IPV6, "[" in params.endpoint)
        if params.connect:
            socket.subscribe(params.topic)
            socket.connect(params.connect)
            return socket
        if params.keys is not None:
            self._entrance = entrance(socket, params.keys, "samples")
            self._entrance.bind(params.endpoint)
        else:
            socket.bind(params.endpoint)
        return socket

    @contextmanager
    def queue(self, name: str) -> Iterator[Queue[SamplesReceived]]:
        """Lend a queue of what bears a name."""
        queue: Queue[SamplesReceived] = Queue(WAITING)
        with self._lock:
            for earlier in self._strange.pop(name, ()):
                queue.put_nowait(earlier)
            self._queues.setdefault(name, []).append(queue)
        try:
            yield queue
        finally:
            with self._lock:
                self._queues[name].remove(queue)

    def take_refused(self) -> list[tuple[int, str, str]]:
        """Return what was no sample of anybody, once: one of the channels tells it."""
        if not self._refused:
            return []
        with self._lock:
            refused, self._refused = self._refused, []
        return refused

    def raise_if_broken(self) -> None:
        """Raise SourceError if the reading thread has ended by an error."""
        if self._broken:
            raise SourceError(f"samples at {self.endpoint}: {self._broken}")

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join(timeout=5)
        if self._entrance is not None:
            self._entrance.close()
        self._context.destroy(linger=0)

    # ---------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                self._mind()
                if self._socket.poll(WAIT_MS):
                    self._hear(self._socket.recv_multipart(copy=False))
        except zmq.ZMQError as error:
            self._broken = error.strerror or str(error)

    def _mind(self) -> None:
        """Keep the number of links bounded, and tell who was turned away."""
        if self._entrance is not None:
            self._entrance.mind()
            for text in self._entrance.told():
                self._refuse(0, "", text)

    def _hear(self, parts: list[zmq.Frame]) -> None:
        if self._entrance is not None and self._entrance.sender(parts[0]) is None:
            self._refuse(1, "withdrawn_key", "the producer's key has been withdrawn")
        else:
            self._take([part.bytes for part in parts])

    def _take(self, parts: list[bytes]) -> None:
        try:
            found = parse(parts)
        except ProtocolError as error:
            self._refuse(1, error.cause, str(error))
            return
        with self._lock:
            queues = list(self._queues.get(found.name, ()))
            if not queues:
                self._keep_strange(found)
        for queue in queues:
            try:
                queue.put_nowait(found)
            except Full:
                self._refuse(len(found.times), "overrun", f"{found.name!r}: too many")
        if not queues:
            self._mind_the_stranger(found.name)

    @property
    def _early(self) -> bool:
        return time.monotonic() - self._began < STRANGE_AFTER_S

    def _keep_strange(self, found: SamplesReceived) -> None:
        if not self._early:
            self._strange.clear()
        elif found.name in self._strange or len(self._strange) < STRANGE_NAMES:
            kept = self._strange.setdefault(found.name, deque(maxlen=STRANGE_KEPT))
            kept.append(found)

    def _mind_the_stranger(self, name: str) -> None:
        """Say of each name once that no channel has asked for it."""
        if self._early or name in self._told or len(self._told) >= STRANGE_NAMES:
            return
        self._told.add(name)
        asked = ", ".join(repr(known) for known in self._queues)
        self._refuse(0, "", f"samples of {name!r} come; asked for are {asked}")

    def _refuse(self, n: int, cause: str, message: str) -> None:
        with self._lock:
            if len(self._refused) < WAITING:
                self._refused.append((n, cause, message))


_INTAKES: dict[tuple[str, str, Path | None], Intake] = {}
_INTAKES_LOCK = threading.Lock()


@contextmanager
def _shared(params: ZmqSamplesParams) -> Iterator[Intake]:
    """Lend the intake of an endpoint, opened by the first and closed by the last."""
    key = (params.endpoint, params.topic, params.keys)
    with _INTAKES_LOCK:
        intake = _INTAKES.get(key) or Intake(params)
        _INTAKES[key] = intake
        intake.users += 1
    try:
        yield intake
    finally:
        with _INTAKES_LOCK:
            intake.users -= 1
            if not intake.users:
                del _INTAKES[key]
                intake.close()
