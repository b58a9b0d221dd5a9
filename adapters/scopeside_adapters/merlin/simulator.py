"""A simulated Merlin: control and data sockets on the real protocol."""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, StrictBool, model_validator

from scopeside.errors import ProtocolError
from scopeside.params import LocalPath, Params
from scopeside_adapters.endpoint import check_double
from scopeside_adapters.faults import Fault, Faults, ResetRequested
from scopeside_adapters.merlin.control import ControlParser, encode
from scopeside_adapters.merlin.recording import (
    PixelType,
    Recording,
    acquisition_header,
    made,
    pixel_format,
    read,
    with_frames,
)

log = logging.getLogger(__name__)

_WAIT_S = 0.05
_PORTION = 1 << 20  # bytes sent at once
_SOFT = "5"
Layout = Literal["1x1", "2x1", "4x1", "2x2", "2x1G", "4x1G", "2x2G"]


class MerlinSimulatorParams(Params):
    """``scopeside simulate merlin``."""

    host: Annotated[str, AfterValidator(check_double)] = "127.0.0.1"
    """Where it listens."""
    port: int = Field(6342, ge=0, le=65535)
    """Data port; 0: a free one."""
    control_port: int = Field(6341, ge=0, le=65535)
    """Control port; 0: a free one."""
    path: LocalPath | None = None
    """A .mib file (with its .hdr) to play instead of made frames."""
    pixels: PixelType = "U16"
    """Pixel type; R64 is raw."""
    depth: Literal[1, 6, 12, 24] = 12
    """Counter depth of raw pixels."""
    layout: Layout = "1x1"
    """Chips beside x below each other; G: with gaps."""
    rows: int = Field(256, ge=1, le=256)
    """Rows that each chip reads out."""
    frames: int = Field(4096, ge=0)
    """Frames of an acquisition unless NUMFRAMESTOACQUIRE is set; 0: endless."""
    per_trigger: int = Field(0, ge=0)
    """Frames per trigger, the columns of the scan; 0: one."""
    fps: float | None = Field(None, gt=0)
    """Frames a second; absent: as fast as they are taken."""
    acquisitions: int = Field(0, ge=0)
    """How many to play; 0: until stopped."""
    start: Literal["control", "connect"] = "control"
    """What starts an acquisition: STARTACQUISITION, or that somebody listens."""
    pause_s: float = Field(0.2, ge=0)
    """Between acquisitions that start by themselves, s."""
    counters: Literal[1, 2] = 1
    """2: both counters of each exposure."""
    alternating: StrictBool = False
    """Gapless reading: the counters take turns, each frame is an exposure."""
    same_number: StrictBool = False
    """Whether both counters of an exposure have the same number."""
    header: StrictBool = True
    """Whether an acquisition is announced, as it should be."""
    short: StrictBool = False
    """Frame headers without thresholds and DACs."""
    garbage: int = Field(0, ge=0)
    """Bytes of nonsense before each acquisition."""
    seed: int = 0
    """Equal seeds, equal frames."""
    different: int = Field(256, ge=1)
    """Frames that differ; then they repeat. At most 256 MiB are kept."""
    faults: dict[int, Fault] = {}
    """By frame, from 0: drop, duplicate, reorder, truncate, stall or reset."""
    stall_s: float = Field(0.5, ge=0)
    """How long a stall is, s."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.pixels != "R64" and self.rows != 256 and self.layout != "1x1":
            raise ValueError("rows: fewer than 256 only with raw pixels or one chip")
        return self


class MerlinSimulator:
    """Serves one data client and one control client at a time.

    Attributes
    ----------
    port, control_port
        Where it listens.
    recording
        What it sends.
    variables
        What SET has set.
    commands
        What was asked for over the control socket, in order.
    """

    Params: ClassVar[type[MerlinSimulatorParams]] = MerlinSimulatorParams

    def __init__(self, params: MerlinSimulatorParams) -> None:
        self._params = params
        self.recording = _recording(params)
        self.variables = {
            "NUMFRAMESTOACQUIRE": str(params.frames),
            "TRIGGERSTART": "0",
            "SOFTWAREVERSION": "scopeside simulator",
        }
        self.commands: list[str] = []
        self._data = socket.create_server((params.host, params.port))
        self._control = socket.create_server((params.host, params.control_port))
        self.port: int = self._data.getsockname()[1]
        self.control_port: int = self._control.getsockname()[1]
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._triggered = threading.Event()
        self._aborted = threading.Event()
        self._busy = False
        self._say: Callable[[str], None] = log.info

    def run(self, say: Callable[[str], None]) -> None:
        """Serve until all acquisitions are played, or `stop`."""
        self._say = say
        say(f"data at port {self.port}, control at port {self.control_port}")
        thread = threading.Thread(target=self._serve_control, name="merlin control")
        thread.start()
        try:
            self._serve_data()
        finally:
            self.stop()
            thread.join()
            self._data.close()
            self._control.close()

    def stop(self) -> None:
        """End soon, breaking what is connected."""
        self._stopping.set()

    # -- control --------------------------------------------------------------------

    def _serve_control(self) -> None:
        for client in self._clients(self._control):
            parser = ControlParser()
            while not self._stopping.is_set():
                if not _readable(client):
                    continue
                try:
                    data = client.recv(1 << 12)
                    requests = parser.feed(data)
                    for request in requests:
                        client.sendall(encode(self._answer(request)))
                except (OSError, ProtocolError) as error:
                    self._say(f"control: {error}")
                    break
                if not data:
                    break

    def _answer(self, request: str) -> str:
        kind, _, rest = request.partition(",")
        name, _, value = rest.partition(",")
        match kind:
            case "CMD":
                self.commands.append(name)
                return f"CMD,{name},{self._command(name)}"
            case "SET":
                self.commands.append(f"{name}={value}")
                self.variables[name] = value
                return f"SET,{name},0"
            case "GET" if name == "DETECTORSTATUS":
                return f"GET,{name},{int(self._busy)},0"
            case "GET" if name in self.variables:
                return f"GET,{name},{self.variables[name]},0"
        return f"{kind},{name},2" if kind == "GET" else f"GET,{name},0,2"

    def _command(self, name: str) -> int:
        """Do a command; return its error code."""
        match name:
            case "STARTACQUISITION":
                if self._busy or self._started.is_set():
                    return 1
                self._aborted.clear()
                self._triggered.clear()
                self._started.set()
            case "SOFTTRIGGER":
                self._triggered.set()
            case "STOPACQUISITION" | "ABORT" | "RESET":
                self._started.clear()
                self._aborted.set()
            case _:
                return 2
        return 0

    # -- data -----------------------------------------------------------------------

    def _serve_data(self) -> None:
        played = 0
        for client in self._clients(self._data):
            client.settimeout(_WAIT_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while self._is_asked(client):
                    self._play(client)
                    played += 1
                    if played == self._params.acquisitions:
                        self._let_it_read(client)
                        return
            except ResetRequested:
                client.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                played += 1
            except OSError as error:
                self._say(f"the client was lost: {error}")
            finally:
                self._busy = False

    def _is_asked(self, client: socket.socket) -> bool:
        """Wait until an acquisition is to begin; False if the client has left."""
        while not self._stopping.is_set():
            if _readable(client) and not client.recv(64):
                return False
            if self._params.start == "connect":
                return not self._stopping.wait(self._params.pause_s)
            if self._started.is_set():
                return True
        return False

    def _let_it_read(self, client: socket.socket) -> None:
        """Keep the connection until the client has left or has had time."""
        client.shutdown(socket.SHUT_WR)
        until = time.monotonic() + 5.0
        while time.monotonic() < until and not self._stopping.is_set():
            if _readable(client) and not client.recv(64):
                return

    def _play(self, client: socket.socket) -> None:
        self._busy = True
        self._started.clear()
        count = int(self.variables["NUMFRAMESTOACQUIRE"])
        began = time.monotonic()
        if self._params.garbage:
            self._send(client, memoryview(b"GARBAGE" * (self._params.garbage // 7 + 1)))
        if self._params.header:
            text = with_frames(self.recording.header, count)
            self._send(client, memoryview(b"MPX,%010d," % (len(text) + 1) + text))
        if self.variables["TRIGGERSTART"] != _SOFT or self._wait_for_trigger():
            sent = self._send_frames(client, count)
            seconds = max(time.monotonic() - began, 1e-9)
            self._say(f"{sent} frames in {seconds:.2f} s ({sent / seconds:.0f}/s)")
        self._busy = False

    def _wait_for_trigger(self) -> bool:
        while not self._triggered.wait(_WAIT_S):
            if self._stopping.is_set() or self._aborted.is_set():
                return False
        return True

    def _send_frames(self, client: socket.socket, count: int) -> int:
        """Send the frames of an acquisition; return how many."""
        total = count * self._params.counters if count else None
        if self._params.faults:
            faults = Faults(self._params.faults, self._params.stall_s)
            pieces = self._pieces(total, 1)
            messages = ((first, piece) for first, _, piece in pieces)
            for message in faults.apply(messages, lambda m: m[: len(m) // 2]):
                self._send(client, message)
            return total or 0
        sent = 0
        at_once = max(1, _PORTION // self.recording.data.shape[1])
        for first, n, piece in self._pieces(total, at_once):
            self._send(client, piece)
            sent = first + n
        return sent

    def _pieces(
        self, total: int | None, at_once: int
    ) -> Iterator[tuple[int, int, memoryview]]:
        """Yield messages as they are due: the first's number, how many, their bytes."""
        recording, fps = self.recording, self._params.fps
        period_ns = round(1e9 / fps) if fps else 100_000
        step = self._params.counters if self._params.same_number else 1
        began, began_ns, first = time.monotonic(), time.time_ns(), 0
        while (total is None or first < total) and not self._aborted.is_set():
            n = min(at_once, len(recording.data) - first % len(recording.data))
            if total is not None:
                n = min(n, total - first)
            if fps:
                due = int((time.monotonic() - began) * fps) + 1 - first
                if due <= 0:
                    if self._stopping.wait(min(_WAIT_S, -due / fps + 0.5 / fps)):
                        return
                    continue
                n = min(n, due)
            recording.stamp(first, n, began_ns, period_ns, step)
            at = first % len(recording.data)
            yield first, n, recording.data[at : at + n].reshape(-1).data
            first += n

    def _send(self, client: socket.socket, data: memoryview) -> None:
        while len(data):
            if self._stopping.is_set():
                raise OSError("the simulator is stopped")
            try:
                data = data[client.send(data) :]
            except TimeoutError:
                if self._aborted.is_set() and _left(client):
                    raise OSError("the client has left") from None

    def _clients(self, server: socket.socket) -> Iterator[socket.socket]:
        """Yield clients, one after another; each is closed after its turn."""
        while not self._stopping.is_set():
            if _readable(server):
                client, _ = server.accept()
                with client:
                    yield client


def _readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], _WAIT_S)[0])


def _left(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0]) and not client.recv(64)


def _recording(params: MerlinSimulatorParams) -> Recording:
    if params.path is not None:
        return read(params.path, 1 << 28)
    pixels, depth = pixel_format(
        params.pixels, params.layout, params.rows, params.depth
    )
    counters = "Counter 0" if params.counters == 1 else "Counter 0, Counter 1"
    header = acquisition_header(
        params.frames,
        params.per_trigger or 1,
        params.layout,
        depth,
        "Alternating" if params.alternating else counters,
    )
    n = min(params.different, max(2, (1 << 28) // pixels.stored_bytes))
    n -= n % params.counters
    highest = 1 << (depth if pixels.depth else min(8 * pixels.dtype.itemsize, depth))
    rng = np.random.default_rng(params.seed)
    frames = rng.integers(0, highest, (n, *pixels.frame_shape), pixels.dtype)
    return made(
        frames,
        pixels,
        params.pixels,
        params.layout,
        depth=depth,
        header=header,
        counters=2 if params.alternating else params.counters,
        shutter_s=1e-3 if params.fps is None else 0.5 / params.fps,
        short=params.short,
    )
