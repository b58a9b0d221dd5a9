"""Walks over the names and values of a flat JSON object, never past its end."""

from __future__ import annotations

from typing import Any

from scopeside_adapters.dectris.native import compiled
from scopeside_adapters.dectris.parcel import Array

STRING, NUMBER_TEXT, LIST, OTHER_VALUE = 1, 2, 3, 4
FIRST, PAIR, DONE, UNUSUAL = 0, 1, 2, 3


@compiled
def _blank(data: Array, at: int, end: int) -> int:
    while at < end and data[at] in (32, 9, 10, 13):
        at += 1
    return at


@compiled
def _string_end(data: Array, at: int, end: int) -> int:
    """Return where the closing quote is; -1 where there is none or an escape."""
    while at < end and data[at] != 34:
        if data[at] == 92:  # backslash
            return -1
        at += 1
    return at if at < end else -1


@compiled
def next_pair(
    data: Array, at: int, end: int, state: int
) -> tuple[int, int, int, int, int, int, int]:
    """Return the next name and value of an object.

    Parameters
    ----------
    at
        Where the object begins (`state` is FIRST), or where the last call ended.

    Returns
    -------
    state
        PAIR, or DONE (at the end of the text as well), or UNUSUAL: nested objects,
        escapes, malformed text.
    name_at, name_end, kind, value_at, value_end
        Of strings and lists without their marks.
    at
        For the next call.
    """
    nothing = (UNUSUAL, 0, 0, 0, 0, 0, at)
    at = _blank(data, at, end)
    if at >= end:
        return nothing
    if state == FIRST:
        if data[at] != 123:  # {
            return nothing
        at = _blank(data, at + 1, end)
    elif data[at] == 44:  # comma
        at = _blank(data, at + 1, end)
        if at < end and data[at] == 125:
            return nothing
    elif data[at] != 125:
        return nothing
    if at < end and data[at] == 125:  # }
        at = _blank(data, at + 1, end)
        # Some writers end a text with a zero byte.
        done = at == end or (at == end - 1 and data[at] == 0)
        return (DONE if done else UNUSUAL, 0, 0, 0, 0, 0, at)
    if at >= end or data[at] != 34:
        return nothing
    name = at + 1
    name_end = _string_end(data, name, end)
    if name_end < 0:
        return nothing
    at = _blank(data, name_end + 1, end)
    if at >= end or data[at] != 58:  # colon
        return nothing
    at = _blank(data, at + 1, end)
    kind, value, value_end, at = _value(data, at, end)
    if kind == 0:
        return nothing
    return PAIR, name, name_end, kind, value, value_end, at


@compiled
def _value(data: Array, at: int, end: int) -> tuple[int, int, int, int]:
    """Return (kind, where it begins, where it ends, what follows); kind 0: unusual."""
    if at >= end:
        return 0, 0, 0, at
    first = data[at]
    if first == 34:
        until = _string_end(data, at + 1, end)
        return (STRING, at + 1, until, until + 1) if until >= 0 else (0, 0, 0, at)
    if first == 91:  # [
        until = at + 1
        while until < end and data[until] != 93:
            if data[until] in (91, 123, 34):
                return 0, 0, 0, at
            until += 1
        return (LIST, at + 1, until, until + 1) if until < end else (0, 0, 0, at)
    until = at
    while until < end and data[until] not in (44, 125, 32, 9, 10, 13):
        if data[until] in (91, 123, 34):
            return 0, 0, 0, at
        until += 1
    if until == at:
        return 0, 0, 0, at
    number = first == 45 or 48 <= first <= 57
    return (NUMBER_TEXT if number else OTHER_VALUE), at, until, until


@compiled
def whole(data: Array, at: int, end: int) -> Any:
    """Return the whole number, not negative, from `at` to `end`; -1 if it is none."""
    at = _blank(data, at, end)
    value: Any = 0
    digits = 0
    while at < end and 48 <= data[at] <= 57 and digits < 19:
        value = value * 10 + data[at] - 48
        digits += 1
        at += 1
    at = _blank(data, at, end)
    return value if at == end and digits > 0 and value >= 0 else -1
