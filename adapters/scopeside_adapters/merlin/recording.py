"""Writes what a Merlin writes: acquisition headers, frames, pixels of every type."""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt

from scopeside.errors import SourceError
from scopeside_adapters.medipix import CHIP, FrameHeader, PixelFormat
from scopeside_adapters.medipix_pixels import chip_places
from scopeside_adapters.merlin.protocol import PREFIX

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
PixelType = Literal["U08", "U16", "U32", "U64", "R64"]

HDR_BYTES = 2048
_ITEM = {"U08": 1, "U16": 2, "U32": 4, "U64": 8}
_DAY_S = 86_400
_NUMBER_AT = PREFIX + 4
_DACS = "3RX,175,511" + ",000" * 6 + ",100,010,200,125,100,100,080,100,090,030,128,004"
_DACS += ",255,126,128,174,172,511,511"


def acquisition_header(
    frames: int, per_trigger: int, layout: str, depth: int, counters: str = "Counter 0"
) -> bytes:
    """Return the text of a .hdr file, 2048 bytes."""
    text = (
        "HDR,\t\n"
        "Time and Date Stamp (day, mnth, yr, hr, min, s):\t02/01/2026 03:04:05\n"
        "Chip ID:\tsimulated,-,-,-\n"
        f"Assembly Size (NX1, 2X2):\t{layout:>6}\n"
        f"Counter Depth (number):\t{depth}\n"
        f"Active Counters:\t{counters}\n"
        f"Frames in Acquisition (Number):\t{frames}\n"
        f"Frames per Trigger (Number):\t{per_trigger}\n"
        "Software Version:\tscopeside simulator\n"
        "End\t"
    )
    return text.encode("latin1").ljust(HDR_BYTES)


def frame_header(
    number: int,
    pixels: PixelFormat,
    kind: str,
    layout: str,
    *,
    depth: int,
    counter: int = 0,
    time: str = "2026-01-02T03:04:05.000000000Z",
    shutter_s: float = 0.001,
    short: bool = False,
) -> bytes:
    """Return the text before the pixels; `short` leaves out thresholds and DACs."""
    chips = pixels.columns * pixels.rows
    height, width = pixels.frame_shape
    if pixels.depth:
        height, width = pixels.lines, chips * CHIP * (2 if depth == 24 else 1)
    long = ",".join(["1.200000E+2", "5.110000E+2", *["0.000000E+0"] * 6])
    long = f"{long},{','.join([_DACS] * chips)}"
    size = 256 + 128 * chips
    text = (
        f"MQ1,{number:06d},{size:05d},{chips:02d},{width:04d},{height:04d},{kind},"
        f"{layout:>6},{(1 << chips) - 1:02X},{time[:10]} {time[11:26]},{shutter_s:.6f},"
        f"{counter},0,0,{'' if short else long},MQ1A,{time},"
        f"{round(shutter_s * 1e9)}ns,{depth},"
    )
    return text.encode("ascii").ljust(size, b"\0")


def stored(frames: Array, pixels: PixelFormat) -> Bytes:
    """Return ``frames (n, height, width)`` as the detector stores them.

    Rows are taken in the order in which they are sent. (n, stored bytes).
    """
    n = len(frames)
    if not pixels.depth:
        big = frames.astype(pixels.dtype.newbyteorder(">"))
        return big.reshape(n, -1).view(np.uint8)
    places = chip_places(pixels)
    lines = np.empty((n, pixels.lines, len(places), CHIP), frames.dtype)
    for c, (row, column, turned) in enumerate(places):
        chip = frames[:, row : row + pixels.lines, column : column + CHIP]
        lines[:, :, c] = chip[:, ::-1, ::-1] if turned else chip
    if pixels.depth == 24:
        halves = [_words(lines >> 12, 12), _words(lines & 0xFFF, 12)]
        return np.concatenate([half.reshape(n, -1) for half in halves], axis=1)
    return _words(lines, pixels.depth).reshape(n, -1)


def _words(lines: Array, depth: int) -> Bytes:
    """Pack pixels into big-endian words that begin with the last of theirs."""
    if depth == 1:
        packed = np.packbits(lines.astype(np.uint8), axis=-1, bitorder="little")
        return packed.reshape(-1, 8)[:, ::-1].copy()
    kind, together = (">u1", 8) if depth == 6 else (">u2", 4)
    words = lines.astype(kind).reshape(-1, together)[:, ::-1]
    return np.ascontiguousarray(words).view(np.uint8)


