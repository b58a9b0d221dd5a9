"""A detector that copies frames from memory: the limit is the engine, not the source.

``waits = true``: it waits for room, as a file does. ``waits = false``: frames are due
at `rate` and what finds no room is lost, as with a camera.
"""

from __future__ import annotations

import time

import numpy as np
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink
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

    def __init__(self, params: Params, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings

    def check(self) -> list[str]:
        """Nothing can go wrong."""
        return []

    def run(self, sink: Sink) -> None:
        """Deliver for `seconds`."""
        params = self._params
        frame = int(np.prod(params.shape)) * np.dtype(params.dtype).itemsize
        n = max(1, LIBRARY_BYTES // frame)
        rng = np.random.default_rng(0)
        one = rng.poisson(3.0, (min(n, 64), *params.shape)).astype(params.dtype)
        library = np.concatenate([one] * -(-n // len(one)))[:n]
        sink.start(
            Acquisition(
                sink.new_id(), params.shape, np.dtype(params.dtype), detector="memory"
            )
        )
        began = time.perf_counter()
        sent, at = 0, 0
        while time.perf_counter() - began < params.seconds:
            with sink.slot() as slot:
                k = min(slot.capacity, n - at)
                if params.rate is not None:
                    due = began + (sent + k) / params.rate
                    time.sleep(max(0.0, due - time.perf_counter()))
                np.copyto(slot.pixels[:k], library[at : at + k])
                slot.index[:k] = np.arange(sent, sent + k)
                slot.timestamp_ns[:k] = time.time_ns()
                slot.commit(k)
            sent += k
            at = (at + k) % n
        sink.end(total=sent)
