"""Puts what a Merlin sends into the engine."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from scopeside.detector import EndState, Sink, Slot, StopRequested
from scopeside.errors import ShapeError, SlabError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.medipix import AcquisitionHeader
from scopeside_adapters.medipix_pixels import unpack, warm
from scopeside_adapters.merlin.link import Link
from scopeside_adapters.merlin.protocol import (
    FrameReceived,
    HeaderReceived,
    Skipped,
    Wanted,
)
from scopeside_adapters.merlin.series import Portion, Series, begin
from scopeside_adapters.merlin.survey import NO_TIME

IntArray = npt.NDArray[np.int64]

WAIT_S = 0.05
"""How long a stop may go unnoticed."""


class Intake:
    """Takes acquisitions from one data connection.

    Parameters
    ----------
    link
        The connection.
    sink
        Where the frames go.
    settings
        What the detector does not say.
    counter
        Which counter is taken where each exposure has two frames; None: not said.
    flip_y
        Whether the first stored row becomes the last.
    silence_s
        For how long a detector may be silent in mid-series.
    on_header
        Called when an acquisition has been announced: the time for a trigger.
    status
        Asks the detector what it does: 0 nothing, None unknown.
    """

    def __init__(
        self,
        link: Link,
        sink: Sink,
        settings: AcquisitionSettings,
        *,
        counter: int | None = None,
        flip_y: bool = True,
        silence_s: float = 1.5,
        on_header: Callable[[], None] = lambda: None,
        status: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._link = link
        self._stream = link.stream
        self._sink = sink
        self._settings = settings
        self._counter = counter
        self._flip_y = flip_y
        self._silence_s = silence_s
        self._on_header = on_header
        self._status = status
        self._header: AcquisitionHeader | None = None
        self._series: Series | None = None
        self._over: Series | None = None  # the last one, if it may have a rest
        self._other: int | None = None  # the last number of the other counter
        self._stale = False
        self._ended = False
        self._lost = False

    def take_one(self, *, announced: bool = False) -> bool:
        """Take one acquisition; return whether there was one.

        False if the connection ended first. With `announced`, frames that come before
        the header of an acquisition are remains of another one.
        """
        self._stale = announced
        self._ended = self._lost = False
        while not self._ended and not self._lost:
            if self._sink.stopping:
                raise StopRequested
            self._step()
        return self._ended

    def drain(self, quiet_s: float) -> None:
        """Throw away what comes until nothing has come for so long."""
        self._stream.expect(0)
        while not self._link.closed:
            if self._sink.stopping:
                raise StopRequested
            self._stream.take(self._stream.end)
            if not self._link.receive(quiet_s):
                break
        self._header = self._over = None

    # -- what comes ---------------------------------------------------------------

    def _step(self) -> None:
        """Take what is here, or wait for more."""
        series = self._series
        if series is not None and (n := self._look(series)):
            self._fill(series, n)
            return
        depth = None if self._header is None else self._header.depth
        event = self._stream.next(depth)
        match event:
            case Wanted():
                self._wait()
            case Skipped():
                self._sink.reject(
                    event.frames, event.cause, f"{self._link.name}: {event.message}"
                )
                self._stream.take(event.end)
            case HeaderReceived():
                self._announce(event)
            case FrameReceived():
                self._take_with_care(event)

    def _look(self, series: Series) -> int:
        """Return how many frames of the series are here and may be taken at once."""
        stream = self._stream
        n = series.survey.look(stream.array, stream.begin, stream.end)
        last = stream.begin + (n - 1) * series.survey.message
        # Of a frame with nothing behind it, only a look inside shows that it is cut
        # short and holds the begin of the next.
        if n and last + series.survey.message == stream.end:
            n -= stream.data.find(b"MPX,", last + 4, stream.end) >= 0
        return n

    def _wait(self) -> None:
        """Wait for more, and see to a detector that is lost or silent."""
        quiet_s = self._link.quiet_s
        if self._link.receive(WAIT_S):
            if self._series is not None:
                self._series.note_interval(quiet_s)
        elif self._link.closed:
            if self._series is not None:
                self._end("failed", self._link.closed)
            self._lost = True
        elif self._series is not None:
            self._mind_the_silence(self._series)

    def _mind_the_silence(self, series: Series) -> None:
        quiet_s = self._link.quiet_s
        if quiet_s < series.patience_s(self._silence_s):
            return
        status = self._status()
        if status:
            self._link.quiet_s = 0.0
            if series.waited_for:
                return
            series.waited_for = True
            self._sink.note(
                f"{self._link.name} has sent nothing for {quiet_s:.1f} s after "
                f"{series.progress}, and says that it is busy (status {status})"
            )
            return
        silent = f"it has sent nothing for {quiet_s:.1f} s"
        if series.expected is None or series.is_half:
            self._end("complete", silent, total=series.numbers.next)
        elif status == 0:
            self._end("failed", "it says that it is idle")
        else:
            self._end("failed", silent)

    def _end(self, state: EndState, reason: str = "", total: int | None = None) -> None:
        """End the acquisition that is open."""
        series = self._series
        assert series is not None  # whoever calls this has seen it
        for first, last in series.numbers.remaining():
            self._sink.gap(first, last, "lost_by_detector")
        if reason:
            reason = f"{self._link.name}: {reason}, after {series.progress}"
        self._series, self._over, self._header = None, series, None
        self._ended = True
        self._sink.end(state, reason, total)

    def _announce(self, event: HeaderReceived) -> None:
        if self._series is not None:
            self._end("failed", "the detector began another acquisition")
            return  # the header is taken by the next one
        self._stream.take(event.end)
        self._header, self._over, self._stale = event.header, None, False
        self._on_header()

    def _take_with_care(self, event: FrameReceived) -> None:
        """Take one frame that was parsed, or find that another series begins."""
        series = self._series
        if series is None:
            self._begin(event)
            return
        if event.pixels != series.frame.pixels:
            self._end(
                "failed",
                f"the frames changed from {series.frame.pixels.name} to "
                f"{event.pixels.name}",
            )
            return
        if not series.survey.fits(event):
            series.like(event, self._stream.data)
            self._stream.expect(event.end - event.begin)
        survey = series.survey
        if not survey.look(self._stream.array, event.begin, event.end):
            survey.sequence[0] = event.header.sequence
            survey.counter[0] = event.header.counter
            survey.time_ns[0] = NO_TIME
        self._fill(series, 1)

    def _begin(self, event: FrameReceived) -> None:
        """Begin an acquisition with its first frame, which is not taken yet."""
        number, over = event.header.sequence, self._over
        goes_on = over is not None and number > over.numbers.last
        counter = self._choice()
        if counter is not None and event.header.counter != counter:
            self._leave_out_other(event, counter)
        elif self._stale and number > 1:
            self._leave_out(event, "stale", "frames of an acquisition before this one")
        elif over is not None and over.whole and goes_on:
            self._leave_out(event, "after_end", "frames beyond the announced number")
        else:
            if over is not None and goes_on and self._header is None:
                self._header = over.header  # it was given up too early
            self._start(event)

    def _start(self, event: FrameReceived) -> None:
        series = begin(
            event,
            self._stream.data,
            self._header,
            self._settings,
            self._link.name,
            flip_y=self._flip_y,
            counter=self._choice(),
            other=self._other,
            new_id=self._sink.new_id(),
        )
        warm(event.pixels)
        try:
            self._sink.start(series.acquisition)
        except (SlabError, ShapeError) as error:
            self._leave_out(event, "oversized", str(error))
            return
        self._series, self._over, self._other = series, None, None
        self._stream.expect(event.end - event.begin)
        if series.numbers.next:
            self._sink.note(
                f"{self._link.name}: an acquisition is under way at frame "
                f"{event.header.sequence}; its header was not heard"
            )
            self._sink.gap(0, series.numbers.next - 1, "joined_late")

    def _leave_out(self, event: FrameReceived, cause: str, text: str) -> None:
        self._sink.reject(1, cause, f"{self._link.name}: {text}")
        self._stream.take(event.end)

    def _choice(self) -> int | None:
        return (self._header or AcquisitionHeader()).choice(self._counter)

    def _leave_out_other(self, event: FrameReceived, counter: int) -> None:
        if self._other is None and self._over is None:
            self._sink.note(
                f"{self._link.name} sends counter {event.header.counter} as well, or "
                f"only; frames of counter {counter} are taken"
            )
        self._other = event.header.sequence
        self._stream.take(event.end)

    # -- frames ---------------------------------------------------------------------

    def _fill(self, series: Series, n: int) -> None:
        """Put the next `n` frames, and those that follow at once, into a slot."""
        with self._sink.slot() as slot:
            until = time.monotonic() + self._sink.max_latency_s
            filled = self._unpack(series, slot, 0, n)
            while filled < slot.capacity and not series.over:
                n = self._look(series)
                if n:
                    filled += self._unpack(series, slot, filled, n)
                    continue
                left = until - time.monotonic()
                if left <= 0 or not self._goes_on(series):
                    break
                if not self._link.receive(left):
                    break
            if filled:
                slot.commit(filled)
        if series.broken:
            self._end("failed", series.broken)
        elif series.whole:
            self._end("complete", total=series.expected)

    def _goes_on(self, series: Series) -> bool:
        """Tell whether what is here may be the begin of a frame of the series."""
        stream, prefix = self._stream, series.survey.prefix
        here = stream.array[stream.begin : stream.end]
        if len(here) >= series.survey.message:
            return False
        shared = min(len(here), len(prefix))
        return bool((here[:shared] == prefix[:shared]).all())

    def _unpack(self, series: Series, slot: Slot, filled: int, n: int) -> int:
        """Put up to `n` frames into `slot` after `filled`; return how many."""
        stream, message = self._stream, series.survey.message
        portion = series.admit(n, slot.capacity - filled)
        k = len(portion.which)
        if k:
            at = stream.begin + series.frame.at - series.frame.begin
            room = slice(filled, filled + k)
            starts = at + message * portion.which
            out = slot.pixels[room]
            unpack(stream.array, starts, series.frame.pixels, out, flip=self._flip_y)
            slot.index[room] = portion.index
            slot.timestamp_ns[room] = portion.time_ns
            if portion.time_ns.min() == NO_TIME:
                untimed = portion.time_ns == NO_TIME
                slot.timestamp_ns[room][untimed] = time.time_ns()
        stream.take(stream.begin + portion.messages * message)
        self._tell(portion)
        return k

    def _tell(self, portion: Portion) -> None:
        """Say what is wrong with the numbers of some frames."""
        name = self._link.name
        if portion.back:
            self._sink.reject(0, "out_of_order", f"{name}: {portion.back}")
        if portion.beyond:
            text = f"{name}: frames numbered beyond the announced number"
            self._sink.reject(portion.beyond, "beyond_end", text)
        for first, last in portion.missing:
            self._sink.gap(first, last, "lost_by_detector")
