"""Orientations between those of templates, from spots that are computed anew.

Of some templates that lead, and are not beside each other, the tilts and the rotation
are bettered by turns in ever smaller steps; then the best is taken. Patterns that look
alike between templates are told apart so.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.match import (
    COARSE,
    FINE,
    LEADING,
    between,
    coarse_places,
    lead,
)

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_FINALISTS = 8
_LEVELS = 4
_HOPELESS = 0.85
"""Of the leading score; what has less is not bettered."""
_APART = 1.5
"""Finalists of one sign are so many steps apart."""

TEMPLATE, ROTATION, SCORE, OTHER = range(4)
"""Columns of what `best_orientations` gives; three more are the orientation."""


def best_orientations(
    rings: npt.NDArray[np.float32],
    spots: tuple[Array, Array, Array],
    base: FloatArray,
    reflections: tuple[FloatArray, Array, FloatArray],
    beam: tuple[float, float, float],
    step: float,
    proper: FloatArray,
) -> FloatArray:
    """Return the orientation that fits best to each pattern.

    Parameters
    ----------
    rings : (n, rings, FINE) float32, intensity at evenly spaced azimuths from 0
    spots : ring int32, azimuth float32 (nodes), weight float32 (templates, spots)
    base : (templates, 3, 3), the second half mirrored
    reflections : vectors (m, 3) 1/Å, ring (m,) int64, strength (m,)
    beam : wavelength (Å), s_max (1/Å), power of (1 - |s|/s_max)
    step : rad, between templates
    proper : (k, 3, 3), turns that leave the crystal as it is

    Returns
    -------
    (n, 4 + 3) float64
        Template; its rotation, rad; score; the best score of an orientation that is
        more than 5° away (or the worst of all that were refined, if none is); Bunge's
        angles φ1, Φ, φ2, rad.
    """
    found = np.zeros((len(rings), 7))
    ring, azimuth, weight = spots
    place = coarse_places(azimuth)
    _best(
        rings,
        (ring, azimuth, place, weight),
        base,
        reflections,
        beam,
        step,
        proper,
        found,
    )
    return found


def warm() -> None:
    """Compile (or load from the cache) what `best_orientations` needs."""
    one = np.zeros((1, 1), np.int32)
    weight = np.ones((1, 1), np.float32)
    best_orientations(
        np.zeros((1, 1, FINE), np.float32),
        (one, weight, weight),
        np.eye(3)[None],
        (np.ones((1, 3)), np.zeros(1, np.int64), np.ones(1)),
        (0.02, 0.02, 0.5),
        0.02,
        np.eye(3)[None],
    )


@numba.njit(nogil=True, cache=True)
def _tilted(base: Array, a: float, b: float, turned: float, out: Array) -> None:
    """Write Rz(turned) · (least turn of (a, b, 1) into z) · base."""
    length = np.sqrt(a * a + b * b + 1)
    x, y, c = a / length, b / length, 1 / length
    share = 1 / (1 + c)
    cos, sin = np.cos(turned), np.sin(turned)
    for j in range(3):
        u, v, w = base[0, j], base[1, j], base[2, j]
        p = (1 - x * x * share) * u - x * y * share * v - x * w
        q = -x * y * share * u + (1 - y * y * share) * v - y * w
        out[0, j] = cos * p - sin * q
        out[1, j] = sin * p + cos * q
        out[2, j] = x * u + y * v + c * w


@numba.njit(nogil=True, cache=True)
def _excitation(
    g: Array, matrix: Array, wavelength: float
) -> tuple[float, float, float]:
    """Return x and y of a reflection, 1/Å, and its excitation error's size."""
    x = matrix[0, 0] * g[0] + matrix[0, 1] * g[1] + matrix[0, 2] * g[2]
    y = matrix[1, 0] * g[0] + matrix[1, 1] * g[1] + matrix[1, 2] * g[2]
    z = matrix[2, 0] * g[0] + matrix[2, 1] * g[1] + matrix[2, 2] * g[2]
    squared, radius = x * x + y * y, 1 / wavelength
    sphere = squared / (radius + np.sqrt(max(radius * radius - squared, 0.0)))
    return x, y, abs(z + sphere)


@numba.njit(nogil=True, cache=True)
def _score(
    rings: Array, matrix: Array, reflections: Any, beam: Any, held: Array
) -> float:
    """Return how well the spots of an orientation fit to a pattern."""
    g, ring, strength = reflections
    wavelength, s_max, power = beam
    total, squared = 0.0, 0.0
    for k in held:
        x, y, error = _excitation(g[k], matrix, wavelength)
        if error >= s_max:
            continue
        share = 1 - error / s_max
        weight = strength[k] * (np.sqrt(share) if power == 0.5 else share**power)
        at = np.arctan2(y, x) * (FINE / (2 * np.pi))
        total += weight * between(rings[ring[k]], at + FINE)
        squared += weight * weight
    return total / np.sqrt(squared) if squared > 0 else -np.inf


