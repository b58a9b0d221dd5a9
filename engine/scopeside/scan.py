"""Which frame belongs to which probe position.

The detector counts frames; the scan generator moves the beam. How one count becomes
the other is said here once, for all detectors::

    | offset | row 0 | flyback | row 1 | flyback | … | flyback_lines | next scan …
    frame 0  ^ first position

With ``pattern = "positions"`` the beam goes to listed positions instead of rows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from scopeside.errors import ShapeError

Pattern = Literal["raster", "snake", "positions"]
IntArray = npt.NDArray[np.int64]

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Scan:
    """The path of the beam.

    Attributes
    ----------
    shape
        (rows, columns) of probe positions.
    pattern
        ``raster``: every row left to right; ``snake``: every second row back;
        ``positions``: as `visited` says.
    flyback
        Frames to skip after each row (after each scan, with ``positions``), taken
        while the beam flies back.
    flyback_lines
        Lines to skip after each scan, each as many frames as a row with fly-back.
    offset
        Frames that come before the first probe position; negative if the detector
        began so many positions late.
    scans
        How often the beam goes over all positions in one acquisition.
    visited
        With ``positions``: flat positions (row · columns + column) in the order of
        visit, each at most once, as uint32 little endian; else empty.
    """

    shape: tuple[int, int]
    pattern: Pattern = "raster"
    flyback: int = 0
    flyback_lines: int = 0
    offset: int = 0
    scans: int = 1
    visited: bytes = b""

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ShapeError(f"a scan has (rows, columns) ≥ 1, not {self.shape}")
        if min(self.flyback, self.flyback_lines) < 0:
            raise ShapeError(
                "fly-back frames and lines cannot be negative: "
                f"{min(self.flyback, self.flyback_lines)}"
            )
        if self.scans < 1:
            raise ShapeError(f"an acquisition has 1 scan or more, not {self.scans}")
        if self.pattern not in get_args(Pattern):
            raise ShapeError(
                f"a scan is raster or snake or visits positions, not {self.pattern!r}"
            )
        if (self.pattern == "positions") != bool(self.visited):
            raise ShapeError("positions are listed for the pattern 'positions' alone")
        if len(self.visited) % 4:
            raise ShapeError("scan.visited is no array of uint32")
        if self.visited:
            _check_visited(self.path, self.shape)

    @property
    def path(self) -> IntArray:
        """`visited` as numbers, (n,)."""
        return np.frombuffer(self.visited, "<u4").astype(np.int64)

    @property
    def positions(self) -> int:
        """Number of probe positions of one scan."""
        return self.shape[0] * self.shape[1]

    @property
    def line_frames(self) -> int:
        """Number of frames of a line, fly-back included."""
        return self.shape[1] + self.flyback

    @property
    def period(self) -> int:
        """Number of frames from one scan to the next."""
        after = self.flyback_lines * self.line_frames
        if self.visited:
            return len(self.visited) // 4 + self.flyback + after
        return self.shape[0] * self.line_frames + after

    @property
    def frames(self) -> int:
        """Number of frames that the whole takes, fly-back and offset included."""
        return max(0, self.offset + self.scans * self.period)

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Shape of an image of it: (rows, columns), or (scans, rows, columns)."""
        return self.shape if self.scans == 1 else (self.scans, *self.shape)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of `result_shape`."""
        return ("scan_y", "scan_x") if self.scans == 1 else ("scan", "scan_y", "scan_x")

    @property
    def expected(self) -> int:
        """Number of frames that have a position, in all scans."""
        return self.scans * (len(self.visited) // 4 or self.positions)

    def position_of(self, index: IntArray) -> IntArray:
        """Return the place of each frame in the flat `result_shape`, -1 where none.

        A frame has no place when it was taken before the first position, during
        fly-back, or after the last scan.
        """
        scan, within = np.divmod(index - self.offset, self.period)
        if self.visited:
            place = self._visited_place(within)
        else:
            place = self._grid_place(within)
        outside = (place < 0) | (scan < 0) | (scan >= self.scans)
        return np.where(outside, -1, scan * self.positions + place)

    def account(self, runs: Iterable[tuple[int, int]]) -> dict[str, int]:
        """Return where the frames of `runs` (first, last) fell.

        Returns
        -------
        ``positions`` that the whole has, ``seen`` of them, ``short``: those without
        a frame; frames ``before`` the first position, in ``flyback``, and ``beyond``
        the last scan.
        """
        seen = flyback = before = beyond = 0
        for first, last in runs:
            before += max(0, min(last, self.offset - 1) - first + 1)
            beyond += max(0, last - max(first, self.frames) + 1)
            lo, hi = max(first, self.offset), min(last, self.frames - 1)
            for at in range(lo, hi + 1, _CHUNK):
                part = np.arange(at, min(at + _CHUNK, hi + 1))
                placed = int(np.count_nonzero(self.position_of(part) >= 0))
                seen += placed
                flyback += len(part) - placed
        return {
            "positions": self.expected,
            "seen": seen,
            "short": self.expected - seen,
            "before": before,
            "flyback": flyback,
            "beyond": beyond,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what is as usual is left out."""
        out: dict[str, Any] = {
            "shape": list(self.shape),
            "pattern": self.pattern,
            "flyback": self.flyback,
        }
        for name, usual in (("flyback_lines", 0), ("offset", 0), ("scans", 1)):
            if getattr(self, name) != usual:
                out[name] = getattr(self, name)
        if self.visited:
            out["visited"] = base64.b64encode(self.visited).decode()
        return out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a scan from what `to_dict` gave.

        Raises
        ------
        ShapeError
            If a value is missing or impossible; the message names it.
        """
        shape = tuple(values["shape"])
        if len(shape) != 2 or not all(type(n) is int for n in shape):
            raise ShapeError(f"scan.shape is two whole numbers, not {shape!r:.80}")
        counts = {"flyback": 0, "flyback_lines": 0, "offset": 0, "scans": 1}
        for name, usual in counts.items():
            found = values.get(name)
            if found is not None and type(found) is not int:
                raise ShapeError(f"scan.{name} is a whole number, not {found!r:.80}")
            counts[name] = usual if found is None else found
        return cls(
            shape,
            values.get("pattern", "raster"),
            **counts,
            visited=_decoded(values.get("visited", "")),
        )

    def _grid_place(self, within: IntArray) -> IntArray:
        rows, columns = self.shape
        row, column = np.divmod(within, self.line_frames)
        there = (column < columns) & (row < rows)
        if self.pattern == "snake":
            column = np.where(row % 2 == 1, columns - 1 - column, column)
        return np.where(there, row * columns + column, -1)

    def _visited_place(self, within: IntArray) -> IntArray:
        path = np.frombuffer(self.visited, "<u4")
        there = within < len(path)
        return np.where(there, path[np.where(there, within, 0)].astype(np.int64), -1)


def _check_visited(flat: IntArray, shape: tuple[int, int]) -> None:
    rows, columns = shape
    wrong = (flat < 0) | (flat >= rows * columns)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ShapeError(f"position {k} lies outside a scan of {rows}×{columns}")
    order = np.argsort(flat, kind="stable")
    twice = np.flatnonzero(np.diff(flat[order]) == 0)
    if len(twice):
        first, again = (int(order[twice[0] + k]) for k in (0, 1))
        row, column = divmod(int(flat[first]), columns)
        raise ShapeError(
            f"position [{row}, {column}] is visited twice, as {first} and as {again}; "
            "for several visits set scans"
        )


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            "scan.visited is base64 of uint32, little endian: flat positions"
        ) from error
