"""A page of shared memory where one process writes what it knows.

Counts on a board survive the crash of the process that counted, and reading them
costs the writer nothing. There are two halves and a sequence number that says which
one is whole: a writer that dies in mid-write leaves the other half untouched.

    0   u64 sequence; half = sequence % 2
    64  half 0: u64 length, u64 xxh3 of the data (seed: sequence), data
    …   half 1: the same
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from typing import Any

import msgpack
import xxhash

from scopeside.errors import EngineError

_HALF = 1 << 20
_HEAD = struct.Struct("<QQ")
SIZE = 64 + 2 * _HALF


class Board:
    """One writing process, any number of readers that it never waits for."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SIZE)
        # One store and one load of 8 bytes; struct would write it byte by byte, and
        # a reader (or a death) in between would find another number.
        self._page = memoryview(self._map)[:8].cast("Q")
        self._sequence = self._page[0]
        self._known: dict[str, Any] = {}
        # The heartbeat is a thread of its own in the writing process.
        self._lock = threading.Lock()

    @staticmethod
    def allocate() -> int:
        """Return the descriptor of an empty board."""
        fd = os.memfd_create("scopeside-board")
        os.ftruncate(fd, SIZE)
        return fd

    def update(self, **values: Any) -> None:
        """Put `values` beside what is known, and write it with the time."""
        with self._lock:
            self._known.update(values)
            self._write()

    def beat(self) -> None:
        """Write again what is known, with the time: the heartbeat."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        data = msgpack.packb({**self._known, "beat_ns": time.monotonic_ns()})
        if len(data) > _HALF - _HEAD.size:
            raise EngineError(f"a board holds {_HALF} bytes, not {len(data)}")
        sequence = self._sequence + 1
        at = 64 + (sequence % 2) * _HALF
        digest = xxhash.xxh3_64_intdigest(data, seed=sequence)
        _HEAD.pack_into(self._map, at, len(data), digest)
        self._map[at + _HEAD.size : at + _HEAD.size + len(data)] = data
        self._sequence = sequence
        self._page[0] = sequence

    def read(self) -> dict[str, Any]:
        """Return what the board says, empty before the first word."""
        for _ in range(100):
            sequence = self._page[0]
            if sequence == 0:
                return {}
            at = 64 + (sequence % 2) * _HALF
            length, digest = _HEAD.unpack_from(self._map, at)
            data = self._map[at + _HEAD.size : at + _HEAD.size + min(length, _HALF)]
            # Another digest means that the writer overtook us twice: read again.
            if xxhash.xxh3_64_intdigest(data, seed=sequence) == digest:
                values: dict[str, Any] = msgpack.unpackb(data, strict_map_key=False)
                return values
        raise EngineError("the board changes faster than it can be read")
