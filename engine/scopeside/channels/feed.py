"""The source's side of a channel: takes samples, counts what is none, keeps them ready.

The source's thread puts in, the main thread of the channels process takes out.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.detector import StopRequested
from scopeside.errors import SourceError
from scopeside.join import LATEST_NS, FloatArray, IntArray
from scopeside.settings import ChannelSettings

MAX_PENDING = 1 << 20
"""Samples that wait to be sent, at most; beyond, the oldest go, counted."""
CLOCK_SLACK_S = 1.0
"""Samples may lie so far beside this machine's clock."""
CLOCK_OFF_S = 3.0
"""And for so long, as a backlog does, before it is told."""


class Feed:
    """What a source fills; see `scopeside.channel.ChannelSink`.

    Attributes
    ----------
    state, reason
        ``ok``; ``lost``: the source failed, and is tried again; ``ended``: there will
        be no more.
    received
        Samples taken.
    rejected
        What was no sample, by cause; ``overrun``: samples that could not be sent on.
    last
        Time (ns) and value of the latest sample; None before the first.
    arrived_ns
        When a sample came last, by the monotonic clock; 0 before the first.
    """

    def __init__(
        self, settings: ChannelSettings, wake: int, kept_ns: int | None = None
    ) -> None:
        self.state, self.reason = "ok", ""
        self.received = 0
        self.rejected: Counter[str] = Counter()
        self.last: tuple[int, float] | None = None
        self.arrived_ns = 0
        self.notes: list[str] = []
        self._settings = settings
        self._wake = wake
        self._offset_ns = settings.offset_ns
        self._kept_ns = kept_ns
        self._lock = threading.Lock()
        self._pending: list[tuple[IntArray, FloatArray]] = []
        self._waiting = 0
        self._stopping = False
        self._clock_off_since: float | None = None
        self._said_clock = False

    # -- what the source calls --------------------------------------------------

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._settings.name

    @property
    def unit(self) -> str:
        """The unit of its values."""
        return self._settings.unit

    @property
    def stopping(self) -> bool:
        """Whether the engine is asked to end."""
        return self._stopping

    @property
    def since_ns(self) -> int | None:
        """Time up to which samples are kept already, as the source says times."""
        return None if self._kept_ns is None else self._kept_ns - self._offset_ns

    def sample(self, t_ns: int, value: float) -> None:
        """Hand on one sample."""
        if not 0 <= t_ns < LATEST_NS:
            self.reject(1, "wrong_time", f"the time {t_ns} ns cannot be")
            return
        self.samples(np.array([t_ns], np.int64), np.array([value], np.float64))

    def samples(self, t_ns: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Hand on many samples."""
        self._refuse_if_stopping()
        times, numbers = np.asarray(t_ns), np.asarray(values, np.float64)
        if times.ndim != 1 or times.shape != numbers.shape or times.dtype.kind != "i":
            raise SourceError(
                f"channel {self.name!r} was given times {times.dtype} {times.shape} "
                f"for values {numbers.shape}; both are (n,), times whole numbers"
            )
        times = times.astype(np.int64) + np.int64(self._offset_ns)
        good = np.isfinite(numbers) & (times >= 0) & (times < LATEST_NS)
        if not good.all():
            bad = int(np.argmin(good))
            n = int(len(good) - good.sum())
            said = f"the value {numbers[bad]} at {times[bad]} ns cannot be"
            self.reject(n, "wrong_value", said)
            times, numbers = times[good], numbers[good]
        if len(times):
            self._put(times, numbers)

    def reject(self, n: int, cause: str, message: str) -> None:
        """Count what is no sample; the message is passed on once a cause."""
        self._refuse_if_stopping()
        with self._lock:
            first = cause not in self.rejected
            self.rejected[cause] += n
        if first:
            self._tell(f"rejected ({cause}): {message}")

    def note(self, message: str) -> None:
        """Tell the operator something."""
        self._refuse_if_stopping()
        self._tell(message)

    # -- what the channels process calls ----------------------------------------

    def stop(self) -> None:
        """Ask the source to end."""
        self._stopping = True

    def lose(self, reason: str) -> None:
        """Say that the source failed; told once until samples come again."""
        with self._lock:
            told, self.state = (self.state, self.reason) == ("lost", reason), "lost"
            self.reason = reason
        if not told:
            self._tell(f"lost: {reason}; it is tried again")

    def end(self) -> None:
        """Say that there will be no more samples."""
        with self._lock:
            self.state, self.reason = "ended", "the source has no more"
        self._tell("has ended: there will be no more samples")

    def take(self) -> tuple[IntArray, FloatArray] | None:
        """Return what has come since the last call; None if nothing has."""
        with self._lock:
            pending, self._pending, self._waiting = self._pending, [], 0
        if not pending:
            return None
        times, values = zip(*pending, strict=True)
        return np.concatenate(times), np.concatenate(values)

    def take_notes(self) -> list[str]:
        """Return what is to be told since the last call."""
        with self._lock:
            notes, self.notes = self.notes, []
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the board."""
        with self._lock:
            return {
                "state": self.state,
                "reason": self.reason,
                "received": self.received,
                "rejected": dict(self.rejected),
                "last": self.last,
                "arrived_ns": self.arrived_ns,
            }

    # ---------------------------------------------------------------------------

    def _put(self, times: IntArray, values: FloatArray) -> None:
        latest = int(np.argmax(times))
        with self._lock:
            back = self.state == "lost"
            self.state, self.reason = "ok", ""
            self._pending.append((times, values))
            self._waiting += len(times)
            while self._waiting > MAX_PENDING and len(self._pending) > 1:
                gone = len(self._pending.pop(0)[0])
                self._waiting -= gone
                self.rejected["overrun"] += gone
            self.received += len(times)
            if self.last is None or times[latest] >= self.last[0]:
                self.last = (int(times[latest]), float(values[latest]))
            self.arrived_ns = time.monotonic_ns()
        if back:
            self._tell("is back")
        self._mind_the_clock(int(times[latest]))
        os.eventfd_write(self._wake, 1)

    def _mind_the_clock(self, t_ns: int) -> None:
        """Say once if the device's clock is so far off that nothing can be joined."""
        behind_s = (time.time_ns() - t_ns) / 1e9
        now = time.monotonic()
        if abs(behind_s) <= max(self._settings.tolerance_s, CLOCK_SLACK_S):
            self._clock_off_since = None
            return
        if self._clock_off_since is None:
            self._clock_off_since = now
        if self._said_clock or now - self._clock_off_since < CLOCK_OFF_S:
            return
        self._said_clock = True
        side = "before" if behind_s > 0 else "after"
        self._tell(
            f"its newest sample lies {abs(behind_s):.1f} s {side} the time of this "
            f"machine, further than tolerance_s = {self._settings.tolerance_s:g} "
            "allows: frames of now are without it. If its clock is off, set offset_s"
        )

    def _tell(self, message: str) -> None:
        with self._lock:
            self.notes.append(f"channel {self.name!r}: {message}")
        os.eventfd_write(self._wake, 1)

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise StopRequested
