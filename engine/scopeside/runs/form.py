"""The form of a recorded run on disk, without I/O.

A segment file is a head of 64 bytes and records one after another. A record is a
message of the frame wire (docs/wire.md): START, BATCH, GAP, PARAM, END::

    head     64 bytes   what follows, how long it is, and digests of it and of itself
    header   msgpack    of the message; ``parts`` has the size of each payload part
    parts               raw bytes

Header and parts begin at multiples of 64 bytes, filled up with zeros, so that arrays
can be used where they lie. All numbers are little endian. Beside the segments lies an
index with an entry for each record; it can be made again from the segments.

docs/run_folder.md is the specification for other programs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import msgpack
import numpy as np
import numpy.typing as npt
import xxhash

from scopeside.errors import RunError
from scopeside.runs.checksum import as_written
from scopeside.strangers import from_msgpack
from scopeside.wire import Buffer, Kind

LINE = 64
SEGMENT_MAGIC = b"SCOPESEG"
RECORD_MAGIC = b"SREC"
VERSION = 1
MAX_HEADER = 1 << 26
"""Of one record; a START with the list of positions of a large scan is the largest."""
MAX_PARTS = 64

_SEGMENT = struct.Struct("<8sIIQ32x")  # magic, version, number, first record; digest
_RECORD = struct.Struct("<4sHHIIQQqqQ")
_DIGEST = struct.Struct("<Q")

ENTRY = np.dtype(
    [
        ("record", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("first", "<i8"),
        ("last", "<i8"),
        ("t_first_ns", "<i8"),
        ("t_last_ns", "<i8"),
        ("segment", "<u4"),
        ("n", "<u4"),
        ("kind", "<u2"),
        ("epoch", "<u2"),
        ("change", "<u4"),
        ("check", "<u8"),
    ]
)
"""One entry of the index. `first`, `last`: lowest and highest frame index of a BATCH or
GAP, else -1; `check`: XXH3-64 of the bytes before it."""


class RecordHead(NamedTuple):
    """The first 64 bytes of a record."""

    kind: Kind
    header_bytes: int
    n: int
    """Frames."""
    record: int
    """Number of the record within the run, from 0."""
    body_bytes: int
    """Header and parts with what fills them up."""
    first: int
    """Lowest frame index, -1 without frames."""
    t_ns: int
    """Time stamp of the first frame, ns since 1970 UTC; -1 without frames."""
    digest: int
    """XXH3-64 of the body."""

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return LINE + self.body_bytes

    def to_bytes(self) -> bytes:
        """Return the 64 bytes."""
        packed = _RECORD.pack(
            RECORD_MAGIC,
            VERSION,
            self.kind,
            self.header_bytes,
            self.n,
            self.record,
            self.body_bytes,
            self.first,
            self.t_ns,
            self.digest,
        )
        return packed + _DIGEST.pack(xxhash.xxh3_64_intdigest(packed))

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Read them.

        Raises
        ------
        RunError
            If they are not the head of a record.
        """
        head = bytes(data[:LINE])
        if len(head) < LINE:
            raise RunError(f"a record begins with {LINE} bytes, found {len(head)}")
        magic, version, kind, header_bytes, n, record, body, first, t_ns, digest = (
            _RECORD.unpack_from(head)
        )
        if magic != RECORD_MAGIC:
            raise RunError(f"a record begins with {RECORD_MAGIC!r}, found {magic!r}")
        if _DIGEST.unpack_from(head, _RECORD.size)[0] != xxhash.xxh3_64_intdigest(
            head[: _RECORD.size]
        ):
            raise RunError("the head of a record is damaged")
        if version != VERSION:
            raise RunError(f"this is form {VERSION} of a record, found {version}")
        if header_bytes > min(body, MAX_HEADER) or body % LINE:
            raise RunError(f"a record of {body} bytes has no header of {header_bytes}")
        try:
            return cls(Kind(kind), header_bytes, n, record, body, first, t_ns, digest)
        except ValueError as error:
            raise RunError(f"there is no kind {kind} of a record") from error


class Packed(NamedTuple):
    """A record that is ready to be written: its head, and all its bytes in order."""

    head: RecordHead
    pieces: list[Buffer]


