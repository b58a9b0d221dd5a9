"""Serval's double: ``scopeside simulate timepix3``."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StrictBool

from scopeside.errors import SourceError
from scopeside.params import Params
from scopeside_adapters.endpoint import check_double
from scopeside_adapters.faults import Fault, Faults, ResetRequested
from scopeside_adapters.timepix3 import csr_writer
from scopeside_adapters.timepix3.image_writer import Format, image_of, message
from scopeside_adapters.timepix3.layout import LAYOUTS
from scopeside_adapters.timepix3.link import check_address, host_and_port
from scopeside_adapters.timepix3.rest_double import ServalDouble
from scopeside_adapters.timepix3.synthetic import Beam, SyntheticScan
from scopeside_adapters.timepix3.tables import TICKS_PER_S, Array
from scopeside_adapters.timepix3.words import Words

Address = Annotated[str, AfterValidator(check_address)]


def _here(address: str) -> str:
    check_double(host_and_port(check_address(address))[0])
    return address


Here = Annotated[str, AfterValidator(_here)]
_WAIT_S = 0.2
_PATIENCE_S = 60.0


class Timepix3SimulatorParams(Params):
    """``scopeside simulate timepix3``."""

    to: Address = "127.0.0.1:8085"
    """Where the engine listens; with `http` the destination says it."""
    listen: Here | None = None
    """Wait here for the engine, instead of going to it."""
    http: Here | None = None
    """Answer as Serval here, and measure when told to."""
    write: Path | None = None
    """Write a .tpx3 file, and send nothing."""
    stream: Literal["raw", "csr", "images"] = "raw"
    """Raw TPX3 words, ASI's sparse frames, or images."""
    format: Format = "jsonimage"
    """Of the images."""
    scan: tuple[int, int] = (64, 64)
    """Probe positions as [rows, columns]."""
    scans: int = Field(1, ge=1)
    """Scans in a measurement, one after another."""
    hits: float = Field(20.0, ge=0, le=1e6)
    """Mean number of hits at each position."""
    dwell_us: float = Field(10.0, gt=0, le=1e6)
    """At each position."""
    flyback_us: float = Field(50.0, ge=0, le=1e6)
    """Between two lines; hits come then too."""
    jitter_ns: float = Field(0.0, ge=0)
    """Of the line signal."""
    disorder_us: float = Field(20.0, ge=0)
    """By which hits come out of order."""
    edge_lag_us: float = 0.0
    """By which edges come after the hits of their time; negative: before."""
    counter_step: Literal[1, 2] = 1
    """By what the counter of edges grows from line to line."""
    missed: tuple[int, ...] = ()
    """Lines whose edges do not come."""
    start_s: float = Field(1.0, ge=0, le=1e5)
    """On the detector's clock; hits wrap at multiples of 26.8435456 s."""
    layout: Literal["single", "quad", "quad_flipped", "strip"] = "single"
    """Of the chips."""
    packet_ids: StrictBool = True
    """Number the packets, as Serval 3.2 does."""
    chunk: int = Field(1000, ge=1, le=8000)
    """Words in a chunk."""
    paced: StrictBool = True
    """Send as slowly as the scan is; false: as fast as is taken."""
    seed: int = 2024
    """Of the hits; each scan counts it up."""
    faults: dict[int, Fault] = {}
    """By the number of the chunk or image: drop, duplicate, reorder, truncate, stall,
    reset."""


