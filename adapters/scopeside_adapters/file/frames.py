"""What every kind of file comes down to: frames that can be read in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import check_dtype
from scopeside.errors import ShapeError, SourceError, SourceLostError

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
Stamps = Callable[[int, int], IntArray]

MEMORY_LIMIT = 512 << 20
"""Bytes that may be loaded at once where a format allows nothing else."""


class FrameLostError(SourceLostError):
    """A frame cannot be read; those before it have been.

    Attributes
    ----------
    frame
        The first frame that is lost.
    """

    def __init__(self, message: str, *, frame: int) -> None:
        super().__init__(message)
        self.frame = frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a file says about itself before a pixel is read.

    Attributes
    ----------
    frame_shape
        (height, width), pixels.
    dtype
        Of the pixels as they are delivered: little endian, never bool.
    count
        Frames that are there, as far as can be seen without reading them.
    expected
        Frames that the file says it holds; None when it cannot be known.
    missing
        Why there are fewer frames than there should be; empty if there are not.
    scan_shape
        (rows, columns) of probe positions, None where the file names none.
    calibration
        SI values by the names of `Acquisition.calibration`.
    metadata
        Plain values: ``format``, ``title`` …
    """

    frame_shape: tuple[int, int]
    dtype: np.dtype[Any]
    count: int
    expected: int | None
    missing: str = ""
    scan_shape: tuple[int, int] | None = None
    calibration: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A damaged file may hold a list where a side belongs.
        sides = self.frame_shape
        if not all(isinstance(n, int | np.integer) and n >= 1 for n in sides):
            raise SourceError(
                f"a frame has a height and a width of 1 or more, not {sides!r:.80}"
            )


class Frames(ABC):
    """An open file. Close it, or use it as a context manager."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @abstractmethod
    def read_into(self, first: int, out: Array) -> None:
        """Fill `out` (n, height, width) with the frames from `first` on.

        Raises
        ------
        FrameLostError
            If a frame cannot be read; those before it are in `out`.
        """

    def timestamps_ns(self, first: int, n: int) -> IntArray | None:  # noqa: ARG002 - a default
        """Return when `n` frames were taken, ns since 1970 UTC; None if not said."""
        return None

    def problems(self) -> list[str]:
        """Return why the frames should not be played at all.

        That some are missing is no reason: those that are there can be played.
        """
        return []

    def close(self) -> None:  # noqa: B027 - a default: not all hold a file open
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ArrayFrames(Frames):
    """Frames of an array (n, height, width), most often a memory map."""

    def __init__(self, array: Array, facts: Facts, stamps: Stamps | None = None):
        super().__init__(facts)
        self._array = array
        self._stamps = stamps

    def read_into(self, first: int, out: Array) -> None:
        """Copy, turning big endian into little."""
        np.copyto(out, self._array[first : first + len(out)], casting="safe")

    def timestamps_ns(self, first: int, n: int) -> IntArray | None:
        """Return the stamps beside the frames, if there are any."""
        return None if self._stamps is None else self._stamps(first, n)

    def close(self) -> None:
        """Drop the map; it is closed with its last view."""
        self._array = np.empty((0, *self.facts.frame_shape), self.facts.dtype)
        self._stamps = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How the axes of an array are frames: all but the last two count them."""

    count: int
    frame_shape: tuple[int, int]
    scan_shape: tuple[int, int] | None

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Self:
        """Take 2 axes as a frame, 3 as a movie, 4 as a scan (rows, columns, …).

        Raises
        ------
        SourceError
            For any other number of axes, and for arrays without pixels.
        """
        shape = tuple(int(n) for n in shape)
        if not 2 <= len(shape) <= 4:
            raise SourceError(
                f"an array of shape {shape} is no series of frames: expected "
                "(height, width), (frames, height, width) or "
                "(rows, columns, height, width)"
            )
        if 0 in shape:
            raise SourceError(f"an array of shape {shape} holds no frames")
        *leading, height, width = shape
        scan = (leading[0], leading[1]) if len(leading) == 2 else None
        return cls(int(np.prod(leading, dtype=np.int64)), (height, width), scan)


def pixel_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return how pixels of `dtype` are delivered: bool as uint8, little endian.

    Raises
    ------
    SourceError
        For complex numbers, records and other things that are no counts.
    """
    found = np.dtype(dtype)
    if found.kind == "b":
        return np.dtype(np.uint8)
    if found.kind == "c":
        raise SourceError(
            f"its pixels are complex ({found}); save the modulus or the phase"
        )
    try:
        return check_dtype(found)
    except ShapeError as error:
        raise SourceError(str(error)) from error


def one_channel(image: Array) -> Array:
    """Return a picture without its channels, if they say the same.

    A grey picture is often stored as RGB or RGBA. Which luminance a coloured one
    has is a matter of its colour map, so it is refused rather than guessed.
    """
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4):
        raise SourceError(f"an image of shape {image.shape} is no (height, width)")
    has_alpha = image.shape[2] in (2, 4)
    colours = image[..., :-1] if has_alpha else image
    if has_alpha and np.ptp(image[..., -1]) != 0:
        raise SourceError("it is transparent in part; save it without transparency")
    if (colours != colours[..., :1]).any():
        raise SourceError(
            "it is a colour picture whose channels differ; convert it to grey in "
            "the way that fits its colour map"
        )
    return image[..., 0]


def shortfall(path: Path, count: int, expected: int) -> str:
    """Say that a file ends early; empty if it does not.

    Raises
    ------
    SourceError
        If not even one frame is whole.
    """
    if count >= expected:
        return ""
    if count == 0:
        raise SourceError(f"it ends before the first of its {expected} frames")
    return f"{path.name} ends after {count} of {expected} frames"


def map_records(path: Path, offset: int, record: npt.DTypeLike, count: int) -> Array:
    """Map `count` records of a file into memory, read only."""
    return np.memmap(path, record, mode="r", offset=offset, shape=(count,))
