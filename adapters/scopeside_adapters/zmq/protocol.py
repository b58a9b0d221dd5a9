"""The public frame wire without I/O: one multipart message in, events out.

::

    [0] 4 bytes   'S' 'F', version (1), kind
    [1] msgpack   header
    [2…] bytes    BATCH only: pixels, then int64 indices, then int64 time stamps

START begins an acquisition, BATCH brings frames, GAP says which will not come, END
closes it with the total. docs/wire.md has every field and every cause of refusal.

Each message stands alone: one that is refused changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import xxhash

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState
from scopeside.errors import ShapeError
from scopeside.ledger import FrameRanges
from scopeside.scan import Scan
from scopeside.wire import Buffer, Kind, Message, decode
from scopeside_adapters.zmq.events import (
    Event,
    FramesReceived,
    GapDeclared,
    SequenceBroken,
    SeriesEnded,
    SeriesResumed,
    SeriesStarted,
)
from scopeside_adapters.zmq.fields import MOST_INT64, Fields

CODECS = ("raw",)
MAX_BATCH = 1 << 16
"""Frames in one BATCH."""
MAX_INDEX = (1 << 53) - 1
"""Of a frame: what a double can still count exactly."""
MAX_EXPECTED = 1 << 28
"""Frames that a START may promise; processors make room for them."""
MAX_FRAME_BYTES = 1 << 32
MAX_START_BYTES = 1 << 14
"""Of a START's header: it is kept in the ledger of the run."""
MAX_CAUSES = 16
"""Different causes of the GAPs of one acquisition; those beyond count as ``other``."""
_END_STATES = "|".join(get_args(EndState))


