"""Writes ASI's sparse stream; `csr.py` draws its messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator

import numpy as np

from scopeside_adapters.timepix3.synthetic import SyntheticScan

_HEADER = 32
_U8, _U16, _U32 = 2, 3, 4
_FRAMES = 64


def acquisition_start(
    scan_shape: tuple[int, int],
    frame_shape: tuple[int, int],
    sequence: int = 0,
    *,
    version: int = 7,
    form: int = 0,
    bounds: int = _U32,
    indices: int = _U32,
) -> bytes:
    """Return the message with which an acquisition begins."""
    return _padded(
        struct.pack(
            "<BBBHHBHHBI", 0, version, form, *scan_shape, bounds, *frame_shape, indices,
            sequence,
        )
    )  # fmt: skip


def scan_start(sequence: int, metadata: dict[str, object]) -> bytes:
    """Return the message with which a scan begins."""
    text = json.dumps(metadata).encode()
    return _padded(struct.pack("<BIQ", 1, sequence, len(text))) + text


def array_chunk(scan: SyntheticScan, first: int, frames: int) -> bytes:
    """Return the message of some frames of a scan: one value of 1 for each hit."""
    hits = scan.hits
    mine = (hits.position >= first) & (hits.position < first + frames)
    position, index = hits.position[mine] - first, scan.address()[mine]
    order = np.argsort(position, kind="stable")
    bounds = np.concatenate([[0], np.bincount(position, minlength=frames).cumsum()])
    parts = [
        bounds.astype("<u4").tobytes(),
        index[order].astype("<u4").tobytes(),
        np.ones(len(index), "<u1").tobytes(),
    ]
    at = len(parts[0]), len(parts[0]) + len(parts[1])
    head = struct.pack("<BBIIII", 2, _U8, frames, len(index), *at)
    return _padded(head) + b"".join(parts)


def scan_end(sequence: int) -> bytes:
    """Return the message with which a scan ends."""
    return _padded(struct.pack("<BI", 3, sequence))


def acquisition_end(sequence: int) -> bytes:
    """Return the message with which an acquisition ends."""
    return _padded(struct.pack("<BI", 4, sequence))


def messages(scans: Iterable[SyntheticScan]) -> Iterator[bytes]:
    """Yield an acquisition of scans."""
    begun = False
    for number, scan in enumerate(scans):
        if not begun:
            begun = True
            yield acquisition_start(scan.beam.shape, scan.layout.shape)
        positions = scan.beam.shape[0] * scan.beam.shape[1]
        yield scan_start(number, {"scan": number})
        for first in range(0, positions, _FRAMES):
            yield array_chunk(scan, first, min(_FRAMES, positions - first))
        yield scan_end(number)
    yield acquisition_end(0)


def _padded(head: bytes) -> bytes:
    return head.ljust(_HEADER, b"\0")
