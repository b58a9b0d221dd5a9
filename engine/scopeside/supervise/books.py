"""The books of a run: what every acquisition came to, and what the whole did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from scopeside.edge import POLICY_CAUSES
from scopeside.ledger import Account, FrameRanges

MAX_BOOKS = 1000
"""Acquisitions that are kept one by one."""


@dataclass(slots=True)
class Book:
    """One acquisition that is over."""

    id: str
    state: str
    reason: str
    acquisition: dict[str, Any]
    ingest: dict[str, Any]
    edges: dict[str, Account]
    results: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    merged_runs: dict[str, list[list[int]]] = field(default_factory=dict)
    channels: dict[str, dict[str, int]] = field(default_factory=dict)
    params: dict[str, list[list[int]]] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Frames received."""
        received: int = self.ingest["received"]
        return received

    @property
    def size(self) -> int:
        """Bytes received."""
        return _size(self.acquisition, self.ingest)

    @property
    def closed(self) -> bool:
        """Whether every frame of it ended in exactly one place, on every edge."""
        return all(account.closed for account in self.edges.values())

    @property
    def sound(self) -> bool:
        """Whether it is complete and nothing was lost but what the edges allow."""
        return (
            self.state == "complete"
            and self.closed
            and not self.problems
            and not any(
                account.failed or account.dropped.keys() - POLICY_CAUSES
                for account in self.edges.values()
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return {
            "state": self.state,
            "reason": self.reason,
            "closed": self.closed,
            "acquisition": self.acquisition,
            "ingest": self.ingest,
            "edges": {name: account.to_dict() for name, account in self.edges.items()},
            "results": self.results,
            "problems": self.problems,
            "processed_runs": self.merged_runs,
            "channels": self.channels,
            "params": self.params,
        }


def book_of(closed: dict[str, Any], orphaned_as: str | None = None) -> Book:
    """Make the book of an acquisition from the collector's last word on it.

    `orphaned_as`: the adapter is gone. What it announced and the collector has not
    merged failed for this cause.
    """
    ledger = closed["ledger"]
    edges = {}
    for name, values in ledger["edges"].items():
        account = Account.from_dict(values)
        if orphaned_as is not None:
            said = closed["account"].get(name, {"merged": [], "failed": {}})
            account.processed = len(FrameRanges((a, b) for a, b in said["merged"]))
            account.failed = Counter(
                {
                    cause: len(FrameRanges((a, b) for a, b in runs))
                    for cause, runs in said["failed"].items()
                }
            )
            account.failed[orphaned_as] += account.in_flight
            account.failed = +account.failed
        edges[name] = account
    return Book(
        id=closed["acq"],
        state=ledger["state"],
        reason=ledger["reason"],
        acquisition=ledger["acquisition"],
        ingest=ledger["ingest"],
        edges=edges,
        results=closed["results"],
        problems=closed["problems"],
        merged_runs={
            name: said["merged"][:1000] for name, said in closed["account"].items()
        },
        channels=closed.get("channels", {}),
        params=ledger.get("params", {}),
    )


class Books:
    """The acquisitions of a run that are over; of the oldest only the totals."""

    def __init__(self) -> None:
        self._kept: dict[str, Book] = {}
        self._older: dict[str, Account] = {}
        self._older_frames = 0
        self._older_bytes = 0
        self.count = 0
        self.channels: dict[str, Counter[str]] = {}
        self.first_unsound: Book | None = None
        self.all_closed = True

    def add(self, book: Book) -> None:
        """Put a book in; beyond `MAX_BOOKS` the oldest is folded into the totals."""
        self._kept[book.id] = book
        self.count += 1
        for name, account in book.channels.items():
            counted = {key: account[key] for key in ("joined", "without_sample")}
            self.channels.setdefault(name, Counter()).update(counted)
        self._judge(book)
        if len(self._kept) > MAX_BOOKS:
            oldest = self._kept.pop(next(iter(self._kept)))
            _add(self._older, oldest.edges)
            self._older_frames += oldest.frames
            self._older_bytes += oldest.size

    def amend(
        self, name: str, edges: Mapping[str, Account], problems: Iterable[str]
    ) -> None:
        """Put in what became known of an acquisition after it was over."""
        book = self._kept.get(name)
        if book is None:
            return  # folded into the totals long ago
        book.edges.update(edges)
        book.problems += problems
        self._judge(book)

    def _judge(self, book: Book) -> None:
        self.all_closed = self.all_closed and book.closed
        if self.first_unsound is None and not book.sound and book.state != "stopped":
            self.first_unsound = book

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    @property
    def ids(self) -> list[str]:
        """The acquisitions that are kept."""
        return list(self._kept)

    def __iter__(self) -> Iterator[Book]:
        return iter(self._kept.values())

    def newest(self, most: int | None) -> list[Book]:
        """Return the last `most` that are kept, oldest first; None: all."""
        kept = self._kept.values()
        if most is None:
            return list(kept)
        return list(islice(reversed(kept), most))[::-1]

    @property
    def last(self) -> Book | None:
        """The acquisition that was over last."""
        return next(reversed(self._kept.values()), None)

    def accounts(self, open_ones: Mapping[str, Any]) -> dict[str, Account]:
        """Return the accounts of all acquisitions together, by edge.

        `open_ones`: those under way, as their adapter has them on its board.
        """
        found: dict[str, Account] = {}
        _add(found, self._older)
        for book in self:
            _add(found, book.edges)
        for one in open_ones.values():
            edges = one["edges"].items()
            _add(found, {name: Account.from_dict(values) for name, values in edges})
        return found

    def received(self, open_ones: Mapping[str, Any]) -> tuple[int, int]:
        """Return frames and bytes received in all acquisitions together."""
        frames, size = self._older_frames, self._older_bytes
        for book in self:
            frames += book.frames
            size += book.size
        for one in open_ones.values():
            frames += one["ingest"]["received"]
            size += _size(one["acquisition"], one["ingest"])
        return frames, size


def _add(into: dict[str, Account], edges: Mapping[str, Account]) -> None:
    for name, account in edges.items():
        total = into.setdefault(name, Account())
        total.announced += account.announced
        total.processed += account.processed
        total.dropped.update(account.dropped)
        total.failed.update(account.failed)


def _size(acquisition: Mapping[str, Any], ingest: Mapping[str, Any]) -> int:
    """Return how many bytes came; an event has 8, and so has a word."""
    if acquisition.get("encoding") in ("events", "packed"):
        return 8 * int(ingest["events"])
    height, width = acquisition["shape"]
    pixel = np.dtype(acquisition["dtype"]).itemsize
    return int(ingest["received"]) * int(height * width * pixel)
