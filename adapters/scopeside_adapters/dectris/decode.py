"""Decodes the images of a parcel straight into a slot, on several cores.

The library is dectris-compression (bounds checked; no bitshuffle of our own). Its
Python function returns new bytes, which costs an allocation and a copy of each frame,
and Python for each frame; its C function takes a destination. That one is called from
a compiled loop over a whole share of the batch, without the GIL. Where the C function
is not exported, or does not pass its trial, the Python function is used.
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.errors import MissingExtraError
from scopeside_adapters.dectris.images import (
    AT,
    BSLZ4,
    CODEC,
    ELEMENT,
    ITEM,
    LZ4_BARE,
    RAW,
    SIZE,
    Rows,
    new_rows,
)
from scopeside_adapters.dectris.native import (
    address_of,
    call_lz4,
    call_size,
    compiled,
)

Array = npt.NDArray[Any]
_HEADER = 12
_USUAL_BLOCK = 8192
_SHARE_BYTES = 256 << 10
"""Below this a second core costs more than it saves."""
_TRIAL = bytes.fromhex(
    "00000000000000400000200000000020ff06aaaaaaaaccccccccf0f0f0f000ff00ff0000ffff"
    "00010013500000000000"
)
"""A 2×16 image of uint16, 0 to 31, as bslz4 (docs of the stream, section 3.5)."""


@compiled
def _big_endian(data: Array, at: int, n: int) -> Any:
    value: Any = 0
    for k in range(n):
        value = (value << 8) | np.int64(data[at + k])
    return value


@compiled
def _decode_one(
    decompress: int, lz4: int, data: Array, row: Array, frame: Array
) -> Any:
    """Decode one image into ``frame (bytes,)``; return whether it is whole."""
    at, size, codec = row[AT], row[SIZE], row[CODEC]
    source = data.ctypes.data + at
    target = frame.ctypes.data
    if codec == RAW:
        if size != frame.size:
            return False
        frame[:] = data[at : at + size]
        return True
    if codec == LZ4_BARE:
        if size > 0x7FFFFFFF or frame.size > 0x7FFFFFFF:
            return False
        return call_lz4(lz4, source, target, size, frame.size) == frame.size
    if size < _HEADER or (codec == BSLZ4 and row[ELEMENT] not in (1, 2, 4)):
        return False
    stated = _big_endian(data, at, 8)
    block = _big_endian(data, at + 8, 4)
    # Some simulators leave the header empty: its place is lent the true one.
    unsaid = stated == 0 and block == 0
    if unsaid:
        for k in range(8):
            data[at + 7 - k] = (frame.size >> (8 * k)) & 255
        data[at + 10] = _USUAL_BLOCK >> 8
    elif stated != frame.size or block == 0 or block > 0x7FFFFFFF:
        return False
    which = 0 if codec == BSLZ4 else 1
    got = call_size(decompress, which, target, frame.size, source, size, row[ELEMENT])
    if unsaid:
        data[at : at + _HEADER] = 0
    return got == frame.size


@compiled
def _decode(
    decompress: int,
    lz4: int,
    data: Array,
    rows: Array,
    frames: Array,
    whole: Array,
    first: int,
    last: int,
) -> None:
    """Decode images `first` to `last` (exclusive) into ``frames (n, bytes)``."""
    for k in range(first, last):
        whole[k] = _decode_one(decompress, lz4, data, rows[k], frames[k])


@cache
def _library() -> tuple[int, int]:
    """Return the addresses of the C functions; 0 where they cannot be used.

    Raises
    ------
    MissingExtraError
        If dectris-compression is not installed.
    """
    module = _module()
    decompress = address_of(module.__file__, "compression_decompress_buffer")
    lz4 = address_of(module.__file__, "LZ4_decompress_safe")
    if not (decompress and lz4):
        return 0, 0
    # The numbers of the algorithms are not part of any promise: try them.
    trial = np.frombuffer(_TRIAL, np.uint8).copy()
    frames, whole = np.zeros((1, 64), np.uint8), np.zeros(1, np.bool_)
    row = new_rows(1)
    row[0, [CODEC, ELEMENT, SIZE]] = BSLZ4, 2, len(_TRIAL)
    _decode(decompress, lz4, trial, row, frames, whole, 0, 1)
    right = whole[0] and frames.view("<u2").ravel().tolist() == list(range(32))
    return (decompress, lz4) if right else (0, 0)


def _module() -> Any:
    try:
        return importlib.import_module("dectris.compression")
    except ImportError as error:
        raise MissingExtraError(
            "the dectris detector", "dectris-compression", "dectris"
        ) from error


def load() -> None:
    """Load and compile what decoding needs.

    Raises
    ------
    MissingExtraError
        If dectris-compression is not installed.
    """
    _library()


class Decoder:
    """Decodes batches on `cores` cores; the calling thread is one of them.

    Parameters
    ----------
    cores
        None: half of those that this process may use, at most 8.
    in_python
        Use the library's Python function.
    """

    def __init__(self, cores: int | None = None, *, in_python: bool = False) -> None:
        usable = len(os.sched_getaffinity(0))
        self.cores = cores or max(1, min(8, usable // 2))
        self._functions = (0, 0) if in_python else _library()
        self._share: Callable[..., None] = (
            self._compiled_share if self._functions[0] else _python_share
        )
        self._pool = (
            ThreadPoolExecutor(self.cores - 1, "decoder") if self.cores > 1 else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def decode(self, data: Array, rows: Rows, pixels: Array) -> npt.NDArray[np.bool_]:
        """Decode the image of each row into ``pixels (n, height, width)``.

        The compressed image of row k is, untouched, ``data[AT:AT + SIZE]`` while its
        frame is in ``pixels[k]``: a recorder that stores what was received takes
        `data` and `rows` here, beside the slot.

        Returns
        -------
        (n,) whether each image was whole.
        """
        n = len(rows)
        frames = pixels.view(np.uint8).reshape(n, -1)
        whole = np.zeros(n, np.bool_)
        shares = max(1, min(self.cores, n, frames.nbytes // _SHARE_BYTES))
        edges = [n * k // shares for k in range(shares + 1)]
        waiting = [
            self._pool.submit(self._share, data, rows, frames, whole, a, b)
            for a, b in pairwise(edges[1:])
            if self._pool is not None
        ]
        self._share(data, rows, frames, whole, edges[0], edges[1])
        for share in waiting:
            share.result()
        if (rows[:, ITEM] < 0).any():
            _swap(rows, pixels)
        return whole

    def _compiled_share(
        self,
        data: Array,
        rows: Rows,
        frames: Array,
        whole: Array,
        first: int,
        last: int,
    ) -> None:
        _decode(*self._functions, data, rows, frames, whole, first, last)


def _swap(rows: Rows, pixels: Array) -> None:
    """Turn big-endian pixels into those of a slot."""
    for k in np.flatnonzero(rows[:, ITEM] < 0):
        pixels[k] = pixels[k].byteswap()


def _python_share(
    data: Array, rows: Rows, frames: Array, whole: Array, first: int, last: int
) -> None:
    """Decode with the library's Python function."""
    for k in range(first, last):
        at, size = int(rows[k, AT]), int(rows[k, SIZE])
        blob = data[at : at + size]
        pixels = _decoded(blob.tobytes(), rows[k], frames.shape[1])
        whole[k] = pixels is not None
        if pixels is not None:
            frames[k] = np.frombuffer(pixels, np.uint8)


def _decoded(blob: bytes, row: Array, expected: int) -> bytes | None:
    """Return the pixels of one image; None where it is not whole."""
    codec = int(row[CODEC])
    if codec == RAW:
        return blob if len(blob) == expected else None
    size = expected.to_bytes(8, "big")
    if codec == LZ4_BARE:
        if len(blob) == expected:
            return None  # the framing cannot tell it from pixels stored as they are
        length = len(blob).to_bytes(4, "big")
        blob = size + expected.to_bytes(4, "big") + length + blob
    elif blob[:_HEADER] == bytes(_HEADER):
        blob = size + _USUAL_BLOCK.to_bytes(4, "big") + blob[_HEADER:]
    if len(blob) < _HEADER or blob[:8] != size:
        return None
    if codec == BSLZ4 and row[ELEMENT] not in (1, 2, 4):
        return None
    name = "bslz4" if codec == BSLZ4 else "lz4"
    try:
        pixels: bytes = _module().decompress(blob, name, elem_size=int(row[ELEMENT]))
    except (RuntimeError, ValueError, OverflowError, MemoryError):
        return None
    return pixels if len(pixels) == expected else None
