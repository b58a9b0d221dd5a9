"""What a run on disk says of itself to a recorder that goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from scopeside.ledger import FrameRanges
from scopeside.runs.form import LINE, RecordHead, unpack
from scopeside.runs.scan import entries_of
from scopeside.wire import Kind

LAST = 64
"""More than a recorder can have written without having said so."""


@dataclass(slots=True)
class Remembered:
    """What is on disk.

    Attributes
    ----------
    frames
        Those that are on disk.
    gaps
        (first, last, cause) of those that the recorder has given up.
    changes
        Of parameters, as in START and PARAM.
    done
        The highest batch (epoch, seq) that is written, or given up on disk.
    given_up
        (epoch, first batch, last batch, cause) of the gaps.
    last
        The last batches: epoch, seq, frames.
    ended
        Whether there is an END.
    """

    frames: FrameRanges = field(default_factory=FrameRanges)
    bytes: int = 0
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    done: tuple[int, int] = (0, -1)
    given_up: list[tuple[int, int, int, str]] = field(default_factory=list)
    last: list[tuple[int, int, int]] = field(default_factory=list)
    ended: bool = False


def remember(folder: Path) -> Remembered:
    """Return what the records of a run say; of most batches the index is enough."""
    found = Remembered()
    entries = entries_of(folder)
    batch = entries["kind"] == Kind.BATCH
    whole = batch & (entries["last"] - entries["first"] + 1 == entries["n"])
    for first, last in _runs(entries[whole]):
        found.frames.add(first, last)
    found.bytes = int(entries["size"][batch].sum())
    for entry in entries[~whole]:
        _remember(found, Kind(int(entry["kind"])), folder, entry)
    for entry in entries[batch][-LAST:]:
        header = _header(folder, entry)
        _see(found, header)
        found.last.append((header["epoch"], header["seq"], int(entry["n"])))
    return found


def _runs(entries: npt.NDArray[np.void]) -> list[tuple[int, int]]:
    """Return the frames of batches, those that follow each other as one run."""
    if not len(entries):
        return []
    first, last = entries["first"], entries["last"]
    breaks = np.flatnonzero(first[1:] != last[:-1] + 1) + 1
    begins, ends = np.append(0, breaks), np.append(breaks, len(entries)) - 1
    return list(zip(first[begins].tolist(), last[ends].tolist(), strict=True))


def _remember(found: Remembered, kind: Kind, folder: Path, entry: Any) -> None:
    header, parts = _read(folder, entry)
    _see(found, header)
    match kind:
        case Kind.BATCH:
            for frame in np.frombuffer(parts[1], "<i8").tolist():
                found.frames.add(frame, frame)
        case Kind.START:
            found.changes += header["changes"]
        case Kind.PARAM:
            found.changes.append(header["change"])
        case Kind.END:
            found.ended = True
        case Kind.GAP if "seqs" in header or header.get("seq", -1) < 0:
            found.gaps.append((header["first"], header["last"], header["cause"]))
            if "seqs" in header:
                gap = (header["epoch"], *header["seqs"], header["cause"])
                found.given_up.append(gap)


def _see(found: Remembered, header: Mapping[str, Any]) -> None:
    if header.get("seq", -1) >= 0:
        found.done = max(found.done, (header.get("epoch", 0), header["seq"]))


def _header(folder: Path, entry: Any) -> dict[str, Any]:
    """Return the header of a record, without its payload."""
    with _segment(folder, entry).open("rb") as file:
        file.seek(int(entry["offset"]))
        head = RecordHead.from_bytes(file.read(LINE))
        header: dict[str, Any] = msgpack.unpackb(file.read(head.header_bytes))
        return header


def _read(folder: Path, entry: Any) -> tuple[dict[str, Any], list[memoryview]]:
    with _segment(folder, entry).open("rb") as file:
        file.seek(int(entry["offset"]))
        head = RecordHead.from_bytes(file.read(LINE))
        return unpack(head, file.read(head.body_bytes))


def _segment(folder: Path, entry: Any) -> Path:
    return folder / f"{int(entry['segment']):06d}.seg"
