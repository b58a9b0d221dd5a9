"""The chain of directories of a TIFF that may still be written, without I/O.

``II`` or ``MM``, 42 (43: BigTIFF), then a link to the first directory. A directory:
number of tags, tags of tag (u16), type (u16), count, and value or the place of it;
then a link to the next directory, 0 in the last. See TIFF 6.0, section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from scopeside.errors import ProtocolError

Read = Callable[[int, int], bytes]
"""Returns bytes from a place on: (at, how many); fewer at the end of the file."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_MOST_TAGS = 1 << 12


@dataclass(frozen=True, slots=True)
class Directory:
    """A page whose directory is whole.

    Attributes
    ----------
    at
        Where it begins, bytes.
    link
        Where the link to the next one stands.
    end
        Where its pixels end; 0 if it has none.
    """

    at: int
    link: int
    end: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """Byte order and width of a file's numbers."""

    order: str
    big: bool

    @classmethod
    def of(cls, header: bytes) -> Self | None:
        """Read the first bytes of a file; None if there are too few.

        Raises
        ------
        ProtocolError
            If it is no TIFF.
        """
        if len(header) < 4:
            return None
        order = {b"II": "<", b"MM": ">"}.get(header[:2])
        version = 0 if order is None else struct.unpack(f"{order}H", header[2:4])[0]
        if order is None or version not in (42, 43):
            raise ProtocolError(
                f"it begins with {header[:4]!r}, which is no TIFF", cause="wrong_magic"
            )
        return cls(order, version == 43)

    @property
    def first_link(self) -> int:
        """Where the link to the first directory stands."""
        return 8 if self.big else 4

    def follow(self, read: Read, link: int) -> int:
        """Return where the link at byte `link` leads; 0: nowhere, or not yet."""
        width = 8 if self.big else 4
        raw = read(link, width)
        return self._number(raw) if len(raw) == width else 0

    def link_of(self, read: Read, at: int) -> int:
        """Return where the link of the directory at byte `at` stands."""
        width, tag = (8, 20) if self.big else (2, 12)
        raw = read(at, width)
        n = self._number(raw) if len(raw) == width else 0
        return at + width + n * tag

    def directory(self, read: Read, at: int, size: int) -> Directory | None:
        """Return the directory at byte `at`; None if not all of it is there.

        Raises
        ------
        ProtocolError
            If it is none.
        """
        width, tag = (8, 20) if self.big else (2, 12)
        raw = read(at, width)
        if len(raw) < width:
            return None
        n = self._number(raw)
        if n > _MOST_TAGS:
            raise ProtocolError(f"a page with {n} tags is none", cause="wrong_header")
        raw = read(at + width, n * tag)
        if len(raw) < n * tag:
            return None
        found: dict[int, tuple[int, ...]] = {}
        for k in range(n):
            code, values = self._tag(read, raw[k * tag : (k + 1) * tag], size)
            if values is None:
                return None
            found[code] = values
        link = at + width + n * tag
        if link + (8 if self.big else 4) > size:
            return None
        return Directory(at, link, _end_of_pixels(found))

    def _tag(
        self, read: Read, raw: bytes, size: int
    ) -> tuple[int, tuple[int, ...] | None]:
        """Return a tag and its numbers, of those that say where pixels are."""
        code, kind = struct.unpack_from(f"{self.order}2H", raw)
        inline = 8 if self.big else 4
        count = self._number(raw[4 : 4 + inline])
        length = _SIZES.get(kind, 1) * count
        value = raw[4 + inline :]
        if length > inline:
            place = self._number(value)
            if place + length > size:
                return code, None
            if code in _OFFSETS + _COUNTS:
                value = read(place, length)
        if code not in _OFFSETS + _COUNTS or kind not in _NUMBERS:
            return code, ()
        if len(value) < length:
            return code, None
        return code, struct.unpack_from(f"{self.order}{count}{_NUMBERS[kind]}", value)

    def _number(self, raw: bytes) -> int:
        form = {2: "H", 4: "I", 8: "Q"}[len(raw)]
        return int(struct.unpack(f"{self.order}{form}", raw)[0])


def _end_of_pixels(found: dict[int, tuple[int, ...]]) -> int:
    ends = [0]
    for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
        pairs = zip(found.get(offsets, ()), found.get(counts, ()), strict=False)
        ends += [offset + count for offset, count in pairs]
    return max(ends)
