"""Disks placed to a fraction of a pixel, each on its own, from where they should be."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.bragg import MIDDLE, SATURATED, judge, level_of, look
from scopeside_processors.kernels.lattices import Filters
from scopeside_processors.kernels.maxima import maxima
from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_TURNS = 4
"""Looks at a disk; each begins where the last one saw it."""


def locate(
    frames: Array,
    starts: FloatArray,
    filters: Filters,
    limit: float,
    reach: float,
    least: float,
    spread: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Place disks from where they should be.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype
    starts : (n, m, 2) float64, row and column; NaN where there is no disk
    limit : counts from which a pixel is saturated
    reach : a disk lies no further from its start, pixels
    least : a disk's amplitude is at least so many standard deviations
    spread : standard deviation of disks about their starts, pixels; inf: unknown

    Returns
    -------
    (n, m, 4) float32 and (n,) uint8
        Row, column, pixels; counts in the disk above the background; score, the
        coefficient of correlation with the model, from -1 to 1. NaN where none was
        found. And 1 where none was found in a frame, and one was saturated.
    """
    frames = as_stored(frames)
    out = np.full((*starts.shape[:2], 4), np.nan, np.float32)
    saturated = np.zeros(len(frames), np.uint8)
    _locate(
        frames,
        starts,
        filters.weights,
        filters.phases,
        filters.side,
        filters.noise,
        float(limit),
        reach,
        least * least,
        1.0 / spread**2,
        out,
        saturated,
    )
    return out, saturated


def highest(image: Array, margin: int, distance: float, most: int) -> FloatArray:
    """Return the highest maxima of a correlation, (m, 2), NaN where there are fewer.

    See `kernels.maxima.maxima`.
    """
    out = np.full((most, 3), np.nan)
    found = maxima(image, margin, distance, 0.0, out)
    out[found:] = np.nan
    return out[:, :2]


def brightest(peaks: npt.NDArray[np.float32], distance: float) -> None:
    """Sort the disks of each frame, (n, m, 4), the brightest first, in place.

    One that lies nearer than `distance` pixels to a brighter one is the same; it is
    left out.
    """
    _sort(peaks, distance * distance)


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    one = Filters(np.zeros((3, 6, 1), np.float32), 1, 1, np.ones((3, 5)))
    frames, starts = np.empty((0, 1, 1), dtype), np.empty((0, 1, 2))
    peaks, _ = locate(frames, starts, one, math.inf, 1.0, 1.0, math.inf)
    brightest(peaks, 1.0)
    highest(np.zeros((3, 3), np.float32), 1, 1.0, 1)


@numba.njit(nogil=True, cache=True)
def _locate(
    frames: Array,
    starts: Array,
    filters: Array,
    phases: int,
    side: int,
    noise: Array,
    limit: float,
    reach: float,
    least: float,
    prior: float,
    out: Array,
    saturated: Array,
) -> None:
    window, found = np.empty(side * side, np.float32), np.empty(6)
    judged = np.empty((1, 4))
    for f in range(len(frames)):
        any_found, any_saturated = False, False
        for n in range(starts.shape[1]):
            y0, x0 = starts[f, n, 0], starts[f, n, 1]
            if math.isnan(y0):
                continue
            y, x, why, level = y0, x0, 0, 0
            judged[0, 3] = MIDDLE
            for _ in range(_TURNS):
                level = level_of(judged[0, 3])
                why = look(
                    frames[f], y, x, filters, level, phases, side, limit, window, found
                )
                if why:
                    break
                judge(found, noise, level, judged, 0)
                # What is known of the place beforehand weighs as much as it is sure.
                share = 1.0 if prior == 0 else judged[0, 2] / (judged[0, 2] + prior)
                y = y0 + share * (judged[0, 0] - y0)
                x = x0 + share * (judged[0, 1] - x0)
                if not (y - y0) ** 2 + (x - x0) ** 2 <= reach * reach:
                    break
            any_saturated |= why == SATURATED
            near = (y - y0) ** 2 + (x - x0) ** 2 <= reach * reach
            if why or not near or judged[0, 3] < least:
                continue
            one = _phase(found, phases, side)
            any_found = True
            out[f, n, 0], out[f, n, 1] = y, x
            out[f, n, 2] = found[0] * _area(filters[one], window.size)
            out[f, n, 3] = _likeness(filters[one], window)
        saturated[f] = any_saturated and not any_found


@numba.njit(nogil=True, cache=True)
def _phase(found: Array, phases: int, side: int) -> int:
    """Return which filters `look` has used, from the place that it has left."""
    half = 0.5 * (side - 1)
    down = found[4] - half + 0.5
    right = found[5] - half + 0.5
    one = int((down - math.floor(down)) * phases)
    return one * phases + int((right - math.floor(right)) * phases)


@numba.njit(nogil=True, cache=True)
def _area(one: Array, pixels: int) -> float:
    """Return what a disk of amplitude 1 counts, from what it looks like.

    That is its profile without the mean, in units of its norm: inside it is at its
    highest, outside at its lowest, and 1 apart.
    """
    high, low, total = -np.inf, np.inf, 0.0
    for p in range(pixels):
        if one[5, p] > 0:
            high, low = max(high, one[4, p]), min(low, one[4, p])
    for p in range(pixels):
        if one[5, p] > 0:
            total += (one[4, p] - low) / (high - low)
    return total


@numba.njit(nogil=True, cache=True)
def _likeness(one: Array, window: Array) -> float:
    like, total, square, pixels = 0.0, 0.0, 0.0, 0.0
    for p in range(window.size):
        value = window[p]
        like += value * one[4, p]
        total += value * one[5, p]
        square += value * value * one[5, p]
        pixels += one[5, p]
    variance = square - total * total / pixels
    return like / math.sqrt(variance) if variance > 0 else 0.0


@numba.njit(nogil=True, cache=True)
def _sort(peaks: Array, square: float) -> None:
    copy = np.empty_like(peaks[0]) if len(peaks) else np.empty((0, 4), np.float32)
    for f in range(len(peaks)):
        frame = peaks[f]
        copy[:] = frame
        bright = np.where(np.isnan(copy[:, 2]), np.float32(-np.inf), copy[:, 2])
        frame[:] = np.nan
        kept = 0
        for n in np.argsort(-bright, kind="mergesort"):
            free = bright[n] > -np.inf
            for k in range(kept):
                down, right = frame[k, 0] - copy[n, 0], frame[k, 1] - copy[n, 1]
                free &= down * down + right * right >= square
            if free:
                frame[kept] = copy[n]
                kept += 1
