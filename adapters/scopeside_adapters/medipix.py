"""What Medipix3 detectors (Merlin) write before their pixels, and how pixels lie.

Both the live stream and .mib files hold frames of this form::

    MQ1,000001,00384,01,0256,0256,U08,   1x1,01,TIME,0.001,0,0,0,…,MQ1A,UTC,NS,6,
        number offset chips X    Y   type layout chips shutter counter …     depth

256 + 128 × chips bytes of text, filled up with NUL, then the pixels. U08 to U64 are
unsigned, big endian. R64 is what the chips send: see `medipix_pixels`. The text of a
.hdr file and of the header that opens an acquisition is ``Key:`` TAB ``value`` lines.

"Merlin EPICS Interface Specification" 2.0, Quantum Detectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from scopeside.errors import ProtocolError

CHIP = 256
"""Pixels in a row or column of one chip."""
GAP = 2
"""Empty pixels between two chips where the layout ends in G."""
LONGEST_HEADER = 1 << 14
"""Bytes of a frame's header; four chips take 768."""
LARGEST_SIDE = 1 << 14
"""Pixels; sixteen chips in a row take 4126."""
SHORTEST_HEADER = 128
"""Bytes; they hold every field up to the counter. One chip takes 384."""
MOST_CHIPS = 16
"""Side by side."""
_FIELDS = re.compile(
    rb"MQ1,(\d{1,18}),(\d{1,8}),(\d{1,4}),(\d{1,8}),(\d{1,8}),([A-Z]\d\d), *"
    rb"(\d{1,2})x(\d{1,2})(G?),([0-9A-Fa-f]*),([^,]*),([^,]*),(\d{0,2}),"
)
_TAIL = re.compile(rb",MQ1A,([^,]*),([^,]*),(\d{1,2})(?:,|\0|$)")
_UNSIGNED = {b"U01": 1, b"U08": 1, b"U16": 2, b"U32": 4, b"U64": 8}
_RAW = {1: "<u1", 6: "<u1", 12: "<u2", 24: "<u4"}
_RAW_BITS = {1: 1, 6: 8, 12: 16, 24: 32}
_KEPT = {
    "Chip ID": "chips",
    "Chip Mode  (SPM, CSM, CM, CSCM)": "chip_mode",
    "Counter Depth (number)": "counter_depth",
    "Gain": "gain",
    "Active Counters": "active_counters",
    "Thresholds (keV)": "thresholds_keV",
    "Gap Fill Mode": "gap_fill",
    "Acquisition Type (Normal, Th_scan, Config)": "acquisition_type",
    "Trigger Start (Positive, Negative, Internal)": "trigger_start",
    "Trigger Stop (Positive, Negative, Internal)": "trigger_stop",
    "Sensor Bias (V)": "sensor_bias",
    "Temperature (C)": "temperature",
    "Humidity (%)": "humidity",
    "Medipix Clock (MHz)": "clock",
    "Readout System": "readout_system",
    "Software Version": "software",
    "Time and Date Stamp (day, mnth, yr, hr, min, s)": "recorded_local",
}
_FRAMES = "Frames in Acquisition (Number)"
_PER_TRIGGER = "Frames per Trigger (Number)"
_DEPTH = "Counter Depth (number)"


