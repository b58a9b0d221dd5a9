"""Moves the content of a frame by a drift, in one pass over the memory.

`to_specimen` takes a frame (height, width) to the coordinates of frame 0: what is read
at p is the frame at p + drift, so that content lies where it was in frame 0. `to_frame`
is the way back: what is read at p is the picture at p - drift. `average_in` takes a
frame to the specimen and into a running mean in the same pass.

Pixels that would need content from outside are left out; what is not is a rectangle,
and is returned, so that a mask needs no pass.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
Drift = tuple[float, float]
How = Literal["integer", "linear", "cubic", "fourier"]

_WHOLE = 1e-6
"""A part of a pixel below which a shift is a whole number of pixels."""


class Rectangle(NamedTuple):
    """Pixels that have content: rows `row0` to `row1` (not included), columns alike."""

    row0: int
    row1: int
    column0: int
    column1: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """What cuts it out of an array (height, width)."""
        return slice(self.row0, self.row1), slice(self.column0, self.column1)

    @property
    def empty(self) -> bool:
        """Whether no pixel has content."""
        return self.row0 >= self.row1 or self.column0 >= self.column1

    def mask(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return (height, width) bool, True inside."""
        found = np.zeros(shape, np.bool_)
        found[self.inside] = True
        return found


def to_specimen(
    frame: Array, drift: Drift, out: Array, how: How = "linear", fill: float = 0.0
) -> Rectangle:
    """Write into `out` what `frame` shows, in coordinates of frame 0.

    Parameters
    ----------
    frame : (height, width), any integer or float
    drift : (dy, dx) px, how far content has moved since frame 0
    out : (height, width), the dtype of `frame` for ``integer``, else float32
    how
        ``integer``: by the nearest whole number of pixels; values stay exact.
        ``linear``: between 2 × 2 pixels; noise becomes smoother.
        ``cubic``: between 4 × 4 pixels, cubic convolution with a = -1/2 [1]_.
        ``fourier``: by a ramp of phase, which leaves the power spectrum as it is;
        what is not periodic rings, and what is no number spreads over the frame.
        A part of a pixel below 10⁻⁶ is none: all but ``fourier`` then copy.
    fill
        Written where there is no content.

    Returns
    -------
    Rectangle
        The pixels with content.

    Raises
    ------
    ValueError
        If `drift` is not finite, or `out` is not as said above.

    References
    ----------
    .. [1] R. G. Keys, IEEE Trans. Acoust. Speech Signal Process. 29, 1153 (1981),
       doi:10.1109/TASSP.1981.1163711
    """
    frame = as_stored(frame)
    _check(frame, out, how)
    if how == "fourier":
        return _fourier(frame, drift, out, fill)
    (row, down), (column, across) = (taps_of(d, how) for d in drift)
    found = _rectangle(frame.shape, row, column, len(down), len(across))
    if how == "integer":
        _copy(frame, row, column, found, out.dtype.type(fill), out)
    else:
        _interpolate(frame, row, column, down, across, found, np.float32(fill), out)
    return found


def to_frame(
    picture: Array, drift: Drift, out: Array, how: How = "linear", fill: float = 0.0
) -> Rectangle:
    """Write into `out` a picture of the specimen as it lies in a frame at `drift`.

    As `to_specimen`, the other way: what is read at p is `picture` at p - drift.
    """
    return to_specimen(picture, (-drift[0], -drift[1]), out, how, fill)


