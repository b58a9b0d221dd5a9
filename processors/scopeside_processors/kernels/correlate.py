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

from scopeside_processors.kernels import binning, contrast

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]


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
def less(
    spectrum: Array,
    pattern: Array,
    ring: Array,
    kept: Array,
    ky: Array,
    kx: Array,
    spread: Array,
    out: Array,
) -> None:
    """Write `spectrum` less what `pattern` is known to hold into `out`.

    Content that moves by `spread (2, 2)` px² cannot be told from a pattern that stays
    at frequencies whose phase it does not turn: of these nothing is taken off.

    Parameters
    ----------
    spectrum, pattern, out : (m, n) complex64
    ring : (m, n) int16
    kept : (rings,) float32, which part of the pattern is no noise
    ky, kx : (m,), (n,) float64, rad/px
    """
    yy, yx, xx = spread[0, 0], 2 * spread[0, 1], spread[1, 1]
    for i in range(spectrum.shape[0]):
        for j in range(spectrum.shape[1]):
            turn = ky[i] * (yy * ky[i] + yx * kx[j]) + xx * kx[j] * kx[j]
            part = kept[ring[i, j]] * np.float32(turn / (1 + turn))
            out[i, j] = spectrum[i, j] - part * pattern[i, j]


@numba.njit(nogil=True, cache=True)
def stay(
    pattern: Array,
    left: Array,
    rows: Array,
    columns: Array,
    whole: Array,
    spectrum: Array,
    share: float,
) -> None:
    """Move `pattern` by `share` of its distance to what a frame holds beside content.

    Parameters
    ----------
    pattern : (m, n) complex64, changed
    left : (m, n) complex64, what the template leaves of the frame, shifted onto it
    rows, columns : (m,), (n,) complex128, what shifted it
    whole, spectrum : (m, n) complex64, the frame, and the frame less the pattern
    """
    part = np.float32(share)
    for i in range(pattern.shape[0]):
        for j in range(pattern.shape[1]):
            back = np.complex64(np.conj(rows[i] * columns[j]))
            off = whole[i, j] - spectrum[i, j]
            pattern[i, j] += part * (left[i, j] * back + off - pattern[i, j])


@numba.njit(nogil=True, cache=True)
def moved(
    spectrum: Array, rows: Array, columns: Array, before: Array, ring: Array, rings: int
) -> FloatArray:
    """Shift a frame onto the template and write it into `before`.

    Parameters
    ----------
    spectrum : (m, n) complex64, of the frame
    rows, columns : (m,), (n,) complex128, what shifts it
    before : (m, n) complex64, the frame before it, shifted; becomes this one
    ring : (m, n) int16

    Returns
    -------
    (rings,) float64, the summed power of the difference of the two in each ring.
    """
    powers = np.zeros(rings)
    for i in range(spectrum.shape[0]):
        for j in range(spectrum.shape[1]):
            value = spectrum[i, j] * np.complex64(rows[i] * columns[j])
            step = value - before[i, j]
            power = step.real * step.real + step.imag * step.imag
            powers[ring[i, j]] += power if j == 0 else 2 * power
            before[i, j] = value
    return powers


