"""The templates that fit best to what is seen on rings, and how they are turned.

A template is a list of spots. Its correlation with a pattern, as a function of the
in-plane rotation, is the sum of the rings' intensities, each shifted by a spot's
azimuth and weighted by its strength. With some tens of spots this is less work than
the Fourier transforms that full templates would need. All are tried at coarse
azimuths, the best of them at fine ones; `kernels.refine` takes over from there.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

COARSE = 128
"""Rotations at which all templates are tried."""
FINE = 3 * COARSE
"""Nodes of a ring."""
LEADING = 64
"""Templates that are tried at fine azimuths."""
_REACH = 4


def coarse_places(azimuth: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Return the coarse azimuth of spots whose azimuth is in nodes, as `lead` needs."""
    return np.round(azimuth / 3).astype(np.int32) % COARSE


@numba.njit(nogil=True, cache=True)
def _coarsen(rings: Array, out: Array) -> None:
    """Average three nodes around every third; write it twice over."""
    for r in range(rings.shape[0]):
        for j in range(COARSE):
            value = rings[r, 3 * j - 1] + rings[r, 3 * j] + rings[r, 3 * j + 1]
            out[r, j] = value / 3
            out[r, j + COARSE] = out[r, j]


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _turn(rings: Array, ring: Array, place: Array, weight: Array, sums: Array) -> None:
    """Correlate one template with a pattern, at all coarse rotations."""
    sums[:] = 0
    for s in range(ring.size):
        w, first = weight[s], place[s]
        if w == 0:
            break
        row = rings[ring[s]][first : first + COARSE]
        for j in range(COARSE):
            sums[j] += w * row[j]


@numba.njit(nogil=True, cache=True)
def _largest(sums: Array) -> float:
    """Return the largest of COARSE values, which it overwrites, half by half."""
    half = COARSE // 2
    while half:
        for j in range(half):
            one, two = sums[j], sums[j + half]
            sums[j] = one if one > two else two
        half //= 2
    largest: float = sums[0]
    return largest


@numba.njit(nogil=True, cache=True)
def _try_all(
    rings: Array, ring: Array, place: Array, weight: Array, sums: Array, score: Array
) -> None:
    for e in range(ring.shape[0]):
        _turn(rings, ring[e], place[e], weight[e], sums)
        score[e] = _largest(sums)


@numba.njit(nogil=True, cache=True)
def between(row: Array, at: float) -> float:
    """Return a ring's value at an azimuth in nodes, 0 ≤ at < 2 FINE."""
    whole = int(at)
    part = at - whole
    here = row[whole % FINE]
    value: float = here + part * (row[(whole + 1) % FINE] - here)
    return value


@numba.njit(nogil=True, cache=True)
def _look_closer(
    rings: Array, e: int, turn: int, ring: Array, azimuth: Array, weight: Array
) -> tuple[float, int]:
    """Return the best score at nodes around a coarse rotation, and the node."""
    best, at = -np.inf, 0
    for j in range(3 * turn - _REACH, 3 * turn + _REACH + 1):
        total = 0.0
        for s in range(ring.shape[1]):
            if weight[e, s] == 0:
                break
            total += weight[e, s] * between(
                rings[ring[e, s]], azimuth[e, s] + (j + FINE) % FINE
            )
        if total > best:
            best, at = total, (j + FINE) % FINE
    return best, at


@numba.njit(nogil=True, cache=True)
def _rank(score: Array, chosen: Array) -> int:
    """Choose the entries of the highest scores, highest first; return how many."""
    count = 0
    for e in range(score.size):
        if count == chosen.size and score[e] <= score[chosen[count - 1]]:
            continue
        at = min(count, chosen.size - 1)
        while at > 0 and score[chosen[at - 1]] < score[e]:
            chosen[at] = chosen[at - 1]
            at -= 1
        chosen[at] = e
        count = min(count + 1, chosen.size)
    return count


@numba.njit(nogil=True, cache=True)
def lead(
    rings: Array,
    ring: Array,
    azimuth: Array,
    place: Array,
    weight: Array,
    room: tuple[Array, Array, Array],
    leading: Array,
) -> int:
    """Find the leading templates of one pattern; return how many.

    Parameters
    ----------
    rings : (rings, FINE) float32, intensity at evenly spaced azimuths from 0
    ring, azimuth, place, weight : (templates, spots)
        Ring, azimuth in nodes and in coarse steps, and weight, 0 beyond the last spot.
    room : (rings, 2 COARSE), (COARSE,) and (templates,) float32
    leading : (LEADING, 3) float64
        Is filled with template, score and rotation in nodes, the best first.
    """
    coarse, sums, score = room
    _coarsen(rings, coarse)
    _try_all(coarse, ring, place, weight, sums, score)
    chosen, order = np.zeros(LEADING, np.int64), np.zeros(LEADING, np.int64)
    count = _rank(score, chosen)
    close, node = np.zeros(count), np.zeros(count)
    for k in range(count):
        e = chosen[k]
        _turn(coarse, ring[e], place[e], weight[e], sums)
        turn = int(sums.argmax())
        close[k], node[k] = _look_closer(rings, e, turn, ring, azimuth, weight)
    _rank(close, order)
    for k in range(count):
        leading[k, 0] = chosen[order[k]]
        leading[k, 1], leading[k, 2] = close[order[k]], node[order[k]]
    return count
