"""Changes valid examples as a broken or a hostile peer would.

A change is chosen by a `random.Random`: that of hypothesis in CI, which shrinks what it
finds, and a seeded one where millions of examples are wanted.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgpack

NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 8, 15, 16, 63, 64, 127, 128, 255, 256, 1000, 4095, 4096),
    *(0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1),
    *(1 << 32, (1 << 53) + 1, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
    *(-2, -128, -(1 << 31), -(1 << 63)),
)
"""Where programs break."""
TEXTS = (
    *("", "x", "..", "../../x", "/", "\0", "a\nb", "²", "\ufeff", "é" * 40, "<u2"),
    *("|O", "i4,i4", "(9,)f8", "nan", "1e999", "-0", "x" * 300, "9" * 5000, "\u2028"),
)
VALUES = (
    *(None, True, False, 0.5, -0.0, 1e308, float("nan"), float("inf"), [], {}, b""),
    *([None], {"": 0}, [[[]]], b"\0" * 40, [1 << 63], [-1, -1]),
)
_DECIMALS = (b"0", b"-1", b"00", b"4294967296", b"9" * 19, b"9" * 400, b"1e999", b"nan")

Change = Callable[[bytes, Random, Sequence[bytes]], bytes]


def mutate(data: bytes, dice: Random, corpus: Sequence[bytes]) -> bytes:
    """Return `data` after a few changes, of 0 to 6."""
    for _ in range(dice.choice((0, 1, 1, 1, 2, 2, 3, 6))):
        data = dice.choice(_CHANGES)(data, dice, corpus)
    return data


def mutate_parts(data: bytes, dice: Random, corpus: Sequence[bytes]) -> bytes:
    """Change a message of several parts, as `join` makes them; most often one part."""
    parts = split(data)
    pool = [part for one in corpus for part in split(one)]
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        at = dice.randrange(len(parts)) if parts else 0
        match dice.randrange(10):
            case 0 if parts:
                del parts[at]
            case 1:
                parts.insert(at, dice.choice([b"", *pool, bytes(dice.randrange(70))]))
            case 2 if len(parts) > 1:
                other = dice.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
            case _ if parts:
                parts[at] = mutate(parts[at], dice, pool)
    return join(parts)


def join(parts: Sequence[Any]) -> bytes:
    """Return the parts of a message as one text of bytes, each after its length."""
    return b"".join(struct.pack("<I", len(bytes(p))) + bytes(p) for p in parts)


def split(data: bytes) -> list[bytes]:
    """Return the parts that `join` was given; of what is none, something."""
    parts, at = [], 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return parts


# -- changes of bytes ---------------------------------------------------------------


def _place(data: bytes, dice: Random) -> int:
    """Return a place in `data`, half of the time in its first 64 bytes."""
    most = len(data) if dice.random() < 0.5 else min(64, len(data))
    return dice.randint(0, most)


def _flip(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = _place(data, dice)
    if at == len(data):
        return data
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def _number(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    """Write a telling number over some bytes, of any width and order."""
    width = dice.choice((1, 2, 4, 8))
    value = dice.choice(NUMBERS) & ((1 << 8 * width) - 1)
    at = _place(data, dice) // width * width
    raw = value.to_bytes(width, dice.choice(("little", "big")))
    return data[:at] + raw + data[at + width :]


def _decimal(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    """Write another number in place of one that is spelt in digits."""
    found = list(re.finditer(rb"\d+", data[:1000]))
    if not found:
        return data
    one = dice.choice(found)
    text = dice.choice((*_DECIMALS, str(abs(dice.choice(NUMBERS))).encode()))
    if dice.random() < 0.5:  # as long as it was: a field of a fixed width
        text = text[: len(one[0])].rjust(len(one[0]), b"0")
    return data[: one.start()] + text + data[one.end() :]


def _cut(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    return data[: _place(data, dice)]


def _remove(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = _place(data, dice)
    return data[:at] + data[at + dice.choice((1, 2, 4, 16, 300)) :]


def _repeat(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = _place(data, dice)
    piece = data[at : at + dice.choice((1, 4, 15, 64, 400))]
    return data[:at] + piece * dice.choice((1, 2, 30)) + data[at:]


def _insert(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = _place(data, dice)
    fresh = bytes(dice.randrange(256) for _ in range(dice.choice((1, 2, 4, 17))))
    return data[:at] + fresh + data[at:]


def _splice(data: bytes, dice: Random, corpus: Sequence[bytes]) -> bytes:
    """Go on with another example in the middle."""
    other = dice.choice(corpus) if corpus else data
    return data[: _place(data, dice)] + other[_place(other, dice) :]


# -- changes of values --------------------------------------------------------------


def _value(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    """Change one value of a JSON, msgpack or CBOR text; of what is none, its bytes."""
    for load, dump in _forms(data):
        try:
            return dump(_changed(load(data), dice))
        except Exception:  # noqa: BLE001 - libraries raise whatever they like
            continue
    return _flip(data, dice, ())


def _forms(data: bytes) -> list[tuple[Any, Any]]:
    if data[:1] in (b"{", b"["):
        return [(json.loads, lambda value: json.dumps(value, default=str).encode())]
    if data[:1] == b"\xd9":
        import cbor2

        return [(cbor2.loads, cbor2.dumps)]

    def load(raw: bytes) -> Any:
        return msgpack.unpackb(raw, strict_map_key=False)

    return [(load, msgpack.packb)]


def _changed(value: Any, dice: Random, depth: int = 0) -> Any:
    """Return `value` with a value somewhere in it replaced, removed or buried."""
    inner = getattr(value, "value", None)
    if inner is not None and hasattr(value, "tag"):  # of CBOR
        tag = value.tag if dice.random() < 0.8 else abs(dice.choice(NUMBERS))
        return type(value)(tag, _changed(inner, dice, depth + 1))
    if value and isinstance(value, dict | list) and dice.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = dice.choice(keys)
        copy = value.copy()
        match dice.randrange(8):
            case 0:
                del copy[key]
            case 1 if isinstance(copy, dict):
                copy[dice.choice(TEXTS)] = copy[key]
            case 2 if isinstance(copy, list):
                copy.append(copy[key])
            case _:
                copy[key] = _changed(copy[key], dice, depth + 1)
        return copy
    return _another(value, dice)


def _another(value: Any, dice: Random) -> Any:
    match dice.randrange(6):
        case 0:
            return dice.choice(VALUES)
        case 1:
            return dice.choice(TEXTS)
        case 2:
            for _ in range(dice.choice((3, 20, 200, 900))):
                value = [value]
            return value
        case 3 if isinstance(value, str | bytes | list):
            return value * dice.choice((0, 2, 40))
        case 4 if isinstance(value, int):
            return value + dice.choice((-1, 1, 1 << 40))
        case _:
            return dice.choice(NUMBERS)


_CHANGES: tuple[Change, ...] = (
    _flip, _flip, _number, _number, _number, _decimal, _cut, _remove, _repeat,
    _insert, _splice, _value, _value, _value,
)  # fmt: skip
