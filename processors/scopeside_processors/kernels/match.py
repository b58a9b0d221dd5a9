"""The template that fits best to what is seen on rings, and how it is turned.

A template is a list of spots. Its correlation with a pattern, as a function of the
in-plane rotation, is the sum of the rings' intensities, each shifted by a spot's
azimuth and weighted by its strength. With some tens of spots this is less work than
the Fourier transforms that full templates would need.

First all templates are tried at coarse azimuths, then the best of them at fine ones.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

COARSE = 128
"""Rotations at which all templates are tried."""
FINE = 3 * COARSE
"""Nodes of a ring."""
_CANDIDATES = 32
_REACH = 4

ENTRY, TURN, SCORE, COARSE_BEST, COARSE_OTHER, RIGHT, UP = range(7)
"""Columns of what `best_matches` gives."""


def best_matches(
    rings: npt.NDArray[np.float32],
    ring: npt.NDArray[np.int32],
    azimuth: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    alike: tuple[Array, Array],
    near: Array,
    fit: FloatArray,
) -> FloatArray:
    """Return the best template of each pattern.

    Parameters
    ----------
    rings : (n, rings, FINE) float32, intensity at evenly spaced azimuths from 0
    ring, azimuth, weight : (templates, spots)
        Ring and azimuth (in nodes) of each spot, and its weight, 0 beyond the last.
    alike : (templates + 1,) and (m,) int32
        Which templates are no other zone than a template's, one list after another,
        and where each begins.
    near : (templates, k) int32
        Itself and those beside it, padded with -1.
    fit : (templates, 6, k) float64
        Turns their scores into 1, a, b, a², ab, b² over the tangent plane.

    Returns
    -------
    (n, 7) float64
        Template; its rotation in nodes; its score; the best score of all at coarse
        azimuths, and of those that are not alike; tilt (a, b) to where the scores
        around it have their maximum, 0 if they have none.
    """
    found = np.zeros((len(rings), 7))
    place = np.round(azimuth / 3).astype(np.int32) % COARSE
    _best(rings, ring, azimuth, place, weight, *alike, near, fit, found)
    return found


def warm() -> None:
    """Compile (or load from the cache) what `best_matches` needs."""
    one = np.zeros((1, 1), np.int32)
    alike = np.array([0, 1], np.int32), np.zeros(1, np.int32)
    weight = np.ones((1, 1), np.float32)
    rings = np.zeros((1, 1, FINE), np.float32)
    best_matches(rings, one, weight, weight, alike, one, np.zeros((1, 6, 1)))


@numba.njit(nogil=True, cache=True)
def _coarsen(rings: Array, out: Array) -> None:
    """Average three nodes around every third, twice over."""
    for r in range(rings.shape[0]):
        for j in range(COARSE):
            value = rings[r, 3 * j - 1] + rings[r, 3 * j] + rings[r, 3 * j + 1]
            out[r, j] = value / 3
            out[r, j + COARSE] = out[r, j]


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _try_all(
    rings: Array,
    ring: Array,
    place: Array,
    weight: Array,
    sums: Array,
    score: Array,
    turn: Array,
) -> None:
    for e in range(ring.shape[0]):
        sums[:] = 0
        for s in range(ring.shape[1]):
            w, first = weight[e, s], place[e, s]
            if w == 0:
                break
            row = rings[ring[e, s]][first : first + COARSE]
            for j in range(COARSE):
                sums[j] += w * row[j]
        best = 0
        for j in range(1, COARSE):
            if sums[j] > sums[best]:
                best = j
        score[e], turn[e] = sums[best], best


@numba.njit(nogil=True, cache=True)
def _score_at(rings: Array, e: int, j: int, spots: tuple[Array, Array, Array]) -> float:
    ring, azimuth, weight = spots
    total = 0.0
    for s in range(ring.shape[1]):
        if weight[e, s] == 0:
            break
        at = azimuth[e, s]
        whole = int(np.floor(at))
        part = at - whole
        row = rings[ring[e, s]]
        here = row[(whole + j) % FINE]
        total += weight[e, s] * (here + part * (row[(whole + j + 1) % FINE] - here))
    return total


@numba.njit(nogil=True, cache=True)
def _look_closer(
    rings: Array, e: int, turn: int, spots: tuple[Array, Array, Array]
) -> tuple[float, float]:
    """Return the rotation around a coarse one that fits best, and its score."""
    best, at = -np.inf, 3 * turn
    for j in range(3 * turn - _REACH, 3 * turn + _REACH + 1):
        value = _score_at(rings, e, j, spots)
        if value > best:
            best, at = value, j
    before = _score_at(rings, e, at - 1, spots)
    after = _score_at(rings, e, at + 1, spots)
    bend = before - 2 * best + after
    if bend >= 0:
        return float(at), best
    shift = min(max(0.5 * (before - after) / bend, -0.5), 0.5)
    return at + shift, best - 0.25 * (before - after) * shift


@numba.njit(nogil=True, cache=True)
def _summit(score: Array, fit: Array) -> tuple[float, float]:
    """Return where the fitted scores are largest; (0, 0) if they have no summit."""
    c = np.zeros(6)
    for i in range(6):
        for k in range(score.size):
            c[i] += fit[i, k] * score[k]
    determinant = 4 * c[3] * c[5] - c[4] * c[4]
    if c[3] >= 0 or determinant <= 0:
        return 0.0, 0.0
    a = (c[4] * c[2] - 2 * c[5] * c[1]) / determinant
    b = (c[4] * c[1] - 2 * c[3] * c[2]) / determinant
    return a, b


@numba.njit(nogil=True, cache=True)
def _leading(score: Array, chosen: Array) -> int:
    """Choose the templates of the highest scores; return how many."""
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
def _best(
    rings: Array,
    ring: Array,
    azimuth: Array,
    place: Array,
    weight: Array,
    bounds: Array,
    alike: Array,
    near: Array,
    fit: Array,
    found: Array,
) -> None:
    templates = ring.shape[0]
    coarse = np.zeros((rings.shape[1], 2 * COARSE), np.float32)
    sums, score = np.zeros(COARSE, np.float32), np.zeros(templates, np.float32)
    turn, chosen = np.zeros(templates, np.int64), np.zeros(_CANDIDATES, np.int64)
    around = np.zeros(near.shape[1])
    spots = (ring, azimuth, weight)
    for n in range(rings.shape[0]):
        pattern = rings[n]
        _coarsen(pattern, coarse)
        _try_all(coarse, ring, place, weight, sums, score, turn)
        best, at, high = 0, 0.0, -np.inf
        for k in range(_leading(score, chosen)):
            where, value = _look_closer(pattern, chosen[k], turn[chosen[k]], spots)
            if value > high:
                best, at, high = chosen[k], where, value
        found[n, 0], found[n, 1], found[n, 2] = best, at, high
        found[n, 3] = score[best]
        for k in range(near.shape[1]):
            beside = near[best, k]
            if beside < 0:
                around[k] = 0
            else:
                _, around[k] = _look_closer(
                    pattern, beside, int(np.round(at / 3)), spots
                )
        found[n, 5], found[n, 6] = _summit(around, fit[best])
        for k in range(bounds[best], bounds[best + 1]):
            score[alike[k]] = -np.inf
        found[n, 4] = score.max()
