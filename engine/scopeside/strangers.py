"""Reads msgpack and JSON that anybody may have sent, into values that do no harm.

Lists and maps that are nested hundreds of levels deep can be read, but not shown in a
message, compared or written again: each of these ends in a RecursionError in the middle
of other work. JSON, too, can say halves of letters, which cannot be encoded. All of
this is refused here. Whole numbers of JSON that no other form of ours can hold become
floats, as they are in most languages.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgpack

DEEPEST = 64
"""Levels of lists and maps within each other."""
_CONTAINERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
_OTHERS = bytes(set(range(256)) - set(_CONTAINERS))
_OPENING = b"[{"
_NOT_OPENING = bytes(set(range(256)) - set(_OPENING))
_HALF_A_LETTER = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile(rb"\d{19}")
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1


def from_msgpack(data: bytes | bytearray | memoryview) -> Any:
    """Return the value in `data`.

    Raises
    ------
    ValueError
        If it is no msgpack, or nested deeper than `DEEPEST` levels.
    """
    try:
        value = msgpack.unpackb(data)
    except msgpack.UnpackException as error:
        raise ValueError(str(error) or type(error).__name__) from error
    # A level takes a byte at least; most messages have few that could begin one.
    if len(bytes(data).translate(None, _OTHERS)) > DEEPEST:
        _refuse_deep(value)
    return value


def from_json(text: bytes | bytearray) -> Any:
    """Return the value in `text`.

    Raises
    ------
    ValueError
        If it is no JSON, is nested deeper than `DEEPEST` levels, has whole numbers of
        more than 4300 digits, or text that is no Unicode.
    """
    raw = bytes(text)
    try:
        value = json.loads(raw, parse_int=_whole if _LONG_NUMBER.search(raw) else None)
    except RecursionError as error:
        raise ValueError(_deep()) from error
    if len(raw.translate(None, _NOT_OPENING)) > DEEPEST:
        _refuse_deep(value)
    if _HALF_A_LETTER.search(raw):
        json.dumps(value, ensure_ascii=False).encode()  # its error is a ValueError
    return value


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise ValueError(_deep())


def _whole(digits: str) -> int | float:
    value = int(digits)
    if _LEAST <= value <= _MOST:
        return value
    return float(digits)  # infinite where it is too large for that as well


def _deep() -> str:
    return f"it is nested deeper than {DEEPEST} levels"
