"""Sums over rings: each pixel goes to the ring that its label says.

Frames that share their rings are taken 16 at a time (`kernels.tiles`); few of them one
by one. Both add the pixels of a ring in the same order, so that sums of floats, too, do
not depend on how frames are cut into batches.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.tiles import (
    FRAMES,
    TURNS,
    add_squares,
    add_tile,
)
from scopeside_processors.kernels.virtual import as_stored, sum_type

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

MOST_RINGS = 65534
_WIDTH = 8
"""Labels are padded to it: the widest tile."""
_CHUNK = 512
"""Pixels of each frame that are copied to where 16 frames do not drive each other out
of the cache; their rows often lie a multiple of 4 KiB apart."""
_LANE = 16
"""Bytes of a frame's pixels in a tile."""
_FEW = 4
"""So many frames, or fewer, are quicker one by one."""
_FLUSH = 65536
"""65536 pixels of 65535 counts fit 32 bits."""
_STORED = {"u1": "u2", "i1": "i2"}
_SUMS = {"u2": "u4", "i2": "i4", "u4": "i8", "i4": "i8", "u8": "i8", "i8": "i8"}
_SUMS |= {"f4": "f8", "f8": "f8"}


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Pixels that bear labels, cut up for `ring_sums`.

    Attributes
    ----------
    label
        (m,) uint16: of the pixels of each span, one span after the other, each padded
        to a multiple of the width of a tile; `rings` is for none.
    spans
        (s, 3) int64: first pixel, number of pixels, where its labels begin.
    pixels
        (rings,) int64: how many pixels each ring has.
    """

    label: npt.NDArray[np.uint16]
    spans: IntArray
    pixels: IntArray

    @property
    def rings(self) -> int:
        """How many rings there are."""
        return len(self.pixels)


def rings_of(label: IntArray, rings: int) -> Rings:
    """Return the rings of ``label (height, width)``: 0 to `rings` - 1, else none."""
    width = label.shape[1]
    held = (label >= 0) & (label < rings)
    known = np.where(held, label, rings).astype(np.uint16)
    spans: list[list[int]] = []
    for row in np.flatnonzero(held.any(axis=1)).tolist():
        inside = np.flatnonzero(held[row])
        start, stop = row * width + int(inside[0]), row * width + int(inside[-1]) + 1
        if spans and start - spans[-1][1] < _WIDTH:
            spans[-1][1] = stop
        else:
            spans.append([start, stop])
    cut = [
        (first, min(first + _CHUNK, stop) - first)
        for start, stop in spans
        for first in range(start, stop, _CHUNK)
    ]
    table = np.zeros((len(cut), 3), np.int64)
    if cut:
        table[:, :2] = cut
    room = -(-table[:, 1] // _WIDTH) * _WIDTH
    table[:, 2] = np.cumsum(room) - room
    packed = np.full(int(room.sum()), rings, np.uint16)
    flat = known.reshape(-1)
    for first, count, at in table.tolist():
        packed[at : at + count] = flat[first : first + count]
    pixels = np.bincount(flat, minlength=rings + 1)[:rings].astype(np.int64)
    return Rings(packed, table, pixels)


def ring_sums(
    frames: Array, rings: Rings, which: IntArray | None = None, *, squares: bool = False
) -> tuple[Array, Array]:
    """Return the sum of each frame over each ring, and of the squared pixels.

    Parameters
    ----------
    frames : (n, height, width), counts, integers or floats
    rings : the pixels, as `rings_of` gives them
    which : (k,) int64, the frames that have these rings; all of them if None
    squares : whether squares are wanted

    Returns
    -------
    (k, rings) int64 (float64 of floats), and the same of the squares, or (k, 0)
        Integers are exact, modulo 2**64. Floats are added in float64 in the order of
        the pixels, those at even and at odd places of a span by themselves.
    """
    frames = as_stored(frames)
    if which is None:
        which = np.arange(len(frames))
    kind = sum_type(frames.dtype)
    flat = frames.reshape(len(frames), frames.shape[1] * frames.shape[2])
    if flat.dtype == np.uint64:  # numba makes floats of them beside int64
        flat = flat.view(np.int64)
    out = np.zeros((len(which), rings.rings), kind)
    power = np.zeros((len(which), rings.rings if squares else 0), kind)
    if len(which) <= _FEW:
        _one_by_one(flat, which, rings.label, rings.spans, out, power)
        return out, power
    code = flat.dtype.str[1:]
    stored = np.dtype(_STORED.get(code, code))
    buffer = np.zeros((FRAMES, _CHUNK + 32), stored)
    sums = np.zeros((rings.rings + 1, TURNS, FRAMES), _SUMS[stored.str[1:]])
    squared = np.zeros(sums.shape if squares else (1, TURNS, FRAMES), kind)
    _side_by_side(
        flat, which, rings.label, rings.spans, buffer, sums, squared, out, power
    )
    return out, power


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    rings = rings_of(np.zeros((1, 1), np.int64), 1)
    for n in (1, _FEW + 1):
        ring_sums(np.zeros((n, 1, 1), dtype), rings)


@numba.njit(nogil=True, cache=True)
def _one_by_one(
    frames: Array, which: Array, label: Array, spans: Array, out: Array, power: Array
) -> None:
    rings = out.shape[1]
    sums = np.zeros((rings + 1, 2), out.dtype)
    squared = np.zeros((rings + 1, 2), out.dtype)
    zero = sums[0, 0]
    for f in range(which.size):
        sums[:] = 0
        squared[:] = 0
        for s in range(spans.shape[0]):
            first, count, at = spans[s, 0], spans[s, 1], spans[s, 2]
            part = frames[which[f]][first : first + count]
            here = label[at : at + count]
            if power.shape[1]:
                for i in range(count):
                    value = zero + part[i]
                    sums[here[i], i & 1] += value
                    squared[here[i], i & 1] += value * value
            else:
                for i in range(count):
                    sums[here[i], i & 1] += part[i]
        for ring in range(rings):
            out[f, ring] = sums[ring, 0] + sums[ring, 1]
        for ring in range(power.shape[1]):
            power[f, ring] = squared[ring, 0] + squared[ring, 1]


@numba.njit(nogil=True, cache=True)
def _copy(
    frames: Array, which: Array, group: int, first: int, count: int, buffer: Array
) -> None:
    """Copy pixels of 16 frames side by side; beyond the last frame it stands again."""
    for k in range(FRAMES):
        part = frames[which[min(group + k, which.size - 1)]][first : first + count]
        room = buffer[k][:count]
        for i in range(count):
            room[i] = part[i]


@numba.njit(nogil=True, cache=True)
def _flush(sums: Array, group: int, out: Array) -> None:
    for ring in range(out.shape[1]):
        for k in range(min(FRAMES, out.shape[0] - group)):
            out[group + k, ring] += sums[ring, 0, k]
            out[group + k, ring] += sums[ring, 1, k]
    sums[:] = 0


# numba gives an intrinsic its first argument, which mypy cannot know.
_ADD: Any = add_tile
_ADD_SQUARES: Any = add_squares


@numba.njit(nogil=True, cache=True)
def _side_by_side(
    frames: Array,
    which: Array,
    label: Array,
    spans: Array,
    buffer: Array,
    sums: Array,
    squared: Array,
    out: Array,
    power: Array,
) -> None:
    pixels, labels = np.uintp(buffer.ctypes.data), np.uintp(label.ctypes.data)
    to, and_to = np.uintp(sums.ctypes.data), np.uintp(squared.ctypes.data)
    size, squares = buffer.itemsize, power.shape[1] > 0
    pitch = np.uintp(buffer.shape[1] * size)
    # Of floats the order of additions is that of `_one_by_one`: no sums in between.
    most = spans.shape[0] * _CHUNK if size > 2 else _FLUSH - _CHUNK
    for group in range(0, which.size, FRAMES):
        since = 0
        for s in range(spans.shape[0]):
            first, count, at = spans[s, 0], spans[s, 1], spans[s, 2]
            _copy(frames, which, group, first, count, buffer)
            for i in range(0, count, _LANE // size):
                tile = pixels + np.uintp(i * size)
                here = labels + np.uintp(2 * (at + i))
                _ADD(tile, pitch, here, to, (buffer, sums))
                if squares:
                    _ADD_SQUARES(tile, pitch, here, and_to, (buffer, squared))
            since += count
            if since > most:
                _flush(sums, group, out)
                since = 0
        _flush(sums, group, out)
        _flush(squared, group, power)
