"""Puts the frames of a channel into the engine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink, Slot, StopRequested
from scopeside.errors import ProtocolError, ShapeError, SlabError, SourceError
from scopeside_adapters.epics.channel import Channel, Lost, Update
from scopeside_adapters.epics.decode import decode_into
from scopeside_adapters.epics.protocol import Frame, Plain, frame_of
from scopeside_adapters.epics.series import (
    Event,
    FrameReceived,
    FrameRepeated,
    FramesMissed,
    Series,
    SeriesEnded,
    SeriesStarted,
)

WAIT_S = 0.05
"""How long a stop may go unnoticed."""
SETTLE_S = 0.25
"""When nothing has come for so long, frames that are missing will not come late."""
GAP_CAUSE = "id_gap"
_LOSSY = (
    "uniqueId jumps: frames were dropped in the IOC, or replaced by newer ones because "
    "they were not fetched in time (PVAccess is lossy); they are counted as missing "
    f"({GAP_CAUSE})"
)


class Intake:
    """Takes acquisitions from a channel until the engine is asked to end.

    Parameters
    ----------
    describe
        Gives the acquisition that begins with a frame.
    silence_s
        Nothing for so long: the acquisition is over.
    timeout_s
        No IOC for so long: the operator is told.
    take_current
        Whether what the channel held before we came is a frame for us.
    name
        Channel and servers, in words.

    Attributes
    ----------
    latest
        Time of the newest frame, ns, and its attributes by name: temperature,
        position, and whatever else the IOC adds. The seam for side channels.
    ended
        How many acquisitions have ended.
    """

    def __init__(
        self,
        channel: Channel,
        sink: Sink,
        series: Series,
        describe: Callable[[Frame], Acquisition],
        *,
        silence_s: float,
        timeout_s: float,
        take_current: bool,
        name: str,
    ) -> None:
        self.latest: tuple[int, Mapping[str, Plain]] = (0, {})
        self.ended = 0
        self._channel = channel
        self._sink = sink
        self._series = series
        self._describe = describe
        self._silence_s = silence_s
        self._timeout_s = timeout_s
        self._take_current = take_current
        self._name = name
        self._events: deque[Event] = deque()
        self._heard = time.monotonic()
        self._said: set[str] = set()
        self._frames_came = False

    @property
    def idle(self) -> bool:
        """Whether the channel is there and no acquisition is open."""
        return self._channel.connected and not (self._series.is_open or self._events)

    def step(self) -> None:
        """Take what comes next, waiting for it at most `WAIT_S`."""
        event = self._next(WAIT_S)
        if event is not None:
            self._take(event)

    def _next(self, wait_s: float) -> Event | None:
        """Return the next event; None if there is none now."""
        if not self._events:
            self._listen(wait_s)
        return self._events.popleft() if self._events else None

    def _listen(self, wait_s: float) -> None:
        try:
            found = self._channel.receive(wait_s)
            if found is None:
                self._mind_the_silence()
                return
            self._heard = time.monotonic()
            if isinstance(found, Lost):
                self._mind_the_loss(found)
            elif frame := self._frame(found):
                self._events += self._series.feed(frame)
        except ProtocolError as error:
            if error.cause == "wrong_type" and not self._frames_came:
                raise SourceError(str(error)) from error
            self._sink.reject(1, error.cause, f"{self._name}: {error}")

    def _frame(self, update: Update) -> Frame | None:
        frame = frame_of(update.fields)
        if frame is None:
            return None
        self._frames_came = True
        if update.current and not self._take_current:
            self._say(
                f"{self._name} held frame {frame.unique_id} when we came; it is left "
                "out (take_current = true takes it)"
            )
            return None
        return frame

    def _take(self, event: Event) -> None:
        match event:
            case FrameReceived():
                self._fill_slot(event)
            case SeriesStarted(frame):
                self._start(frame)
            case FramesMissed(first, last):
                self._say(f"{self._name}: {_LOSSY}")
                self._sink.gap(first, last, GAP_CAUSE)
            case FrameRepeated(index):
                self._sink.reject(1, "duplicate", f"frame {index} came again")
            case SeriesEnded(state, reason, total):
                self.ended += 1
                self._sink.end(state, reason, total)

    def _start(self, frame: Frame) -> None:
        try:
            self._sink.start(self._describe(frame))
        except (SlabError, ShapeError) as error:
            cause = "oversized" if isinstance(error, SlabError) else "wrong_shape"
            self._sink.reject(1, cause, f"{self._name}: {error}")
            self._series.abandon()
            self._events.clear()

    def _fill_slot(self, received: FrameReceived) -> None:
        """Unpack a frame into a slot, with those that wait behind it."""
        failed: list[tuple[int, ProtocolError]] = []
        with self._sink.slot() as slot:
            # Small frames share a slot while more of them are waiting.
            until = time.monotonic() + self._sink.max_latency_s
            filled = 0
            more: FrameReceived | None = received
            while more is not None:
                try:
                    self._put(more, slot, filled)
                    filled += 1
                except ProtocolError as error:
                    failed.append((more.index, error))
                more = self._more(until) if filled < slot.capacity else None
            if filled:
                slot.commit(filled)
        for index, why in failed:
            self._sink.reject(1, why.cause, f"{self._name}, frame {index}: {why}")
            self._sink.gap(index, index, why.cause)

    def _put(self, received: FrameReceived, slot: Slot, at: int) -> None:
        frame = received.frame
        decode_into(frame, slot.pixels[at])
        slot.index[at] = received.index
        stamp = frame.timestamp_ns or time.time_ns()
        slot.timestamp_ns[at] = stamp
        self.latest = (stamp, frame.attributes)

    def _more(self, until: float) -> FrameReceived | None:
        """Return a frame that is here already; None if something else comes first."""
        if time.monotonic() > until:
            return None
        event = self._next(0)
        if isinstance(event, FrameReceived):
            return event
        if event is not None:
            self._events.appendleft(event)
        return None

    def _mind_the_loss(self, lost: Lost) -> None:
        self._events += self._series.end(
            f"{self._name}: {lost.reason}", whole="failed", short="failed"
        )
        self._sink.note(f"{self._name}: {lost.reason}; waiting for it to come back")

    def _mind_the_silence(self) -> None:
        silent_s = time.monotonic() - self._heard
        if not self._channel.connected and silent_s > self._timeout_s:
            self._say(
                f"no IOC answers for {self._name} since {self._timeout_s:g} s; is the "
                "IOC running, is the channel's name right, and do servers or addresses "
                "lead to it? Waiting"
            )
        if silent_s > SETTLE_S:
            self._events += self._series.settle()
        if silent_s > self._silence_s:
            reason = f"no frame came for {self._silence_s:g} s"
            self._events += self._series.end(reason, short="failed")

    def _say(self, message: str) -> None:
        """Tell the operator once."""
        if message not in self._said and len(self._said) < 1000:
            self._said.add(message)
            self._sink.note(message)


def take_all(
    intake: Intake, sink: Sink, between: Callable[[int], None], most: int = 0
) -> None:
    """Take what comes until `most` acquisitions have ended; 0: for ever.

    `between` is called while no acquisition is open, with the number of those ended.

    Raises
    ------
    StopRequested
        When the engine is asked to end.
    """
    while not sink.stopping:
        if most and intake.ended >= most:
            return
        if intake.idle:
            between(intake.ended)
        intake.step()
    raise StopRequested
