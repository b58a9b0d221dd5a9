"""Takes what the stream brings, series after series."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

import numpy as np

from scopeside.detector import Sink, StopRequested
from scopeside.errors import ProtocolError, ShapeError, SlabError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.dectris import stream1, stream2
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.events import (
    Event,
    Facts,
    ImageRead,
    SeriesDescribed,
    SeriesEnded,
    SeriesStarted,
)
from scopeside_adapters.dectris.images import (
    IMAGE,
    KIND,
    NUMBER,
    SERIES,
    WRONG,
    Rows,
)
from scopeside_adapters.dectris.metadata import facts_of_v1
from scopeside_adapters.dectris.parcel import Parcel
from scopeside_adapters.dectris.receiver import MOST_MESSAGES, Receiver
from scopeside_adapters.dectris.series import Series, facts_of_image
from scopeside_adapters.dectris.watch import Health, Watch

WAIT_S = 0.02
_LATE_S = 0.3
"""Images may come so long after the end that has overtaken them."""
_LINK_S = 3.0
_RETURN_S = 1.0
"""A link that was lost may stand again within this time."""
_OVER_S = 1.5
"""A series is over if nothing comes for so long while the detector is idle."""


class Intake:
    """Brings series from a receiver into the engine.

    Parameters
    ----------
    watch
        Where to ask for the detector's state; None: nobody can be asked.
    name
        Who the detector is, for messages.
    silence_s
        A series of which nothing is heard for so long has failed.
    packed
        Whether images stay as they came.
    """

    def __init__(
        self,
        receiver: Receiver,
        reader: stream1.Reader | stream2.Reader,
        decoder: Decoder,
        sink: Sink,
        *,
        settings: AcquisitionSettings,
        watch: Watch | None,
        name: str,
        silence_s: float,
        packed: bool = False,
    ) -> None:
        self._receiver = receiver
        self._reader = reader
        self._decoder = decoder
        self._sink = sink
        self._settings = settings
        self._watch = watch
        self._name = name
        self._silence_s = silence_s
        self._packed = packed
        self._parcel = receiver.new_parcel()
        self._limit = 256
        self._series: Series | None = None
        self._ended: deque[int] = deque(maxlen=64)
        self._ending: float | None = None
        self._down: float | None = None
        self._is_awaited = False
        self._awaited: int | None = None
        self._began = time.monotonic()
        self._is_told = False
        self.finished = 0
        """How many series have ended."""

    def links_stand(self, timeout_s: float) -> bool:
        """Wait for the links to the stream; return whether they stand."""
        return self._receiver.all_up(timeout_s, lambda: self._sink.stopping)

    @property
    def address(self) -> str:
        """Where the stream is."""
        return self._receiver.address

    @property
    def in_series(self) -> bool:
        """Whether a series has begun and has not ended."""
        return self._series is not None

    def expect(self, series: int | None) -> None:
        """Be told that the detector was armed: images without a header are old."""
        self._is_awaited, self._awaited = True, series

    def step(self) -> None:
        """Take what comes next, or look after the silence.

        Raises
        ------
        StopRequested
            If the engine is asked to end.
        """
        if self._sink.stopping:
            raise StopRequested
        parcel = self._parcel
        if not self._receiver.receive(
            parcel, self._limit, WAIT_S, self._sink.max_latency_s
        ):
            self._mind_the_silence()
            return
        rows = self._reader.rows(parcel)
        if rows[:, KIND].any():
            self._take_one_by_one(parcel, rows)
        else:
            self._take_images(parcel, rows)
        if self._ending is not None and self._series and self._series.is_whole:
            self.finish()

    def drain(self, patience_s: float) -> None:
        """Throw away what comes until the end of the series."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            parcel = self._parcel
            if not self._receiver.receive(parcel, MOST_MESSAGES, WAIT_S, 0.0):
                continue
            rows = self._reader.rows(parcel)
            for k in np.flatnonzero(rows[:, KIND]).tolist():
                if self._is_end(parcel, k):
                    return

    def _is_end(self, parcel: Parcel, message: int) -> bool:
        try:
            events = self._reader.events(parcel, message)
        except ProtocolError:
            return False  # it is thrown away in any case
        return any(isinstance(event, SeriesEnded) for event in events)

    # -- messages ----------------------------------------------------------------------

    def _take_one_by_one(self, parcel: Parcel, rows: Rows) -> None:
        """Take a parcel in which there is more than usual images."""
        at = 0
        for k in np.flatnonzero(rows[:, KIND]).tolist():
            rows[k, KIND] = WRONG
            try:
                events = self._reader.events(parcel, k)
            except ProtocolError as error:
                self._sink.reject(1, error.cause, f"{self._name}: {error}")
                continue
            if len(events) == 1 and isinstance(events[0], ImageRead):
                rows[k] = events[0].row
                continue
            self._take_images(parcel, rows[at:k])
            at = k
            for event in events:
                if isinstance(event, ImageRead):
                    self._take_images(parcel, event.row[None])
                else:
                    self._take_event(event)
        self._take_images(parcel, rows[at:])

    def _take_event(self, event: Event) -> None:
        match event:
            case SeriesStarted(number, facts):
                self._start(number, facts)
            case SeriesDescribed(facts):
                if self._series is not None and not self._series.is_open:
                    self._series.facts = facts
            case SeriesEnded(number):
                if self._series is not None and self._series.number == number:
                    self._series.heard = time.monotonic()
                    self._ending = time.monotonic() + _LATE_S
                    if self._series.is_whole:
                        self.finish()

    def _start(self, number: int, facts: Facts) -> None:
        series = self._series
        if series is not None and series.number == number:
            # With several links its images may overtake the header.
            series.facts = replace(series.facts, expected=facts.expected)
            return
        if series is not None:
            self.finish(f"series {number} began before the end of this one")
        if self._is_awaited and self._awaited not in (None, number):
            self._sink.note(
                f"{self._name}: it was armed for series {self._awaited} and sends "
                f"series {number}"
            )
        if number in self._ended:  # after a power cycle it counts anew
            self._ended.remove(number)
        self._begin(number, facts)
        if not isinstance(self._reader, stream1.Reader):
            self._open()

    def _begin(self, number: int, facts: Facts) -> None:
        self._is_awaited = False
        self._ending = None
        health = self._health()
        if facts.expected is None and self._watch is not None:
            health = self._watch.now()
            facts = replace(facts, expected=facts_of_v1(health.config).expected)
        model = str(health.config.get("description") or "")
        who = f"{self._name} ({model[:80]})" if model else self._name
        self._series = Series(number, facts, who, time.time_ns(), packed=self._packed)

    def _open(self) -> bool:
        """Open the acquisition; a series that cannot be opened is passed over."""
        series = self._series
        assert series is not None  # who calls has seen to that
        try:
            return series.open(self._sink, self._settings)
        except (SlabError, ShapeError) as error:
            cause = "oversized" if isinstance(error, SlabError) else "wrong_header"
            self._sink.reject(1, cause, f"{self._name}: {error}")
            self._close(series)
            return False

    def _take_images(self, parcel: Parcel, rows: Rows) -> None:
        """Take images, those of other series apart."""
        if rows[:, KIND].any():
            rows = rows[rows[:, KIND] == IMAGE]
        while len(rows):
            number = int(rows[0, SERIES])
            other = np.flatnonzero(rows[:, SERIES] != number)
            n = int(other[0]) if len(other) else len(rows)
            self._take_images_of(number, parcel, rows[:n])
            rows = rows[n:]

    def _take_images_of(self, number: int, parcel: Parcel, rows: Rows) -> None:
        series = self._series
        if series is None or series.number != number:
            if cause := self._why_not(number):
                self._sink.reject(
                    len(rows), cause[0], f"{self._name}: series {number}: {cause[1]}"
                )
                return
            self._sink.note(
                f"{self._name}: series {number} was running already; it is taken from "
                f"image {rows[0, NUMBER]} on"
            )
            self._begin(number, Facts())
            series = self._series
        assert series is not None
        if not series.is_open:
            series.facts = facts_of_image(series.facts, rows[0])
            if not self._open():
                return
        capacity = series.take(self._sink, self._decoder, parcel.data, rows)
        series.heard = time.monotonic()
        self._limit = max(capacity, 16) if capacity else self._limit

    def _why_not(self, number: int) -> tuple[str, str] | None:
        """Return why images of that series cannot be taken: cause and words."""
        if self._series is not None:
            return "other_series", f"it is not the one that runs, {self._series.number}"
        if number in self._ended:
            return "after_end", "it has ended"
        if self._is_awaited and number != self._awaited:
            return "no_header", "its header has not come"
        return None

    # -- ends ------------------------------------------------------------------------

    def finish(self, trouble: str = "") -> None:
        """End the series that runs; `trouble` if the detector did not."""
        series = self._series
        if series is None:
            return
        dropped = None
        if not series.is_whole and self._watch is not None:
            dropped = self._watch.now().dropped
        self._close(series)
        series.finish(self._sink, self._settings, dropped, trouble)

    def _close(self, series: Series) -> None:
        self._series = self._ending = self._down = None
        self._ended.append(series.number)
        self.finished += 1

    def _health(self) -> Health:
        return Health() if self._watch is None else self._watch.health

    def _tell_of_the_link(self, up: bool) -> None:
        """Tell the operator, once, of a stream that is not there."""
        if up or self._is_told or time.monotonic() - self._began < _LINK_S:
            return
        self._is_told = True
        stranger = self._receiver.strangers
        self._sink.note(
            f"{self._name}: "
            + (
                f"what listens at {self._receiver.address} is no ZeroMQ stream; see "
                "the port"
                if stranger
                else f"nothing listens at {self._receiver.address} yet; is its stream "
                "enabled, and are version and port right?"
            )
        )

    def _mind_the_silence(self) -> None:
        """See whether a series that says nothing is over, or its detector lost."""
        series, now = self._series, time.monotonic()
        up = self._receiver.is_up
        if series is None:
            self._tell_of_the_link(up)
            return
        if self._ending is not None:
            if now > self._ending:
                self.finish()
            return
        if not up:
            self._down = self._down or now
            if now - self._down > _RETURN_S:
                self.finish(
                    f"{self._name} was lost in mid-series: its stream at "
                    f"{self._receiver.address} was closed and did not return"
                )
            return
        self._down = None
        silent_s, health = now - series.heard, self._health()
        if silent_s > _OVER_S and health.asked > series.heard + _OVER_S / 2:
            if health.state in ("idle", "na", "error"):
                self.finish(
                    f"{self._name} is in state '{health.state}' but has not said that "
                    "the series is over"
                )
                return
            if health.state in ("ready", "acquire"):
                return  # it waits for triggers
        if silent_s > self._silence_s:
            self.finish(
                f"nothing came from {self._name} for {self._silence_s:g} s"
                + (f"; {health.trouble}" if health.trouble else "")
            )
