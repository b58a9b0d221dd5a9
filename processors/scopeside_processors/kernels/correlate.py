"""Compares the spectrum of a frame with that of a template, one pass each.

Spectra are halves (non-negative columns' frequencies) cut down to a band; `ring` says
to which ring of frequencies each of their numbers belongs. Sums over a half count its
columns twice but the first, as the other half would.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]


@numba.njit(nogil=True, cache=True)
def contrast(
    frame: Array,
    mean: float,
    hot: float,
    rows: Array,
    columns: Array,
    out: Array,
) -> None:
    """Write the tapered contrast of a frame, f / `mean` - 1, into `out`.

    A pixel that stands out by more than `hot` counts from the mean of the frame and
    from its neighbours is taken for hot and becomes the mean of its neighbours.

    Parameters
    ----------
    frame : (height, width) counts
    mean : counts per pixel
    hot : counts
    rows, columns : (height,), (width,) float32, the taper
    out : (height, width) float32
    """
    height, width = frame.shape
    limit = np.float32(mean + hot)
    offset = np.float32(mean)
    scale = np.float32(1.0 / mean)
    for y in range(height):
        row, target = frame[y], out[y]
        weight = rows[y] * scale
        highest = np.float32(0)
        for x in range(width):
            value = np.float32(row[x])
            highest = max(highest, value)
            target[x] = (value - offset) * weight * columns[x]
        if highest > limit:
            above = frame[max(y - 1, 0)]
            below = frame[min(y + 1, height - 1)]
            for x in range(width):
                value = np.float32(row[x])
                if value > limit:
                    left = np.float32(row[max(x - 1, 0)])
                    right = np.float32(row[min(x + 1, width - 1)])
                    near = left + right + np.float32(above[x]) + np.float32(below[x])
                    near *= np.float32(0.25)
                    if value - near > hot:
                        target[x] = (near - offset) * weight * columns[x]


@numba.njit(nogil=True, cache=True)
def ring_powers(spectrum: Array, ring: Array, rings: int) -> FloatArray:
    """Return (rings,) float64, the summed power of each ring."""
    powers = np.zeros(rings)
    for i in range(spectrum.shape[0]):
        for j in range(spectrum.shape[1]):
            value = spectrum[i, j]
            power = value.real * value.real + value.imag * value.imag
            powers[ring[i, j]] += power if j == 0 else 2 * power
    return powers


@numba.njit(nogil=True, cache=True)
def cross(
    spectrum: Array, template: Array, ring: Array, weight: Array, out: Array
) -> None:
    """Write the weighted cross spectrum, frame times conjugate template, into `out`."""
    for i in range(spectrum.shape[0]):
        for j in range(spectrum.shape[1]):
            w = weight[ring[i, j]]
            out[i, j] = w * (spectrum[i, j] * np.conj(template[i, j]))


@numba.njit(nogil=True, cache=True)
def slopes(
    product: Array, ramp_rows: Array, ramp_columns: Array, ky: Array, kx: Array
) -> FloatArray:
    """Return value, gradient and curvature of a correlation at one place.

    Parameters
    ----------
    product : (m, n) complex64, a cross spectrum
    ramp_rows, ramp_columns : (m,), (n,) complex128, e^(i k d)
    ky, kx : (m,), (n,) float64, rad/px

    Returns
    -------
    (6,) float64: value; slope along rows, columns; second derivatives yy, yx, xx.
    """
    found = np.zeros(6)
    for i in range(product.shape[0]):
        c0, c1, c2 = 0j, 0j, 0j
        for j in range(product.shape[1]):
            p = product[i, j] * ramp_columns[j] * (1.0 if j == 0 else 2.0)
            c0 += p
            c1 += kx[j] * p
            c2 += kx[j] * kx[j] * p
        r, k = ramp_rows[i], ky[i]
        c0, c1, c2 = c0 * r, c1 * r, c2 * r
        found[0] += c0.real
        found[1] -= k * c0.imag
        found[2] -= c1.imag
        found[3] -= k * k * c0.real
        found[4] -= k * c1.real
        found[5] -= c2.real
    return found


@numba.njit(nogil=True, cache=True)
def take_in(
    spectrum: Array,
    template: Array,
    ramp_rows: Array,
    ramp_columns: Array,
    share: float,
    ring: Array,
    rings: int,
) -> FloatArray:
    """Move `template` by `share` of its distance to a frame shifted onto it.

    Returns
    -------
    (rings,) float64, the summed power of that distance in each ring.
    """
    powers = np.zeros(rings)
    part = np.float32(share)
    for i in range(spectrum.shape[0]):
        for j in range(spectrum.shape[1]):
            ramp = np.complex64(ramp_rows[i] * ramp_columns[j])
            distance = spectrum[i, j] * ramp - template[i, j]
            power = distance.real * distance.real + distance.imag * distance.imag
            powers[ring[i, j]] += power if j == 0 else 2 * power
            template[i, j] += part * distance
    return powers


@numba.njit(nogil=True, cache=True)
def survey(
    surface: Array, rows: Array, columns: Array, capped: float
) -> tuple[float, int, float, int]:
    """Find the highest point of a surface, and that of it less a penalty.

    Parameters
    ----------
    surface : (m, n) float32
    rows, columns : (m,), (n,) float64, parts of the penalty, which add up
    capped : the highest penalty

    Returns
    -------
    highest, its flat index, highest less penalty, its flat index
    """
    best, at, best_near, at_near = -np.inf, 0, -np.inf, 0
    n = surface.shape[1]
    for i in range(surface.shape[0]):
        for j in range(n):
            value = surface[i, j]
            if value > best:
                best, at = value, i * n + j
            near = value - min(rows[i] + columns[j], capped)
            if near > best_near:
                best_near, at_near = near, i * n + j
    return best, at, best_near, at_near


@numba.njit(nogil=True, cache=True)
def mass(surface: Array, reference: float) -> float:
    """Return the sum of exp(surface - reference) over all points."""
    total = 0.0
    for i in range(surface.shape[0]):
        for j in range(surface.shape[1]):
            difference = surface[i, j] - reference
            if difference > -40.0:
                total += np.exp(min(difference, 80.0))
    return total


def warm(dtype: npt.DTypeLike) -> None:
    """Compile (or load from the cache) all that frames of `dtype` need."""
    taper = np.ones(4, np.float32)
    out = np.zeros((4, 4), np.float32)
    contrast(as_stored(np.zeros((4, 4), dtype)), 1.0, 1.0, taper, taper, out)
    half = np.zeros((4, 3), np.complex64)
    ring = np.zeros((4, 3), np.int16)
    ramps = np.ones(4, np.complex128), np.ones(3, np.complex128)
    k = np.zeros(4), np.zeros(3)
    ring_powers(half, ring, 1)
    cross(half, half, ring, np.zeros(1, np.float32), half.copy())
    slopes(half, *ramps, *k)
    take_in(half, half.copy(), *ramps, 0.0, ring, 1)
    survey(out, np.zeros(4), np.zeros(4), 1.0)
    mass(out, 0.0)
