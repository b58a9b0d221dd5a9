"""The data stream of a Merlin without I/O: bytes in a buffer, one message at a time.

::

    MPX,0000065921,  MQ1,000001,00384,01,0256,0256,U08,   1x1,…   pixels
    prefix, 15 bytes payload: a frame's header, then its pixels (`medipix`)

The number counts the comma that ends the prefix and the payload. An acquisition
begins with a message ``HDR,`` and the text of a .hdr file; there is no end mark.
"Merlin EPICS Interface Specification" 2.0, Quantum Detectors.

Bytes that are no message (instruments emit some after an abort) are passed over up to
the next prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scopeside.errors import ProtocolError
from scopeside_adapters.medipix import (
    LONGEST_HEADER,
    AcquisitionHeader,
    FrameHeader,
    PixelFormat,
)

PREFIX = 15
"""Bytes before the payload."""
LARGEST_TEXT = 1 << 16
"""Bytes of an acquisition's header; real ones have 2048."""
BUFFER = 4 << 20
"""Bytes read at once. With 1 MiB half as many frames were taken: each read costs."""
TOGETHER = 4
"""Messages that the buffer holds at least, unless they are large."""
LARGE = 16 << 20
_PREFIX = re.compile(rb"MPX,(\d{10}),")
_MESSAGE = re.compile(rb"MPX,\d{10},(?:MQ1|HDR),")
_LONGEST_FIELDS = 160  # of a frame's header, up to the counter
_MARK = b"MPX,"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The next message has `size` bytes or more, of which some are not here."""

    size: int


@dataclass(frozen=True, slots=True)
class HeaderReceived:
    """An acquisition begins; the next message begins at `end`."""

    header: AcquisitionHeader
    end: int


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A whole frame; its pixels begin at `at`, the next message at `end`.

    Attributes
    ----------
    messages
        2 if the halves of raw 24-bit pixels come in two messages.
    stride
        2 if these have two numbers.
    """

    header: FrameHeader
    pixels: PixelFormat
    begin: int
    at: int
    end: int
    messages: int = 1
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Skipped:
    """What came up to `end` is no message, or none that can be taken.

    Attributes
    ----------
    frames
        How many frames are lost with it.
    """

    end: int
    cause: str
    message: str
    frames: int = 0


Event = HeaderReceived | FrameReceived | Skipped


def read_message(
    data: bytearray, begin: int, end: int, *, largest: int, depth: int | None = None
) -> Event | Wanted:
    """Return what the bytes ``data[begin:end]`` begin with.

    Parameters
    ----------
    data, begin, end
        The bytes that are here.
    largest
        Bytes of the largest message that is taken.
    depth
        Counter depth of raw pixels whose header does not say it.
    """
    prefix = _PREFIX.match(data, begin, end)
    if prefix is None:
        return _no_prefix(data, begin, end)
    size = int(prefix[1]) - 1
    here = end - begin - PREFIX
    if here < min(size, 4):
        return Wanted(PREFIX + 4)
    kind = bytes(data[begin + PREFIX : begin + PREFIX + 4])
    past = begin + len(_MARK)  # where the search for the next message begins
    if size > (limit := LARGEST_TEXT if kind == b"HDR," else largest):
        text = f"a message of {size} bytes; at most {limit} are taken"
        return Skipped(past, "oversized", text)
    try:
        if kind == b"MQ1,":
            return _frame(data, begin, end, size, depth)
        if kind == b"HDR,":
            return _header(data, begin, end, size)
    except ProtocolError as error:
        first = begin + PREFIX
        stop = min(first + size, first + LONGEST_HEADER, end)
        if (cut := _cut(data, first, stop, end)) is not None:
            text = "a frame is cut short: another message begins in its header"
            return Skipped(cut, "truncated", text, 1)
        return Skipped(past, error.cause, str(error), 1)
    text = f"a message of the kind {kind!r}: expected b'HDR,' or b'MQ1,'"
    return Skipped(past, "wrong_kind", text)


def _no_prefix(data: bytearray, begin: int, end: int) -> Skipped | Wanted:
    """Pass over bytes up to what is, or may become, a prefix."""
    found = _PREFIX.search(data, begin, end)
    if found is None:
        at = max(begin, end - PREFIX + 1)
        while at < end and not _may_begin(data[at:end]):
            at += 1
    else:
        at = found.start()
    if at == begin:
        return Wanted(PREFIX)
    shown = bytes(data[begin : min(at, begin + 32)])
    text = f"{at - begin} bytes that are no message: {shown!r}"
    return Skipped(at, "garbage", text)


def _may_begin(tail: bytearray) -> bool:
    """Tell whether a prefix may begin with the few bytes of `tail`."""
    return _MARK.startswith(tail[:4]) and (len(tail) < 5 or tail[4:].isdigit())


def _header(
    data: bytearray, begin: int, end: int, size: int
) -> HeaderReceived | Skipped | Wanted:
    stop = begin + PREFIX + size
    if end < stop:
        return Wanted(PREFIX + size)
    cut = _MESSAGE.search(data, begin + PREFIX, min(end, stop + PREFIX + 3))
    if cut is not None and cut.start() < stop:
        return Skipped(cut.start(), "truncated", "an acquisition header is cut short")
    text = bytes(data[begin + PREFIX : stop])
    return HeaderReceived(AcquisitionHeader.parse(text), stop)


