"""Searches an audit log from its end, a bounded time at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scopeside.control.audit_read import Entry, entries, id_of, proposal_of
from scopeside.control.audit_table import Row, row


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
        Entries that were looked at since the search began.
    back_to_ns
        Time of the oldest of them.
    over
        Whether there is nothing before.
    """

    rows: tuple[tuple[Entry, Row], ...]
    looked_at: int
    back_to_ns: int | None
    over: bool


class Search:
    """Goes back through a log; each `more` takes up where the last has ended.

    What is written meanwhile is not seen: a search begins at the end as it was. Not for
    two threads at once.
    """

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.path, self.wanted = path, wanted
        self._entries: Iterator[Entry] = entries(path)
        self._looked_at = 0
        self._back_to_ns: int | None = None
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
            entry = next(self._entries, None)
            since = self.wanted.from_ns
            if entry is None or (since is not None and entry.record["t_ns"] < since):
                self._over = True
                break
            self._looked_at += 1
            self._back_to_ns = entry.record["t_ns"]
            shown = row(entry)
            if self.wanted.fits(entry, shown):
                found.append((entry, shown))
        return Found(tuple(found), self._looked_at, self._back_to_ns, self._over)


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
