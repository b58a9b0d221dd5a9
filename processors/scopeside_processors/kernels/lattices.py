"""The lattice of diffraction disks in each frame, from where it is expected."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.bragg import MIDDLE, SIGNIFICANT, better, search
from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

FOUND = 0
NO_COUNTS, NOT_A_NUMBER, SATURATED, NO_BEAM, TOO_FEW, FAILED = range(1, 7)
"""Why a frame has no lattice."""

_MOST_CHANGE = 0.3
"""A lattice vector that has changed by more of its length is another one's."""
_LARGEST_RESIDUAL, _LARGEST_NOISE = 0.7, 0.9
"""Disks that lie further from their lattice do not form it, pixels rms: the second
where with so few counts they can be expected to."""
_MOST_MOVES, _STILL = 6, 0.3
"""A pattern is moved at most so often, and until it moves by less, pixels."""
_SOME = 19
"""Disks that the lattice is fitted to before it is fitted to all."""
_MOST_MORE = 3
"""Looks at all disks beyond the first, where they do not form a lattice yet."""
_FAR = 3.0
"""One that has moved further is searched for: it might have been led astray, pixels."""
_SPREAD = 0.05
"""Disks all in one line, or one alone, give no lattice: smallest variance of orders."""


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """What a disk is looked at with; see `stem.disk_filters`.

    Attributes
    ----------
    weights
        (levels · phases², 6, side²) float32: for each of `kernels.bragg.LEVELS` filters
        for amplitude, amplitude · displacement along y and x, and background; what a
        disk looks like, without its mean, norm 1; 1 where a pixel counts.
    phases, side
        Places of the disk in a pixel, in each direction; side of the window, pixels.
    noise
        (levels, 5) float64, as `kernels.bragg.judge` takes them.
    """

    weights: npt.NDArray[np.float32]
    phases: int
    side: int
    noise: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """The lattice where it is looked for.

    Attributes
    ----------
    vectors
        (2, 2) float64, rows are lattice vectors (row, column), pixels.
    orders
        (m, 2) float64, whole numbers: the disks, the nearest first.
    inner
        How many of them the pattern is first found by.
    reach
        How far it may have moved, pixels.
    fewest
        How many disks have to be seen.
    limit
        Counts from which a pixel is saturated.
    """

    vectors: FloatArray
    orders: FloatArray
    inner: int
    reach: int
    fewest: int
    limit: float


def fit_lattices(
    frames: Array, centres: FloatArray, expected: Expected, filters: Filters
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.uint8]]:
    """Return the lattice of each frame, how well it fits, and why there is none.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype
    centres : (n, 2) float64, where the undiffracted beam should be, (row, column)

    Returns
    -------
    (n, 3, 2) float64, (n, 2) float64 and (n,) uint8
        Rows are the two lattice vectors and the undiffracted beam, (row, column) in
        pixels; number of disks that were seen and their weighted residual, pixels
        rms; 0 or a reason. What a frame brings does not depend on the others.
    """
    frames = as_stored(frames)
    lattices = np.empty((len(frames), 3, 2))
    lattices[:, :2] = expected.vectors
    lattices[:, 2] = centres
    quality, flags = np.zeros((len(frames), 2)), np.zeros(len(frames), np.uint8)
    _fit(
        frames,
        expected.orders,
        expected.inner,
        expected.reach,
        expected.fewest,
        float(expected.limit),
        filters.weights,
        filters.phases,
        filters.side,
        filters.noise,
        lattices,
        quality,
        flags,
    )
    if frames.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # of infinite pixels
            finite = np.isfinite(frames.sum(axis=(1, 2), dtype=np.float64))
        flags[~finite] = NOT_A_NUMBER
    return lattices, quality, flags


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    one = Filters(np.zeros((3, 6, 1), np.float32), 1, 1, np.ones((3, 5)))
    about = Expected(np.eye(2), np.zeros((1, 2)), 1, 0, 1, math.inf)
    fit_lattices(np.empty((0, 1, 1), dtype), np.empty((0, 2)), about, one)