@dataclass(frozen=True, slots=True)
class AcquisitionHeader:
    """The lines of a .hdr file; a key that is absent or no number is 0 or None."""

    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read ``Key:`` TAB ``value`` lines; what is none is passed over."""
        lines = text.decode("latin1").splitlines()
        pairs = (line.split(":\t", 1) for line in lines if ":\t" in line)
        return cls({name.strip(): value.strip() for name, value in pairs})

    @property
    def frames(self) -> int:
        """Frames in the acquisition; 0 where it is endless or not said."""
        return self._whole(_FRAMES)

    @property
    def depth(self) -> int | None:
        """Counter depth in bits."""
        return self._whole(_DEPTH) or None

    def choice(self, counter: int | None) -> int | None:
        """Return which counter is to be taken; None: the frames of both.

        In gapless reading the two counters of a pixel take turns, and every frame is
        an exposure of its own. `counter` is what is asked for where each exposure has
        two frames.
        """
        said = self.values.get("Active Counters", "").lower()
        if said == "alternating" or re.fullmatch(r"counter \d", said):
            return None
        return counter if not said else counter or 0

    @property
    def frames_per_trigger(self) -> int:
        """Frames for each trigger; 0 where it is not said."""
        return self._whole(_PER_TRIGGER)

    @property
    def scan_shape(self) -> tuple[int, int] | None:
        """(rows, columns) as ScanY and ScanX or the triggers tell it."""
        rows, columns = self._whole("ScanY"), self._whole("ScanX")
        if rows and columns:
            return rows, columns
        columns, frames = self.frames_per_trigger, self.frames
        if 1 < columns < frames and frames % columns == 0:
            return frames // columns, columns
        return None

    def metadata(self) -> dict[str, str]:
        """Return what a person may want to know later, by short names."""
        found = {name: self.values.get(key, "") for key, name in _KEPT.items()}
        return {name: value[:200] for name, value in found.items() if value}

    def _whole(self, key: str) -> int:
        text = self.values.get(key, "")
        return int(text) if re.fullmatch(r"\d{1,15}", text) else 0


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The text before the pixels of one frame.

    Attributes
    ----------
    sequence
        Number of the frame; the first is 1.
    offset
        Bytes of the header.
    width, height
        X and Y as they are stated; of raw pixels they count what a chip row sends.
    columns, rows
        Chips beside and below each other.
    counter
        Which of the two counters of a pixel.
    shutter_s
        Exposure, s; 0 where it cannot be read.
    constant
        The bytes from the offset to the layout: equal in all frames of a series.
    time
        UTC time, ISO 8601 without zone; empty where only local time is given.
    depth
        Counter depth in bits; None where the header does not say.
    """

    sequence: int
    offset: int
    chips: int
    width: int
    height: int
    pixel_type: str
    columns: int
    rows: int
    gap: bool
    counter: int
    shutter_s: float
    constant: bytes
    time: str = ""
    depth: int | None = None

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read the header that `text` begins with.

        Raises
        ------
        ProtocolError
            If it is none, or says what cannot be.
        """
        found = _FIELDS.match(text)
        if found is None:
            raise ProtocolError(
                f"expected a frame header 'MQ1,000001,00384,…', got {text[:24]!r}",
                cause="wrong_header",
            )
        number, offset, chips, width, height = (int(found[k]) for k in range(1, 6))
        tail = _TAIL.search(text, found.end() - 1, offset)
        header = cls(
            number,
            offset,
            chips,
            width,
            height,
            found[6].decode(),
            int(found[7]),
            int(found[8]),
            bool(found[9]),
            int(found[13] or b"0"),
            _seconds(found[12]),
            text[found.start(2) : found.end(9)],
            tail[1].decode("latin1").rstrip("Z") if tail else "",
            int(tail[3]) if tail else None,
        )
        header.check()
        return header

    def check(self) -> None:
        """Refuse sizes that cannot be."""
        if not SHORTEST_HEADER <= self.offset <= LONGEST_HEADER:
            raise ProtocolError(
                f"a frame header has {SHORTEST_HEADER} to {LONGEST_HEADER} bytes, "
                f"not {self.offset}",
                cause="wrong_header",
            )
        if not (
            1 <= self.width <= LARGEST_SIDE * 2 and 1 <= self.height <= LARGEST_SIDE
        ):
            raise ProtocolError(
                f"a frame of {self.width}×{self.height} pixels cannot be",
                cause="wrong_header",
            )


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the pixels of a frame are stored, and what they become.

    Attributes
    ----------
    depth
        0 for U types; else the bits of a raw counter: 1, 6, 12 or 24.
    frame_shape
        (height, width) of the frame that is delivered.
    stored_bytes
        Of one frame.
    columns, rows
        Chips of a raw frame beside and below each other.
    lines
        Stored lines of a raw frame, each with one row of every chip.
    gap
        Empty pixels between chips that are added to a raw frame.
    second
        Where the second half of raw 24-bit pixels begins, bytes from the first.
    """

    depth: int
    dtype: np.dtype[Any]
    frame_shape: tuple[int, int]
    stored_bytes: int
    columns: int = 1
    rows: int = 1
    lines: int = 0
    gap: int = 0
    second: int = 0

    @property
    def name(self) -> str:
        """In the operator's words, such as ``256×256 uint16``."""
        height, width = self.frame_shape
        raw = f", raw {self.depth} bit" if self.depth else ""
        return f"{height}×{width} {self.dtype.name}{raw}"

    @classmethod
    def of(cls, header: FrameHeader, depth: int | None = None) -> Self:
        """Return the format that `header` describes.

        Parameters
        ----------
        header
            Of a frame.
        depth
            Counter depth where the header does not say it.

        Raises
        ------
        ProtocolError
            If its fields contradict each other or are not known.
        """
        if header.pixel_type != "R64":
            return cls._unsigned(header)
        depth = header.depth or depth
        if depth not in _RAW:
            raise ProtocolError(
                f"raw pixels of counter depth {depth}: expected 1, 6, 12 or 24 bit",
                cause="unsupported_pixels",
            )
        return cls._raw(header, depth)

    @classmethod
    def _unsigned(cls, header: FrameHeader) -> Self:
        size = _UNSIGNED.get(header.pixel_type.encode())
        if size is None:
            raise ProtocolError(
                f"pixels of type {header.pixel_type!r}: expected U08, U16, U32, U64 "
                "or R64",
                cause="unsupported_pixels",
            )
        shape = header.height, header.width
        stored = header.height * header.width * size
        return cls(0, np.dtype(f"<u{size}"), shape, stored)

    @classmethod
    def _raw(cls, header: FrameHeader, depth: int) -> Self:
        columns, rows = header.columns, header.rows
        if columns == 1:  # 1x4 and 4x1 are both four chips side by side
            columns, rows = rows, 1
        if (columns, rows) != (2, 2) and (rows != 1 or columns > MOST_CHIPS):
            raise ProtocolError(
                f"raw chips arranged {columns}x{rows}: expected Nx1 or 2x2",
                cause="unsupported_pixels",
            )
        chips = columns * rows
        doubled = depth == 24 and header.width == 2 * chips * CHIP
        if header.width != chips * CHIP and not doubled:
            raise ProtocolError(
                f"a raw frame of {chips} chips has X = {chips * CHIP}, "
                f"not {header.width}",
                cause="wrong_header",
            )
        gap = GAP if header.gap else 0
        lines = header.height
        shape = (
            rows * lines + (rows - 1) * gap,
            columns * CHIP + (columns - 1) * gap,
        )
        stored = lines * chips * CHIP * _RAW_BITS[depth] // 8
        dtype = np.dtype(_RAW[depth])
        second = stored // 2
        return cls(depth, dtype, shape, stored, columns, rows, lines, gap, second)


def _seconds(text: bytes) -> float:
    return float(text) if re.fullmatch(rb"\d{1,9}(\.\d{1,12})?", text) else 0.0
