"""What is known of all channels, and of each acquisition the frames' times.

Samples and times come in whatever order; a join is made when it is asked for, from all
that is known then. What comes here is in the collector's journal as well, so that a
new collector knows the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.collect.joined import MAX_SAMPLES, Joined
from scopeside.collect.samples import Samples
from scopeside.join import FloatArray, IntArray, match_one
from scopeside.pipeline import Channel
from scopeside.result import Result
from scopeside.wire import Buffer, Kind, Message, encode

RING = 1 << 14
"""Samples of a channel that are kept for acquisitions to come, at most."""
EXPECTED_S = 20.0
"""Samples that are known to come are waited for so long, s."""


@dataclass(slots=True)
class Heard:
    """One channel, over all acquisitions."""

    ring: Samples = field(default_factory=lambda: Samples(RING))
    received: int = 0
    sender: str = ""
    arrived: float = 0.0
    expected: int = 0
    """Samples that will come, if that is known beforehand, as of a recording."""


def _heard(channel: Channel) -> Heard:
    """Return what is known of a channel before its first sample."""
    count = getattr(channel.cls, "expects", None)
    expected = 0 if count is None else int(count(channel.params))
    ring = Samples(max(RING, min(expected, MAX_SAMPLES)))
    return Heard(ring=ring, expected=expected)


class Channels:
    """The samples of all channels and the acquisitions that they are joined to."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.notes: list[str] = []
        self._settings = {one.settings.name: one.settings for one in channels}
        self._heard = {one.settings.name: _heard(one) for one in channels}
        self._numbers: dict[str, int] = {}
        self._joined: dict[str, Joined] = {}
        self._closed: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._settings)

    # -- what comes -------------------------------------------------------------

    def open(self, acquisition: Acquisition) -> None:
        """Begin to join to an acquisition; it gets the samples of just before."""
        rings = {name: heard.ring for name, heard in self._heard.items()}
        self._joined[acquisition.id] = Joined(acquisition, self._settings, rings)

    def frames(self, header: dict[str, Any]) -> None:
        """Take the times of frames from the header of a part."""
        for index, times in header.get("times", ()):
            self._joined[header["acq"]].times.add(_ints(index), _ints(times))

    def absorb(self, message: Message) -> bool:
        """Take in a group of samples; return whether it was new."""
        header = message.header
        sender, number = header["sender"], header["number"]
        if number <= self._numbers.get(sender, 0):
            return False
        self._numbers[sender] = number
        for name, times, values in samples_of(message):
            self._take(name, sender, times, values)
        return True

    def close(self, acquisition: str) -> None:
        """Join no further samples to an acquisition; its results are final."""
        self._closed.add(acquisition)

    def forget(self, acquisition: str) -> None:
        """Let an acquisition go."""
        self._joined.pop(acquisition, None)
        self._closed.discard(acquisition)

    # -- what is asked ----------------------------------------------------------

    @property
    def received(self) -> dict[str, int]:
        """Samples received so far, by channel."""
        return {name: heard.received for name, heard in self._heard.items()}

    def at(self, t_ns: int) -> dict[str, Any]:
        """Return the sample of each channel that belongs to a frame of that time.

        A channel that has none within its tolerance is absent.
        """
        found = {}
        for name, heard in self._heard.items():
            one, ring = self._settings[name], heard.ring
            k = match_one(t_ns, ring.times, one.tolerance_ns, one.join)
            if k >= 0:
                sample_ns = int(ring.times[k])
                found[name] = {
                    "value": float(ring.values[k]),
                    "t_ns": sample_ns,
                    "unit": one.unit,
                    "age_s": (t_ns - sample_ns) / 1e9,
                }
        return found

    def results(
        self, acquisition: str, *, live: bool = False
    ) -> Iterator[tuple[str, Result]]:
        """Yield (processor, result) of all channels, joined to an acquisition.

        `live`: without the tables of the samples themselves.
        """
        return self._joined[acquisition].results(live=live)

    def samples(self, acquisition: str) -> Iterator[tuple[str, IntArray, FloatArray]]:
        """Yield (channel, times, values) of all samples that an acquisition has."""
        return self._joined[acquisition].samples()

    def account(self, acquisition: str) -> dict[str, dict[str, int]]:
        """Return the account of each channel during an acquisition."""
        return self._joined[acquisition].account()

    def timed_frames(self, acquisition: str) -> int:
        """Return how many frames there are to join to, about."""
        return self._joined[acquisition].times.highest + 1

    def awaited(self, acquisition: str, since: float) -> bool:
        """Whether samples are due that may belong to the last frames.

        A channel is waited for until it has a sample later than the last frame, but
        not if it is silent, nor longer than ``wait_s`` after `since` (monotonic, s).
        Samples that are known to come are waited for.
        """
        last = self._joined[acquisition].times.newest_ns
        now = time.monotonic()
        if now - since < EXPECTED_S and any(
            heard.received < heard.expected for heard in self._heard.values()
        ):
            return True
        return any(
            now - since < self._settings[name].wait_s
            and now - heard.arrived < self._settings[name].silent_after_s
            and heard.ring.newest_ns < last
            for name, heard in self._heard.items()
            if heard.received and not heard.expected
        )

    # -- the journal ------------------------------------------------------------

    def to_record(self) -> list[Buffer]:
        """Return what is known of the channels themselves, for the journal."""
        header = {
            "acq": None,
            "numbers": self._numbers,
            "heard": [[n, h.received, h.sender] for n, h in self._heard.items()],
        }
        payload: list[Buffer] = []
        for heard in self._heard.values():
            payload += [heard.ring.times.tobytes(), heard.ring.values.tobytes()]
        return encode(Kind.CHANNELS, header, payload)

    def record_of(self, acquisition: str) -> list[Buffer]:
        """Return what is known of an acquisition, for the journal."""
        return self._joined[acquisition].to_record()

    def from_record(self, message: Message) -> None:
        """Take over what `to_record` or `record_of` gave."""
        header = message.header
        if header["acq"] is not None:
            self._joined[header["acq"]].from_record(message)
            return
        self._numbers = dict(header["numbers"])
        for k, (name, received, sender) in enumerate(header["heard"]):
            times, values = message.payload[2 * k : 2 * k + 2]
            ring = Samples(RING)
            ring.add(_ints(times), np.frombuffer(values, "<f8"))
            self._heard[name] = Heard(ring, received, sender)

    # ---------------------------------------------------------------------------

    def _take(
        self, name: str, sender: str, times: IntArray, values: FloatArray
    ) -> None:
        heard = self._heard[name]
        if heard.sender and sender != heard.sender:
            gap_s = (int(times.min()) - heard.ring.newest_ns) / 1e9
            self.notes.append(
                f"channel {name!r}: the channels process was restarted; no sample for "
                f"{max(0.0, gap_s):.3f} s"
            )
        heard.sender = sender
        heard.received += len(times)
        heard.arrived = time.monotonic()
        heard.ring.add(times, values)
        for acquisition, joined in self._joined.items():
            if acquisition not in self._closed:
                joined.add(name, times, values)


def samples_of(message: Message) -> Iterator[tuple[str, IntArray, FloatArray]]:
    """Yield (channel, times, values) of a group of samples."""
    for k, name in enumerate(message.header["channels"]):
        times, values = message.payload[2 * k : 2 * k + 2]
        yield name, _ints(times), np.frombuffer(values, "<f8")


def _ints(data: Buffer) -> IntArray:
    return np.frombuffer(data, "<i8").astype(np.int64, copy=False)
