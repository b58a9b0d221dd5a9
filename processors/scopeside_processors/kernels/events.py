"""Sums straight from the words of events, without frames; see `scopeside.events`.

One word is ``place << 40 | value << 24 | address``. Every kernel leaves out words
that lie outside of its arrays, so that none can make it write elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside.events import EventBatch
from scopeside.words import as_read, fetch_ahead, sort
from scopeside_processors.kernels.virtual import Runs, Weights, centre_of_moments

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_PLACE = np.uint64(40)
_VALUE = np.uint64(24)
_VALUES = np.uint64(0xFFFF)
_ADDRESSES = np.uint64(0xFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Regions as a label for each pixel.

    Attributes
    ----------
    label
        (height, width) uint8, or uint32 where there are many; 0 is in no region.
    pairs
        (p, 2) int64: a label, and a region that holds its pixels.
    labels, regions
        How many there are, label 0 included.
    """

    label: Array
    pairs: IntArray
    labels: int
    regions: int


def labels_of(runs: Runs, shape: tuple[int, int], origin: tuple[int, int]) -> Labels:
    """Return `runs` as a label for each pixel of a frame of `shape`.

    `origin` is the pixel that they are seen from, as it was given to `runs_of`.
    """
    count, regions = runs.member.shape
    label = np.zeros(shape, np.uint8 if count < 256 else np.uint32)
    length = runs.runs[:, 2] - runs.runs[:, 1]
    start = (runs.runs[:, 0] + origin[0]) * shape[1] + runs.runs[:, 1] + origin[1]
    before = np.cumsum(length) - length
    pixel = np.repeat(start - before, length) + np.arange(length.sum())
    label.reshape(-1)[pixel] = np.repeat(runs.runs[:, 3] + 1, length)
    held, region = np.nonzero(runs.member)
    pairs = np.stack([held + 1, region], axis=1)
    return Labels(label, pairs.astype(np.int64), count + 1, regions)


def weight_of(weights: Weights, shape: tuple[int, int]) -> FloatArray:
    """Return `weights` as one for each pixel, (regions, pixels)."""
    regions = len(weights.bounds) - 1
    table = np.zeros((regions, shape[0] * shape[1]))
    table[np.repeat(np.arange(regions), np.diff(weights.bounds)), weights.pixel] = (
        weights.weight
    )
    return table


def sum_labels(batch: EventBatch, labels: Labels) -> IntArray:
    """Return the sum of each frame over each region, (n, regions) int64, exact.

    The regions are those that `labels` (height, width) has for the pixels.
    """
    counts = np.zeros((len(batch), labels.labels), np.int64)
    if not labels.regions:
        return counts[:, :0]
    _by_label(as_read(batch.words), as_read(labels.label.reshape(-1)), counts)
    return _by_region(counts, labels)


def sum_moving(batch: EventBatch, labels: Labels, origin: IntArray) -> IntArray:
    """Return the sum of each frame over regions that move with it, (n, regions).

    Parameters
    ----------
    labels
        (2 height - 1, 2 width - 1), whose middle comes to lie on the origin.
    origin
        (n, 2) int64, a pixel (row, column) of each frame.
    """
    height, width = batch.frame_shape
    counts = np.zeros((len(batch), labels.labels), np.int64)
    shift = np.array([height - 1, width - 1]) - origin
    _by_moving_label(as_read(batch.words), width, shift, labels.label, counts)
    return _by_region(counts, labels)


def sum_weighted(batch: EventBatch, weight: FloatArray) -> FloatArray:
    """Return the sum of each frame with each of ``weight (regions, pixels)``.

    (n, regions) float64; the events of a frame are added in their order.
    """
    out = np.zeros((len(batch), len(weight)))
    for region in range(len(weight)):
        _by_weight(as_read(batch.words), weight[region], out[:, region])
    return out


def middle_of_counts(batch: EventBatch) -> IntArray:
    """Return the pixel in which each frame's centre of mass lies, (n, 2) int64.

    It is that of `kernels.virtual.middle_of_counts`.
    """
    height, width = batch.frame_shape
    moments = np.zeros((len(batch), 3), np.int64)
    _add_moments(as_read(batch.words), height, width, moments)
    return centre_of_moments(moments, batch.frame_shape)


