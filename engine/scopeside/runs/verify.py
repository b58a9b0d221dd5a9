"""Looks at every byte of a run folder and names what is not as it was written.

A closed run vouches for itself: each record has a digest, each segment a seal in the
manifest, so has each other file, and the manifest ends with a digest of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from scopeside.errors import RunError
from scopeside.runs import lock, manifest
from scopeside.runs.form import ENTRY, LINE
from scopeside.runs.scan import INDEX, entry_from, segments_of
from scopeside.runs.walk import Segment, Stretch


@dataclass(frozen=True, slots=True)
class Damage:
    """A place that is not as it was written.

    Attributes
    ----------
    record, offset
        Of a record in its segment; -1 where it is not about one.
    first, last
        Its lowest and highest frame, -1 where unknown.
    """

    file: Path
    why: str
    record: int = -1
    offset: int = -1
    first: int = -1
    last: int = -1

    def __str__(self) -> str:
        record = f"record {self.record}" if self.record >= 0 else ""
        at = f"at byte {self.offset}" if self.offset >= 0 else ""
        frames = f"(frame {self.first})" if self.first >= 0 else ""
        if self.last > self.first >= 0:
            frames = f"(frames {self.first} to {self.last})"
        place = " ".join(filter(None, [record, at, frames]))
        return f"{self.file}{', ' if place else ''}{place}: {self.why}"


_SIZE = ENTRY.itemsize
Progress = Callable[[int], None]


def _nothing(_: int) -> None:
    pass


def size_of(folder: Path) -> int:
    """Return how many bytes `damages` reads, about."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def damages(folder: Path, progress: Progress = _nothing) -> Iterator[Damage]:
    """Read all of a run and yield what is damaged.

    What is being written just now is looked at as far as its index goes.

    Parameters
    ----------
    progress
        Is told the bytes that have been read.
    """
    live = bool(lock.held(folder))
    said: dict[str, Any] | None = None
    try:
        said = manifest.read(folder)
    except RunError as error:
        yield Damage(folder / manifest.NAME, str(error))
    closed = said is not None and said["state"] != manifest.RECORDING
    known = _index_of(folder)
    if said is not None and not closed and not live:
        yield Damage(
            folder / manifest.NAME,
            "it was never closed: its recorder was killed; 'scopeside runs recover' "
            "restores what is there",
        )
    walk = _Walk(folder, known, live=live, progress=progress)
    yield from walk.segments(said.get("segments") if closed and said else None)
    if not live:
        yield from walk.index()
    if closed and said is not None:
        yield from _count(folder, said, walk)
        yield from _files(folder, said, progress)


