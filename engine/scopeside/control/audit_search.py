"""Searches an audit log from its end, a bounded time at once."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scopeside.control.audit_form import EXACT_FAULTS, checked, read
from scopeside.control.audit_read import Entry, id_of, proposal_of
from scopeside.control.audit_sift import Sift, needle_of
from scopeside.control.audit_table import Row, row

_TIME = re.compile(rb'"t_ns":(\d{1,20})')
_CHANGED = tuple(f"changed {fault}".casefold() for fault in EXACT_FAULTS)
"""How a line is shown that is not as it was written."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; what is empty does not matter, case neither.

    Attributes
    ----------
    text
        Anywhere in the record, as it is written or as it is shown.
    action, state
        What was asked for, and what has become of it: beginnings of these words.
    who
        A person, a rule or a policy; part of the name.
    from_ns, to_ns
        When it was written.
    """

    text: str = ""
    action: str = ""
    state: str = ""
    who: str = ""
    id: str = ""
    from_ns: int | None = None
    to_ns: int | None = None

    @property
    def needle(self) -> bytes:
        """What a line has to hold that brings an entry that fits; empty: anything."""
        return needle_of((self.text, self.action, self.state, self.who, self.id))

    @property
    def may_be_changed(self) -> bool:
        """Whether a line fits, perhaps, because it is not as it was written."""
        text, state = self.text.casefold(), self.state.casefold()
        asked_for = bool(state) and "changed".startswith(state)
        return asked_for or any(_meet(text, fault) for fault in _CHANGED)

    def fits(self, entry: Entry, shown: Row) -> bool:
        """Whether an entry is what is looked for."""
        record = entry.record
        if self.to_ns is not None and record["t_ns"] > self.to_ns:
            return False
        if self.id and self.id.casefold() not in _ids(entry):
            return False
        action = _action(record).casefold()
        return (
            action.startswith(self.action.casefold())
            and shown.verdict.casefold().startswith(self.state.casefold())
            and (not self.who or self.who.casefold() in _whos(entry, shown))
            and (not self.text or self.text.casefold() in _all_of(entry, shown))
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of what a search has found.

    Attributes
    ----------
    looked_at
        Records that were looked at since the search began.
    left
        Share of the log, by size, that was not looked at yet.
    back_to_ns
        Time of the oldest of them.
    over
        Whether there is nothing before.
    """

    rows: tuple[tuple[Entry, Row], ...]
    looked_at: int
    left: float
    back_to_ns: int | None
    over: bool


class Search:
    """Goes back through a log; each `more` takes up where the last has ended.

    What is written meanwhile is not seen: a search begins at the end as it was. Not for
    two threads at once.
    """

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.path, self.wanted = path, wanted
        self._sift = Sift(path, wanted.needle)
        self._entries = iter(self._sift)
        self._size = path.stat().st_size if path.exists() else 0
        self._looked_at = self._bytes = 0
        self._may_be_changed = wanted.may_be_changed
        self._over = False

    def more(self, count: int, seconds: float) -> Found:
        """Return the next `count` entries, or what was found within `seconds`.

        Raises
        ------
        AuditError
            If the file cannot be read.
        """
        found: list[tuple[Entry, Row]] = []
        until = time.monotonic() + seconds
        while len(found) < count and not self._over and time.monotonic() < until:
            if (entry := self._next()) is not None:
                found += self._fitting(entry)
        left = max(0.0, 1 - self._bytes / self._size) if self._size else 0.0
        back_to_ns = _time_of(self._sift.line)
        return Found(tuple(found), self._looked_at, left, back_to_ns, self._over)

    def _next(self) -> Entry | None:
        """Look at one record more; return its entry if it may fit."""
        try:
            entry = next(self._entries)
        except StopIteration:
            self._over = True
            return None
        line, since = self._sift.line, self.wanted.from_ns
        if since is not None and _is_before(line, since):
            self._over = True
            return None
        self._looked_at += 1
        self._bytes += len(line)
        return entry

    def _fitting(self, entry: Entry) -> list[tuple[Entry, Row]]:
        """Return an entry and how it is shown if it fits, else nothing."""
        shown = row(entry)
        if not (self._may_be_changed or self.wanted.fits(entry, shown)):
            return []
        # The hash takes longer than all the rest: only of what is shown.
        record, fault = checked(entry.record, self._sift.line)
        if record is None:
            return []
        if fault:
            entry = replace(entry, fault=fault)
            shown = row(entry)
        return [(entry, shown)] if self.wanted.fits(entry, shown) else []


def _is_before(line: bytes, t_ns: int) -> bool:
    times = [int(found) for found in _TIME.findall(line)]
    return bool(times) and max(times) < t_ns


def _time_of(line: bytes) -> int | None:
    """Return when a line was written; None: it does not say."""
    record = read(line).record
    return None if record is None else record["t_ns"]


def _meet(text: str, other: str) -> bool:
    """Whether two texts can lie over each other in a third, if only by their ends."""
    ends = [(text[:n], text[-n:]) for n in range(1, len(text) + 1)]
    by_ends = any(other.endswith(a) or other.startswith(b) for a, b in ends)
    return by_ends or bool(text and text in other)


def _ids(entry: Entry) -> str:
    return f"{entry.record['n']} {id_of(entry.record)}".casefold()


def _action(record: dict[str, Any]) -> str:
    found = proposal_of(record).get("action", record.get("action", record.get("ask")))
    return str(found or record.get("what", ""))


def _whos(entry: Entry, shown: Row) -> str:
    said = [str(one.get("who", "")) for one in (entry.record, *entry.later)]
    return " ".join([shown.who, *said]).casefold()


def _all_of(entry: Entry, shown: Row) -> str:
    written = json.dumps([entry.record, *entry.later], ensure_ascii=False)
    return f"{' '.join(shown)} {written}".casefold()
