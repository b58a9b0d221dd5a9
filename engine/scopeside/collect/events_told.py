"""Which events have been told of an acquisition, and how far frames are looked at.

For a recorder that keeps only what surrounds events. It is a state, not a stream: it
follows from the parts that the collector has accepted, so a collector that is made
again from the journal says the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.control.adviser import answers
from scopeside.pipeline import Chain
from scopeside.processor import Order
from scopeside.record.settings import RecordSettings
from scopeside.wire import Buffer, Kind, Message, encode

MAX_EVENTS = 4096
"""Events of an acquisition that are told apart; beyond, the two oldest become one."""
MAX_STAMPS = 1 << 20
"""Frames of a chain whose times are remembered, at most."""
ONSETS = ("onset_frame", "birth_frame", "at_frame")
"""Keys of an event that say at which frame it began; without them, its first frame."""
ENDLESS_NS = 1 << 62
_LABEL = 120

IntArray = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Event:
    from_ns: int
    to_ns: int
    label: str
    source: str


@dataclass(slots=True)
class _Looked:
    """How far one chain has looked, and when its last frames were taken."""

    upto_ns: int = -1
    n: int = 0
    batches: deque[tuple[IntArray, IntArray]] = field(default_factory=deque)

    def add(self, index: IntArray, times: IntArray) -> None:
        """Take a batch."""
        if len(index):
            self.batches.append((index, times))
            self.n += len(index)
            self.upto_ns = max(self.upto_ns, int(times.max()))

    def forget(self, late_ns: int) -> None:
        """Forget the batches that no event to come may reach back to."""
        oldest_ns = self.upto_ns - late_ns
        while len(self.batches) > 1 and (
            self.n > MAX_STAMPS or int(self.batches[0][1].max()) < oldest_ns
        ):
            self.n -= len(self.batches.popleft()[0])

    def packed(self) -> list[list[bytes]]:
        """Return (indices, time stamps) of each batch, packed int64."""
        return [[index.tobytes(), times.tobytes()] for index, times in self.batches]

    def time_of(self, frame: int) -> int | None:
        """Return when a frame, or the last one before it, was taken; None: unknown."""
        for index, times in reversed(self.batches):
            before = index <= frame
            if before.any():
                return int(times[np.where(before, index, -1).argmax()])
        return None


def finders(chains: Sequence[Chain], settings: RecordSettings) -> list[str]:
    """Return the chains that may tell of an event that is asked for.

    They are all if none may: then only a person does.
    """
    names = {want.partition(".")[0] for want in settings.on}
    found = [
        chain.name
        for chain in chains
        for step in chain.steps
        if step.cls.order is Order.ORDERED and (not names or step.name in names)
    ]
    return list(dict.fromkeys(found)) or [chain.name for chain in chains]


class EventsTold:
    """What is known of the events of one acquisition.

    Attributes
    ----------
    final
        All frames have been looked at.
    changed
        Counts the changes: who has seen this number has seen them all.
    notes
        What the operator should know.
    """

    def __init__(
        self, acquisition: str, settings: RecordSettings, chains: Sequence[Chain]
    ) -> None:
        self.final = False
        self.changed = 0
        self.notes: list[str] = []
        self._acquisition = acquisition
        self._settings = settings
        self._before_ns = _ns(settings.before_s)
        self._after_ns = _ns(settings.after_s)
        self._late_ns = _ns(settings.late_s)
        self._looked = {name: _Looked() for name in finders(chains, settings)}
        self._events: list[_Event] = []
        self._said_late = False

    # -- what comes -------------------------------------------------------------

    def take(self, header: Mapping[str, Any]) -> None:
        """Take what a part, or results that came before it, tell; it is new."""
        looked = self._looked.get(header["chain"])
        if looked is None:
            return
        for index, times in header.get("stamps", ()):
            looked.add(_ints(index), _ints(times))
            self.changed += 1
        for step, own, _ in header["said"]:
            if self._wanted(step, own):
                self._event(looked, step, own, header["t_ns"])
        looked.forget(self._late_ns)  # now that its own events are told

    def keep(self, t_ns: int, before_ns: int, after_ns: int, note: str) -> None:
        """Take a person's word that something is going on at `t_ns`."""
        # Told so that with what the recorder puts around it, it is what was asked for.
        label = f"marked by hand: {note}" if note else "marked by hand"
        self._put(
            _Event(
                t_ns - before_ns + self._before_ns,
                t_ns + after_ns - self._after_ns,
                label[:_LABEL],
                "",
            )
        )

    def blind(self, chain: str) -> None:
        """Take that a chain will look at nothing any more: all is kept from now on."""
        source = f"blind {chain}"
        if chain not in self._looked or any(e.source == source for e in self._events):
            return
        self._put(
            _Event(
                self._looked[chain].upto_ns - self._late_ns,
                ENDLESS_NS,
                f"chain {chain!r} is degraded: nobody looks for events",
                source,
            )
        )
        self.notes.append(
            f"{self._acquisition}: chain {chain!r} is degraded and finds no more "
            "events; every frame is recorded from now on"
        )

    def end(self) -> None:
        """Take that all frames have been looked at."""
        self.changed += not self.final
        self.final = True

    # -- what is asked ----------------------------------------------------------

    @property
    def upto_ns(self) -> int:
        """Time up to which all chains that count have looked, -1 before the first."""
        return min((one.upto_ns for one in self._looked.values()), default=-1)

    def to_header(self) -> dict[str, Any]:
        """Return all that the recorder is told."""
        return {
            "acq": self._acquisition,
            "events": [[one.from_ns, one.to_ns, one.label] for one in self._events],
            "upto_ns": self.upto_ns,
            "final": self.final,
        }

    # -- the journal ------------------------------------------------------------

    def to_record(self) -> list[Buffer]:
        """Return all of it as one message, for the journal."""
        header = {
            "acq": self._acquisition,
            "events": [[e.from_ns, e.to_ns, e.label, e.source] for e in self._events],
            "looked": [
                [name, one.upto_ns, one.packed()] for name, one in self._looked.items()
            ],
            "said_late": self._said_late,
        }
        return encode(Kind.EVENTS, header)

    def from_record(self, message: Message) -> None:
        """Take over what `to_record` gave."""
        header = message.header
        self._events = [_Event(*one) for one in header["events"]]
        self._looked = {
            name: _looked(upto, batches) for name, upto, batches in header["looked"]
        }
        self._said_late = header["said_late"]
        self.changed += 1

    # ---------------------------------------------------------------------------

    def _wanted(self, step: str, own: Mapping[str, Any]) -> bool:
        if not own["valid"]:
            return False
        if not self._settings.on:
            return bool(own["kind"] == "event")
        return any(_asks_for(want, step, own) for want in self._settings.on)

    def _event(
        self, looked: _Looked, step: str, own: Mapping[str, Any], t_ns: int
    ) -> None:
        first, last, _, _ = own["frames"]
        value = own.get("value")
        said = value if isinstance(value, Mapping) else {}
        declared_ns = looked.time_of(last)
        declared_ns = t_ns if declared_ns is None else declared_ns
        named = next((said[key] for key in ONSETS if _is_number(said.get(key))), None)
        onset_ns = looked.time_of(math.floor(first if named is None else named))
        earliest_ns = declared_ns - self._late_ns
        if named is not None and (onset_ns is None or onset_ns < earliest_ns):
            self._say_late(step, own["name"], last)
        from_ns = min(declared_ns, max(earliest_ns, onset_ns or 0))
        which = said.get("id")
        source = f"{step}.{own['name']}"
        source += f" {which}" if isinstance(which, int | str) else ""
        label = f"{source} at frame {last}"
        self._put(_Event(from_ns, declared_ns, label[:_LABEL], source[:_LABEL]))

    def _put(self, event: _Event) -> None:
        """Add an event; what is said of the same thing again prolongs it."""
        self.changed += 1
        last = next((e for e in reversed(self._events) if _same(e, event)), None)
        around_ns = self._before_ns + self._after_ns
        if (
            last is not None
            and event.from_ns - around_ns <= last.to_ns
            and (last.from_ns - around_ns <= event.to_ns)
        ):
            last.from_ns = min(last.from_ns, event.from_ns)
            last.to_ns = max(last.to_ns, event.to_ns)
            return
        self._events.append(event)
        if len(self._events) > MAX_EVENTS:
            oldest, old = self._events.pop(0), self._events[0]
            old.from_ns = min(old.from_ns, oldest.from_ns)
            old.to_ns = max(old.to_ns, oldest.to_ns)
            old.label = f"{oldest.label.removesuffix(_OTHERS)}{_OTHERS}"

    def _say_late(self, step: str, name: str, frame: int) -> None:
        if not self._said_late:
            self._said_late = True
            self.notes.append(
                f"{self._acquisition}: {step}.{name}, told at frame {frame}, began "
                f"more than record.late_s = {self._settings.late_s:g} s before; its "
                "window begins there. A larger late_s keeps the onset (said once)"
            )


_OTHERS = " and others"


def _looked(upto_ns: int, batches: Sequence[Sequence[bytes]]) -> _Looked:
    found = deque((_ints(index), _ints(times)) for index, times in batches)
    return _Looked(upto_ns, sum(len(index) for index, _ in found), found)


def _same(one: _Event, other: _Event) -> bool:
    return bool(one.source) and one.source == other.source


def _asks_for(want: str, step: str, own: Mapping[str, Any]) -> bool:
    what, _, status = want.partition(":")
    if not answers(what, step, own["name"], own["kind"]):
        return False
    value = own.get("value")
    return not status or (isinstance(value, Mapping) and value.get("status") == status)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _ints(data: Buffer) -> IntArray:
    return np.frombuffer(data, "<i8").astype(np.int64, copy=False)
