"""Measures the radius of round particles by the rings around their centres."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SPHERE = 0
"""Loss goes with the thickness of a sphere."""
DISK = 1
"""Loss is the same all over a disk."""
_TRIES = 25
_PARTS = 4
"""Of a ring, in which a profile is averaged."""
_AROUND = 4.0
"""Background around a particle that is looked at, px."""


@numba.njit(nogil=True, cache=True)
def measure_radii(
    frame: Array,
    places: Array,
    low: Array,
    high: Array,
    around: Array,
    model: int,
    sign: float,
    offset: float,
    gain: float,
) -> tuple[Array, Array]:
    """Return the radii that fit the loss in rings best, and their standard errors.

    Parameters
    ----------
    frame : (height, width) counts
    places : (n, 2) float64
        Centres (row, column), px.
    low, high : (n,) float64
        Between which a radius is looked for, px.
    around : (n,) float64
        Radii, px: pixels that are nearer to another centre than its own are left out.
    model
        `SPHERE` or `DISK`.
    sign
        1 for particles that are darker than what is around, -1 for brighter ones.
    offset, gain
        Counts without a beam, and counts of an electron.

    Returns
    -------
    radius, sigma : (n,) float64, px
        NaN where there is no particle, or its rim lies outside the frame.

    Notes
    -----
    In each ring the logarithm of the mean counts is a line in the profile of the model,
    log I = b - τ s(d / r), whose b and τ are worked out for every r that is tried; its
    variance is one over the electrons in the ring.
    """
    n = len(places)
    radius, sigma = np.full(n, np.nan), np.full(n, np.nan)
    for k in range(n):
        reach = int(high[k] + _AROUND) + 1
        logs, weights = np.zeros(reach), np.zeros(reach)
        if _rings(frame, places, around, k, offset, gain, logs, weights):
            found = _fit(logs, weights, low[k], high[k], model, sign)
            radius[k], sigma[k] = found
    return radius, sigma


@numba.njit(nogil=True, cache=True)
def _rings(
    frame: Array,
    places: Array,
    around: Array,
    which: int,
    offset: float,
    gain: float,
    logs: Array,
    weights: Array,
) -> bool:
    """Fill in log of the mean and electrons of each ring; False without enough."""
    reach = len(logs)
    height, width = frame.shape
    y, x = places[which]
    top, bottom = max(0, int(y) - reach), min(height, int(y) + reach + 2)
    left, right = max(0, int(x) - reach), min(width, int(x) + reach + 2)
    near = np.zeros(len(places), np.int64)
    count = 0
    for k in range(len(places)):
        if k == which:
            continue
        away = np.hypot(places[k, 0] - y, places[k, 1] - x)
        if away < reach + around[k] + 2:
            near[count] = k
            count += 1
    sums, pixels = np.zeros(reach), np.zeros(reach)
    for row in range(top, bottom):
        for column in range(left, right):
            d = np.sqrt((row - y) ** 2 + (column - x) ** 2)
            ring = int(d)
            if ring >= reach:
                continue
            alien = False
            for k in range(count):
                other = near[k]
                far = (row - places[other, 0]) ** 2 + (column - places[other, 1]) ** 2
                if far < (around[other] + 2) ** 2 and far < d * d:
                    alien = True
                    break
            value = frame[row, column]
            if alien or not np.isfinite(value):
                continue
            sums[ring] += value - offset
            pixels[ring] += 1
    good = 0
    for ring in range(reach):
        if pixels[ring] > 0 and sums[ring] > 0:
            logs[ring] = np.log(sums[ring] / pixels[ring])
            weights[ring] = sums[ring] / gain
            good += 1
    return good >= 5


@numba.njit(nogil=True, cache=True)
def _fit(
    logs: Array, weights: Array, low: float, high: float, model: int, sign: float
) -> tuple[float, float]:
    """Return the best radius and its error."""
    step = (high / low) ** (1 / (_TRIES - 1))
    misfits = np.full(_TRIES, np.inf)
    best = 0
    for k in range(_TRIES):
        misfits[k] = _misfit(logs, weights, low * step**k, model, sign)
        if misfits[k] < misfits[best]:
            best = k
    if best == 0 or best == _TRIES - 1 or not np.isfinite(misfits[best]):
        return np.nan, np.nan
    a, b, c = misfits[best - 1], misfits[best], misfits[best + 1]
    if not (np.isfinite(a) and np.isfinite(c)):
        return np.nan, np.nan
    bend = a - 2 * b + c
    shift = 0.5 * (a - c) / bend if bend > 0 else 0.0
    radius = low * step ** (best + shift)
    if bend <= 0:
        return np.nan, np.nan
    # χ² grows by 1 within one standard error.
    return radius, radius * np.log(step) * np.sqrt(2 / bend)


@numba.njit(nogil=True, cache=True)
def _misfit(
    logs: Array, weights: Array, radius: float, model: int, sign: float
) -> float:
    """Return χ² of the rings up to some pixels beyond the rim."""
    last = len(logs)
    w = ws = wss = wl = wsl = wll = 0.0
    for ring in range(last):
        if weights[ring] == 0:
            continue
        s = 0.0
        for part in range(_PARTS):
            d = (ring + (part + 0.5) / _PARTS) / radius
            if model == SPHERE:
                s += np.sqrt(max(1 - d * d, 0.0)) / _PARTS
            else:
                s += min(max((1 - d) * radius + 0.5, 0.0), 1.0) / _PARTS
        weight = weights[ring]
        w += weight
        ws += weight * s
        wss += weight * s * s
        wl += weight * logs[ring]
        wsl += weight * s * logs[ring]
        wll += weight * logs[ring] ** 2
    spread = wss - ws * ws / w
    cross = wsl - ws * wl / w
    if spread <= 0 or -cross * sign <= 0:
        return np.inf
    return float(max(wll - wl * wl / w - cross * cross / spread, 0.0))


def warm(dtype: np.dtype[Any]) -> None:
    """Compile for frames of a dtype, read-only as those of a live chain."""
    frame = np.ones((4, 4), dtype)
    frame.flags.writeable = False
    one = np.ones(1)
    measure_radii(frame, np.ones((1, 2)), one, one + 1, one, SPHERE, 1.0, 0.0, 1.0)
