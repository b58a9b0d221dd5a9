"""LZ4 blocks, decoded and checked without leaving a compiled loop.

A block is a row of sequences: a token, bytes to be taken as they are, and a match, that
is bytes that came up to 65535 before. Whatever the bytes are, nothing is read outside
of the block and nothing written beyond `SPARE` bytes behind the room. The format:
https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md.
"""

# ruff: noqa: ARG001 - numba calls intrinsics with the types of all arguments

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

SPARE = 64
"""Bytes behind the room of a block that may be written to."""
_WIDE = 32
"""Bytes that are copied at once."""


def _memory(kind: Any, llvm: Any) -> tuple[Any, Any]:
    """Return a function that reads a number at any address, and one that writes it."""

    @intrinsic
    def read(_typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
            return builder.load(builder.inttoptr(given[0], llvm.as_pointer()), align=1)

        return kind(types.uintp), generate

    @intrinsic
    def write(_typing: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
            to = builder.inttoptr(given[0], llvm.as_pointer())
            builder.store(given[1], to, align=1)
            return context.get_dummy_value()

        return types.void(types.uintp, kind), generate

    return read, write


read_byte, write_byte = _memory(types.uint8, ir.IntType(8))
read_word, write_word = _memory(types.uint64, ir.IntType(64))
_read_short, _write_short = _memory(types.uint16, ir.IntType(16))


def _copy_wide(_typing: Any, source: Any, target: Any) -> Any:
    """Copy `_WIDE` bytes from one address to another."""
    lanes = ir.VectorType(ir.IntType(8), _WIDE)

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        found, to = (builder.inttoptr(at, lanes.as_pointer()) for at in given)
        builder.store(builder.load(found, align=1), to, align=1)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp), generate


copy_wide: Any = intrinsic(_copy_wide)
_FAR = np.uintp(1 << 62)
"""A length that fits no room."""


@numba.njit(nogil=True, cache=True)
def _whole_length(at: Any, end: Any) -> Any:
    """Return where a length that goes on behind its token ends, and the length."""
    length = np.uintp(15)
    while at < end:
        more = np.uintp(read_byte(at))
        at += np.uintp(1)
        length += more
        if more < 255:
            return at, length
    return at, _FAR


@numba.njit(nogil=True, cache=True)
def decode_block(source: int, size: int, target: int, room: int) -> Any:
    """Decode a block; return the number of bytes it holds, or -1 where it is none.

    Parameters
    ----------
    source, size : address and number of its bytes
    target, room : address and number of bytes for what is in it, and `SPARE` behind
    """
    at, end = np.uintp(source), np.uintp(source + size)
    to, stop = np.uintp(target), np.uintp(target + room)
    one, wide = np.uintp(1), np.uintp(_WIDE)
    while at < end:
        token = np.uintp(read_byte(at))
        at += one
        length = token >> np.uintp(4)
        if length == 15:
            at, length = _whole_length(at, end)
        if length > end - at or length > stop - to:
            return -1
        if length + wide <= end - at:
            done = np.uintp(0)
            while done < length:
                copy_wide(at + done, to + done)
                done += wide
        else:
            for k in range(length):
                write_byte(to + np.uintp(k), read_byte(at + np.uintp(k)))
        at += length
        to += length
        if at == end:
            return np.int64(to) - np.int64(target)
        if end - at < 2:
            return -1
        back = np.uintp(_read_short(at))
        at += np.uintp(2)
        length = token & np.uintp(15)
        if length == 15:
            at, length = _whole_length(at, end)
        length += np.uintp(4)
        if back == 0 or back > to - np.uintp(target) or length > stop - to:
            return -1
        after = to + length
        if back < wide:
            if back >= 8:
                while to < after:
                    write_word(to, read_word(to - back))
                    to += np.uintp(8)
                to = after
                continue
            # What is repeated is shorter than a word: spread it over one first.
            if back == 1:
                word = np.uint64(read_byte(to - one)) * np.uint64(0x0101010101010101)
                step = np.uintp(8)
            else:
                for k in range(8):
                    write_byte(to + np.uintp(k), read_byte(to + np.uintp(k) - back))
                word = read_word(to)
                step = np.uintp(8) - np.uintp(8) % back
            while to < after:
                write_word(to, word)
                to += step
            to = after
            continue
        while to < after:
            copy_wide(to - back, to)
            to += wide
        to = after
    return -1


@numba.njit(nogil=True, cache=True)
def size_of(source: int, size: int, room: int) -> Any:
    """Return how many bytes a block holds, or -1 where it is none; nothing is written.

    Parameters
    ----------
    source, size : address and number of its bytes
    room : bytes that it may hold at most
    """
    at, end = np.uintp(source), np.uintp(source + size)
    done, most, one = np.uintp(0), np.uintp(room), np.uintp(1)
    while at < end:
        token = np.uintp(read_byte(at))
        at += one
        length = token >> np.uintp(4)
        if length == 15:
            at, length = _whole_length(at, end)
        if length > end - at or length > most - done:
            return -1
        at += length
        done += length
        if at == end:
            return np.int64(done)
        if end - at < 2:
            return -1
        back = np.uintp(_read_short(at))
        at += np.uintp(2)
        length = token & np.uintp(15)
        if length == 15:
            at, length = _whole_length(at, end)
        length += np.uintp(4)
        if back == 0 or back > done or length > most - done:
            return -1
        done += length
    return -1
