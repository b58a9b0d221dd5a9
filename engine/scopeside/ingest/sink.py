"""The detector's side of the adapter process: slots to fill, frames to account for.

It runs in the detector's thread. What happens here reaches the tee, which is another
thread, through one queue; free slots come back through another.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, LifoQueue, SimpleQueue
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.changes import Change
from scopeside.detector import EndState, StopRequested
from scopeside.errors import SourceError
from scopeside.events import warm
from scopeside.ingest.admission import Admission, lines_of
from scopeside.ingest.news import (
    Changed,
    Ended,
    Filled,
    Finished,
    News,
    Noted,
    Rejected,
    Started,
)
from scopeside.ingest.slot import SlabSlot
from scopeside.settings import AcquisitionSettings, SlabSettings
from scopeside.slab import Layout, Slab

USUALLY_IN_USE = 8
"""Slots that are filled or not settled yet while the engine keeps up."""
PATIENCE = 10.0
"""Frames wait at most so many times `max_latency_ms`."""


@dataclass(slots=True)
class Stages:
    """Where the detector's thread spent its time, nanoseconds."""

    busy_ns: int = 0
    blocked_ns: int = 0
    starved_slots: int = 0


class SlabSink:
    """What a detector fills; see `scopeside.detector.Sink`."""

    def __init__(
        self,
        slab: Slab,
        settings: SlabSettings,
        acquisition_settings: AcquisitionSettings,
        epoch: int,
        limit: int | None,
        *,
        used_ids: Iterable[str] = (),
    ) -> None:
        self.events: SimpleQueue[News] = SimpleQueue()
        # The slot that came back last is still in the caches: it goes out first.
        self.free: LifoQueue[int] = LifoQueue()
        self.stages = Stages()
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.waiting = False
        self._slab = slab
        self._settings = settings
        self._acquisition_settings = acquisition_settings
        self._epoch = epoch
        self._limit = limit
        self._started = 0
        self._ids = set(used_ids)
        self._stopping = False
        self._admission: Admission | None = None
        self._layout: Layout | None = None
        self._slots: list[SlabSlot] = []
        self._said: Counter[str] = Counter()

    # -- what the detector calls -----------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether the engine is asked to end."""
        return self._stopping

    @property
    def max_latency_s(self) -> float:
        """For how long frames may wait in a slot for others, s.

        Frames that would only wait behind others may as well wait in their slot: full
        batches cost the least, so an engine that falls behind catches up.
        """
        behind = (len(self._slots) - self.free.qsize()) / USUALLY_IN_USE
        return self._settings.max_latency_ms / 1e3 * min(max(behind, 1.0), PATIENCE)

    def start(
        self,
        acquisition: Acquisition,
        *,
        batch_frames: int | None = None,
        batch_bytes: int = 0,
    ) -> None:
        """Begin an acquisition; lays the slots anew where the frames differ."""
        self._refuse_if_stopping()
        if self._limit is not None and self._started >= self._limit:
            self._stopping = True
            raise StopRequested
        if self._admission is not None:
            self.end("failed", "the detector began another acquisition")
        acquisition = self._unlike_others(
            self._acquisition_settings.complete(acquisition)
        )
        layout = Layout.of(
            self._slab.size,
            acquisition,
            max(self._settings.batch_kib * 1024, batch_bytes),
            batch_frames,
        )
        if acquisition.encoding == "events":
            warm(acquisition.dtype)
        self._collect_slots()
        self._slots = [
            SlabSlot(k, self._slab, layout, acquisition) for k in range(layout.slots)
        ]
        for slot in self._slots:
            self.free.put(slot.number)
        self._layout = layout
        self._admission = Admission(
            acquisition,
            lines_of(acquisition, self._acquisition_settings.line_pause_ms),
            miss=self._tell,
            reject=self.reject,
        )
        self._said.clear()
        self._started += 1
        self._ids.add(acquisition.id)
        self._tell(Started(acquisition))

    @contextmanager
    def slot(self) -> Iterator[SlabSlot]:
        """Wait for room and lend it."""
        self._refuse_if_stopping()
        self._current()
        slot = self._slots[self._next_free()]
        slot.lend(self._commit)
        try:
            yield slot
        finally:
            if slot.take_back():
                self.free.put(slot.number)

    def try_slot(self) -> Any:
        """Lend room if there is some now; None if not."""
        self._refuse_if_stopping()
        return None if self.free.empty() else self.slot()

    def gap(self, first: int, last: int, cause: str) -> None:
        """Say that frames will not come."""
        admission = self._current()
        if first < 0 or last < first:
            raise SourceError(f"a gap from {first} to {last} is none")
        if admission.renumbers:
            return  # in the detector's count; what a line lacks shows at its end
        admission.miss(first, last, cause)

    def reject(self, n: int, cause: str, message: str) -> None:
        """Count what is no frame; the message is passed on once a cause."""
        self._said[cause] += 1
        self._tell(Rejected(n, cause, message if self._said[cause] == 1 else ""))

    def end(
        self,
        state: EndState = "complete",
        reason: str = "",
        total: int | None = None,
    ) -> None:
        """End the acquisition."""
        admission = self._current()
        self._admission = None
        if admission.renumbers:
            total = None  # in the detector's count, which is not that of the scan
        self._tell(Ended(admission.acquisition.id, state, reason, total))
        if self._limit is not None and self._started >= self._limit:
            self._stopping = True

    def new_id(self) -> str:
        """Return an id from the time of day, the epoch and a count."""
        now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        return f"{now}-{self._epoch}-{self._started + 1}-{os.getpid()}"

    def note(self, message: str) -> None:
        """Tell the operator something."""
        self._tell(Noted(message))

    def change(self, values: Mapping[str, Any]) -> None:
        """Have parameters change with the next batch."""
        self._tell(Changed(Change.from_dict(values)))

    # -- what the adapter process calls ----------------------------------------

    def stop(self) -> None:
        """Ask the detector to end; from the tee's thread."""
        self._stopping = True

    def finish(self, state: EndState, reason: str, error: str = "") -> None:
        """Say that the detector's loop has ended, closing what it left open."""
        if self._admission is not None:
            self.end(state, reason)
        self._tell(Finished(error))

    # -- what happens in between ------------------------------------------------

    def _commit(self, slot: SlabSlot, n: int, words: int) -> None:
        admission = self._current()
        acquisition = admission.acquisition
        assert self._layout is not None
        dense = acquisition.encoding == "frames"
        n, words, runs = admission.admit(slot, n, words)
        if n == 0:
            self.free.put(slot.number)
            return
        self.stages.busy_ns += slot.lent_for_ns
        self._tell(
            Filled(
                acquisition.id,
                slot.number,
                self._layout,
                n,
                runs,
                int(slot.timestamp_ns[0]),
                time.monotonic_ns(),
                n * acquisition.frame_bytes if dense else 8 * words,
                None if dense else words,
            )
        )

    def _next_free(self) -> int:
        self._refuse_if_stopping()
        try:
            return self.free.get_nowait()
        except Empty:
            pass  # the usual case under backpressure: wait below, and be timed
        began = time.monotonic_ns()
        self.waiting = True
        self.stages.starved_slots += 1
        try:
            while True:
                self._refuse_if_stopping()
                try:
                    return self.free.get(timeout=0.05)
                except Empty:
                    continue
        finally:
            self.waiting = False
            self.stages.blocked_ns += time.monotonic_ns() - began

    def _unlike_others(self, acquisition: Acquisition) -> Acquisition:
        """Return it under an id that names no other acquisition of the run.

        A detector may repeat an id, and one that goes on after a crash of this
        process surely does; the collector would take its frames for old ones.
        """
        name = acquisition.id
        if name not in self._ids:
            return acquisition
        fresh = f"{name[:44]}.{self._epoch}-{self._started + 1}"
        self.note(f"acquisition {name!r} is called {fresh!r}: its id has been used")
        return replace(acquisition, id=fresh)

    def _collect_slots(self) -> None:
        """Wait until no reader holds a slot of the old layout."""
        for _ in self._slots:
            self._next_free()
        self._slots = []

    def _current(self) -> Admission:
        if self._admission is None:
            raise SourceError("the detector has not begun an acquisition")
        return self._admission

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise StopRequested

    def _tell(self, event: News) -> None:
        self.events.put(event)
        os.eventfd_write(self.wake, 1)
