"""Plays the records of a run into a sink, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from scopeside.batch import Batch
from scopeside.detector import EndState, Sink
from scopeside.errors import RunError, SourceError
from scopeside.ledger import FrameRanges
from scopeside.packed import AnyBatch
from scopeside.record.folder import OWN_CAUSES
from scopeside.replay.damage import READING, damage_at
from scopeside.replay.part import Part
from scopeside.runs.message import batch_of
from scopeside.runs.run import Run
from scopeside.runs.verify import Damage
from scopeside.slab import PACKED
from scopeside.wire import Kind
from scopeside_adapters.replay.pace import RecordedPace

Entries = npt.NDArray[np.void]

NOT_RECORDED = "not_recorded"


class Playing:
    """One acquisition from a recording.

    Parameters
    ----------
    part
        Which of its batches.
    changes
        Whether parameters change as they did.
    """

    def __init__(
        self, run: Run, part: Part, sink: Sink, pace: RecordedPace, *, changes: bool
    ) -> None:
        self._run = run
        self._part = part
        self._sink = sink
        self._pace = pace
        self._changes = changes
        self._batches = run.batch_entries
        self._played = self._batches[part.first : part.end]
        self._known: FrameRanges | None = None

    def play(self) -> None:
        """Deliver it, from its beginning to its end.

        Raises
        ------
        SourceError
            If the slab has no room for its batches.
        RunError
            If it has no beginning.
        """
        before, rest = self._around()
        self._begin(before)
        end: dict[str, Any] | None = None
        for entry in rest:
            match Kind(int(entry["kind"])):
                case Kind.BATCH:
                    self._batch(entry)
                case Kind.PARAM:
                    self._change(entry)
                case Kind.GAP:
                    self._gap(entry)
                case Kind.END:
                    end = self._header(entry)
        self._end(end)

    def _around(self) -> tuple[Entries, Entries]:
        """Return the records before the first batch that is played, and the others."""
        entries, played = self._run.entries, self._played
        if self._part.whole or not len(played):
            return entries[:0], entries
        first, last = played[0]["record"], played[-1]["record"]
        number = entries["record"]
        return entries[number < first], entries[(number >= first) & (number <= last)]

    def _begin(self, before: Entries) -> None:
        start = self._start()
        for values in start.get("changes", ()) if self._changes else ():
            self._sink.change(values)
        for entry in before[before["kind"] == Kind.PARAM]:
            self._change(entry)
        acquisition = self._run.acquisition
        most = max(1, int(self._played["n"].max(initial=1)))
        room = most * acquisition.frame_bytes
        if acquisition.encoding != "frames":
            # A record is larger than its words; a slot is measured in either.
            room = max(int(self._played["size"].max(initial=0)), -(-room // PACKED))
        self._sink.start(acquisition, batch_frames=most, batch_bytes=room)
        if not self._part.whole:
            self._declare(0, int(self._played["first"].min()) - 1, "not_replayed")

    def _start(self) -> dict[str, Any]:
        for entry in self._run.entries[self._run.entries["kind"] == Kind.START]:
            return self._header(entry)
        raise RunError(f"{self._run.folder} has no START record: it was never begun")

    def _header(self, entry: Any) -> dict[str, Any]:
        try:
            return self._run.message(entry).header
        except READING as error:
            self._tell(damage_at(self._run, entry, error))
            return {}

    def _change(self, entry: Any) -> None:
        header = self._header(entry)
        if self._changes and "change" in header:
            self._sink.change(header["change"])

    # -- frames -----------------------------------------------------------------

    def _batch(self, entry: Any) -> None:
        try:
            message = self._run.message(entry)
            batch = batch_of(message.header, message.payload)
        except READING as error:
            damage = damage_at(self._run, entry, error)
            self._tell(damage)
            self._lose(damage, contiguous=_contiguous(entry))
            return
        self._pace.wait(int(batch.timestamp_ns[-1]), lambda: self._sink.stopping)
        self._deliver(batch)

    def _deliver(self, batch: AnyBatch) -> None:
        """Put a batch into a slot as it is.

        Raises
        ------
        SourceError
            If it does not fit: the slab is smaller than that of the recording.
        """
        n = len(batch)
        words = 0 if isinstance(batch, Batch) else len(batch.words)
        with self._sink.slot() as slot:
            if n > slot.capacity or words > len(slot.words) > 0:
                raise SourceError(
                    f"a recorded batch of {n} frames ({_bytes_of(batch)} bytes) does "
                    f"not fit a slot of {slot.capacity}: set a larger [slab] mib"
                )
            slot.index[:n] = batch.index
            slot.timestamp_ns[:n] = batch.timestamp_ns
            if isinstance(batch, Batch):
                slot.pixels[:n] = batch.pixels
            else:
                slot.words[:words] = batch.words
            slot.commit(n, words=words)

    def _gap(self, entry: Any) -> None:
        header = self._header(entry)
        cause = str(header.get("cause", "damaged"))
        if cause in OWN_CAUSES:
            cause = NOT_RECORDED
        self._declare(int(entry["first"]), int(entry["last"]), cause)

    def _lose(self, damage: Damage, *, contiguous: bool) -> None:
        if contiguous:
            self._sink.gap(damage.first, damage.last, "damaged")
        else:
            self._declare(damage.first, damage.last, "damaged")

    def _declare(self, first: int, last: int, cause: str) -> None:
        """Say that frames will not come, but for those that do."""
        for a, b in self._to_come().holes(first, last):
            self._sink.gap(a, b, cause)

    def _to_come(self) -> FrameRanges:
        """Return all frames of the batches that are played, as far as can be read."""
        if self._known is None:
            self._known = FrameRanges()
            for first, last in self._runs_of(self._played):
                self._known.add(first, last)
        return self._known

    def _runs_of(self, entries: Entries) -> Iterator[tuple[int, int]]:
        for entry in entries:
            if _contiguous(entry):
                yield int(entry["first"]), int(entry["last"])
                continue
            try:
                index = self._run.batch(entry).index
            except READING:
                continue  # told when its turn comes
            yield from ((frame, frame) for frame in sorted(index.tolist()))

    def _tell(self, damage: Damage) -> None:
        self._sink.note(str(damage))

    # -- the end ----------------------------------------------------------------

    def _end(self, said: dict[str, Any] | None) -> None:
        if not self._part.whole:
            self._sink.end("stopped", "a part of the recording was played")
        elif not said:
            self._sink.end("failed", "the recording has no end: it was cut off here")
        else:
            state, reason = str(said.get("state")), str(said.get("reason", ""))
            self._sink.end(_end_state(state), reason, said.get("total"))


def _contiguous(entry: Any) -> bool:
    """Whether the frames of a batch follow each other without a hole."""
    return bool(entry["last"] - entry["first"] == entry["n"] - 1)


def _bytes_of(batch: AnyBatch) -> int:
    return (batch.pixels if isinstance(batch, Batch) else batch.words).nbytes


def _end_state(state: str) -> EndState:
    """Return what the detector said; that frames are missing shows by itself."""
    if state == "incomplete":
        return "complete"
    for known in get_args(EndState):
        if state == known:
            return known  # type: ignore[no-any-return] # one of the literals
    return "failed"