@numba.njit(nogil=True, cache=True)
def _fit(
    frames: Array,
    orders: Array,
    inner: int,
    reach: int,
    fewest: int,
    limit: float,
    filters: Array,
    phases: int,
    side: int,
    noise: Array,
    lattices: Array,
    quality: Array,
    flags: Array,
) -> None:
    window, found = np.empty(side * side, np.float32), np.empty(6)
    seen = np.empty((len(orders), 4))
    lattice, step = np.empty((3, 2)), np.empty((3, 2))
    for f in range(len(frames)):
        frame, start = frames[f], lattices[f]
        for again in range(2):
            lattice[:] = start
            seen[:, 3] = MIDDLE
            if again:
                search(
                    frame, lattice, orders, inner, reach, filters, phases, side,
                    window, found,
                )  # fmt: skip
            saturated = 0
            # Where the pattern is, until it stays; its lattice near the beam; more of
            # it; all.
            turn, moves, left = 0, True, _MOST_MOVES
            while turn < 3:
                y, x = lattice[2, 0], lattice[2, 1]
                disks = inner if turn == 0 else len(orders)
                if turn == 1:
                    disks = min(disks, _SOME)
                saturated = better(
                    frame, lattice, orders, disks, moves, filters, phases, side,
                    limit, noise, window, found, seen, step,
                )  # fmt: skip
                left -= 1
                away = math.hypot(lattice[2, 0] - y, lattice[2, 1] - x)
                if moves and (away < _STILL or left == 0):
                    moves = False
                elif not moves:
                    turn += 1
                y, x = lattice[2, 0] - start[2, 0], lattice[2, 1] - start[2, 1]
                if moves and not again and math.hypot(y, x) > _FAR:
                    break
            if turn < 3:
                continue
            for more in range(_MOST_MORE + 1):
                if more:
                    saturated = better(
                        frame, lattice, orders, len(orders), False, filters, phases,
                        side, limit, noise, window, found, seen, step,
                    )  # fmt: skip
                flags[f] = _verdict(
                    seen, orders, start, lattice, reach, fewest, saturated, quality[f]
                )
                if flags[f] != FAILED:
                    break
            if flags[f] in {FOUND, SATURATED}:
                break
        if flags[f] != FOUND and not _counts(frame):
            flags[f] = NO_COUNTS
        start[:] = lattice


@numba.njit(nogil=True, cache=True)
def _verdict(
    seen: Array,
    orders: Array,
    start: Array,
    lattice: Array,
    reach: int,
    fewest: int,
    saturated: int,
    quality: Array,
) -> int:
    """Say whether what was seen is a lattice; fill in how well it fits."""
    number, weight, residual = 0, 0.0, 0.0
    h, k, hh, kk, hk = 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(len(seen)):
        if seen[n, 3] < SIGNIFICANT:
            continue
        number += 1
        weight += seen[n, 2]
        residual += seen[n, 2] * (seen[n, 0] ** 2 + seen[n, 1] ** 2)
        h += orders[n, 0]
        k += orders[n, 1]
        hh += orders[n, 0] ** 2
        kk += orders[n, 1] ** 2
        hk += orders[n, 0] * orders[n, 1]
    quality[0] = number
    quality[1] = math.sqrt(residual / weight) if number else math.nan
    if number < fewest or number < 3:
        if saturated and number + saturated >= fewest:
            return SATURATED
        return TOO_FEW if number > 1 else NO_BEAM
    hh, kk = hh / number - (h / number) ** 2, kk / number - (k / number) ** 2
    hk = hk / number - h * k / number**2
    if 0.5 * (hh + kk - math.hypot(hh - kk, 2 * hk)) < _SPREAD:
        return TOO_FEW
    noise = min(6.0 * number / weight, _LARGEST_NOISE**2)
    if not residual / weight <= max(_LARGEST_RESIDUAL**2, noise):
        return FAILED
    return FOUND if _plausible(start, lattice, reach) else FAILED


@numba.njit(nogil=True, cache=True)
def _plausible(start: Array, lattice: Array, reach: int) -> bool:
    """Whether a lattice is still the one that was looked for."""
    for row in range(2):
        change = math.hypot(
            lattice[row, 0] - start[row, 0], lattice[row, 1] - start[row, 1]
        )
        if not change <= _MOST_CHANGE * math.hypot(start[row, 0], start[row, 1]):
            return False
    moved = math.hypot(lattice[2, 0] - start[2, 0], lattice[2, 1] - start[2, 1])
    return moved <= 1.5 * reach + 2.0


@numba.njit(nogil=True, cache=True)
def _counts(frame: Array) -> bool:
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            if frame[y, x] > 0:
                return True
    return False