class Timepix3Simulator:
    """Measures one scan after another, and sends what a camera would."""

    Params: ClassVar[type[Timepix3SimulatorParams]] = Timepix3SimulatorParams

    def __init__(self, params: Timepix3SimulatorParams) -> None:
        self._params = params

    def run(self, say: Callable[[str], None]) -> None:
        """Send the measurement, or wait for Serval's clients to ask for one."""
        params = self._params
        if params.write is not None:
            size = self.write(params.write)
            say(f"{params.write}: {size} bytes")
            return
        if params.http is not None:
            with ServalDouble(params.http, self.send_to, params.layout) as serval:
                say(f"Serval's double answers at http://{serval.address}")
                while True:
                    time.sleep(_WAIT_S)
        if params.listen is not None:
            host, port = host_and_port(params.listen)
            with socket.create_server((host, port)) as listener:
                say(f"waiting at {host}:{listener.getsockname()[1]}")
                with listener.accept()[0] as connection:
                    self.send(connection)
        else:
            self.send_to(params.to)
        say(f"{params.scans} scans sent")

    def scans(self) -> Iterator[SyntheticScan]:
        """Yield the scans; each begins when the one before is over."""
        params, start = self._params, self._params.start_s
        for number in range(params.scans):
            beam = Beam(
                params.scan,
                params.hits,
                params.dwell_us * 1e-6,
                params.flyback_us * 1e-6,
                params.jitter_ns * 1e-9,
                params.disorder_us * 1e-6,
                params.edge_lag_us * 1e-6,
                start,
                params.counter_step,
                params.missed,
            )
            scan = SyntheticScan(beam, LAYOUTS[params.layout], params.seed + number)
            yield scan
            start = scan.end / TICKS_PER_S

    def write(self, path: Path) -> int:
        """Write what would be sent to a file; return its size."""
        with path.open("wb") as file:
            for message in self._messages():
                file.write(message)
            return file.tell()

    def send_to(self, address: str) -> None:
        """Connect as Serval does, and send the measurement.

        Raises
        ------
        SourceError
            If nobody listens there for a minute.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                connection = socket.create_connection(host_and_port(address), 5.0)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise SourceError(f"nobody listens at {address}") from error
                time.sleep(_WAIT_S)
        with connection:
            connection.settimeout(_PATIENCE_S)
            self.send(connection)

    def send(self, connection: socket.socket) -> None:
        """Send the measurement over a connection."""
        faults = Faults(self._params.faults)
        messages = enumerate(self._messages())
        try:
            for message in faults.apply(messages, lambda m: m[: len(m) // 2]):
                connection.sendall(message)
        except ResetRequested:
            # Without waiting for what was sent: the peer sees a reset.
            linger = (1).to_bytes(4, "little") + bytes(4)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        except OSError as error:
            raise SourceError(f"the engine hung up: {error}") from error

    def image(self, number: int, scan: int = 0) -> Array:
        """Return an image that is sent: (height, width) uint16."""
        params = self._params
        shape = LAYOUTS[params.layout].shape
        return image_of(params.seed + scan, number, shape, params.hits)

    def _images(self, scan: int) -> Iterator[bytes]:
        params, began = self._params, time.monotonic()
        dwell_s = params.dwell_us * 1e-6
        for number in range(params.scan[0] * params.scan[1]):
            if params.paced:
                time.sleep(max(0.0, began + number * dwell_s - time.monotonic()))
            pixels = self.image(number, scan)
            yield message(params.format, pixels, number, number * dwell_s)

    def _messages(self) -> Iterator[bytes]:
        params = self._params
        if params.stream == "csr":
            yield from csr_writer.messages(self.scans())
            return
        if params.stream == "images":
            for number in range(params.scans):
                yield from self._images(number)
            return
        packet = 0
        for scan in self.scans():
            began, first = time.monotonic(), int(scan.line_start[0])
            for words in scan.chunks(
                size=params.chunk, packet_ids=params.packet_ids, first_packet=packet
            ):
                packet += 1
                yield words.tobytes()
                if params.paced and params.write is None:
                    _wait_for(words, began, first)


def _wait_for(words: Words, began: float, first: int) -> None:
    """Sleep until the time of the last hit of a chunk."""
    last = int(words[-1])
    if last >> 60 != 0xB:
        return
    time_of = ((last & 0xFFFF) << 18) | ((last >> 26) & 0x3FFF0)
    ticks = (time_of - first) % (1 << 34)
    if ticks < 1 << 33:
        with suppress(ValueError):
            time.sleep(began + ticks / TICKS_PER_S - time.monotonic())