def pack(
    record: int,
    kind: Kind,
    header: Mapping[str, Any],
    parts: Sequence[Buffer] = (),
    *,
    n: int = 0,
    first: int = -1,
    t_ns: int = -1,
) -> Packed:
    """Return a message as a record; the parts are not copied."""
    raw = [memoryview(part).cast("B") for part in parts]
    packed = msgpack.packb({**header, "parts": [part.nbytes for part in raw]})
    pieces: list[Buffer] = []
    digest = xxhash.xxh3_64()
    body = 0
    for piece in (packed, *raw):
        fill = bytes(-len(piece) % LINE)
        for written in (piece, fill):
            if len(written):
                digest.update(written)
                pieces.append(written)
        body += len(piece) + len(fill)
    head = RecordHead(
        kind, len(packed), n, record, body, first, t_ns, digest.intdigest()
    )
    return Packed(head, [head.to_bytes(), *pieces])


def check_body(head: RecordHead, body: Buffer) -> None:
    """Compare a body with its digest.

    Raises
    ------
    RunError
        If they differ.
    """
    found = xxhash.xxh3_64_intdigest(body)
    if found != head.digest:
        raise RunError(
            f"record {head.record} is damaged: its digest is {found:016x}, and "
            f"{head.digest:016x} was written"
        )


def unpack(head: RecordHead, body: Buffer) -> tuple[dict[str, Any], list[memoryview]]:
    """Return the header and the parts of a record; the parts are not copied.

    Raises
    ------
    RunError
        If they are not what a header and its parts look like.
    """
    memory = memoryview(body).cast("B")
    try:
        header = from_msgpack(memory[: head.header_bytes])
        sizes = header.pop("parts")
        if len(sizes) > MAX_PARTS or any(type(size) is not int for size in sizes):
            raise ValueError("no sizes of parts")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise RunError(f"record {head.record} has no header: {error}") from error
    at = up(head.header_bytes)
    parts = []
    for size in sizes:
        if size < 0 or at + size > memory.nbytes:
            raise RunError(f"record {head.record} has no room for its parts")
        parts.append(memory[at : at + size])
        at = up(at + size)
    return header, parts


def entry_of(
    head: RecordHead,
    header: Mapping[str, Any],
    *,
    segment: int,
    offset: int,
    last: int = -1,
    t_last_ns: int = -1,
) -> npt.NDArray[np.void]:
    """Return the entry of the index for a record, (1,) of `ENTRY`."""
    change = header.get("change", 0)
    if isinstance(change, Mapping):  # a PARAM: what changes, with its number
        change = change.get("number", 0)
    entry = np.zeros(1, ENTRY)
    entry[0] = (
        head.record,
        offset,
        head.size,
        head.first,
        last,
        head.t_ns,
        t_last_ns,
        segment,
        head.n,
        head.kind,
        min(int(header.get("epoch", 0)), 0xFFFF),
        int(change),
        0,
    )
    entry["check"] = xxhash.xxh3_64_intdigest(entry.tobytes()[:-8])
    return entry


def good_entries(data: bytes, *, first: int = 0) -> npt.NDArray[np.void]:
    """Return the entries that `data` begins with, up to the first bad one.

    `first`: number of the record that the first of them is of.
    """
    entries = np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
    numbers = np.arange(first, first + len(entries), dtype=np.uint64)
    bad = np.flatnonzero(~as_written(entries) | (entries["record"] != numbers))
    return entries[: bad[0]] if len(bad) else entries


def segment_head(number: int, first_record: int) -> bytes:
    """Return the first 64 bytes of a segment file."""
    packed = _SEGMENT.pack(SEGMENT_MAGIC, VERSION, number, first_record)
    return packed + _DIGEST.pack(xxhash.xxh3_64_intdigest(packed))


def read_segment_head(data: Buffer) -> tuple[int, int]:
    """Return the number of a segment and that of its first record.

    Raises
    ------
    RunError
        If it is no segment, or one of another form.
    """
    head = bytes(data[:LINE])
    if len(head) < LINE or head[:8] != SEGMENT_MAGIC:
        raise RunError(f"a segment begins with {SEGMENT_MAGIC!r}, found {head[:8]!r}")
    _, version, number, first = _SEGMENT.unpack_from(head)
    if version != VERSION:
        raise RunError(f"this is form {VERSION} of a segment, found {version}")
    if _DIGEST.unpack_from(head, _SEGMENT.size)[0] != xxhash.xxh3_64_intdigest(
        head[: _SEGMENT.size]
    ):
        raise RunError("the head of a segment is damaged")
    return number, first


def up(number: int) -> int:
    """Return the next multiple of `LINE`."""
    return -(-number // LINE) * LINE
