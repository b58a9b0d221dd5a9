"""Scan lines that each have a drift of their own.

Line r of a scan at drift a (r, 2) shows the reference at r - a: what was scanned later
has drifted further. `compare_lines` says how well each line fits, and where to;
`smooth_walk` makes a path of it; `lines_to_specimen` puts the lines where they belong.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.shift import shifted_line

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]


@numba.njit(nogil=True, cache=True)
def cubic_weights(f: float, out: Array) -> None:
    """Write the 4 weights of cubic convolution, a = -1/2, at part `f` of a pixel."""
    out[0] = f * (-1 + f * (2 - f)) / 2
    out[1] = 1 + f * f * (3 * f - 5) / 2
    out[2] = f * (1 + f * (4 - 3 * f)) / 2
    out[3] = f * f * (f - 1) / 2


@numba.njit(nogil=True, cache=True)
def compare_lines(
    frame: Array,
    images: Array,
    drift: Array,
    scores: Array,
    matrices: Array,
    rest: Array,
) -> None:
    """Compare each line with the template at its drift.

    Parameters
    ----------
    frame : (rows, columns) float32
    images : (3, rows, columns) float32, the template and its slope down and across
    drift : (rows, 2) px
    scores : (rows, 2) written: Σ slope · (template - line), each less its mean
    matrices : (rows, 3) written: Σ of slopes squared, (yy, yx, xx)
    rest : (rows, 2) written: Σ (line - template)² less its mean, and the pixels; 0
        where the line has nothing to be compared with
    """
    height, width = frame.shape
    down, across = np.empty(4, np.float32), np.empty(4, np.float32)
    lines = np.empty((3, width), np.float32)
    room = np.empty(width + 3, np.float32)
    for r in range(height):
        scores[r, :] = 0
        matrices[r, :] = 0
        rest[r, :] = 0
        first = math.floor(-drift[r, 0]) - 1
        column = math.floor(-drift[r, 1]) - 1
        begin, stop = max(0, -column), min(width, width - column - 3)
        if r + first < 0 or r + first + 4 > height or stop - begin < 8:
            continue
        cubic_weights(-drift[r, 0] - (first + 1), down)
        cubic_weights(-drift[r, 1] - (column + 1), across)
        n = stop - begin
        for k in range(3):
            shifted_line(
                images[k],
                r + first,
                begin + column,
                down,
                across,
                room[: n + 3],
                lines[k, :n],
            )
        _sums(frame[r, begin:stop], lines[:, :n], scores[r], matrices[r], rest[r])


@numba.njit(nogil=True, cache=True)
def _sums(line: Array, images: Array, score: Array, matrix: Array, rest: Array) -> None:
    n = line.size
    e, u, v = 0.0, 0.0, 0.0
    ee, ue, ve, uu, uv, vv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        d = np.float64(images[0, i]) - np.float64(line[i])
        y, x = np.float64(images[1, i]), np.float64(images[2, i])
        e += d
        u += y
        v += x
        ee += d * d
        ue += y * d
        ve += x * d
        uu += y * y
        uv += y * x
        vv += x * x
    score[0], score[1] = ue - u * e / n, ve - v * e / n
    matrix[0], matrix[1], matrix[2] = uu - u * u / n, uv - u * v / n, vv - v * v / n
    rest[0], rest[1] = ee - e * e / n, n


@numba.njit(nogil=True, cache=True)
def smooth_walk(
    information: Array,
    pull: Array,
    trend: Array,
    start: float,
    walk: float,
    path: Array,
    covariance: Array,
) -> float:
    """Return the mean square of a step, and write the path of least surprise.

    The forward and backward passes of Rauch, Tung and Striebel (AIAA J. 3, 1445, 1965,
    doi:10.2514/3.3166) for a walk in two dimensions.

    Parameters
    ----------
    information, pull : (rows, 3) and (rows, 2)
        What each line says: -x·I·x/2 + pull·x is its log-likelihood at x; (yy, yx, xx).
    trend : (rows, 2), a path whose steps are expected
    start : variance of the first line about the trend, px²
    walk : variance of a step about the expected one, px²
    path, covariance : (rows, 2) and (rows, 3) written, px and px²

    Returns
    -------
    float
        The expected square of a step about the expected one, mean of both axes, px²,
        given all lines: what the walk is estimated as next.
    """
    n = path.shape[0]
    ahead = np.empty((n, 3))
    for r in range(n):
        if r == 0:
            p, q, s = start, 0.0, start
            y, x = trend[0, 0], trend[0, 1]
        else:
            p = covariance[r - 1, 0] + walk
            q = covariance[r - 1, 1]
            s = covariance[r - 1, 2] + walk
            y = path[r - 1, 0] + trend[r, 0] - trend[r - 1, 0]
            x = path[r - 1, 1] + trend[r, 1] - trend[r - 1, 1]
        ahead[r, 0], ahead[r, 1], ahead[r, 2] = p, q, s
        det = p * s - q * q
        a, b, c = s / det, -q / det, p / det
        hy = a * y + b * x + pull[r, 0]
        hx = b * y + c * x + pull[r, 1]
        a += information[r, 0]
        b += information[r, 1]
        c += information[r, 2]
        det = a * c - b * b
        covariance[r, 0], covariance[r, 1] = c / det, -b / det
        covariance[r, 2] = a / det
        path[r, 0] = covariance[r, 0] * hy + covariance[r, 1] * hx
        path[r, 1] = covariance[r, 1] * hy + covariance[r, 2] * hx
    square: float = _backward(ahead, trend, path, covariance)
    return square


@numba.njit(nogil=True, cache=True)
def _backward(ahead: Array, trend: Array, path: Array, covariance: Array) -> float:
    n = path.shape[0]
    squares = 0.0
    for r in range(n - 2, -1, -1):
        p, q, s = ahead[r + 1, 0], ahead[r + 1, 1], ahead[r + 1, 2]
        det = p * s - q * q
        a, b, c = s / det, -q / det, p / det
        fp, fq, fs = covariance[r, 0], covariance[r, 1], covariance[r, 2]
        # The gain is the covariance here times the inverse of that foreseen.
        g00, g01 = fp * a + fq * b, fp * b + fq * c
        g10, g11 = fq * a + fs * b, fq * b + fs * c
        uy, ux = trend[r + 1, 0] - trend[r, 0], trend[r + 1, 1] - trend[r, 1]
        ey = path[r + 1, 0] - path[r, 0] - uy
        ex = path[r + 1, 1] - path[r, 1] - ux
        path[r, 0] += g00 * ey + g01 * ex
        path[r, 1] += g10 * ey + g11 * ex
        np_, nq, ns = covariance[r + 1, 0], covariance[r + 1, 1], covariance[r + 1, 2]
        dp, dq, ds = np_ - p, nq - q, ns - s
        t00, t01 = g00 * dp + g01 * dq, g00 * dq + g01 * ds
        t10, t11 = g10 * dp + g11 * dq, g10 * dq + g11 * ds
        covariance[r, 0] = fp + t00 * g00 + t01 * g01
        covariance[r, 1] = fq + t00 * g10 + t01 * g11
        covariance[r, 2] = fs + t10 * g10 + t11 * g11
        # Covariance of this line with the next, given all.
        both = g00 * np_ + g01 * nq + g10 * nq + g11 * ns
        sy, sx = path[r + 1, 0] - path[r, 0] - uy, path[r + 1, 1] - path[r, 1] - ux
        squares += sy * sy + sx * sx + covariance[r, 0] + covariance[r, 2]
        squares += np_ + ns - 2 * both
    square: float = squares / (2 * max(1, n - 1))
    return square


@numba.njit(nogil=True, cache=True)
def lines_to_specimen(frame: Array, source: Array, across: Array, out: Array) -> None:
    """Put lines where they belong, straight lines between them.

    Parameters
    ----------
    frame : (rows, columns) float32
    source : (rows,) the line of the frame, with its fraction, that row y is read at;
        outside of the frame: nothing was scanned
    across : (rows,) px, the drift of each line of the frame along the line
    out : (rows, columns) float32 written; NaN where nothing was scanned
    """
    height = frame.shape[0]
    for y in range(height):
        row = out[y]
        if not 0 <= source[y] <= height - 1:
            row[:] = np.nan
            continue
        row[:] = 0
        r = min(np.int64(source[y]), height - 1)
        f = source[y] - r
        for line, weight in ((r, 1 - f), (r + 1, f)):
            if weight > 0:
                _add_line(frame[line], across[line], weight, row)


@numba.njit(nogil=True, cache=True)
def _add_line(line: Array, shift: float, weight: float, out: Array) -> None:
    """Add `weight` times the line, read `shift` px further; NaN outside."""
    width = line.size
    first = math.floor(shift)
    f = np.float32(shift - first)
    u, v = np.float32(weight) * (1 - f), np.float32(weight) * f
    last = 1 if f > 0 else 0
    begin = min(max(0, -first), width)
    stop = max(begin, min(width, width - first - last))
    out[:begin] = np.nan
    out[stop:] = np.nan
    part = out[begin:stop]
    a = line[begin + first : stop + first]
    b = line[begin + first + last : stop + first + last]
    for i in range(part.size):
        part[i] += u * a[i] + v * b[i]