@dataclass(frozen=True, slots=True)
class Recording:
    """Messages of frames, one behind the other, ready to be sent.

    Attributes
    ----------
    header
        Text of the acquisition's header.
    data
        (n, bytes of a message), prefix included.
    frames
        (n, height, width) as they are stored, if they were made here.
    time_at
        Where the UTC time stands in a message; 0 where it is not to be changed.
    counters
        Frames of an exposure.
    """

    header: bytes
    data: Bytes
    frames: Array | None
    time_at: int = 0
    counters: int = 1

    def stamp(
        self, first: int, n: int, start_ns: int, period_ns: int, step: int = 1
    ) -> None:
        """Give `n` messages numbers and times, the first being `first` (from 0).

        `step` messages have the same number. All lie in one piece of `data`.
        """
        at = first % len(self.data)
        part = self.data[at : at + n]
        if self.time_at:
            began = np.datetime64(start_ns + first // step * period_ns, "ns")
            date = str(began.astype("datetime64[D]")).encode()
            part[:, self.time_at : self.time_at + 10] = np.frombuffer(date, np.uint8)
        _stamp(part, first, step, _NUMBER_AT, self.time_at, start_ns, period_ns)


def made(
    frames: Array,
    pixels: PixelFormat,
    kind: PixelType,
    layout: str,
    *,
    depth: int,
    header: bytes,
    counters: int = 1,
    shutter_s: float = 0.001,
    short: bool = False,
) -> Recording:
    """Return messages of ``frames (n, height, width)``."""
    size = 256 + 128 * pixels.columns * pixels.rows
    prefix = b"MPX,%010d," % (size + pixels.stored_bytes + 1)
    data = np.empty((len(frames), PREFIX + size + pixels.stored_bytes), np.uint8)
    for k in range(len(frames)):
        head = frame_header(
            k + 1,
            pixels,
            kind,
            layout,
            depth=depth,
            counter=k % counters,
            shutter_s=shutter_s,
            short=short,
        )
        data[k, : PREFIX + size] = np.frombuffer(prefix + head, np.uint8)
        data[k, PREFIX + size :] = stored(frames[k : k + 1], pixels)
    time_at = bytes(data[0, : PREFIX + size]).find(b"MQ1A,") + 5
    return Recording(header, data, frames, time_at, counters)


def read(path: Path, most: int) -> Recording:
    """Return the messages of a .mib file with its .hdr, at most so many bytes.

    Raises
    ------
    SourceError
        If there is no frame in it.
    """
    raw = np.fromfile(path, np.uint8, count=most)
    header = FrameHeader.parse(bytes(raw[:4096]))
    size = header.offset + PixelFormat.of(header).stored_bytes
    n = len(raw) // size
    if n == 0:
        raise SourceError(f"{path} holds no whole frame of at most {most} bytes")
    data = np.empty((n, PREFIX + size), np.uint8)
    data[:, :PREFIX] = np.frombuffer(b"MPX,%010d," % (size + 1), np.uint8)
    data[:, PREFIX:] = raw[: n * size].reshape(n, size)
    described = path.with_suffix(".hdr")
    text = described.read_bytes() if described.exists() else b"HDR,\t\nEnd\t"
    return Recording(text, data, None)


def with_frames(header: bytes, frames: int) -> bytes:
    """Return the text of a header with another number of frames, equally long."""
    line = b"Frames in Acquisition (Number):\t%d" % frames
    changed = re.sub(rb"Frames in Acquisition \(Number\):\t\d+", line, header, count=1)
    return changed.rstrip(b" ").ljust(len(header))


def pixel_format(
    kind: PixelType, layout: str, rows: int, depth: int
) -> tuple[PixelFormat, int]:
    """Return how pixels are stored, and the counter depth.

    `rows` is what each chip reads out (256, or fewer of a region of interest).
    """
    shape = re.fullmatch(r"(\d+)x(\d+)(G?)", layout)
    assert shape is not None  # it is checked where it is asked for
    columns, lines, gap = int(shape[1]), int(shape[2]), 2 if shape[3] else 0
    size = (
        lines * rows + (lines - 1) * gap,
        columns * CHIP + (columns - 1) * gap,
    )
    if kind == "R64":
        item = {1: 1, 6: 1, 12: 2, 24: 4}[depth]
        bits = {1: 1, 6: 8, 12: 16, 24: 32}[depth]
        stored_bytes = rows * columns * lines * CHIP * bits // 8
        dtype = np.dtype(f"<u{item}")
        return (
            PixelFormat(depth, dtype, size, stored_bytes, columns, lines, rows, gap),
            depth,
        )
    dtype = np.dtype(f"<u{_ITEM[kind]}")
    stored_bytes = size[0] * size[1] * dtype.itemsize
    plain = PixelFormat(0, dtype, size, stored_bytes, columns, lines)
    return plain, {"U08": 6, "U16": 12, "U32": 24, "U64": 24}[kind]


@numba.njit(nogil=True, cache=True)
def _stamp(
    data: Bytes,
    first: int,
    step: int,
    number_at: int,
    time_at: int,
    start_ns: int,
    period_ns: int,
) -> None:
    for k in range(len(data)):
        row = data[k]
        number = (first + k) // step + 1
        for digit in range(6):
            row[number_at + 5 - digit] = 48 + number % 10
            number //= 10
        if not time_at:
            continue
        ns = start_ns + (first + k) // step * period_ns
        second, rest = ns // 1_000_000_000 % _DAY_S, ns % 1_000_000_000
        for digit in range(9):  # …T14:51:49.971626178Z
            row[time_at + 28 - digit] = 48 + rest % 10
            rest //= 10
        for place, value in (
            (11, second // 3600),
            (14, second // 60 % 60),
            (17, second % 60),
        ):
            row[time_at + place] = 48 + value // 10
            row[time_at + place + 1] = 48 + value % 10