def _frame(
    data: bytearray, begin: int, end: int, size: int, depth: int | None
) -> FrameReceived | Skipped | Wanted:
    first = begin + PREFIX
    if end - first < min(size, _LONGEST_FIELDS):
        return Wanted(PREFIX + min(size, _LONGEST_FIELDS))
    header = FrameHeader.parse(
        bytes(data[first : min(end, first + size, first + 4096)])
    )
    if end - first < min(size, header.offset):
        return Wanted(PREFIX + min(size, header.offset))
    pixels = PixelFormat.of(header, depth)
    halved = pixels.depth == 24 and size == header.offset + pixels.second
    if size != header.offset + pixels.stored_bytes and not halved:
        raise ProtocolError(
            f"frame {header.sequence} says {pixels.name}, which takes "
            f"{header.offset + pixels.stored_bytes} bytes with its header; its message "
            f"has {size}",
            cause="wrong_size",
        )
    stop = first + size
    if end < stop:
        return Wanted(PREFIX + size)
    if (cut := _cut(data, first, stop, end)) is not None:
        text = f"frame {header.sequence} is cut short: another message begins in it"
        return Skipped(cut, "truncated", text, 1)
    frame = FrameReceived(header, pixels, begin, first + header.offset, stop)
    return _with_second_half(frame, data, end) if halved else frame


def _with_second_half(
    frame: FrameReceived, data: bytearray, end: int
) -> FrameReceived | Skipped | Wanted:
    """Return the frame that a half and the message behind it are."""
    size = frame.end - frame.begin
    if end < frame.end + size:
        return Wanted(2 * size)
    number = frame.header.sequence
    head = bytes(data[frame.end : frame.end + size])
    prefix = bytes(data[frame.begin : frame.begin + PREFIX])
    text = f"frame {number} comes in halves, and its second one did not come"
    if not head.startswith(prefix + b"MQ1,"):
        return Skipped(frame.end, "truncated", text, 1)
    second = FrameHeader.parse(head[PREFIX : frame.at - frame.begin])
    stride = second.sequence - number + 1
    # Numbers begin with 1: of two in turn, the first is odd.
    if stride not in (1, 2) or (stride == 2 and number % 2 == 0):
        return Skipped(frame.end, "truncated", text, 1)
    pixels = replace(frame.pixels, second=size)
    return replace(
        frame, pixels=pixels, end=frame.end + size, messages=2, stride=stride
    )


def _cut(data: bytearray, at: int, stop: int, end: int) -> int | None:
    """Return where a message begins within one that ends at `stop`; else None.

    Not looked for where the next message is seen to begin at `stop`.
    """
    if data[stop : min(end, stop + 4)] == _MARK:
        return None
    found = _MESSAGE.search(data, at, min(end, stop + PREFIX + 3))
    return None if found is None or found.start() >= stop else found.start()


class Stream:
    """A buffer that a connection fills and that is read message by message.

    It holds at most one message and what is read at once; it grows only for a
    message whose header has been found good.

    Parameters
    ----------
    largest
        Bytes of the largest message that is taken.

    Attributes
    ----------
    data, array
        The buffer, twice the same memory.
    begin, end
        What is here and not taken yet.
    """

    def __init__(self, largest: int, size: int = BUFFER) -> None:
        self._largest = largest
        self._message = 0
        self._replace(bytearray(size))
        self.begin = self.end = 0

    def next(self, depth: int | None = None) -> Event | Wanted:
        """Return the next event without taking it; see `read_message`."""
        event = read_message(
            self.data, self.begin, self.end, largest=self._largest, depth=depth
        )
        if isinstance(event, Wanted):
            self._make_room(event.size)
        return event

    def take(self, end: int) -> None:
        """Have what lies before `end` taken."""
        assert self.begin <= end <= self.end
        self.begin = end
        if self.begin == self.end:
            self.begin = self.end = 0

    def expect(self, message: int) -> None:
        """Read whole messages of so many bytes at once, from now on; 0: anything."""
        self._message = message
        if TOGETHER * message > len(self.data):
            many = message * TOGETHER if message * TOGETHER < LARGE else message
            self._make_room(many)

    def room(self) -> memoryview:
        """Return where the next bytes belong; never empty."""
        if self.begin and self._stop() - self.end < len(self.data) // 4:
            self._move()
        stop = self._stop()
        return memoryview(self.data)[
            self.end : stop if stop > self.end else len(self.data)
        ]

    def filled(self, n: int) -> None:
        """Say that `n` bytes have come into the room."""
        self.end += n

    def _stop(self) -> int:
        """Return where reading ends: behind whole messages and the next prefix."""
        if not self._message:
            return len(self.data)
        free = len(self.data) - self.begin - PREFIX
        return self.begin + free // self._message * self._message + PREFIX

    def _move(self) -> None:
        held = self.end - self.begin
        self.array[:held] = self.array[self.begin : self.end]
        self.begin, self.end = 0, held

    def _make_room(self, size: int) -> None:
        if size + PREFIX <= len(self.data):
            return
        held = self.data[self.begin : self.end]
        fresh = bytearray(size + PREFIX)
        fresh[: len(held)] = held
        self._replace(fresh)
        self.begin, self.end = 0, len(held)

    def _replace(self, data: bytearray) -> None:
        self.data = data
        self.array: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8)
