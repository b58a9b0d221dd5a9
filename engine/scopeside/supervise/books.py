"""The books of a run: what every acquisition came to, and what the whole did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from scopeside.edge import POLICY_CAUSES
from scopeside.ledger import Account, FrameRanges


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
    )


def totals(books: list[Book], open_ones: dict[str, Any]) -> dict[str, Account]:
    """Return the accounts of all acquisitions together, by edge."""
    found: dict[str, Account] = {}
    accounts = [
        *((name, account) for book in books for name, account in book.edges.items()),
        *(
            (name, Account.from_dict(values))
            for one in open_ones.values()
            for name, values in one["edges"].items()
        ),
    ]
    for name, account in accounts:
        into = found.setdefault(name, Account())
        into.announced += account.announced
        into.processed += account.processed
        into.dropped.update(account.dropped)
        into.failed.update(account.failed)
    return found
