"""Puts what the wire says into the engine."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from scopeside.detector import Sink, Slot, StopRequested
from scopeside.errors import ProtocolError, ShapeError, SlabError
from scopeside_adapters.zmq.events import (
    Event,
    FramesReceived,
    GapDeclared,
    SequenceBroken,
    SeriesEnded,
    SeriesResumed,
    SeriesStarted,
)
from scopeside_adapters.zmq.fields import RefusedError
from scopeside_adapters.zmq.protocol import Parser
from scopeside_adapters.zmq.receiver import Receiver

WAIT_MS = 50
"""How long a stop may go unnoticed."""


class Intake:
    """Takes acquisitions from a receiver until the engine is asked to end."""

    def __init__(self, receiver: Receiver, sink: Sink, silence_s: float) -> None:
        self._receiver = receiver
        self._sink = sink
        self._silence_s = silence_s
        self._parser = Parser()
        self._events: deque[Event] = deque()
        self._open: str | None = None
        self._heard = time.monotonic()
        self._link_is_lost = False

    def run(self) -> None:
        """Take what comes."""
        while not self._sink.stopping:
            self._tell()
            event = self._next(WAIT_MS)
            if event is not None:
                self._take(event)
                self._heard = time.monotonic()
        raise StopRequested

    def _next(self, wait_ms: int) -> Event | None:
        """Return the next event; None if there is none now."""
        if not self._events:
            parts = self._receiver.receive(wait_ms)
            if parts is not None:
                self._heard = time.monotonic()
                self._link_is_lost = False
                self._parse(parts)
            elif wait_ms:
                self._mind_the_silence()
        return self._events.popleft() if self._events else None

    def _parse(self, parts: list[memoryview]) -> None:
        try:
            events = self._parser.feed(parts)
        except ProtocolError as error:
            frames = error.frames if isinstance(error, RefusedError) else 1
            self._sink.reject(frames, error.cause, str(error))
            return
        for event in events:
            if isinstance(event, SequenceBroken):
                self._sink.reject(0, event.cause, event.message)
            else:
                self._events.append(event)

    def _take(self, event: Event) -> None:
        match event:
            case FramesReceived():
                self._fill_slots(event)
            case SeriesStarted():
                self._start(event)
            case SeriesResumed(acquisition, epoch):
                self._sink.note(
                    f"the producer of {acquisition.id} was restarted (epoch {epoch})"
                )
            case GapDeclared(first, last, cause):
                self._sink.gap(first, last, cause)
            case SeriesEnded(total, state, reason):
                self._open = None
                self._sink.end(state, reason, total)

    def _start(self, event: SeriesStarted) -> None:
        acquisition = event.acquisition
        if self._open is not None:
            self._open = None
            self._sink.end(
                "failed",
                f"the producer began another acquisition ({acquisition.id}) before "
                "the end of this one",
            )
        try:
            self._sink.start(acquisition)
        except (SlabError, ShapeError) as error:
            cause = "oversized" if isinstance(error, SlabError) else "wrong_header"
            self._sink.reject(1, cause, f"START: {error}")
            self._parser.abandon(str(error))
        else:
            self._open = acquisition.id

    def _fill_slots(self, frames: FramesReceived) -> None:
        """Copy frames into slots, with the small batches that wait behind them."""
        portion: _Portion | None = _Portion(frames)
        while portion is not None:
            with self._sink.slot() as slot:
                # Small batches share a slot while more of them are waiting.
                until = time.monotonic() + self._sink.max_latency_s
                filled = 0
                while portion is not None and filled < slot.capacity:
                    filled += portion.copy_into(slot, filled)
                    if portion.exhausted:
                        portion = self._more_frames(until)
                slot.commit(filled)

    def _more_frames(self, until: float) -> _Portion | None:
        """Return frames that are here already; None if something else comes first."""
        if time.monotonic() > until:
            return None
        event = self._next(0)
        if isinstance(event, FramesReceived):
            return _Portion(event)
        if event is not None:
            self._events.appendleft(event)
        return None

    def _tell(self) -> None:
        """Tell who was turned away, and count what came by a withdrawn key."""
        for text in self._receiver.told():
            self._sink.note(text)
        refused, self._receiver.refused = self._receiver.refused, 0
        if refused:
            self._sink.reject(
                refused, "withdrawn_key", "the producer's key has been withdrawn"
            )

    def _mind_the_silence(self) -> None:
        """See to a producer that is lost; nothing that it sent is waiting by now."""
        lost = self._receiver.link_is_lost()
        if self._open is None:
            return
        # Judged when it is found twice: its last words may have come in between.
        if lost and self._link_is_lost:
            self._receiver.forget_link()
            self._sink.reject(
                1,
                "broken_link",
                "the producer's link was closed within the acquisition: it ended, or a "
                "part of a message was larger than max_message_mib",
            )
        self._link_is_lost = lost
        silent_s = time.monotonic() - self._heard
        if silent_s > self._silence_s:
            reason = f"the producer was lost: nothing came for {self._silence_s:g} s"
            self._open = None
            self._parser.abandon(reason)
            self._sink.end("failed", reason)


class _Portion:
    """Frames of one message, some of which have been copied."""

    def __init__(self, frames: FramesReceived) -> None:
        self._frames = frames
        self._done = 0
        # As bytes: what was received need not be aligned to the size of a pixel.
        self._pixels = np.frombuffer(frames.pixels, np.uint8).reshape(frames.n, -1)
        self._t_ns = time.time_ns() if frames.t_ns is None else frames.t_ns

    @property
    def exhausted(self) -> bool:
        """Whether all frames have been copied."""
        return self._done == self._frames.n

    def copy_into(self, slot: Slot, at: int) -> int:
        """Copy what fits into `slot` behind the first `at` frames; return how many."""
        frames, first = self._frames, self._done
        n = min(frames.n - first, slot.capacity - at)
        here, mine = slice(at, at + n), slice(first, first + n)
        room = slot.pixels.reshape(-1).view(np.uint8).reshape(slot.capacity, -1)
        np.copyto(room[here], self._pixels[mine])
        count = np.arange(first, first + n)
        if frames.index is None:
            slot.index[here] = frames.first + count
        else:
            slot.index[here] = np.frombuffer(frames.index, "<i8")[mine]
        if isinstance(self._t_ns, int):
            slot.timestamp_ns[here] = self._t_ns + frames.dt_ns * count
        else:
            slot.timestamp_ns[here] = np.frombuffer(self._t_ns, "<i8")[mine]
        self._done += n
        return n
