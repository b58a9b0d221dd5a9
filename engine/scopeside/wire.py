"""The envelope of every message between processes, and of the public frame wire.

A multipart message::

    [0] 4 bytes   'S' 'F', version (1), kind
    [1] msgpack   header, a map with string keys
    [2…] bytes    payload parts, raw

Kinds 1 to 7 are public (docs/wire.md); 64 and above travel only inside one engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgpack

from scopeside.errors import ProtocolError
from scopeside.strangers import from_msgpack

MAGIC = b"SF"
VERSION = 1
MAX_HEADER = 1 << 20
MAX_PARTS = 64

Buffer = bytes | bytearray | memoryview


class Kind(IntEnum):
    """What a message is about."""

    START = 1
    BATCH = 2
    GAP = 3
    PARAM = 4
    END = 5
    CREDIT = 6
    ACK = 7

    # Inside one engine.
    JOIN = 64
    MERGED = 65
    PART = 66
    PART_OK = 67
    RECALL = 68
    STATE = 69
    FENCE = 70
    FENCED = 71
    EPOCH = 72
    DRAIN = 73
    DRAINED = 74
    ABORT = 75
    CLOSED = 76
    READY = 77
    GO = 78
    STOP = 79
    DONE = 80
    NOTE = 81
    DEGRADE = 82
    RESEND = 83
    STATUS = 84
    SAMPLES = 85
    SAMPLES_OK = 86
    CHANNELS = 87
    SAID = 88
    PAST = 94

    # Of the recorder.
    SPOOLED = 89
    EVENTS = 90
    BOOK = 91
    RECORDED = 92
    KEEP = 93

    # Of control.
    HEARD = 96
    BEAT = 97
    PROPOSAL = 98
    OUTCOME = 99
    READBACK = 100
    ASK = 101
    ANSWER = 102
    DECIDED = 103
    ADVISED = 104


class Message(NamedTuple):
    """A message taken apart; the payload parts are not copied."""

    kind: Kind
    header: dict[str, Any]
    payload: list[memoryview]


def encode(
    kind: Kind, header: Mapping[str, Any], payload: Sequence[Buffer] = ()
) -> list[Buffer]:
    """Return the parts of a message, for ``send_multipart``."""
    return [MAGIC + bytes((VERSION, kind)), msgpack.packb(header), *payload]


def decode(parts: Sequence[Buffer]) -> Message:
    """Take a message of a stranger apart.

    Raises
    ------
    ProtocolError
        With the cause ``truncated``, ``wrong_magic``, ``wrong_version``,
        ``wrong_kind``, ``oversized`` or ``wrong_header``.
    """
    if len(parts) > MAX_PARTS or (len(parts) > 1 and len(parts[1]) > MAX_HEADER):
        raise ProtocolError(
            f"a message has at most {MAX_PARTS} parts and a header of {MAX_HEADER} "
            f"bytes, got {len(parts)} parts and {len(parts[1])} bytes",
            cause="oversized",
        )
    return decode_own(parts)


def decode_own(parts: Sequence[Buffer]) -> Message:
    """Take a message apart that our own engine has made, of whatever size.

    A part of many small frames, or an account with many gaps, is larger than what a
    stranger may send.

    Raises
    ------
    ProtocolError
        As `decode` does, but never ``oversized``.
    """
    if len(parts) < 2:
        raise ProtocolError(
            f"expected an envelope and a header, got {len(parts)} part(s)",
            cause="truncated",
        )
    kind = _kind(bytes(parts[0][:8]))
    try:
        header = from_msgpack(parts[1])
    except ValueError as error:
        raise ProtocolError(
            f"the header cannot be read: {error}", cause="wrong_header"
        ) from error
    if not isinstance(header, dict) or not all(isinstance(k, str) for k in header):
        raise ProtocolError(
            "the header is not a map with string keys", cause="wrong_header"
        )
    return Message(kind, header, [memoryview(part) for part in parts[2:]])


def _kind(envelope: bytes) -> Kind:
    if envelope[:2] != MAGIC:
        raise ProtocolError(
            f"expected {MAGIC!r}, got {envelope[:2]!r}", cause="wrong_magic"
        )
    if len(envelope) != 4:
        raise ProtocolError(
            f"the envelope has 4 bytes, got {len(envelope)}", cause="truncated"
        )
    if envelope[2] != VERSION:
        raise ProtocolError(
            f"this is version {VERSION} of the frame wire, got version {envelope[2]}",
            cause="wrong_version",
        )
    try:
        return Kind(envelope[3])
    except ValueError as error:
        raise ProtocolError(
            f"there is no message kind {envelope[3]}", cause="wrong_kind"
        ) from error
