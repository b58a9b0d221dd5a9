"""Walks over CBOR (RFC 8949) without making objects of it, never past its end."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from scopeside.errors import MissingExtraError
from scopeside_adapters.dectris.native import compiled
from scopeside_adapters.dectris.parcel import Array

UINT, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = 0, 2, 3, 4, 5, 6, 7
INDEFINITE = -1
_BREAK = 0xFF
_DEEPEST = 64


@compiled
def head(data: Array, at: int, end: int) -> tuple[int, int, int]:
    """Return (major type, value, where it ends) of the item at `at`.

    The value is `INDEFINITE` where there is none; where it ends is -1 if the item is
    cut off, malformed, or has a value past 2**63.
    """
    if at >= end:
        return 0, 0, -1
    first: Any = np.int64(data[at])
    major, info = first >> 5, first & 31
    at += 1
    if info < 24:
        return major, info, at
    if info == 31:
        return major, INDEFINITE, at
    size = 1 << (info - 24)
    if info > 27 or end - at < size:
        return major, 0, -1
    value: Any = 0
    for k in range(size):
        value = (value << 8) | np.int64(data[at + k])
    if value < 0 and major != SIMPLE:
        return major, 0, -1
    return major, value, at + size


@compiled
def skip(data: Array, at: int, end: int) -> int:
    """Return where the item at `at` ends; -1 if it is cut off or of unknown length."""
    pending = 1
    while pending > 0:
        major, value, at = head(data, at, end)
        if at < 0 or value == INDEFINITE:
            return -1
        pending -= 1
        if major in (BYTES, TEXT):
            if value > end - at:
                return -1
            at += value
        elif major in (ARRAY, MAP):
            # Every item has a byte at least: a count that lies is seen at once.
            if value > end - at:
                return -1
            pending += value if major == ARRAY else 2 * value
        elif major == TAG:
            pending += 1
    return at


@compiled
def whole(data: Array, at: int, end: int) -> bool:
    """Say whether there is one well-formed item from `at` to `end`, not too deep.

    This is asked before a library is allowed to make objects of it: no length in it
    is larger than the message.
    """
    pending = np.zeros(_DEEPEST + 1, np.int64)  # -1: until a break
    strings = np.zeros(_DEEPEST + 1, np.int64)  # only such pieces are allowed
    depth = 0
    pending[0] = 1
    while True:
        while pending[depth] == 0:
            if depth == 0:
                return at == end
            depth -= 1
        if pending[depth] < 0 and at < end and data[at] == _BREAK:
            # A map that ends between a name and its value is malformed.
            if strings[depth] == -MAP - 1:
                return False
            at += 1
            pending[depth] = 0
            continue
        major, value, at = head(data, at, end)
        if at < 0:
            return False
        piece = strings[depth]
        if piece > 0 and (major != piece or value == INDEFINITE):
            return False
        if piece < 0:
            strings[depth] = -MAP if piece == -MAP - 1 else -MAP - 1
        if pending[depth] > 0:
            pending[depth] -= 1
        inside = 0
        if value == INDEFINITE:
            if major not in (BYTES, TEXT, ARRAY, MAP):
                return False
            inside = -1
        elif major in (BYTES, TEXT):
            if value > end - at:
                return False
            at += value
        elif major in (ARRAY, MAP):
            if value > end - at:
                return False
            inside = value if major == ARRAY else 2 * value
        elif major == TAG:
            inside = 1
        if inside != 0:
            if depth == _DEEPEST:
                return False
            depth += 1
            pending[depth] = inside
            strings[depth] = 0
            if inside < 0:
                strings[depth] = major if major in (BYTES, TEXT) else 0
                if major == MAP:
                    strings[depth] = -MAP


@compiled
def is_text(data: Array, at: int, size: int, word: Array) -> bool:
    """Say whether the `size` bytes at `at` are those of `word`."""
    if size != word.size:
        return False
    for k in range(size):  # noqa: SIM110 - numba compiles a loop better
        if data[at + k] != word[k]:
            return False
    return True


def word(text: str) -> Array:
    """Return the bytes of `text` for `is_text`."""
    return np.frombuffer(text.encode(), np.uint8)


def cbor_library() -> Any:
    """Return cbor2, for what the walk leaves.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module("cbor2")
    except ImportError as error:
        raise MissingExtraError("the dectris detector", "cbor2", "dectris") from error
