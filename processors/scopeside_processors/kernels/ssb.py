"""The inner loops of single-side-band ptychography.

Pixels of the bright-field disk are kept as *cells* of one pixel, or of several where
they are binned, numbered row by row; a *lens* is a set of cells, given as runs of
neighbours in a row. What differs from lens to lens are only the ends of runs: of
sums along each row of cells, a lens costs two look-ups a run, however long it is.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INSIDE = 0.1
"""Amplitude, of 1, from which on a cell belongs to the disk."""
EDGE = 0.2
"""Amplitude at which a shifted disk begins."""

_REORDERED = {"reassoc", "contract", "nsz", "arcp"}


@numba.njit(nogil=True, cache=True)
def gather(
    frames: Array,
    columns: Array,
    rows: Array,
    origin: Array,
    side: int,
    most: Any,
    out: Array,
    totals: Array,
    flags: Array,
) -> None:
    """Copy the cells of each frame to its place in a row of the scan.

    Parameters
    ----------
    frames : (n, height, width), any real dtype
    columns : (n,) int64, where each frame stands in the row
    rows : (m, 3) int64: row, first and one past the last column of cells that count
    origin : (2,) int64, pixel at which cell (0, 0) begins
    side : pixels along a cell
    most : what a saturated pixel holds; floats: infinity
    out : (positions, 1 + cells) float32; column 0 is left alone
    totals : (positions,) float64, counts in all cells
    flags : (positions,) uint8: 1 where a pixel is saturated, 2 where one is no number
    """
    for f in range(len(frames)):
        column = columns[f]
        cells = out[column]
        at, total, saturated = 1, 0.0, False
        for m in range(len(rows)):
            first, stop = rows[m, 1], rows[m, 2]
            into = cells[at : at + stop - first]
            into[:] = np.float32(0)
            for j in range(side):
                y = origin[0] + rows[m, 0] * side + j
                x = origin[1] + first * side
                part = frames[f, y][x : x + (stop - first) * side]
                if side == 1:
                    for i in range(part.size):
                        saturated |= part[i] >= most
                        into[i] = np.float32(part[i])
                else:
                    for i in range(into.size):
                        held = np.float32(0)
                        for k in range(i * side, i * side + side):
                            saturated |= part[k] >= most
                            held += np.float32(part[k])
                        into[i] += held
            for i in range(into.size):
                total += np.float64(into[i])
            at += stop - first
        totals[column] = total
        flags[column] = 2 if not np.isfinite(total) else (1 if saturated else 0)


@numba.njit(nogil=True, cache=True)
def fill(row: Array, good: Array) -> int:
    """Put the mean of the good positions of a row in place of the others.

    Parameters
    ----------
    row : (positions, 1 + cells) float32
    good : (positions,) bool

    Returns
    -------
    Number of good positions; where there is none, nothing is done.
    """
    count = 0
    mean = np.zeros(row.shape[1])
    for p in range(len(row)):
        if good[p]:
            count += 1
            for i in range(mean.size):
                mean[i] += np.float64(row[p, i])
    if 0 < count < len(row):
        for p in range(len(row)):
            if not good[p]:
                for i in range(mean.size):
                    row[p, i] = np.float32(mean[i] / count)
    return count


@numba.njit(nogil=True, cache=True)
def sum_along(row: Array, rows: Array) -> None:
    """Replace cells by sums along each row of cells, in place.

    Afterwards column 1 + c of ``row (positions, 1 + cells)`` holds the sum of cell c
    and of all that lie before it in the same one of ``rows (m, 3)``.
    """
    for p in range(len(row)):
        cells = row[p]
        at = 1
        for m in range(len(rows)):
            part = cells[at : at + rows[m, 2] - rows[m, 1]]
            held = np.float32(0)
            for i in range(part.size):
                held += part[i]
                part[i] = held
            at += part.size


@numba.njit(nogil=True, cache=True)
def add_lenses(
    spectrum: Array,
    columns: Array,
    lines: Array,
    turn: Array,
    edges: Array,
    bounds: Array,
    out: Array,
) -> None:
    """Add what one row of the scan brings to each frequency, for plain lenses.

    Parameters
    ----------
    spectrum : (frequencies along x, 1 + cells) complex64, of sums along rows of
        cells; column 0 is 0
    columns : (kx + 1,) int64, where the frequencies of each column begin
    lines : (q,) int64, frequency along y of each
    turn : (ky,) complex128, factor of this row of the scan by frequency along y
    edges : (e,) uint16, columns of `spectrum`
    bounds : (4 q + 1,) int64: of each frequency those to add and those to subtract,
        first for its lens +, then for its lens -
    out : (q, 2) complex128, added to
    """
    for kx in range(columns.size - 1):
        sums = spectrum[kx]
        for q in range(columns[kx], columns[kx + 1]):
            factor = turn[lines[q]]
            for side in range(2):
                b = 4 * q + 2 * side
                real, imag = np.float32(0), np.float32(0)
                for e in range(bounds[b], bounds[b + 1]):
                    value = sums[edges[e]]
                    real += value.real
                    imag += value.imag
                for e in range(bounds[b + 1], bounds[b + 2]):
                    value = sums[edges[e]]
                    real -= value.real
                    imag -= value.imag
                out[q, side] += factor * complex(real, imag)


@numba.njit(nogil=True, cache=True, fastmath=_REORDERED)
def _weighed(real: Array, imag: Array, wr: Array, wi: Array) -> tuple[Any, Any]:
    x, y = np.float32(0), np.float32(0)
    for i in range(real.size):
        x += real[i] * wr[i] - imag[i] * wi[i]
        y += real[i] * wi[i] + imag[i] * wr[i]
    return x, y


@numba.njit(nogil=True, cache=True)
def add_weighed(
    real: Array,
    imag: Array,
    columns: Array,
    lines: Array,
    turn: Array,
    runs: Array,
    bounds: Array,
    weight_real: Array,
    weight_imag: Array,
    out: Array,
) -> None:
    """Add what one row of the scan brings to each frequency, for weighted lenses.

    Parameters
    ----------
    real, imag : (frequencies along x, 1 + cells) float32, of the cells themselves
    columns, lines, turn, out : as in `add_lenses`
    runs : (r, 2) int64, first and one past the last cell
    bounds : (2 q + 1,) int64: of each frequency the runs of its lens +, then -
    weight_real, weight_imag : (w,) float32, of the cells of all runs in turn
    """
    at = 0
    for kx in range(columns.size - 1):
        x, y = real[kx], imag[kx]
        for q in range(columns[kx], columns[kx + 1]):
            factor = turn[lines[q]]
            for side in range(2):
                held, other = 0.0, 0.0
                for r in range(bounds[2 * q + side], bounds[2 * q + side + 1]):
                    first, size = 1 + runs[r, 0], runs[r, 1] - runs[r, 0]
                    a, b = _weighed(
                        x[first : first + size],
                        y[first : first + size],
                        weight_real[at : at + size],
                        weight_imag[at : at + size],
                    )
                    held += a
                    other += b
                    at += size
                out[q, side] += factor * complex(held, other)


@numba.njit(nogil=True, cache=True)
def _between(disk: Array, y: int, x: int, stencil: Array) -> Any:
    """Return `disk` between pixels (y, x) and (y + 1, x + 1); 0 outside."""
    held = 0.0
    for j in range(2):
        for i in range(2):
            if 0 <= y + j < disk.shape[0] and 0 <= x + i < disk.shape[1]:
                held += stencil[2 * j + i] * disk[y + j, x + i]
    return held


@numba.njit(nogil=True, cache=True)
def _chi(kick: Array, y: float, x: float) -> Any:
    """Return the aberration phase at an angle, rad; see `stem.aberrations`."""
    square = y * y + x * x
    return (
        kick[0] * square
        + kick[1] * (x * x - y * y)
        + kick[2] * 2.0 * x * y
        + kick[3] * square * square
    )


@numba.njit(nogil=True, cache=True)
def find_lenses(
    disk: Array,
    rows: Array,
    origin: Array,
    side: int,
    shifts: Array,
    angles: Array,
    at: Array,
    kick: Array,
    runs: Array,
    counts: Array,
    weights: Array,
    norms: Array,
) -> tuple[int, int]:
    """Find the two lenses of each frequency, and what a phase gives in them.

    Parameters
    ----------
    disk : (height, width) float64, amplitude, 1 inside
    rows, origin, side : the cells, as in `gather`
    shifts : (q, 2) float64, by how many pixels a frequency moves the disk
    angles : (q, 2) float64, by what angle, in the axes of the scan, rad
    at : (3, 2) float64: angle of pixel (0, 0), per pixel row, per column, rad
    kick : (4,) float64, see `_chi`
    runs : (r, 2) int64, filled: first and one past the last cell of each run
    counts : (q, 2) int64, filled: runs of the lens + and of the lens -
    weights : (w,) complex64, filled: of the cells of all runs; of no size: not wanted
    norms : (q, 2, 2) complex128, filled: the sum over lens + or - of the weights
        times what the disk at +, or -, brings

    Returns
    -------
    How many runs, and how many weights, were found.
    """
    found = filled = 0
    cells = 0
    for m in range(len(rows)):
        cells += rows[m, 2] - rows[m, 1]
    under, brings = np.empty((2, cells)), np.empty((2, cells))
    stencil, corner = np.empty((2, 4)), np.empty((2, 2), np.int64)
    middle = (side - 1) / 2
    # Three pixels along a large cell stand for all of them.
    step = max(1, side // 3)
    along = (side - step // 2 + step - 1) // step
    least, share = EDGE * along**2, (side / along) ** 2
    for q in range(len(shifts)):
        for lens in range(2):  # lens 0, or +, lies under the disk moved by +Q
            dy, dx = shifts[q, 0] * (2 * lens - 1), shifts[q, 1] * (2 * lens - 1)
            corner[lens, 0], corner[lens, 1] = np.floor(dy), np.floor(dx)
            fy, fx = dy - np.floor(dy), dx - np.floor(dx)
            stencil[lens, 0], stencil[lens, 1] = (1 - fy) * (1 - fx), (1 - fy) * fx
            stencil[lens, 2], stencil[lens, 3] = fy * (1 - fx), fy * fx
        cell = 0
        for m in range(len(rows)):
            for c in range(rows[m, 1], rows[m, 2]):
                one = other = mine = theirs = 0.0
                for j in range(step // 2, side, step):
                    y = origin[0] + rows[m, 0] * side + j
                    for i in range(step // 2, side, step):
                        x = origin[1] + c * side + i
                        a = _between(
                            disk, y + corner[0, 0], x + corner[0, 1], stencil[0]
                        )
                        b = _between(
                            disk, y + corner[1, 0], x + corner[1, 1], stencil[1]
                        )
                        one += a
                        other += b
                        mine += disk[y, x] * a
                        theirs += disk[y, x] * b
                under[0, cell], under[1, cell] = one, other
                brings[0, cell], brings[1, cell] = mine * share, theirs * share
                cell += 1
        for lens in range(2):
            began = found
            direct, crossed = 0.0, 0.0j
            cell = 0
            for m in range(len(rows)):
                last = -2
                for c in range(rows[m, 1], rows[m, 2]):
                    if under[lens, cell] >= least > under[1 - lens, cell]:
                        direct += brings[lens, cell]
                        weight = 1.0 + 0.0j
                        across = weight
                        if weights.size:
                            y0 = origin[0] + rows[m, 0] * side + middle
                            x0 = origin[1] + c * side + middle
                            ky = at[0, 0] + y0 * at[1, 0] + x0 * at[2, 0]
                            kx = at[0, 1] + y0 * at[1, 1] + x0 * at[2, 1]
                            here = _chi(kick, ky, kx)
                            up = here - _chi(kick, ky - angles[q, 0], kx - angles[q, 1])
                            down = (
                                _chi(kick, ky + angles[q, 0], kx + angles[q, 1]) - here
                            )
                            weight = np.exp(-1j * (down if lens else up))
                            across = weight * np.exp(1j * (up if lens else down))
                            weights[filled] = weight
                            filled += 1
                        crossed += across * brings[1 - lens, cell]
                        if cell != last + 1:
                            runs[found, 0] = cell
                            found += 1
                        runs[found - 1, 1] = cell + 1
                        last = cell
                    cell += 1
            counts[q, lens] = found - began
            norms[q, lens, lens] = direct
            norms[q, lens, 1 - lens] = crossed
    return found, filled
