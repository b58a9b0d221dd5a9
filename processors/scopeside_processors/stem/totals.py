"""Profiles added up over frames, in one sum or in one for each window of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels import sum as kernels

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Totals:
    """Counts and pixels of each bin, by window.

    Integers are exact. Sums of floats are rounded to float32 frame by frame and added
    with the rounding errors kept apart (`kernels.sum.add_floats`), so that here, too,
    the order of the frames does not matter.

    Parameters
    ----------
    bins
        How many there are.
    kind
        Type of the counts: int64 or float64.
    """

    def __init__(self, bins: int, kind: np.dtype[Any]) -> None:
        self._bins, self._kind = bins, kind
        self._counts: dict[int, Array] = {}  # (2, bins): sum, what rounding left out
        self._pixels: dict[int, IntArray] = {}  # (bins + 1,), the last of frames

    def add(self, window: IntArray, sums: Array, pixels: IntArray) -> None:
        """Add frames: their windows (n,), counts and pixels (n, bins)."""
        for number in np.unique(window).tolist():
            here = window == number
            counts, known = self._of(number)
            if self._kind.kind == "f":
                given = np.ascontiguousarray(sums[here][:, None, :], np.float32)
                peak = np.zeros((1, self._bins), np.float32)
                kernels.add_floats(given, counts[:1], counts[1:], peak)
            else:
                counts[0] += sums[here].sum(axis=0)
            known[:-1] += pixels[here].sum(axis=0)
            known[-1] += np.count_nonzero(here)

    def merge(self, other: Self) -> None:
        """Add what `other` has."""
        for number, more in other._counts.items():
            counts, known = self._of(number)
            if self._kind.kind == "f":
                kernels.merge_floats(counts[0], counts[1], more[0], more[1])
            else:
                counts += more
            known += other._pixels[number]

    @property
    def windows(self) -> list[int]:
        """The windows that frames were seen of, ascending."""
        return sorted(self._counts)

    @property
    def frames(self) -> int:
        """Number of frames added."""
        return sum(int(known[-1]) for known in self._pixels.values())

    def counts(self, window: int | None = None) -> FloatArray:
        """Return the counts of each bin, (bins,), of one window or of all."""
        chosen = self.windows if window is None else [window]
        found = np.zeros(self._bins, self._kind)
        for number in chosen:
            found = found + self._counts[number].sum(axis=0)
        return found.astype(np.float64)

    def pixels(self, window: int | None = None) -> IntArray:
        """Return the pixels that were added up in each bin, (bins,)."""
        chosen = self.windows if window is None else [window]
        found = np.zeros(self._bins, np.int64)
        for number in chosen:
            found += self._pixels[number][:-1]
        return found

    def mean(self, window: int | None = None) -> FloatArray:
        """Return the counts per pixel and frame, (bins,); NaN in empty bins."""
        pixels = self.pixels(window)
        found: FloatArray = self.counts(window) / np.where(pixels > 0, pixels, np.nan)
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return all that is known, for `scopeside.state.pack`."""
        windows = self.windows
        if not windows:
            return {"windows": []}
        return {
            "windows": windows,
            "counts": np.stack([self._counts[number] for number in windows]),
            "pixels": np.stack([self._pixels[number] for number in windows]),
        }

    def restore(self, found: Mapping[str, Any]) -> None:
        """Take over what `snapshot` gave; only on a new object."""
        for row, number in enumerate(found["windows"]):
            # Copies, as what is unpacked cannot be written to.
            self._counts[number] = found["counts"][row].copy()
            self._pixels[number] = found["pixels"][row].copy()

    def _of(self, number: int) -> tuple[Array, IntArray]:
        if number not in self._counts:
            self._counts[number] = np.zeros((2, self._bins), self._kind)
            self._pixels[number] = np.zeros(self._bins + 1, np.int64)
        return self._counts[number], self._pixels[number]