@numba.njit(nogil=True, cache=True)
def surprise(
    frame: Array, template: Array, share: float, scale: float, known: Array
) -> None:
    """Move the mean square difference that is `known` of each block to what it is.

    Of cells of 2 × 2 pixels: content is broader than noise. A square is a quarter of
    that of the sum over a cell, so that white noise comes to its variance.

    Parameters
    ----------
    frame, template : (height, width) float32
    share : of the way
    scale : what squares are multiplied with
    known : (m, n) float32, changed; they are cut into m × n blocks, as equal as can be
    """
    height, width = frame.shape
    m, n = known.shape
    part = np.float32(share)
    line = np.empty(width, np.float32)
    for i in range(m):
        first, stop = i * height // m, (i + 1) * height // m
        pairs = max(1, (stop - first) // 2)
        line[:] = 0
        for p in range(pairs):
            y = first + 2 * p
            below = min(y + 1, height - 1)
            for x in range(width - 1):
                cell = frame[y, x] - template[y, x] + frame[below, x]
                cell += frame[y, x + 1] - template[y, x + 1] - template[below, x]
                cell += frame[below, x + 1] - template[below, x + 1]
                line[x] += cell * cell
        for j in range(n):
            begin, end = j * width // n, (j + 1) * width // n
            total, cells = np.float32(0), 0
            for x in range(begin, max(begin + 1, end - 1), 2):
                total += line[x]
                cells += 1
            now = np.float32(scale / (4 * pairs * cells)) * total
            known[i, j] += part * (now - known[i, j])


@numba.njit(nogil=True, cache=True)
def discord(
    frame: Array, template: Array, trust: Array, side: int
) -> tuple[float, float]:
    """Return how much blocks of a frame pull it away from where it lies on a template.

    Parameters
    ----------
    frame, template : (height, width) float32
    trust : (m, n) float32, weight of each of m × n blocks of them
    side : of the blocks that pull, pixels

    Returns
    -------
    Sum over blocks and both directions of (Σ difference · slope)², and of Σ slope²,
    which white noise of variance 1 would make of the first.
    """
    height, width = frame.shape
    m, n = trust.shape
    pulls, slopes = 0.0, 0.0
    weight = np.empty(width, np.float32)
    down, across, steep = np.empty((3, width), np.float32)
    for top in range(1, height - 1, side):
        down[:], across[:], steep[:] = 0, 0, 0
        for y in range(top, min(top + side, height - 1)):
            if y == top or y * m // height != (y - 1) * m // height:
                for j in range(n):
                    begin, end = j * width // n, (j + 1) * width // n
                    weight[begin:end] = trust[y * m // height, j]
            for x in range(1, width - 1):
                gy = weight[x] * (template[y + 1, x] - template[y - 1, x])
                gx = weight[x] * (template[y, x + 1] - template[y, x - 1])
                difference = frame[y, x] - template[y, x]
                down[x] += difference * gy
                across[x] += difference * gx
                steep[x] += gy * gy + gx * gx
        for left in range(1, width - 1, side):
            one, other = np.float64(0), np.float64(0)
            for x in range(left, min(left + side, width - 1)):
                one += down[x]
                other += across[x]
                slopes += steep[x]
            pulls += one * one + other * other
    return pulls, slopes


@numba.njit(nogil=True, cache=True)
def renew(
    frame: Array, template: Array, shares: Array, trust: Array, out: Array, floor: float
) -> None:
    """Move each block of `template` towards a frame; write it times trust into `out`.

    Parameters
    ----------
    frame : (height, width) float32, shifted onto the template; becomes what the
        template left of it, where `trust` is above `floor`
    template : (height, width) float32, changed: by `shares` of its distance to it
    shares, trust : (m, n) float32, of the blocks
    out : (height, width) float32
    """
    height, width = frame.shape
    m, n = shares.shape
    share = np.empty(width, np.float32)
    weight = np.empty(width, np.float32)
    usual = np.empty(width, np.float32)
    for i in range(m):
        for j in range(n):
            begin, end = j * width // n, (j + 1) * width // n
            share[begin:end] = shares[i, j]
            weight[begin:end] = trust[i, j]
            usual[begin:end] = trust[i, j] >= floor
        for y in range(i * height // m, (i + 1) * height // m):
            for x in range(width):
                value = template[y, x]
                difference = frame[y, x] - value
                value += share[x] * difference
                template[y, x] = value
                frame[y, x] = usual[x] * difference
                out[y, x] = weight[x] * value


@numba.njit(nogil=True, cache=True)
def summit(surface: Array, rows: Array, columns: Array, capped: float) -> int:
    """Return the flat index of the highest point of a surface less a penalty.

    Only points whose penalty is below its cap are looked at; -1 if there are none.

    Parameters
    ----------
    surface : (m, n) float32
    rows, columns : (m,), (n,) float64, parts of the penalty, which add up
    capped : the highest penalty
    """
    best, found = -np.inf, -1
    n = surface.shape[1]
    for i in range(surface.shape[0]):
        if rows[i] >= capped:
            continue
        for j in range(n):
            penalty = rows[i] + columns[j]
            if penalty < capped and surface[i, j] - penalty > best:
                best, found = surface[i, j] - penalty, i * n + j
    return found


@numba.njit(nogil=True, cache=True)
def changes(
    surprise: Array,
    unrest: Array,
    usual: float,
    slack: float,
    least: float,
    most: float,
    shares: Array,
    trust: Array,
) -> None:
    """Write how fast each block is to be renewed, and how far it may be trusted.

    Both are means over a block and those beside it. What surprises is noise, and how
    far the template is from the specimen; unrest (half of it) is noise alone. A share
    of 1 - noise / surprise is the gain of a Kalman filter.

    Parameters
    ----------
    surprise : (m, n) float32, mean square distance of frames to the template
    unrest : (m, n) float32, of frames to those before them
    usual : the power of noise in all
    slack : so many times the noise is no surprise yet
    least, most : bounds of shares
    shares, trust : (m, n) float32, written
    """
    m, n = surprise.shape
    tiny = np.float32(1e-6 * usual)
    factor, noise = np.float32(slack), np.float32(slack * usual)
    low, high = np.float32(least), np.float32(most)
    for i in range(m):
        up, down = (i - 1) % m, (i + 1) % m
        for j in range(n):
            left, right = (j - 1) % n, (j + 1) % n
            seen, restless = np.float32(0), np.float32(0)
            for k, row in enumerate((up, i, down)):
                for q, column in enumerate((left, j, right)):
                    w = np.float32((2 - abs(k - 1)) * (2 - abs(q - 1)) / 16)
                    seen += w * surprise[row, column]
                    restless += w * unrest[row, column]
            seen = max(seen, tiny)
            share = np.float32(1) - factor * np.float32(0.5) * restless / seen
            shares[i, j] = min(max(share, low), high)
            trust[i, j] = min(np.float32(1), noise / seen)


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
    contrast.warm(dtype)
    contrast.warm(np.float32)
    binning.warm(dtype)
    out = np.zeros((4, 4), np.float32)
    half = np.zeros((4, 3), np.complex64)
    ring = np.zeros((4, 3), np.int16)
    ramps = np.ones(4, np.complex128), np.ones(3, np.complex128)
    k = np.zeros(4), np.zeros(3)
    ring_powers(half, ring, 1)
    cross(half, half, ring, np.zeros(1, np.float32), half.copy())
    slopes(half, *ramps, *k)
    less(half, half, ring, np.zeros(1, np.float32), *k, np.zeros((2, 2)), half.copy())
    stay(half.copy(), half, *ramps, half, half, 0.0)
    moved(half, *ramps, half.copy(), ring, 1)
    blocks = out[:2, :2].copy()
    surprise(out, out, 0.0, 1.0, blocks)
    discord(out, out, blocks, 2)
    renew(out.copy(), out.copy(), blocks, blocks, out.copy(), 0.0)
    summit(out, np.zeros(4), np.zeros(4), 1.0)
    changes(blocks, blocks, 1.0, 1.0, 0.0, 1.0, blocks.copy(), blocks.copy())
    mass(out, 0.0)
