"""Frames packed by bitshuffle and LZ4, as detectors and HDF5 files hold them.

A packed frame is what the HDF5 filter 32008 writes::

    bytes of the frame (u64, big endian) | bytes of a block (u32, big endian)
    each block:  packed size (u32, big endian) | LZ4 block
    the last pixels, fewer than 8, as they are

In a block all lowest bits of its pixels come first, then all next bits, and so on: one
*plane* for each bit of a pixel. A block has a multiple of 8 pixels, the last one what
is left. The format: https://github.com/kiyo-masui/bitshuffle.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from scopeside.lz4 import SPARE, decode_block, read_word, write_byte

Array = npt.NDArray[Any]

HEADER = 12
"""Bytes before the first block."""
MOST_BLOCK = 1 << 20
"""No block is larger, bytes; usual is 8192."""
_OCTET = 8


@numba.njit(nogil=True, cache=True)
def big_endian(data: Array, at: int, n: int) -> Any:
    """Return the number that ``n`` bytes of ``data`` spell from ``at`` on."""
    value = np.int64(0)
    for k in range(n):
        value = (value << 8) | np.int64(data[at + k])
    return value


@numba.njit(nogil=True, cache=True)
def block_bytes(data: Array, at: int, end: int, frame_bytes: int, itemsize: int) -> int:
    """Return the size of the blocks of a packed frame, or -1 where it is none.

    The frame is ``data[at:end]``; unpacked it has `frame_bytes`.
    """
    if end - at < HEADER or big_endian(data, at, 8) != frame_bytes:
        return -1
    size = big_endian(data, at + 8, 4)
    if size <= 0 or size > MOST_BLOCK or size % (_OCTET * itemsize):
        return -1
    return int(size)


@numba.njit(nogil=True, cache=True)
def planes_of(data: Array, at: int, end: int, scratch: Array, wanted: int) -> int:
    """Decode the next block to its planes; return where the one after begins, or -1.

    Parameters
    ----------
    data, at, end : the block, size first, begins at `at`; its frame ends at `end`
    scratch : (≥ wanted + SPARE,) uint8, for the planes
    wanted : bytes that the block holds
    """
    if end - at < 4:
        return -1
    size = big_endian(data, at, 4)
    at += 4
    if size > end - at or wanted + SPARE > scratch.size:
        return -1
    got = decode_block(data.ctypes.data + at, size, scratch.ctypes.data, wanted)
    return at + size if got == wanted else -1


@numba.njit(nogil=True, cache=True)
def unpack_frame(
    data: Array, at: int, end: int, itemsize: int, scratch: Array, frame: Array
) -> bool:
    """Unpack ``data[at:end]`` into ``frame (bytes,)``; return whether it is whole."""
    size = block_bytes(data, at, end, frame.size, itemsize)
    if size < 0:
        return False
    at += HEADER
    done = 0
    whole = frame.size // (_OCTET * itemsize) * (_OCTET * itemsize)
    while done < whole:
        wanted = min(size, whole - done)
        at = planes_of(data, at, end, scratch, wanted)
        if at < 0:
            return False
        _pixels(scratch, wanted, itemsize, frame[done:])
        done += wanted
    if end - at < frame.size - done:
        return False
    for k in range(frame.size - done):
        frame[done + k] = data[at + k]
    return True


@numba.njit(nogil=True, cache=True)
def _pixels(planes: Array, size: int, itemsize: int, pixels: Array) -> None:
    """Write the pixels, bytes, of ``planes (size,)``."""
    row = size // (8 * itemsize)  # bytes of a plane
    source, target = np.uintp(planes.ctypes.data), np.uintp(pixels.ctypes.data)
    step = np.uintp(row)
    for part in range(itemsize):
        first = source + np.uintp(8 * part * row)
        for m in range(0, row, 8):
            if row - m < 8:
                _last_pixels(planes, part, row, m, itemsize, pixels)
                break
            at = first + np.uintp(m)
            w0, w1 = read_word(at), read_word(at + step)
            w2, w3 = read_word(at + 2 * step), read_word(at + 3 * step)
            w4, w5 = read_word(at + 4 * step), read_word(at + 5 * step)
            w6, w7 = read_word(at + 6 * step), read_word(at + 7 * step)
            # Three rounds of exchange turn each of the 8 × 8 squares of bits.
            w0, w4 = _exchange(w0, w4, np.uint64(4), np.uint64(0x0F0F0F0F0F0F0F0F))
            w1, w5 = _exchange(w1, w5, np.uint64(4), np.uint64(0x0F0F0F0F0F0F0F0F))
            w2, w6 = _exchange(w2, w6, np.uint64(4), np.uint64(0x0F0F0F0F0F0F0F0F))
            w3, w7 = _exchange(w3, w7, np.uint64(4), np.uint64(0x0F0F0F0F0F0F0F0F))
            w0, w2 = _exchange(w0, w2, np.uint64(2), np.uint64(0x3333333333333333))
            w1, w3 = _exchange(w1, w3, np.uint64(2), np.uint64(0x3333333333333333))
            w4, w6 = _exchange(w4, w6, np.uint64(2), np.uint64(0x3333333333333333))
            w5, w7 = _exchange(w5, w7, np.uint64(2), np.uint64(0x3333333333333333))
            w0, w1 = _exchange(w0, w1, np.uint64(1), np.uint64(0x5555555555555555))
            w2, w3 = _exchange(w2, w3, np.uint64(1), np.uint64(0x5555555555555555))
            w4, w5 = _exchange(w4, w5, np.uint64(1), np.uint64(0x5555555555555555))
            w6, w7 = _exchange(w6, w7, np.uint64(1), np.uint64(0x5555555555555555))
            # Byte j of word k is pixel 8 (m + j) + k.
            to = target + np.uintp(8 * m * itemsize + part)
            pixel, octet = np.uintp(itemsize), np.uintp(8 * itemsize)
            for word in (w0, w1, w2, w3, w4, w5, w6, w7):
                where = to
                for _ in range(8):
                    write_byte(where, np.uint8(word & np.uint64(255)))
                    word >>= np.uint64(8)  # noqa: PLW2901 - the next byte of it
                    where += octet
                to += pixel


@numba.njit(nogil=True, cache=True, inline="always")
def _exchange(one: Any, other: Any, shift: Any, mask: Any) -> Any:
    """Exchange the high bits of `one` for the low bits of `other`, under a mask."""
    moved = ((one >> shift) ^ other) & mask
    return one ^ (moved << shift), other ^ moved


@numba.njit(nogil=True, cache=True)
def _last_pixels(
    planes: Array, part: int, row: int, first: int, itemsize: int, pixels: Array
) -> None:
    """Write what is left where planes are no whole number of words, bit by bit."""
    for m in range(first, row):
        for k in range(8):
            value = np.int64(0)
            for bit in range(8):
                held = np.int64(planes[(8 * part + bit) * row + m])
                value |= ((held >> k) & 1) << bit
            pixels[(8 * m + k) * itemsize + part] = value


def pack_frame(frame: Array, block: int = 8192) -> bytes:
    """Return ``frame (height, width)`` packed; large, for it seeks no repetition.

    For tests and simulators: each LZ4 block holds its planes as they are.
    """
    itemsize = frame.itemsize
    flat = np.ascontiguousarray(frame).reshape(-1)
    whole = flat.size // 8 * 8
    out = [frame.nbytes.to_bytes(8, "big"), block.to_bytes(4, "big")]
    for first in range(0, whole, block // itemsize):
        part = flat[first : min(whole, first + block // itemsize)]
        bits = np.unpackbits(part.view(np.uint8), bitorder="little")
        planes = np.packbits(bits.reshape(len(part), -1).T, axis=1, bitorder="little")
        coded = _literal(planes.tobytes())
        out += [len(coded).to_bytes(4, "big"), coded]
    return b"".join([*out, flat[whole:].tobytes()])


def _literal(data: bytes) -> bytes:
    """Return an LZ4 block that holds `data` as it is."""
    if len(data) < 15:
        return bytes([len(data) << 4]) + data
    more, last = divmod(len(data) - 15, 255)
    return b"\xf0" + b"\xff" * more + bytes([last]) + data
