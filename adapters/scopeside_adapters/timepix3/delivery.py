"""Hands closed segments to the engine: as events, or made into frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState, Sink, Slot
from scopeside_adapters.timepix3 import gather
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.accounts import tell
from scopeside_adapters.timepix3.tables import Array

EVENT_FRAMES = 16384
"""Probe positions in a slot of events."""
_FOREVER = np.iinfo(np.int64).max
_ABOUT = 8
_FED = 1 << 18
"""Words that can come between two looks at the memory."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Events of frames that follow each other, in the order of the frames.

    Attributes
    ----------
    words
        (m,) int64; their places count from the first frame.
    bounds
        (n + 1,) int64: the events of frame k are ``words[bounds[k]:bounds[k + 1]]``.
    first
        Index of the first frame.
    timestamp_ns
        (n,) int64.
    """

    words: Array
    bounds: Array
    first: int
    timestamp_ns: Array


class Outlet:
    """Cuts pieces into slots.

    Attributes
    ----------
    cut_off
        Counts that did not fit: a full pixel, or a frame with more events than a slot.
    sums
        (pixels,) int64, zero between two calls; for `gather.merge_pixels`.
    """

    def __init__(self, sink: Sink, encoding: str, pixels: int) -> None:
        self.cut_off = 0
        self._sink = sink
        self._events = encoding == "events"
        self.sums = np.zeros(pixels, np.int64)

    def put(self, piece: Piece) -> None:
        """Hand all frames of `piece` on."""
        done, n = 0, len(piece.bounds) - 1
        while done < n:
            with self._sink.slot() as slot:
                fill = self._events_into if self._events else self._frames_into
                frames, words = fill(slot, piece, done)
                part = slice(done, done + frames)
                slot.index[:frames] = np.arange(done, done + frames) + piece.first
                slot.timestamp_ns[:frames] = piece.timestamp_ns[part]
                slot.commit(frames, words=words)
            done += frames

    def _events_into(self, slot: Slot, piece: Piece, done: int) -> tuple[int, int]:
        """Copy the events of as many frames as fit."""
        begin, room = int(piece.bounds[done]), len(slot.words)
        fits = np.searchsorted(piece.bounds[done:], begin + room, "right") - 1
        frames = min(int(fits), slot.capacity)
        if frames == 0:
            words = self._merged(piece, done, room)
            frames = 1
        else:
            words = piece.words[begin : piece.bounds[done + frames]]
        target = slot.words[: len(words)].view(np.int64)
        np.subtract(words, done << 40, out=target)
        return frames, len(words)

    def _merged(self, piece: Piece, frame: int, room: int) -> Array:
        """Return the events of a frame that has more than a slot holds, added up."""
        words = piece.words[piece.bounds[frame] : piece.bounds[frame + 1]].copy()
        left = words[: gather.merge_pixels(words, self.sums)]
        self.cut_off += int(((left[room:] >> 24) & 0xFFFF).sum())
        return left[:room]

    def _frames_into(self, slot: Slot, piece: Piece, done: int) -> tuple[int, int]:
        frames = min(len(piece.bounds) - 1 - done, slot.capacity)
        words = piece.words[piece.bounds[done] : piece.bounds[done + frames]]
        pixels = slot.pixels[:frames].reshape(frames, -1)
        pixels[...] = 0
        self.cut_off += int(gather.add_to_frames(words, done, pixels))
        return frames, 0


class Delivery:
    """Opens and ends acquisitions, and fills slots from the memory of a parser.

    Parameters
    ----------
    about
        Gives the acquisition of an id.
    live
        Whether time stamps follow the detector's clock, anchored at the first line; if
        not they are the time at which frames are handed on, as of a file that is
        played fast.
    """

    def __init__(
        self,
        memory: Array,
        sink: Sink,
        about: Callable[[str], Acquisition],
        *,
        live: bool = True,
    ) -> None:
        self.acquisition: Acquisition | None = None
        self._m = memory
        self._sink = sink
        self._about = about
        self._live = live
        self._since, self._since_ns = 0, 0
        self._counts = np.zeros_like(memory[k.COUNTS])
        self._taken = np.zeros(2, np.int64)
        self._facts = np.zeros(_ABOUT, np.int64)
        self._scratch = np.empty(0, np.int64)
        self._outlet: Outlet | None = None

    def deliver(self, horizon: int) -> None:
        """Hand on what has ended before tick `horizon`."""
        m = self._m
        if self._outlet is not None and m[k.SEG_SHIFT] == 0:
            self._compact()
        while True:
            kind = gather.next_is(horizon, self._end_line, m)
            if kind == gather.NOTHING:
                if self.acquisition is None or self.next_line < self._end_line:
                    return
                self.end("complete")
                continue
            self.begin()
            if kind == gather.GAP:
                self._gap()
            else:
                self._fill_slot(horizon)

    def deliver_oldest(self) -> None:
        """Hand on the oldest segment, because the memory is full."""
        m = self._m
        entry = m[k.OLD_ENTRY] & m[k.LINE_MASK]
        if m[k.OLD_ENTRY] == m[k.NEXT_ENTRY]:
            return
        gather.oldest(m, self._facts)
        end = self._facts[4] + (self._facts[5] + 1) * self._facts[2]
        self.deliver(max(int(end), int(m[k.START_AT + entry])))

    def deliver_all(self) -> None:
        """Hand on every line that has begun."""
        m = self._m
        if m[k.CLOCK] == k.EDGES_CLOCK:
            self.deliver(_FOREVER)
        else:
            # A clock has begun lines ahead of time.
            self.deliver(int(m[k.NOW] + m[k.PERIOD]))

    @property
    def next_line(self) -> int:
        """The first line that has not been handed on as a whole."""
        m = self._m
        if m[k.OLD_ENTRY] == m[k.NEXT_ENTRY]:
            return int(m[k.NEXT_LINE])
        return int(m[k.LINE_AT + (m[k.OLD_ENTRY] & m[k.LINE_MASK])])

    @property
    def frames_done(self) -> int:
        """How many frames of the acquisition have been handed on, or are gaps."""
        line = self.next_line - self._first_line
        return int(
            line * self._m[k.COLUMNS] + (self._m[k.OLD_SEG] << self._m[k.SEG_SHIFT])
        )

    def begin(self) -> None:
        """Start an acquisition, unless one is open."""
        if self.acquisition is not None:
            return
        about = self._about(self._sink.new_id())
        events = about.encoding == "events"
        self._sink.start(about, batch_frames=EVENT_FRAMES if events else None)
        self.acquisition = about
        height, width = about.frame_shape
        self._outlet = Outlet(self._sink, about.encoding, height * width)
        gather.oldest(self._m, self._facts)
        self._since, self._since_ns = int(self._facts[4]), time.time_ns()

    def end(self, state: EndState, reason: str = "") -> None:
        """Say where the hits went, and end the acquisition."""
        if self.acquisition is None:
            return
        whole = self._end_line - self._first_line
        total = min(self.frames_done, whole * int(self._m[k.COLUMNS]))
        self.account()
        self.acquisition = None
        self._m[k.FIRST_LINE] = min(self.next_line, self._end_line)
        self._sink.end(state, reason, total)

    # ---------------------------------------------------------------------------

    @property
    def _first_line(self) -> int:
        return int(self._m[k.FIRST_LINE])

    @property
    def _end_line(self) -> int:
        return int(self._m[k.FIRST_LINE] + self._m[k.LINES_PER_SCAN])

    def _gap(self) -> None:
        """Declare lines that were missed, up to the end of the scan."""
        m, slot = self._m, int(self._m[k.OLD_ENTRY] & self._m[k.LINE_MASK])
        line, lines = int(m[k.LINE_AT + slot]), int(m[k.LINES_AT + slot])
        stop = min(line + lines, self._end_line)
        columns = int(m[k.COLUMNS])
        first = (line - self._first_line) * columns
        cause = "missed_line" if m[k.KIND_AT + slot] == k.MISSED else "scan_restarted"
        self._sink.gap(first, first + (stop - line) * columns - 1, cause)
        if stop < line + lines:
            m[k.LINE_AT + slot], m[k.LINES_AT + slot] = stop, line + lines - stop
        else:
            gather.step(m)

    def _fill_slot(self, horizon: int) -> None:
        assert self.acquisition is not None
        if self.acquisition.encoding == "events":
            with self._sink.slot() as slot:
                frames, words = self._take(slot, horizon)
                if frames:
                    slot.commit(frames, words=words)
                    return
        self._outlet_of_segment()

    def _take(self, slot: Slot, horizon: int) -> tuple[int, int]:
        """Fill a slot with whole segments; none, if the first does not fit."""
        gather.take(
            horizon, self._end_line, slot.words.view(np.int64), slot.index,
            slot.timestamp_ns, self._first_line, self._since, self._m, self._taken,
        )  # fmt: skip
        frames, words = int(self._taken[0]), int(self._taken[1])
        slot.timestamp_ns[:frames] = self._stamps(slot.timestamp_ns[:frames])
        return frames, words

    def _outlet_of_segment(self) -> None:
        """Sort the events of the oldest segment by frame, and hand them on."""
        m, facts = self._m, self._facts
        gather.oldest(m, facts)
        line, column, columns, n = (int(v) for v in facts[:4])
        seg = int((m[k.OLD_ENTRY] & m[k.LINE_MASK]) * m[k.SEGS] + m[k.OLD_SEG])
        if len(self._scratch) < 2 * n:
            self._scratch = np.empty(2 * n, np.int64)
        mixed, words = self._scratch[:n], self._scratch[n : 2 * n]
        gather.drain(seg, mixed, -(column << 40), m)
        gather.step(m)
        bounds = np.empty(columns + 1, np.int64)
        gather.sort_by_place(mixed, columns, words, bounds)
        ticks = facts[4] - self._since + np.arange(columns) * facts[5]
        first = (line - self._first_line) * int(m[k.COLUMNS]) + column
        assert self._outlet is not None
        self._outlet.put(Piece(words, bounds, first, self._stamps(ticks * 25 >> 4)))

    def _stamps(self, after_ns: Array) -> Array:
        if self._live:
            return after_ns + self._since_ns
        return np.full(len(after_ns), time.time_ns())

    def _compact(self) -> None:
        """Keep exposures from taking more room than their pixels do."""
        assert self._outlet is not None
        limit = 2 * len(self._outlet.sums)
        if len(self._scratch) < limit + _FED:
            self._scratch = np.empty(limit + _FED, np.int64)
        gather.compact(limit, self._outlet.sums, self._scratch, self._m)

    def account(self) -> None:
        """Tell the engine of hits that are no events, since it was told last."""
        counts = self._m[k.COUNTS] - self._counts
        self._counts = self._m[k.COUNTS].copy()
        cut = 0
        if self._outlet is not None:
            cut, self._outlet.cut_off = self._outlet.cut_off, 0
        tell(self._sink, counts, cut)