class Parser:
    """Turns messages into events. Owns no socket, clock or thread."""

    def __init__(self) -> None:
        self._open: Acquisition | None = None
        self._epoch = 0
        self._seen = FrameRanges()  # numbers of batches, of this epoch
        self._causes: set[str] = set()
        self._over: dict[str, str] = {}

    def feed(self, parts: Sequence[Buffer]) -> list[Event]:
        """Return what one message says.

        Raises
        ------
        ProtocolError
            If it cannot be taken. The next message may be taken all the same.
        """
        message = decode(parts)
        fields = Fields(message.kind, message.header)
        if message.kind is Kind.BATCH:
            return self._batch(fields, message)
        if message.kind is Kind.START:
            return [self._start(fields, len(parts[1]))]
        if message.kind is Kind.GAP:
            return [self._gap(fields)]
        if message.kind is Kind.END:
            return [self._end(fields)]
        if message.kind is Kind.PARAM:
            raise fields.refusal(
                "unsupported_kind",
                "parameters cannot change within an acquisition; begin another one",
            )
        raise fields.refusal(
            "wrong_kind", "not for producers, who send START, BATCH, GAP and END"
        )

    def abandon(self, why: str) -> None:
        """Take nothing more of the acquisition that is open."""
        if self._open is not None:
            self._over[self._open.id] = why
            self._open = None

    # ---------------------------------------------------------------------------

    def _start(
        self, fields: Fields, header_bytes: int
    ) -> SeriesStarted | SeriesResumed:
        if header_bytes > MAX_START_BYTES:
            raise fields.refusal(
                "oversized",
                f"the header has at most {MAX_START_BYTES} bytes, got {header_bytes}",
            )
        acquisition = _acquisition(fields)
        epoch = _epoch(fields)
        if self._open is not None and self._open.id == acquisition.id:
            return self._resume(fields, self._open, acquisition, epoch)
        self.abandon("the producer began another")
        self._over.pop(acquisition.id, None)
        self._open, self._epoch = acquisition, epoch
        self._seen = FrameRanges()
        self._causes = set()
        return SeriesStarted(acquisition, epoch)

    def _resume(
        self, fields: Fields, known: Acquisition, again: Acquisition, epoch: int
    ) -> SeriesResumed:
        if epoch < self._epoch:
            raise fields.refusal(
                "stale_epoch", f"expected epoch {self._epoch} or above, got {epoch}"
            )
        if epoch == self._epoch:
            raise fields.refusal(
                "duplicate",
                f"acquisition {known.id!r} has begun in epoch {epoch} already; a "
                "producer that was restarted says a higher epoch",
            )
        if _what_frames_are(known) != _what_frames_are(again):
            raise fields.refusal(
                "wrong_header",
                f"acquisition {known.id!r} is open with other frames or another scan; "
                "give the new one an id of its own",
            )
        self._epoch = epoch
        self._seen = FrameRanges()
        return SeriesResumed(known, epoch)

    def _batch(self, fields: Fields, message: Message) -> list[Event]:
        n = fields.frames = fields.whole("n", 1, MAX_BATCH)
        acquisition = self._addressed(fields)
        _check_layout(fields, acquisition)
        frames = _frames(fields, message.payload, n, n * acquisition.frame_bytes)
        seq = fields.whole("seq", 0, MAX_INDEX, None)
        if seq is not None and self._seen.overlaps(seq, seq):
            raise fields.refusal("duplicate", f"batch {seq} came before")
        _check_digest(fields, frames.pixels)
        return [frames] if seq is None else [*self._in_sequence(seq), frames]

    def _in_sequence(self, seq: int) -> list[Event]:
        """Say what is odd about batch `seq` coming now, and note that it came."""
        highest = self._seen.highest
        self._seen.add(seq, seq)
        if seq == highest + 1:
            return []
        if seq < highest:
            text = f"batch {seq} came after batch {highest}; new frames are taken"
            return [SequenceBroken("out_of_order", text)]
        missing = f"{seq - highest - 1} batch(es) before it have not come"
        return [SequenceBroken("missing_batches", f"batch {seq} came, {missing}")]

    def _gap(self, fields: Fields) -> GapDeclared:
        self._addressed(fields)
        first = fields.whole("first", 0, MAX_INDEX)
        last = fields.whole("last", first, MAX_INDEX)
        cause = fields.text("cause", "[a-z][a-z0-9_]{0,31}", "lost_by_producer")
        if cause not in self._causes and len(self._causes) >= MAX_CAUSES:
            cause = "other"
        self._causes.add(cause)
        return GapDeclared(first, last, cause)

    def _end(self, fields: Fields) -> SeriesEnded:
        self._addressed(fields)
        total = fields.whole("total", 0, MAX_INDEX + 1)
        state: EndState = fields.text("state", _END_STATES, "complete")
        reason = fields.text("reason", ".{0,1000}", "")
        self.abandon("it has ended")
        return SeriesEnded(total, state, reason)

    def _addressed(self, fields: Fields) -> Acquisition:
        """Return the acquisition that a message belongs to."""
        name = fields.text("acq", ".{1,64}")
        epoch = _epoch(fields)
        if name in self._over:
            raise fields.refusal(
                "after_end", f"acquisition {name!r} is over: {self._over[name]}"
            )
        if self._open is None or self._open.id != name:
            raise fields.refusal(
                "not_started", f"no START came for acquisition {name!r}"
            )
        if epoch < self._epoch:
            raise fields.refusal(
                "stale_epoch", f"expected epoch {self._epoch}, got {epoch}"
            )
        if epoch > self._epoch:
            raise fields.refusal(
                "not_started", f"no START came for epoch {epoch} of {name!r}"
            )
        return self._open


def _epoch(fields: Fields) -> int:
    epoch: int = fields.whole("epoch", 0, MAX_INDEX, 0)
    return epoch


def _acquisition(fields: Fields) -> Acquisition:
    values = fields.table("acquisition")
    about = Fields(Kind.START, values)
    about.text("dtype", "[<|][uif][1248]")
    about.text("id", ".{1,200}")
    about.text("detector", ".{0,200}", "")
    about.whole("started_ns", 0, MOST_INT64, None)
    try:
        found = Acquisition.from_dict(values)
    except (ShapeError, ValueError, TypeError, OverflowError) as error:
        raise fields.refusal("wrong_header", str(error)) from error
    if found.encoding != "frames":
        raise fields.refusal(
            "wrong_header", f"this wire carries frames, not {found.encoding}"
        )
    expected = max(found.frames or 0, 0 if found.scan is None else _room(found.scan))
    if found.frame_bytes > MAX_FRAME_BYTES or expected > MAX_EXPECTED:
        raise fields.refusal(
            "oversized",
            f"a frame has at most {MAX_FRAME_BYTES} bytes and an acquisition "
            f"{MAX_EXPECTED} expected frames, got {found.frame_bytes} and {expected}",
        )
    return found


