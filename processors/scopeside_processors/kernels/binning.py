"""Sums of n × n pixels of a frame, in one pass over the memory."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]


def binned(frame: Array, factor: int, out: Float32Array | None = None) -> Float32Array:
    """Return the sums of `factor` × `factor` pixels.

    Rows and columns that do not fill a whole bin are left out. The centre of bin k lies
    at pixel ``factor · k + (factor - 1) / 2``.

    Parameters
    ----------
    frame : (height, width), any integer or float
    factor : 1 and up
    out : (height // factor, width // factor) float32, or None for a new one

    Returns
    -------
    `out`; whole numbers are exact up to 2²⁴ counts in a bin.

    Raises
    ------
    ValueError
        If `factor` is below 1 or `out` is not as said above.
    """
    if factor < 1:
        raise ValueError(f"a bin has 1 pixel a side or more, not {factor}")
    frame = as_stored(frame)
    shape = frame.shape[0] // factor, frame.shape[1] // factor
    if out is None:
        out = np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32:
        raise ValueError(f"bins go into float32 {shape}, not {out.dtype} {out.shape}")
    {2: _two, 4: _four}.get(factor, _any)(frame, factor, out)
    return out


def warm(dtype: npt.DTypeLike) -> None:
    """Compile (or load from the cache) what frames of `dtype` need for 2 and 4."""
    for factor in (2, 4):
        binned(np.zeros((4, 4), dtype), factor)


@numba.njit(nogil=True, cache=True)
def _two(frame: Array, factor: int, out: Array) -> None:  # noqa: ARG001 - as the others
    line = np.empty(2 * out.shape[1], np.float32)
    for y in range(out.shape[0]):
        a, b, sums = frame[2 * y], frame[2 * y + 1], out[y]
        for i in range(line.size):
            line[i] = np.float32(a[i]) + np.float32(b[i])
        for i in range(sums.size):
            sums[i] = line[2 * i] + line[2 * i + 1]


@numba.njit(nogil=True, cache=True)
def _four(frame: Array, factor: int, out: Array) -> None:  # noqa: ARG001 - as the others
    line = np.empty(4 * out.shape[1], np.float32)
    for y in range(out.shape[0]):
        a, b, c, d = (
            frame[4 * y],
            frame[4 * y + 1],
            frame[4 * y + 2],
            frame[4 * y + 3],
        )
        for i in range(line.size):
            line[i] = (np.float32(a[i]) + np.float32(b[i])) + (
                np.float32(c[i]) + np.float32(d[i])
            )
        sums = out[y]
        for i in range(sums.size):
            sums[i] = (line[4 * i] + line[4 * i + 1]) + (
                line[4 * i + 2] + line[4 * i + 3]
            )


@numba.njit(nogil=True, cache=True)
def _any(frame: Array, factor: int, out: Array) -> None:
    line = np.empty(factor * out.shape[1], np.float32)
    for y in range(out.shape[0]):
        line[:] = 0
        for k in range(factor):
            row = frame[factor * y + k]
            for i in range(line.size):
                line[i] += np.float32(row[i])
        sums = out[y]
        for i in range(sums.size):
            total = np.float32(0)
            for k in range(factor):
                total += line[factor * i + k]
            sums[i] = total
