"""Looks at the headers of all frames in a buffer at once."""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_adapters.merlin.protocol import PREFIX, FrameReceived

Bytes = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

MOST = 4096
"""Frames looked at in one call."""
NO_TIME = -(1 << 62)
"""Instead of a time stamp that is not there or cannot be read."""


def _room() -> IntArray:
    return np.zeros(MOST, np.int64)


@dataclass(slots=True)
class Survey:
    """What the next frames say, if they are like one that was parsed with care.

    Attributes
    ----------
    message
        Bytes from one frame to the next.
    messages
        In these bytes: 2 if a frame comes in halves.
    sequence, counter, time_ns
        Of each frame that was found; valid until the next call. Times are UTC,
        nanoseconds since 1970, or `NO_TIME`.
    """

    message: int
    messages: int
    pixels_at: int
    prefix: Bytes
    constant: Bytes
    sequence: IntArray = field(default_factory=_room)
    counter: IntArray = field(default_factory=_room)
    time_ns: IntArray = field(default_factory=_room)

    @classmethod
    def like(cls, frame: FrameReceived, data: bytearray) -> Survey:
        """Look for frames like `frame`, whose bytes are in `data`."""
        return cls(
            frame.end - frame.begin,
            frame.messages,
            frame.at - frame.begin,
            _bytes(data[frame.begin : frame.begin + PREFIX + 4]),
            _bytes(frame.header.constant),
        )

    def fits(self, frame: FrameReceived) -> bool:
        """Tell whether `frame` is such a frame."""
        return (
            frame.end - frame.begin == self.message
            and frame.at - frame.begin == self.pixels_at
            and frame.header.constant == self.constant.tobytes()
        )

    def look(self, data: Bytes, begin: int, end: int) -> int:
        """Return how many such frames, whole, ``data[begin:end]`` begins with.

        A frame counts only if what follows it, as far as it is here, begins as the
        next message must; of the last frame, behind which nothing is here, it is not
        known.
        """
        return int(
            _look(
                data,
                begin,
                end,
                self.message,
                self.messages,
                self.pixels_at,
                self.prefix,
                self.constant,
                self.sequence,
                self.counter,
                self.time_ns,
            )
        )


def _bytes(data: Any) -> Bytes:
    return np.frombuffer(bytes(data), np.uint8).copy()


def warm() -> None:
    """Compile the kernel, or load it from the cache."""
    nothing = _bytes(b"")
    Survey(1, 1, 0, nothing, nothing).look(nothing, 0, 0)


@numba.njit(nogil=True, cache=True)
def _number(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Return the whole number at `at` and where it ends; where it began if none."""
    value = 0
    first = at
    while at < stop and at - first < 18 and 48 <= data[at] <= 57:
        value = value * 10 + (data[at] - 48)
        at += 1
    return value, at


@numba.njit(nogil=True, cache=True)
def _days(year: Any, month: Any, day: Any) -> Any:
    """Return days since 1970-01-01, Gregorian; years count from March."""
    year -= month <= 2
    month = (month + 9) % 12
    leap = year // 4 - year // 100 + year // 400
    return 365 * year + leap + (month * 306 + 5) // 10 + day - 1 - 719468


@numba.njit(nogil=True, cache=True)
def _time(data: Bytes, at: int, stop: int) -> int:
    """Return the time ``2020-05-18T14:51:49.971626178Z`` in ns since 1970."""
    parts = np.zeros(6, np.int64)
    for k in range(6):
        parts[k], past = _number(data, at, stop)
        if past - at != (4 if k == 0 else 2):
            return NO_TIME
        at = past
        if k < 5:
            if at >= stop or data[at] != b"--T::"[k]:
                return NO_TIME
            at += 1
    fraction = 0
    if at < stop and data[at] == 46:
        fraction, past = _number(data, at + 1, stop)
        digits = past - at - 1
        if digits > 9:
            return NO_TIME
        fraction *= 10 ** (9 - digits)
    if not (1 <= parts[1] <= 12 and 1 <= parts[2] <= 31 and 1678 <= parts[0] <= 2261):
        return NO_TIME
    seconds = int(_days(parts[0], parts[1], parts[2])) * 86400
    seconds += parts[3] * 3600 + parts[4] * 60 + parts[5]
    return int(seconds * 1_000_000_000 + fraction)


@numba.njit(nogil=True, cache=True)
def _same(data: Bytes, at: int, other: Bytes) -> bool:
    for k in range(len(other)):  # noqa: SIM110 - a generator would not compile
        if data[at + k] != other[k]:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def _past_commas(data: Bytes, at: int, stop: int, commas: int) -> int:
    while at < stop and commas:
        commas -= data[at] == 44
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def _find_tail(data: Bytes, at: int, stop: int, hint: int) -> int:
    """Return where the field after MQ1A begins; `stop` if there is none."""
    if at <= hint < stop and _same(data, hint - 5, MQ1A):
        return hint
    for k in range(at, stop - 5):
        if data[k] == 77 and _same(data, k, MQ1A):
            return k + 5
    return stop


MQ1A = _bytes(b"MQ1A,")


@numba.njit(nogil=True, cache=True)
def _look(
    data: Bytes,
    begin: int,
    end: int,
    message: int,
    messages: int,
    pixels_at: int,
    prefix: Bytes,
    constant: Bytes,
    sequence: IntArray,
    counter: IntArray,
    time_ns: IntArray,
) -> int:
    n, at, tail = 0, begin, 0
    while n < len(sequence) and at + message <= end:
        stop = at + pixels_at
        if not _same(data, at, prefix):
            break
        sequence[n], past = _number(data, at + len(prefix), stop)
        if past == at + len(prefix) or data[past] != 44:
            break
        past += 1
        if past + len(constant) >= stop or not _same(data, past, constant):
            break
        past = _past_commas(data, past + len(constant), stop, 4)
        counter[n], past = _number(data, past, stop)
        field = _find_tail(data, past, stop, at + tail)
        tail = field - at
        time_ns[n] = _time(data, field, stop) if field < stop else NO_TIME
        if messages == 2:
            half = at + message // 2
            if not _same(data, half, prefix):
                break
            second, _ = _number(data, half + len(prefix), half + pixels_at)
            if second not in (sequence[n], sequence[n] + sequence[n] % 2):
                break
        n += 1
        at += message
    for k in range(min(4, end - at)):
        if n and data[at + k] != prefix[k]:
            return n - 1
    return n
