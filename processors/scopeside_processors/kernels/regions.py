"""Labelled regions: sums over their pixels, perimeters, convex hulls, contours.

Labels are int32 (height, width), 0 outside, 1 to n. Nothing here knows of streams.

The perimeter is that of Cauchy and Crofton: half the integral, over all lines of the
plane, of how often a line crosses the boundary; here over the lines through pixel
centres in four directions, as in J. Ohser & F. Mücklich, Statistical Analysis of
Microstructures in Materials Science (Wiley, 2000), chapter 3.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SUMS = ("area", "y", "x", "yy", "yx", "xx", "weight", "weight y", "weight x", "edge")
"""What `sums` gives of each region; squares are about the region's first pixel."""


@numba.njit(nogil=True, cache=True)
def sums(label: Array, weight: Array, number: int) -> tuple[Array, Array, Array]:
    """Add up the pixels of each region.

    Parameters
    ----------
    label : (height, width) int32
    weight : (height, width) float32, of which only positive values count

    Returns
    -------
    (number, 10) float64, (number, 4) int64, (number, 2) int64
        As `SUMS` names them; the box (row0, row1, column0, column1), ends not
        included; and the first pixel (row, column).
    """
    height, width = label.shape
    out = np.zeros((number, 10))
    box = np.empty((number, 4), np.int64)
    first = np.full((number, 2), -1, np.int64)
    for y in range(height):
        for x in range(width):
            k = label[y, x] - 1
            if k < 0:
                continue
            if first[k, 0] < 0:
                first[k, 0], first[k, 1] = y, x
                box[k, 0], box[k, 1], box[k, 2], box[k, 3] = y, y + 1, x, x + 1
            box[k, 1] = y + 1
            box[k, 2] = min(box[k, 2], x)
            box[k, 3] = max(box[k, 3], x + 1)
            dy, dx = float(y - first[k, 0]), float(x - first[k, 1])
            row = out[k]
            row[0] += 1
            row[1] += dy
            row[2] += dx
            row[3] += dy * dy
            row[4] += dy * dx
            row[5] += dx * dx
            w = max(float(weight[y, x]), 0.0)
            row[6] += w
            row[7] += w * dy
            row[8] += w * dx
            if y in (0, height - 1) or x in (0, width - 1):
                row[9] = 1
    for k in range(number):
        for at in (1, 7):
            out[k, at] += first[k, 0] * out[k, at - 1]
            out[k, at + 1] += first[k, 1] * out[k, at - 1]
    return out, box, first


@numba.njit(nogil=True, cache=True)
def perimeters(label: Array, number: int) -> Array:
    """Return (number,) float64 px: the perimeter of each region, holes included."""
    height, width = label.shape
    straight, slanted = np.zeros(number + 1), np.zeros(number + 1)
    for y in range(-1, height):
        for x in range(-1, width + 1):
            inside = y >= 0 and 0 <= x < width
            here = label[y, x] if inside else 0
            right = label[y, x + 1] if y >= 0 and -1 <= x < width - 1 else 0
            low = y + 1 < height
            below = label[y + 1, x] if low and 0 <= x < width else 0
            along = label[y + 1, x + 1] if low and -1 <= x < width - 1 else 0
            across = label[y + 1, x - 1] if low and x >= 1 else 0
            if here == right == below == along == across:
                continue
            if here != right:
                straight[here] += 1
                straight[right] += 1
            if here != below:
                straight[here] += 1
                straight[below] += 1
            if here != along:
                slanted[here] += 1
                slanted[along] += 1
            if here != across:
                slanted[here] += 1
                slanted[across] += 1
    found: Array = (math.pi / 8) * (straight + slanted / math.sqrt(2.0))
    return found[1:]


@numba.njit(nogil=True, cache=True)
def hull_areas(label: Array, box: Array) -> Array:
    """Return (n,) int64: how many pixel centres lie in the hull of each region.

    The hull is that of the middles of the pixels' sides, so that a region without
    dents has as many as it has pixels.
    """
    found = np.zeros(len(box), np.int64)
    for k in range(len(box)):
        row0, row1, column0, column1 = box[k]
        # Two lines of points a row: its upper, middle and lower edge, in half pixels.
        count = 2 * (row1 - row0) + 1
        left = np.full(count, 1 << 40)
        right = np.full(count, -(1 << 40))
        for y in range(row0, row1):
            low, high = 1 << 40, -1
            for x in range(column0, column1):
                if label[y, x] == k + 1:
                    low, high = min(low, x), max(high, x)
            if high < 0:
                continue
            at = 2 * (y - row0)
            for line in (at, at + 2):
                left[line] = min(left[line], 2 * low)
                right[line] = max(right[line], 2 * high)
            left[at + 1] = min(left[at + 1], 2 * low - 1)
            right[at + 1] = max(right[at + 1], 2 * high + 1)
        found[k] = _inside(left, right)
    return found


