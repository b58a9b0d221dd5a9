"""The simulated microscope behind the frame wire: ``scopeside simulate zmq``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.simulator.parameters import SimulatorParams
from scopeside_adapters.simulator.source import SimulatorDetector
from scopeside_adapters.zmq.simulator import Producer

_BATCH_BYTES = 1 << 20
_SAY_EVERY_S = 2.0


class WireSimulatorParams(SimulatorParams):
    """``scopeside simulate zmq``: as the `simulator` detector, and where to."""

    to: str = "tcp://127.0.0.1:5555"
    """Where the engine listens."""
    keys: Path | None = None
    """The file NAME.key_secret that the engine's machine has made, if it wants one."""


class WireSimulator:
    """The simulated microscope, pushed on the public frame wire."""

    Params: ClassVar[type[WireSimulatorParams]] = WireSimulatorParams

    def __init__(self, params: WireSimulatorParams) -> None:
        self._params = params

    def run(self, say: Callable[[str], None]) -> None:
        """Push simulated acquisitions to the engine that listens at ``to``."""
        to = self._params.to
        detector = SimulatorDetector(self._params, AcquisitionSettings())
        with Producer(
            to,
            on_wait=lambda: say(f"waiting for an engine at {to}"),
            keys=self._params.keys,
        ) as it:
            detector.run(WireSink(it, say))


class WireSlot:
    """Room for a batch that goes onto the wire."""

    def __init__(self, acquisition: Acquisition, wire: Producer) -> None:
        n = max(1, _BATCH_BYTES // acquisition.frame_bytes)
        self.pixels = np.empty((n, *acquisition.frame_shape), acquisition.dtype)
        self.index = np.empty(n, np.int64)
        self.timestamp_ns = np.empty(n, np.int64)
        self.words = np.empty(0, np.uint64)  # the wire carries no events
        self._wire = wire

    @property
    def capacity(self) -> int:
        """Number of frames that fit."""
        return len(self.index)

    def commit(self, n: int, *, words: int = 0) -> None:  # noqa: ARG002 - none fit
        """Send the first `n` frames."""
        first = int(self.index[0])
        self._wire.batch(self.pixels[:n], first, self.timestamp_ns[:n])


class WireSink:
    """A `scopeside.detector.Sink` that pushes what it is given."""

    stopping = False
    max_latency_s = 0.0

    def __init__(self, wire: Producer, say: Callable[[str], None]) -> None:
        self._wire = wire
        self._say = say
        self._slot: WireSlot | None = None
        self._count = 0
        self._expected: int | None = None
        self._began = self._said = time.monotonic()

    def start(
        self,
        acquisition: Acquisition,
        *,
        batch_frames: int | None = None,  # noqa: ARG002 - the wire has no such wish
        batch_bytes: int = 0,  # noqa: ARG002 - nor this one
    ) -> None:
        """Begin an acquisition."""
        self._wire.start(acquisition)
        self._slot = WireSlot(acquisition, self._wire)
        self._expected = acquisition.frames
        self._began = self._said = time.monotonic()
        height, width = acquisition.frame_shape
        frames = f"{acquisition.frames} frames of {height}×{width}"
        self._say(f"{acquisition.id}: {acquisition.kind}, {frames} {acquisition.dtype}")

    @contextmanager
    def slot(self) -> Iterator[WireSlot]:
        """Lend the one slot there is; what was committed has been sent."""
        assert self._slot is not None  # the detector has begun an acquisition
        yield self._slot
        if time.monotonic() - self._said > _SAY_EVERY_S:
            self._said = time.monotonic()
            sent = int(self._slot.index.max()) + 1
            self._say(f"{sent} of {self._expected} frames sent")

    def try_slot(self) -> Any:
        """Lend the slot: whoever sends can wait."""
        return self.slot()

    def change(self, values: Mapping[str, Any]) -> None:
        """Leave it out: the wire carries frames, and no parameters."""

    def gap(self, first: int, last: int, cause: str) -> None:
        """Say that frames will not come."""
        self._wire.gap(first, last, cause)

    def reject(self, n: int, cause: str, message: str) -> None:
        """Tell the operator; there is no word for it on the wire."""
        self._say(f"{n} frames not sent ({cause}): {message}")

    def end(
        self,
        state: EndState = "complete",
        reason: str = "",
        total: int | None = None,
    ) -> None:
        """End the acquisition."""
        assert total is not None  # the simulator knows
        self._wire.end(total, state, reason)
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._say(
            f"{state}: {total} frames in {seconds:.1f} s ({total / seconds:.0f}/s)"
        )

    def new_id(self) -> str:
        """Return an id from the time of day, the process and a count."""
        self._count += 1
        now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        return f"{now}-sim-{os.getpid()}-{self._count}"

    def note(self, message: str) -> None:
        """Tell the operator something."""
        self._say(message)