def moments(
    batch: EventBatch, held: npt.NDArray[np.bool_] | None = None
) -> tuple[IntArray, FloatArray]:
    """Return the counts of each frame and their first moments.

    Parameters
    ----------
    held : (height, width), the pixels that count; None: all of them

    Returns
    -------
    (n,) int64 and (n, 2) float64
        What `kernels.com.moments` gives for the frames: counts; counts times row, and
        counts times column. Both are exact below 2**63; moments are rounded once.
    """
    height, width = batch.frame_shape
    sums = np.zeros((len(batch), 3), np.int64)
    if held is None:
        _add_moments(as_read(batch.words), height, width, sums)
    else:
        count = np.ascontiguousarray(held).reshape(-1).view(np.uint8)
        _add_held_moments(as_read(batch.words), width, as_read(count), sums)
    return sums[:, 0], sums[:, 1:].astype(np.float64)


def add_sum(batch: EventBatch, total: Array) -> None:
    """Add all events to ``total (height, width)`` int64, in place."""
    _add_sum(as_read(batch.words), len(batch), total.reshape(-1))


def raise_peak(batch: EventBatch, peak: Array) -> None:
    """Raise ``peak (height, width)`` to the maximum of the frames, in place.

    No pixel of a frame is above what the type of `peak` can hold. Memory beside it: a
    frame and, unless they come in the order of the frames, the events once more. To
    put them in order takes as long as all the rest.
    """
    words = as_read(batch.words)
    if not _in_order(words):
        starts, ordered = np.empty(len(batch) + 1, np.int64), np.empty_like(words)
        sort(words, starts, ordered)
        words = as_read(ordered[: starts[-1]])
    most = min(int(np.iinfo(peak.dtype).max), (1 << 63) - 1)
    # Wherever there is a frame without an event, there is a pixel of 0 counts.
    np.maximum(peak, 0, out=peak)
    _raise_peak(words, len(batch), peak.reshape(-1), most)


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) all that events of `dtype` need."""
    none = np.empty(0, np.int64)
    batch = EventBatch(np.empty(0, np.uint64), none, none, (1, 1), dtype)
    pairs = np.zeros((1, 2), np.int64)
    labels = Labels(np.zeros((1, 1), np.uint8), pairs, 1, 1)
    sum_labels(batch, labels)
    sum_moving(batch, labels, middle_of_counts(batch))
    sum_weighted(batch, np.zeros((1, 1)))
    moments(batch)
    moments(batch, np.ones((1, 1), np.bool_))
    add_sum(batch, np.zeros((1, 1), np.int64))
    raise_peak(batch, np.zeros((1, 1), dtype))


def _by_region(counts: IntArray, labels: Labels) -> IntArray:
    out = np.zeros((len(counts), labels.regions), np.int64)
    _gather(counts, labels.pairs, out)
    return out


@numba.njit(nogil=True, cache=True)
def _by_label(words: Array, label: Array, counts: Array) -> None:
    # Branches that are never taken cost a quarter of the speed. That is the price of
    # not having to trust a word.
    frames, pixels = np.uint64(counts.shape[0]), np.uint64(label.size)
    for i in range(words.size):
        fetch_ahead(words, i)
        place, address = words[i] >> _PLACE, words[i] & _ADDRESSES
        if place < frames and address < pixels:
            value = np.int64((words[i] >> _VALUE) & _VALUES)
            counts[np.int64(place), np.int64(label[np.int64(address)])] += value


@numba.njit(nogil=True, cache=True)
def _by_moving_label(
    words: Array, width: int, shift: Array, label: Array, counts: Array
) -> None:
    height = (label.shape[0] + 1) // 2
    frames, pixels = np.uint64(counts.shape[0]), np.uint64(height * width)
    columns = np.uint32(width)  # a division of 32 bits takes half the time
    for i in range(words.size):
        fetch_ahead(words, i)
        place, address = words[i] >> _PLACE, words[i] & _ADDRESSES
        if place < frames and address < pixels:
            at = np.int64(place)
            row = np.uint32(address) // columns
            column = np.int64(address) - np.int64(row) * width + shift[at, 1]
            value = np.int64((words[i] >> _VALUE) & _VALUES)
            found = label[np.int64(row) + shift[at, 0], column]
            counts[at, np.int64(found)] += value


@numba.njit(nogil=True, cache=True)
def _add_moments(words: Array, height: int, width: int, moments: Array) -> None:
    frames, pixels = np.uint64(moments.shape[0]), np.uint64(height * width)
    columns = np.uint32(width)
    for i in range(words.size):
        fetch_ahead(words, i)
        place, address = words[i] >> _PLACE, words[i] & _ADDRESSES
        if place < frames and address < pixels:
            at = np.int64(place)
            row = np.int64(np.uint32(address) // columns)
            value = np.int64((words[i] >> _VALUE) & _VALUES)
            moments[at, 0] += value
            moments[at, 1] += value * row
            moments[at, 2] += value * (np.int64(address) - row * width)


@numba.njit(nogil=True, cache=True)
def _add_held_moments(words: Array, width: int, held: Array, moments: Array) -> None:
    frames, pixels = np.uint64(moments.shape[0]), np.uint64(held.size)
    columns = np.uint32(width)
    for i in range(words.size):
        fetch_ahead(words, i)
        place, address = words[i] >> _PLACE, words[i] & _ADDRESSES
        if place < frames and address < pixels:
            at = np.int64(place)
            row = np.int64(np.uint32(address) // columns)
            count = np.int64(held[np.int64(address)])
            value = count * np.int64((words[i] >> _VALUE) & _VALUES)
            moments[at, 0] += value
            moments[at, 1] += value * row
            moments[at, 2] += value * (np.int64(address) - row * width)


@numba.njit(nogil=True, cache=True)
def _by_weight(words: Array, weight: Array, out: Array) -> None:
    frames, pixels = np.uint64(out.size), np.uint64(weight.size)
    for i in range(words.size):
        fetch_ahead(words, i)
        place, address = words[i] >> _PLACE, words[i] & _ADDRESSES
        if place < frames and address < pixels:
            value = np.float64((words[i] >> _VALUE) & _VALUES)
            out[np.int64(place)] += weight[np.int64(address)] * value


@numba.njit(nogil=True, cache=True)
def _gather(counts: Array, pairs: Array, out: Array) -> None:
    for f in range(counts.shape[0]):
        for p in range(pairs.shape[0]):
            out[f, pairs[p, 1]] += counts[f, pairs[p, 0]]


@numba.njit(nogil=True, cache=True)
def _add_sum(words: Array, frames: int, total: Array) -> None:
    beyond, pixels = np.uint64(frames), np.uint64(total.size)
    for i in range(words.size):
        fetch_ahead(words, i)
        address = words[i] & _ADDRESSES
        if (words[i] >> _PLACE) < beyond and address < pixels:
            total[np.int64(address)] += np.int64((words[i] >> _VALUE) & _VALUES)


@numba.njit(nogil=True, cache=True)
def _in_order(words: Array) -> bool:
    back = 0
    for i in range(1, words.size):
        back += (words[i] >> _PLACE) < (words[i - 1] >> _PLACE)
    return back == 0


@numba.njit(nogil=True, cache=True)
def _raise_peak(words: Array, frames: int, peak: Array, most: int) -> None:
    beyond, pixels = np.uint64(frames), np.uint64(peak.size)
    frame = np.zeros(peak.size, np.int64)
    first = 0  # of the events of the frame
    for i in range(words.size):
        fetch_ahead(words, i)
        place, address = words[i] >> _PLACE, words[i] & _ADDRESSES
        if place != words[first] >> _PLACE:
            for k in range(first, i):
                if (words[k] & _ADDRESSES) < pixels:
                    frame[np.int64(words[k] & _ADDRESSES)] = 0
            first = i
        if place < beyond and address < pixels:
            at = np.int64(address)
            frame[at] += np.int64((words[i] >> _VALUE) & _VALUES)
            # It only grows: the last of its events leaves the frame's count.
            peak[at] = max(np.int64(peak[at]), min(frame[at], most))
