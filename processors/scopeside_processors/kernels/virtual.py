"""Sums over many regions of each frame, in one pass over the memory.

The regions (virtual detectors) cut a frame into *labels*: pixels that the same
regions hold bear the same label. Neighbours in a row that bear one label are a
*run*. A kernel sums each run once, with an accumulator that vectorises and cannot
overflow, then hands each label's sum to the regions that hold it. Pixels in no
region are never read, and nothing but the frame is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.blocks import Blocks, blocks_of, sum_blocks, takes

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

LONGEST_RUN = 65536
"""65536 pixels of 65535 counts still fit a 32-bit accumulator."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Regions cut up for `sum_runs`.

    Attributes
    ----------
    runs
        (r, 4) int64: row, first column, one past the last column, label; rows and
        columns as seen from the origin that `sum_runs` is given for each frame.
    member
        (labels, regions) bool, which regions hold the pixels of a label.
    """

    runs: IntArray
    member: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Regions with a weight for each pixel, for `sum_weighted`.

    Attributes
    ----------
    pixel, weight
        (m,) int64 and float64: flat pixels that have a weight, region by region.
    bounds
        (regions + 1,) int64: where in them each region begins and ends.
    """

    pixel: IntArray
    weight: FloatArray
    bounds: IntArray


def runs_of(regions: Sequence[BoolArray], origin: tuple[int, int] = (0, 0)) -> Runs:
    """Return the runs of `regions`, each (height, width), as seen from `origin`."""
    if not regions:
        return Runs(np.empty((0, 4), np.int64), np.empty((0, 0), np.bool_))
    labels = np.zeros(regions[0].size, np.int64)
    for region in regions:
        # Numbered anew by counting: sorting millions of pixels would take seconds.
        code = 2 * labels + region.ravel()
        labels = (np.cumsum(np.bincount(code) > 0) - 1)[code]
    one_of_each = np.empty(labels.max(initial=-1) + 1, np.int64)
    one_of_each[labels] = np.arange(labels.size)
    member = np.stack([region.ravel()[one_of_each] for region in regions], axis=1)
    width = regions[0].shape[1]
    rows = np.arange(0, labels.size, width)[:, None]
    edges = (rows + np.arange(0, width, LONGEST_RUN)).ravel()
    start = np.union1d(edges, np.flatnonzero(np.diff(labels)) + 1)
    stop = np.append(start[1:], labels.size)
    held = member[labels[start]].any(axis=1)
    row, column = np.divmod(start[held], width)
    end = column + (stop - start)[held]
    runs = (row - origin[0], column - origin[1], end - origin[1], labels[start[held]])
    return Runs(np.stack(runs, axis=1).astype(np.int64), member)


def weights_of(masks: Sequence[FloatArray]) -> Weights:
    """Return `masks`, each (height, width), as lists of the pixels that count."""
    pixels = [np.flatnonzero(mask) for mask in masks]
    weights = [mask.ravel()[found] for mask, found in zip(masks, pixels, strict=True)]
    return Weights(
        np.concatenate([np.empty(0, np.int64), *pixels]),
        np.concatenate([np.empty(0), *weights]),
        np.cumsum([0, *map(len, pixels)], dtype=np.int64),
    )


