"""What a frame lacks against the background, in units of its noise.

Frames are binned first and free of outliers; the rest is done in specimen coordinates,
cell by cell. The drift is a whole number of cells and a fraction; the fraction is made
up by bilinear interpolation, in the same pass that compares.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INVALID = -128
"""In the history of frames: nothing was seen there."""
_HOT = 3.0
"""A hot pixel is so many times as bright as its neighbours, and six standard deviations
of the noise more."""


@numba.njit(nogil=True, cache=True)
def binned(
    frame: Array, size: int, offset: float, scale: float, usual: float, out: Array
) -> int:
    """Add up `size` × `size` pixels; return how many single hot pixels were replaced.

    Parameters
    ----------
    frame : (height, width), counts
    size : pixels that a cell is wide; what is left over at the edges is not used
    offset, scale : a pixel is ``(counts - offset) * scale`` electrons
    usual : electrons in a pixel, such as the mean of the frame
    out : (height // size, width // size) float32, electrons; filled
    """
    height, width = out.shape
    limit = _HOT * usual + 6.0 * np.sqrt(max(usual, 0.0)) + 1.0
    high = limit / scale + offset
    slope, base = np.float32(scale), np.float32(offset)
    row = np.empty(width * size, np.float32)
    hot = 0
    for i in range(height):
        out[i] = np.float32(0.0)
        for k in range(size):
            y = i * size + k
            given = frame[y]
            most = given[0]
            for x in range(row.size):
                most = max(most, given[x])
                row[x] = (np.float32(given[x]) - base) * slope
            if most > high:
                hot += _without_hot(frame, y, offset, scale, limit, row)
            _add_row(row, size, out[i])
    return hot


@numba.njit(nogil=True, cache=True)
def _add_row(row: Array, size: int, out: Array) -> None:
    if size == 1:
        for j in range(out.size):
            out[j] += row[j]
    elif size == 2:
        for j in range(out.size):
            out[j] += row[2 * j] + row[2 * j + 1]
    else:
        for j in range(out.size):
            total = np.float32(0.0)
            for k in range(size):
                total += row[j * size + k]
            out[j] += total


@numba.njit(nogil=True, cache=True)
def _without_hot(
    frame: Array, y: int, offset: float, scale: float, limit: float, row: Array
) -> int:
    """Replace pixels of `row` that stand out from all their neighbours."""
    hot, height = 0, frame.shape[0]
    for x in range(row.size):
        if row[x] <= limit:
            continue
        around, n = 0.0, 0
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            if 0 <= y + dy < height and 0 <= x + dx < frame.shape[1]:
                around += (np.float64(frame[y + dy, x + dx]) - offset) * scale
                n += 1
        mean: float = around / n
        if row[x] > _HOT * mean + 6.0 * np.sqrt(max(mean, 0.0)) + 1.0:
            row[x] = mean
            hot += 1
    return hot


@numba.njit(nogil=True, cache=True)
def filled(image: Array, cells: Array) -> None:
    """Give each of ``cells (n, 2)`` int64 the mean of its good neighbours, in place."""
    height, width = image.shape
    for n in range(cells.shape[0]):
        image[cells[n, 0], cells[n, 1]] = np.nan
    for n in range(cells.shape[0]):
        y, x = cells[n, 0], cells[n, 1]
        total, number = 0.0, 0
        for i in range(max(0, y - 1), min(height, y + 2)):
            for j in range(max(0, x - 1), min(width, x + 2)):
                if np.isfinite(image[i, j]):
                    total += image[i, j]
                    number += 1
        image[y, x] = total / number if number else 0.0


@numba.njit(nogil=True, cache=True)
def registered(
    image: Array, dy: float, dx: float, out: Array
) -> tuple[int, int, int, int]:
    """Fill `out` with `image` at places (i + dy, j + dx), bilinear.

    Returns the rows and columns (first, stop, first, stop) of the cells whose four
    neighbours all lie in the image; the others hold NaN. Both images are
    (height, width) float32.
    """
    height, width = image.shape
    down, right = int(np.floor(dy)), int(np.floor(dx))
    fy, fx = np.float32(dy - down), np.float32(dx - right)
    one = np.float32(1.0)
    top = max(0, -down)
    bottom = min(height, height - 1 - down) if fy > 0 else min(height, height - down)
    left = max(0, -right)
    stop = min(width, width - 1 - right) if fx > 0 else min(width, width - right)
    out[:] = np.nan
    next_row, next_column = (1 if fy > 0 else 0), (1 if fx > 0 else 0)
    for i in range(top, bottom):
        a, b = image[i + down], image[i + down + next_row]
        row = out[i]
        for j in range(left, stop):
            k = j + right
            upper = (one - fx) * a[k] + fx * a[k + next_column]
            lower = (one - fx) * b[k] + fx * b[k + next_column]
            row[j] = (one - fy) * upper + fy * lower
    return top, max(bottom, top), left, max(stop, left)


@numba.njit(nogil=True, cache=True)
def block_sums(
    image: Array, background: Array, seen: Array, step: int, out: Array
) -> None:
    """Add up both images over blocks, where there is a background.

    Parameters
    ----------
    image, background, seen : (height, width) float32; NaN in `image` is left out, as
        are cells that were seen less than once
    step : only each so many cells, rows and columns, are looked at
    out : (blocks, blocks, 2) float64, filled; block k of n spans cells
        ``k * height // n`` to ``(k + 1) * height // n``
    """
    rows, columns = out.shape[:2]
    height, width = image.shape
    for p in range(rows):
        for q in range(columns):
            first = second = 0.0
            for i in range(p * height // rows, (p + 1) * height // rows, step):
                for j in range(q * width // columns, (q + 1) * width // columns, step):
                    value = image[i, j]
                    if not np.isnan(value) and seen[i, j] > 0:
                        first += value
                        second += background[i, j]
            out[p, q, 0], out[p, q, 1] = first, second


@numba.njit(nogil=True, cache=True)
def compared(
    image: Array,
    light: float,
    sign: float,
    depth: float,
    gate: Array,
    held: float,
    background: Array,
    seen: Array,
    out: Array,
) -> None:
    """Fill `out` with what a registered frame lacks, and learn the background.

    Parameters
    ----------
    image : (height, width) float32, electrons; NaN where nothing is seen
    light : brightness of this frame relative to the background's frames
    sign : 1 where a loss of electrons counts, -1 where a gain does
    depth : frames over which the background forgets
    gate : (height, width) float32; where it is more than `held`, the background stays
    background, seen : (height, width) float32, electrons and frames; updated
    out : (height, width) float32, in standard deviations of Poisson noise; 0 where
        nothing is seen or nothing is known yet
    """
    height, width = image.shape
    inverse, factor = np.float32(1.0 / light), np.float32(sign)
    most, level = np.float32(depth), np.float32(held)
    root = np.float32(np.sqrt(light))
    one, zero = np.float32(1.0), np.float32(0.0)
    for i in range(height):
        for j in range(width):
            value, base, n = image[i, j] * inverse, background[i, j], seen[i, j]
            known = not np.isnan(value)
            lack = factor * (base - value) * root / np.sqrt(max(base, np.float32(0.05)))
            out[i, j] = lack if known and n > zero else zero
            n_now = min(n + one, most)
            learnt = base + (value - base) / n_now
            learn = known and gate[i, j] <= level
            background[i, j] = learnt if learn else base
            seen[i, j] = n_now if learn else n


@numba.njit(nogil=True, cache=True)
def as_levels(image: Array, mean: float, step: float, out: Array) -> None:
    """Fill ``out`` int8 with ``(mean - image) / step``, -128 where that is NaN."""
    middle, inverse = np.float32(mean), np.float32(1.0 / step)
    half = np.float32(0.5)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            value = (middle - image[i, j]) * inverse
            bounded = min(max(value, np.float32(-127.0)), np.float32(127.0))
            level = (
                np.int8(np.floor(bounded + half)) if not np.isnan(value) else INVALID
            )
            out[i, j] = level


@numba.njit(nogil=True, cache=True)
def extended(image: Array, bounds: tuple[int, int, int, int], depth: int) -> None:
    """Continue ``image`` float32 beyond rows and columns `bounds`, in place.

    Outside stands the mean of the `depth` rows or columns next to the edge, so that a
    filter finds no edge there.
    """
    top, bottom, left, stop = bounds
    width = image.shape[1]
    if bottom - top < depth or stop - left < depth:
        image[:] = np.float32(0.0)
        return
    part = np.float32(1.0 / depth)
    for i in range(top, bottom):
        first = image[i, left : left + depth].sum() * part
        last = image[i, stop - depth : stop].sum() * part
        image[i, :left] = first
        image[i, stop:] = last
    for j in range(width):
        first = image[top : top + depth, j].sum() * part
        last = image[bottom - depth : bottom, j].sum() * part
        image[:top, j] = first
        image[bottom:, j] = last
