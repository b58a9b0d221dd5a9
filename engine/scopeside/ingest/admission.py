"""Which of the frames that a detector delivers count, and under which numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.errors import SourceError
from scopeside.events import keep_good, renumber
from scopeside.ingest.linesync import LineSync
from scopeside.ingest.news import Missed
from scopeside.ingest.slot import SlabSlot
from scopeside.ledger import FrameRanges, Run
from scopeside.packed import in_order


class Admitted(NamedTuple):
    """What a slot holds after what does not count was left out."""

    n: int
    words: int
    runs: tuple[Run, ...]


class Admission:
    """Lets each frame of one acquisition in once.

    Parameters
    ----------
    lines
        Finds the lines of the scan by their pauses; None where the detector's own
        numbers are those of the scan.
    miss
        Is told of frames that will not come.
    reject
        Is told how many things are left out, the cause, and a message.
    """

    def __init__(
        self,
        acquisition: Acquisition,
        lines: LineSync | None,
        *,
        miss: Callable[[Missed], None],
        reject: Callable[[int, str, str], None],
    ) -> None:
        self.acquisition = acquisition
        self._lines = lines
        self._miss = miss
        self._reject = reject
        self._received = FrameRanges()

    @property
    def renumbers(self) -> bool:
        """Whether frames get the numbers of the scan, unlike those of the detector."""
        return self._lines is not None

    def admit(self, slot: SlabSlot, n: int, words: int) -> Admitted:
        """Leave out of a slot with `n` frames and `words` words what does not count."""
        if self._lines is not None:
            n = self._place_in_lines(self._lines, slot, n)
        words = self._checked_words(slot, n, words)
        return self._admit_new(slot, n, words) if n else Admitted(0, 0, ())

    def miss(self, first: int, last: int, cause: str) -> None:
        """Count frames as missed, unless they have come."""
        for a, b in list(self._received.holes(first, last)):
            self._received.add(a, b)
            self._miss(Missed(self.acquisition.id, a, b, cause))

    def _place_in_lines(self, lines: LineSync, slot: SlabSlot, n: int) -> int:
        """Give frames the numbers of their lines; return how many have a place."""
        numbered = lines.number(slot.index[:n], slot.timestamp_ns[:n])
        slot.index[:n] = numbered.index
        for first, last in numbered.short:
            self.miss(first, last, "short_line")
        keep = np.flatnonzero(numbered.index >= 0)
        if len(keep) < n:
            scan = self.acquisition.scan
            assert scan is not None  # without one there are no lines
            self._reject(
                n - len(keep),
                "surplus_in_line",
                f"a line has more than {scan.line_frames} frames",
            )
            slot.keep(keep.tolist())
            if self.acquisition.encoding == "packed":
                slot.words[: len(keep)] = slot.words[keep]
        return len(keep)

    def _checked_words(self, slot: SlabSlot, n: int, words: int) -> int:
        """Make sure that no reader is led outside; return how many words stay."""
        encoding = self.acquisition.encoding
        if encoding == "packed" and not in_order(slot.words[:words], n):
            raise SourceError(f"the table of {n} packed frames is not in order")
        return self._without_bad(slot, n, words) if encoding == "events" else words

    def _without_bad(self, slot: SlabSlot, n: int, words: int) -> int:
        """Leave out events that lie outside of the frames; return how many stay.

        Whoever reads them later would reach outside of an array. To look costs half
        a nanosecond a word.
        """
        height, width = self.acquisition.frame_shape
        kept = keep_good(slot.words[:words], n, height * width)
        if kept < words:
            bad = words - kept
            self._reject(
                bad,
                "bad_event",
                f"{bad} of {words} events lie outside of {n} frames of "
                f"{height}×{width}",
            )
        return kept

    def _admit_new(self, slot: SlabSlot, n: int, words: int) -> Admitted:
        """Keep the frames that have not come before, with their words."""
        index = slot.index[:n]
        first, last = int(index[0]), int(index[-1])
        follows = last - first == n - 1 and bool((np.diff(index) == 1).all())
        if follows and first >= 0 and not self._received.overlaps(first, last):
            self._received.add(first, last)
            return Admitted(n, words, ((first, last),))
        keep = self._new_among(index.tolist())
        if len(keep) < n:
            self._reject(
                n - len(keep),
                "duplicate",
                f"frames {first} to {last}: {n - len(keep)} of them came before",
            )
        runs = FrameRanges((frame, frame) for frame in sorted(index[keep].tolist()))
        for a, b in runs:
            self._received.add(a, b)
        slot.keep(keep)
        return Admitted(len(keep), self._keep_words(slot, keep, n, words), tuple(runs))

    def _new_among(self, frames: list[int]) -> list[int]:
        """Return the places of the frames that have not come, each the first time."""
        seen: set[int] = set()
        keep = []
        for k, frame in enumerate(frames):
            if frame < 0 or frame in seen or self._received.overlaps(frame, frame):
                continue
            seen.add(frame)
            keep.append(k)
        return keep

    def _keep_words(self, slot: SlabSlot, keep: list[int], n: int, words: int) -> int:
        """Keep the words of the frames at `keep` of `n`; return how many they are."""
        if not words:
            return 0
        if self.acquisition.encoding == "packed":
            slot.words[: len(keep)] = slot.words[keep]
            return words
        place = np.full(n, -1)
        place[keep] = np.arange(len(keep))
        return int(renumber(slot.words[:words], place))


def lines_of(acquisition: Acquisition, pause_ms: float | None) -> LineSync | None:
    """Return what finds the lines of a scan by their pauses; None if nothing is to."""
    if pause_ms is None or acquisition.scan is None:
        return None
    if acquisition.encoding == "events":
        return None  # events are in lines before they are in frames
    return LineSync(acquisition.scan.line_frames, int(pause_ms * 1e6))