@numba.njit(nogil=True, cache=True)
def _within_reach(
    base: Array, reflections: Any, beam: Any, step: float, held: Array
) -> int:
    """List the reflections that may be excited near an orientation."""
    g, wavelength, s_max = reflections[0], beam[0], beam[1]
    count = 0
    for k in range(g.shape[0]):
        x, y, error = _excitation(g[k], base, wavelength)
        if error < s_max + 2 * step * np.sqrt(x * x + y * y):
            held[count] = k
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _better(
    rings: Array,
    base: Array,
    at: Array,
    reflections: Any,
    beam: Any,
    step: float,
    held: Array,
    matrix: Array,
) -> float:
    """Better the tilts and the rotation ``at (3,)``; return the score."""
    _tilted(base, at[0], at[1], at[2], matrix)
    best = _score(rings, matrix, reflections, beam, held)
    size = step / 2
    for _ in range(_LEVELS):
        for axis in (2, 0, 1, 2, 0, 1):
            kept = at[axis]
            for sign in (-1, 1):
                at[axis] = kept + sign * size
                if at[0] ** 2 + at[1] ** 2 > (1.5 * step) ** 2:
                    continue
                _tilted(base, at[0], at[1], at[2], matrix)
                score = _score(rings, matrix, reflections, beam, held)
                if score > best:
                    best = score
                    break
            else:
                at[axis] = kept
        size /= 2
    _tilted(base, at[0], at[1], at[2], matrix)
    return best


@numba.njit(nogil=True, cache=True)
def _finalists(
    leading: Array, count: int, base: Array, step: float, chosen: Array
) -> int:
    """Choose those that lead and are not beside one that leads them."""
    half, most, cosine = base.shape[0] // 2, 0, np.cos(_APART * step)
    for k in range(count):
        e = int(leading[k, 0])
        fresh = True
        for m in range(most):
            f = int(leading[chosen[m], 0])
            dot = 0.0
            for i in range(3):
                dot += base[e, 2, i] * base[f, 2, i]
            fresh &= dot < cosine or (e < half) != (f < half)
        if fresh:
            chosen[most] = k
            most += 1
            if most == chosen.size:
                break
    return most


@numba.njit(nogil=True, cache=True)
def _apart(one: Array, two: Array, proper: Array) -> bool:
    """Return whether two orientations are more than 5° apart, whatever the symmetry."""
    limit = 1 + 2 * np.cos(np.pi / 36)
    relative = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for k in range(3):
                relative[i, j] += one[k, i] * two[k, j]
    for p in range(proper.shape[0]):
        trace = 0.0
        for i in range(3):
            for j in range(3):
                trace += relative[i, j] * proper[p, j, i]
        if trace > limit:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def bunge_of(matrix: Array, out: Array) -> None:
    """Write (φ1, Φ, φ2) of Rz(φ1) Rx(Φ) Rz(φ2); φ2 is 0 where Φ is 0 or π."""
    flat = np.hypot(matrix[2, 0], matrix[2, 1])
    out[1] = np.arctan2(flat, matrix[2, 2])
    if flat < 1e-9:
        out[0], out[2] = np.arctan2(matrix[1, 0], matrix[0, 0]), 0
    else:
        out[0] = np.arctan2(matrix[0, 2], -matrix[1, 2])
        out[2] = np.arctan2(matrix[2, 0], matrix[2, 1])
    for k in (0, 2):
        if out[k] < 0:
            out[k] += 2 * np.pi


@numba.njit(nogil=True, cache=True)
def _better_all(
    rings: Array,
    first: Array,
    base: Array,
    reflections: Any,
    beam: Any,
    step: float,
    held: Array,
    finals: tuple[Array, Array, Array],
) -> None:
    """Better the finalists: of each, write tilts and rotation, matrix, and score."""
    at, matrix, score = finals
    for k in range(first.shape[0]):
        e = int(first[k, 0])
        at[k, 0], at[k, 1], at[k, 2] = 0, 0, first[k, 2] * (2 * np.pi / FINE)
        if first[k, 1] < _HOPELESS * first[0, 1]:
            score[k] = first[k, 1]
            _tilted(base[e], 0.0, 0.0, at[k, 2], matrix[k])
            continue
        near = _within_reach(base[e], reflections, beam, step, held)
        score[k] = _better(
            rings, base[e], at[k], reflections, beam, step, held[:near], matrix[k]
        )


@numba.njit(nogil=True, cache=True)
def _runner_up(best: int, matrix: Array, score: Array, proper: Array) -> float:
    """Return the best score of an orientation that differs, or else the worst."""
    other, distinct = score.min(), False
    for k in range(score.size):
        if _apart(matrix[k], matrix[best], proper):
            other = max(other, score[k]) if distinct else score[k]
            distinct = True
    return float(other)


@numba.njit(nogil=True, cache=True)
def _best(
    rings: Array,
    spots: Any,
    base: Array,
    reflections: Any,
    beam: Any,
    step: float,
    proper: Array,
    found: Array,
) -> None:
    ring, azimuth, place, weight = spots
    room = (
        np.zeros((rings.shape[1], 2 * COARSE), np.float32),
        np.zeros(COARSE, np.float32),
        np.zeros(ring.shape[0], np.float32),
    )
    leading, chosen = np.zeros((LEADING, 3)), np.zeros(_FINALISTS, np.int64)
    held = np.zeros(reflections[0].shape[0], np.int64)
    at, matrix = np.zeros((_FINALISTS, 3)), np.zeros((_FINALISTS, 3, 3))
    score, first = np.zeros(_FINALISTS), np.zeros((_FINALISTS, 3))
    for n in range(rings.shape[0]):
        count = lead(rings[n], ring, azimuth, place, weight, room, leading)
        last = _finalists(leading, count, base, step, chosen)
        for k in range(last):
            first[k] = leading[chosen[k]]
        finals = (at[:last], matrix[:last], score[:last])
        _better_all(rings[n], first[:last], base, reflections, beam, step, held, finals)
        best = int(score[:last].argmax())
        found[n, 0], found[n, 1], found[n, 2] = first[best, 0], at[best, 2], score[best]
        found[n, 3] = _runner_up(best, matrix[:last], score[:last], proper)
        bunge_of(matrix[best], found[n, 4:])
