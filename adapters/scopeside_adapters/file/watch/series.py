"""Follows one growing file: from its first whole frame to a named end."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink
from scopeside.errors import SourceLostError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.file.watch.growing import Growing
from scopeside_adapters.file.watch.parameters import WatchParams
from scopeside_adapters.file.watch.stop_file import StopFile
from scopeside_adapters.file.watch.wake import Wake


class Follower:
    """Delivers what is whole of a file, as it grows.

    Parameters
    ----------
    first
        The frame of the file that is frame 0 of the next acquisition.
    another
        Whether the camera has begun another file.
    """

    def __init__(
        self,
        growing: Growing,
        params: WatchParams,
        settings: AcquisitionSettings,
        first: int = 0,
    ) -> None:
        self._growing = growing
        self._params = params
        self._settings = settings
        scan = settings.scan_of(params.scan or growing.facts.scan_shape)
        if params.frames and scan is not None and scan.frames != params.frames:
            scan = None
        self._scan = scan
        self._limit = params.frames if scan is None else scan.frames
        self._stopped = False
        self.read = first
        """Frames of the file that have been delivered."""
        self.broken = False
        """Whether the file cannot be read on, though it is still there."""

    def run(
        self, sink: Sink, wake: Wake, stop: StopFile, another: Callable[[], bool]
    ) -> None:
        """Deliver one acquisition."""
        first = self.read
        sink.start(self._acquisition(sink.new_id(), first))
        while True:
            try:
                why = self._turn(sink, first, stop, another)
            except (SourceLostError, OSError) as error:
                self.broken = True
                sink.end("failed", str(error), total=self.read - first)
                return
            if why is None:
                wake.wait(lambda: sink.stopping, self._params.silence_s)
            elif why:
                self._end(sink, first, why)
                return

    def _turn(
        self, sink: Sink, first: int, stop: StopFile, another: Callable[[], bool]
    ) -> str | None:
        """Deliver a slot, or say why it is over; None: nothing to do, "": go on.

        Raises
        ------
        SourceLostError
            If nothing more can come of the file.
        """
        growing = self._growing
        if sink.stopping:
            return "the engine is asked to end"
        # Before counting: what was there when it appeared belongs to the acquisition.
        self._stopped |= stop.appeared()
        if self._deliver(sink, first, growing.count()):
            return ""
        if self._limit is not None and self.read - first >= self._limit:
            return "it has all of its frames"
        if gone := growing.lost(self.read):
            raise SourceLostError(gone)
        rested_s = growing.rested_s()
        if self._stopped:
            self._stopped = False
            why = stop.reason
        elif rested_s > self._params.silence_s:
            why = (
                f"{growing.path.name} was not written for {self._params.silence_s:g} s"
            )
        elif rested_s > self._params.settle_s and another():
            why = "the camera began another file"
        else:
            return None
        # What was held back because more might come is whole now.
        while self._deliver(sink, first, growing.count(ended=True)):
            pass
        return why

    def _deliver(self, sink: Sink, first: int, count: int) -> int:
        """Read as much as there is and fits into a slot; return the frames read."""
        if self._limit is not None:
            count = min(count, first + self._limit)
        if count <= self.read:
            return 0
        with sink.slot() as slot:
            n = min(count - self.read, slot.capacity)
            self._growing.read_into(self.read, slot.pixels[:n])
            stamps = self._growing.timestamps_ns(self.read, n)
            slot.index[:n] = np.arange(self.read - first, self.read - first + n)
            slot.timestamp_ns[:n] = time.time_ns() if stamps is None else stamps
            slot.commit(n)
        self.read += n
        return n

    def _end(self, sink: Sink, first: int, why: str) -> None:
        total = self.read - first
        if sink.stopping:
            sink.end("stopped", why, total=total)
            return
        expected = self._expected(first)
        leftover = self._growing.leftover()
        if expected is not None and total < expected:
            sink.end("failed", f"{why} after {total} of {expected} frames", total=total)
        elif leftover and total != expected:
            sink.end("failed", f"{why}; {leftover}", total=total)
        else:
            sink.end("complete", why, total=total)

    def _expected(self, first: int) -> int | None:
        """Return the length that was set, else what the header says by now."""
        if self._limit is not None:
            return self._limit
        declared = self._growing.facts.expected
        return None if declared is None else max(0, declared - first)

    def _acquisition(self, name: str, first: int) -> Acquisition:
        facts, path = self._growing.facts, self._growing.path
        begins = {"first_frame": first} if first else {}
        return self._settings.complete(
            Acquisition(
                id=name,
                kind="movie" if self._scan is None else "scan4d",
                frame_shape=facts.frame_shape,
                dtype=facts.dtype,
                frames=self._limit,
                scan=self._scan,
                calibration=facts.calibration,
                detector=f"watch {path.name}",
                started_ns=time.time_ns(),
                metadata={**facts.metadata, "path": str(path), **begins},
            )
        )