@numba.njit(nogil=True, cache=True)
def _inside(left: Array, right: Array) -> int:
    """Count pixel centres between the convex outlines of two sides, half pixels."""
    count = len(left)
    lower, upper = np.empty(count), np.empty(count)
    _outline(left, 1.0, lower)
    _outline(right, -1.0, upper)
    total = 0
    for line in range(1, count, 2):
        first = math.ceil(lower[line] / 2 - 1e-9)
        total += max(0, math.floor(upper[line] / 2 + 1e-9) - first + 1)
    return total


@numba.njit(nogil=True, cache=True)
def _outline(side: Array, sign: float, out: Array) -> None:
    """Fill `out` with the convex outline of a side; `sign` 1: of the left one."""
    kept = np.empty(len(side), np.int64)
    n = 0
    for at in range(len(side)):
        if abs(side[at]) >= 1 << 40:
            continue
        while n >= 2:
            a, b = kept[n - 2], kept[n - 1]
            turn = (side[b] - side[a]) * (at - a) - (side[at] - side[a]) * (b - a)
            if sign * turn < 0:
                break
            n -= 1
        kept[n] = at
        n += 1
    for j in range(n - 1):
        a, b = kept[j], kept[j + 1]
        for at in range(a, b + 1):
            out[at] = side[a] + (side[b] - side[a]) * (at - a) / (b - a)
    if n == 1:
        out[kept[0]] = side[kept[0]]


@numba.njit(nogil=True, cache=True)
def contours(label: Array, box: Array) -> tuple[Array, Array]:
    """Walk around each region along its outermost pixels, clockwise.

    Each step goes to one of the eight neighbours (Moore's neighbourhood, until the
    first step comes again: Jacob's criterion). Holes, and parts that do not hang
    together with the region's first pixel, are left out.

    Returns
    -------
    (n + 1,) int64 and (m, 2) int32
        Region k has the points ``offset[k]`` to ``offset[k + 1]``: row, column.
    """
    height, width = label.shape
    moves = np.array(
        [[-1, 0], [-1, 1], [0, 1], [1, 1], [1, 0], [1, -1], [0, -1], [-1, -1]]
    )
    offset = np.zeros(len(box) + 1, np.int64)
    points = np.empty((256, 2), np.int32)
    used = 0
    for k in range(len(box)):
        y = box[k, 0]
        x = box[k, 2]
        while label[y, x] != k + 1:
            x += 1
        start_y, start_x, first_move = y, x, -2
        came = 6  # there is nothing of it to the left of its first pixel
        while True:
            step = -1
            for turn in range(1, 9):
                move = (came + turn) % 8
                to_y, to_x = y + moves[move, 0], x + moves[move, 1]
                if (
                    0 <= to_y < height
                    and 0 <= to_x < width
                    and label[to_y, to_x] == k + 1
                ):
                    step = move
                    break
            if (y, x) == (start_y, start_x) and first_move == step:
                break
            if used == len(points):
                larger = np.empty((2 * used, 2), np.int32)
                larger[:used] = points
                points = larger
            points[used, 0], points[used, 1] = y, x
            used += 1
            if step < 0:
                break  # a single pixel
            if first_move == -2:
                first_move = step
            y, x = y + moves[step, 0], x + moves[step, 1]
            came = (step + 4) % 8
        offset[k + 1] = used
    return offset, points[:used]


@numba.njit(nogil=True, cache=True)
def spokes(
    offset: Array, points: Array, centre: Array, turn: Array, number: int
) -> Array:
    """Return how far the contour is from the centre, in `number` directions.

    Parameters
    ----------
    offset, points : as of `contours`
    centre : (n, 2) px
    turn : (n,) rad, where the first direction points, from the row axis to the column
        axis

    Returns
    -------
    (n, number) float64, px
        The furthest point of the contour in each sector; between those around it where
        there is none. Half a pixel is added: contours run through pixel centres.
    """
    n = len(centre)
    out = np.full((n, number), -1.0)
    for k in range(n):
        for at in range(offset[k], offset[k + 1]):
            dy, dx = points[at, 0] - centre[k, 0], points[at, 1] - centre[k, 1]
            angle = (math.atan2(dx, dy) - turn[k]) / (2 * math.pi)
            sector = math.floor((angle - math.floor(angle)) * number + 0.5) % number
            out[k, sector] = max(out[k, sector], math.sqrt(dy * dy + dx * dx) + 0.5)
        _bridge(out[k])
    return out


@numba.njit(nogil=True, cache=True)
def _bridge(ring: Array) -> None:
    """Fill what is below 0 with what lies between its neighbours around the ring."""
    number = len(ring)
    seen = ring.copy()
    for j in range(number):
        if seen[j] >= 0:
            continue
        back = forth = 0
        while back < number and seen[(j - back) % number] < 0:
            back += 1
        while forth < number and seen[(j + forth) % number] < 0:
            forth += 1
        if back < number:
            before, after = seen[(j - back) % number], seen[(j + forth) % number]
            ring[j] = (before * forth + after * back) / (back + forth)