def _room(scan: Scan) -> int:
    """Return for how many frames, or positions, a scan has results make room.

    Listed positions may be few in a scan that is vast, and an offset may be negative.
    """
    place = max(scan.period, abs(scan.offset))  # these are counted with in int64
    return max(scan.frames, place, math.prod(scan.result_shape))


def _what_frames_are(acquisition: Acquisition) -> tuple[Any, ...]:
    """Return what cannot change while an acquisition is open."""
    return (
        acquisition.kind,
        acquisition.frame_shape,
        acquisition.dtype,
        acquisition.frames,
        acquisition.scan,
    )


def _check_layout(fields: Fields, acquisition: Acquisition) -> None:
    codec, shape, dtype = (fields.any(name) for name in ("codec", "shape", "dtype"))
    if codec is not None and codec not in CODECS:
        raise fields.refusal(
            "unsupported_codec",
            f"codec is one of {', '.join(CODECS)}, not {codec!r:.40}",
        )
    expected = list(acquisition.frame_shape)
    if shape != expected:
        raise fields.refusal(
            "wrong_shape", f"START said shape {expected}, not {shape!r:.80}"
        )
    # NumPy writes a single byte as |u1, others as <u1: both are meant.
    if str(dtype).replace("|", "<") != acquisition.dtype.str.replace("|", "<"):
        raise fields.refusal(
            "wrong_dtype", f"START said {acquisition.dtype.str!r}, not {dtype!r:.40}"
        )


def _frames(
    fields: Fields, payload: list[memoryview], n: int, size: int
) -> FramesReceived:
    """Return the frames of a BATCH after a look at all but the pixels."""
    indexed, stamped = (fields.any(name) is True for name in ("index", "t_ns"))
    wanted = [size] + [8 * n] * (indexed + stamped)
    found = [part.nbytes for part in payload]
    if found != wanted:
        cause = "truncated" if sum(found) < sum(wanted) else "oversized"
        raise fields.refusal(cause, f"expected payload of {wanted} bytes, got {found}")
    index = payload[1] if indexed else None
    first = 0 if indexed else fields.whole("first", 0, MAX_INDEX + 1 - n)
    if index is not None:
        _check_numbers(fields, "index", index, MAX_INDEX)
    dt_ns = fields.whole("dt_ns", 0, MOST_INT64 // (2 * MAX_BATCH), 0)
    if not stamped:
        t_ns = fields.whole("t_ns", 0, MOST_INT64 // 2, None)
        return FramesReceived(n, first, payload[0], index, t_ns, dt_ns)
    _check_numbers(fields, "t_ns", payload[-1], MOST_INT64)
    return FramesReceived(n, first, payload[0], index, payload[-1])


def _check_numbers(fields: Fields, name: str, part: memoryview, most: int) -> None:
    numbers = np.frombuffer(part, "<i8")
    if numbers.min() < 0 or numbers.max() > most:
        raise fields.refusal(
            "wrong_header",
            f"'{name}' is from 0 to {most}, not {numbers.min()} to {numbers.max()}",
        )


def _check_digest(fields: Fields, pixels: memoryview) -> None:
    said = fields.any("digest")
    if said is None:
        return
    found = xxhash.xxh3_64_intdigest(pixels)
    if type(said) is int and said == found:
        return
    if isinstance(said, str) and said.lower() == f"{found:016x}":
        return
    raise fields.refusal(
        "wrong_digest",
        f"the pixels have the xxh3-64 {found:016x}, not {said!r:.40}",
    )
