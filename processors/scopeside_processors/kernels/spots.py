"""Matched filters for round particles: contrast, blurs and maxima over scales.

All images are float32 (height, width). Nothing here knows of streams or particles.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True)
def block_means(frame: Array, side: int, out: Array) -> None:
    """Fill ``out (ceil(h / side), ceil(w / side))`` with the means of blocks."""
    height, width = frame.shape
    for by in range(out.shape[0]):
        y0, y1 = by * side, min(by * side + side, height)
        for bx in range(out.shape[1]):
            x0, x1 = bx * side, min(bx * side + side, width)
            total = 0.0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    total += frame[y, x]
            out[by, bx] = total / ((y1 - y0) * (x1 - x0))


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def contrast(
    frame: Array, offset: float, sign: float, coarse: Array, side: int, out: Array
) -> None:
    """Fill `out` with ``sign * (frame / background - 1)``.

    Parameters
    ----------
    offset : counts of a dark pixel, taken off the frame
    sign : -1 where particles are dark
    coarse : background in blocks of `side` pixels, above 0, without the offset; it is
        interpolated linearly between the middles of the blocks
    """
    height, width = frame.shape
    rows, columns = coarse.shape
    line = np.empty(columns, np.float32)
    for y in range(height):
        fy = min(max((y + 0.5) / side - 0.5, 0.0), rows - 1.0)
        j = min(int(fy), rows - 2) if rows > 1 else 0
        above = min(j + 1, rows - 1)
        share = np.float32(fy - j)
        for b in range(columns):
            line[b] = coarse[j, b] + share * (coarse[above, b] - coarse[j, b])
        for x in range(width):
            fx = min(max((x + 0.5) / side - 0.5, 0.0), columns - 1.0)
            i = min(int(fx), columns - 2) if columns > 1 else 0
            right = min(i + 1, columns - 1)
            back = line[i] + np.float32(fx - i) * (line[right] - line[i])
            out[y, x] = np.float32(sign) * (
                (np.float32(frame[y, x]) - np.float32(offset)) / back - np.float32(1.0)
            )


@numba.njit(nogil=True, cache=True)
def mend(image: Array, noise: float) -> int:
    """Replace pixels that stand alone by the mean of their neighbours; return how many.

    A pixel stands alone if it is further from the mean of the four beside it than
    `noise` (one standard deviation) and what a sharp edge explain.
    """
    height, width = image.shape
    found = 0
    far = np.float32(4.5 * noise)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            value = image[y, x]
            if -far < value < far:
                continue
            beside = np.float32(0.25) * (
                image[y - 1, x] + image[y + 1, x] + image[y, x - 1] + image[y, x + 1]
            )
            if abs(value - beside) > np.float32(1.12) * far + np.float32(0.5) * abs(
                beside
            ):
                image[y, x] = beside
                found += 1
    return found


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def take_off(
    image: Array,
    still: Array,
    weight: Array,
    settle: float,
    part: tuple[float, float],
    out: Array,
) -> None:
    """Fill `out` with `image` less what stands still.

    Parameters
    ----------
    still, weight : (height, width) float32, mean of the contents and frames in it
    settle : frames after which half of the mean is believed
    part : (row, column) px, 0 … 1, how far `image` lies behind `still`
    """
    height, width = image.shape
    ty, tx = np.float32(part[0]), np.float32(part[1])
    one = np.float32(1)
    half = np.float32(settle)
    line = np.empty(width, np.float32)
    for y in range(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            w = weight[y, x]
            share = w / (w + half)
            line[x] = share * ((one - ty) * still[y, x] + ty * still[below, x])
        for x in range(width - 1):
            out[y, x] = image[y, x] - (one - tx) * line[x] - tx * line[x + 1]
        out[y, width - 1] = image[y, width - 1] - line[width - 1]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def take_in(
    image: Array,
    free: Array,
    still: Array,
    weight: Array,
    memory: float,
    part: tuple[float, float],
) -> None:
    """Take `image` into the mean `still` where it is `free`; see `take_off`."""
    height, width = image.shape
    ty, tx = np.float32(part[0]), np.float32(part[1])
    one = np.float32(1)
    most = np.float32(memory)
    line = np.empty(width + 1, np.float32)
    for y in range(height):
        above = max(y - 1, 0)
        for x in range(width):
            line[x + 1] = (one - ty) * image[y, x] + ty * image[above, x]
        line[0] = line[1]
        for x in range(width):
            if free[y, x]:
                value = (one - tx) * line[x + 1] + tx * line[x]
                w = min(weight[y, x] + one, most)
                weight[y, x] = w
                still[y, x] += (value - still[y, x]) / w


def taps(sigma: float) -> Array:
    """Return half of a Gaussian of sum 1, (k,) float32, from its middle on."""
    reach = max(1, math.ceil(3.2 * sigma))
    half = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    found: Array = (half / (half[0] + 2 * half[1:].sum())).astype(np.float32)
    return found


@numba.njit(nogil=True, cache=True, fastmath=True)
def blur(image: Array, half: Array, line: Array, out: Array) -> None:
    """Fill `out` with `image` blurred by the symmetric `half` along both axes.

    Outside the frame lies its mirror image. `line` is (width + 2 * len(half),) float32.
    """
    height, width = image.shape
    reach = len(half) - 1
    for y in range(height):
        for x in range(width):
            line[reach + x] = half[0] * image[y, x]
        for k in range(1, reach + 1):
            up, down = y - k, y + k
            up = min(-up - 1, height - 1) if up < 0 else up
            down = max(2 * height - 1 - down, 0) if down >= height else down
            a, b, weight = image[up], image[down], half[k]
            for x in range(width):
                line[reach + x] += weight * (a[x] + b[x])
        for k in range(reach):
            line[k] = (
                line[2 * reach - 1 - min(k, reach - 1)]
                if width > reach
                else line[reach]
            )
            line[reach + width + k] = (
                line[reach + width - 1 - k]
                if width > reach
                else line[reach + width - 1]
            )
        row = out[y]
        for x in range(width):
            row[x] = half[0] * line[reach + x]
        for k in range(1, reach + 1):
            weight = half[k]
            for x in range(width):
                row[x] += weight * (line[reach + x - k] + line[reach + x + k])


@numba.njit(nogil=True, cache=True)
def peaks(responses: Array, scale: Array, least: float, margin: int, out: Array) -> int:
    """Fill ``out (m, 4)`` with row, column, height and scale of maxima; count them.

    Parameters
    ----------
    responses : (k, height, width) float32, one blur after another
    scale : (k,) float32, factors that make their noise 1
    least : a maximum is at least so high
    margin : pixels at the edge that hold none, at least 1

    A maximum is one of the largest of the scaled responses at each pixel among its
    eight neighbours. Its row and column are those of parabolas; its scale is the
    number of the response that is highest there, interpolated.
    """
    count, height, width = responses.shape
    rows = np.empty((3, width), np.float32)
    number = 0
    for y in range(margin - 1, height - margin + 1):
        row = rows[y % 3]
        for x in range(width):
            row[x] = responses[0, y, x] * scale[0]
        for k in range(1, count):
            for x in range(width):
                row[x] = max(row[x], responses[k, y, x] * scale[k])
        if y < margin + 1:
            continue
        before, here, after = rows[(y - 2) % 3], rows[(y - 1) % 3], row
        for x in range(margin, width - margin):
            value = here[x]
            if value < least:
                continue
            if (
                value > here[x - 1] and value >= here[x + 1]
                and value > before[x] and value >= after[x]
                and value > before[x - 1] and value > before[x + 1]
                and value >= after[x - 1] and value >= after[x + 1]
            ) and number < len(out):  # fmt: skip
                _describe(responses, scale, y - 1, x, out[number])
                out[number, 2] = value
                number += 1
    return number


@numba.njit(nogil=True, cache=True)
def _describe(responses: Array, scale: Array, y: int, x: int, out: Array) -> None:
    """Put row, column and scale of the maximum at (y, x) into `out`."""
    count = responses.shape[0]
    best = 0
    for k in range(1, count):
        if responses[k, y, x] * scale[k] > responses[best, y, x] * scale[best]:
            best = k
    image = responses[best]
    out[0] = y + top(image[y - 1, x], image[y, x], image[y + 1, x])
    out[1] = x + top(image[y, x - 1], image[y, x], image[y, x + 1])
    out[3] = best
    if 0 < best < count - 1:
        out[3] = best + top(
            responses[best - 1, y, x] * scale[best - 1],
            responses[best, y, x] * scale[best],
            responses[best + 1, y, x] * scale[best + 1],
        )


@numba.njit(nogil=True, cache=True)
def top(before: float, here: float, after: float) -> float:
    """Return where the parabola through three heights is highest, -0.5 … 0.5."""
    bend = np.float64(before) - 2.0 * here + after
    if bend >= 0:
        return 0.0
    return min(max(0.5 * (before - after) / bend, -0.5), 0.5)


@numba.njit(nogil=True, cache=True)
def cover(places: Array, radius: Array, value: float, out: Array) -> None:
    """Set `out` to `value` in disks: places (n, 2) px, radius (n,) px."""
    height, width = out.shape
    for n in range(len(places)):
        y, x, r = places[n, 0], places[n, 1], radius[n]
        for v in range(max(0, math.floor(y - r)), min(height, math.ceil(y + r) + 1)):
            rest = r * r - (v - y) * (v - y)
            if rest < 0:
                continue
            half = math.sqrt(rest)
            first, last = math.ceil(x - half), math.floor(x + half)
            for u in range(max(0, first), min(width, last + 1)):
                out[v, u] = value


@numba.njit(nogil=True, cache=True)
def near(
    from_: Array, reach: Array, to: Array, order: Array, first: Array, out: Array
) -> int:
    """Fill ``out (m, 2)`` with pairs of places no further apart than `reach`.

    Parameters
    ----------
    from_ : (n, 2), to : (k, 2), px
    reach : (n,) px
    order : (k,) int64, numbers of `to` by row
    first : (n,) int64, where in `order` the rows begin that are near enough

    Returns the number of pairs, which may exceed ``len(out)``: then call again.
    """
    number = 0
    for i in range(len(from_)):
        y, x, far = from_[i, 0], from_[i, 1], reach[i]
        for k in range(first[i], len(order)):
            j = order[k]
            dy = to[j, 0] - y
            if dy > far:
                break
            dx = to[j, 1] - x
            if dy * dy + dx * dx <= far * far:
                if number < len(out):
                    out[number, 0], out[number, 1] = i, j
                number += 1
    return number
