"""Weighted sums over the pixels of a ring, and what is wrong with them.

A frame is gathered in the order of the pixels that are handed over, in float64, one
frame after the other: results do not depend on how frames are cut into batches.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

NO_NUMBER, SATURATED, NO_COUNTS = 1, 2, 3
"""What `survey` finds; 0 is nothing."""


def weighted_sums(
    frames: Array, which: IntArray, pixel: IntArray, weight: FloatArray
) -> FloatArray:
    """Return sums over the pixels of a ring, each with its weights.

    Parameters
    ----------
    frames : (n, height, width), any real dtype
    which : (k,) frames that are wanted
    pixel : (m,) flat pixels
    weight : (m, sums)

    Returns
    -------
    (k, sums) float64, counts
    """
    out = np.zeros((len(which), weight.shape[1]))
    _weighted_sums(_flat(frames), which, pixel, weight, out)
    return out


def survey(
    frames: Array, which: IntArray, pixel: IntArray, saturated_at: float
) -> npt.NDArray[np.uint8]:
    """Return what is wrong with the pixels of a ring, (k,) uint8.

    `NO_NUMBER`: one is NaN or infinite; `SATURATED`: one has `saturated_at` counts or
    more; `NO_COUNTS`: they do not sum up to more than zero.
    """
    out = np.zeros(len(which), np.uint8)
    _survey(_flat(frames), which, pixel, saturated_at, out)
    return out


def gather(
    frames: Array,
    which: IntArray,
    pixel: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
    power: float,
    out: npt.NDArray[np.float32],
) -> None:
    """Resample frames at nodes on rings around the beam.

    Parameters
    ----------
    frames : (n, height, width), any real dtype
    which : (k,) frames that are wanted
    pixel, weight : (rings, nodes, m), flat pixels that a node is the mean of
    power : that means are raised to; negative ones count as zero
    out : (k, rings, nodes) float32
        Is filled; the mean of each ring over its nodes is subtracted. Nodes whose
        weights are all zero become zero.
    """
    _gather(_flat(frames), which, pixel, weight, power, out)


@lru_cache
def warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    frames, one = np.zeros((1, 1, 1), dtype), np.zeros(1, np.int64)
    weighted_sums(frames, one, one, np.ones((1, 1)))
    survey(frames, one, one, np.inf)
    nodes = np.zeros((1, 1, 1), np.int32)
    out = np.zeros((1, 1, 1), np.float32)
    gather(frames, one, nodes, np.ones((1, 1, 1), np.float32), 1.0, out)


def _flat(frames: Array) -> Array:
    frames = as_stored(frames)
    return frames.reshape(len(frames), frames.shape[1] * frames.shape[2])


@numba.njit(nogil=True, cache=True)
def _weighted_sums(
    frames: Array, which: Array, pixel: Array, weight: Array, out: Array
) -> None:
    for k in range(which.size):
        frame, sums = frames[which[k]], out[k]
        for i in range(pixel.size):
            value = np.float64(frame[pixel[i]])
            if value != 0:
                for j in range(sums.size):
                    sums[j] += value * weight[i, j]


@numba.njit(nogil=True, cache=True)
def _survey(
    frames: Array, which: Array, pixel: Array, saturated_at: float, out: Array
) -> None:
    for k in range(which.size):
        frame = frames[which[k]]
        total, largest = 0.0, -np.inf
        for i in range(pixel.size):
            value = np.float64(frame[pixel[i]])
            total += value
            largest = max(largest, value)
        if not np.isfinite(total):
            out[k] = 1
        elif largest >= saturated_at:
            out[k] = 2
        elif total <= 0:
            out[k] = 3


@numba.njit(nogil=True, cache=True)
def _gather(
    frames: Array,
    which: Array,
    pixel: Array,
    weight: Array,
    power: float,
    out: Array,
) -> None:
    rings, nodes, near = pixel.shape
    for k in range(which.size):
        frame = frames[which[k]]
        for ring in range(rings):
            held, mean = 0, 0.0
            for node in range(nodes):
                value, share = 0.0, 0.0
                for i in range(near):
                    one = np.float64(weight[ring, node, i])
                    value += one * np.float64(frame[pixel[ring, node, i]])
                    share += one
                if share == 0:
                    out[k, ring, node] = np.nan
                    continue
                value = max(value, 0.0)
                if power == 0.5:
                    value = np.sqrt(value)
                elif power != 1:
                    value **= power
                out[k, ring, node] = value
                mean += value
                held += 1
            mean /= max(held, 1)
            for node in range(nodes):
                value = out[k, ring, node]
                out[k, ring, node] = 0.0 if np.isnan(value) else value - mean
