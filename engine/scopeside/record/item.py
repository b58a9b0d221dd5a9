"""What is on its way to the disk: batches, and what is said between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from scopeside.ledger import FrameRanges, Run
from scopeside.record.notebook import Gap
from scopeside.record.spool import Entry, Spool
from scopeside.runs.message import BatchMessage, message_of
from scopeside.slab import Slab, batch_at
from scopeside.wire import Kind


@dataclass(slots=True, eq=False)
class Item:
    """One thing to be written.

    Attributes
    ----------
    kind
        START, BATCH, GAP, PARAM, or BOOK: the last word on an acquisition.
    epoch, seq
        Under which the tee knows it; seq is -1 for what the tee does not wait for.
    header
        As it was heard.
    runs
        Frames of a batch; those of it that are written, once that is decided.
    message
        Of a BATCH: what is written. It lies in the slab, or in the spool at `entry`.
    gap
        Of a GAP that is the recorder's own.
    since_ns
        When it was heard, monotonic.
    kept
        Of a BATCH that is written in part: so many frames of it.
    begun
        Handed to the writer.
    """

    kind: Kind
    acquisition: str
    epoch: int
    seq: int
    header: Mapping[str, Any]
    since_ns: int
    n: int = 0
    runs: tuple[Run, ...] = ()
    message: BatchMessage | None = None
    entry: Entry | None = None
    gap: Gap | None = None
    kept: int | None = None
    begun: bool = False

    @property
    def size(self) -> int:
        """Bytes that are written of it, about."""
        if self.message is None:
            return 0
        return sum(memoryview(part).nbytes for part in self.message.parts)

    @property
    def in_slab(self) -> bool:
        """Whether it is a batch that lies in the slab."""
        return self.kind is Kind.BATCH and self.entry is None

    def cut_to(self, message: BatchMessage) -> None:
        """Have only a part of the batch written."""
        index = np.frombuffer(message.parts[1], "<i8")
        self.kept, self.message = message.n, message
        self.runs = tuple(FrameRanges((k, k) for k in sorted(index.tolist())))

    @classmethod
    def of_batch(cls, header: Mapping[str, Any], slab: Slab, now_ns: int) -> Self:
        """Return the item of a BATCH that lies in the slab."""
        name, seq = header["acq"], header["seq"]
        message = message_of(
            name, batch_at(slab, dict(header)), seq=seq, change=header["change"]
        )
        runs = tuple((a, b) for a, b in header["runs"])
        return cls(
            Kind.BATCH,
            name,
            header["epoch"],
            seq,
            {"slots": header.get("slots", 0)},
            now_ns,
            header["n"],
            runs,
            message,
        )

    def into(self, spool: Spool, *, spare: int) -> bool:
        """Copy it into the spool; False if that has no room."""
        kept: dict[str, Any] = {
            "kind": int(self.kind),
            "acq": self.acquisition,
            "epoch": self.epoch,
            "seq": self.seq,
            "header": dict(self.header),
            "n": self.n,
            "runs": [list(run) for run in self.runs],
        }
        message = self.message
        if message is not None:
            kept["record"], kept["numbers"] = message.header, list(message[2:])
        parts = [] if message is None else message.parts
        self.entry = spool.append(kept, parts, spare=spare)
        if self.entry is None:
            return False
        self._lie_in(spool)
        return True

    @classmethod
    def out_of(cls, spool: Spool, entry: Entry, now_ns: int) -> Self:
        """Return the item of an entry that a recorder before this one put in."""
        kept, _ = spool.read(entry)
        item = cls(
            Kind(kept["kind"]),
            kept["acq"],
            kept["epoch"],
            kept["seq"],
            kept["header"],
            now_ns,
            kept["n"],
            tuple((a, b) for a, b in kept["runs"]),
            entry=entry,
        )
        item._lie_in(spool)
        return item

    def _lie_in(self, spool: Spool) -> None:
        assert self.entry is not None
        kept, parts = spool.read(self.entry)
        if "record" in kept:
            self.message = BatchMessage(kept["record"], list(parts), *kept["numbers"])


@dataclass(slots=True)
class Answers:
    """What the tee is to be told: `Kind.ACK` of the recorder."""

    done: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    dropped: list[list[Any]] = field(default_factory=list)
    cut: list[list[Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.done or self.released or self.dropped or self.cut)

    def to_header(self) -> dict[str, Any]:
        """Return the fields of the message."""
        return {
            "done": self.done,
            "failed": [],
            "released": self.released,
            "dropped": self.dropped,
            "cut": self.cut,
        }