def average_in(
    frame: Array,
    drift: Drift,
    mean: Float32Array,
    seen: npt.NDArray[np.uint16],
    most: int,
    how: Literal["integer", "linear", "cubic"] = "linear",
) -> Rectangle:
    """Take a frame to the specimen and into the mean of those before.

    A pixel of the mean moves by 1 / min(n, most) of its distance to the new value,
    where n is the number of frames that it has seen, this one included. Pixels without
    content stay as they are.

    Parameters
    ----------
    frame : (height, width), any integer or float
    drift : (dy, dx) px
    mean : (height, width) float32, changed in place
    seen : (height, width) uint16, frames seen by each pixel, changed in place; it
        stays at 65535
    most : from where on the mean forgets, frames
    how : as in `to_specimen`

    Returns
    -------
    Rectangle
        The pixels that took the frame in.

    Raises
    ------
    ValueError
        If `drift` is not finite, or the arrays are not as said above.
    """
    frame = as_stored(frame)
    _check(frame, mean, "linear")
    if seen.shape != mean.shape or seen.dtype != np.uint16:
        raise ValueError(f"seen is uint16 {mean.shape}, not {seen.dtype} {seen.shape}")
    (row, down), (column, across) = (taps_of(d, how) for d in drift)
    found = _rectangle(frame.shape, row, column, len(down), len(across))
    _average(frame, row, column, down, across, found, np.float32(most), mean, seen)
    return found


def warm(dtype: npt.DTypeLike) -> None:
    """Compile (or load from the cache) all that frames of `dtype` need."""
    frame = np.zeros((4, 4), dtype)
    out = np.zeros((4, 4), np.float32)
    to_specimen(frame, (0, 0), np.zeros_like(as_stored(frame)), "integer")
    to_specimen(frame, (0, 0), out)
    average_in(frame, (0, 0), out, np.zeros((4, 4), np.uint16), 1)


def _check(frame: Array, out: Array, how: How) -> None:
    expected = frame.dtype if how == "integer" else np.dtype(np.float32)
    if frame.ndim != 2 or out.shape != frame.shape or out.dtype != expected:
        raise ValueError(
            f"a frame {frame.shape} goes into {expected} of the same shape, "
            f"not into {out.dtype} {out.shape}"
        )


def taps_of(shift: float, how: How) -> tuple[int, Float32Array]:
    """Return the first pixel that p is made of, seen from p, and the weights of all."""
    near = math.floor(shift + 0.5)
    if how == "integer" or abs(shift - near) < _WHOLE:
        return near, np.ones(1, np.float32)
    first = math.floor(shift)
    f = shift - first
    if how == "linear":
        return first, np.array([1 - f, f], np.float32)
    weights = (
        f * (-1 + f * (2 - f)) / 2,
        1 + f * f * (3 * f - 5) / 2,
        f * (1 + f * (4 - 3 * f)) / 2,
        f * f * (f - 1) / 2,
    )
    return first - 1, np.array(weights, np.float32)


def _rectangle(
    shape: tuple[int, ...], row: int, column: int, down: int, across: int
) -> Rectangle:
    """Return the pixels whose taps, so many from `row`, `column` on, are all inside."""
    edges: list[int] = []
    for size, first, taps in zip(shape, (row, column), (down, across), strict=True):
        low = min(max(0, -first), size)
        edges += [low, max(low, min(size, size - first - taps + 1))]
    return Rectangle(*edges)


