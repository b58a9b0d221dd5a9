"""Results that are no images: numbers, short tables, and what can be plotted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from scopeside.dashboard.cells import heads_of, is_cells, rounded, rows_of
from scopeside.dashboard.lines import lines_of
from scopeside.dashboard.page import Page
from scopeside.dashboard.shelf import Shown
from scopeside.errors import ScopesideError
from scopeside.result import Result

EVERY_S = 0.25
MOST = 48
"""Results that are shown; those beyond are counted."""
MOST_KEPT = 512
"""As many as the shelf has; the one that came first makes room."""
MOST_ROWS = 8
MOST_COLUMNS = 8
_PLOTTED = 3
"""From so many rows on, values can be plotted."""


class Values:
    """Says under the topic ``values`` what there is, four times a second at most.

    The question ``series`` (``key``) gives the points of one of them, so that what
    nobody looks at costs nothing.
    """

    def __init__(self, page: Page, clock: Callable[[], float] = time.monotonic) -> None:
        self._page, self._clock = page, clock
        self._lock = threading.Lock()
        self._shown: dict[str, Shown] = {}
        self._untold = False
        self._told = -EVERY_S
        page.on_result(self._hear)
        # What came last must be told too, also if nothing comes after it.
        page.on_status(lambda _status: self._tell_if_due())
        page.on_engine(lambda engine: self._begin(forget=engine is not None))
        page.questions["series"] = self._series

    def _hear(self, shown: Shown) -> None:
        known = shown.key in self._shown
        # A result without a value says so as an event: it keeps the place it had.
        if is_cells(shown.result) or (known and not shown.result.valid):
            with self._lock:
                self._shown[shown.key] = shown
                if len(self._shown) > MOST_KEPT:
                    del self._shown[next(iter(self._shown))]
                self._untold = True
        elif known:
            with self._lock:
                del self._shown[shown.key]
                self._untold = True
        self._tell_if_due()

    def _begin(self, *, forget: bool) -> None:
        with self._lock:
            if forget:
                self._shown = {}
            self._tell()

    def _tell_if_due(self) -> None:
        with self._lock:
            if self._untold and self._clock() - self._told >= EVERY_S:
                self._tell()

    def _tell(self) -> None:
        self._told, self._untold = self._clock(), False
        keys = sorted(self._shown)
        values = [entry(self._shown[key]) for key in keys[:MOST]]
        left_out = max(0, len(keys) - MOST)
        self._page.tell("values", {"values": values, "left_out": left_out})

    def _series(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return what `lines_of` says of a result.

        Raises
        ------
        ScopesideError
            If there is no such series.
        """
        shown = self._shown.get(asked["key"])
        if shown is None or not is_cells(shown.result):
            raise ScopesideError(f"there is no series {asked['key']!r:.100} now")
        return {"number": shown.number, **lines_of(shown.result)}


def entry(shown: Shown) -> dict[str, Any]:
    """Return what a tab is told of a result: the last rows, and what it stands on."""
    result, meta = shown.result, shown.result.meta
    return {
        "key": shown.key,
        "number": shown.number,
        "chain": meta.get("chain"),
        "processor": meta.get("processor"),
        "name": result.name,
        "kind": result.kind,
        "acq": meta.get("acq"),
        "frame": result.frame,
        "used": result.used,
        "expected": result.expected,
        "valid": result.valid,
        "reason": result.reason,
        **_cells(result),
    }


def _cells(result: Result) -> dict[str, Any]:
    if not is_cells(result):
        return {"columns": [], "rows": [], "of": 0, "plot": False}
    rows = rows_of(result)
    return {
        "columns": heads_of(result, rows.shape[1])[:MOST_COLUMNS],
        "rows": [rounded(row[:MOST_COLUMNS]) for row in rows[-MOST_ROWS:]],
        "of": len(rows),
        "plot": len(rows) >= _PLOTTED,
    }
