"""The `deserver` detector: cameras of Direct Electron, every frame of a movie."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink, StopRequested
from scopeside.errors import ScopesideError, ShapeError, SlabError, SourceError
from scopeside.params import Params
from scopeside.settings import AcquisitionSettings, Port
from scopeside_adapters.deserver.protocol import FramesReceived
from scopeside_adapters.deserver.reader import (
    Failed,
    Finished,
    Property,
    Reader,
    Started,
    answers,
    load,
)

_WAIT_S = 0.05


class DeServerParams(Params):
    """``[detector] kind = "deserver"``."""

    host: str = "127.0.0.1"
    """Computer of the camera."""
    port: Port = 13240
    """TCP port of DE-Server; stops are sent to the UDP port of the same number."""
    properties: dict[str, Property] = {}
    """Set before the first acquisition, in this order, such as "Scan - Enable"."""
    acquisitions: int = Field(1, ge=0)
    """How many are started, one after another; 0: until the engine ends."""
    timeout_s: float = Field(10.0, gt=0)
    """It must answer within so long, and frames of an acquisition follow each other
    within so long, s."""


class DeServerDetector:
    """Starts acquisitions and delivers all their frames."""

    Params: ClassVar[type[BaseModel]] = DeServerParams
    resumes = False
    """A new process would start the camera again, and the dose would be doubled."""

    def __init__(self, params: DeServerParams, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings
        self._name = f"DE-Server at {params.host}:{params.port}"

    def prepare(self) -> None:
        """Load deapi."""
        load()

    def check(self) -> list[str]:
        """Return why DE-Server cannot be reached, if it cannot."""
        try:
            load()
            answers(self._params.host, self._params.port, self._params.timeout_s)
        except ScopesideError as error:
            return [str(error)]
        return []

    def run(self, sink: Sink) -> None:
        """Start acquisitions and deliver their frames."""
        params = self._params
        done = 0
        with Reader(
            params.host, params.port, params.properties, params.timeout_s
        ) as reader:
            sink.note(f"connected to {self._name}")
            while not params.acquisitions or done < params.acquisitions:
                try:
                    self._acquire(reader, sink)
                except BaseException:
                    reader.stop()
                    raise
                done += 1

    def _acquire(self, reader: Reader, sink: Sink) -> None:
        """Deliver one acquisition."""
        reader.start()
        started = self._next(reader, sink)
        if isinstance(started, Failed):
            raise SourceError(f"{self._name}: {started.reason}")
        assert isinstance(started, Started)  # the reader's first word
        try:
            sink.start(self._acquisition(started, sink.new_id()))
        except (SlabError, ShapeError) as error:
            raise SourceError(f"{self._name}: {error}") from error
        first: int | None = None
        total = 0
        while True:
            event = self._next(reader, sink)
            match event:
                case FramesReceived(index):
                    # Counted from the first one: DE-Server may begin with 0 or 1.
                    first = int(index[0]) if first is None else first
                    total = max(total, int(index.max()) - first + 1)
                    _fill(event, first, sink)
                case Finished():
                    sink.end("complete", total=total)
                    return
                case Failed(reason):
                    sink.end("failed", f"{self._name}: {reason}", total=total)
                    raise SourceError(f"{self._name}: {reason}")

    def _next(
        self, reader: Reader, sink: Sink
    ) -> Started | FramesReceived | Finished | Failed:
        until = time.monotonic() + self._params.timeout_s
        while time.monotonic() < until:
            if sink.stopping:
                raise StopRequested
            if event := reader.receive(_WAIT_S):
                return event
        return Failed(f"nothing came for {self._params.timeout_s:g} s")

    def _acquisition(self, started: Started, name: str) -> Acquisition:
        scan = self._settings.scan_of(started.scan)
        fps = started.properties.get("Frames Per Second")
        known = isinstance(fps, int | float) and fps > 0
        return Acquisition(
            id=name,
            kind="movie" if scan is None else "scan4d",
            frame_shape=started.layout.shape,
            dtype=started.layout.dtype,
            frames=None if scan is None else scan.frames,
            scan=scan,
            calibration={"frame_time_s": 1 / float(fps)} if known and fps else {},
            detector=f"{started.camera}, {self._name}",
            started_ns=time.time_ns(),
            metadata=dict(started.properties),
        )


def _fill(frames: FramesReceived, first: int, sink: Sink) -> None:
    """Copy the frames of a buffer into slots, counted from number `first`."""
    done, n = 0, len(frames.index)
    while done < n:
        with sink.slot() as slot:
            taken = slice(done, done + min(slot.capacity, n - done))
            count = taken.stop - taken.start
            np.copyto(slot.pixels[:count], frames.pixels[taken])
            slot.index[:count] = frames.index[taken] - first
            slot.timestamp_ns[:count] = time.time_ns()
            slot.commit(count)
        done = taken.stop
