"""The audit log on the page: search, story, and whether the chain holds."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scopeside.control.audit_follow import Follower
from scopeside.control.audit_read import Entry, about, id_of
from scopeside.control.audit_search import Search, Wanted
from scopeside.control.audit_story import story
from scopeside.control.audit_table import Row
from scopeside.dashboard.guard_told import with_minus
from scopeside.dashboard.guard_watch import GuardWatch
from scopeside.dashboard.page import Page
from scopeside.errors import AuditError

log = logging.getLogger(__name__)

PIECE_S = 0.25
"""So long one question reads; the tab asks for the next piece."""
MOST_ROWS = 100
MOST_SEARCHES = 8
"""That can be gone on with; beyond, the one not asked for longest is let go."""
MOST_STORIES = 20
CHECK_S = 0.02
"""So long the chain is followed at once …"""
CHECK_EVERY_S = 0.25
"""… and so often: it takes no more than a tenth of a core."""


class AuditAsked:
    """The questions ``audit`` and ``explain``, and the topic ``audit_checked``."""

    def __init__(self, page: Page, watch: GuardWatch) -> None:
        self._page, self._watch = page, watch
        self._lock = threading.Lock()
        self._searches: OrderedDict[str, tuple[threading.Lock, Search]] = OrderedDict()
        self._asked = threading.Event()
        self._follower: Follower | None = None
        self._given_up: Path | None = None  # a log at which checking itself failed
        page.questions["audit"] = self._search
        page.questions["explain"] = self._explain
        threading.Thread(target=self._check, name="audit", daemon=True).start()

    def _path(self) -> Path:
        """Return where the log lies: the guard says it, never who asks."""
        if self._watch.audit is None:
            raise AuditError("no guard has said yet where its audit log lies")
        return self._watch.audit

    def _search(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Begin a search, or go on with one: ``more`` is what it is called."""
        self._asked.set()
        name = asked.get("more") or self._begin(asked)
        with self._lock:
            if name not in self._searches:
                raise AuditError("that search was let go meanwhile: search again")
            self._searches.move_to_end(name)
            lock, search = self._searches[name]
        with lock:
            found = search.more(MOST_ROWS, PIECE_S)
        return {
            "path": str(search.path),
            "rows": [row_told(*one) for one in found.rows],
            "looked_at": found.looked_at,
            "left": found.left,
            "back_to_ms": None if found.back_to_ns is None else found.back_to_ns / 1e6,
            "more": None if found.over else name,
        }

    def _begin(self, asked: Mapping[str, str]) -> str:
        name = uuid.uuid4().hex
        search = Search(self._path(), wanted_of(asked))
        with self._lock:
            self._searches[name] = threading.Lock(), search
            while len(self._searches) > MOST_SEARCHES:
                self._searches.popitem(last=False)
        return name

    def _explain(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Tell the story of a proposal's id, or of a record's number."""
        found = about(self._path(), asked["id"][:500])
        return {"stories": [story(entry) for entry in found[-MOST_STORIES:]]}

    # -- the chain --------------------------------------------------------------

    def _check(self) -> None:
        """Follow the chain, once somebody has looked at the log."""
        while not self._page.over.wait(CHECK_EVERY_S):
            path = self._watch.audit
            if not self._asked.is_set() or path is None or path == self._given_up:
                continue
            if self._follower is None or self._follower.path != path:
                self._follower = Follower(path)
            try:
                self._tell(self._follower)
            except AuditError as error:
                self._page.tell("audit_checked", {"failed": str(error)})
            except Exception:
                log.exception("the audit log could not be checked")
                self._page.tell("audit_checked", {"failed": "it cannot be checked"})
                self._given_up = path

    def _tell(self, follower: Follower) -> None:
        found = follower.more(CHECK_S)
        self._page.tell(
            "audit_checked",
            {
                "path": str(follower.path),
                "records": found.records,
                "n": found.n,
                "hash": found.hash,
                "faults": [str(fault) for fault in found.faults],
                "n_faults": found.n_faults,
                "left_bytes": found.left_bytes,
            },
        )


def row_told(entry: Entry, shown: Row) -> dict[str, Any]:
    """Return a row as tabs show it."""
    told = shown._asdict()
    about_what = id_of(entry.record)
    told |= {name: with_minus(told[name]) for name in ("what", "reason")}
    return {**told, "id": about_what, "t_ms": entry.record["t_ns"] / 1e6}


def wanted_of(asked: Mapping[str, str]) -> Wanted:
    """Return what is looked for, of what stands behind the ``?``.

    Raises
    ------
    ValueError
        If a time is no number of ms.
    """
    texts = {
        name: asked.get(name, "").strip()[:200]
        for name in ("text", "action", "state", "who", "id")
    }
    since, until = asked.get("from_ms"), asked.get("to_ms")
    return Wanted(
        **texts,
        from_ns=int(float(since) * 1e6) if since else None,
        to_ns=int(float(until) * 1e6) if until else None,
    )