def sum_type(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return the type that sums of such pixels have: int64 or float64."""
    return np.dtype(np.float64 if np.dtype(dtype).kind == "f" else np.int64)


def as_stored(frames: Array) -> Array:
    """Return `frames` as every kernel takes them: read-only, aligned, native.

    Numba compiles anew for each memory layout. This keeps it to the one that
    `warm` has compiled; only frames that are laid out otherwise are copied. It does
    not know floats of 16 bits: those become float32, which holds them exactly.
    """
    half = frames.dtype.newbyteorder("=") == np.float16
    native = np.dtype(np.float32) if half else frames.dtype.newbyteorder("=")
    view = np.require(frames, native, ["C_CONTIGUOUS", "ALIGNED"]).view()
    view.flags.writeable = False
    return view


def sum_runs(frames: Array, regions: Runs, origin: IntArray | None = None) -> Array:
    """Return the sum of each frame over each region.

    Parameters
    ----------
    frames : (n, height, width), counts, integers or floats
    regions : the runs, as `runs_of` gives them
    origin : (n, 2) int64, the pixel (row, column) of each frame that the runs are
        seen from, or None for (0, 0). What lies outside the frame is left out.

    Returns
    -------
    (n, regions) int64, or float64 of floats
        Integers are exact, modulo 2**64 if pixels have 8 bytes. Floats are added
        pixel by pixel in the order of the labels, whatever the batch.
    """
    frames = as_stored(frames)
    kind = sum_type(frames.dtype)
    if origin is None and takes(frames.dtype, frames[:1].size):
        blocks = _blocks(regions, frames.shape[1:], frames.dtype.itemsize)
        labels, member = len(regions.member), regions.member.astype(np.int64)
        return sum_blocks(frames, blocks, labels) @ member
    if origin is None:
        origin = np.zeros((len(frames), 2), np.int64)
    out = np.zeros((len(frames), regions.member.shape[1]), kind)
    kernel = _RUNS.get(frames.dtype.str[1:], _RUNS[kind.str[1:]])
    kernel(frames, origin, regions.runs, regions.member, out)
    return out


def labels_of(regions: Runs, shape: tuple[int, int]) -> IntArray:
    """Return the label of each pixel of frames of ``shape (height, width)``.

    (height * width,) int64, as seen from pixel (0, 0); -1 where a pixel has none.
    """
    row, first, stop, label = regions.runs.T
    length = stop - first
    before = np.cumsum(length) - length
    pixel = np.repeat(row * shape[1] + first - before, length)
    labels = np.full(shape[0] * shape[1], -1, np.int64)
    labels[pixel + np.arange(len(pixel))] = np.repeat(label, length)
    return labels


@lru_cache(maxsize=64)
def _blocks(regions: Runs, shape: tuple[int, int], itemsize: int) -> Blocks:
    """Return `regions`, as seen from pixel (0, 0), as blocks."""
    return blocks_of(labels_of(regions, shape), itemsize)


def sum_weighted(frames: Array, regions: Weights) -> FloatArray:
    """Return the weighted sum of each frame over each region, (n, regions) float64.

    The pixels of ``frames (n, height, width)`` are added in float64 in their order.
    """
    frames = as_stored(frames)
    out = np.zeros((len(frames), len(regions.bounds) - 1))
    flat = frames.reshape(len(frames), frames.shape[1] * frames.shape[2])
    _weighted(flat, regions.pixel, regions.weight, regions.bounds, out)
    return out


def middle_of_counts(frames: Array) -> IntArray:
    """Return the pixel in which each frame's centre of mass lies.

    Parameters
    ----------
    frames : (n, height, width), counts, integers or floats

    Returns
    -------
    (n, 2) int64, row and column
        A centre halfway between two pixels goes to the second. The middle of the
        frame, ((h - 1) // 2, (w - 1) // 2), where the counts are not above zero or
        the centre is outside the frame (negative pixels), or no number. Exact for
        integers as long as counts times width stay below 2**63.
    """
    frames = as_stored(frames)
    moments = np.zeros((len(frames), 3), sum_type(frames.dtype))
    _MOMENTS[moments.dtype.str[1:]](frames, moments)
    return centre_of_moments(moments, frames.shape[1:])


def centre_of_moments(moments: Array, shape: tuple[int, ...]) -> IntArray:
    """Return the centre for the ``moments (n, 3)``: counts, times row, times column."""
    total = np.where(moments[:, 0] > 0, moments[:, 0], 1)[:, None]
    centre, rest = np.divmod(moments[:, 1:], total)
    centre += rest >= total - rest
    size = np.array(shape)
    inside = (centre >= 0) & (centre < size) & (moments[:, :1] > 0)
    found = np.where(inside.all(axis=1, keepdims=True), centre, (size - 1) // 2)
    return found.astype(np.int64)


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) all that frames of `dtype` need."""
    nothing = np.empty((0, 1, 1), dtype)
    everything = runs_of([np.ones((8, 8), np.bool_)])
    sum_runs(np.empty((1, 8, 8), dtype), everything)
    sum_runs(nothing, runs_of([np.ones((1, 1), np.bool_)]))
    sum_weighted(nothing, weights_of([np.ones((1, 1))]))
    middle_of_counts(nothing)


def _runs_kernel(accumulator: Any) -> Callable[..., None]:
    """Return the kernel of `sum_runs` that sums a run in the type `accumulator`."""

    @numba.njit(nogil=True, cache=True)
    def kernel(
        frames: Array, origin: Array, runs: Array, member: Array, out: Array
    ) -> None:
        n, height, width = frames.shape
        sums = np.empty(member.shape[0], out.dtype)  # of the labels in one frame
        for f in range(n):
            sums[:] = 0
            for r in range(runs.shape[0]):
                row = origin[f, 0] + runs[r, 0]
                first = max(0, origin[f, 1] + runs[r, 1])
                stop = min(width, origin[f, 1] + runs[r, 2])
                if row < 0 or row >= height or first >= stop:
                    continue
                # In a slice no index is negative, so LLVM vectorises: 3 times faster.
                part = frames[f, row][first:stop]
                total = accumulator(0)
                for i in range(part.size):
                    total = accumulator(total + accumulator(part[i]))
                sums[runs[r, 3]] += total
            for label in range(member.shape[0]):
                for region in range(member.shape[1]):
                    if member[label, region]:
                        out[f, region] += sums[label]

    compiled: Callable[..., None] = kernel
    return compiled


def _moments_kernel(accumulator: Any) -> Callable[..., None]:
    """Return the kernel of `middle_of_counts` that sums in the type `accumulator`."""

    @numba.njit(nogil=True, cache=True)
    def kernel(frames: Array, moments: Array) -> None:
        n, height, _ = frames.shape
        for f in range(n):
            for row in range(height):
                line = frames[f, row]
                total, moment = accumulator(0), accumulator(0)
                for i in range(line.size):
                    value = accumulator(line[i])
                    total += value
                    moment += value * accumulator(i)
                moments[f, 0] += total
                moments[f, 1] += total * accumulator(row)
                moments[f, 2] += moment

    compiled: Callable[..., None] = kernel
    return compiled


@numba.njit(nogil=True, cache=True)
def _weighted(
    frames: Array, pixel: Array, weight: Array, bounds: Array, out: Array
) -> None:
    for f in range(frames.shape[0]):
        frame = frames[f]
        for region in range(bounds.size - 1):
            total = 0.0
            for i in range(bounds[region], bounds[region + 1]):
                total += weight[i] * np.float64(frame[pixel[i]])
            out[f, region] = total


_UINT32 = _runs_kernel(numba.uint32)
_INT32 = _runs_kernel(numba.int32)
_RUNS = {
    "u1": _UINT32,
    "u2": _UINT32,
    "i1": _INT32,
    "i2": _INT32,
    "i8": _runs_kernel(numba.int64),
    "f8": _runs_kernel(numba.float64),
}
_MOMENTS = {"i8": _moments_kernel(numba.int64), "f8": _moments_kernel(numba.float64)}