class _Walk:
    """Goes through all segments and makes the index anew."""

    def __init__(
        self, folder: Path, known: bytes, *, live: bool, progress: Progress
    ) -> None:
        self.record = 0
        self._folder = folder
        self._known = np.frombuffer(known[: len(known) // _SIZE * _SIZE], ENTRY)
        self._index = known
        self._live = live
        self._progress = progress
        self._made: list[bytes] = []
        self._whole = True

    def segments(self, sealed: list[dict[str, Any]] | None) -> Iterator[Damage]:
        """Yield the damages of all segments; `sealed`: as the manifest says."""
        paths = segments_of(self._folder)
        for number, path in enumerate(paths):
            if int(path.stem) != number:
                lost = self._folder / f"{number:06d}.seg"
                yield Damage(lost, "it is missing")
                break
        seals = {one["name"]: one for one in sealed or ()}
        for path in paths:
            if sealed is not None and path.name not in seals:
                yield Damage(path, "it is not part of the run")
            else:
                yield from self._segment(path, seals.pop(path.name, None))
        for name in seals:
            yield Damage(self._folder / name, "it is missing")

    def _segment(self, path: Path, sealed: dict[str, Any] | None) -> Iterator[Damage]:
        segment = Segment(path)
        begun = any(segment.data[:LINE])
        if segment.why and (begun or not self._live):
            yield Damage(path, segment.why, offset=0)
        elif segment.number not in (int(path.stem), -1):
            yield Damage(path, f"it says that it is segment {segment.number}", offset=0)
        seal = xxhash.xxh3_128(segment.data[:LINE])
        first, end = self.record, LINE
        stop = self._indexed_end(int(path.stem)) if self._live else None
        for found in segment.stretches(stop):
            yield from self._stretch(segment, found)
            seal.update(segment.data[found.offset : found.offset + LINE])
            end = found.offset + found.size
            self._progress(found.size)
        if segment.first_record not in (first, -1):
            yield Damage(path, f"it does not begin with record {first}", offset=0)
        if sealed is not None:
            yield from _sealed(segment, end, self.record - first, seal, sealed)

    def _stretch(self, segment: Segment, found: Stretch) -> Iterator[Damage]:
        head = found.head
        if head is None or not found.good:
            self._whole = False
            yield self._damage(segment, found)
            self.record = head.record + 1 if head is not None else self.record + 1
            return
        if head.record != self.record:
            yield Damage(
                segment.path,
                f"record {self.record} should be here",
                head.record,
                found.offset,
            )
        self.record = head.record + 1
        number = int(segment.path.stem)
        try:
            entry = entry_from(head, segment.body(found), number, found.offset)
        except RunError as error:
            self._whole = False
            yield Damage(segment.path, str(error), head.record, found.offset)
        else:
            self._made.append(entry.tobytes())

    def _damage(self, segment: Segment, found: Stretch) -> Damage:
        record = self.record if found.head is None else found.head.record
        first = last = -1
        if record < len(self._known):
            entry = self._known[record]
            first, last = int(entry["first"]), int(entry["last"])
        elif found.head is not None:
            first = found.head.first
            last = first + found.head.n - 1
        return Damage(segment.path, found.why, record, found.offset, first, last)

    def _indexed_end(self, segment: int) -> int:
        mine = self._known[self._known["segment"] == segment]
        return int(mine["offset"][-1] + mine["size"][-1]) if len(mine) else LINE

    def index(self) -> Iterator[Damage]:
        """Yield what is wrong with the index, judged by the segments."""
        path = self._folder / INDEX
        if not self._whole:
            return  # there is nothing to judge it by; its digest is looked at
        made = b"".join(self._made)
        if self._index == made:
            return
        for record in range(len(made) // _SIZE):
            part = slice(record * _SIZE, (record + 1) * _SIZE)
            if self._index[part] != made[part]:
                yield Damage(
                    path, "its entry is not that of the record", record, part.start
                )
                return
        yield Damage(path, f"it goes on behind the last record, at {len(made)} bytes")


def _sealed(
    segment: Segment, end: int, records: int, seal: Any, said: dict[str, Any]
) -> Iterator[Damage]:
    """Compare a segment with what the manifest says of it."""
    for what, found in (
        ("bytes", segment.size),
        ("records", records),
        ("seal", seal.hexdigest()),
    ):
        if said[what] != found:
            yield Damage(
                segment.path,
                f"{what}: the manifest says {said[what]}, found {found}",
                offset=end,
            )
            return


def _count(folder: Path, said: dict[str, Any], walk: _Walk) -> Iterator[Damage]:
    if said.get("records", walk.record) != walk.record:
        yield Damage(
            folder / manifest.NAME,
            f"it speaks of {said['records']} records, found {walk.record}",
        )


def _files(folder: Path, said: dict[str, Any], progress: Progress) -> Iterator[Damage]:
    """Compare the other files with their digests in the manifest."""
    there = manifest.others(folder)
    for name, file in said["files"].items():
        path = there.pop(name, None)
        if path is None:
            yield Damage(folder / name, "it is missing")
        elif manifest.digest_of(path) != file["digest"]:
            yield Damage(path, "it was changed: it does not fit its digest")
        progress(file["bytes"])
    for path in there.values():
        yield Damage(path, "it is not part of the run")


def _index_of(folder: Path) -> bytes:
    try:
        return (folder / INDEX).read_bytes()
    except FileNotFoundError:
        return b""