def _fourier(frame: Array, drift: Drift, out: Float32Array, fill: float) -> Rectangle:
    height, width = frame.shape
    spectrum = scipy.fft.rfft2(frame.astype(np.float32, copy=False), workers=1)
    spectrum *= _ramp(height, drift[0])[:, None]
    spectrum *= _ramp(width, drift[1])[: width // 2 + 1]
    out[...] = scipy.fft.irfft2(spectrum, s=frame.shape, workers=1, overwrite_x=True)
    edges: list[int] = []
    for size, d in zip(frame.shape, drift, strict=True):
        low = min(math.ceil(max(0.0, -d) - _WHOLE), size)
        edges += [low, max(low, size - math.ceil(max(0.0, d) - _WHOLE))]
    found = Rectangle(*edges)
    _fill(out, found, np.float32(fill))
    return found


def _ramp(size: int, shift: float) -> npt.NDArray[np.complex64]:
    """Return what each frequency of `size` is to be multiplied with."""
    ramp = np.exp(2j * np.pi * shift * scipy.fft.fftfreq(size))
    if size % 2 == 0:
        # It stands for both signs of the highest frequency.
        ramp[size // 2] = ramp[size // 2].real
    found: npt.NDArray[np.complex64] = ramp.astype(np.complex64)
    return found


@numba.njit(nogil=True, cache=True)
def _fill(out: Array, found: Any, fill: Any) -> None:
    """Write `fill` where `out` has no content."""
    row0, row1, column0, column1 = found
    for y in range(out.shape[0]):
        if y < row0 or y >= row1 or column0 >= column1:
            out[y, :] = fill
        else:
            out[y, :column0] = fill
            out[y, column1:] = fill


@numba.njit(nogil=True, cache=True)
def _copy(
    frame: Array, row: int, column: int, found: Any, fill: Any, out: Array
) -> None:
    row0, row1, column0, column1 = found
    _fill(out, found, fill)
    for y in range(row0, row1):
        out[y, column0:column1] = frame[y + row, column0 + column : column1 + column]


@numba.njit(nogil=True, cache=True, inline="always")
def _combine(rows: Any, weights: Array, out: Array) -> None:
    """Write the sum of 1, 2 or 4 rows with their weights into `out`."""
    if weights.size == 1:
        a = rows[0]
        for i in range(out.size):
            out[i] = np.float32(a[i])
    elif weights.size == 2:
        a, b = rows[0], rows[1]
        u, v = weights[0], weights[1]
        for i in range(out.size):
            out[i] = u * np.float32(a[i]) + v * np.float32(b[i])
    else:
        a, b, c, d = rows[0], rows[1], rows[2], rows[3]
        u, v, s, t = weights[0], weights[1], weights[2], weights[3]
        for i in range(out.size):
            out[i] = (u * np.float32(a[i]) + v * np.float32(b[i])) + (
                s * np.float32(c[i]) + t * np.float32(d[i])
            )


@numba.njit(nogil=True, cache=True)
def shifted_line(
    frame: Array,
    y: int,
    first: int,
    down: Array,
    across: Array,
    line: Array,
    out: Array,
) -> None:
    """Write one row of shifted pixels into `out`: first down, then across.

    `y` and `first` are the pixel of the frame that the first tap of the first of them
    is on; `line` is room for ``out.size + across.size - 1`` numbers.
    """
    stop = first + line.size
    last = down.size - 1
    rows = (
        frame[y, first:stop],
        frame[y + min(1, last), first:stop],
        frame[y + min(2, last), first:stop],
        frame[y + min(3, last), first:stop],
    )
    _combine(rows, down, line)
    most = across.size - 1
    shifted = (
        line[: out.size],
        line[min(1, most) : min(1, most) + out.size],
        line[min(2, most) : min(2, most) + out.size],
        line[min(3, most) : min(3, most) + out.size],
    )
    _combine(shifted, across, out)


@numba.njit(nogil=True, cache=True)
def _interpolate(
    frame: Array,
    row: int,
    column: int,
    down: Array,
    across: Array,
    found: Any,
    fill: Any,
    out: Array,
) -> None:
    row0, row1, column0, column1 = found
    _fill(out, found, fill)
    if column0 >= column1:
        return
    line = np.empty(column1 - column0 + across.size - 1, np.float32)
    for y in range(row0, row1):
        part = out[y, column0:column1]
        shifted_line(frame, y + row, column0 + column, down, across, line, part)


@numba.njit(nogil=True, cache=True)
def _average(
    frame: Array,
    row: int,
    column: int,
    down: Array,
    across: Array,
    found: Any,
    most: Any,
    mean: Array,
    seen: Array,
) -> None:
    row0, row1, column0, column1 = found
    if column0 >= column1:
        return
    line = np.empty(column1 - column0 + across.size - 1, np.float32)
    new = np.empty(column1 - column0, np.float32)
    for y in range(row0, row1):
        shifted_line(frame, y + row, column0 + column, down, across, line, new)
        old, n = mean[y, column0:column1], seen[y, column0:column1]
        for i in range(new.size):
            n[i] = np.uint16(min(np.uint32(n[i]) + np.uint32(1), np.uint32(65535)))
            old[i] += (new[i] - old[i]) / min(np.float32(n[i]), most)
