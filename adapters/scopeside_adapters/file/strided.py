"""Files whose frames lie at equal distances: what is whole is known from the size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.file.frames import (
    Array,
    ArrayFrames,
    Facts,
    Frames,
    IntArray,
    map_records,
    pixel_dtype,
    shortfall,
)

HEADER_LIMIT = 1 << 16
"""Bytes at the beginning of a file that are looked at, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strided:
    """How such a file is laid out.

    Attributes
    ----------
    format
        As it stands in messages.
    offset
        Bytes before the first record.
    record
        Dtype of one record on disk; its field ``pixels`` is (height, width).
    declared
        Frames that the header promises, None where it does not say.
    bottom_up
        Whether the first row in the file is the lowest one as delivered.
    stamps
        Turns records into their time stamps, ns since 1970 UTC.
    scan_shape, calibration, metadata
        As in `Facts`.
    """

    format: str
    offset: int
    record: np.dtype[Any]
    declared: int | None = None
    bottom_up: bool = False
    stamps: Callable[[Array], IntArray] | None = None
    scan_shape: tuple[int, int] | None = None
    calibration: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> np.dtype[Any]:
        """Dtype of a pixel on disk."""
        return self._subarray.base

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(height, width), pixels."""
        height, width = self._subarray.shape
        return height, width

    @property
    def bare(self) -> bool:
        """Whether records are nothing but pixels, just as they are delivered."""
        whole = self.record.itemsize == self._subarray.itemsize
        return whole and not self.bottom_up and self.pixels.isnative

    def whole(self, size: int) -> int:
        """Return how many whole frames a file of `size` bytes holds."""
        return max(0, (size - self.offset) // self.record.itemsize)

    def facts(self, count: int, expected: int | None, missing: str = "") -> Facts:
        """Return the facts of a file with `count` frames."""
        return Facts(
            frame_shape=self.frame_shape,
            dtype=pixel_dtype(self.pixels),
            count=count,
            expected=expected,
            missing=missing,
            scan_shape=self.scan_shape,
            calibration=self.calibration,
            metadata={"format": self.format, **self.metadata},
        )

    @property
    def _subarray(self) -> np.dtype[Any]:
        return record_pixels(self.record)


def record_pixels(record: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the field ``pixels``, a subarray."""
    assert record.fields is not None
    return record.fields["pixels"][0]


def record_of(
    pixel: np.dtype[Any] | str,
    shape: tuple[int, int],
    *,
    before: int = 0,
    size: int | None = None,
    also: Mapping[str, tuple[str, int]] | None = None,
) -> np.dtype[Any]:
    """Return a record with pixels after `before` bytes, and what it has `also`.

    That is (format, offset) by the name of the field.

    `size` is the distance from one record to the next; by default it ends with the
    pixels.
    """
    pixels = np.dtype((pixel, shape))
    others = also or {}
    return np.dtype(
        {
            "names": ["pixels", *others],
            "formats": [pixels, *(form for form, _ in others.values())],
            "offsets": [before, *(offset for _, offset in others.values())],
            "itemsize": before + pixels.itemsize if size is None else size,
        }
    )


def open_strided(path: Path, layout: Strided) -> Frames:
    """Map the whole frames of a file that is not written any more.

    Raises
    ------
    SourceError
        If not even one frame is whole.
    """
    size = path.stat().st_size
    there = layout.whole(size)
    expected: int | None = layout.declared or there
    count = min(there, layout.declared or there)
    missing = shortfall(path, count, layout.declared or there)
    if count == 0:
        raise SourceError("it ends before its first frame is whole")
    rest = (size - layout.offset) % layout.record.itemsize
    if layout.declared is None and rest:
        missing = f"{path.name} ends in the middle of frame {count}"
        expected = None
    records = map_records(path, layout.offset, layout.record, count)
    pixels = records["pixels"][:, ::-1] if layout.bottom_up else records["pixels"]
    to_ns = layout.stamps

    def stamps(first: int, n: int) -> IntArray:
        assert to_ns is not None
        return to_ns(records[first : first + n])

    facts = layout.facts(count, expected, missing)
    return ArrayFrames(pixels, facts, None if to_ns is None else stamps)


def begin(path: Path, size: int = HEADER_LIMIT) -> bytes:
    """Return the first `size` bytes of a file, or as many as there are."""
    with path.open("rb") as file:
        return file.read(size)
