"""A detector that copies frames from memory: the limit is the engine, not the source.

``waits = true``: it waits for room, as a file does. ``waits = false``: frames are due
at `rate` and what finds no room is lost, as with a camera.
"""

from __future__ import annotations

import time

import numpy as np
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink, Slot
from scopeside.params import Params
from scopeside.settings import AcquisitionSettings

LIBRARY_BYTES = 64 << 20


class MemoryDetector:
    """Repeats a library of Poisson frames that is larger than the caches."""

    class Params(Params):
        """What to deliver."""

        shape: tuple[int, int] = (256, 256)
        """Height and width, pixels."""
        dtype: str = "uint16"
        """Of a pixel."""
        seconds: float = Field(20.0, gt=0)
        """For how long, s."""
        rate: float | None = Field(None, gt=0)
        """Frames a second; absent: as fast as there is room."""
        waits: bool = True
        """Whether it can wait for room; if not, what finds none is lost."""
        frames: int | None = Field(None, gt=0)
        """Of an acquisition, after which the next one begins; absent: it is one."""

    def __init__(self, params: Params, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings

    def check(self) -> list[str]:
        """Nothing can go wrong."""
        return []

    def run(self, sink: Sink) -> None:
        """Deliver for `seconds`."""
        library = self._library()
        ends = time.perf_counter() + self._params.seconds
        while time.perf_counter() < ends and not sink.stopping:
            self._acquire(sink, library, ends)

    def _library(self) -> np.ndarray:
        params = self._params
        frame = int(np.prod(params.shape)) * np.dtype(params.dtype).itemsize
        n = max(1, LIBRARY_BYTES // frame)
        rng = np.random.default_rng(0)
        one = rng.poisson(3.0, (min(n, 64), *params.shape)).astype(params.dtype)
        return np.concatenate([one] * -(-n // len(one)))[:n]

    def _acquire(self, sink: Sink, library: np.ndarray, ends: float) -> None:
        params = self._params
        sink.start(
            Acquisition(
                sink.new_id(), params.shape, np.dtype(params.dtype), detector="memory"
            )
        )
        source = _Source(library, params, ends)
        while source.goes_on and not sink.stopping:
            source.wait_until_due(sink)
            lent = sink.slot() if params.waits else sink.try_slot()
            if lent is None:
                first, last = source.skip()
                sink.gap(first, last, "no_slot")
                continue
            with lent as slot:
                source.fill(slot)
        if source.sent == params.frames:
            sink.end("complete", total=source.sent)
        else:
            sink.end("stopped", "its time is over", total=source.sent)


class _Source:
    """Where in the library the detector is, and when the next batch is due."""

    def __init__(
        self, library: np.ndarray, params: MemoryDetector.Params, ends: float
    ) -> None:
        self.sent = 0
        self._library = library
        self._at = 0
        self._batch = 1
        self._params = params
        self._began = time.perf_counter()
        self._ends = ends

    @property
    def goes_on(self) -> bool:
        return time.perf_counter() < self._ends and self.sent != self._params.frames

    def wait_until_due(self, sink: Sink) -> None:
        if self._params.rate is None:
            return
        due = self._began + (self.sent + self._batch) / self._params.rate
        while (left := due - time.perf_counter()) > 0 and not sink.stopping:
            time.sleep(min(left, 0.05))

    def fill(self, slot: Slot) -> None:
        n = min(slot.capacity, len(self._library) - self._at)
        if self._params.frames is not None:
            n = min(n, self._params.frames - self.sent)
        self._batch = n
        np.copyto(slot.pixels[:n], self._library[self._at : self._at + n])
        slot.index[:n] = np.arange(self.sent, self.sent + n)
        slot.timestamp_ns[:n] = time.time_ns()
        slot.commit(n)
        self.sent += n
        self._at = (self._at + n) % len(self._library)

    def skip(self) -> tuple[int, int]:
        first = self.sent
        self.sent += self._batch
        return first, self.sent - 1
