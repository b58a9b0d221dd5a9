"""The likelihood of a particle that rests and jumps, seen with errors.

Between two frames it stays where it is or jumps by a normal step. What it did is not
known: a filter carries one guess of its place for each of the two, as interacting
multiple models do.

References
----------
.. [1] H. A. P. Blom, Y. Bar-Shalom, IEEE Trans. Autom. Control 33, 780 (1988),
   doi:10.1109/9.1299
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True)
def rest_and_jump(
    positions: Array, frames: Array, jump: float, error: float, wake: float, go: float
) -> float:
    """Return the log-likelihood of a track, given where it, and each run of it, begins.

    Parameters
    ----------
    positions : (n, 2) float64, px
    frames : (n,) int64, growing
    jump, error
        Variances of a jump and of the localisation error, a coordinate's, px².
    wake, go
        Probability of a jump in the next frame, after a frame at rest and after a jump.
    """
    chance = np.zeros(2)
    share = wake / (wake + 1 - go)
    chance[0], chance[1] = 1 - share, share
    place = np.zeros((2, 2))
    spread = np.zeros(2)
    for state in range(2):
        place[state] = positions[0]
        spread[state] = error
    found = 0.0
    for k in range(1, len(frames)):
        if frames[k] - frames[k - 1] == 1:
            found += _advance(
                chance, place, spread, positions[k], jump, error, wake, go
            )
            continue
        chance[0], chance[1] = 1 - share, share
        for state in range(2):
            place[state] = positions[k]
            spread[state] = error
    return found


@numba.njit(nogil=True, cache=True)
def _advance(
    chance: Array,
    place: Array,
    spread: Array,
    seen_at: Array,
    jump: float,
    error: float,
    wake: float,
    go: float,
) -> float:
    """Go on by a frame; return the log-likelihood of what is seen in it."""
    weight = np.zeros((2, 2))
    at = np.zeros((2, 2, 2))
    wide = np.zeros((2, 2))
    total = 0.0
    for now in range(2):
        for before in range(2):
            jumps = wake if before == 0 else go
            likely = jumps if now == 1 else 1 - jumps
            variance = spread[before] + (jump if now == 1 else 0.0)
            y, x = place[before, 0], place[before, 1]
            off_y, off_x = seen_at[0] - y, seen_at[1] - x
            whole = variance + error
            likely *= np.exp(-0.5 * (off_y**2 + off_x**2) / whole)
            gain = variance / whole
            weight[now, before] = chance[before] * likely / (2 * np.pi * whole)
            at[now, before, 0], at[now, before, 1] = y + gain * off_y, x + gain * off_x
            wide[now, before] = gain * error
            total += weight[now, before]
    if not total > 1e-300:
        total = 1e-300
        weight[:] = total / 4
    for now in range(2):
        both = weight[now, 0] + weight[now, 1] + 1e-300
        for c in range(2):
            place[now, c] = (
                weight[now, 0] * at[now, 0, c] + weight[now, 1] * at[now, 1, c]
            ) / both
        spread[now] = 0.0
        for before in range(2):
            off = 0.0
            for c in range(2):
                off += (at[now, before, c] - place[now, c]) ** 2
            spread[now] += weight[now, before] / both * (wide[now, before] + 0.5 * off)
        chance[now] = (weight[now, 0] + weight[now, 1]) / total
    return float(np.log(total))


@numba.njit(nogil=True, cache=True)
def search_rest(
    positions: Array, frames: Array, step_square: float, error: float
) -> tuple[float, Array]:
    """Return the largest likelihood over a jump's size, error, and both chances.

    Parameters
    ----------
    step_square
        Mean square of a step along a coordinate, px².
    error
        A guess of the localisation variance, px².

    Returns
    -------
    log-likelihood, (4,) jump and error variance (px²), wake, go
    """
    best = -np.inf
    at = np.zeros(4)  # logs of both variances, logits of both chances
    for chance in (0.05, 0.2, 0.6):
        for part in (0.01, 0.3):
            noise = max(min(error, 0.45 * step_square), 1e-6 * step_square)
            noise = max(part * noise, 1e-9)
            jump = max(step_square - 2 * noise, 0.1 * step_square) / chance
            odds = np.log(chance / (1 - chance))
            tried = np.array([np.log(jump), np.log(noise), odds, odds])
            found = _likelihood(positions, frames, tried)
            if found > best:
                best, at = found, tried
    reach = 1.0
    while reach > 0.1:
        moved = False
        for axis in range(4):
            for sign in (-1.0, 1.0):
                tried = at.copy()
                tried[axis] += sign * reach
                if abs(tried[2]) > 6 or abs(tried[3]) > 6 or abs(tried[1]) > 25:
                    continue
                found = _likelihood(positions, frames, tried)
                if found > best:
                    best, at, moved = found, tried, True
                    break
        if not moved:
            reach /= 2
    found_at = np.exp(at)
    found_at[2:] = 1 / (1 + np.exp(-at[2:]))
    return best, found_at


@numba.njit(nogil=True, cache=True)
def _likelihood(positions: Array, frames: Array, at: Array) -> float:
    wake, go = 1 / (1 + np.exp(-at[2])), 1 / (1 + np.exp(-at[3]))
    return rest_and_jump(positions, frames, np.exp(at[0]), np.exp(at[1]), wake, go)
